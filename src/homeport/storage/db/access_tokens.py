"""Statements on access tokens, of users and of organizations. They hold no rules."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import AccessToken, AccessTokenCounts

_COLUMNS = """id, uuid, account_id, label, scopes, is_active, created_at, expires_at, expires_at_text, last_used_at,
    creator_ip, creator_ua, generated_by, description, created_by, grants, address_ranges, can_derive, parent_id"""


async def insert(
    tx: Transaction,
    *,
    account_id: int,
    label: str,
    secret_sha256: str,
    expires_at: datetime | None,
    expires_at_text: str | None,
    creator_ip: str,
    creator_ua: str,
    scopes: str = "[]",
    description: str = "",
    created_by: str = "",
    grants: str | None = None,
    address_ranges: str = "[]",
    can_derive: bool = False,
    parent_id: int | None = None,
    generated_by: str = "manual",
) -> AccessToken:
    token = await tx.one(
        AccessToken,
        f"""
        insert into access_tokens (uuid, account_id, label, secret_sha256, scopes, created_at, expires_at,
            expires_at_text, creator_ip, creator_ua, description, created_by, grants, address_ranges, can_derive,
            parent_id, generated_by)
        values (:uuid, :account_id, :label, :secret_sha256, :scopes, :now, :expires_at,
            :expires_at_text, :creator_ip, :creator_ua, :description, :created_by, :grants, :address_ranges,
            :can_derive, :parent_id, :generated_by)
        returning {_COLUMNS}
        """,
        uuid=str(uuid4()),
        account_id=account_id,
        label=label,
        secret_sha256=secret_sha256,
        scopes=scopes,
        now=utcnow(),
        expires_at=expires_at,
        expires_at_text=expires_at_text,
        creator_ip=creator_ip,
        creator_ua=creator_ua,
        description=description,
        created_by=created_by,
        grants=grants,
        address_ranges=address_ranges,
        can_derive=can_derive,
        parent_id=parent_id,
        generated_by=generated_by,
    )
    assert token is not None
    return token


async def get(tx: Transaction, *, account_id: int, uuid: str) -> AccessToken | None:
    return await tx.one(
        AccessToken,
        f"select {_COLUMNS} from access_tokens where uuid = :uuid and account_id = :account_id",
        account_id=account_id,
        uuid=uuid,
    )


# A token and those above it: what it was derived from, and so on.
_LINEAGE = """
    with recursive lineage as (
        select access_tokens.*, 0 as depth from access_tokens where {condition}
        union all
        select parents.*, lineage.depth + 1 as depth
        from lineage join access_tokens as parents on parents.id = lineage.parent_id
    )
    select {columns} from lineage order by depth
    """


async def list_lineage(tx: Transaction, *, account_id: int, uuid: str) -> list[AccessToken]:
    """A token, and behind it what it was derived from; empty if there is no such token."""
    condition = "uuid = :uuid and account_id = :account_id"
    sql = _LINEAGE.format(condition=condition, columns=_COLUMNS)
    return await tx.many(AccessToken, sql, account_id=account_id, uuid=uuid)


async def list_lineage_by_secret(tx: Transaction, secret_sha256: str) -> list[AccessToken]:
    """As `list_lineage`, by the secret."""
    sql = _LINEAGE.format(condition="secret_sha256 = :secret_sha256", columns=_COLUMNS)
    return await tx.many(AccessToken, sql, secret_sha256=secret_sha256)


async def list_derived(tx: Transaction, token_id: int) -> list[AccessToken]:
    """All that has been derived from a token, and from that, the oldest first."""
    return await tx.many(
        AccessToken,
        f"""
        with recursive derived as (
            select access_tokens.* from access_tokens where parent_id = :id
            union all
            select children.* from derived join access_tokens as children on children.parent_id = derived.id
        )
        select {_COLUMNS} from derived order by id
        """,
        id=token_id,
    )


async def list_page(tx: Transaction, *, account_id: int, offset: int, limit: int) -> list[AccessToken]:
    """Tokens of an account, the newest first."""
    return await tx.many(
        AccessToken,
        f"""
        select {_COLUMNS} from access_tokens where account_id = :account_id
        order by id desc limit :limit offset :offset
        """,
        account_id=account_id,
        offset=offset,
        limit=limit,
    )


async def list_generated(tx: Transaction, *, account_id: int, generated_by: str) -> list[AccessToken]:
    """Tokens of an account that were not made by hand, the newest first; the caller bounds their number."""
    return await tx.many(
        AccessToken,
        f"""
        select {_COLUMNS} from access_tokens where account_id = :account_id and generated_by = :generated_by
        order by id desc
        """,
        account_id=account_id,
        generated_by=generated_by,
    )


async def count(tx: Transaction, *, account_id: int) -> AccessTokenCounts:
    """How many tokens an account has, and how many of them work now."""
    counts = await tx.one(
        AccessTokenCounts,
        """
        select count(*) as total,
            coalesce(sum(case when is_active and (expires_at is null or expires_at > :now) then 1 else 0 end), 0)
                as active
        from access_tokens where account_id = :account_id
        """,
        account_id=account_id,
        now=utcnow(),
    )
    assert counts is not None
    return counts


async def update(tx: Transaction, token: AccessToken) -> AccessToken | None:
    """Write what may be changed of a token: label, description, grants, and whether it works."""
    return await tx.one(
        AccessToken,
        f"""
        update access_tokens set label = :label, description = :description, grants = :grants, is_active = :is_active
        where id = :id
        returning {_COLUMNS}
        """,
        id=token.id,
        label=token.label,
        description=token.description,
        grants=token.grants,
        is_active=token.is_active,
    )


async def delete(tx: Transaction, *, account_id: int, uuid: str) -> bool:
    return bool(
        await tx.run(
            "delete from access_tokens where uuid = :uuid and account_id = :account_id",
            account_id=account_id,
            uuid=uuid,
        )
    )


async def delete_all(tx: Transaction, *, account_id: int) -> list[AccessToken]:
    """Delete the tokens of an account; what they were."""
    return await tx.many(
        AccessToken,
        f"delete from access_tokens where account_id = :account_id returning {_COLUMNS}",
        account_id=account_id,
    )


async def set_last_used(tx: Transaction, uses: Mapping[int, datetime]) -> None:
    """Write down when tokens were used last: id → time."""
    for token_id, used_at in sorted(uses.items()):
        await tx.run(
            """
            update access_tokens set last_used_at = :used_at
            where id = :id and (last_used_at is null or last_used_at < :used_at)
            """,
            id=token_id,
            used_at=used_at,
        )
