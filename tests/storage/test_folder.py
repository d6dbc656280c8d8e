"""What is of the folder alone among the blob stores; the rest is in `test_blobs.py`."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeport.errors import DigestMismatch, StoreFull, StoreUnavailable, UploadBusy
from homeport.names import Digest
from homeport.storage.blobs import filesystem
from homeport.storage.blobs.filesystem import FilesystemStore
from tests.home import digest_of
from tests.storage.test_blobs import UNLIMITED, begun, sealed, stream, whole


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    made = FilesystemStore(tmp_path / "blobs")
    made.prepare()
    return made


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


def test_who_comes_while_another_writes_is_refused_at_once(store: FilesystemStore) -> None:
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


def test_a_blob_in_memory_is_read_at_once_and_only_as_a_whole(store: FilesystemStore) -> None:
    async def run() -> None:
        _, key = await sealed(store, b"hello")
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
