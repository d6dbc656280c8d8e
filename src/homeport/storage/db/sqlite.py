"""SQLite: pooled read-only connections, and one writer with group commit.

A commit waits for the disk (fsync), everything before it does not. So the writer runs the statements of a transaction
as a savepoint, hands over to the next transaction that waits, and commits when nobody waits or the group is full: as
many transactions share one fsync as arrived during the one before. Nobody is told of success before the commit.

Statements by index take 20 to 30 µs and run on the event loop; what can wait (a lock of another process, the commit)
or look at many rows runs in a thread.
"""

import asyncio
import json
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from homeport.errors import DatabaseUnavailable, HomeportError, ValueUnstorable
from homeport.search_tokens import Token, Wanted
from homeport.storage.db.database import PARAMETER, Cache, Listener, RowMaker, Usage, to_microseconds

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

GROUP_LIMIT = 64
"""Transactions that share one commit at most; bounds what the first of them waits for."""

LOCK_TIMEOUT_MS = 30_000
"""How long a writer waits for another process (a second worker, an operators' command)."""

_LIST = "select value from json_each(:{})"
_LISTED = {
    "bigint": _LIST,
    "text": _LIST,
    "tokens": "select rowid as id from repository_tokens where repository_tokens match :{}",
}


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # transactions are begun and ended in sight
        check_same_thread=False,  # used by one task at a time, from the loop and from threads
        cached_statements=512,
        timeout=LOCK_TIMEOUT_MS / 1000,
    )
    if not read_only:
        connection.execute("pragma journal_mode = wal")
        # FULL: in WAL mode NORMAL may lose the last commits in a power cut.
        connection.execute("pragma synchronous = full")
        connection.execute("pragma wal_autocheckpoint = 4000")
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma cache_size = -16384")
    connection.execute("pragma temp_store = memory")
    return connection


class SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection, owner: "SqliteDatabase", *, scan: bool = False) -> None:
        self._connection = connection
        self._owner = owner
        self._scan = scan
        self.announcements: list[tuple[str, int]] = []

    @property
    def lists(self) -> "SqliteTransaction":
        return self

    async def one(self, struct: type[S], sql: str, /, **parameters: Any) -> S | None:
        cursor, rows = await self._rows(sql, parameters, limit=1)
        return self._owner.maker(struct, sql, cursor)(rows[0]) if rows else None

    async def many(self, struct: type[S], sql: str, /, **parameters: Any) -> list[S]:
        cursor, rows = await self._rows(sql, parameters)
        make = self._owner.maker(struct, sql, cursor)
        return [make(row) for row in rows]

    async def value(self, type_: type[T], sql: str, /, **parameters: Any) -> T | None:
        _, rows = await self._rows(sql, parameters, limit=1)
        if not rows or rows[0][0] is None:
            return None
        return type_(rows[0][0])  # type: ignore[call-arg]  # int, str, bool and bytes take what SQLite gives

    async def run(self, sql: str, /, **parameters: Any) -> int:
        cursor, _ = await self._rows(sql, parameters, limit=0)
        return cursor.rowcount

    async def run_many(self, sql: str, rows: Sequence[dict[str, Any]], /) -> None:
        for row in rows:
            self._bind(row)
        self._owner.count_statement(sql)
        try:
            self._connection.executemany(self._owner.statement(sql), rows)
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            raise _explained(error) from error

    async def lock(self, kind: str, id_: int, /) -> None:
        """Nothing to do: there is one writer."""

    def announce(self, event: str, id_: int, /) -> None:
        self.announcements.append((event, id_))

    async def _rows(
        self, sql: str, parameters: dict[str, Any], limit: int | None = None
    ) -> tuple[sqlite3.Cursor, list[Any]]:
        self._owner.count_statement(sql)
        statement = self._owner.statement(sql)
        self._bind(parameters)
        if self._scan:
            return await asyncio.to_thread(_execute, self._connection, statement, parameters, limit)
        return _execute(self._connection, statement, parameters, limit)

    @staticmethod
    def _bind(parameters: dict[str, Any]) -> None:
        for name, value in parameters.items():
            kind = type(value)
            if kind is datetime:
                parameters[name] = to_microseconds(value)
            elif kind is list:
                parameters[name] = json.dumps(value)
            elif kind is Wanted:
                parameters[name] = match_expression(value)
            elif isinstance(value, str) and "\0" in value:
                raise ValueUnstorable  # PostgreSQL cannot; both refuse alike


