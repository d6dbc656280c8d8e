"""Statements on the outbox. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction, from_microseconds
from homeport.storage.db.records import Mail

_COLUMNS = "id, recipient, subject, body, created_at, due_at, attempts, last_error, sent_at"


class NewMail(msgspec.Struct, frozen=True):
    """A mail to be sent: one recipient, plain text."""

    recipient: str
    subject: str
    body: str


class Recipient(msgspec.Struct, frozen=True):
    address: str


async def insert_all(tx: Transaction, mails: Sequence[NewMail], *, now: datetime) -> None:
    """Put mails into the outbox, due at once."""
    await tx.run_many(
        """
        insert into mails (recipient, subject, body, created_at, due_at)
        values (:recipient, :subject, :body, :now, :now)
        """,
        [{**msgspec.structs.asdict(mail), "now": now} for mail in mails],
    )


async def get(tx: Transaction, id_: int) -> Mail | None:
    return await tx.one(Mail, f"select {_COLUMNS} from mails where id = :id", id=id_)


async def list_before(tx: Transaction, *, before: int, limit: int) -> list[Mail]:
    """Mails with an id below `before`, the newest first."""
    return await tx.many(
        Mail,
        f"select {_COLUMNS} from mails where id < :before order by id desc limit :limit",
        before=before,
        limit=limit,
    )


async def list_often_written_to(
    tx: Transaction, addresses: Sequence[str], *, since: datetime, count: int
) -> list[Recipient]:
    """Which of these (lower-case) addresses have had so many mails since a time."""
    return await tx.many(
        Recipient,
        """
        select lower(recipient) as address from mails
        where lower(recipient) in (:addresses...text) and created_at > :since
        group by lower(recipient) having count(*) >= :count
        """,
        addresses=list(addresses),
        since=since,
        count=count,
    )


async def is_any_due(tx: Transaction, *, now: datetime) -> bool:
    # In order, so that no database thinks of looking through those that were sent.
    return bool(await tx.value(int, "select 1 from mails where due_at <= :now order by due_at limit 1", now=now))


async def oldest_unsent(tx: Transaction) -> datetime | None:
    """When the oldest mail was written that is to be sent some day."""
    found = await tx.value(int, "select min(created_at) from mails where due_at is not null")
    return None if found is None else from_microseconds(found)


async def claim(tx: Transaction, *, now: datetime, until: datetime, limit: int) -> list[Mail]:
    """Take mails that are due; nobody else is given them before `until`."""
    # Who waited for another's claim of the same rows looks at them again: hence the condition outside, too.
    return await tx.many(
        Mail,
        f"""
        update mails set due_at = :until, attempts = attempts + 1
        where id in (select id from mails where due_at <= :now order by due_at, id limit :limit) and due_at <= :now
        returning {_COLUMNS}
        """,
        now=now,
        until=until,
        limit=limit,
    )


async def sent(tx: Transaction, id_: int, *, now: datetime) -> None:
    """A mail has been sent. Its body goes: it may hold a link that opens something."""
    await tx.run(
        "update mails set sent_at = :now, due_at = null, body = '', last_error = '' where id = :id", id=id_, now=now
    )


async def failed(tx: Transaction, id_: int, *, error: str, due_at: datetime | None) -> None:
    """A mail could not be sent; it is due again at a time, or never."""
    await tx.run(
        "update mails set due_at = cast(:due_at as bigint), last_error = :error where id = :id",
        id=id_,
        due_at=due_at,
        error=error,
    )


async def delete_old(tx: Transaction, *, before: datetime, limit: int) -> int:
    return await tx.run(
        """
        delete from mails
        where id in (select id from mails where created_at < :before order by created_at limit :limit)
        """,
        before=before,
        limit=limit,
    )
