"""The audit log in partitions by time, as PostgreSQL has it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core.services import Services
from homeport.jobs import audit as job
from homeport.jobs.audit import month_of
from homeport.settings import Settings
from homeport.storage.db import audit as rows
from homeport.storage.db import audit_partitions as partitions
from homeport.storage.db.audit import Filter, NewEvent
from homeport.storage.db.database import utcnow
from homeport.storage.db.migrate import migrate
from homeport.storage.db.records import AuditEvent
from tests.home import settings_of
from tests.storage.test_migrations import UNDO_AUDIT_PARTITIONS

ACCOUNT = 10**12


@pytest.fixture
def settings(tmp_path: Path, new_database: Callable[[str], str]) -> Settings:
    return settings_of(tmp_path / "hub", new_database("postgres"))


def on(settings: Settings, verb: Callable[[Services], Awaitable[None]]) -> None:
    """Run something over a new hub."""

    async def run() -> None:
        await set_up(settings)
        async with open_services(settings) as services:
            await verb(services)

    asyncio.run(run())


def in_months(count: int, *, day: int = 1) -> datetime:
    """A moment of the month so many months from now."""
    month = utcnow().replace(day=1)
    for _ in range(count):
        month = (month + timedelta(days=31)).replace(day=1)
    return month.replace(day=day)


async def write(services: Services, *moments: datetime) -> None:
    events = [NewEvent(ACCOUNT, "repo.update", at.isoformat(), "ann", "{}", at) for at in moments]
    async with services.db.write() as tx:
        await rows.insert_all(tx, events)


async def listed(services: Services) -> list[AuditEvent]:
    async with services.db.read() as tx:
        places = await rows.find_page(tx, account_id=ACCOUNT, conditions=Filter(), offset=0, limit=1000)
        return await rows.list_at(tx, places) if places else []


async def names(services: Services) -> list[str]:
    async with services.db.read() as tx:
        return [partition.name for partition in await partitions.list_all(tx)]


async def place_of(services: Services, at: datetime) -> str | None:
    """The partition that an event lies in."""
    async with services.db.read() as tx:
        return await tx.value(
            str, "select cast(tableoid as regclass)::text from audit_events where created_at = :at", at=at
        )


def test_there_are_partitions_for_two_months_more_than_this_one(settings: Settings) -> None:
    async def verb(services: Services) -> None:
        now = utcnow()
        await write(services, now)
        assert await place_of(services, now) in ("audit_events_past", month_of(now).name)
        for ahead in (1, 2):
            moment = in_months(ahead, day=28)
            await write(services, moment)
            assert await place_of(services, moment) in ("audit_events_past", month_of(moment).name)
        later = in_months(5)
        assert month_of(later).name not in await names(services)
        assert await job.make_partitions(services.db, now=in_months(3)) != []
        assert await job.make_partitions(services.db, now=in_months(3)) == []
        await write(services, later)
        assert await place_of(services, later) == month_of(later).name

    on(settings, verb)


def test_of_many_workers_each_month_is_made_by_one(settings: Settings) -> None:
    async def verb(services: Services) -> None:
        before = await names(services)
        made = await asyncio.gather(*(job.make_partitions(services.db, now=in_months(6)) for _ in range(8)))
        new = sorted(name for some in made for name in some)
        assert new == [month_of(in_months(count)).name for count in (6, 7, 8)]
        assert await names(services) == [*before, *new]

    on(settings, verb)


def test_what_comes_without_a_partition_is_kept_and_gets_one_later(settings: Settings) -> None:
    async def verb(services: Services) -> None:
        moments = [in_months(count, day=day) for count in (1, 5, 6, 14) for day in (1, 15)]
        await write(services, *moments)
        before = await listed(services)
        assert [event.created_at for event in before] == sorted(moments, reverse=True)
        assert await place_of(services, moments[-1]) == "audit_events_default"
        await job.keep(services, now=utcnow())
        assert await listed(services) == before
        assert [await place_of(services, moment) for moment in moments[2:]] == [
            month_of(moment).name for moment in moments[2:]
        ]
        async with services.db.read() as tx:
            assert await partitions.oldest_without(tx) is None

    on(settings, verb)


def test_a_month_is_dropped_whole_once_all_of_it_is_too_old(settings: Settings) -> None:
    async def verb(services: Services) -> None:
        days = timedelta(days=services.settings.audit_retention_days)
        await job.make_partitions(services.db, now=in_months(4))
        old, young = in_months(4, day=28), in_months(5, day=1)
        await write(services, utcnow(), old, young)
        statements: list[str] = []
        services.db.trace = statements.append
        assert await job.drop_old(services, now=young.replace(hour=0, minute=0) + days - timedelta(hours=1)) >= 1
        assert [event.created_at for event in await listed(services)] == [young, old]
        dropped = await asyncio.gather(*(job.drop_old(services, now=young + days) for _ in range(4)))
        services.db.trace = None
        assert sum(dropped) == 1
        assert [event.created_at for event in await listed(services)] == [young]
        assert not any("delete" in statement for statement in statements)
        assert month_of(old).name not in await names(services)

        for_ever = msgspec.structs.replace(services.settings, audit_retention_days=0)
        services = msgspec.structs.replace(services, settings=for_ever)
        assert await job.drop_old(services, now=young + days * 100) == 0

    on(settings, verb)


def test_a_month_that_somebody_reads_is_dropped_another_time_and_nobody_waits_long(settings: Settings) -> None:
    async def verb(services: Services) -> None:
        now = in_months(12)
        reader = await asyncpg.connect(services.settings.database_url)
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("select 1 from audit_events")
        began = time.monotonic()
        keeping = asyncio.create_task(job.keep(services, now=now))
        while not keeping.done():
            await write(services, utcnow())
            await asyncio.sleep(0.01)
        await keeping
        assert time.monotonic() - began < 10 * partitions.LOCK_TIMEOUT_MS / 1000
        assert "audit_events_past" in await names(services)
        assert len(await listed(services)) > 0
        await reading.rollback()
        await reader.close()
        await job.keep(services, now=now)
        assert "audit_events_past" not in await names(services)

    on(settings, verb)


FILES = """
    select coalesce(string_agg(cast(pg_relation_filenode(pg_class.oid) as text), ' ' order by pg_class.oid), '')
    from pg_class where oid = cast(:table as regclass)
        or oid in (select indexrelid from pg_index where indrelid = cast(cast(:table as text) as regclass))
"""


def test_the_migration_copies_no_event_and_builds_no_index_anew(settings: Settings) -> None:
    async def files(services: Services, table: str) -> str | None:
        async with services.db.read() as tx:
            return await tx.value(str, FILES.replace(":table", f"'{table}'"))

    async def verb(services: Services) -> None:
        await write(services, *(utcnow() - timedelta(days=number) for number in range(1, 400)), in_months(7))
        before = await listed(services)
        async with services.db.write() as tx:
            for statement in UNDO_AUDIT_PARTITIONS:
                await tx.run(statement)
            await tx.run("update alembic_version set version_num = '0015'")
        assert await listed(services) == before
        plain = await files(services, "audit_events")
        assert await migrate(services.settings)
        assert await files(services, "audit_events_past") == plain
        assert await listed(services) == before
        # The clock of some server was wrong: its event is in the past, too, and new ones go on.
        assert await place_of(services, in_months(7)) is None or "audit_events_past" in await names(services)
        now = utcnow()
        await write(services, now)
        assert (await listed(services))[1].created_at == now
        async with services.db.read() as tx:
            assert await tx.value(int, "select count(*) - count(distinct id) from audit_events") == 0

    on(settings, verb)


@pytest.fixture
def months(settings: Settings) -> list[datetime]:
    """Six months with events in each, of two accounts."""
    moments = [in_months(count) for count in range(3, 9)]

    async def verb(services: Services) -> None:
        await job.make_partitions(services.db, now=moments[0])
        await job.make_partitions(services.db, now=moments[3])
        async with services.db.write() as tx:
            for moment in moments:
                await tx.run(
                    """
                    insert into audit_events (account_id, action, name, actor, created_at)
                    select cast(:account as bigint) + n % 2, 'repo.update', 'r' || (n % 50), 'u' || (n % 7),
                        cast(:at as bigint) + n
                    from generate_series(1, 6000) as n
                    """,
                    account=ACCOUNT,
                    at=moment,
                )
        connection = await asyncpg.connect(services.settings.database_url)
        await connection.execute("vacuum analyze audit_events")
        await connection.close()

    on(settings, verb)
    return moments


class Explaining:
    """A transaction that runs its statements, and keeps what PostgreSQL tells of how it has run each of them."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.plans: list[str] = []

    async def many(self, struct: type[Any], sql: str, /, **parameters: Any) -> list[Any]:
        text, values = self._tx._bound(f"explain (analyze, costs off, buffers off) {sql}", dict(parameters))
        self.plans.append("\n".join(row[0] for row in await self._tx._connection.fetch(text, *values)))
        found: list[Any] = await self._tx.many(struct, sql, **parameters)
        return found


async def plans_of(services: Services, conditions: Filter, *, offset: int = 0) -> tuple[str, str]:
    """How a page of 100 is found, and how its events are fetched."""
    async with services.db.read() as tx:
        explaining: Any = Explaining(tx)
        places = await rows.find_page(explaining, account_id=ACCOUNT, conditions=conditions, offset=offset, limit=100)
        assert len(await rows.list_at(explaining, places)) == len(places) == 100
    finding, fetching = explaining.plans
    return finding, fetching


def scanned(plan: str) -> set[str]:
    """The partitions that a plan has looked at."""
    lines = (line for line in plan.splitlines() if "Scan" in line and "never executed" not in line)
    return {found[1] for line in lines if (found := re.search(r" on (audit_events_\w+)", line))}


def test_a_page_of_a_time_looks_at_the_partitions_of_that_time_alone(
    settings: Settings, months: list[datetime]
) -> None:
    async def verb(services: Services) -> None:
        month = month_of(months[2])
        for conditions in (Filter(since=month.since, until=month.until), Filter(until=month.until, name="r8")):
            finding, fetching = await plans_of(services, conditions, offset=1 if conditions.name else 2000)
            assert scanned(fetching) == {month.name}
            assert conditions.name or scanned(finding) == {month.name}
            assert not {month_of(later).name for later in months[3:]} & scanned(finding)

    on(settings, verb)


def test_a_page_of_all_times_is_merged_from_the_partitions_in_order(settings: Settings, months: list[datetime]) -> None:
    async def verb(services: Services) -> None:
        month = month_of(months[-1])
        for conditions in (Filter(), Filter(name="r8"), Filter(actor="u2"), Filter(action="repo.update")):
            finding, fetching = await plans_of(services, conditions, offset=10)
            assert re.search(r"Limit.*\n.*->  Merge Append", finding), finding
            of_events = [line for line in finding.splitlines() if any(month_of(at).name in line for at in months)]
            # Each partition is asked for its newest, and the youngest one for the page.
            assert all("Index" in line for line in of_events), finding
            counts = [int(count) for line in of_events for count in re.findall(r"rows=(\d+)", line)]
            assert sorted(counts) in ([1] * 5 + [110], [0] * 5 + [110]), finding
            assert scanned(fetching) == {month.name}

    on(settings, verb)
