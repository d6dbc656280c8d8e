"""What teams of an organization may do to one of its repositories: told and changed by who administers it."""

from collections.abc import Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Action, Actor, access_repository
from homeport.core.audit import AuditAction
from homeport.core.repositories import lock_repository
from homeport.errors import PageUnknown, TeamHasPermission, TeamUnknown
from homeport.names import RepositoryName
from homeport.storage.db import repository_teams as rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Permission, Repository, RepositoryTeam


class RepositoryTeamPage(msgspec.Struct, frozen=True):
    total: int
    teams: Sequence[RepositoryTeam]


async def list_page(
    tx: Transaction, *, actor: Actor, name: RepositoryName, page: int, page_size: int
) -> RepositoryTeamPage:
    """A page of the teams that have a permission on a repository.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_TEAMS)
    tx = tx.lists
    total = await rows.count(tx, repository_id=repository.id)
    teams = await rows.list_page(tx, repository_id=repository.id, offset=(page - 1) * page_size, limit=page_size)
    if page > 1 and not teams:
        raise PageUnknown
    return RepositoryTeamPage(total, teams)


async def get_team(tx: Transaction, *, actor: Actor, name: RepositoryName, team_id: int) -> RepositoryTeam:
    """What one team has been given on a repository.

    Raises:
        TeamUnknown: the team has no permission on it.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_TEAMS)
    return await _access_team(tx, repository, team_id)


async def add_team(
    tx: Transaction, *, actor: Actor, name: RepositoryName, team_id: int, permission: Permission
) -> RepositoryTeam:
    """Give a team of the repository's organization a permission on it.

    Raises:
        TeamUnknown: the organization has no such team.
        TeamHasPermission: it has one already, this or another.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.EDIT_TEAMS)
    await lock_repository(tx, repository)
    team = await team_rows.get_by_id(tx, team_id)
    if team is None or team.organization_id != repository.namespace_id:
        raise TeamUnknown(str(team_id))
    if await rows.get(tx, repository_id=repository.id, team_id=team.id) is not None:
        raise TeamHasPermission(team.name, name)
    return await _grant(tx, actor, repository, RepositoryTeam(team.id, team.name, permission))


async def update_team(
    tx: Transaction, *, actor: Actor, name: RepositoryName, team_id: int, permission: Permission
) -> RepositoryTeam:
    """Give a team another permission on a repository than the one it has.

    Raises:
        TeamUnknown: the team has no permission on it.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.EDIT_TEAMS)
    await lock_repository(tx, repository)
    present = await _access_team(tx, repository, team_id)
    return await _grant(tx, actor, repository, msgspec.structs.replace(present, permission=permission))


async def remove_team(tx: Transaction, *, actor: Actor, name: RepositoryName, team_id: int) -> None:
    """Take a team's permission on a repository away.

    Raises:
        TeamUnknown: the team has no permission on it.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.DELETE_TEAMS)
    await lock_repository(tx, repository)
    present = await _access_team(tx, repository, team_id)
    await rows.delete(tx, repository_id=repository.id, team_id=team_id)
    await _record(tx, actor, AuditAction.ORG_TEAM_REVOKE, repository, present)


async def _access_team(tx: Transaction, repository: Repository, team_id: int) -> RepositoryTeam:
    found = await rows.get(tx, repository_id=repository.id, team_id=team_id)
    if found is None:
        raise TeamUnknown(str(team_id))
    return found


async def _grant(tx: Transaction, actor: Actor, repository: Repository, granted: RepositoryTeam) -> RepositoryTeam:
    if await team_rows.put_permission(
        tx, team_id=granted.team_id, repository_id=repository.id, permission=granted.permission
    ):
        await _record(tx, actor, AuditAction.ORG_TEAM_GRANT, repository, granted)
    return granted


async def _record(
    tx: Transaction, actor: Actor, action: AuditAction, repository: Repository, team: RepositoryTeam
) -> None:
    await audit.record(
        tx,
        actor,
        action,
        account_id=repository.namespace_id,
        name=repository.namespace,
        team=team.team,
        repository=str(RepositoryName(repository.namespace, repository.name)),
        permission=team.permission,
    )
