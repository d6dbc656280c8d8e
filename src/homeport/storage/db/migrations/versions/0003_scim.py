"""SCIM: the tokens of identity providers, and what they write down of members and teams."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from homeport.names import folded
from homeport.storage.db.migrations.columns import Id, flag, integer, moment, reference, table, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table(
        "scim_tokens",
        reference("organization_id", "accounts"),
        text("secret_sha256"),
        text("created_by"),
        moment("created_at"),
        moment("last_used_at", nullable=True),
        sa.PrimaryKeyConstraint("organization_id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    # Whose identity provider speaks for the account: it may rename it and shut it out.
    op.add_column("accounts", integer("managing_organization_id", nullable=True))
    _users()
    _groups()


def _users() -> None:
    # One row for each member of an organization, and for each whom its identity provider has shut out.
    # A column `…_key` holds its text as it is compared.
    table(
        "scim_users",
        reference("organization_id", "accounts"),
        reference("account_id", "accounts"),
        text("user_name"),
        text("user_name_key"),
        text("external_id", nullable=True),
        text("given_name", nullable=True),
        text("given_name_key", nullable=True),
        text("family_name", nullable=True),
        text("family_name_key", nullable=True),
        text("display_name", nullable=True),
        text("display_name_key", nullable=True),
        # What the provider has ordered, which is shown as long as it is so.
        flag("has_ordered_role", default=False),
        sa.Column("ordered_team_id", Id, sa.ForeignKey("teams.id", ondelete="SET NULL"), nullable=True),
        # Set by the provider; who was shut out by the site is not let in by a provider.
        flag("is_shut_out", default=False),
        moment("created_at"),
        moment("updated_at"),
        sa.PrimaryKeyConstraint("organization_id", "account_id"),
    )
    op.create_index("scim_users_account", "scim_users", ["account_id"])
    op.create_index("scim_users_team", "scim_users", ["ordered_team_id"])
    for column in ("user_name_key", "external_id", "display_name_key"):
        op.create_index(f"scim_users_{column}", "scim_users", ["organization_id", column, "account_id"])
    table(
        "scim_emails",
        integer("organization_id"),
        integer("account_id"),
        integer("position"),
        text("value", nullable=True),
        text("value_key", nullable=True),
        text("display", nullable=True),
        text("display_key", nullable=True),
        text("type", nullable=True),
        text("type_key", nullable=True),
        sa.Column("is_primary", sa.Boolean(create_constraint=False), nullable=True),
        sa.PrimaryKeyConstraint("organization_id", "account_id", "position"),
        sa.ForeignKeyConstraint(
            ["organization_id", "account_id"],
            ["scim_users.organization_id", "scim_users.account_id"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("scim_emails_value", "scim_emails", ["organization_id", "value_key"])
    _enter_members()


def _enter_members() -> None:
    connection = op.get_bind()
    for rows in _members(connection):
        connection.execute(
            sa.text(
                """
                insert into scim_users (organization_id, account_id, user_name, user_name_key, display_name,
                    display_name_key, created_at, updated_at)
                values (:organization_id, :account_id, :user_name, :user_name_key, :name, :name, :joined_at, :joined_at)
                """
            ),
            rows,
        )
        if emails := [row for row in rows if row["email"]]:
            connection.execute(
                sa.text(
                    """
                    insert into scim_emails (organization_id, account_id, position, value, value_key, display,
                        display_key, is_primary)
                    values (:organization_id, :account_id, 0, :email, :user_name_key, :email, :user_name_key, true)
                    """
                ),
                emails,
            )


def _members(connection: sa.Connection) -> Iterator[list[dict[str, object]]]:
    """Members in batches, but the site administrators, who are out of any identity provider's reach."""
    found = connection.execute(
        sa.text(
            """
            select m.organization_id, m.account_id, a.name, a.email, m.created_at as joined_at
            from organization_members m join accounts a on a.id = m.account_id where not a.is_site_admin
            """
        )
    )
    for batch in found.mappings().partitions(1000):
        rows = []
        for member in batch:
            user_name = member["email"] or member["name"]
            rows.append({**member, "user_name": user_name, "user_name_key": folded(user_name)})
        yield rows


def _groups() -> None:
    # A group's name for people; a team's own name is what paths and clients of the Hub take.
    op.add_column("teams", text("display_name", nullable=True))
    op.add_column("teams", text("display_key", default=""))
    op.add_column("teams", text("external_id", nullable=True))
    op.add_column("teams", integer("updated_at", default="0"))
    op.execute("update teams set display_key = lower(name), updated_at = created_at")
    for column in ("display_key", "external_id"):
        op.create_index(f"teams_{column}", "teams", ["organization_id", column])
