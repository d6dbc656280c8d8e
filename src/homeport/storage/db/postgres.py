"""PostgreSQL through asyncpg: a bounded pool; each write is a READ COMMITTED transaction.

Where two writers must not cross, verbs take `tx.lock` first (an advisory lock that ends with the transaction).
"""

import re
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec
import structlog

from homeport.errors import DatabaseUnavailable, TransactionConflict, ValueUnstorable
from homeport.search_tokens import Token, Wanted
from homeport.settings import Settings
from homeport.storage.db.database import ATTEMPT, PARAMETER, Cache, Listener, RowMaker, Usage, to_microseconds
from homeport.storage.db.outages import CONFLICTS, OUTAGES
from homeport.storage.db.replica import ListConnection, Replica

log = structlog.get_logger()

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

# Beyond what PostgreSQL allows a statement: then it is the way to the server that is broken.
COMMAND_GRACE_S = 5

_LISTED = {
    "bigint": "select unnest({}::bigint[])",
    "text": "select unnest({}::text[])",
    "tokens": """select repository_id as id from repository_search
        where repository_tokens(tokens) @@ cast(cast({} as text) as tsquery)""",
}


class PostgresTransaction:
    def __init__(self, connection: Any, owner: "PostgresDatabase", lists: ListConnection | None = None) -> None:
        self._connection = connection
        self._owner = owner
        self._lists = lists
        self.announcements: list[tuple[str, int]] = []

    @property
    def lists(self) -> "PostgresTransaction":
        return self if self._lists is None else PostgresTransaction(self._lists, self._owner)

    async def one(self, struct: type[S], sql: str, /, **parameters: Any) -> S | None:
        text, values = self._bound(sql, parameters)
        row = await self._connection.fetchrow(text, *values)
        return None if row is None else self._owner.maker(struct, sql, row)(row)

    async def many(self, struct: type[S], sql: str, /, **parameters: Any) -> list[S]:
        text, values = self._bound(sql, parameters)
        rows = await self._connection.fetch(text, *values)
        if not rows:
            return []
        make = self._owner.maker(struct, sql, rows[0])
        return [make(row) for row in rows]

    async def value(self, type_: type[T], sql: str, /, **parameters: Any) -> T | None:
        text, values = self._bound(sql, parameters)
        value = await self._connection.fetchval(text, *values)
        return None if value is None else type_(value)  # type: ignore[call-arg]  # int, str, bool, bytes

    async def run(self, sql: str, /, **parameters: Any) -> int:
        text, values = self._bound(sql, parameters)
        status: str = await self._connection.execute(text, *values)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def run_many(self, sql: str, rows: Sequence[dict[str, Any]], /) -> None:
        self._owner.count_statement(sql)
        text, names = self._owner.statement(sql)
        await self._connection.executemany(text, [[_value(row[name]) for name in names] for row in rows])

    async def lock(self, kind: str, id_: int, /) -> None:
        """Raises no error: waits as long as the statement timeout allows."""
        key = (zlib.crc32(kind.encode()) << 32 | id_ & 0xFFFFFFFF) - (1 << 63)
        await self.run("select pg_advisory_xact_lock(:key)", key=key)

    def announce(self, event: str, id_: int, /) -> None:
        self.announcements.append((event, id_))

    def _bound(self, sql: str, parameters: dict[str, Any]) -> tuple[str, list[Any]]:
        self._owner.count_statement(sql)
        text, names = self._owner.statement(sql)
        return text, [_value(parameters[name]) for name in names]


def _value(value: Any) -> Any:
    kind = type(value)
    if kind is datetime:
        return to_microseconds(value)
    return query_expression(value) if kind is Wanted else value


def query_expression(wanted: Wanted) -> str:
    """As a `tsquery` is written (PostgreSQL manual §8.11.2): a lexeme in quotes is nothing but that."""
    groups = (" | ".join(map(_lexeme, group)) for group in wanted.groups)
    return " & ".join(f"({group})" for group in groups)


def _lexeme(token: Token) -> str:
    quoted = token.text.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':*" if token.is_prefix else f"'{quoted}'"


