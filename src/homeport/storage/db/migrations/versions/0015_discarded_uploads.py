"""Uploads that are being discarded: their bytes go while no transaction is open."""

from alembic import op

from homeport.storage.db.migrations.columns import flag

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uploads", flag("is_discarded", default=False))
