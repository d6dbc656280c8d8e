"""Logins of programs that people approve on a page."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import identity, integer, moment, reference, table, text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table(
        "device_logins",
        identity(),
        text("device_code_sha256"),
        text("user_code_sha256"),
        text("client_id"),
        text("status", default="pending"),
        # Where the program is, and what it calls itself.
        text("address"),
        text("user_agent"),
        moment("created_at"),
        moment("expires_at"),
        # When the program asked last, and how long it has to wait before it asks again.
        moment("polled_at", nullable=True),
        integer("interval_s"),
        # Whoever approved it. It is void once the account has another version.
        reference("account_id", "accounts", nullable=True),
        integer("credentials_version", nullable=True),
        sa.UniqueConstraint("device_code_sha256"),
        sa.UniqueConstraint("user_code_sha256"),
    )
    op.create_index("device_logins_expires", "device_logins", ["expires_at"])
    op.create_index("device_logins_account", "device_logins", ["account_id"])
    op.create_index("access_tokens_generated", "access_tokens", ["account_id", "generated_by", "id"])
