"""Access tokens of organizations: rows of `access_tokens` whose account is an organization."""

from alembic import op

from homeport.storage.db.migrations.columns import text

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        text("description", default=""),
        # The name of who made it, where that is not the account itself.
        text("created_by", default=""),
        # What it was given, as JSON; null: what its scopes say.
        text("grants", nullable=True),
    ):
        op.add_column("access_tokens", column)
