"""Brings a database to the schema of this version.

Alembic and SQLAlchemy are imported only when there is something to do: they cost a quarter of a second at each start.
"""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from homeport.errors import DatabaseUnavailable
from homeport.settings import Settings

HEAD = "0016"
"""The newest migration; a test compares it with the folder."""

_LOCK = 0x686F6D65706F7274  # "homeport": one migrates, the others wait and find nothing to do
_FOLDER = Path(__file__).parent / "migrations"


class SchemaTooNewError(Exception):
    """The database was migrated by a newer Homeport."""


async def migrate(settings: Settings) -> bool:
    """Bring the schema to `HEAD`; whether there was anything to do.

    Raises:
        DatabaseUnavailable
        SchemaTooNewError
    """
    if settings.is_sqlite:
        return await asyncio.to_thread(_migrate_sqlite, settings.sqlite_path)
    return await _migrate_postgres(settings.database_url)


async def is_current(settings: Settings) -> bool:
    """Whether the schema is that of this version.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        try:
            with contextlib.closing(sqlite3.connect(settings.sqlite_path)) as connection:
                return _sqlite_version(connection) == HEAD
        except sqlite3.Error as error:
            raise DatabaseUnavailable(str(error)) from error
    _asyncpg()
    from homeport.storage.db.postgres import PostgresDatabase  # noqa: PLC0415

    database = await PostgresDatabase.open(settings)
    try:
        async with database.read() as tx:
            if not await tx.value(int, "select 1 where to_regclass('alembic_version') is not null"):
                return False
            return await tx.value(str, "select version_num from alembic_version") == HEAD
    finally:
        await database.close()


def _migrate_sqlite(path: Path) -> bool:
    try:
        if not path.exists():
            # The database holds secrets: never readable by others, not even for the moment after its creation.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            version = _sqlite_version(connection)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnavailable(str(error)) from error
    if version == HEAD:
        return False

    import sqlalchemy as sa  # noqa: PLC0415

    engine = sa.create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as migrating:
            migrating.exec_driver_sql("pragma journal_mode = wal")
            migrating.exec_driver_sql("begin immediate")  # two processes may start at once
            _upgrade(migrating)
            migrating.commit()
    finally:
        engine.dispose()
    return True


def _sqlite_version(connection: sqlite3.Connection) -> str | None:
    found = connection.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone()
    row = connection.execute("select version_num from alembic_version").fetchone() if found else None
    return row[0] if row else None


async def _migrate_postgres(url: str) -> bool:
    asyncpg = _asyncpg()
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(str(error)) from error
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        found = await connection.fetchval("select to_regclass('alembic_version')")
        version = await connection.fetchval("select version_num from alembic_version") if found else None
        if version == HEAD:
            return False

        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

        # The driver reads the URL, as it does for the server: SQLAlchemy takes other parameters (no `sslmode`).
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
        try:
            # Each migration is a transaction, or several: one that looks at a large table must not hold it meanwhile.
            async with engine.connect() as migrating:
                await migrating.run_sync(_upgrade)
        finally:
            await engine.dispose()
        return True
    finally:
        await connection.close()


def _asyncpg() -> Any:
    """The driver of PostgreSQL: an extra, not needed for SQLite.

    Raises:
        DatabaseUnavailable
    """
    try:
        import asyncpg  # noqa: PLC0415
    except ImportError:
        raise DatabaseUnavailable("PostgreSQL needs the extra `postgres`: install homeport[postgres]") from None
    return asyncpg


def _upgrade(connection: Any) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaTooNewError(
            f"the database is of a newer Homeport than this one ({error}): upgrade the program"
        ) from error
