"""Statements on what identity providers see of members. They hold no rules."""

from collections.abc import Sequence

from homeport.names import folded
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ScimEmail, ScimMembership, ScimUser
from homeport.storage.db.scim_filters import Column, Fields, Rows, Search, condition, order_by

_MEMBER = """(
    select role from organization_members m where m.organization_id = s.organization_id and m.account_id = s.account_id
    )"""
_ROLE = f"case when s.has_ordered_role then {_MEMBER} end"
_ORDERED_TEAM = """(
    select {} from team_members m join teams t on t.id = m.team_id
    where m.team_id = s.ordered_team_id and m.account_id = s.account_id
    )"""
_TEAM = _ORDERED_TEAM.format("coalesce(t.display_name, t.name)")
_TEAMS = "team_members m join teams t on t.id = m.team_id where t.organization_id = :organization_id"
_EMAILS = "scim_emails e where e.organization_id = :organization_id"
_IS_IN = f"(a.is_active and {_MEMBER} is not null)"

# Changes when the row does, when the account is let in or shut out, with the role, and with the teams that the user is
# in.
_VERSION = f"""cast(s.updated_at as text) || '.' || case when {_IS_IN} then '1' else '0' end || '.'
    || coalesce({_ROLE}, '') || '.' || (
    select cast(count(*) as text) || '.' || cast(coalesce(max(m.created_at), 0) as text) || '.'
        || cast(coalesce(max(t.updated_at), 0) as text) from {_TEAMS} and m.account_id = s.account_id)"""

_SELECT = f"""
    select s.account_id, a.uuid, a.name as account_name, a.email, a.is_active as is_account_active,
        coalesce(a.managing_organization_id = s.organization_id, false) as is_managed, {_MEMBER} as role,
        s.user_name, s.external_id, s.given_name, s.family_name, s.display_name,
        {_ROLE} as ordered_role, {_TEAM} as ordered_team, s.is_shut_out, s.created_at,
        s.updated_at, {_VERSION} as version
    from scim_users s join accounts a on a.id = s.account_id
    """


def fields(base_url: str) -> Fields:
    """What a filter or an order may name; `base_url` is what locations begin with."""
    return {
        **_FIELDS,
        "location": Column("a.uuid", prefix=folded(f"{base_url}/Users/")),
        "groups": Rows(
            _TEAMS,
            "m.account_id",
            "s.account_id",
            {
                "value": Column("t.uuid", is_telling=True),
                "display": Column("t.display_key"),
                "ref": Column("t.uuid", prefix=f"{base_url}/Groups/"),
                "type": Column("'direct'"),
            },
            order="t.display_key, t.id",
        ),
    }


_FIELDS: Fields = {
    "id": Column("a.uuid"),
    "external_id": Column("s.external_id", is_nullable=True),
    "user_name": Column("s.user_name_key"),
    "given_name": Column("s.given_name_key", is_nullable=True),
    "family_name": Column("s.family_name_key", is_nullable=True),
    "display_name": Column("s.display_name_key", is_nullable=True),
    "active": Column(_IS_IN, "flag"),
    "created": Column("s.created_at", "moment"),
    "last_modified": Column("s.updated_at", "moment"),
    "docker_role": Column(f"({_ROLE})", is_nullable=True),
    "docker_team": Column(_ORDERED_TEAM.format("t.display_key"), is_nullable=True),
    "version": Column(f"('W/\"' || {_VERSION} || '\"')"),
    "emails": Rows(
        _EMAILS,
        "e.account_id",
        "s.account_id",
        {
            "value": Column("e.value_key", is_nullable=True, is_telling=True),
            "display": Column("e.display_key", is_nullable=True),
            "type": Column("e.type_key", is_nullable=True),
            "primary": Column("e.is_primary", "flag", is_nullable=True),
        },
        order="case when e.is_primary then 0 else 1 end, e.position",
    ),
}


