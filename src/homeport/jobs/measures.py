"""Measures what nobody counts as it happens: how the database is used, and what waits for jobs."""

import asyncio

from homeport import __version__
from homeport.core.services import Services
from homeport.metrics import (
    BUILD,
    CONNECTIONS,
    DATABASE_WAIT_SECONDS,
    DATABASE_WAITING,
    LIMITS_SHARED,
    MAIL_AGE,
    STATEMENTS,
    TRANSACTIONS,
    UPLOADS_OPEN,
    WEBHOOK_AGE,
)
from homeport.storage.db import mails, uploads, webhooks
from homeport.storage.db.database import utcnow
from homeport.storage.db.migrate import HEAD

SAMPLED_EVERY_S = 1.0
BACKLOG_SAMPLED_EVERY_S = 15.0
_SHARED_WITHIN_S = 1.0


async def sample(services: Services) -> None:
    """Take down what this process does now, and hand over what it has counted."""
    metrics, usage = services.metrics, services.db.usage()
    metrics.set(BUILD, 1, __version__, HEAD)
    metrics.set(CONNECTIONS, usage.open_connections - usage.busy_connections, "idle")
    metrics.set(CONNECTIONS, usage.busy_connections, "busy")
    metrics.set(DATABASE_WAITING, usage.waiting)
    metrics.reach(DATABASE_WAIT_SECONDS, usage.waited_s)
    metrics.reach(TRANSACTIONS, usage.reads, "read")
    metrics.reach(TRANSACTIONS, usage.writes, "write")
    metrics.reach(STATEMENTS, usage.statements)
    metrics.set(LIMITS_SHARED, await _counts_together(services))
    metrics.fold()


async def sample_backlog(services: Services) -> None:
    """Take down how far jobs are behind: what the oldest thing that is due has waited for."""
    now = utcnow()
    async with services.db.read(scan=True) as tx:
        mail = await mails.oldest_unsent(tx) if services.settings.smtp_url else None
        webhook = await webhooks.oldest_due(tx, now=now)
        open_uploads = await uploads.count(tx)
    services.metrics.set(MAIL_AGE, (now - mail).total_seconds() if mail else 0)
    services.metrics.set(WEBHOOK_AGE, (now - webhook).total_seconds() if webhook else 0)
    services.metrics.set(UPLOADS_OPEN, open_uploads)


async def _counts_together(services: Services) -> bool:
    if not services.settings.valkey_url:
        return False
    try:
        async with asyncio.timeout(_SHARED_WITHIN_S):
            return await services.counters.is_shared()
    except TimeoutError:
        return False
