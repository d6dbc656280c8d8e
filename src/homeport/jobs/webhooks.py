"""Delivers what webhooks have to tell: each delivery at least once, mostly just once.

Who delivers takes a *target* (one URL of one webhook) for itself, for a turn: some deliveries, one after the other, the
oldest first. So a target never gets two at the same moment, however many processes deliver, and one that is slow holds
up nobody but itself. After its turn a target stands in line again behind those that have waited meanwhile. A process
that dies in a turn loses its claim after a while, and another one goes on.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import structlog

from homeport import __version__
from homeport.core.outbound import TOTAL_TIMEOUT_S, Answer, Outbound, Undelivered
from homeport.core.services import Services
from homeport.core.webhook_deliveries import body_of, signature
from homeport.metrics import DELIVERIES
from homeport.storage.db import webhook_deliveries as rows
from homeport.storage.db import webhooks as webhook_rows
from homeport.storage.db.database import utcnow
from homeport.storage.db.records import ClaimedTarget, DueDelivery
from homeport.storage.db.webhook_deliveries import Attempt

log = structlog.get_logger()

CONCURRENCY = 16
"""Turns that one process runs at the same time."""

TURN_S = 10
"""How long a turn goes on to begin deliveries."""

CLAIM = timedelta(seconds=2 * (TURN_S + TOTAL_TIMEOUT_S))
"""Longer than a turn takes, whatever the receiver does."""

REST = timedelta(seconds=5)
"""How long a target is left in peace that has just failed."""

FIRST_RETRY = timedelta(seconds=10)
LAST_RETRY = timedelta(hours=4)
GIVEN_UP_AFTER = timedelta(days=1)
BATCH = 1000
"""Pushes that one transaction forgets: on SQLite some milliseconds, in which nobody else writes."""


class Deliveries:
    """The turns of one process."""

    def __init__(self, services: Services, outbound: Outbound) -> None:
        self._services = services
        self._outbound = outbound
        self._turns: set[asyncio.Task[None]] = set()

    async def begin_due(self) -> int:
        """Begin a turn for each target that waits, as long as there is room for more; wait for none of them.

        How many turns were begun.
        """
        begun = 0
        while len(self._turns) < CONCURRENCY and (target := await self._claimed()):
            turn = asyncio.create_task(self._take_turn(target))
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)
            begun += 1
        return begun

    async def end(self) -> None:
        """Break off what is under way: it is delivered again once the claim has run out."""
        turns = list(self._turns)
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    async def _claimed(self) -> ClaimedTarget | None:
        now = utcnow()
        async with self._services.db.read() as tx:
            if not await webhook_rows.is_any_due(tx, now=now):
                return None
        # A claim that a power cut takes away costs a repetition at most.
        async with self._services.db.write(is_durable=False) as tx:
            return await webhook_rows.claim(tx, now=now, until=now + CLAIM)

    async def _take_turn(self, target: ClaimedTarget) -> None:
        try:
            is_well = await self._deliver_due(target)
            async with self._services.db.write() as tx:
                if await webhook_rows.release(tx, target):
                    await webhook_rows.set_due(tx, target.id, not_before=utcnow() + (timedelta() if is_well else REST))
        except Exception:
            log.exception("turn of a webhook failed", target=target.id)

    async def _deliver_due(self, target: ClaimedTarget) -> bool:
        """Deliver what is due at a target; False if that has come to an end by a failure."""
        ends = time.monotonic() + TURN_S
        while time.monotonic() < ends:
            async with self._services.db.read() as tx:
                delivery = await rows.get_due(tx, target, now=utcnow())
            if delivery is None:
                return True
            if not await self._deliver(delivery):
                return False
        return True

    async def _deliver(self, delivery: DueDelivery) -> bool:
        begun, clock = utcnow(), time.monotonic()
        answer, error = None, ""
        try:
            answer = await self._post(delivery, at=begun)
        except Undelivered as undelivered:
            error = str(undelivered)
        except Exception as unexpected:
            # Whatever is wrong with one delivery, it is given up some day, and the others are made.
            log.exception("delivery of a webhook failed", delivery=delivery.uuid)
            error = type(unexpected).__name__
        is_delivered = answer is not None and answer.is_success
        attempt = Attempt(
            attempted_at=begun,
            duration_ms=round((time.monotonic() - clock) * 1000),
            http_status=answer.status if answer else None,
            error=error or ("" if is_delivered or answer is None else f"the receiver answered {answer.status}"),
            answer=_text(answer),
        )
        now = utcnow()
        due_at = None if is_delivered else next_attempt(delivery.due_since, now)
        async with self._services.db.write() as tx:
            await rows.attempted(tx, delivery.id, attempt, delivered_at=now if is_delivered else None, due_at=due_at)
        outcome = "delivered" if is_delivered else "given up" if due_at is None else "failed"
        self._services.metrics.count(DELIVERIES, outcome)
        log.info(
            "webhook delivered" if is_delivered else "webhook not delivered",
            delivery=delivery.uuid,
            webhook=delivery.webhook_id,
            status=attempt.http_status,
            duration_ms=attempt.duration_ms,
            **({} if is_delivered else {"reason": attempt.error, "given_up": due_at is None}),
        )
        return is_delivered

    async def _post(self, delivery: DueDelivery, *, at: datetime) -> Answer:
        body = body_of(webhook_id=delivery.webhook_id, delivery=delivery.uuid, payload=delivery.payload)
        timestamp = int(at.timestamp())
        signed = signature(delivery.secret, delivery=delivery.uuid, timestamp=timestamp, body=body)
        return await self._outbound.post(
            delivery.url,
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"Homeport/{__version__}",
                "webhook-id": delivery.uuid,
                "webhook-timestamp": str(timestamp),
                **self._services.traces.headers(),
            },
            private_headers={"webhook-signature": signed},
            content=body,
        )


@contextlib.asynccontextmanager
async def delivering(services: Services) -> AsyncIterator[Deliveries]:
    """The turns of this process; what is under way at the end of the block is broken off."""
    networks = services.settings.webhook_allowed_networks
    async with Outbound(networks, concurrency=CONCURRENCY) as outbound:
        deliveries = Deliveries(services, outbound)
        try:
            yield deliveries
        finally:
            await deliveries.end()


def next_attempt(due_since: datetime, now: datetime) -> datetime | None:
    """When to try again after a failure: each time about as much later as it has been tried for; None: never."""
    tried_for = now - due_since
    if tried_for >= GIVEN_UP_AFTER:
        return None
    return now + min(max(tried_for, FIRST_RETRY), LAST_RETRY)


def _text(answer: Answer | None) -> str:
    """The beginning of an answer, as a text that can be kept."""
    return answer.excerpt.decode(errors="replace").replace("\0", "\ufffd") if answer else ""


async def drop_old(services: Services, *, now: datetime) -> int:
    """Forget pushes of long ago with their deliveries; how many pushes there were."""
    before = now - timedelta(days=services.settings.webhook_retention_days)
    dropped = 0
    while True:
        async with services.db.write() as tx:
            # Another process may be at it: two that delete the same rows could wait for each other.
            await tx.lock("webhook retention", 0)
            count = await rows.delete_old(tx, before=before, limit=BATCH)
        dropped += count
        if count < BATCH:
            return dropped
