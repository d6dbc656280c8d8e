"""Opens the database that the settings name."""

from contextlib import AbstractAsyncContextManager

from homeport.settings import Settings
from homeport.storage.db.contents import Place, Snapshot
from homeport.storage.db.database import Database
from homeport.storage.db.sqlite import SqliteDatabase


async def open_database(settings: Settings) -> Database:
    """Connect.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        return await SqliteDatabase.open(settings.sqlite_path)
    from homeport.storage.db.postgres import PostgresDatabase  # noqa: PLC0415 - an extra: not needed for SQLite

    return await PostgresDatabase.open(settings)


def open_snapshot(
    settings: Settings, *, is_locked: bool = False, with_store: bool = False
) -> AbstractAsyncContextManager[Snapshot]:
    """Everything that a database holds at this moment. `is_locked`: nobody can write until it is closed; `with_store`:
    with what is known of the store of blobs.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        from homeport.storage.db.contents_sqlite import sqlite_snapshot  # noqa: PLC0415 - servers never need it

        return sqlite_snapshot(settings.sqlite_path, is_locked=is_locked, with_store=with_store)
    from homeport.storage.db.contents_postgres import postgres_snapshot  # noqa: PLC0415

    return postgres_snapshot(settings.database_url, is_locked=is_locked, with_store=with_store)


def open_place(settings: Settings) -> AbstractAsyncContextManager[Place]:
    """A database with a schema that a hub is brought to.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        from homeport.storage.db.contents_sqlite import sqlite_place  # noqa: PLC0415

        return sqlite_place(settings.sqlite_path)
    from homeport.storage.db.contents_postgres import postgres_place  # noqa: PLC0415

    return postgres_place(settings.database_url)


async def take_back(settings: Settings) -> None:
    """Have a database that was left be a hub again.

    Raises:
        DatabaseUnavailable
    """
    if settings.is_sqlite:
        from homeport.storage.db.contents_sqlite import return_to_sqlite  # noqa: PLC0415

        return await return_to_sqlite(settings.sqlite_path)
    from homeport.storage.db.contents_postgres import return_to_postgres  # noqa: PLC0415

    return await return_to_postgres(settings.database_url)
