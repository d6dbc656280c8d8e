"""Statements on organizations and their members. They hold no rules."""

from collections.abc import Sequence

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Namespace, Organization, OrganizationRole


class MemberId(msgspec.Struct, frozen=True):
    account_id: int


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


async def put_member(tx: Transaction, *, organization_id: int, account_id: int, role: OrganizationRole) -> None:
    """Add a member, or change the role of one."""
    await tx.run(
        """
        insert into organization_members (organization_id, account_id, role, created_at)
        values (:organization_id, :account_id, :role, :now)
        on conflict (organization_id, account_id) do update set role = excluded.role
        """,
        organization_id=organization_id,
        account_id=account_id,
        role=role,
        now=utcnow(),
    )


async def get_role(tx: Transaction, *, organization_id: int, account_id: int) -> OrganizationRole | None:
    return await tx.value(
        OrganizationRole,
        """
        select role from organization_members
        where organization_id = :organization_id and account_id = :account_id
        """,
        organization_id=organization_id,
        account_id=account_id,
    )


async def list_members_among(tx: Transaction, *, organization_id: int, account_ids: Sequence[int]) -> list[MemberId]:
    """Which of these accounts are members; the caller bounds their number."""
    return await tx.many(
        MemberId,
        """
        select account_id from organization_members
        where organization_id = :organization_id and account_id in (:account_ids...bigint)
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
    )


async def count_owners(tx: Transaction, *, organization_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from organization_members where organization_id = :organization_id and role = 'owner'",
        organization_id=organization_id,
    )
    return found or 0


async def count_members(tx: Transaction, *, organization_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from organization_members where organization_id = :organization_id",
        organization_id=organization_id,
    )
    return found or 0
