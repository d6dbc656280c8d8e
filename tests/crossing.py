"""A transaction of somebody else that takes locks in the other order than a request does, on PostgreSQL."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

T = TypeVar("T")


def key_of(kind: str, id_: int) -> int:
    """What a lock of `Transaction.lock` is called by PostgreSQL."""
    return (zlib.crc32(kind.encode()) << 32 | id_ & 0xFFFFFFFF) - (1 << 63)


def lock_of(kind: str, id_: int) -> str:
    """The statement that takes such a lock."""
    return f"select pg_advisory_xact_lock({key_of(kind, id_)})"


async def crossed(url: str, *, held: str, wanted: tuple[str, int], times: int, run: Callable[[], Awaitable[T]]) -> T:
    """Run something that takes the lock `wanted`, and then waits for what `held` has taken; it loses so many times.

    PostgreSQL ends whoever looks for a circle and finds one. Each does so once, when they have waited for a second.
    """
    rival, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        await rival.execute("set deadlock_timeout = '10s'")
        pid = await rival.fetchval("select pg_backend_pid()")
        async with rival.transaction():
            await rival.execute(held)
            running = asyncio.ensure_future(run())
            for _ in range(times):
                while not await watcher.fetchval(_WAITING, pid, key_of(*wanted)):
                    assert not running.done(), "it did not meet the other"
                    await asyncio.sleep(0.01)
                within = rival.transaction()  # a savepoint: its end gives back what is taken after it
                await within.start()
                await rival.execute(lock_of(*wanted))
                await within.rollback()
        return await running
    finally:
        await rival.close()
        await watcher.close()


# Who has the lock, and waits: jobs may wait for the same row.
_WAITING = """
    select count(*) from pg_stat_activity
    where cast($1 as integer) = any (pg_blocking_pids(pid)) and pid in (
        select pid from pg_locks
        where locktype = 'advisory' and granted and cast(classid as bigint) << 32 | cast(objid as bigint) = $2
    )
"""
