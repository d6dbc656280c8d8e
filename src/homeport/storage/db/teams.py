"""Statements on teams. They hold no rules."""

from uuid import uuid4

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Permission, Team

_COLUMNS = "id, uuid, organization_id, name, description, created_at"


async def insert(tx: Transaction, *, organization_id: int, name: str, description: str) -> Team | None:
    """Insert a team; None if the organization has one of that name, whatever its case."""
    return await tx.one(
        Team,
        f"""
        insert into teams (uuid, organization_id, name, description, created_at)
        values (:uuid, :organization_id, :name, :description, :now)
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


async def add_member(tx: Transaction, *, team_id: int, account_id: int) -> bool:
    """Whether the account was not a member yet."""
    return bool(
        await tx.run(
            """
            insert into team_members (team_id, account_id, created_at) values (:team_id, :account_id, :now)
            on conflict do nothing
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


async def count(tx: Transaction, *, organization_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from teams where organization_id = :organization_id",
        organization_id=organization_id,
    )
    return found or 0
