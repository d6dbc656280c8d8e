"""The index of tokens is in step with the repositories, whatever is written, taken back and deleted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core import integrity
from homeport.core.services import Services
from homeport.search_tokens import PRIVATE, PUBLIC, QUERY_WORDS_LIMIT, Token, Wanted, holding, in_namespace
from homeport.settings import Settings
from homeport.storage.db import search
from homeport.storage.db.database import Transaction, utcnow

ALL = Wanted([[PUBLIC, PRIVATE]])


class _Broken(Exception):
    pass


def run(settings: Settings, verb: Callable[[Services], Awaitable[None]]) -> None:
    async def main() -> None:
        await set_up(settings)
        async with open_services(settings) as services:
            await verb(services)

    asyncio.run(main())


async def insert(tx: Transaction, name: str, description: str = "", *, account: str = "admin") -> None:
    await tx.run(
        """
        insert into repositories (namespace_id, name, description, created_at, updated_at)
        select id, :name, :description, :now, :now from accounts where name = :account
        """,
        name=name,
        description=description,
        account=account,
        now=utcnow(),
    )
    await put(tx, name, description, account=account)


async def put(tx: Transaction, name: str, description: str = "", *, account: str = "admin") -> None:
    namespace_id = await tx.value(int, "select id from accounts where name = :account", account=account)
    assert namespace_id is not None
    await search.put(
        tx, namespace_id=namespace_id, namespace=account, name=name, description=description, is_private=False
    )


async def found(services: Services, *tokens: str) -> int:
    async with services.db.read() as tx:
        wanted = Wanted([[Token(token, is_prefix=True)] for token in tokens]) if tokens else ALL
        return len(await search.list_ids(tx, wanted, limit=100))


async def check(services: Services) -> None:
    """FTS5 compares its index with the table, and `fsck` the table with the repositories."""
    if services.settings.is_sqlite:
        async with services.db.write() as tx:
            await tx.run("insert into repository_tokens (repository_tokens, rank) values ('integrity-check', 1)")
    assert [finding async for finding in integrity.check(services)] == []


def test_tokens_are_put_changed_and_deleted(empty_settings: Settings) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await insert(tx, "first", "apple banana")
            await insert(tx, "second", "apple")
        assert (await found(services, "apple"), await found(services, "appl", "ban"), await found(services)) == (
            2,
            1,
            2,
        )
        async with services.db.write() as tx:
            await tx.run("update repositories set description = 'cherry' where name = 'first'")
            await put(tx, "first", "cherry")
        assert [await found(services, word) for word in ("apple", "banana", "cherry")] == [1, 0, 1]
        await check(services)
        async with services.db.write() as tx:
            await tx.run("delete from repositories where name = 'first'")
        assert [await found(services, word) for word in ("apple", "cherry")] == [1, 0]
        await check(services)

    run(empty_settings, verb)


def test_very_many_tokens_may_be_asked_for(empty_settings: Settings) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await insert(tx, "first", "apple")
        namespaces = [in_namespace(number) for number in range(search.NAMESPACES_LIMIT)]
        words = [holding(f"word{number}") for number in range(QUERY_WORDS_LIMIT)]
        async with services.db.read() as tx:
            assert len(await search.list_ids(tx, Wanted([namespaces, holding("apple")]), limit=9)) == 1
            assert await search.list_ids(tx, Wanted([namespaces, *words]), limit=9) == []
            assert await search.list_popular_ids(tx, Wanted(words)) == []
            assert await search.list_opened_ids(tx, Wanted(words), account_id=1, limit=9) == []

    run(empty_settings, verb)


def test_the_same_tokens_are_not_written_again(empty_settings: Settings) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await insert(tx, "first")
            writes: list[int] = []
            original = tx.run

            async def counted(sql: str, /, **parameters: object) -> int:
                writes.append(await original(sql, **parameters))
                return writes[-1]

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tx, "run", counted)
                await put(tx, "first")
                await put(tx, "first", "apple")
        assert writes == [0, 1]

    run(empty_settings, verb)


def test_what_is_taken_back_is_not_found(empty_settings: Settings) -> None:
    """On SQLite these three share one commit, with the one that fails between the others."""

    async def verb(services: Services) -> None:
        async def write(name: str, *, fails: bool) -> None:
            async with services.db.write() as tx:
                await insert(tx, name, f"apple {name}")
                await asyncio.sleep(0)
                if fails:
                    raise _Broken

        ended = await asyncio.gather(
            *(write(name, fails=name == "second") for name in ("first", "second", "third")), return_exceptions=True
        )
        assert [type(error) for error in ended] == [type(None), _Broken, type(None)]
        assert [await found(services, word) for word in ("apple", "first", "second", "third")] == [2, 1, 0, 1]
        await check(services)

    run(empty_settings, verb)


def test_an_account_that_is_deleted_takes_its_tokens_along(empty_settings: Settings) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """insert into accounts (uuid, name, kind, created_at) values ('u', 'gone', 'user', 0)""",
            )
            await insert(tx, "first", "apple", account="gone")
            await insert(tx, "second", "apple")
        assert await found(services, "apple") == 2
        async with services.db.write() as tx:
            await tx.run("delete from accounts where name = 'gone'")
        assert (await found(services, "apple"), await found(services)) == (1, 1)
        await check(services)

    run(empty_settings, verb)
