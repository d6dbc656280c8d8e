"""Statements on organizations. They hold no rules."""

import msgspec

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import ListedOrganization, Namespace, Organization


class _Name(msgspec.Struct, frozen=True):
    name: str


async def get(tx: Transaction, name: str, *, actor_id: int | None) -> Organization | None:
    """An active organization by name, with the role that an actor has in it."""
    return await tx.one(
        Organization,
        """
        select accounts.id, accounts.uuid, accounts.name, accounts.plan, organization_members.role
        from accounts
        left join organization_members
            on organization_members.organization_id = accounts.id
            and organization_members.account_id = cast(:actor_id as bigint)
        where accounts.name = :name and accounts.kind = 'organization' and accounts.is_active
        """,
        name=name,
        actor_id=actor_id,
    )


async def get_namespace(tx: Transaction, name: str, *, actor_id: int | None) -> Namespace | None:
    """An account by name, with the role that an actor has in it."""
    return await tx.one(
        Namespace,
        """
        select accounts.id, accounts.name, accounts.kind, accounts.is_active, accounts.plan,
            organization_members.role
        from accounts
        left join organization_members
            on organization_members.organization_id = accounts.id
            and organization_members.account_id = cast(:actor_id as bigint)
        where accounts.name = :name
        """,
        name=name,
        actor_id=actor_id,
    )


async def list_page(tx: Transaction, *, after: str, limit: int) -> list[ListedOrganization]:
    """Organizations by name, those behind `after`."""
    return await tx.many(
        ListedOrganization,
        """
        select uuid, name, plan, badge, is_active, created_at,
            (select count(*) from organization_members where organization_id = accounts.id) as member_count
        from accounts
        where kind = 'organization' and name > :after order by name limit :limit
        """,
        after=after,
        limit=limit,
    )


async def list_namespaces(tx: Transaction, *, account_id: int, roles: list[str]) -> list[str]:
    """Names of an account, and of the active organizations in which it has one of some roles."""
    found = await tx.many(
        _Name,
        """
        select name from accounts where is_active and (id = :account_id or id in (
            select organization_id from organization_members where account_id = :account_id and role in (:roles...text)
        )) order by name limit 10000
        """,
        account_id=account_id,
        roles=roles,
    )
    return [row.name for row in found]
