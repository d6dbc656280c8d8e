"""Runs the jobs of one process beside its requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from homeport.core import uploads
from homeport.core.services import Services
from homeport.jobs import audit, garbage, mail_requests, mails, revocations, sessions, webhooks
from homeport.jobs.webhooks import Deliveries
from homeport.storage.db.database import utcnow

log = structlog.get_logger()

FOLD_INTERVAL_S = 2.0
CATCH_UP_INTERVAL_S = 0.5
SWEEP_INTERVAL_S = 600.0
AUDIT_RETENTION_INTERVAL_S = 3600.0
GARBAGE_INTERVAL_S = 600.0
MAIL_INTERVAL_S = 1.0
MAIL_REQUEST_INTERVAL_S = 0.5
WEBHOOK_INTERVAL_S = 0.5


@contextlib.asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Keep the jobs going while the block runs; what was counted is written at its end."""
    async with webhooks.delivering(services) as deliveries, _repeating(services, deliveries):
        yield


@contextlib.asynccontextmanager
async def _repeating(services: Services, deliveries: Deliveries) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_repeat(FOLD_INTERVAL_S, "fold pulls", lambda: services.pulls.fold(services.db))),
        asyncio.create_task(_repeat(FOLD_INTERVAL_S, "fold activity", lambda: services.activity.fold(services.db))),
        asyncio.create_task(_repeat(CATCH_UP_INTERVAL_S, "catch up with revocations", services.authenticator.catch_up)),
        asyncio.create_task(_repeat(SWEEP_INTERVAL_S, "sweep", lambda: _sweep(services))),
        asyncio.create_task(
            _repeat(AUDIT_RETENTION_INTERVAL_S, "drop old audit events", lambda: _drop_old_events(services))
        ),
        asyncio.create_task(_repeat(GARBAGE_INTERVAL_S, "collect garbage", lambda: garbage.collect_in_turn(services))),
        asyncio.create_task(
            _repeat(MAIL_REQUEST_INTERVAL_S, "answer requests for mails", lambda: mail_requests.answer_all(services))
        ),
        asyncio.create_task(_repeat(MAIL_INTERVAL_S, "send mails", lambda: mails.send_due(services))),
        asyncio.create_task(_repeat(WEBHOOK_INTERVAL_S, "deliver to webhooks", deliveries.begin_due)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await services.pulls.fold(services.db)
        with contextlib.suppress(Exception):
            await services.activity.fold(services.db)


async def _sweep(services: Services) -> None:
    if swept := await uploads.sweep(services):
        log.info("uploads swept", count=swept)
    await revocations.drop_old(services.db, now=utcnow())
    await sessions.drop_old(services, now=utcnow())
    await mails.drop_old(services, now=utcnow())
    await mail_requests.drop_old(services, now=utcnow())
    if dropped := await webhooks.drop_old(services, now=utcnow()):
        log.info("deliveries of webhooks dropped", pushes=dropped)


async def _drop_old_events(services: Services) -> None:
    if dropped := await audit.drop_old(services, now=utcnow()):
        log.info("audit events dropped", count=dropped)


async def _repeat(interval_s: float, name: str, job: Callable[[], Awaitable[object]]) -> None:
    """A job that fails is told of and tried again: it must not end with one bad moment of the database."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await job()
        except Exception:
            log.exception("job failed", job=name)