def _execute(
    connection: sqlite3.Connection, statement: str, parameters: dict[str, Any], limit: int | None
) -> tuple[sqlite3.Cursor, list[Any]]:
    try:
        cursor = connection.execute(statement, parameters)
        if limit is None:
            return cursor, cursor.fetchall()
        if limit == 1:
            row = cursor.fetchone()
            # A statement left half-read keeps its locks; `insert … returning` takes effect only when read to the end.
            rows = [row] if row is not None else []
            while row is not None:
                row = cursor.fetchone()
            return cursor, rows
        return cursor, []
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        raise _explained(error) from error
    except (UnicodeEncodeError, OverflowError):
        raise ValueUnstorable from None


def match_expression(wanted: Wanted) -> str:
    """As FTS5 writes it (SQLite's page on FTS5, §3): a token in quotes is nothing but that."""
    groups = (" OR ".join(map(_token, group)) for group in wanted.groups)
    return " AND ".join(f"({group})" for group in groups)


def _token(token: Token) -> str:
    quoted = token.text.replace('"', '""')
    return f'"{quoted}" *' if token.is_prefix else f'"{quoted}"'


def _begin_late(writer: sqlite3.Connection) -> None:
    """Begin when the other process has ended its transaction."""
    writer.execute(f"pragma busy_timeout = {LOCK_TIMEOUT_MS}")
    try:
        writer.execute("begin immediate")
    finally:
        writer.execute("pragma busy_timeout = 0")


