"""Personal access tokens that are narrower than their scopes, and that others are derived from."""

from alembic import op

from homeport.storage.db.migrations.columns import flag, text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A JSON list of networks: where a token may be used from; empty: anywhere.
    op.add_column("access_tokens", text("address_ranges", default="[]"))
    op.add_column("access_tokens", flag("can_derive", default=False))
    # In words that both databases share: SQLite takes a reference with a new column, and in no other way.
    op.execute("alter table access_tokens add column parent_id bigint references access_tokens (id) on delete cascade")
    op.create_index("access_tokens_parent", "access_tokens", ["parent_id"])
