"""Which tags of a repository stay where they are."""

from alembic import op

from homeport.storage.db.migrations.columns import flag, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repositories", flag("has_immutable_tags", default=False))
    # A JSON list of texts; an empty one means every tag.
    op.add_column("repositories", text("immutable_tag_rules", default="[]"))
