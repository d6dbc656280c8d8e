"""Statements on the tokens of identity providers. They hold no rules."""

from datetime import timedelta

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ScimOrganization, ScimToken

USED_WITHIN = timedelta(minutes=1)
"""How exact `last_used_at` is: a provider that sends a thousand requests is written down once."""

_COLUMNS = "organization_id, created_by, created_at, last_used_at"


async def insert(tx: Transaction, *, organization_id: int, secret_sha256: str, created_by: str) -> ScimToken | None:
    """Insert an organization's token; None if it has one."""
    return await tx.one(
        ScimToken,
        f"""
        insert into scim_tokens (organization_id, secret_sha256, created_by, created_at)
        values (:organization_id, :secret_sha256, :created_by, :now)
        on conflict do nothing
        returning {_COLUMNS}
        """,
        organization_id=organization_id,
        secret_sha256=secret_sha256,
        created_by=created_by,
        now=utcnow(),
    )


async def renew(tx: Transaction, *, organization_id: int, secret_sha256: str, created_by: str) -> ScimToken | None:
    """Give an organization's token another secret; None if it has no token."""
    return await tx.one(
        ScimToken,
        f"""
        update scim_tokens set secret_sha256 = :secret_sha256, created_by = :created_by, created_at = :now,
            last_used_at = null
        where organization_id = :organization_id
        returning {_COLUMNS}
        """,
        organization_id=organization_id,
        secret_sha256=secret_sha256,
        created_by=created_by,
        now=utcnow(),
    )


async def delete(tx: Transaction, *, organization_id: int) -> bool:
    """Whether there was a token."""
    return bool(
        await tx.run(
            "delete from scim_tokens where organization_id = :organization_id", organization_id=organization_id
        )
    )


async def get(tx: Transaction, *, organization_id: int) -> ScimToken | None:
    return await tx.one(
        ScimToken,
        f"select {_COLUMNS} from scim_tokens where organization_id = :organization_id",
        organization_id=organization_id,
    )


async def get_organization(tx: Transaction, *, secret_sha256: str) -> ScimOrganization | None:
    """The organization whose token has this secret, unless it is shut; nobody has a role in it here."""
    return await tx.one(
        ScimOrganization,
        """
        select accounts.id, accounts.uuid, accounts.name, accounts.plan, cast(null as text) as role,
            scim_tokens.last_used_at
        from scim_tokens join accounts on accounts.id = scim_tokens.organization_id
        where scim_tokens.secret_sha256 = :secret_sha256 and accounts.is_active
        """,
        secret_sha256=secret_sha256,
    )


async def set_last_used(tx: Transaction, *, organization_id: int) -> None:
    await tx.run(
        "update scim_tokens set last_used_at = :now where organization_id = :organization_id",
        organization_id=organization_id,
        now=utcnow(),
    )
