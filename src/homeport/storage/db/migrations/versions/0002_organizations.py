"""The second factor, the audit log, and what organizations set: policies, domains, invites and their mails."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import Id, flag, identity, integer, moment, reference, table, text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _profiles()
    _second_factor()
    _organizations()
    _invites()
    _mails()
    _audit()


def _profiles() -> None:
    for column in (
        text("plan", default="business"),
        # What the site administrator marks a namespace with: official, verified_publisher, open_source or nothing.
        text("badge", default=""),
        text("location", default=""),
        text("company", default=""),
        text("profile_url", default=""),
        text("gravatar_email", default=""),
        moment("last_logged_in_at", nullable=True),
        moment("last_seen_at", nullable=True),
        text("last_desktop_version", default=""),
    ):
        op.add_column("accounts", column)
    op.execute("update accounts set badge = 'official' where name = 'library'")


def _second_factor() -> None:
    table(
        "second_factors",
        reference("account_id", "accounts"),
        # Not a hash: codes are made from it.
        text("secret"),
        moment("created_at"),
        # Null until a first code has shown that the secret arrived; it is not asked for before.
        moment("confirmed_at", nullable=True),
        # The time step of the last code that was taken: neither it nor an earlier one is taken again.
        integer("last_step", default="0"),
        sa.PrimaryKeyConstraint("account_id"),
    )
    table(
        "recovery_codes",
        reference("account_id", "accounts"),
        text("code_sha256"),
        sa.PrimaryKeyConstraint("account_id", "code_sha256"),
    )


def _organizations() -> None:
    table(
        "organization_settings",
        reference("organization_id", "accounts"),
        flag("restricts_images", default=False),
        flag("allows_official_images", default=True),
        flag("allows_verified_publishers", default=True),
        flag("restricts_registries", default=False),
        flag("allows_docker_hub", default=True),
        # A JSON list of {address, friendly_name, allowed}, as it was sent.
        text("custom_registries", default="[]"),
        flag("is_sso_enforced", default=False),
        flag("has_insights", default=False),
        flag("audits_pulls", default=False),
        sa.PrimaryKeyConstraint("organization_id"),
    )
    table(
        "organization_domains",
        identity(),
        reference("organization_id", "accounts"),
        text("name"),
        moment("created_at"),
        moment("verified_at", nullable=True),
        sa.UniqueConstraint("organization_id", "name"),
    )
    is_verified = sa.text("verified_at is not null")
    op.create_index(
        "organization_domains_verified",
        "organization_domains",
        ["name"],
        unique=True,
        sqlite_where=is_verified,
        postgresql_where=is_verified,
    )
    # Members are listed by name, of all roles and of one. Names of accounts never change.
    for name, holder in (("organization_members", "organization_id"), ("team_members", "team_id")):
        op.add_column(name, text("account_name", default=""))
        op.execute(f"update {name} set account_name = (select name from accounts where id = account_id)")
        op.create_index(f"{name}_name", name, [holder, "account_name"], unique=True)
    op.create_index("organization_members_role", "organization_members", ["organization_id", "role", "account_name"])


def _invites() -> None:
    table(
        "invites",
        text("id"),
        reference("organization_id", "accounts"),
        # As it was written: an e-mail address or the name of a user.
        text("invitee"),
        # Whose it is, where an account is known; else whoever has the address.
        reference("account_id", "accounts", nullable=True),
        # Where its mail goes; null for a user without an address.
        text("email", nullable=True),
        sa.Column("team_id", Id, sa.ForeignKey("teams.id", ondelete="SET NULL"), nullable=True),
        text("role"),
        reference("inviter_id", "accounts", cascade=False),
        text("secret_sha256"),
        text("status", default="pending"),
        moment("created_at"),
        # The last mail, and the end of the link in it.
        moment("sent_at"),
        moment("expires_at"),
        moment("closed_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
        sa.CheckConstraint("role in ('owner', 'editor', 'member')", "invites_role"),
        sa.CheckConstraint("status in ('pending', 'accepted', 'declined', 'cancelled', 'expired')", "invites_status"),
    )
    is_pending = sa.text("status = 'pending'")
    for name, whose in (("email", sa.text("lower(email)")), ("account", sa.text("account_id"))):
        op.create_index(
            f"invites_pending_{name}",
            "invites",
            ["organization_id", whose],
            unique=True,
            sqlite_where=is_pending,
            postgresql_where=is_pending,
        )
    op.create_index("invites_organization", "invites", ["organization_id", "status", "created_at", "id"])
    op.create_index("invites_account", "invites", ["account_id", "status", "created_at", "id"])
    op.create_index("invites_email", "invites", [sa.text("lower(email)"), "status"])
    op.create_index("invites_team", "invites", ["team_id"])


def _mails() -> None:
    table(
        "mails",
        identity(),
        text("recipient"),
        text("subject"),
        # Plain text. Emptied when it has been sent: it may hold a link that opens something.
        text("body"),
        moment("created_at"),
        # When it is to be tried (again); null once it is sent or given up.
        moment("due_at", nullable=True),
        integer("attempts", default="0"),
        text("last_error", default=""),
        moment("sent_at", nullable=True),
    )
    op.create_index("mails_due", "mails", ["due_at", "id"])
    op.create_index("mails_created", "mails", ["created_at"])
    op.create_index("mails_recipient", "mails", [sa.text("lower(recipient)"), "created_at"])


def _audit() -> None:
    # No foreign keys: the log outlives what it tells of.
    table(
        "audit_events",
        identity(),
        integer("account_id"),
        text("action"),
        text("name"),
        text("actor"),
        # A JSON object of texts.
        text("data", default="{}"),
        moment("created_at"),
    )
    op.create_index("audit_events_account", "audit_events", ["account_id", "created_at", "id"])
    # SQLite keeps no statistics: of two that serve alike it takes the one that was made last. So the one that leaves
    # the most events is made first, and the one that leaves the fewest last.
    for column in ("action", "actor", "name"):
        op.create_index(f"audit_events_{column}", "audit_events", ["account_id", column, "created_at", "id"])
    op.create_index("audit_events_created", "audit_events", ["created_at"])
