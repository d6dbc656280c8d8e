"""Statements on the audit log. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import AuditEvent


class NewEvent(msgspec.Struct, frozen=True):
    """An event to be written. `data` is a JSON object of texts."""

    account_id: int
    action: str
    name: str
    actor: str
    data: str
    created_at: datetime


async def insert_all(tx: Transaction, events: Sequence[NewEvent]) -> None:
    await tx.run_many(
        """
        insert into audit_events (account_id, action, name, actor, data, created_at)
        values (:account_id, :action, :name, :actor, :data, :created_at)
        """,
        [msgspec.structs.asdict(event) for event in events],
    )


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions on events; None is none."""

    action: str | None = None
    name: str | None = None
    actor: str | None = None
    data_part: str | None = None
    since: datetime | None = None
    until: datetime | None = None


# What the fields of `Filter` say. Each of the first three has an index that holds the order of time, too.
_CONDITIONS = {
    "action": "action = :action",
    "name": "name = :name",
    "actor": "actor = :actor",
    # `replace` tells whether a text holds another one on both databases alike.
    "data_part": "replace(data, :data_part, '') <> data",
    "since": "created_at >= :since",
    "until": "created_at < :until",
}


class Place(msgspec.Struct, frozen=True):
    """Where an event is found: the time tells in which partition the id is."""

    id: int
    created_at: datetime


async def find_page(tx: Transaction, *, account_id: int, conditions: Filter, offset: int, limit: int) -> list[Place]:
    """Where the events of an account are, the newest first, behind the first `offset` ones."""
    given = {field: value for field, value in msgspec.structs.asdict(conditions).items() if value is not None}
    where = " and ".join(["account_id = :account_id", *(_CONDITIONS[field] for field in given)])
    # An index has all of it, also of what is skipped. The events themselves are fetched apart: in one statement
    # PostgreSQL would have to look for each of them in all partitions.
    return await tx.many(
        Place,
        f"""
        select id, created_at from audit_events where {where}
        order by created_at desc, id desc limit :limit offset :offset
        """,
        account_id=account_id,
        offset=offset,
        limit=limit,
        **given,
    )


async def list_at(tx: Transaction, places: Sequence[Place]) -> list[AuditEvent]:
    """The events at some places, which are in the order of a page."""
    return await tx.many(
        AuditEvent,
        """
        select action, name, actor, data, created_at from audit_events
        where id in (:ids...bigint) and created_at >= :first and created_at <= :last
        order by created_at desc, id desc
        """,
        ids=[place.id for place in places],
        first=places[-1].created_at,
        last=places[0].created_at,
    )


async def delete_older(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Delete some of the events from before a moment, the oldest first; how many there were."""
    return await tx.run(
        """
        delete from audit_events where id in (
            select id from audit_events where created_at < :before order by created_at limit :limit
        )
        """,
        before=before,
        limit=limit,
    )
