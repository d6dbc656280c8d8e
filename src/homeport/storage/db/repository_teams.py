"""Statements on what teams have been given on repositories. They hold no rules."""

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import RepositoryTeam

_SELECT = """
    select repository_teams.team_id, teams.name as team, repository_teams.permission
    from repository_teams join teams on teams.id = repository_teams.team_id
    """


async def get(tx: Transaction, *, repository_id: int, team_id: int) -> RepositoryTeam | None:
    return await tx.one(
        RepositoryTeam,
        f"""{_SELECT}
        where repository_teams.repository_id = :repository_id and repository_teams.team_id = :team_id
        """,
        repository_id=repository_id,
        team_id=team_id,
    )


async def count(tx: Transaction, *, repository_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from repository_teams where repository_id = :repository_id",
        repository_id=repository_id,
    )
    return found or 0


async def list_page(tx: Transaction, *, repository_id: int, offset: int, limit: int) -> list[RepositoryTeam]:
    """What teams have been given on a repository, in the order of their ids."""
    return await tx.many(
        RepositoryTeam,
        f"""{_SELECT}
        where repository_teams.repository_id = :repository_id
        order by repository_teams.team_id limit :limit offset :offset
        """,
        repository_id=repository_id,
        offset=offset,
        limit=limit,
    )


async def delete(tx: Transaction, *, repository_id: int, team_id: int) -> None:
    await tx.run(
        "delete from repository_teams where repository_id = :repository_id and team_id = :team_id",
        repository_id=repository_id,
        team_id=team_id,
    )
