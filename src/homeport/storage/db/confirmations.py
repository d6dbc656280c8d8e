"""Statements on links in mails, and on what somebody has asked to be mailed. They hold no rules."""

from datetime import datetime
from typing import Any

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Confirmation, MailRequest, Purpose

_REQUEST_COLUMNS = "id, purpose, account_id, identifier, name, full_name, address, user_agent, created_at"
_COLUMNS = """id, purpose, account_id, credentials_version, email, name, full_name, secret_sha256, created_at,
    expires_at, used_at"""


async def insert_request(
    tx: Transaction,
    *,
    purpose: Purpose,
    account_id: int | None,
    identifier: str,
    name: str,
    full_name: str,
    address: str,
    user_agent: str,
) -> None:
    await tx.run(
        """
        insert into mail_requests (purpose, account_id, identifier, name, full_name, address, user_agent, created_at)
        values (:purpose, :account_id, :identifier, :name, :full_name, :address, :user_agent, :now)
        """,
        purpose=purpose,
        account_id=account_id,
        identifier=identifier,
        name=name,
        full_name=full_name,
        address=address,
        user_agent=user_agent,
        now=utcnow(),
    )


async def next_request(tx: Transaction) -> int | None:
    """The id of the request that waits longest."""
    return await tx.value(int, "select id from mail_requests order by id limit 1")


async def take_request(tx: Transaction, id_: int) -> MailRequest | None:
    """Take a request away; None if somebody else has."""
    return await tx.one(MailRequest, f"delete from mail_requests where id = :id returning {_REQUEST_COLUMNS}", id=id_)


async def insert(tx: Transaction, confirmation: Confirmation) -> None:
    values: dict[str, Any] = msgspec.structs.asdict(confirmation)
    await tx.run(
        f"""
        insert into confirmations ({_COLUMNS})
        values (:id, :purpose, :account_id, :credentials_version, :email, :name, :full_name, :secret_sha256,
            :created_at, :expires_at, :used_at)
        """,
        **values,
    )


async def get(tx: Transaction, id_: str) -> Confirmation | None:
    return await tx.one(Confirmation, f"select {_COLUMNS} from confirmations where id = :id", id=id_)


async def is_any_since(tx: Transaction, *, email: str, purpose: Purpose, since: datetime) -> bool:
    """Whether a (lower-case) address has been sent a link of a purpose since a time."""
    found = await tx.value(
        int,
        """
        select 1 from confirmations
        where lower(email) = :email and purpose = :purpose and created_at > :since
        order by created_at limit 1
        """,
        email=email,
        purpose=purpose,
        since=since,
    )
    return found is not None


async def use(tx: Transaction, id_: str, *, now: datetime) -> bool:
    """Have a link be used; whether it was not before."""
    return bool(
        await tx.run("update confirmations set used_at = :now where id = :id and used_at is null", id=id_, now=now)
    )


async def delete_of(tx: Transaction, account_id: int) -> None:
    """Forget the links of an account that were not used."""
    await tx.run("delete from confirmations where account_id = :account_id and used_at is null", account_id=account_id)


async def delete_old(tx: Transaction, *, before: datetime, limit: int) -> int:
    return await tx.run(
        """
        delete from confirmations
        where id in (select id from confirmations where created_at < :before order by created_at limit :limit)
        """,
        before=before,
        limit=limit,
    )
