"""Everything that a database holds goes along: each table, each type of column, each id that was given."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from homeport.errors import BackupInvalid, ContentsUnfit
from homeport.settings import Settings
from homeport.storage import backup
from homeport.storage.db.contents import DERIVED, OF_THE_PLACE, OF_THE_STORE, Column, Kind, Row, Table
from homeport.storage.db.engine import open_database, open_place, open_snapshot
from homeport.storage.db.marks import FILLING, MOVED
from homeport.storage.db.migrate import HEAD, migrate
from tests.home import settings_of

VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.TEXT: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    Kind.BYTES: st.binary(),
    Kind.BOOLEAN: st.booleans(),
}
COLUMNS = tuple(Column(kind.value, kind) for kind in Kind)
INSERT_MAIL = "insert into mails (recipient, subject, body, created_at) values ('a', 'b', 'c', 0)"
ROWS = st.lists(st.tuples(*(st.none() | VALUES[column.kind] for column in COLUMNS)), max_size=20)


class Rows:
    """One table, and its rows in batches of three."""

    revision = HEAD

    def __init__(self, rows: Sequence[Row]) -> None:
        self.tables = [Table("oddities", COLUMNS)]
        self._rows = rows

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:  # noqa: ARG002 - there is one
        for start in range(0, len(self._rows), 3):
            yield list(self._rows[start : start + 3])


@pytest.fixture
def both(tmp_path: Path, new_database: Callable[[str], str]) -> list[Settings]:
    """An empty place of each kind."""
    return [settings_of(tmp_path / kind, new_database(kind)) for kind in ("sqlite", "postgres")]


async def made(place: Settings, *statements: str) -> None:
    place.data.mkdir(exist_ok=True)
    await migrate(place)
    db = await open_database(place)
    async with db.write() as tx:
        for statement in statements:
            await tx.run(statement)
    await db.close()


async def copied(source: Settings, target: Settings) -> None:
    async with open_snapshot(source, with_store=True) as snapshot, open_place(target) as place:
        await place.begin()
        await place.load(snapshot, keeps_store=True, is_complete=True, on_rows=lambda _: None, before_commit=_nothing)


async def _nothing() -> None: ...


async def read(place: Settings, table: str) -> list[Row]:
    async with open_snapshot(place) as snapshot:
        found = next(found for found in snapshot.tables if found.name == table)
        return [tuple(row) async for batch in snapshot.rows(found) for row in batch]


def test_both_databases_have_the_same_tables_and_every_one_is_copied_or_named(both: list[Settings]) -> None:
    async def tables(place: Settings) -> dict[str, set[Column]]:
        await made(place)
        async with open_snapshot(place, with_store=True) as snapshot:
            return {table.name: set(table.columns) for table in snapshot.tables}

    async def every_table_of_sqlite() -> set[str]:
        db = await open_database(both[0])
        async with db.read() as tx:
            found = await tx.value(str, "select group_concat(name, ' ') from sqlite_master where type = 'table'")
        await db.close()
        return set((found or "").split())

    async def run() -> None:
        sqlite, postgres = [await tables(place) for place in both]
        assert sqlite == postgres
        assert "tags" in sqlite
        shadows = {f"{name}_{part}" for name in DERIVED for part in ("data", "idx", "config", "docsize", "content")}
        left = await every_table_of_sqlite() - sqlite.keys() - shadows - {"sqlite_sequence"}
        assert left == {*OF_THE_PLACE, *DERIVED} - {FILLING, MOVED}
        assert sqlite.keys() >= OF_THE_STORE.keys()

    asyncio.run(run())


def test_an_index_that_nobody_fills_is_an_error_and_not_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        await made(settings_of(tmp_path / "hub"), "create virtual table words using fts5(word)")
        async with open_snapshot(settings_of(tmp_path / "hub")):
            pass

    with pytest.raises(ContentsUnfit, match="words"):
        asyncio.run(run())


def test_a_new_table_goes_there_and_back_with_every_type_of_column(both: list[Settings], tmp_path: Path) -> None:
    """From SQLite to PostgreSQL and on to another SQLite: nobody has to be told of the table."""
    back = settings_of(tmp_path / "back")
    integers = [None, 0, 2**63 - 1, -(2**63)]
    texts = [None, "", "ü \U0001f433 \u2028 'q\" \\n\t", "9" * 30]
    blobs = [None, b"", bytes(range(256)), b"x" * 3_000_000]
    flags = [None, True, False, True]
    wanted = list(zip(integers, texts, blobs, flags, strict=True))
    columns = "id bigint, text text, bytes {}, flag boolean"

    async def run() -> None:
        sqlite, postgres = both
        for place, type_ in ((sqlite, "blob"), (postgres, "bytea"), (back, "blob")):
            await made(place, f"create table oddities ({columns.format(type_)})")
        db = await open_database(sqlite)
        async with db.write() as tx:
            for id_, text, content, flag in wanted:
                await tx.run(
                    "insert into oddities values (:id, :text, :content, :flag)",
                    id=id_,
                    text=text,
                    content=content,
                    flag=flag,
                )
        await db.close()
        await copied(sqlite, postgres)
        await copied(postgres, back)
        key = repr
        assert sorted(await read(postgres, "oddities"), key=key) == sorted(wanted, key=key)
        assert sorted(await read(back, "oddities"), key=key) == sorted(wanted, key=key)

    asyncio.run(run())


@pytest.mark.parametrize("kinds", [("sqlite", "postgres"), ("postgres", "sqlite")], ids="-to-".join)
def test_an_id_that_was_given_once_is_not_given_again_at_the_new_place(
    kinds: tuple[str, str], new_database: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = [settings_of(tmp_path / kind, new_database(kind)) for kind in kinds]

    async def run() -> None:
        await made(source, INSERT_MAIL, INSERT_MAIL, "delete from mails where id = 2")
        await made(target)
        await copied(source, target)
        await made(target, INSERT_MAIL)
        columns = await read(target, "mails")
        assert sorted(row[0] for row in columns) == [1, 3]

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_rows_that_name_what_is_not_there_leave_nothing_behind(
    kind: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    source, target = settings_of(tmp_path / "source"), settings_of(tmp_path / "hub", new_database(kind))

    async def run() -> None:
        await made(source, INSERT_MAIL)
        await made(target)
        # Without `pragma foreign_keys` nothing holds SQLite to them.
        with contextlib.closing(sqlite3.connect(source.sqlite_path)) as connection:
            connection.execute("insert into ended_sessions (id, account_id, ended_at) values ('s', 7, 0)")
            connection.commit()
        with pytest.raises(ContentsUnfit):
            await copied(source, target)
        assert await read(target, "mails") == []
        async with open_place(target) as place:
            assert await place.is_filling()

    asyncio.run(run())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(rows=ROWS)
def test_a_backup_gives_back_the_rows_that_were_written(tmp_path: Path, rows: list[Row]) -> None:
    async def run() -> None:
        with backup.writing(tmp_path / "backup", "run") as folder:
            files = await folder.write_tables(Rows(rows), lambda _: None)
        read_back = backup.Backup(tmp_path / "backup", tables=files, revision=HEAD)
        await read_back.check()
        found = [row async for batch in read_back.rows(read_back.tables[0]) for row in batch]
        assert found == rows

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_rows_of_a_damaged_backup_are_refused(tmp_path: Path, damage: str) -> None:
    async def run() -> None:
        with backup.writing(tmp_path / "backup", "run") as folder:
            files = await folder.write_tables(Rows([(1, "a", b"b", True)] * 1000), lambda _: None)
        path = tmp_path / "backup" / files[0].file
        content = path.read_bytes()
        if damage == "gone":
            os.unlink(path)
        else:
            path.write_bytes(content[:-9] if damage == "cut" else content[:40] + b"x" + content[41:])
        read_back = backup.Backup(tmp_path / "backup", tables=files, revision=HEAD)
        with pytest.raises(BackupInvalid, match="oddities"):
            await read_back.check()
        with pytest.raises(BackupInvalid):
            _ = [batch async for batch in read_back.rows(read_back.tables[0])]

    asyncio.run(run())
