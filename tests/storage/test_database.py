"""The typed transaction, on both databases."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from homeport.cli.serve import set_up
from homeport.errors import DatabaseUnavailable, ValueUnstorable
from homeport.settings import Settings
from homeport.storage.db.database import CACHE_LIMIT, Database, Transaction, from_microseconds, to_microseconds
from homeport.storage.db.engine import open_database
from homeport.storage.db.migrate import HEAD, is_current, migrate
from tests.home import settings_of
from tests.postgres import PostgresServer


class Row(msgspec.Struct, frozen=True):
    id: int
    name: str
    is_active: bool
    created_at: datetime


MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
COLUMNS = "id, name, is_active, created_at"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    settings.data.mkdir(parents=True, exist_ok=True)
    await migrate(settings)
    db = await open_database(settings)
    try:
        yield db
    finally:
        await db.close()


async def insert(tx: Transaction, name: str) -> Row | None:
    return await tx.one(
        Row,
        f"""insert into accounts (uuid, name, kind, is_active, created_at)
        values (:name, :name, 'user', :is_active, :moment) on conflict do nothing returning {COLUMNS}""",
        name=name,
        is_active=True,
        moment=MOMENT,
    )


async def count(db: Database) -> int:
    async with db.read() as tx:
        return await tx.value(int, "select count(*) from accounts") or 0


def test_values_come_back_as_they_went(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            async with db.write() as tx:
                made = await insert(tx, "ann")
                again = await insert(tx, "ann")
            assert again is None
            assert made is not None
            assert (made.name, made.is_active, made.created_at) == ("ann", True, MOMENT)
            async with db.read(scan=True) as tx:
                assert await tx.one(Row, f"select {COLUMNS} from accounts where name = :name", name="ann") == made
                assert await tx.one(Row, f"select {COLUMNS} from accounts where name = :name", name="bob") is None
                found = await tx.many(
                    Row, f"select {COLUMNS} from accounts where id in (:ids...bigint)", ids=[made.id, 99]
                )
                assert found == [made]
                by_name = f"select {COLUMNS} from accounts where name in (:names...text)"
                assert await tx.many(Row, by_name, names=["ann", 'a"b', "x,y"]) == [made]
                assert await tx.many(Row, by_name, names=[]) == []
                assert await tx.value(str, "select email from accounts where name = :name", name="ann") is None

    asyncio.run(run())


def test_a_transaction_that_fails_leaves_nothing(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:

            async def failing() -> None:
                async with db.write() as tx:
                    await insert(tx, "gone")
                    raise RuntimeError("on purpose")

            with pytest.raises(RuntimeError):
                await failing()
            assert await count(db) == 0
            async with db.write() as tx:
                await insert(tx, "kept")
            assert await count(db) == 1

    asyncio.run(run())


def test_transactions_at_once_are_each_kept_or_not(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:

            async def write(number: int) -> None:
                async with db.write() as tx:
                    await insert(tx, f"n{number}")
                    await asyncio.sleep(0)
                    if number % 3 == 0:
                        raise RuntimeError("on purpose")

            outcomes = await asyncio.gather(*(write(number) for number in range(150)), return_exceptions=True)
            assert sum(isinstance(outcome, RuntimeError) for outcome in outcomes) == 50
            assert sum(outcome is None for outcome in outcomes) == 100
            assert await count(db) == 100

    asyncio.run(run())


def test_a_transaction_that_is_cancelled_leaves_nothing_and_stops_nobody(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            inside = asyncio.Event()

            async def endless() -> None:
                async with db.write() as tx:
                    await insert(tx, "endless")
                    inside.set()
                    await asyncio.sleep(3600)

            async def short(name: str) -> None:
                async with db.write() as tx:
                    await insert(tx, name)

            task = asyncio.create_task(endless())
            await inside.wait()
            waiting = [asyncio.create_task(short(f"w{number}")) for number in range(5)]
            await asyncio.sleep(0.05)
            waiting[2].cancel()
            task.cancel()
            outcomes = await asyncio.gather(task, *waiting, return_exceptions=True)
            cancelled = [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes]
            assert cancelled[0]
            assert not any(cancelled[1:3] + cancelled[4:])
            assert await count(db) == 4 + (not cancelled[3])

    asyncio.run(run())


def test_nobody_hears_of_what_was_not_kept(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            heard: list[tuple[str, int]] = []
            db.listen(lambda event, id_: heard.append((event, id_)))

            async def announce(id_: int, *, fails: bool) -> None:
                async with db.write() as tx:
                    tx.announce("event", id_)
                    assert heard == []
                    if fails:
                        raise RuntimeError("on purpose")

            with pytest.raises(RuntimeError):
                await announce(1, fails=True)
            await announce(2, fails=False)
            assert heard == [("event", 2)]

    asyncio.run(run())


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 2**70])
def test_what_no_row_can_hold_is_refused_alike(empty_settings: Settings, value: object) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            statement = (
                "select 1 from accounts where name = :value"
                if isinstance(value, str)
                else "select 1 from accounts where id = :value"
            )
            with pytest.raises(ValueUnstorable):
                async with db.read() as tx:
                    await tx.value(int, statement, value=value)

    asyncio.run(run())


def test_a_struct_that_does_not_fit_its_statement_is_a_mistake(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            async with db.write() as tx:
                await insert(tx, "ann")
            with pytest.raises(TypeError):
                async with db.read() as tx:
                    await tx.one(Row, "select name, id, is_active, created_at from accounts")

    asyncio.run(run())


def test_names_compare_in_byte_order(empty_settings: Settings) -> None:
    async def run() -> None:
        names = ["a", "B", "a-b", "_", "0", "é", "a.b", "ab", "Z"]
        async with opened(empty_settings) as db:
            async with db.write() as tx:
                for name in names:
                    await insert(tx, name)
            async with db.read() as tx:
                rows = await tx.many(Row, f"select {COLUMNS} from accounts order by name")
            assert [row.name for row in rows] == sorted(names, key=str.encode)

    asyncio.run(run())


def test_ids_are_never_given_twice(empty_settings: Settings) -> None:
    async def run() -> None:
        async with opened(empty_settings) as db:
            async with db.write() as tx:
                first = await insert(tx, "first")
                await tx.run("delete from accounts")
                second = await insert(tx, "second")
            assert first is not None
            assert second is not None
            assert second.id > first.id

    asyncio.run(run())


def test_migrating_twice_does_nothing_more(empty_settings: Settings) -> None:
    async def run() -> None:
        first = await set_up(empty_settings)
        second = await set_up(empty_settings)
        assert (first.is_migrated, second.is_migrated) == (True, False)
        assert first.prepared.generated_password
        assert second.prepared.generated_password is None
        assert await is_current(empty_settings)

    asyncio.run(run())


def test_the_url_takes_the_parameters_of_the_driver(tmp_path: Path, new_database: Callable[[str], str]) -> None:
    settings = settings_of(tmp_path, new_database("postgres") + "?sslmode=disable&application_name=mine")
    assert asyncio.run(migrate(settings))
    assert asyncio.run(is_current(settings))


def test_two_that_migrate_at_once_agree(empty_settings: Settings) -> None:
    async def run() -> None:
        empty_settings.data.mkdir(parents=True)
        outcomes = await asyncio.gather(*(migrate(empty_settings) for _ in range(3)))
        assert sum(outcomes) >= 1
        assert await is_current(empty_settings)

    asyncio.run(run())


def test_head_is_the_newest_migration() -> None:
    folder = Path(__file__).parents[2] / "src/homeport/storage/db/migrations/versions"
    assert sorted(path.name[:4] for path in folder.glob("[0-9]*.py"))[-1] == HEAD


def test_the_data_is_for_its_owner_only(empty_settings: Settings) -> None:
    asyncio.run(set_up(empty_settings))
    assert empty_settings.data.stat().st_mode & 0o777 == 0o700
    if empty_settings.is_sqlite:
        assert empty_settings.sqlite_path.stat().st_mode & 0o777 == 0o600


def test_of_two_that_wait_for_each_other_one_is_told_to_come_again(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    settings = settings_of(tmp_path, new_database("postgres"))  # SQLite has one writer: nobody waits crosswise

    async def run() -> list[object]:
        async with opened(settings) as db:
            both_hold_one = asyncio.Barrier(2)

            async def cross(first: int, second: int) -> None:
                async with db.write() as tx:
                    await tx.lock("crossing", first)
                    await both_hold_one.wait()
                    await tx.lock("crossing", second)

            return list(await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True))

    outcomes = asyncio.run(run())
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes) == 1


def test_who_is_told_that_postgresql_is_away_is_not_told_where_it_is(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        server.create()
        with server.running():
            settings = settings_of(tmp_path, server.url)

            async def run() -> list[str]:
                reasons = []
                async with opened(settings) as db:
                    server.stop()
                    for _ in range(3):
                        with pytest.raises(DatabaseUnavailable) as caught:
                            async with db.read() as tx:
                                await tx.value(int, "select 1")
                        reasons.append(str(caught.value))
                return reasons

            for reason in asyncio.run(run()):
                assert reason.startswith("the database is not available: ")
                assert not any(text in reason for text in ("127.0.0.1", str(server.port), "DETAIL")), reason


class Single(msgspec.Struct, frozen=True):
    number: int


def test_statements_without_end_are_not_remembered_without_end(empty_settings: Settings) -> None:
    """Each filter of an identity provider may be a statement of its own."""

    async def run() -> list[int]:
        async with opened(empty_settings) as db:
            async with db.read() as tx:
                for number in range(CACHE_LIMIT + 10):
                    assert await tx.one(Single, f"select {number} as number") == Single(number)
            return [len(held) for held in vars(db).values() if isinstance(held, dict)]

    sizes = asyncio.run(run())
    assert 0 < max(sizes) <= CACHE_LIMIT


def test_a_database_that_is_away_is_told_so(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url="postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        asyncio.run(open_database(settings))
    with pytest.raises(DatabaseUnavailable):
        asyncio.run(migrate(settings))


@pytest.mark.parametrize("moment", [MOMENT, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)])
def test_times_keep_their_microseconds(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment
