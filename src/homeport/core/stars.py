"""Stars: who likes a repository. They are the user's own, and stand in the user's log; anybody may look at them, as far
as they may know of the repositories.
"""

from homeport.core import audit
from homeport.core.access import Action, Actor, access_repository, see_everywhere
from homeport.core.audit import AuditAction
from homeport.core.repositories import RepositoryPage, lock_repository
from homeport.errors import AccountUnknown, NotAuthenticated, PageUnknown
from homeport.names import RepositoryName
from homeport.storage.db import accounts as account_rows
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


async def list_starred(tx: Transaction, *, actor: Actor, user: str, offset: int, limit: int) -> RepositoryPage:
    """The repositories that a user has starred, as far as the actor may know of them; what was starred last first.

    Raises:
        AccountUnknown: there is no such user.
        PageUnknown: there are no more than `offset`; the first page is there even when it is empty.
    """
    account = await account_rows.get(tx, user.lower())
    if account is None or not account.is_active:
        raise AccountUnknown(user)
    view = await see_everywhere(tx, actor)
    tx = tx.lists
    total = await rows.count_seen(tx, account_id=account.id, view=view)
    if offset and offset >= total:
        raise PageUnknown
    found = await rows.list_seen(tx, account_id=account.id, view=view, offset=offset, limit=limit)
    return RepositoryPage(total, found)


def _account(actor: Actor) -> int:
    if actor.account_id is None:
        raise NotAuthenticated
    return actor.account_id