async def insert(tx: Transaction, *, organization_id: int, account_id: int, name: str, user_name: str) -> None:
    """Enter a member; one who is there already is let in again, and otherwise stays what they are."""
    await tx.run(
        """
        insert into scim_users (organization_id, account_id, user_name, user_name_key, display_name, display_name_key,
            created_at, updated_at)
        values (:organization_id, :account_id, :user_name, :user_name_key, :name, :name, :now, :now)
        on conflict (organization_id, account_id) do update set is_shut_out = false, updated_at = excluded.updated_at
        """,
        organization_id=organization_id,
        account_id=account_id,
        user_name=user_name,
        user_name_key=folded(user_name),
        name=name,
        now=utcnow(),
    )


async def delete(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    await tx.run(
        "delete from scim_users where organization_id = :organization_id and account_id = :account_id",
        organization_id=organization_id,
        account_id=account_id,
    )


async def update(
    tx: Transaction, user: ScimUser, *, organization_id: int, has_ordered_role: bool, ordered_team_id: int | None
) -> None:
    """Write what the identity provider says of a user."""
    await tx.run(
        """
        update scim_users set user_name = :user_name, user_name_key = :user_name_key, external_id = :external_id,
            given_name = :given_name, given_name_key = :given_name_key, family_name = :family_name,
            family_name_key = :family_name_key, display_name = :display_name, display_name_key = :display_name_key,
            has_ordered_role = :has_ordered_role, ordered_team_id = :ordered_team_id, updated_at = :now
        where organization_id = :organization_id and account_id = :account_id
        """,
        organization_id=organization_id,
        account_id=user.account_id,
        has_ordered_role=has_ordered_role,
        ordered_team_id=ordered_team_id,
        external_id=user.external_id,
        now=utcnow(),
        **_with_key("user_name", user.user_name),
        **_with_key("given_name", user.given_name),
        **_with_key("family_name", user.family_name),
        **_with_key("display_name", user.display_name),
    )


def _with_key(name: str, value: str | None) -> dict[str, str | None]:
    return {name: value, f"{name}_key": _key(value)}


def _key(value: str | None) -> str | None:
    return folded(value) if value is not None else None


async def set_shut_out(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    await tx.run(
        """
        update scim_users set is_shut_out = true, updated_at = :now
        where organization_id = :organization_id and account_id = :account_id
        """,
        organization_id=organization_id,
        account_id=account_id,
        now=utcnow(),
    )


async def forget_shut_out(tx: Transaction, *, account_id: int) -> None:
    """An account is let in again: nobody has shut it out any more."""
    await tx.run(
        "update scim_users set is_shut_out = false, updated_at = :now where account_id = :account_id and is_shut_out",
        account_id=account_id,
        now=utcnow(),
    )


async def rename(tx: Transaction, *, account_id: int, former: str, user_name: str) -> None:
    """Give an account another user name in all organizations that know it by a former one, and nobody by this one."""
    await tx.run(
        """
        update scim_users set user_name = :user_name, user_name_key = :user_name_key, updated_at = :now
        where account_id = :account_id and user_name_key = :former_key and not exists (
            select 1 from scim_users other where other.organization_id = scim_users.organization_id
                and other.user_name_key = :user_name_key and other.account_id <> scim_users.account_id
        )
        """,
        account_id=account_id,
        former_key=folded(former),
        now=utcnow(),
        **_with_key("user_name", user_name),
    )


async def replace_email(tx: Transaction, *, account_id: int, former: str, email: str) -> None:
    """Put an address in the place of a former one in what all organizations know of an account."""
    await tx.run(
        """
        update scim_emails set value = :value, value_key = :value_key, display = :value, display_key = :value_key
        where account_id = :account_id and value_key = :former_key
            and organization_id in (select organization_id from scim_users where account_id = :account_id)
        """,
        account_id=account_id,
        former_key=folded(former),
        **_with_key("value", email),
    )


async def delete_emails(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    await tx.run(
        "delete from scim_emails where organization_id = :organization_id and account_id = :account_id",
        organization_id=organization_id,
        account_id=account_id,
    )


async def insert_emails(tx: Transaction, emails: Sequence[ScimEmail], *, organization_id: int) -> None:
    """Write the addresses of one user, in their order; the caller has deleted the former ones."""
    await tx.run_many(
        """
        insert into scim_emails (organization_id, account_id, position, value, value_key, display, display_key, type,
            type_key, is_primary)
        values (:organization_id, :account_id, :position, :value, :value_key, :display, :display_key, :type, :type_key,
            :is_primary)
        """,
        [
            {
                "organization_id": organization_id,
                "account_id": email.account_id,
                "position": position,
                "is_primary": email.is_primary,
                **_with_key("value", email.value),
                **_with_key("display", email.display),
                **_with_key("type", email.type),
            }
            for position, email in enumerate(emails)
        ],
    )


async def get(tx: Transaction, *, organization_id: int, uuid: str) -> ScimUser | None:
    return await tx.one(
        ScimUser,
        f"{_SELECT} where s.organization_id = :organization_id and a.uuid = :uuid",
        organization_id=organization_id,
        uuid=uuid,
    )


async def get_of_account(tx: Transaction, *, organization_id: int, account_id: int) -> ScimUser | None:
    return await tx.one(
        ScimUser,
        f"{_SELECT} where s.organization_id = :organization_id and s.account_id = :account_id",
        organization_id=organization_id,
        account_id=account_id,
    )


async def has_user_name(tx: Transaction, *, organization_id: int, user_name: str, other_than: int) -> bool:
    """Whether a user of the organization, other than one account's, has this name in any case and form."""
    found = await tx.value(
        int,
        """
        select 1 from scim_users where organization_id = :organization_id and user_name_key = :user_name_key
            and account_id <> :other_than limit 1
        """,
        organization_id=organization_id,
        user_name_key=folded(user_name),
        other_than=other_than,
    )
    return found is not None


async def list_of(tx: Transaction, *, organization_id: int, uuids: Sequence[str]) -> list[ScimUser]:
    """Users by their ids; unknown ones are left out. The caller bounds their number."""
    return await tx.many(
        ScimUser,
        f"{_SELECT} where s.organization_id = :organization_id and a.uuid in (:uuids...text)",
        organization_id=organization_id,
        uuids=list(uuids),
    )


async def count(tx: Transaction, *, organization_id: int, search: Search) -> int:
    sql, parameters = condition(search.filter, fields(search.base_url))
    found = await tx.value(
        int,
        f"""
        select count(*) from scim_users s join accounts a on a.id = s.account_id
        where s.organization_id = :organization_id and {sql}
        """,
        organization_id=organization_id,
        **parameters,
    )
    return found or 0


async def list_page(tx: Transaction, *, organization_id: int, search: Search) -> list[ScimUser]:
    """Users that a filter lets through, in an order. What is told of them is looked up for the page alone."""
    known = fields(search.base_url)
    sql, parameters = condition(search.filter, known)
    by = order_by(search.order, known, "s.account_id")
    return await tx.many(
        ScimUser,
        f"""
        {_SELECT} join (
            select s.account_id from scim_users s join accounts a on a.id = s.account_id
            where s.organization_id = :organization_id and {sql}
            order by {by} limit :limit offset :offset
        ) page on page.account_id = s.account_id
        where s.organization_id = :organization_id
        order by {by}
        """,
        organization_id=organization_id,
        limit=search.limit,
        offset=search.offset,
        **parameters,
    )


async def list_emails(tx: Transaction, *, organization_id: int, account_ids: Sequence[int]) -> list[ScimEmail]:
    """The addresses of some users, each one's in their order."""
    return await tx.many(
        ScimEmail,
        """
        select account_id, value, display, type, is_primary from scim_emails
        where organization_id = :organization_id and account_id in (:account_ids...bigint)
        order by account_id, position
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
    )


async def list_memberships(
    tx: Transaction, *, organization_id: int, account_ids: Sequence[int]
) -> list[ScimMembership]:
    """The teams that some users are in, by name."""
    return await tx.many(
        ScimMembership,
        """
        select m.account_id, t.uuid as team_uuid, coalesce(t.display_name, t.name) as display
        from team_members m join teams t on t.id = m.team_id
        where m.account_id in (:account_ids...bigint) and t.organization_id = :organization_id
        order by t.display_key, t.id
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
    )
