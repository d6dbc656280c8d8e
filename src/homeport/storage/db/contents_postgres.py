"""Everything that a PostgreSQL database holds: read as it is at one moment, or taken in at once.

Each has a connection of its own, without the limits of time that requests have.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg

from homeport.errors import ContentsUnfit, DatabaseUnavailable, PlaceTaken
from homeport.storage.db.contents import (
    BATCH_ROWS,
    COUNT_MISSING,
    CREATE_FILLING,
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

LOCK_TRIES = 120
LOCK_TIMEOUT_MS = 300
"""Of one table in one try; shorter than PostgreSQL waits (`deadlock_timeout`) before it ends somebody's transaction."""
LOCK_PAUSE_S = 0.2

BATCH_ROWS_OF_BYTES = 32
"""Of a table with contents: a manifest may have four mebibytes."""

_KINDS = {"bigint": Kind.INTEGER, "text": Kind.TEXT, "bytea": Kind.BYTES, "boolean": Kind.BOOLEAN}
_REFUSE = "refuse_what_has_moved"

# A table in partitions is one table; its partitions are none of their own.
_LIST_COLUMNS = """
    select relname, attname, format_type(atttypid, null) as type
    from pg_class join pg_attribute on attrelid = pg_class.oid
    where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
        and attnum > 0 and not attisdropped
    order by relname, attnum
    """

_LIST_FOREIGN_KEYS = """
    select conrelid::regclass::text as table, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition
    from pg_constraint
    where contype = 'f' and connamespace = current_schema()::regnamespace and conparentid = 0
    order by 1, 2
    """


class PostgresSnapshot:
    """A `Snapshot` of a database."""

    def __init__(self, connection: Any, revision: str, tables: list[Table]) -> None:
        self._connection = connection
        self.revision = revision
        self.tables = tables

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        has_bytes = any(column.kind is Kind.BYTES for column in table.columns)
        with _explained():
            cursor = await self._connection.cursor(table.select)
            while batch := await cursor.fetch(BATCH_ROWS_OF_BYTES if has_bytes else BATCH_ROWS):
                yield [tuple(row) for row in batch]

    async def leave(self, target: str) -> None:
        message = f"this hub has moved to {target}".replace("'", "''").replace("%", "%%")
        with _explained():
            await self._connection.execute(f"create table {MOVED} (target text not null)")
            await self._connection.execute(f"insert into {MOVED} (target) values ($1)", target)
            # As a server that is read-only says it.
            await self._connection.execute(
                f"""
                create function {_REFUSE}() returns trigger language plpgsql
                as $$ begin raise exception '{message}' using errcode = 'read_only_sql_transaction'; end $$
                """
            )
            for table in await _list_tables(self._connection, with_store=True):
                await self._connection.execute(
                    f"""
                    create trigger moved before insert or update or delete or truncate on {table.name}
                    for each statement execute function {_REFUSE}()
                    """
                )
            await self._connection.execute("commit")


@contextlib.asynccontextmanager
async def postgres_snapshot(url: str, *, is_locked: bool, with_store: bool) -> AsyncIterator[PostgresSnapshot]:
    """What the database holds now. `is_locked`: whoever wants to write waits until it is closed.

    Raises:
        DatabaseUnavailable
    """
    async with _connected(url) as connection:
        with _explained():
            if is_locked:
                await _lock(connection)
            else:
                await connection.execute("begin isolation level repeatable read read only")
            revision = await connection.fetchval("select version_num from alembic_version")
            tables = await _list_tables(connection, with_store=with_store)
        # Closing takes back what was not committed.
        yield PostgresSnapshot(connection, revision, tables)


async def _lock(connection: Any) -> None:
    """Lock every table against writes. Requests take theirs in other orders: who cannot have all lets go of all.

    Raises:
        DatabaseUnavailable: the hub is written to so much that there is no moment for it.
    """
    for _ in range(LOCK_TRIES):
        await connection.execute("begin")
        try:
            await connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
            names = [table.name for table in await _list_tables(connection, with_store=True)]
            await connection.execute(f"lock table {', '.join(names)} in share row exclusive mode")
            await connection.execute("set local lock_timeout = 0")
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await connection.execute("rollback")
            await asyncio.sleep(LOCK_PAUSE_S)
    raise DatabaseUnavailable("too much is written to lock it: stop the servers")


