"""Turns: what one of all the processes has to do now and then, and no matter which."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from homeport.core.services import Services
from homeport.storage.db import job_turns as rows
from homeport.storage.db.database import utcnow

NOT_OURS = object()
"""What a job gives that somebody else has done."""


async def in_turn(
    services: Services, job: str, every: timedelta, run: Callable[[Services], Awaitable[object]]
) -> object:
    """Run a job, unless somebody has begun it within the time. One that fails is left until its next turn.

    What it gives, or `NOT_OURS`.
    """
    now = utcnow()
    async with services.db.write() as tx:
        if not await rows.take(tx, job, now=now, next_at=now + every):
            return NOT_OURS
    return await run(services)
