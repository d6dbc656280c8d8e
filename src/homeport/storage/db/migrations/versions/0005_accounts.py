"""What people do about their accounts by themselves: sign-ups, addresses, forgotten passwords, logging out."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import identity, integer, moment, reference, table, text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The organizations of a user are listed in the order of their ids.
    op.create_index("organization_members_of_account", "organization_members", ["account_id", "organization_id"])
    _mail_requests()
    _confirmations()
    _ended_sessions()


def _mail_requests() -> None:
    """What somebody has asked to be mailed. A job looks at it later, so that asking takes the same time whether or not
    there is such an account.
    """
    table(
        "mail_requests",
        identity(),
        text("purpose"),
        # Who asks, where that is known.
        reference("account_id", "accounts", nullable=True),
        # An e-mail address; to reset a password, perhaps the name of a user.
        text("identifier"),
        # Of a sign-up.
        text("name", default=""),
        text("full_name", default=""),
        # Where the request came from.
        text("address", default=""),
        text("user_agent", default=""),
        moment("created_at"),
        sa.CheckConstraint("purpose in ('sign_up', 'password', 'email')", "mail_requests_purpose"),
    )
    op.create_index("mail_requests_account", "mail_requests", ["account_id"])


def _confirmations() -> None:
    """What becomes true when somebody opens the link of a mail, and so has shown that an address is theirs."""
    table(
        "confirmations",
        text("id"),
        text("purpose"),
        # None of a sign-up: there is no account before.
        reference("account_id", "accounts", nullable=True),
        # The account's at that time: whatever voids what was issued to it voids the link.
        integer("credentials_version", nullable=True),
        # Where the mail goes; of a change of address, the new one.
        text("email"),
        text("name", default=""),
        text("full_name", default=""),
        text("secret_sha256"),
        moment("created_at"),
        moment("expires_at"),
        moment("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
        sa.CheckConstraint("purpose in ('sign_up', 'password', 'email')", "confirmations_purpose"),
    )
    op.create_index("confirmations_email", "confirmations", [sa.text("lower(email)"), "purpose", "created_at"])
    op.create_index("confirmations_account", "confirmations", ["account_id"])
    op.create_index("confirmations_created", "confirmations", ["created_at"])


def _ended_sessions() -> None:
    """Logins that somebody has ended by logging out: their tokens are good for nothing any more."""
    table(
        "ended_sessions",
        text("id"),
        reference("account_id", "accounts"),
        moment("ended_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ended_sessions_ended", "ended_sessions", ["ended_at"])
    op.create_index("ended_sessions_account", "ended_sessions", ["account_id"])
