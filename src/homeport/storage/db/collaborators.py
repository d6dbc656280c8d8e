"""Statements on collaborators: who was given a permission on a repository by themselves. They hold no rules."""

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Collaborator, Permission


async def put(tx: Transaction, *, repository_id: int, account_id: int, permission: Permission) -> bool:
    """Whether it was not so already."""
    return bool(
        await tx.run(
            """
            insert into repository_collaborators (repository_id, account_id, permission, created_at)
            values (:repository_id, :account_id, :permission, :now)
            on conflict (repository_id, account_id) do update set permission = excluded.permission
                where repository_collaborators.permission <> excluded.permission
            """,
            repository_id=repository_id,
            account_id=account_id,
            permission=permission,
            now=utcnow(),
        )
    )


async def delete_of_namespace(tx: Transaction, *, namespace_id: int, account_id: int) -> None:
    """Take what an account was granted by itself on the repositories of a namespace."""
    await tx.run(
        """
        delete from repository_collaborators where account_id = :account_id
            and repository_id in (select id from repositories where namespace_id = :namespace_id)
        """,
        namespace_id=namespace_id,
        account_id=account_id,
    )


async def get(tx: Transaction, *, repository_id: int, account_id: int) -> Permission | None:
    return await tx.value(
        Permission,
        """
        select permission from repository_collaborators
        where repository_id = :repository_id and account_id = :account_id
        """,
        repository_id=repository_id,
        account_id=account_id,
    )


async def delete(tx: Transaction, *, repository_id: int, account_id: int) -> bool:
    """Whether the account was a collaborator."""
    return bool(
        await tx.run(
            """
            delete from repository_collaborators
            where repository_id = :repository_id and account_id = :account_id
            """,
            repository_id=repository_id,
            account_id=account_id,
        )
    )


async def count(tx: Transaction, *, repository_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from repository_collaborators where repository_id = :repository_id",
        repository_id=repository_id,
    )
    return found or 0


async def list_page(tx: Transaction, *, repository_id: int, offset: int, limit: int) -> list[Collaborator]:
    """The collaborators of a repository, in the order of their accounts' ids."""
    return await tx.many(
        Collaborator,
        """
        select accounts.name, repository_collaborators.permission
        from repository_collaborators join accounts on accounts.id = repository_collaborators.account_id
        where repository_collaborators.repository_id = :repository_id
        order by repository_collaborators.account_id limit :limit offset :offset
        """,
        repository_id=repository_id,
        offset=offset,
        limit=limit,
    )
