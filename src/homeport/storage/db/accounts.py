"""Statements on accounts, revocations and signing keys. They hold no rules."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import (
    Account,
    AccountKind,
    AccountProfile,
    Badge,
    PlanName,
    Revocation,
    SigningKey,
)

_COLUMNS = """id, uuid, name, kind, email, full_name, password_hash, credentials_version, is_active, is_site_admin,
    plan, badge, managing_organization_id, created_at"""

REVOCATIONS_LIMIT = 10_000
SEEN_WITHIN = timedelta(minutes=1)
"""How exact `last_seen_at` is: a busy client is not written down every two seconds."""

PROFILE = """accounts.uuid, accounts.name, accounts.full_name, accounts.email, accounts.location, accounts.company,
    accounts.profile_url, accounts.gravatar_email, accounts.created_at"""
"""The columns of a `Profile`."""

ACCOUNT_PROFILE = f"{PROFILE}, accounts.kind, accounts.badge, accounts.is_active, accounts.is_site_admin"
"""The columns of an `AccountProfile`."""


async def insert(
    tx: Transaction,
    *,
    name: str,
    kind: AccountKind,
    email: str | None = None,
    full_name: str = "",
    password_hash: str | None = None,
    is_site_admin: bool = False,
    badge: Badge = Badge.NONE,
) -> Account | None:
    """Insert an account; None if the name or the e-mail address is taken."""
    return await tx.one(
        Account,
        f"""
        insert into accounts (uuid, name, kind, email, full_name, password_hash, is_site_admin, badge, created_at)
        values (:uuid, :name, :kind, :email, :full_name, :password_hash, :is_site_admin, :badge, :now)
        on conflict do nothing
        returning {_COLUMNS}
        """,
        uuid=str(uuid4()),
        name=name,
        kind=kind,
        email=email,
        full_name=full_name,
        password_hash=password_hash,
        is_site_admin=is_site_admin,
        badge=badge,
        now=utcnow(),
    )


async def get(tx: Transaction, name: str) -> Account | None:
    return await tx.one(Account, f"select {_COLUMNS} from accounts where name = :name", name=name)


async def get_by_uuid(tx: Transaction, uuid: str) -> Account | None:
    return await tx.one(Account, f"select {_COLUMNS} from accounts where uuid = :uuid", uuid=uuid)


async def get_by_id(tx: Transaction, id_: int) -> Account | None:
    return await tx.one(Account, f"select {_COLUMNS} from accounts where id = :id", id=id_)


async def get_profile(tx: Transaction, name: str) -> AccountProfile | None:
    return await tx.one(AccountProfile, f"select {ACCOUNT_PROFILE} from accounts where name = :name", name=name)


async def list_named(tx: Transaction, names: Sequence[str]) -> list[Account]:
    """Accounts of these names; the caller bounds their number."""
    return await tx.many(Account, f"select {_COLUMNS} from accounts where name in (:names...text)", names=list(names))


async def list_with_email(tx: Transaction, emails: Sequence[str]) -> list[Account]:
    """Accounts of these (lower-case) addresses; the caller bounds their number."""
    return await tx.many(
        Account, f"select {_COLUMNS} from accounts where lower(email) in (:emails...text)", emails=list(emails)
    )


async def list_users(tx: Transaction, *, after: str, limit: int) -> list[Account]:
    """Users by name, those behind `after`."""
    return await tx.many(
        Account,
        f"""
        select {_COLUMNS} from accounts
        where kind = 'user' and name > :after order by name limit :limit
        """,
        after=after,
        limit=limit,
    )


async def set_profile(
    tx: Transaction, account_id: int, *, full_name: str, location: str, company: str, profile_url: str
) -> None:
    await tx.run(
        """
        update accounts
        set full_name = :full_name, location = :location, company = :company, profile_url = :profile_url
        where id = :id
        """,
        id=account_id,
        full_name=full_name,
        location=location,
        company=company,
        profile_url=profile_url,
    )


async def set_password(tx: Transaction, account: Account, password_hash: str) -> None:
    """Set a password and make what was issued under the old one void."""
    await tx.run(
        """
        update accounts set password_hash = :password_hash, credentials_version = credentials_version + 1
        where id = :id
        """,
        id=account.id,
        password_hash=password_hash,
    )


async def change_password(tx: Transaction, account: Account, password_hash: str) -> Account | None:
    """Set a password and make what was issued under the old one void; None if something else has done so since the
    account was read.
    """
    return await tx.one(
        Account,
        f"""
        update accounts set password_hash = :password_hash, credentials_version = credentials_version + 1
        where id = :id and credentials_version = :version and is_active
        returning {_COLUMNS}
        """,
        id=account.id,
        version=account.credentials_version,
        password_hash=password_hash,
    )


async def set_active(tx: Transaction, account: Account, *, is_active: bool) -> None:
    """Let an account in or shut it out; either way what was issued before is void."""
    await tx.run(
        """
        update accounts set is_active = :is_active, credentials_version = credentials_version + 1
        where id = :id
        """,
        id=account.id,
        is_active=is_active,
    )


async def set_managing_organization(tx: Transaction, account_id: int, organization_id: int | None) -> None:
    await tx.run(
        "update accounts set managing_organization_id = :organization_id where id = :id",
        id=account_id,
        organization_id=organization_id,
    )


async def release_absent(tx: Transaction, account_id: int) -> None:
    """Have nobody manage an account that is not in the directory of the organization that does."""
    await tx.run(
        """
        update accounts set managing_organization_id = null where id = :id and not exists (
            select 1 from scim_users s
            where s.account_id = accounts.id and s.organization_id = accounts.managing_organization_id
        )
        """,
        id=account_id,
    )


async def set_full_name(tx: Transaction, account_id: int, full_name: str) -> None:
    await tx.run("update accounts set full_name = :full_name where id = :id", id=account_id, full_name=full_name)


async def set_email(tx: Transaction, account_id: int, email: str) -> bool:
    """Give an account another address; False if somebody else has it."""
    return bool(
        await tx.run(
            """
            update accounts set email = :email where id = :id and not exists (
                select 1 from accounts other where lower(other.email) = lower(:email) and other.id <> :id
            )
            """,
            id=account_id,
            email=email,
        )
    )


async def set_plan(tx: Transaction, account_id: int, plan: PlanName) -> None:
    await tx.run("update accounts set plan = :plan where id = :id", id=account_id, plan=plan)


async def set_badge(tx: Transaction, account_id: int, badge: Badge) -> None:
    await tx.run("update accounts set badge = :badge where id = :id", id=account_id, badge=badge)


async def renew_credentials(tx: Transaction, account_id: int) -> Account:
    """Make what was issued under the password until now void; the account as it is then."""
    account = await tx.one(
        Account,
        f"""
        update accounts set credentials_version = credentials_version + 1 where id = :id
        returning {_COLUMNS}
        """,
        id=account_id,
    )
    assert account is not None
    return account


async def set_last_seen(tx: Transaction, moments: Mapping[int, datetime]) -> None:
    """Write down when accounts were seen last, id → time; what stands there already may be `SEEN_WITHIN` old."""
    await tx.run_many(
        """
        update accounts set last_seen_at = :seen_at
        where id = :id and (last_seen_at is null or last_seen_at < :outdated)
        """,
        [
            {"id": account_id, "seen_at": seen_at, "outdated": seen_at - SEEN_WITHIN}
            for account_id, seen_at in moments.items()
        ],
    )


async def set_last_logged_in(tx: Transaction, moments: Mapping[int, datetime]) -> None:
    """Write down when accounts logged in last, id → time."""
    await tx.run_many(
        """
        update accounts set last_logged_in_at = :logged_in_at
        where id = :id and (last_logged_in_at is null or last_logged_in_at < :logged_in_at)
        """,
        [{"id": account_id, "logged_in_at": moment} for account_id, moment in moments.items()],
    )


async def set_last_desktop_version(tx: Transaction, versions: Mapping[int, str]) -> None:
    """Write down with which Docker Desktop accounts logged in last, id → version."""
    await tx.run_many(
        "update accounts set last_desktop_version = :version where id = :id and last_desktop_version <> :version",
        [{"id": account_id, "version": version} for account_id, version in versions.items()],
    )


async def insert_revocation(tx: Transaction, account_id: int) -> None:
    await tx.run(
        "insert into revocations (account_id, created_at) values (:account_id, :now)",
        account_id=account_id,
        now=utcnow(),
    )


async def list_revocations(tx: Transaction, *, since: datetime) -> list[Revocation]:
    """Revocations of the last moments, `REVOCATIONS_LIMIT` at most; the caller keeps `since` close to now."""
    return await tx.many(
        Revocation,
        "select id, account_id from revocations where created_at >= :since order by id limit :limit",
        since=since,
        limit=REVOCATIONS_LIMIT,
    )


async def delete_revocations(tx: Transaction, *, before: datetime) -> int:
    return await tx.run("delete from revocations where created_at < :before", before=before)


async def insert_signing_key(tx: Transaction, key: SigningKey) -> None:
    await tx.run(
        "insert into signing_keys (kid, private_key, created_at) values (:kid, :private_key, :now)",
        kid=key.kid,
        private_key=key.private_key,
        now=utcnow(),
    )


async def list_signing_keys(tx: Transaction) -> list[SigningKey]:
    """All keys, the newest first: it signs, the others still verify."""
    return await tx.many(
        SigningKey, "select kid, private_key from signing_keys order by created_at desc, kid limit 100"
    )


class _Named(msgspec.Struct, frozen=True):
    id: int
    name: str


async def list_ids(tx: Transaction, names: Collection[str]) -> dict[str, int]:
    """Ids of active accounts, by name."""
    found = await tx.many(
        _Named, "select id, name from accounts where name in (:names...text) and is_active", names=sorted(names)
    )
    return {row.name: row.id for row in found}