def _explained(error: sqlite3.OperationalError | sqlite3.IntegrityError) -> Exception:
    """What an operator can act on (disk full, locked, I/O, a hub that has moved) is not a mistake in a statement."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if isinstance(error, sqlite3.IntegrityError) and code != sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return error
    if code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE):
        return error
    return DatabaseUnavailable(str(error))


class _Reading:
    """A transaction that reads, on a connection of the pool. A class: a generator would cost as much as a statement."""

    __slots__ = ("_connection", "_owner", "_pool", "_scan")

    def __init__(self, owner: "SqliteDatabase", pool: list[sqlite3.Connection], *, scan: bool) -> None:
        self._owner = owner
        self._pool = pool
        self._scan = scan

    async def __aenter__(self) -> SqliteTransaction:
        try:
            self._connection = self._pool.pop() if self._pool else self._owner.new_reader()
            self._connection.execute("begin")
        except sqlite3.OperationalError as error:
            raise _explained(error) from error
        return SqliteTransaction(self._connection, self._owner, scan=self._scan)

    async def __aexit__(self, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("rollback")
        self._pool.append(self._connection)


class _Turn:
    """One transaction that waits for the writer."""

    __slots__ = ("committed", "ended", "granted", "is_durable", "scan")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_durable: bool, scan: bool) -> None:
        self.is_durable = is_durable
        self.scan = scan
        self.granted: asyncio.Future[SqliteTransaction] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        self.committed: asyncio.Future[None] = loop.create_future()


class SqliteDatabase:
    """A `Database` over one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trace: Callable[[str], None] | None = None
        self._listeners: list[Listener] = []
        self._statements: Cache[str, str] = Cache()
        self._makers: Cache[tuple[type, str], RowMaker] = Cache()
        self._usage = Usage()
        self._open_readers = 0
        self._is_writing = False
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._is_synchronous = True
        self._watcher: sqlite3.Connection | None = None
        self._waiting: deque[_Turn] = deque()
        self._wake = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path) -> "SqliteDatabase":
        database = cls(path)
        database._writer = await asyncio.to_thread(connect, path, read_only=False)
        # It runs on the event loop, which must not wait for a lock.
        database._writer.execute("pragma busy_timeout = 0")
        database._writing = asyncio.create_task(database._write_groups(), name="sqlite writer")
        return database

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._writing:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        for turn in self._waiting:
            turn.granted.cancel()
        for connection in self._readers:
            connection.close()
        for single in (self._watcher, self._writer):
            if single:
                single.close()

    def statement(self, sql: str) -> str:
        """The statement in SQLite's words; parameters are named alike, only lists differ."""
        if (found := self._statements.get(sql)) is None:
            found = PARAMETER.sub(lambda match: _LISTED[match[2]].format(match[1]) if match[2] else match[0], sql)
            self._statements[sql] = found
        return found

    def maker(self, struct: type, sql: str, cursor: sqlite3.Cursor) -> RowMaker:
        key = (struct, sql)
        if (found := self._makers.get(key)) is None:
            found = self._makers[key] = RowMaker(struct, [column[0] for column in cursor.description])
        return found

    def read(self, *, scan: bool = False) -> "_Reading":
        self._usage.reads += 1
        return _Reading(self, self._readers, scan=scan)

    def new_reader(self) -> sqlite3.Connection:
        """A connection that reads, for the pool."""
        connection = connect(self._path, read_only=True)
        self._open_readers += 1
        return connection

    def usage(self) -> Usage:
        self._usage.waiting = len(self._waiting)
        self._usage.open_connections = self._open_readers + 1
        self._usage.busy_connections = self._open_readers - len(self._readers) + self._is_writing
        return self._usage

    def count_statement(self, sql: str) -> None:
        self._usage.statements += 1
        if self.trace:
            self.trace(sql)

    def version(self) -> int | None:
        if self._watcher is None:
            self._watcher = connect(self._path, read_only=True)
        number: int = self._watcher.execute("pragma data_version").fetchone()[0]
        return number

    @asynccontextmanager
    async def write(self, *, is_durable: bool = True, scan: bool = False) -> AsyncIterator[SqliteTransaction]:
        turn = _Turn(asyncio.get_running_loop(), is_durable=is_durable, scan=scan)
        self._waiting.append(turn)
        self._wake.set()
        self._usage.writes += 1
        began = time.perf_counter()
        try:
            transaction = await turn.granted
            self._usage.waited_s += time.perf_counter() - began
            yield transaction
        except BaseException:
            if not turn.ended.done():
                turn.ended.set_result(False)
            turn.granted.cancel()
            raise
        turn.ended.set_result(True)
        await turn.committed
        for event, id_ in transaction.announcements:
            for listener in self._listeners:
                listener(event, id_)

    async def _write_groups(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._is_writing = True
            while self._waiting:
                await self._write_group()
            self._is_writing = False

    async def _write_group(self) -> None:
        """Grant turns until nobody waits, then make them durable together."""
        assert self._writer is not None
        try:
            is_durable = await self._begin(self._writer)
        except (HomeportError, sqlite3.Error) as error:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.granted.done():
                    turn.granted.set_exception(error)
            return
        group: list[_Turn] = []
        while self._waiting and len(group) < GROUP_LIMIT:
            if self._waiting[0].is_durable and not is_durable:
                break  # it came after the group had begun without it
            turn = self._waiting.popleft()
            if turn.granted.cancelled():
                continue
            self._writer.execute("savepoint turn")
            turn.granted.set_result(SqliteTransaction(self._writer, self, scan=turn.scan))
            if await turn.ended:
                self._writer.execute("release turn")
                group.append(turn)
            elif self._writer.in_transaction:
                self._writer.execute("rollback to turn")
                self._writer.execute("release turn")
            else:
                # An I/O error or a full disk made SQLite roll back everything: the group is lost with it.
                self._fail(group, DatabaseUnavailable("the transaction was rolled back"))
                return
        await self._commit(self._writer, group)

    async def _begin(self, writer: sqlite3.Connection) -> bool:
        """Open a group; whether its commit will wait for the disk."""
        is_durable = any(turn.is_durable for turn in self._waiting)
        try:
            if is_durable != self._is_synchronous:
                # Before the transaction: within one it cannot be set.
                writer.execute(f"pragma synchronous = {'full' if is_durable else 'normal'}")
                self._is_synchronous = is_durable
            writer.execute("begin immediate")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise _explained(error) from error
            # Another process writes: wait for it in a thread.
            try:
                await asyncio.to_thread(_begin_late, writer)
            except sqlite3.OperationalError as late:
                raise _explained(late) from late
        return is_durable

    async def _commit(self, writer: sqlite3.Connection, group: list[_Turn]) -> None:
        try:
            if any(turn.is_durable for turn in group):
                await asyncio.to_thread(writer.execute, "commit")
            else:
                # Nothing waits for the disk.
                writer.execute("commit" if group else "rollback")
        except sqlite3.Error as error:
            if writer.in_transaction:
                writer.execute("rollback")
            self._fail(group, DatabaseUnavailable(str(error)))
        else:
            for turn in group:
                if not turn.committed.done():
                    turn.committed.set_result(None)

    @staticmethod
    def _fail(group: list[_Turn], error: Exception) -> None:
        for turn in group:
            if not turn.committed.done():
                turn.committed.set_exception(error)
