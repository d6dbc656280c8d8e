"""Brings a database to the schema of this version, and tells whether one fits.

A newer program widens the schema while older ones still run (docs/operations/upgrade.md). A migration that takes
something away says in its module which revision a program has to know at least to do without it (`contracts =
"0021"`); the highest of these is kept in the table `schema_support`. So an older program can tell a schema that is
merely wider than the one it knows from one that lacks what it needs.

Alembic and SQLAlchemy are imported only when there is something to do: they cost a quarter of a second at each start.
"""

import asyncio
import contextlib
import os
import sqlite3
from enum import StrEnum
from pathlib import Path
from typing import Any

from homeport.errors import DatabaseUnavailable
from homeport.settings import Settings
from homeport.storage.db.database import Transaction

HEAD = "0016"
"""The newest migration; a test compares it with the folder."""

OLDEST = "0015"
"""What a program has to know where no migration says more: older ones stop at every schema that they do not know."""

_VERSION = "select version_num from alembic_version"
_SUPPORT = "select max(oldest_revision) from schema_support"
_HAS_TABLE_SQLITE = "select 1 from sqlite_master where type = 'table' and name = :name"
_HAS_TABLE_POSTGRES = "select 1 where to_regclass(:name) is not null"

_LOCK = 0x686F6D65706F7274  # "homeport": one migrates, the others wait and find nothing to do
_ATTEMPTS = 5
_DEADLOCK = "40P01"

_FOLDER = Path(__file__).parent / "migrations"


class SchemaTooNewError(Exception):
    """The database was migrated by a newer Homeport."""


class Fit(StrEnum):
    """How a schema fits this program."""

    CURRENT = "ok"
    NEWER = "newer"
    """Wider than this program knows it; it works with it."""

    BEHIND = "not migrated"
    TOO_NEW = "too new"

    @property
    def is_usable(self) -> bool:
        return self in (Fit.CURRENT, Fit.NEWER)


def fit(version: str | None, oldest: str | None) -> Fit:
    """How a schema of a revision fits, of which a program has to know `oldest` at least; None: nobody has said."""
    if version == HEAD:
        return Fit.CURRENT
    if version is None or version < HEAD:
        return Fit.BEHIND
    return Fit.NEWER if oldest is not None and oldest <= HEAD else Fit.TOO_NEW


async def migrate(settings: Settings, *, to: str = "head") -> bool:
    """Bring the schema to a revision, unless it is beyond it already; whether there was anything to do.

    Raises:
        DatabaseUnavailable
        SchemaTooNewError
    """
    if settings.is_sqlite:
        return await asyncio.to_thread(_migrate_sqlite, settings.sqlite_path, to)
    return await _migrate_postgres(settings.database_url, to)


def is_known(revision: str) -> bool:
    """Whether this version of the program can bring a database to a revision."""
    return any(path.name.partition("_")[0] == revision for path in (_FOLDER / "versions").glob("*.py"))


async def is_current(settings: Settings) -> bool:
    """Whether the schema is that of this version.

    Raises:
        DatabaseUnavailable
    """
    return await find_fit(settings) is Fit.CURRENT


async def is_usable(settings: Settings) -> bool:
    """Whether this version can work with the schema; False until somebody has migrated it.

    Raises:
        DatabaseUnavailable
        SchemaTooNewError
    """
    return not _is_behind(await find_fit(settings))


async def find_fit(settings: Settings) -> Fit:
    """How the schema of the database fits that the settings name.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        if not settings.sqlite_path.exists():
            return Fit.BEHIND
        try:
            with contextlib.closing(sqlite3.connect(settings.sqlite_path)) as connection:
                return _sqlite_fit(connection)
        except sqlite3.Error as error:
            raise DatabaseUnavailable(str(error)) from error
    postgres_driver()
    from homeport.storage.db.postgres import PostgresDatabase  # noqa: PLC0415

    database = await PostgresDatabase.open(settings)
    try:
        async with database.read() as tx:
            return await read_fit(tx, is_sqlite=False)
    finally:
        await database.close()


async def read_fit(tx: Transaction, *, is_sqlite: bool) -> Fit:
    """How the schema of a database fits; two statements where it is this program's own."""
    has_table = _HAS_TABLE_SQLITE if is_sqlite else _HAS_TABLE_POSTGRES
    if not await tx.value(int, has_table, name="alembic_version"):
        return Fit.BEHIND
    version = await tx.value(str, _VERSION)
    if version is None or version <= HEAD:
        return fit(version, oldest=None)
    has_support = await tx.value(int, has_table, name="schema_support")
    return fit(version, await tx.value(str, _SUPPORT) if has_support else None)


