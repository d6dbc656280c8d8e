"""Statements on organizations. They hold no rules."""

import msgspec

from homeport.storage.db.accounts import ACCOUNT_PROFILE
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import ListedOrganization, Namespace, Organization, OrganizationOfUser


class NamedAccount(msgspec.Struct, frozen=True):
    id: int
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


async def list_namespaces(tx: Transaction, *, account_id: int, roles: list[str]) -> list[NamedAccount]:
    """An account, and the active organizations in which it has one of some roles, by name."""
    return await tx.many(
        NamedAccount,
        """
        select id, name from accounts where is_active and (id = :account_id or id in (
            select organization_id from organization_members where account_id = :account_id and role in (:roles...text)
        )) order by name limit 10000
        """,
        account_id=account_id,
        roles=roles,
    )


# Where only those are to be listed in which another one is a member, too.
_SHARED = """
    and exists (
        select 1 from organization_members as shared
        where shared.organization_id = organization_members.organization_id and shared.account_id = :actor_id
    )
    """


async def count_of_user(tx: Transaction, account_id: int, *, shared_with: int | None) -> int:
    """How many organizations a user is in; only those that another account is in as well, if one is given."""
    found = await tx.value(
        int,
        f"""
        select count(*) from organization_members
        where account_id = :account_id {_SHARED if shared_with is not None else ""}
        """,
        account_id=account_id,
        actor_id=shared_with,
    )
    return found or 0


async def list_of_user(
    tx: Transaction, account_id: int, *, shared_with: int | None, offset: int, limit: int
) -> list[OrganizationOfUser]:
    """The organizations of a user, the oldest first, as `count_of_user` counts them."""
    return await tx.many(
        OrganizationOfUser,
        f"""
        select {ACCOUNT_PROFILE}, accounts.id, accounts.plan, page.role,
            (select count(*) from teams where teams.organization_id = accounts.id) as team_count
        from (
            select organization_id, role from organization_members
            where account_id = :account_id {_SHARED if shared_with is not None else ""}
            order by organization_id limit :limit offset :offset
        ) as page join accounts on accounts.id = page.organization_id
        order by page.organization_id
        """,
        account_id=account_id,
        actor_id=shared_with,
        offset=offset,
        limit=limit,
    )
