"""Everything that a SQLite file holds: read as it is at one moment, or taken in at once.

Each has a connection of its own, which works in a thread: these transactions last, and stand in no queue with those of
requests.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from homeport.errors import ContentsUnfit, DatabaseUnavailable, PlaceTaken
from homeport.storage.db.contents import (
    BATCH_BYTES,
    BATCH_ROWS,
    COUNT_MISSING,
    CREATE_FILLING,
    DERIVED,
    DISCARD_UNNAMED,
    REKEY,
    SELECT_ARRIVED,
    Arrived,
    Column,
    Contents,
    Kind,
    OnRows,
    Row,
    Table,
    difference,
    kept_tables,
)
from homeport.storage.db.database import to_microseconds, utcnow
from homeport.storage.db.marks import FILLING, MOVED
from homeport.storage.db.sqlite import LOCK_TIMEOUT_MS, connect

T = TypeVar("T")

_KINDS = {
    "INTEGER": Kind.INTEGER,
    "BIGINT": Kind.INTEGER,
    "TEXT": Kind.TEXT,
    "BLOB": Kind.BYTES,
    "BOOLEAN": Kind.BOOLEAN,
}
_EVENTS = ("insert", "update", "delete")


class SqliteSnapshot:
    """A `Snapshot` of a file."""

    def __init__(self, connection: sqlite3.Connection, *, with_store: bool) -> None:
        self._connection = connection
        self.revision: str = connection.execute("select version_num from alembic_version").fetchone()[0]
        self.tables = list_tables(connection, with_store=with_store)

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        with _explained():
            cursor = await asyncio.to_thread(self._connection.execute, table.select)
            flags = [index for index, column in enumerate(table.columns) if column.kind is Kind.BOOLEAN]
            while batch := await asyncio.to_thread(_next_batch, cursor, flags):
                yield batch

    async def leave(self, target: str) -> None:
        with _explained():
            await asyncio.to_thread(_leave, self._connection, target)


@contextlib.asynccontextmanager
async def sqlite_snapshot(path: Path, *, is_locked: bool, with_store: bool) -> AsyncIterator[SqliteSnapshot]:
    """What the file holds now. `is_locked`: whoever wants to write waits until it is closed.

    Raises:
        DatabaseUnavailable
    """
    with _explained():
        connection = await asyncio.to_thread(connect, path, read_only=not is_locked)
    try:
        with _explained():
            await asyncio.to_thread(connection.execute, "begin immediate" if is_locked else "begin")
            # The first statement that reads is what fixes the moment.
            snapshot = await asyncio.to_thread(SqliteSnapshot, connection, with_store=with_store)
        yield snapshot
    finally:
        # Closing takes back what was not committed.
        await asyncio.to_thread(connection.close)


class SqlitePlace:
    """A `Place` in a file whose schema is there."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()  # a connection does one thing at a time

    async def is_empty(self) -> bool:
        return await self._run(_is_empty)

    async def is_filling(self) -> bool:
        return await self._run(_is_filling)

    async def begin(self) -> None:
        await self._run(lambda connection: connection.execute(CREATE_FILLING.format(collate="")))

    async def get_arrived(self, digest: str) -> Arrived | None:
        sql = f"{SELECT_ARRIVED} where digest = ?"
        row = await self._run(lambda connection: connection.execute(sql, (digest,)).fetchone())
        return Arrived(*row) if row else None

    async def note_arrived(self, blob: Arrived) -> None:
        sql = f"insert or replace into {FILLING} (digest, size_bytes, storage_key) values (?, ?, ?)"
        values = (blob.digest, blob.size_bytes, blob.storage_key)
        await self._run(lambda connection: connection.execute(sql, values))

    async def load(
        self,
        contents: Contents,
        *,
        keeps_store: bool,
        is_complete: bool,
        on_rows: OnRows,
        before_commit: Callable[[], Awaitable[None]],
    ) -> None:
        async with self._transaction():
            if not await self._run(_is_filling) or not await self._run(_is_empty):
                raise PlaceTaken("rows have come to it meanwhile")
            own = await self._run(lambda connection: list_tables(connection, with_store=keeps_store))
            if problem := difference(contents.tables, own):
                raise ContentsUnfit(problem)
            for table in contents.tables:
                await self._load_table(contents, table, on_rows)
            if not keeps_store:
                await self._run(lambda connection: _settle_blobs(connection, is_complete=is_complete))
            await self._run(_finish)
            await before_commit()

    async def _load_table(self, contents: Contents, table: Table, on_rows: OnRows) -> None:
        marks = ", ".join("?" for _ in table.columns)
        names = ", ".join(column.name for column in table.columns)
        sql = f"insert into {table.name} ({names}) values ({marks})"
        count = 0
        async for batch in contents.rows(table):
            await self._run(_many(sql, batch))
            count += len(batch)
            on_rows(len(batch))
        found = await self._run(
            lambda connection: connection.execute(f"select count(*) from {table.name}").fetchone()[0]
        )
        if found != count:
            raise ContentsUnfit(f"{count} rows of {table.name} were sent, {found} arrived")
        await self._run(lambda connection: _continue_ids(connection, table))

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        await self._run(lambda connection: connection.execute("pragma foreign_keys = off"))
        await self._run(lambda connection: connection.execute("begin immediate"))
        try:
            yield
        except BaseException:
            await self._run(lambda connection: connection.execute("rollback"))
            raise
        await self._run(lambda connection: connection.execute("commit"))
        await self._run(lambda connection: connection.execute("analyze"))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _explained():
            async with self._turn:
                return await asyncio.to_thread(work, self._connection)