class PostgresPlace:
    """A `Place` in a database whose schema is there."""

    def __init__(self, connection: Any, url: str) -> None:
        self._connection = connection
        self._url = url
        self._pool: Any = None

    async def is_empty(self) -> bool:
        with _explained():
            return await _is_empty(self._connection)

    async def is_filling(self) -> bool:
        with _explained():
            return bool(await self._connection.fetchval("select to_regclass($1) is not null", FILLING))

    async def begin(self) -> None:
        with _explained():
            await self._connection.execute(CREATE_FILLING.format(collate=' collate "C"'))

    async def get_arrived(self, digest: str) -> Arrived | None:
        with _explained():
            row = await (await self._notes()).fetchrow(f"{SELECT_ARRIVED} where digest = $1", digest)
        return Arrived(*row) if row else None

    async def note_arrived(self, blob: Arrived) -> None:
        with _explained():
            await (await self._notes()).execute(
                f"""
                insert into {FILLING} (digest, size_bytes, storage_key) values ($1, $2, $3)
                on conflict (digest) do update
                set size_bytes = excluded.size_bytes, storage_key = excluded.storage_key
                """,
                blob.digest,
                blob.size_bytes,
                blob.storage_key,
            )

    async def load(
        self,
        contents: Contents,
        *,
        keeps_store: bool,
        is_complete: bool,
        on_rows: OnRows,
        before_commit: Callable[[], Awaitable[None]],
    ) -> None:
        await self.close()  # who notes blobs must not stand in the way
        with _explained():
            async with self._connection.transaction():
                if not await self.is_filling():
                    raise PlaceTaken("a hub has come to it meanwhile")
                await self._connection.execute(f"lock table {FILLING} in access exclusive mode")
                if not await _is_empty(self._connection):
                    raise PlaceTaken("rows have come to it meanwhile")
                if problem := difference(contents.tables, await _list_tables(self._connection, with_store=keeps_store)):
                    raise ContentsUnfit(problem)
                foreign_keys = await self._connection.fetch(_LIST_FOREIGN_KEYS)
                # Checked at the end at once: tables come in any order, and one by one the checks cost memory.
                for key in foreign_keys:
                    await self._connection.execute(f"alter table {key['table']} drop constraint {key['name']}")
                for table in contents.tables:
                    await self._load_table(contents, table, on_rows)
                if not keeps_store:
                    await self._settle_blobs(is_complete=is_complete)
                for key in foreign_keys:
                    await self._connection.execute(
                        f"alter table {key['table']} add constraint {key['name']} {key['definition']}"
                    )
                await self._connection.execute(f"drop table {FILLING}")
                await before_commit()
            await self._connection.execute("analyze")

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def _notes(self) -> Any:
        """Blobs are noted side by side."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=4)
        return self._pool

    async def _load_table(self, contents: Contents, table: Table, on_rows: OnRows) -> None:
        count = 0

        async def records() -> AsyncIterator[Row]:
            nonlocal count
            async for batch in contents.rows(table):
                for row in batch:
                    yield row
                count += len(batch)
                on_rows(len(batch))

        columns = [column.name for column in table.columns]
        await self._connection.copy_records_to_table(table.name, records=records(), columns=columns)
        found = await self._connection.fetchval(f"select count(*) from {table.name}")
        if found != count:
            raise ContentsUnfit(f"{count} rows of {table.name} were sent, {found} arrived")
        await self._continue_ids(table)

    async def _continue_ids(self, table: Table) -> None:
        sequence = await _sequence(self._connection, table.name, table.columns)
        if sequence is not None and table.last_id is not None:
            highest = await self._connection.fetchval(f"select coalesce(max(id), 1) from {table.name}")
            await self._connection.execute(
                "select setval($1::text::regclass, $2)", sequence, max(table.last_id, highest)
            )

    async def _settle_blobs(self, *, is_complete: bool) -> None:
        await self._connection.execute(REKEY)
        missing = await self._connection.fetchval(COUNT_MISSING)
        if missing and is_complete:
            raise ContentsUnfit(f"{missing} blobs are missing")
        await self._connection.execute(DISCARD_UNNAMED.format(now=to_microseconds(utcnow())))


@contextlib.asynccontextmanager
async def postgres_place(url: str) -> AsyncIterator[PostgresPlace]:
    async with _connected(url) as connection:
        place = PostgresPlace(connection, url)
        try:
            yield place
        finally:
            await place.close()


async def return_to_postgres(url: str) -> None:
    """Take the mark of a move away, and what refuses writes."""
    async with _connected(url) as connection:
        with _explained():
            await connection.execute(f"drop function if exists {_REFUSE} cascade; drop table if exists {MOVED}")


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    with _explained():
        connection = await asyncpg.connect(
            url,
            server_settings={
                "application_name": "homeport",
                "statement_timeout": "0",
                "idle_in_transaction_session_timeout": "0",
            },
        )
    try:
        yield connection
    finally:
        await connection.close()


async def _list_tables(connection: Any, *, with_store: bool) -> list[Table]:
    """The tables of a schema that are copied."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in await connection.fetch(_LIST_COLUMNS):
        found.setdefault(row["relname"], []).append((row["attname"], row["type"]))
    tables = []
    for name in kept_tables(list(found), with_store=with_store):
        columns = tuple(Column(column, _kind(name, type_)) for column, type_ in found[name])
        tables.append(Table(name, columns, await _last_id(connection, name, columns)))
    return tables


def _kind(table: str, type_: str) -> Kind:
    if type_ not in _KINDS:
        raise ContentsUnfit(f"a column of {table} has the type {type_}")
    return _KINDS[type_]


async def _sequence(connection: Any, table: str, columns: tuple[Column, ...]) -> str | None:
    if Column("id", Kind.INTEGER) not in columns:
        return None
    found: str | None = await connection.fetchval("select pg_get_serial_sequence($1, 'id')", table)
    return found


async def _last_id(connection: Any, table: str, columns: tuple[Column, ...]) -> int | None:
    sequence = await _sequence(connection, table, columns)
    if sequence is None:
        return None
    found: int | None = await connection.fetchval(f"select case when is_called then last_value end from {sequence}")
    return found


async def _is_empty(connection: Any) -> bool:
    names = {row["relname"] for row in await connection.fetch(_LIST_COLUMNS)}
    for name in kept_tables(list(names), with_store=True):
        if await connection.fetchval(f'select 1 from "{name}" limit 1'):
            return False
    return True


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise ContentsUnfit(str(error)) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable(str(error) or type(error).__name__) from error
