"""Marks that a database is no hub to serve: one that has moved away, or one that a hub is on its way to.

They are tables beside the schema, made by a move or an import and taken away by it: a place may be of an older schema.
"""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from homeport.errors import DatabaseUnavailable, HubMoved, HubUnfinished
from homeport.settings import Settings
from homeport.storage.db.migrate import postgres_driver

MOVED = "moved_hub"
FILLING = "arrived_blobs"


class Marks(msgspec.Struct, frozen=True):
    """`moved_to` says in words where the hub has gone; None: it has not."""

    moved_to: str | None = None
    is_filling: bool = False


async def check_place(settings: Settings) -> None:
    """Refuse a database that no hub may run on.

    Raises:
        HubMoved, HubUnfinished, DatabaseUnavailable
    """
    marks = await read_marks(settings)
    if marks.moved_to is not None:
        raise HubMoved(marks.moved_to)
    if marks.is_filling:
        raise HubUnfinished


async def read_marks(settings: Settings) -> Marks:
    """Raises: DatabaseUnavailable."""
    if settings.is_sqlite:
        return await asyncio.to_thread(_read_sqlite, settings.sqlite_path)
    driver = postgres_driver()
    try:
        connection = await driver.connect(settings.database_url)
        try:
            return await _read_postgres(connection)
        finally:
            await connection.close()
    except (OSError, driver.PostgresError, driver.InterfaceError) as error:
        raise DatabaseUnavailable(str(error)) from error


def _read_sqlite(path: Path) -> Marks:
    if not path.exists():
        return Marks()
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = {
                name
                for (name,) in connection.execute(
                    "select name from sqlite_master where name in (?, ?)", (MOVED, FILLING)
                )
            }
            row = connection.execute(f"select target from {MOVED}").fetchone() if MOVED in found else None
            return Marks(row[0] if row else None, FILLING in found)
    except sqlite3.Error as error:
        raise DatabaseUnavailable(str(error)) from error


async def _read_postgres(connection: Any) -> Marks:
    has_moved, is_filling = await connection.fetchrow(
        "select to_regclass($1) is not null, to_regclass($2) is not null", MOVED, FILLING
    )
    target = await connection.fetchval(f"select target from {MOVED}") if has_moved else None
    return Marks(target, is_filling)
