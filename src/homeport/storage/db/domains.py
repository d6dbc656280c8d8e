"""Statements on the domains of organizations. They hold no rules."""

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Domain

_COLUMNS = "id, organization_id, name, created_at, verified_at"


async def insert(tx: Transaction, *, organization_id: int, name: str) -> Domain | None:
    """Insert a domain; None if the organization has it."""
    return await tx.one(
        Domain,
        f"""
        insert into organization_domains (organization_id, name, created_at) values (:organization_id, :name, :now)
        on conflict (organization_id, name) do nothing
        returning {_COLUMNS}
        """,
        organization_id=organization_id,
        name=name,
        now=utcnow(),
    )


async def get(tx: Transaction, *, organization_id: int, name: str) -> Domain | None:
    return await tx.one(
        Domain,
        f"select {_COLUMNS} from organization_domains where organization_id = :organization_id and name = :name",
        organization_id=organization_id,
        name=name,
    )


async def get_verified(tx: Transaction, *, name: str) -> Domain | None:
    """The domain as the one organization has it for which it is verified."""
    return await tx.one(
        Domain,
        f"select {_COLUMNS} from organization_domains where name = :name and verified_at is not null",
        name=name,
    )


async def count(tx: Transaction, *, organization_id: int) -> int:
    found = await tx.value(
        int,
        "select count(*) from organization_domains where organization_id = :organization_id",
        organization_id=organization_id,
    )
    return found or 0


async def list_page(tx: Transaction, *, organization_id: int, offset: int, limit: int) -> list[Domain]:
    """An organization's domains by name."""
    return await tx.many(
        Domain,
        f"""
        select {_COLUMNS} from organization_domains
        where organization_id = :organization_id order by name limit :limit offset :offset
        """,
        organization_id=organization_id,
        offset=offset,
        limit=limit,
    )


async def set_verified(tx: Transaction, domain: Domain) -> Domain:
    verified = await tx.one(
        Domain,
        f"update organization_domains set verified_at = :now where id = :id returning {_COLUMNS}",
        id=domain.id,
        now=utcnow(),
    )
    return verified or domain


async def delete(tx: Transaction, *, organization_id: int, name: str) -> bool:
    """Whether the organization had it."""
    return bool(
        await tx.run(
            "delete from organization_domains where organization_id = :organization_id and name = :name",
            organization_id=organization_id,
            name=name,
        )
    )


async def list_verified(tx: Transaction, *, organization_id: int, limit: int) -> list[Domain]:
    """The domains of an organization that have been verified, by name."""
    return await tx.many(
        Domain,
        f"""
        select {_COLUMNS} from organization_domains
        where organization_id = :organization_id and verified_at is not null order by name limit :limit
        """,
        organization_id=organization_id,
        limit=limit,
    )
