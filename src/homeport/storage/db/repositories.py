"""Statements on repositories. They hold no rules: whoever calls has been let in already."""

import msgspec

from homeport.names import RepositoryName
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Namespace, Permission, Repository


async def get(tx: Transaction, name: RepositoryName, *, actor_id: int | None) -> Repository | None:
    """A repository of an active namespace, with all that has been granted to an actor on it and what bars them."""
    return await tx.one(
        Repository,
        """
        select repositories.id, repositories.namespace_id, accounts.name as namespace, repositories.name,
            repositories.is_private,
            (select role from organization_members
                where organization_id = accounts.id and account_id = :actor_id) as role,
            (select permission from repository_collaborators
                where repository_id = repositories.id and account_id = :actor_id) as collaborator_permission,
            (select permission from repository_teams
                join team_members on team_members.team_id = repository_teams.team_id
                where repository_id = repositories.id and team_members.account_id = :actor_id
                order by case permission when 'admin' then 1 when 'write' then 2 else 3 end limit 1)
                as team_permission,
            coalesce((select audits_pulls from organization_settings where organization_id = accounts.id), false)
                as audits_pulls,
            (select organizations.name from organization_members
                join organization_settings
                    on organization_settings.organization_id = organization_members.organization_id
                join accounts as organizations on organizations.id = organization_members.organization_id
                where organization_members.account_id = :actor_id and restricts_images and organizations.is_active
                    and not case accounts.badge when 'official' then allows_official_images
                        when 'verified_publisher' then allows_verified_publishers else false end
                order by organizations.name limit 1) as restricting_organization
        from accounts join repositories on repositories.namespace_id = accounts.id
        where accounts.name = :namespace and repositories.name = :name and accounts.is_active
        """,
        namespace=name.namespace,
        name=name.name,
        actor_id=actor_id,
    )


async def insert(tx: Transaction, namespace: Namespace, *, name: str, is_private: bool) -> bool:
    """Insert a repository; False if the namespace has one of that name."""
    # ON CONFLICT, not a look first: another push may create the name between SELECT and INSERT.
    return bool(
        await tx.run(
            """
            insert into repositories (namespace_id, name, is_private, created_at, updated_at)
            values (:namespace_id, :name, :is_private, :now, :now)
            on conflict (namespace_id, name) do nothing
            """,
            namespace_id=namespace.id,
            name=name,
            is_private=is_private,
            now=utcnow(),
        )
    )


class _Name(msgspec.Struct, frozen=True):
    namespace: str
    name: str


async def list_names_with_blob(tx: Transaction, *, digest: str) -> list[RepositoryName]:
    """Some repositories that see a blob: those that saw it first."""
    found = await tx.many(
        _Name,
        """
        select accounts.name as namespace, repositories.name
        from blobs
        join repository_blobs on blob_id = blobs.id
        join repositories on repositories.id = repository_id
        join accounts on accounts.id = namespace_id
        where digest = :digest order by repository_blobs.repository_id limit 20
        """,
        digest=digest,
    )
    return [RepositoryName(row.namespace, row.name) for row in found]


async def put_collaborator(tx: Transaction, *, repository_id: int, account_id: int, permission: Permission) -> bool:
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


async def delete_collaborator(tx: Transaction, *, namespace_id: int, account_id: int) -> None:
    """Take what an account was granted by itself on the repositories of a namespace."""
    await tx.run(
        """
        delete from repository_collaborators where account_id = :account_id
            and repository_id in (select id from repositories where namespace_id = :namespace_id)
        """,
        namespace_id=namespace_id,
        account_id=account_id,
    )


async def add_pulls(tx: Transaction, repository_id: int, pulls: int) -> None:
    await tx.run(
        "update repositories set pull_count = pull_count + :pulls where id = :id",
        id=repository_id,
        pulls=pulls,
    )


async def count_private(tx: Transaction, *, namespace_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from repositories where namespace_id = :namespace_id and is_private",
        namespace_id=namespace_id,
    )
    return found or 0
