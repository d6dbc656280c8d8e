"""Stars: who likes a repository. They are the user's own, and stand in the user's log."""

from homeport.core import audit
from homeport.core.access import Action, Actor, access_repository
from homeport.core.audit import AuditAction
from homeport.core.repositories import lock_repository
from homeport.errors import NotAuthenticated
from homeport.names import RepositoryName
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import stars as rows
from homeport.storage.db.database import Transaction


async def star(tx: Transaction, *, actor: Actor, name: RepositoryName) -> None:
    """Give a repository the actor's star; a second time changes nothing.

    Raises:
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.STAR)
    account_id = _account(actor)
    await lock_repository(tx, repository)
    if await rows.insert(tx, repository_id=repository.id, account_id=account_id):
        await repository_rows.add_stars(tx, repository.id, 1)
        await audit.record(tx, actor, AuditAction.USER_STAR_ADD, account_id=account_id, name=str(name))


async def unstar(tx: Transaction, *, actor: Actor, name: RepositoryName) -> None:
    """Take the actor's star from a repository; where there is none, nothing changes.

    Raises:
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.STAR)
    account_id = _account(actor)
    await lock_repository(tx, repository)
    if await rows.delete(tx, repository_id=repository.id, account_id=account_id):
        await repository_rows.add_stars(tx, repository.id, -1)
        await audit.record(tx, actor, AuditAction.USER_STAR_REMOVE, account_id=account_id, name=str(name))


def _account(actor: Actor) -> int:
    if actor.account_id is None:
        raise NotAuthenticated
    return actor.account_id
