"""Pages of tags: equal to a plain sorted list, whatever has been pushed, moved and deleted."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core import integrity
from homeport.core.services import Services
from homeport.settings import Settings
from homeport.storage.db import repository_types, search, tag_stretches, tags
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.tag_stretches import Ordering
from homeport.versions import version_key
from tests.home import digest_of, settings_of

DIGEST = digest_of(b"")
names = st.text(alphabet="ab-._01Z", min_size=1, max_size=4)
steps = st.lists(st.tuples(st.sampled_from(["put", "put", "put", "delete"]), names), max_size=60)


async def new_repository(tx: Transaction) -> tuple[int, int]:
    """A repository with one manifest; their ids."""
    namespace = await tx.value(int, "select id from accounts where name = 'admin'")
    number = await tx.value(int, "select count(*) from repositories")
    repository = await tx.value(
        int,
        """insert into repositories (namespace_id, name, created_at, updated_at)
        values (:namespace, :name, :now, :now) returning id""",
        namespace=namespace,
        name=f"r{number}",
        now=utcnow(),
    )
    manifest = await tx.value(
        int,
        """insert into manifests (repository_id, digest, media_type, content, size_bytes, depth, image_size_bytes,
            pushed_at) values (:repository, :digest, 'x', :content, 0, 0, 0, :now) returning id""",
        repository=repository,
        digest=DIGEST,
        content=b"",
        now=utcnow(),
    )
    assert namespace is not None
    assert repository is not None
    assert manifest is not None
    await repository_types.add(tx, repository, media_type="x", content_type="unrecognized")
    await search.put(tx, namespace_id=namespace, namespace="admin", name=f"r{number}", description="", is_private=False)
    return repository, manifest


async def apply(tx: Transaction, repository: int, manifest: int, todo: list[tuple[str, str]]) -> dict[str, int]:
    """Do the steps; the tags that there are then, each with the number of its last move."""
    model: dict[str, int] = {}
    for number, (what, name) in enumerate(todo):
        if what == "put":
            await tags.put(
                tx,
                repository_id=repository,
                name=name,
                previous=await tags.get(tx, repository_id=repository, name=name),
                manifest_id=manifest,
                digest=DIGEST,
                actor_id=None,
            )
            model[name] = number
        elif name in model:
            found = await tags.get(tx, repository_id=repository, name=name)
            assert found is not None
            await tags.delete(tx, found, actor_id=None)
            del model[name]
    return model


async def pages(tx: Transaction, repository: int, ordering: Ordering, *, is_descending: bool, size: int) -> list[str]:
    total = await tag_stretches.count(tx, repository)
    found: list[str] = []
    for offset in range(0, total + size, size):
        page = await tags.list_page(
            tx,
            repository_id=repository,
            ordering=ordering,
            is_descending=is_descending,
            offset=offset,
            limit=size,
            total=total,
        )
        assert len(page) == max(0, min(size, total - offset))
        found += [tag.name for tag in page]
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    new_database = request.getfixturevalue("new_database")
    data: Path = tmp_path_factory.mktemp("stretches") / "hub"
    found = settings_of(data, new_database(request.param))
    asyncio.run(set_up(found))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(todo=steps, size=st.integers(1, 7), limit=st.sampled_from([2, 3, 4]))
def test_pages_are_a_sorted_list(prepared: Settings, todo: list[tuple[str, str]], size: int, limit: int) -> None:
    async def run(services: Services) -> None:
        async with services.db.write() as tx:
            repository, manifest = await new_repository(tx)
            model = await apply(tx, repository, manifest, todo)
            assert await tag_stretches.count(tx, repository) == len(model)
            by_name = sorted(model, key=str.encode)
            by_time = sorted(model, key=lambda name: model[name])
            orders = {
                Ordering.NAME: by_name,
                Ordering.UPDATED: by_time,
                Ordering.VERSION: sorted(model, key=lambda name: version_key(name).encode()),
            }
            for ordering, expected in orders.items():
                assert await pages(tx, repository, ordering, is_descending=False, size=size) == expected
                assert await pages(tx, repository, ordering, is_descending=True, size=size) == expected[::-1]
        findings = [finding async for finding in integrity.check(services)]
        assert findings == []

    async def main() -> None:
        async with open_services(prepared) as services:
            await run(services)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_stretches, "LENGTH_LIMIT", limit)
        asyncio.run(main())


def test_stretches_stay_short(prepared: Settings) -> None:
    async def main() -> None:
        async with open_services(prepared) as services, services.db.write() as tx:
            repository, manifest = await new_repository(tx)
            await apply(tx, repository, manifest, [("put", f"t{number}") for number in range(300)])
            longest = await tx.value(
                int, "select max(tag_count) from tag_stretches where repository_id = :id", id=repository
            )
            cut = await tx.value(int, "select count(*) from tag_stretches where repository_id = :id", id=repository)
            assert longest is not None
            assert cut is not None
            assert longest <= 16
            assert cut <= len(Ordering) * (300 / 8 + 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_stretches, "LENGTH_LIMIT", 16)
        asyncio.run(main())


@pytest.mark.parametrize("ordering", list(Ordering))
def test_a_page_far_down_reads_the_index_and_no_more(prepared: Settings, ordering: Ordering) -> None:
    """The plans: no sorting, no scan of the table, for the rows of a page and for its place."""

    async def main() -> None:
        async with open_services(prepared) as services:
            seen: list[str] = []
            async with services.db.write() as tx:
                repository, manifest = await new_repository(tx)
                await apply(tx, repository, manifest, [("put", f"t{number}") for number in range(1500)])
            if not prepared.is_sqlite:
                async with services.db.write() as tx:
                    await tx.run("analyze tags")
                    await tx.run("analyze tag_stretches")
            services.db.trace = seen.append
            async with services.db.read() as tx:
                await tags.list_page(
                    tx,
                    repository_id=repository,
                    ordering=ordering,
                    is_descending=False,
                    offset=1200,
                    limit=10,
                    total=1500,
                )
            services.db.trace = None
            assert len(seen) == 2
            assert "offset" in seen[1]
            if prepared.is_sqlite:
                plan = await _sqlite_plan(prepared, seen[1])
                assert f"(repository_id=? AND {ordering}>?)" in plan

    asyncio.run(main())


async def _sqlite_plan(settings: Settings, statement: str) -> str:
    import sqlite3  # noqa: PLC0415

    connection = sqlite3.connect(settings.sqlite_path)
    try:
        parameters = {"repository_id": 1, "start": "0", "limit": 10, "skip": 5}
        rows = connection.execute(f"explain query plan {statement}", parameters).fetchall()
    finally:
        connection.close()
    return "\n".join(row[3] for row in rows)
