"""Statements on teams. They hold no rules."""

from collections.abc import Sequence
from uuid import uuid4

from homeport.storage.db.accounts import PROFILE
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.members import contains, lower, matches
from homeport.storage.db.records import Permission, Profile, Team, TeamOfMember, TeamOfUser


def _columns(table: str) -> str:
    return f"""{table}.id, {table}.uuid, {table}.organization_id, {table}.name, {table}.description,
        {table}.created_at, (select count(*) from team_members where team_id = {table}.id) as member_count"""


_COLUMNS = _columns("teams")

_OF_USER = """and teams.id in (
    select team_id from team_members join accounts on accounts.id = account_id where accounts.name = :user
    )"""

_JOIN_ACCOUNTS = "join accounts on accounts.id = team_members.account_id"


async def insert(tx: Transaction, *, organization_id: int, name: str, description: str) -> Team | None:
    """Insert a team; None if the organization has one of that name, whatever its case."""
    return await tx.one(
        Team,
        f"""
        insert into teams (uuid, organization_id, name, display_key, description, created_at, updated_at)
        values (:uuid, :organization_id, :name, lower(:name), :description, :now, :now)
        on conflict do nothing
        returning {_COLUMNS}
        """,
        uuid=str(uuid4()),
        organization_id=organization_id,
        name=name,
        description=description,
        now=utcnow(),
    )


async def get(tx: Transaction, *, organization_id: int, name: str) -> Team | None:
    return await tx.one(
        Team,
        f"select {_COLUMNS} from teams where organization_id = :organization_id and lower(name) = lower(:name)",
        organization_id=organization_id,
        name=name,
    )


async def get_by_id(tx: Transaction, team_id: int) -> Team | None:
    return await tx.one(Team, f"select {_COLUMNS} from teams where id = :id", id=team_id)


async def update(tx: Transaction, team_id: int, *, name: str, description: str) -> Team | None:
    """The caller holds the organization's lock, and has seen that the name is free. A new name is also what identity
    providers see from then on.
    """
    return await tx.one(
        Team,
        f"""
        update teams set name = :name, description = :description, updated_at = :now,
            display_name = case when name = :name then display_name end,
            display_key = case when name = :name then display_key else lower(:name) end
        where id = :id
        returning {_COLUMNS}
        """,
        id=team_id,
        name=name,
        description=description,
        now=utcnow(),
    )


async def delete(tx: Transaction, team_id: int) -> None:
    """Delete a team; what it was granted on repositories goes with it."""
    await tx.run("delete from teams where id = :id", id=team_id)


async def count(tx: Transaction, *, organization_id: int, part: str = "", user: str = "") -> int:
    """How many teams there are; with `part` in their names, and with a user in them, if these are given."""
    found = await tx.value(
        int,
        f"select count(*) from teams where {_conditions(part, user)}",
        organization_id=organization_id,
        part=lower(part),
        user=user,
    )
    return found or 0


async def list_page(
    tx: Transaction, *, organization_id: int, part: str, user: str, offset: int, limit: int
) -> list[Team]:
    """Teams by name in any case of letters, as `count` counts them."""
    return await tx.many(
        Team,
        f"""
        select {_columns("page")} from (
            select * from teams where {_conditions(part, user)} order by lower(name) limit :limit offset :offset
        ) as page order by lower(page.name)
        """,
        organization_id=organization_id,
        part=lower(part),
        user=user,
        offset=offset,
        limit=limit,
    )


def _conditions(part: str, user: str) -> str:
    return f"""organization_id = :organization_id {"and " + contains("teams.name") if part else ""}
        {_OF_USER if user else ""}"""


async def list_of_user(tx: Transaction, account_id: int, *, organization_ids: Sequence[int]) -> list[TeamOfUser]:
    """The teams of some organizations that a user is in, by name."""
    return await tx.many(
        TeamOfUser,
        """
        select teams.organization_id, teams.name as team
        from team_members join teams on teams.id = team_members.team_id
        where team_members.account_id = :account_id and teams.organization_id in (:organization_ids...bigint)
        order by lower(teams.name)
        """,
        account_id=account_id,
        organization_ids=list(organization_ids),
    )


async def list_of_members(tx: Transaction, *, organization_id: int, account_ids: Sequence[int]) -> list[TeamOfMember]:
    """The teams of an organization that some accounts are in, by name."""
    return await tx.many(
        TeamOfMember,
        """
        select team_members.account_id, teams.name as team
        from team_members join teams on teams.id = team_members.team_id
        where team_members.account_id in (:account_ids...bigint) and teams.organization_id = :organization_id
        order by lower(teams.name)
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
    )


async def add_member(tx: Transaction, *, team_id: int, account_id: int) -> bool:
    """Whether the account was not a member yet."""
    return bool(
        await tx.run(
            """
            insert into team_members (team_id, account_id, account_name, created_at)
            values (:team_id, :account_id, (select name from accounts where id = :account_id), :now)
            on conflict (team_id, account_id) do nothing
            """,
            team_id=team_id,
            account_id=account_id,
            now=utcnow(),
        )
    )


async def remove_member(tx: Transaction, *, team_id: int, account_id: int) -> bool:
    """Whether the account was a member."""
    return bool(
        await tx.run(
            "delete from team_members where team_id = :team_id and account_id = :account_id",
            team_id=team_id,
            account_id=account_id,
        )
    )


async def remove_from_all(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    """Remove an account from all teams of an organization."""
    await tx.run(
        """
        delete from team_members where account_id = :account_id
            and team_id in (select id from teams where organization_id = :organization_id)
        """,
        organization_id=organization_id,
        account_id=account_id,
    )


async def count_members(tx: Transaction, *, team_id: int, part: str, searches_emails: bool) -> int:
    """How many members a team has; with `part` in what is searched, if that is given."""
    found = await tx.value(
        int,
        f"""
        select count(*) from team_members {_JOIN_ACCOUNTS if part else ""} where team_members.team_id = :team_id
            {matches("accounts.email", searches_emails=searches_emails) if part else ""}
        """,
        team_id=team_id,
        part=lower(part),
    )
    return found or 0


async def list_members(
    tx: Transaction, *, team_id: int, part: str, searches_emails: bool, offset: int, limit: int
) -> list[Profile]:
    """Members of a team by name, as `count_members` counts them."""
    return await tx.many(
        Profile,
        f"""
        select {PROFILE} from (
            select team_members.account_id, team_members.account_name
            from team_members {_JOIN_ACCOUNTS if part else ""} where team_members.team_id = :team_id
                {matches("accounts.email", searches_emails=searches_emails) if part else ""}
            order by team_members.account_name limit :limit offset :offset
        ) as page join accounts on accounts.id = page.account_id
        order by page.account_name
        """,
        team_id=team_id,
        part=lower(part),
        offset=offset,
        limit=limit,
    )


async def put_permission(tx: Transaction, *, team_id: int, repository_id: int, permission: Permission) -> bool:
    """Whether it was not so already."""
    return bool(
        await tx.run(
            """
            insert into repository_teams (repository_id, team_id, permission, created_at)
            values (:repository_id, :team_id, :permission, :now)
            on conflict (repository_id, team_id) do update set permission = excluded.permission
                where repository_teams.permission <> excluded.permission
            """,
            team_id=team_id,
            repository_id=repository_id,
            permission=permission,
            now=utcnow(),
        )
    )
