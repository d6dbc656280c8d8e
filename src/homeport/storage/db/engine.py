"""Opens the database that the settings name."""

from homeport.settings import Settings
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
