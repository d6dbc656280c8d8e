"""What the contract of blob stores says, of a folder and of a bucket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.errors import (
    BlobTooLarge,
    BlobUnknown,
    DigestMismatch,
    SizeMismatch,
    UploadBusy,
    UploadUnknown,
)
from homeport.names import Digest
from homeport.settings import load
from homeport.storage.blobs.filesystem import FilesystemStore
from homeport.storage.blobs.s3 import PART_BYTES, S3Store
from homeport.storage.blobs.store import BlobStore
from tests.home import digest_of

UNLIMITED = 64 * 1024**3
OpenStore = Callable[[], BlobStore]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise SizeMismatch(expected_bytes=100, received_bytes=1)


@pytest.fixture(params=["folder", "bucket"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens an empty place, as each process does for itself."""
    if request.param == "folder":
        made = FilesystemStore(tmp_path / "blobs")
        made.prepare()
        return lambda: FilesystemStore(tmp_path / "blobs")
    server = request.getfixturevalue("s3_server")
    loaded = load(server.variables())
    return lambda: S3Store(loaded)


async def begun(store: BlobStore) -> str:
    upload = uuid4().hex
    await store.begin(upload)
    return upload


async def sealed(store: BlobStore, content: bytes) -> tuple[str, str]:
    """An upload and its key."""
    upload = await begun(store)
    await store.append(upload, stream(content), offset=0, limit_bytes=UNLIMITED)
    return upload, await store.seal(upload, Digest(digest_of(content)))


async def whole(store: BlobStore, key: str, **bounds: int) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, **bounds)])


async def keys(store: BlobStore) -> dict[str, int]:
    return {key: size async for key, size in store.keys()}  # noqa: SIM118 - no mapping


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.lists(st.binary(max_size=50), max_size=4), max_size=5),
    algorithm=st.sampled_from(["sha256", "sha512"]),
    forgets=st.booleans(),
)
def test_any_chunks_make_the_same_blob(
    open_store: OpenStore, chunks: list[list[bytes]], algorithm: str, forgets: bool
) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        expected = b""
        for request in chunks:
            size = await store.append(upload, stream(*request), offset=len(expected), limit_bytes=UNLIMITED)
            expected += b"".join(request)
            assert size == len(expected) == await store.size(upload)
        # Another process, or this one after a restart, knows nothing of the hash.
        finisher = open_store() if forgets else store
        key = await finisher.seal(upload, Digest(digest_of(expected, algorithm)))
        assert await whole(store, key) == expected
        assert await store.stored_size(key) == len(expected)
        assert await store.size(upload) is None
        assert (await keys(store))[key] == len(expected)
        assert store.upload_of(key) == upload

    asyncio.run(run())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize(
    "sizes",
    [
        [2 * PART_BYTES],
        [2 * PART_BYTES + 1],
        [PART_BYTES, PART_BYTES],
        [3, PART_BYTES, 5, 2 * PART_BYTES + 7, 11],
        [PART_BYTES - 1, 1, 1],
    ],
)
def test_chunks_of_any_size_at_several_processes(open_store: OpenStore, sizes: list[int], algorithm: str) -> None:
    async def run() -> None:
        upload = await begun(open_store())
        content = b""
        for number, size in enumerate(sizes):
            body = bytes([number + 1]) * size
            pieces = [body[start : start + 700_000] for start in range(0, size, 700_000)]
            store = open_store()
            offset = await store.size(upload)
            assert offset == len(content)
            content += body
            assert await store.append(upload, stream(*pieces), offset=offset, limit_bytes=UNLIMITED) == len(content)
        key = await open_store().seal(upload, Digest(digest_of(content, algorithm)))
        store = open_store()
        assert await whole(store, key) == content
        assert await whole(store, key, start=sizes[0] - 1) == content[sizes[0] - 1 :]
        assert await keys(store) == {key: len(content)}

    asyncio.run(run())


@pytest.mark.parametrize(("start", "length"), [(0, None), (3, None), (0, 4), (3, 4), (9, 1), (2, 0)])
def test_a_range_is_read(open_store: OpenStore, start: int, length: int | None) -> None:
    async def run() -> None:
        store = open_store()
        _, key = await sealed(store, b"0123456789")
        found = b"".join([chunk async for chunk in store.read(key, start=start, length=length)])
        assert found == b"0123456789"[start:][:length]

    asyncio.run(run())


