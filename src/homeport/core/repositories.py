"""Repositories: made by the first push, or by an operator."""

from homeport.core import audit
from homeport.core.access import Action, Actor, access_namespace, access_repository
from homeport.core.audit import AuditAction
from homeport.core.plans import check_private_repositories
from homeport.errors import RepositoryUnknown
from homeport.names import RepositoryName
from homeport.settings import Plans
from homeport.storage.db import repositories as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, Namespace, Permission, Repository


async def may_push(tx: Transaction, *, actor: Actor, name: RepositoryName) -> Repository | None:
    """The repository that a push would go to; None if the push would make it.

    Raises:
        NotAuthenticated
        NamespaceUnknown, ActionDenied: as `access_repository` and `access_namespace`.
    """
    try:
        return await access_repository(tx, actor, name, Action.PUSH)
    except RepositoryUnknown:
        await access_namespace(tx, actor, name)
        return None


async def repository_to_push_to(
    tx: Transaction, *, actor: Actor, name: RepositoryName, default_privacy: str, plans: Plans
) -> Repository:
    """The repository that a push goes to; one that does not exist is made where the actor may.

    Raises:
        NotAuthenticated
        NamespaceUnknown, ActionDenied: as `access_repository` and `access_namespace`.
        PlanLimitReached: it would be a private repository too many.
    """
    try:
        return await access_repository(tx, actor, name, Action.PUSH)
    except RepositoryUnknown:
        namespace = await access_namespace(tx, actor, name)
    await _create(tx, actor, namespace, name, is_private=default_privacy == "private", plans=plans)
    return await access_repository(tx, actor, name, Action.PUSH)


async def create_repository(
    tx: Transaction, *, actor: Actor, name: RepositoryName, is_private: bool, plans: Plans
) -> bool:
    """Make an empty repository; False if there is one of that name.

    Raises:
        NamespaceUnknown, ActionDenied, NotAuthenticated: as `access_namespace`.
        PlanLimitReached: it would be a private repository too many.
    """
    namespace = await access_namespace(tx, actor, name)
    return await _create(tx, actor, namespace, name, is_private=is_private, plans=plans)


async def _create(
    tx: Transaction, actor: Actor, namespace: Namespace, name: RepositoryName, *, is_private: bool, plans: Plans
) -> bool:
    if is_private and await rows.get(tx, name, actor_id=None) is None:
        await check_private_repositories(tx, plans, namespace)
    if not await rows.insert(tx, namespace, name=name.name, is_private=is_private):
        return False
    privacy = "private" if is_private else "public"
    await audit.record(tx, actor, AuditAction.REPO_CREATE, account_id=namespace.id, name=str(name), privacy=privacy)
    return True


async def add_collaborator(
    tx: Transaction, *, actor: Actor, name: RepositoryName, user: Account, permission: Permission
) -> None:
    """Give a user a permission on a repository, in place of the one they had.

    Raises:
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.ADMIN)
    if not await rows.put_collaborator(tx, repository_id=repository.id, account_id=user.id, permission=permission):
        return
    await audit.record(
        tx,
        actor,
        AuditAction.REPO_COLLABORATOR_ADD,
        account_id=repository.namespace_id,
        name=str(name),
        user=user.name,
        permission=permission,
    )
