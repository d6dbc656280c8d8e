"""Statements on what is delivered to webhooks. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import ClaimedTarget, DueDelivery, PushedRepository, WebhookDelivery

_DELIVERIES = """
    select webhook_deliveries.uuid, webhook_deliveries.webhook_id, target_id, url, tag,
        webhook_deliveries.created_at, webhook_deliveries.due_at, delivered_at, attempts, attempted_at, duration_ms,
        http_status, error
    """
_JOINS = """
    join webhook_targets on webhook_targets.id = webhook_deliveries.target_id
    join webhook_events on webhook_events.id = webhook_deliveries.event_id
    """


class NewEvent(msgspec.Struct, frozen=True):
    """A push of one tag."""

    id: str
    tag: str
    payload: str


class NewDelivery(msgspec.Struct, frozen=True):
    uuid: str
    webhook_id: int
    target_id: int
    event_id: str


class Attempt(msgspec.Struct, frozen=True):
    """One try to deliver: an answer's status and beginning, or why there is none."""

    attempted_at: datetime
    duration_ms: int
    http_status: int | None
    error: str
    answer: str


async def get_pushed(tx: Transaction, repository_id: int) -> PushedRepository | None:
    """What receivers are told of a repository."""
    return await tx.one(
        PushedRepository,
        """
        select description, full_description, is_private, star_count, badge = 'official' as is_official,
            repositories.created_at
        from repositories join accounts on accounts.id = namespace_id where repositories.id = :id
        """,
        id=repository_id,
    )


async def insert_events(tx: Transaction, repository_id: int, events: Sequence[NewEvent], *, now: datetime) -> None:
    await tx.run_many(
        """
        insert into webhook_events (id, repository_id, tag, payload, created_at)
        values (:id, :repository_id, :tag, :payload, :now)
        """,
        [{**msgspec.structs.asdict(event), "repository_id": repository_id, "now": now} for event in events],
    )


async def insert_all(tx: Transaction, deliveries: Sequence[NewDelivery], *, now: datetime) -> None:
    """Put deliveries into the outbox, due at once."""
    await tx.run_many(
        """
        insert into webhook_deliveries (uuid, webhook_id, target_id, event_id, created_at, due_since, due_at)
        values (:uuid, :webhook_id, :target_id, :event_id, :now, :now, :now)
        """,
        [{**msgspec.structs.asdict(delivery), "now": now} for delivery in deliveries],
    )


async def get_due(tx: Transaction, target: ClaimedTarget, *, now: datetime) -> DueDelivery | None:
    """What is due next at a target, as long as it is claimed."""
    return await tx.one(
        DueDelivery,
        """
        select webhook_deliveries.id, webhook_deliveries.uuid, webhook_deliveries.webhook_id, due_since, url, secret,
            payload
        from webhook_deliveries
        join webhook_targets on webhook_targets.id = webhook_deliveries.target_id
        join webhooks on webhooks.id = webhook_deliveries.webhook_id
        join webhook_events on webhook_events.id = webhook_deliveries.event_id
        where webhook_deliveries.target_id = :target_id and webhook_deliveries.due_at <= :now
            and claimed_until = :claimed_until
        order by webhook_deliveries.due_at, webhook_deliveries.id limit 1
        """,
        target_id=target.id,
        claimed_until=target.claimed_until,
        now=now,
    )


async def attempted(
    tx: Transaction, id_: int, attempt: Attempt, *, delivered_at: datetime | None, due_at: datetime | None
) -> None:
    """Write down what came of an attempt; without a time when it is due again it is the last one."""
    await tx.run(
        """
        update webhook_deliveries set attempts = attempts + 1, attempted_at = :attempted_at,
            duration_ms = :duration_ms, http_status = cast(:http_status as bigint), error = :error, answer = :answer,
            delivered_at = cast(:delivered_at as bigint), due_at = cast(:due_at as bigint)
        where id = :id
        """,
        id=id_,
        **msgspec.structs.asdict(attempt),
        delivered_at=delivered_at,
        due_at=due_at,
    )


async def count(tx: Transaction, webhook_id: int) -> int:
    found = await tx.value(
        int, "select count(*) from webhook_deliveries where webhook_id = :webhook_id", webhook_id=webhook_id
    )
    return found or 0


async def list_page(tx: Transaction, *, webhook_id: int, offset: int, limit: int) -> list[WebhookDelivery]:
    """Deliveries of a webhook, the newest first, without what was sent and answered."""
    # What is skipped is walked over in an index alone; only the rows of the page are fetched.
    return await tx.many(
        WebhookDelivery,
        f"""
        {_DELIVERIES}, '' as payload, '' as answer from (
            select id as page_id from webhook_deliveries where webhook_id = :webhook_id
            order by id desc limit :limit offset :offset
        ) as page
        join webhook_deliveries on webhook_deliveries.id = page_id {_JOINS}
        order by page_id desc
        """,
        webhook_id=webhook_id,
        offset=offset,
        limit=limit,
    )


async def get(tx: Transaction, *, webhook_id: int, uuid: str) -> WebhookDelivery | None:
    return await tx.one(
        WebhookDelivery,
        f"""
        {_DELIVERIES}, payload, answer from webhook_deliveries {_JOINS}
        where webhook_deliveries.uuid = :uuid and webhook_deliveries.webhook_id = :webhook_id
        """,
        webhook_id=webhook_id,
        uuid=uuid,
    )


async def set_due(tx: Transaction, uuid: str, *, now: datetime) -> None:
    """Have a delivery tried anew, as if it had just come; what became of it so far stays until then."""
    await tx.run(
        "update webhook_deliveries set due_since = :now, due_at = :now, delivered_at = null where uuid = :uuid",
        uuid=uuid,
        now=now,
    )


async def give_up(tx: Transaction, webhook_id: int, *, error: str) -> None:
    """Try nothing any more that has not been delivered to a webhook yet."""
    await tx.run(
        """
        update webhook_deliveries set due_at = null, error = :error
        where webhook_id = :webhook_id and due_at is not null
        """,
        webhook_id=webhook_id,
        error=error,
    )


async def delete_old(tx: Transaction, *, before: datetime, limit: int) -> int:
    """Forget some of the pushes from before a moment with their deliveries, the oldest first; how many pushes."""
    return await tx.run(
        """
        delete from webhook_events where id in (
            select id from webhook_events where created_at < :before order by created_at limit :limit
        )
        """,
        before=before,
        limit=limit,
    )
