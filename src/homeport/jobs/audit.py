"""Keeps audit logs: drops events that are older than the setting says, and on PostgreSQL makes partitions ahead."""

from datetime import UTC, datetime, timedelta

import structlog

from homeport.core.services import Services
from homeport.errors import DatabaseUnavailable
from homeport.storage.db import audit as rows
from homeport.storage.db import audit_partitions as partitions
from homeport.storage.db.audit_partitions import Partition
from homeport.storage.db.database import Database

log = structlog.get_logger()

BATCH = 1000
"""Events that one transaction deletes: on SQLite some milliseconds, in which nobody else writes."""

MONTHS_AHEAD = 2
MONTHS_A_TURN = 12
"""Months that one turn makes partitions for where nobody has made them ahead."""


async def keep(services: Services, *, now: datetime) -> None:
    """What is to be done once an hour. What is in use just now is left to the next turn."""
    try:
        if not services.settings.is_sqlite:
            await make_partitions(services.db, now=now)
        if dropped := await drop_old(services, now=now):
            log.info("audit events dropped", **{"count" if services.settings.is_sqlite else "partitions": dropped})
    except DatabaseUnavailable as error:
        log.warning("the audit log is left as it is until the next turn", reason=str(error))


async def make_partitions(db: Database, *, now: datetime) -> list[str]:
    """Have a partition for this month and for those ahead, and for what came when there was none; their names.

    Safe to repeat, also by several processes at once.

    Raises:
        DatabaseUnavailable: others were in the way.
    """
    made = []
    month = month_of(now)
    for _ in range(1 + MONTHS_AHEAD):
        made += await _make(db, month)
        assert month.until is not None
        month = month_of(month.until)
    for _ in range(MONTHS_A_TURN):
        async with db.read() as tx:
            oldest = await partitions.oldest_without(tx)
        if oldest is None:
            break
        made += await _make(db, month_of(oldest))
    return made


def month_of(moment: datetime) -> Partition:
    """The partition of a moment."""
    since = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    until = (since + timedelta(days=31)).replace(day=1)
    return Partition(f"audit_events_{since:%Y_%m}", since, until)


async def _make(db: Database, month: Partition) -> list[str]:
    async with db.read() as tx:
        if _covers(await partitions.list_all(tx), month):
            return []
    async with db.write() as tx:
        await partitions.hold(tx)
        # Another process may have made it meanwhile.
        if _covers(await partitions.list_all(tx), month):
            return []
        await partitions.create(tx, month)
    return [month.name]


def _covers(found: list[Partition], month: Partition) -> bool:
    """Whether some partition has the month. All of them begin and end with months."""
    assert month.since is not None
    return any(
        partition.until is not None
        and month.since < partition.until
        and (partition.since is None or partition.since <= month.since)
        for partition in found
    )


async def drop_old(services: Services, *, now: datetime) -> int:
    """Drop what is too old: how many events, or on PostgreSQL how many partitions of which all events are.

    Raises:
        DatabaseUnavailable: others were in the way.
    """
    days = services.settings.audit_retention_days
    if not days:
        return 0
    before = now - timedelta(days=days)
    if services.settings.is_sqlite:
        return await _delete_old(services.db, before=before)
    return await _drop_partitions(services.db, before=before)


async def _delete_old(db: Database, *, before: datetime) -> int:
    deleted = 0
    while True:
        async with db.write() as tx:
            count = await rows.delete_older(tx, before=before, limit=BATCH)
        deleted += count
        if count < BATCH:
            return deleted


async def _drop_partitions(db: Database, *, before: datetime) -> int:
    dropped = 0
    async with db.read() as tx:
        found = await partitions.list_all(tx)
    for old in found:
        if old.until is None or old.until > before:
            continue
        async with db.write() as tx:
            await partitions.hold(tx)
            # Another process may have dropped it meanwhile.
            if old in await partitions.list_all(tx):
                await partitions.drop(tx, old)
                dropped += 1
    return dropped