def _migrate_sqlite(path: Path, to: str) -> bool:
    try:
        if not path.exists():
            # The database holds secrets: never readable by others, not even for the moment after its creation.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = _sqlite_fit(connection)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnavailable(str(error)) from error
    if not _is_behind(found):
        return False

    import sqlalchemy as sa  # noqa: PLC0415

    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as migrating:
            migrating.exec_driver_sql("pragma journal_mode = wal")
            migrating.exec_driver_sql("begin immediate")  # two processes may start at once
            _upgrade(migrating, to)
            migrating.commit()
    finally:
        engine.dispose()
    return True


def _sqlite_fit(connection: sqlite3.Connection) -> Fit:
    def first(sql: str, **parameters: str) -> str | None:
        row = connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    version = first(_VERSION) if first(_HAS_TABLE_SQLITE, name="alembic_version") else None
    return fit(version, first(_SUPPORT) if first(_HAS_TABLE_SQLITE, name="schema_support") else None)


def _is_behind(found: Fit) -> bool:
    """Raises: SchemaTooNewError"""
    if found is Fit.TOO_NEW:
        raise SchemaTooNewError("the database is of a newer Homeport than this one can work with: upgrade the program")
    return found is Fit.BEHIND


async def _migrate_postgres(url: str, to: str) -> bool:
    asyncpg = postgres_driver()
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(str(error)) from error
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        if not _is_behind(await _postgres_fit(connection)):
            return False

        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

        # The driver reads the URL, as it does for the server: SQLAlchemy takes other parameters (no `sslmode`).
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
        try:
            for attempts_left in reversed(range(_ATTEMPTS)):
                if await _upgrade_postgres(engine, to, is_last=attempts_left == 0):
                    break
        finally:
            await engine.dispose()
        return True
    finally:
        await connection.close()


async def _upgrade_postgres(engine: Any, to: str, *, is_last: bool) -> bool:
    """Whether all went well.

    If not, it waited crosswise with a request of a running server, and had to give way: what it had done stays done.
    """
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    try:
        async with engine.connect() as migrating:
            # Each migration is a transaction of its own, so that locks of tables are held for a moment each, and one
            # that cannot run in a transaction (`create index concurrently`) need not.
            await migrating.run_sync(_upgrade, to)
            await migrating.commit()
    except DBAPIError as error:
        if is_last or getattr(error.orig, "sqlstate", None) != _DEADLOCK:
            raise
        return False
    return True


async def _postgres_fit(connection: Any) -> Fit:
    async def first(sql: str) -> str | None:
        found: str | None = await connection.fetchval(sql)
        return found

    version = await first(_VERSION) if await first("select to_regclass('alembic_version')") else None
    return fit(version, await first(_SUPPORT) if await first("select to_regclass('schema_support')") else None)


def postgres_driver() -> Any:
    """The driver of PostgreSQL: an extra, not needed for SQLite.

    Raises:
        DatabaseUnavailable
    """
    try:
        import asyncpg  # noqa: PLC0415
    except ImportError:
        raise DatabaseUnavailable("PostgreSQL needs the extra `postgres`: install homeport[postgres]") from None
    return asyncpg


def _upgrade(connection: Any, to: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    _write_support(connection, config)


def _write_support(connection: Any, config: Any) -> None:
    """Write down which revision a program has to know at least to work with the schema."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    revisions = ScriptDirectory.from_config(config).walk_revisions()
    marks = (getattr(revision.module, "contracts", OLDEST) for revision in revisions)
    connection.exec_driver_sql("create table if not exists schema_support (oldest_revision text not null)")
    connection.exec_driver_sql("delete from schema_support")
    connection.exec_driver_sql(f"insert into schema_support (oldest_revision) values ('{max(marks)}')")