@contextlib.asynccontextmanager
async def sqlite_place(path: Path) -> AsyncIterator[SqlitePlace]:
    with _explained():
        connection = await asyncio.to_thread(connect, path, read_only=False)
    try:
        yield SqlitePlace(connection)
    finally:
        await asyncio.to_thread(connection.close)


async def return_to_sqlite(path: Path) -> None:
    """Take the mark of a move away, and what refuses writes."""
    with _explained():
        await asyncio.to_thread(_return, path)


def list_tables(connection: sqlite3.Connection, *, with_store: bool) -> list[Table]:
    """The tables of a schema that are copied."""
    last_ids = dict(connection.execute("select name, seq from sqlite_sequence").fetchall())
    return [
        Table(name, _columns(connection, name), last_ids.get(name))
        for name in kept_tables(_names(connection), with_store=with_store)
    ]


def _names(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("select name, type from pragma_table_list where schema = 'main'").fetchall()
    for name, type_ in found:
        if type_ == "virtual" and name not in DERIVED:
            raise ContentsUnfit(f"nobody says how the virtual table {name} is filled")
    return [name for name, type_ in found if type_ == "table" and not name.startswith("sqlite_")]


def _columns(connection: sqlite3.Connection, table: str) -> tuple[Column, ...]:
    found = connection.execute("select name, type from pragma_table_info(?)", (table,))
    try:
        return tuple(Column(name, _KINDS[type_.upper()]) for name, type_ in found)
    except KeyError as unknown:
        raise ContentsUnfit(f"a column of {table} has the type {unknown}") from None


def _next_batch(cursor: sqlite3.Cursor, flags: Sequence[int]) -> list[Row]:
    """Some rows, of a mebibyte or a little more, with truth as bool."""
    batch: list[Row] = []
    size = 0
    for row in cursor:
        values = list(row)
        for index in flags:
            if values[index] is not None:
                values[index] = bool(values[index])
        batch.append(values)
        size += sum(len(value) for value in values if type(value) in (str, bytes))
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            break
    return batch


def _many(sql: str, batch: list[Row]) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.executemany(sql, batch)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not any(
        connection.execute(f'select 1 from "{name}" limit 1').fetchone()
        for name in kept_tables(_names(connection), with_store=True)
    )


def _is_filling(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("select 1 from sqlite_master where name = ?", (FILLING,)).fetchone())


def _settle_blobs(connection: sqlite3.Connection, *, is_complete: bool) -> None:
    connection.execute(REKEY)
    missing = connection.execute(COUNT_MISSING).fetchone()[0]
    if missing and is_complete:
        raise ContentsUnfit(f"{missing} blobs are missing")
    connection.execute(DISCARD_UNNAMED.format(now=to_microseconds(utcnow())))


def _continue_ids(connection: sqlite3.Connection, table: Table) -> None:
    if table.last_id is not None:
        # Rows with higher ids have been counted by SQLite itself.
        sql = "update sqlite_sequence set seq = max(seq, ?) where name = ?"
        if not connection.execute(sql, (table.last_id, table.name)).rowcount:
            connection.execute("insert into sqlite_sequence (name, seq) values (?, ?)", (table.name, table.last_id))


def _finish(connection: sqlite3.Connection) -> None:
    if wrong := connection.execute("pragma foreign_key_check").fetchone():
        raise ContentsUnfit(f"a row of {wrong[0]} names one of {wrong[2]} that is not there")
    connection.execute(f"drop table {FILLING}")


def _leave(connection: sqlite3.Connection, target: str) -> None:
    connection.execute(f"create table {MOVED} (target text not null)")
    connection.execute(f"insert into {MOVED} (target) values (?)", (target,))
    message = f"this hub has moved to {target}".replace("'", "''")
    for table in list_tables(connection, with_store=True):
        for event in _EVENTS:
            connection.execute(
                f"""
                create trigger moved_{table.name}_{event} before {event} on {table.name}
                begin select raise(abort, '{message}'); end
                """
            )
    connection.execute("commit")


def _return(path: Path) -> None:
    with contextlib.closing(connect(path, read_only=False)) as connection:
        connection.execute(f"pragma busy_timeout = {LOCK_TIMEOUT_MS}")
        connection.execute("begin immediate")
        found = connection.execute("select name from sqlite_master where type = 'trigger' and name glob 'moved_*'")
        for (name,) in found.fetchall():
            connection.execute(f"drop trigger {name}")
        connection.execute(f"drop table if exists {MOVED}")
        connection.execute("commit")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise ContentsUnfit(str(error)) from error
    except sqlite3.Error as error:
        raise DatabaseUnavailable(str(error)) from error
