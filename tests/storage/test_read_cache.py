"""Copies of blobs on the local disk: whole or not there, and never more than a limit for long."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeport.errors import StoreUnavailable
from homeport.storage.blobs.read_cache import ABANDONED_S, SWEEP_SHARE, ReadCache, read_file
from tests.storage.test_blobs import stream

LIMIT = 16_000


async def fetched(cache: ReadCache, key: str, content: bytes) -> bytes:
    """What a reader gets that finds no copy."""
    chunks = stream(content[:3], content[3:])
    return b"".join([chunk async for chunk in cache.keep(key, len(content), chunks)])


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def total_bytes(folder: Path) -> int:
    return sum(os.stat(folder / name).st_size for name in os.listdir(folder))


async def copied(cache: ReadCache, key: str) -> bytes | None:
    file = cache.open(key)
    if file is None:
        return None
    with file:
        return b"".join([chunk async for chunk in read_file(file, start=0, length=None)])


def test_what_passed_whole_is_found_again_by_any_process(tmp_path: Path) -> None:
    async def run() -> None:
        cache, other = ReadCache(tmp_path / "cache", LIMIT), ReadCache(tmp_path / "cache", LIMIT)
        assert await copied(cache, "upload/piece") is None
        assert await fetched(cache, "upload/piece", b"content") == b"content"
        assert await copied(other, "upload/piece") == b"content"
        file = other.open("upload/piece")
        assert file is not None
        with file:
            # Who reads it goes on although it is removed meanwhile.
            await cache.forget("upload/piece")
            assert b"".join([chunk async for chunk in read_file(file, start=2, length=3)]) == b"nte"
        assert await copied(other, "upload/piece") is None
        await cache.forget("upload/piece")

    asyncio.run(run())


async def breaking() -> AsyncIterator[bytes]:
    yield b"half"
    raise StoreUnavailable("broke off")


def test_what_did_not_pass_whole_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        cache = ReadCache(tmp_path, LIMIT)
        with pytest.raises(StoreUnavailable):
            [chunk async for chunk in cache.keep("broken", 8, breaking())]
        # The reader went away.
        reading = cache.keep("left", 8, stream(b"half", b"half"))
        assert await anext(reading) == b"half"
        await reading.aclose()
        # The bucket gave less than it said.
        assert [chunk async for chunk in cache.keep("short", 8, stream(b"half"))] == [b"half"]
        assert names(tmp_path) == set()

    asyncio.run(run())


def test_many_that_fetch_the_same_leave_one_right_copy(tmp_path: Path) -> None:
    async def run() -> None:
        caches = [ReadCache(tmp_path, LIMIT) for _ in range(8)]
        content = b"x" * 3000
        assert await asyncio.gather(*(fetched(cache, "key", content) for cache in caches)) == [content] * 8
        assert await copied(caches[0], "key") == content
        assert names(tmp_path) == {"key"}

    asyncio.run(run())


def test_what_was_not_read_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    async def run() -> None:
        cache = ReadCache(tmp_path, LIMIT)
        for number in range(16):
            await fetched(cache, f"key{number}", b"x" * 1000)
            past = time.time() - 1000 + number
            os.utime(tmp_path / f"key{number}", (past, past))
        assert await copied(cache, "key0") is not None
        for number in range(16, 19):
            await fetched(cache, f"key{number}", b"x" * 1000)
        left = names(tmp_path)
        assert {"key0", "key16", "key17", "key18"} <= left
        assert not left & {"key1", "key2", "key3"}
        assert total_bytes(tmp_path) <= LIMIT + LIMIT // SWEEP_SHARE

    asyncio.run(run())


def test_what_is_larger_than_its_share_passes_and_is_not_kept(tmp_path: Path) -> None:
    async def run() -> None:
        cache = ReadCache(tmp_path, LIMIT)
        content = b"x" * (LIMIT // 4 + 1)
        assert await fetched(cache, "large", content) == content
        assert names(tmp_path) == set()

    asyncio.run(run())


def test_what_a_dead_process_left_goes_in_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        for name, age_s in (("old", ABANDONED_S + 60), ("young", 60)):
            (tmp_path / f"{name}.new").write_bytes(b"half")
            os.utime(tmp_path / f"{name}.new", (time.time() - age_s,) * 2)
        await fetched(ReadCache(tmp_path, LIMIT), "key", b"content")
        assert names(tmp_path) == {"young.new", "key"}

    asyncio.run(run())


def test_a_disk_that_fails_costs_the_copy_and_not_the_answer(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "file").touch()
        cache = ReadCache(tmp_path / "file" / "cache", LIMIT)
        assert await fetched(cache, "key", b"content") == b"content"
        assert await copied(cache, "key") is None

    asyncio.run(run())
