"""Drops the events of audit logs that are older than the setting keeps them."""

from datetime import datetime, timedelta

from homeport.core.services import Services
from homeport.storage.db import audit as rows

BATCH = 1000
"""Events that one transaction deletes: on SQLite some milliseconds, in which nobody else writes."""


async def drop_old(services: Services, *, now: datetime) -> int:
    """Delete what is too old; how many events there were."""
    days = services.settings.audit_retention_days
    if not days:
        return 0
    before = now - timedelta(days=days)
    dropped = 0
    while True:
        async with services.db.write() as tx:
            # Another process may be at it: two that delete the same rows could wait for each other.
            await tx.lock("audit retention", 0)
            count = await rows.delete_older(tx, before=before, limit=BATCH)
        dropped += count
        if count < BATCH:
            return dropped
