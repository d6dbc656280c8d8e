"""Collaborators of a repository: users who were given a permission on it by themselves, not by a team."""

from collections.abc import Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Action, Actor, access_repository
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction
from homeport.core.repositories import lock_repository
from homeport.errors import MemberUnknown, PageUnknown
from homeport.names import RepositoryName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import collaborators as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Collaborator, Permission, Repository


class CollaboratorPage(msgspec.Struct, frozen=True):
    total: int
    collaborators: Sequence[Collaborator]


async def list_page(
    tx: Transaction, *, actor: Actor, name: RepositoryName, page: int, page_size: int
) -> CollaboratorPage:
    """A page of a repository's collaborators.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.ADMIN)
    tx = tx.lists
    total = await rows.count(tx, repository_id=repository.id)
    found = await rows.list_page(tx, repository_id=repository.id, offset=(page - 1) * page_size, limit=page_size)
    if page > 1 and not found:
        raise PageUnknown
    return CollaboratorPage(total, found)


async def add_collaborator(
    tx: Transaction, *, actor: Actor, name: RepositoryName, user: str, permission: Permission | None = None
) -> str:
    """Give a user a permission on a repository, in place of the one they had; their name. Without one, somebody who has
    none may write from now on, and who has one keeps it.

    Raises:
        AccountUnknown: there is no such user.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.ADMIN)
    account = await access_user(tx, user.lower())
    await lock_repository(tx, repository)
    if permission is None:
        permission = await rows.get(tx, repository_id=repository.id, account_id=account.id) or Permission.WRITE
    if await rows.put(tx, repository_id=repository.id, account_id=account.id, permission=permission):
        data = {"user": account.name, "permission": permission}
        await _record(tx, actor, AuditAction.REPO_COLLABORATOR_ADD, repository, **data)
    return account.name


async def remove_collaborator(tx: Transaction, *, actor: Actor, name: RepositoryName, user: str) -> None:
    """Take from a user what they were given by themselves on a repository.

    Raises:
        MemberUnknown: the user is no collaborator of it.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.ADMIN)
    account = await account_rows.get(tx, user.lower())
    await lock_repository(tx, repository)
    if account is None or not await rows.delete(tx, repository_id=repository.id, account_id=account.id):
        raise MemberUnknown(user, f"the collaborators of {name}")
    await _record(tx, actor, AuditAction.REPO_COLLABORATOR_REMOVE, repository, user=account.name)


async def _record(tx: Transaction, actor: Actor, action: AuditAction, repository: Repository, **data: str) -> None:
    name = str(RepositoryName(repository.namespace, repository.name))
    await audit.record(tx, actor, action, account_id=repository.namespace_id, name=name, **data)
