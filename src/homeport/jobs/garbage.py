"""Collects garbage once an hour, by one of all the processes that run jobs."""

from datetime import timedelta

import msgspec
import structlog

from homeport.core import garbage
from homeport.core.services import Services
from homeport.storage.db import job_turns
from homeport.storage.db.database import utcnow

log = structlog.get_logger()

EVERY = timedelta(hours=1)
JOB = "garbage"


async def collect_in_turn(services: Services) -> None:
    """Collect, if nobody has within the hour."""
    now = utcnow()
    async with services.db.write() as tx:
        if not await job_turns.take(tx, JOB, now=now, next_at=now + EVERY):
            return
    collected = await garbage.collect(services, now=now)
    if collected != garbage.Collected():
        log.info("garbage collected", **msgspec.structs.asdict(collected))
