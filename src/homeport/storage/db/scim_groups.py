"""Statements on teams as identity providers see them. They hold no rules."""

from collections.abc import Sequence

import msgspec

from homeport.names import folded
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ScimGroup, ScimGroupMember
from homeport.storage.db.scim_filters import Column, Fields, Rows, Search, condition, order_by


class TeamName(msgspec.Struct, frozen=True):
    name: str


# Changes when the team does, and with each member who comes or goes.
_VERSION = """cast(t.updated_at as text) || '.' || (
    select cast(count(*) as text) || '.' || cast(coalesce(max(m.created_at), 0) as text)
    from team_members m where m.team_id = t.id)"""

_SELECT = f"""
    select t.id, t.uuid, t.name, coalesce(t.display_name, t.name) as display_name, t.external_id, t.created_at,
        t.updated_at, {_VERSION} as version
    from teams t
    """

# Those members whom identity providers see: no site administrators.
_MEMBERS = """team_members m join scim_users u on u.account_id = m.account_id
    join accounts a on a.id = m.account_id
    where u.organization_id = :organization_id"""


def fields(base_url: str) -> Fields:
    """What a filter or an order may name; `base_url` is what locations begin with."""
    return {
        "id": Column("t.uuid"),
        "external_id": Column("t.external_id", is_nullable=True),
        "display_name": Column("t.display_key"),
        "created": Column("t.created_at", "moment"),
        "last_modified": Column("t.updated_at", "moment"),
        "location": Column("t.uuid", prefix=folded(f"{base_url}/Groups/")),
        "version": Column(f"('W/\"' || {_VERSION} || '\"')"),
        "members": Rows(
            _MEMBERS,
            "m.team_id",
            "t.id",
            {
                "value": Column("a.uuid", is_telling=True),
                "ref": Column("a.uuid", prefix=f"{base_url}/Users/"),
                "type": Column("'user'"),
            },
            order="a.name",
        ),
    }


async def get(tx: Transaction, *, organization_id: int, uuid: str) -> ScimGroup | None:
    return await tx.one(
        ScimGroup,
        f"{_SELECT} where t.organization_id = :organization_id and t.uuid = :uuid",
        organization_id=organization_id,
        uuid=uuid,
    )


async def get_by_display(tx: Transaction, *, organization_id: int, display_name: str) -> ScimGroup | None:
    """The team that identity providers know by this name, in any case and form."""
    return await tx.one(
        ScimGroup,
        f"{_SELECT} where t.organization_id = :organization_id and t.display_key = :display_key order by t.id",
        organization_id=organization_id,
        display_key=folded(display_name),
    )


async def update(tx: Transaction, team_id: int, *, name: str, display_name: str, external_id: str | None) -> None:
    """The caller holds the organization's lock, and has seen that the name is free."""
    await tx.run(
        """
        update teams set name = :name, display_name = :display_name, display_key = :display_key,
            external_id = :external_id, updated_at = :now
        where id = :id
        """,
        id=team_id,
        name=name,
        display_name=display_name,
        display_key=folded(display_name),
        external_id=external_id,
        now=utcnow(),
    )


async def touch(tx: Transaction, team_id: int) -> None:
    """Note that a provider has changed who is in a team."""
    await tx.run("update teams set updated_at = :now where id = :id", id=team_id, now=utcnow())


async def count(tx: Transaction, *, organization_id: int, search: Search) -> int:
    sql, parameters = condition(search.filter, fields(search.base_url))
    found = await tx.value(
        int,
        f"select count(*) from teams t where t.organization_id = :organization_id and {sql}",
        organization_id=organization_id,
        **parameters,
    )
    return found or 0


async def list_page(tx: Transaction, *, organization_id: int, search: Search) -> list[ScimGroup]:
    """Teams that a filter lets through, in an order. What is told of them is looked up for the page alone."""
    known = fields(search.base_url)
    sql, parameters = condition(search.filter, known)
    by = order_by(search.order, known, "t.id")
    return await tx.many(
        ScimGroup,
        f"""
        {_SELECT} join (
            select t.id from teams t where t.organization_id = :organization_id and {sql}
            order by {by} limit :limit offset :offset
        ) page on page.id = t.id
        order by {by}
        """,
        organization_id=organization_id,
        limit=search.limit,
        offset=search.offset,
        **parameters,
    )


_SELECT_MEMBERS = """
    select m.team_id, m.account_id, a.uuid, a.name
    from team_members m join teams t on t.id = m.team_id
    join scim_users u on u.account_id = m.account_id and u.organization_id = t.organization_id
    join accounts a on a.id = m.account_id
    """


async def list_members(tx: Transaction, *, team_ids: Sequence[int]) -> list[ScimGroupMember]:
    """The members of some teams, each one's by name."""
    return await tx.many(
        ScimGroupMember,
        f"{_SELECT_MEMBERS} where m.team_id in (:team_ids...bigint) order by m.team_id, m.account_name",
        team_ids=list(team_ids),
    )


async def list_members_among(tx: Transaction, *, team_id: int, uuids: Sequence[str]) -> list[ScimGroupMember]:
    """Which of some users are members of a team, by name."""
    return await tx.many(
        ScimGroupMember,
        f"{_SELECT_MEMBERS} where m.team_id = :team_id and a.uuid in (:uuids...text) order by m.account_name",
        team_id=team_id,
        uuids=list(uuids),
    )


async def list_names(tx: Transaction, *, organization_id: int, names: Sequence[str]) -> list[TeamName]:
    """Which of these (lower-case) names are taken."""
    return await tx.many(
        TeamName,
        """
        select lower(name) as name from teams
        where organization_id = :organization_id and lower(name) in (:names...text)
        """,
        organization_id=organization_id,
        names=list(names),
    )


async def add_members(tx: Transaction, *, team_id: int, account_ids: Sequence[int]) -> None:
    """Add accounts to a team; those who are in it stay."""
    await tx.run(
        """
        insert into team_members (team_id, account_id, account_name, created_at)
        select :team_id, id, name, :now from accounts where id in (:account_ids...bigint)
        on conflict (team_id, account_id) do nothing
        """,
        team_id=team_id,
        account_ids=list(account_ids),
        now=utcnow(),
    )


async def remove_members(tx: Transaction, *, team_id: int, account_ids: Sequence[int]) -> None:
    await tx.run(
        "delete from team_members where team_id = :team_id and account_id in (:account_ids...bigint)",
        team_id=team_id,
        account_ids=list(account_ids),
    )
