"""Statements on invites. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Invite, InviteStatus, OrganizationRole

_COLUMNS = """invites.id, invites.organization_id, organizations.name as organization, inviters.name as inviter,
    invites.invitee, invites.account_id, invites.email, invites.team_id, teams.name as team, invites.role,
    invites.secret_sha256, invites.status, invites.created_at, invites.sent_at, invites.expires_at"""
_JOINED = """
    join accounts as organizations on organizations.id = invites.organization_id and organizations.is_active
    join accounts as inviters on inviters.id = invites.inviter_id
    left join teams on teams.id = invites.team_id
"""
_SELECT = f"select {_COLUMNS} from invites {_JOINED}"


class Invited(msgspec.Struct, frozen=True):
    """Whom a pending invite is for."""

    account_id: int | None
    email: str | None


class Cancelled(msgspec.Struct, frozen=True):
    """A pending invite that was cancelled: as it was written, and for which role."""

    invitee: str
    role: OrganizationRole


async def insert_all(tx: Transaction, invites: Sequence[Invite], *, inviter_id: int) -> None:
    """Insert invites by one inviter. The caller holds the organization's lock and knows that none is pending twice."""
    await tx.run_many(
        """
        insert into invites (id, organization_id, invitee, account_id, email, team_id, role, inviter_id, secret_sha256,
            status, created_at, sent_at, expires_at)
        values (:id, :organization_id, :invitee, :account_id, :email, :team_id, :role, :inviter_id, :secret_sha256,
            :status, :created_at, :sent_at, :expires_at)
        """,
        [{**msgspec.structs.asdict(invite), "inviter_id": inviter_id} for invite in invites],
    )


async def get(tx: Transaction, id_: str) -> Invite | None:
    """An invite into an active organization."""
    return await tx.one(Invite, f"{_SELECT} where invites.id = :id", id=id_)


async def list_pending(tx: Transaction, *, organization_id: int, now: datetime, limit: int) -> list[Invite]:
    """The open invites of an organization, the oldest first."""
    return await tx.many(
        Invite,
        f"""
        {_SELECT}
        where invites.organization_id = :organization_id and invites.status = 'pending' and invites.expires_at > :now
        order by invites.created_at, invites.id limit :limit
        """,
        organization_id=organization_id,
        now=now,
        limit=limit,
    )


async def list_pending_of(
    tx: Transaction, *, account_id: int, email: str | None, now: datetime, limit: int
) -> list[Invite]:
    """The open invites of an account, or of an address that had no account when it was invited; oldest first."""
    # A cross join: SQLite keeps its order, and begins with the few.
    return await tx.many(
        Invite,
        f"""
        select {_COLUMNS} from (
            select id from invites where account_id = :account_id and status = 'pending'
            union
            select id from invites
            where lower(email) = cast(:email as text) and status = 'pending' and account_id is null
        ) as own
        cross join invites {_JOINED}
        where invites.id = own.id and invites.expires_at > :now
        order by invites.created_at, invites.id limit :limit
        """,
        account_id=account_id,
        email=email,
        now=now,
        limit=limit,
    )


async def list_invited(
    tx: Transaction, *, organization_id: int, account_ids: Sequence[int], emails: Sequence[str], now: datetime
) -> list[Invited]:
    """Who of these accounts and (lower-case) addresses has an open invite; one each at most."""
    return await tx.many(
        Invited,
        """
        select account_id, email from invites
        where organization_id = :organization_id and status = 'pending' and expires_at > :now
            and account_id in (:account_ids...bigint)
        union
        select account_id, email from invites
        where organization_id = :organization_id and status = 'pending' and expires_at > :now
            and lower(email) in (:emails...text)
        """,
        organization_id=organization_id,
        account_ids=list(account_ids),
        emails=list(emails),
        now=now,
    )


async def count_pending(tx: Transaction, *, organization_id: int, now: datetime) -> int:
    found = await tx.value(
        int,
        """
        select count(*) from invites
        where organization_id = :organization_id and status = 'pending' and expires_at > :now
        """,
        organization_id=organization_id,
        now=now,
    )
    return found or 0


async def expire(tx: Transaction, *, organization_id: int, now: datetime) -> int:
    """Close what has expired in an organization, so that the same people can be invited again."""
    return await tx.run(
        """
        update invites set status = 'expired', closed_at = expires_at
        where organization_id = :organization_id and status = 'pending' and expires_at <= :now
        """,
        organization_id=organization_id,
        now=now,
    )


async def renew(tx: Transaction, id_: str, *, secret_sha256: str, sent_at: datetime, expires_at: datetime) -> None:
    """Give an invite a new secret and a new end."""
    await tx.run(
        """
        update invites set secret_sha256 = :secret_sha256, sent_at = :sent_at, expires_at = :expires_at
        where id = :id
        """,
        id=id_,
        secret_sha256=secret_sha256,
        sent_at=sent_at,
        expires_at=expires_at,
    )


async def close(
    tx: Transaction, id_: str, *, status: InviteStatus, now: datetime, account_id: int | None = None
) -> bool:
    """Close a pending invite, and bind it to the account that did; whether it was pending."""
    return bool(
        await tx.run(
            """
            update invites set status = :status, closed_at = :now,
                account_id = coalesce(cast(:account_id as bigint), account_id)
            where id = :id and status = 'pending'
            """,
            id=id_,
            status=status,
            account_id=account_id,
            now=now,
        )
    )


async def cancel_of(tx: Transaction, *, organization_id: int, account_id: int, now: datetime) -> list[Cancelled]:
    """Cancel what an account could accept in an organization: invites of the account, and of its address; two at
    most.
    """
    return await tx.many(
        Cancelled,
        """
        update invites set status = 'cancelled', closed_at = :now
        where organization_id = :organization_id and status = 'pending' and (
            account_id = :account_id
            or account_id is null and lower(email) = (select lower(email) from accounts where id = :account_id)
        )
        returning invitee, role
        """,
        organization_id=organization_id,
        account_id=account_id,
        now=now,
    )
