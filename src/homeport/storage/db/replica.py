"""A read replica of PostgreSQL, which runs the statements of lists.

It is asked only if it has everything that the primary had when the list came to it: the primary tells how far its log
is, and the replica how far it has followed (a moment's delay is waited for). So a list holds whatever anybody had been
told is done before they asked, and who may see what is as new as that. Otherwise, and where the replica does not
answer, the primary is read, and the replica is left alone for a second.
"""

import asyncio
import contextlib
import time
from typing import Any

import asyncpg
import structlog

from homeport.settings import Settings
from homeport.storage.db.outages import OUTAGES

log = structlog.get_logger()

CATCH_UP_S = 0.05
"""How long a list waits for a replica that is behind."""

LOOK_EVERY_S = 0.005
CONNECT_TIMEOUT_S = 1.0
REST_S = 1.0
TOLD_EVERY_S = 60.0

# The number is that of the data: a replica of something else, or a primary, is none of ours.
_MARK = "select cast(pg_current_wal_lsn() as text) as lsn, system_identifier from pg_control_system()"
_HAS_SEEN = """
    select pg_is_in_recovery() and system_identifier = $2
        and pg_last_wal_replay_lsn() >= cast(cast($1 as text) as pg_lsn)
    from pg_control_system()
"""


class Replica:
    """The connections of a process to its replica; they are opened when they are needed."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._rests_until = 0.0
        self._is_well = True
        self._told_at = -TOLD_EVERY_S

    @classmethod
    async def open(cls, settings: Settings, **options: Any) -> "Replica":
        pool = await asyncpg.create_pool(
            settings.database_read_url,
            min_size=0,
            max_size=settings.database_pool_size,
            timeout=CONNECT_TIMEOUT_S,
            **options,
        )
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    async def connection(self, primary: Any) -> Any | None:
        """A connection that sees all that was written before this call; None if there is none just now."""
        if time.monotonic() < self._rests_until:
            return None
        if not self._is_well:
            self.rest()  # one tries whether it is well again, and the others go on without
        try:
            mark = await primary.fetchrow(_MARK)
        except asyncpg.PostgresError as error:
            if isinstance(error, OUTAGES):
                raise
            self.fail(str(error))  # it has no log of its own (it follows another), or the role may not ask
            return None
        try:
            connection = await self._pool.acquire(timeout=CONNECT_TIMEOUT_S)
        except (*OUTAGES, asyncpg.PostgresError) as error:
            self.fail(str(error) or type(error).__name__)
            return None
        try:
            if await _has_caught_up(connection, mark):
                self._is_well = True
                self._rests_until = 0.0
                return connection
            self.fail("it is behind")
        except (*OUTAGES, asyncpg.PostgresError) as error:
            self.fail(str(error) or type(error).__name__)
        await self.release(connection)
        return None

    async def release(self, connection: Any) -> None:
        with contextlib.suppress(*OUTAGES):
            await self._pool.release(connection)

    def fail(self, reason: str) -> None:
        """Leave the replica alone for a while."""
        self._is_well = False
        self.rest()
        if time.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = time.monotonic()
            log.warning("the read replica is left alone", reason=reason)

    def rest(self) -> None:
        self._rests_until = time.monotonic() + REST_S


async def _has_caught_up(connection: Any, mark: Any) -> bool:
    until = time.monotonic() + CATCH_UP_S
    while not await connection.fetchval(_HAS_SEEN, mark["lsn"], mark["system_identifier"]):
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


class ListConnection:
    """What runs the statements of one list: the replica if it can, or else the primary's connection."""

    def __init__(self, replica: Replica, primary: Any) -> None:
        self._replica = replica
        self._primary = primary
        self._connection: Any = None
        self._is_chosen = False

    async def fetch(self, text: str, *values: Any) -> Any:
        return await self._run("fetch", text, values)

    async def fetchrow(self, text: str, *values: Any) -> Any:
        return await self._run("fetchrow", text, values)

    async def fetchval(self, text: str, *values: Any) -> Any:
        return await self._run("fetchval", text, values)

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._replica.release(connection)

    async def _run(self, method: str, text: str, values: tuple[Any, ...]) -> Any:
        if not self._is_chosen:
            self._is_chosen = True
            self._connection = await self._replica.connection(self._primary)
        if self._connection is not None:
            try:
                return await getattr(self._connection, method)(text, *values)
            except OUTAGES as error:
                self._replica.fail(str(error) or type(error).__name__)
                await self.close()
        return await getattr(self._primary, method)(text, *values)
