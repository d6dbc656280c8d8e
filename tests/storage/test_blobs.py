"""The blob store on disk: what its contract says."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
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
    StoreFull,
    StoreUnavailable,
    UploadBusy,
    UploadUnknown,
)
from homeport.names import Digest
from homeport.storage.blobs import filesystem
from homeport.storage.blobs.filesystem import FilesystemStore
from tests.home import digest_of

UNLIMITED = 2**40


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise SizeMismatch(expected_bytes=100, received_bytes=1)


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    made = FilesystemStore(tmp_path / "blobs")
    made.prepare()
    return made


async def begun(store: FilesystemStore) -> str:
    upload = uuid4().hex
    await store.begin(upload)
    return upload


async def whole(store: FilesystemStore, key: str, **bounds: int) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, **bounds)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.lists(st.binary(max_size=50), max_size=4), max_size=5),
    algorithm=st.sampled_from(["sha256", "sha512"]),
    forgets=st.booleans(),
)
def test_any_chunks_make_the_same_blob(
    store: FilesystemStore, chunks: list[list[bytes]], algorithm: str, forgets: bool
) -> None:
    async def run() -> None:
        upload = await begun(store)
        expected = b""
        for request in chunks:
            size = await store.append(upload, stream(*request), offset=len(expected), limit_bytes=UNLIMITED)
            expected += b"".join(request)
            assert size == len(expected)
        # Another process, or this one after a restart, knows nothing of the hash.
        finisher = FilesystemStore(store._root) if forgets else store
        key = await finisher.seal(upload, Digest(digest_of(expected, algorithm)))
        assert await whole(store, key) == expected
        assert await store.stored_size(key) == len(expected)
        assert await store.size(upload) is None
        assert key in [found async for found, _ in store.keys()]  # noqa: SIM118 - no mapping

    asyncio.run(run())


def test_batches_larger_than_a_mebibyte(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        pieces = [bytes([number]) * 700_000 for number in range(8)]
        await store.append(upload, stream(*pieces), offset=0, limit_bytes=UNLIMITED)
        content = b"".join(pieces)
        key = await store.seal(upload, Digest(digest_of(content)))
        assert await whole(store, key) == content
        assert await whole(store, key, start=699_999, length=2) == b"\0\1"

    asyncio.run(run())


def test_what_came_before_a_break_is_kept_and_goes_on(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        with pytest.raises(SizeMismatch):
            await store.append(upload, broken(b"hello "), offset=0, limit_bytes=UNLIMITED)
        assert await store.size(upload) == 6
        await store.append(upload, stream(b"world"), offset=6, limit_bytes=UNLIMITED)
        await store.seal(upload, Digest(digest_of(b"hello world")))

    asyncio.run(run())


def test_bytes_behind_the_offset_are_written_over(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"hello nonsense"), offset=0, limit_bytes=UNLIMITED)
        await store.append(upload, stream(b"world"), offset=6, limit_bytes=UNLIMITED)
        await store.seal(upload, Digest(digest_of(b"hello world")))

    asyncio.run(run())


def test_a_wrong_digest_leaves_no_file(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"content"), offset=0, limit_bytes=UNLIMITED)
        with pytest.raises(DigestMismatch):
            await store.seal(upload, Digest(digest_of(b"other")))
        assert list(store._root.glob("*/*")) == []

    asyncio.run(run())


def test_an_upload_that_is_not_there(store: FilesystemStore) -> None:
    async def run() -> None:
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


def test_two_writers_of_one_upload(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"slow"
            entered.set()
            await leave.wait()

        first = asyncio.create_task(store.append(upload, slow(), offset=0, limit_bytes=UNLIMITED))
        await entered.wait()
        other = FilesystemStore(store._root)
        with pytest.raises(UploadBusy):
            await other.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        leave.set()
        assert await first == 4

    asyncio.run(run())


def test_a_limit(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        assert await store.append(upload, stream(b"12345"), offset=0, limit_bytes=5) == 5
        with pytest.raises(BlobTooLarge):
            await store.append(upload, stream(b"6"), offset=5, limit_bytes=5)

    asyncio.run(run())


def test_a_full_disk_is_told_so(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def run() -> None:
        upload = await begun(store)
        monkeypatch.setattr(filesystem, "_write", full)
        with pytest.raises(StoreFull):
            await store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        monkeypatch.undo()
        await store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        key = await store.seal(upload, Digest(digest_of(b"x")))
        assert await whole(store, key) == b"x"

    asyncio.run(run())


def test_discarding_takes_away_a_sealed_blob_too(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        key = await store.seal(upload, Digest(digest_of(b"")))
        await store.discard(upload)
        assert await store.stored_size(key) is None
        with pytest.raises(BlobUnknown):
            await whole(store, key)
        await store.delete(key)

    asyncio.run(run())


def test_a_blob_in_memory_is_read_at_once_and_only_as_a_whole(store: FilesystemStore) -> None:
    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"hello"), offset=0, limit_bytes=UNLIMITED)
        key = await store.seal(upload, Digest(digest_of(b"hello")))
        assert store.read_cached(key, 5) == b"hello"
        assert store.read_cached(key, 6) is None
        await store.delete(key)
        assert store.read_cached(key, 5) is None
        with pytest.raises(StoreUnavailable):
            store.local_path(key)

    asyncio.run(run())


def test_sealing_ends_when_the_file_and_its_folder_are_synced(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        calls.append("sync folder" if is_folder else "sync file")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append("rename")
        real_rename(source, target)

    async def run() -> None:
        upload = await begun(store)
        await store.append(upload, stream(b"x"), offset=0, limit_bytes=UNLIMITED)
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "rename", rename)
        await store.seal(upload, Digest(digest_of(b"x")))

    asyncio.run(run())
    assert calls == ["rename", "sync file", "sync folder"]