class PostgresDatabase:
    """A `Database` over a PostgreSQL server."""

    def __init__(self, pool: Any, *, wait_s: float, replica: Replica | None = None) -> None:
        self._pool = pool
        self._replica = replica
        self._wait_s = wait_s
        self.trace: Callable[[str], None] | None = None
        self._listeners: list[Listener] = []
        self._statements: Cache[str, tuple[str, list[str]]] = Cache()
        self._makers: Cache[tuple[type, str], RowMaker] = Cache()
        self._usage = Usage()

    @classmethod
    async def open(cls, settings: Settings) -> "PostgresDatabase":
        """Connect.

        Raises:
            DatabaseUnavailable
        """
        timeout_s = settings.database_statement_timeout
        options = {
            "command_timeout": timeout_s + COMMAND_GRACE_S,
            "server_settings": {
                "application_name": "homeport",
                "statement_timeout": f"{timeout_s}s",
                # Before the statement's: what is in the way of a lock is told from a statement that is slow.
                "lock_timeout": f"{timeout_s * 500}ms",
                "idle_in_transaction_session_timeout": f"{timeout_s}s",
            },
        }
        try:
            pool = await asyncpg.create_pool(
                settings.database_url, min_size=1, max_size=settings.database_pool_size, **options
            )
        except (*OUTAGES, asyncpg.PostgresError) as error:
            raise DatabaseUnavailable(str(error)) from error
        replica = await Replica.open(settings, **options) if settings.database_read_url else None
        return cls(pool, wait_s=settings.database_pool_wait, replica=replica)

    def version(self) -> int | None:
        return None

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def usage(self) -> Usage:
        self._usage.open_connections = self._pool.get_size()
        self._usage.busy_connections = self._pool.get_size() - self._pool.get_idle_size()
        return self._usage

    def count_statement(self, sql: str) -> None:
        self._usage.statements += 1
        if self.trace:
            self.trace(sql)

    async def close(self) -> None:
        await self._pool.close()
        if self._replica is not None:
            await self._replica.close()

    def statement(self, sql: str) -> tuple[str, list[str]]:
        """The statement in PostgreSQL's words: numbered parameters, each name one number."""
        if (found := self._statements.get(sql)) is None:
            names: list[str] = []

            def number(match: re.Match[str]) -> str:
                if match[1] not in names:
                    names.append(match[1])
                place = f"${names.index(match[1]) + 1}"
                return _LISTED[match[2]].format(place) if match[2] else place

            found = self._statements[sql] = (PARAMETER.sub(number, sql), names)
        return found

    def maker(self, struct: type, sql: str, row: Any) -> RowMaker:
        key = (struct, sql)
        if (found := self._makers.get(key)) is None:
            found = self._makers[key] = RowMaker(struct, list(row.keys()))
        return found

    @asynccontextmanager
    async def read(self, *, scan: bool = False) -> AsyncIterator[PostgresTransaction]:  # noqa: ARG002 - no loop to block
        self._usage.reads += 1
        async with self._connection() as connection:
            if self._replica is None:
                yield PostgresTransaction(connection, self)
                return
            lists = ListConnection(self._replica, connection)
            try:
                yield PostgresTransaction(connection, self, lists)
            finally:
                await lists.close()

    @asynccontextmanager
    async def write(
        self,
        *,
        is_durable: bool = True,
        scan: bool = False,  # noqa: ARG002 - no loop to block
    ) -> AsyncIterator[PostgresTransaction]:
        self._usage.writes += 1
        async with self._connection() as connection:
            transaction = PostgresTransaction(connection, self)
            async with connection.transaction():
                if not is_durable:
                    await connection.execute("set local synchronous_commit = off")
                yield transaction
        if (attempt := ATTEMPT.get()) is not None:
            attempt.has_written = True
        for event, id_ in transaction.announcements:
            for listener in self._listeners:
                listener(event, id_)

    async def _free_connection(self) -> Any:
        self._usage.waiting += 1
        began = time.perf_counter()
        try:
            return await self._pool.acquire(timeout=self._wait_s)
        except TimeoutError as error:
            raise DatabaseUnavailable(f"no connection within {self._wait_s} seconds") from error
        finally:
            self._usage.waiting -= 1
            self._usage.waited_s += time.perf_counter() - began

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            connection = await self._free_connection()
            try:
                yield connection
            finally:
                await self._pool.release(connection)
        except asyncpg.DataError as error:
            raise ValueUnstorable from error
        except asyncpg.ForeignKeyViolationError as error:
            # A push into a repository that another request deletes, say: the same request finds out the next time.
            raise DatabaseUnavailable("what this belongs to is being deleted") from error
        except CONFLICTS as error:
            if (attempt := ATTEMPT.get()) is not None:
                attempt.is_taken_back = True
            raise TransactionConflict from error
        except OUTAGES as error:
            log.warning("postgresql", reason=str(error) or repr(error))
            raise DatabaseUnavailable(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What clients may know of an outage: nothing of addresses, and no details of the server's."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return str(error.args[0])
    return "it cannot be reached"