def test_what_came_before_a_break_is_kept_and_goes_on(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        with pytest.raises(SizeMismatch):
            await store.append(upload, broken(b"hello "), offset=0, limit_bytes=UNLIMITED)
        assert await store.size(upload) == 6
        with pytest.raises(SizeMismatch):
            await store.append(upload, broken(), offset=6, limit_bytes=UNLIMITED)
        assert await store.size(upload) == 6
        await store.append(upload, stream(b"world"), offset=6, limit_bytes=UNLIMITED)
        await store.seal(upload, Digest(digest_of(b"hello world")))

    asyncio.run(run())


def test_a_large_body_that_breaks_off_is_kept_too(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        content = b"x" * (PART_BYTES + 1)
        with pytest.raises(SizeMismatch):
            await store.append(upload, broken(content), offset=0, limit_bytes=UNLIMITED)
        assert await store.size(upload) == len(content)
        await store.seal(upload, Digest(digest_of(content)))

    asyncio.run(run())


@pytest.mark.parametrize("chunks", [[b"content"], [b"one" * PART_BYTES, b"two"]])
def test_a_wrong_digest_leaves_nothing(open_store: OpenStore, chunks: list[bytes]) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        size = 0
        for chunk in chunks:
            size = await store.append(upload, stream(chunk), offset=size, limit_bytes=UNLIMITED)
        with pytest.raises(DigestMismatch):
            await store.seal(upload, Digest(digest_of(b"other")))
        assert await store.size(upload) is None
        assert await keys(store) == {}

    asyncio.run(run())


def test_an_upload_that_is_not_there(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload = uuid4().hex
        assert await store.size(upload) is None
        with pytest.raises(UploadUnknown):
            await store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        with pytest.raises(UploadUnknown):
            await store.seal(upload, Digest(digest_of(b"")))
        await store.discard(upload)
        await store.begin(upload)
        with pytest.raises(UploadUnknown):
            await store.append(upload, stream(b"x"), offset=5, limit_bytes=UNLIMITED)

    asyncio.run(run())


def test_of_two_writers_of_one_upload_one_goes_on(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"slow"
            entered.set()
            await leave.wait()

        first = asyncio.create_task(store.append(upload, slow(), offset=0, limit_bytes=UNLIMITED))
        await asyncio.wait([asyncio.create_task(entered.wait())])
        other = open_store()
        second = asyncio.create_task(other.append(upload, stream(b"quick"), offset=0, limit_bytes=UNLIMITED))
        await asyncio.wait([second])
        leave.set()
        await asyncio.wait([first])
        refused, taken = (first, second) if first.exception() else (second, first)
        assert isinstance(refused.exception(), UploadBusy)
        content = b"slow" if taken is first else b"quick"
        assert taken.result() == len(content) == await other.size(upload)
        key = await other.seal(upload, Digest(digest_of(content)))
        assert await whole(store, key) == content
        assert await keys(store) == {key: len(content)}

    asyncio.run(run())


def test_of_many_that_seal_one_upload_no_two_take_away_each_others_bytes(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        content = b"x" * PART_BYTES + b"y"
        await store.append(upload, stream(content[:-1]), offset=0, limit_bytes=UNLIMITED)
        await store.append(upload, stream(content[-1:]), offset=PART_BYTES, limit_bytes=UNLIMITED)
        sealing = [open_store().seal(upload, Digest(digest_of(content))) for _ in range(4)]
        results = await asyncio.gather(*sealing, return_exceptions=True)
        found = [result for result in results if isinstance(result, str)]
        assert len(found) == 1
        assert all(isinstance(result, str | UploadBusy | UploadUnknown) for result in results), results
        assert await keys(store) == {found[0]: len(content)}
        assert await whole(store, found[0]) == content

    asyncio.run(run())


@pytest.mark.parametrize("content", [b"12345", b"x" * (2 * PART_BYTES)])
def test_a_limit(open_store: OpenStore, content: bytes) -> None:
    async def run() -> None:
        store = open_store()
        upload = await begun(store)
        limit = len(content)
        assert await store.append(upload, stream(content), offset=0, limit_bytes=limit) == limit
        with pytest.raises(BlobTooLarge):
            await store.append(upload, stream(b"6"), offset=limit, limit_bytes=limit)
        other = await begun(store)
        with pytest.raises(BlobTooLarge):
            await store.append(other, stream(content, b"6"), offset=0, limit_bytes=limit)

    asyncio.run(run())


def test_discarding_takes_away_a_sealed_blob_too(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        upload, key = await sealed(store, b"x")
        _, other = await sealed(store, b"x")
        assert await store.stored_size(key) == 1
        await store.discard(upload)
        assert await store.stored_size(key) is None
        with pytest.raises(BlobUnknown):
            await whole(store, key)
        await store.delete(key)
        assert await keys(store) == {other: 1}

    asyncio.run(run())


def test_a_deleted_blob_is_gone(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        _, key = await sealed(store, b"x")
        await store.delete(key)
        await store.delete(key)
        assert await store.stored_size(key) is None
        assert await keys(store) == {}

    asyncio.run(run())


def test_uploads_that_nobody_writes_to_are_stale_and_no_keys(open_store: OpenStore) -> None:
    async def run() -> None:
        store = open_store()
        await sealed(store, b"x")
        old = [await begun(store) for _ in range(2)]
        await store.append(old[0], stream(b"old"), offset=0, limit_bytes=UNLIMITED)
        written = await begun(store)
        # Stores tell times in whole seconds, and by a clock of their own.
        await asyncio.sleep(1.5)
        moment = datetime.now(UTC)
        await asyncio.sleep(1.5)
        await store.append(written, stream(b"new"), offset=0, limit_bytes=UNLIMITED)
        assert sorted(await store.list_stale(before=moment)) == sorted(old)
        assert await store.list_stale(before=moment - timedelta(hours=1)) == []
        assert len(await keys(store)) == 1
        for upload in old:
            await store.discard(upload)
        assert await store.list_stale(before=moment) == []

    asyncio.run(run())
