"""Collects garbage."""

import msgspec
import structlog

from homeport.core import garbage
from homeport.core.services import Services
from homeport.storage.db.database import utcnow

log = structlog.get_logger()


async def collect(services: Services) -> int:
    collected = await garbage.collect(services, now=utcnow())
    if collected != garbage.Collected():
        log.info("garbage collected", **msgspec.structs.asdict(collected))
    return collected.deleted
