"""Blobs in a folder of the local disk.

    blobs/3f/3f0c….part                    an upload that gathers bytes; `3f0c…` is its id
    blobs/3f/3f0c….sha256-9f86d081…        a sealed blob; this relative path is its key

Both stand in one folder, so that sealing is one rename, after which the file is synced, and the folder. Bytes are
hashed while they arrive, in a thread, a mebibyte at a time: hashing on the event loop would starve the others. The
disk is told to begin with a batch before it is hashed, so that the sync at the end finds little left to do. The state
of the hash lives in memory only. When an upload goes on in another process, or after a restart, the bytes are read
once more at the end.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any

from homeport.errors import (
    BlobTooLarge,
    BlobUnknown,
    DigestMismatch,
    HomeportError,
    StoreFull,
    StoreUnavailable,
    UploadBusy,
    UploadUnknown,
)
from homeport.names import Digest

BATCH_BYTES = 1024 * 1024
HASHERS_KEPT = 1024
"""Uploads whose hash is remembered between requests; the others are read again at the end."""

_RWF_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)

# Linux has it, Python does not. Elsewhere the disk begins when the system sees fit.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
_SYNC_FILE_RANGE_WRITE = 2  # fcntl.h
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class _Progress:
    """What is known of the bytes that an upload has so far."""

    __slots__ = ("hasher", "size")

    def __init__(self) -> None:
        self.hasher: Any = hashlib.sha256()
        self.size = 0


@contextlib.contextmanager
def _explained(key: str) -> Iterator[None]:
    """The operating system's errors in our words."""
    try:
        yield
    except FileNotFoundError:
        raise BlobUnknown(key) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull from error
        raise StoreUnavailable(error.strerror or str(error)) from error


class FilesystemStore:
    """A `BlobStore` over one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = f"{root}/"  # joining strings costs a tenth of joining paths
        self._progress: OrderedDict[str, _Progress] = OrderedDict()

    def prepare(self) -> None:
        """Make the folders; safe to repeat. 256 of them, so that none grows beyond what file systems like.

        Raises:
            StoreUnavailable
        """
        with _explained("folders"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            missing = {f"{number:02x}" for number in range(256)} - set(os.listdir(self._root))
            for folder in missing:
                (self._root / folder).mkdir(mode=0o700, exist_ok=True)
            if missing:
                _sync_folder(self._root)

    async def begin(self, upload: str) -> None:
        with _explained(upload):
            # One `open` without a sync: cheaper here than the way to a thread and back.
            os.close(os.open(self._part(upload), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self._remember(upload, _Progress())

    async def append(self, upload: str, body: AsyncIterator[bytes], *, offset: int, limit_bytes: int) -> int:
        progress = self._progress.pop(upload, None)
        if progress is not None and progress.size != offset:
            progress = None
        with self._opened(upload) as file:
            present = os.fstat(file.fileno()).st_size
            if present < offset:
                raise UploadUnknown
            # Only if need be: ext4 takes a truncated file for one that is being replaced, and writes it out when it
            # is closed, while the event loop waits.
            if present > offset:
                file.truncate(offset)
            file.seek(offset)
            if offset == 0:
                progress = _Progress()
            size = offset
            writing: asyncio.Future[None] | None = None
            try:
                async for batch in _batches(body):
                    size += sum(map(len, batch))
                    if size > limit_bytes:
                        raise BlobTooLarge(limit_bytes)
                    # The next batch arrives while this one is written.
                    if writing:
                        await writing
                    writing = asyncio.get_running_loop().run_in_executor(None, _write, file, batch, progress)
                if writing:
                    await writing
            except BaseException:
                if writing:
                    await asyncio.wait([writing])
                raise
        if progress is not None:
            self._remember(upload, progress)
        return size

    async def size(self, upload: str) -> int | None:
        try:
            return os.stat(self._part(upload)).st_size
        except FileNotFoundError:
            return None

    async def seal(self, upload: str, digest: Digest) -> str:
        progress = self._progress.pop(upload, None)
        if progress is not None and digest.algorithm != "sha256":
            progress = None
        key = f"{upload[:2]}/{upload}.{digest.algorithm}-{digest.hex}"
        with self._opened(upload) as file, _explained(key):
            await asyncio.to_thread(_seal, file, digest, progress, self._part(upload), self._prefix + key)
        return key

    async def discard(self, upload: str) -> None:
        self._progress.pop(upload, None)
        with _explained(upload):
            await asyncio.to_thread(self._unlink_all, upload)

    async def list_stale(self, *, before: datetime) -> list[str]:
        return await asyncio.to_thread(self._stale, before.timestamp())

    def _stale(self, before_s: float) -> list[str]:
        stale = []
        for path in self._root.glob("*/*.part"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    stale.append(path.stem)
        return stale

    def _unlink_all(self, upload: str) -> None:
        for path in (self._root / upload[:2]).glob(f"{upload}.*"):
            path.unlink(missing_ok=True)

    def local_path(self, key: str) -> str | None:
        path = self._prefix + key
        if not os.path.exists(path):
            raise StoreUnavailable(f"the bytes of {key} are missing")
        return path

    async def url(self, key: str) -> str | None:  # noqa: ARG002 - the contract's
        return None

    def read_cached(self, key: str, length: int) -> bytes | None:
        if _RWF_NOWAIT is None:
            return None
        buffer = bytearray(length)
        try:
            descriptor = os.open(self._prefix + key, os.O_RDONLY)
        except OSError:
            return None
        try:
            return bytes(buffer) if os.preadv(descriptor, [buffer], 0, _RWF_NOWAIT) == length else None
        except OSError:
            return None  # BlockingIOError: it is on the disk; or a file system that does not know the question
        finally:
            os.close(descriptor)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        with _explained(key):
            descriptor = os.open(self._prefix + key, os.O_RDONLY)
            try:
                left = os.fstat(descriptor).st_size - start if length is None else length
                while left > 0:
                    chunk = await asyncio.to_thread(os.pread, descriptor, min(left, BATCH_BYTES), start)
                    if not chunk:
                        raise StoreUnavailable(f"{key} is shorter than it was")
                    start += len(chunk)
                    left -= len(chunk)
                    yield chunk
            finally:
                os.close(descriptor)

    async def stored_size(self, key: str) -> int | None:
        with contextlib.suppress(BlobUnknown), _explained(key):
            return os.stat(self._prefix + key).st_size
        return None

    async def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(os.unlink, self._prefix + key)

    async def keys(self) -> AsyncIterator[tuple[str, int]]:
        for number in range(256):
            folder = f"{number:02x}"
            for name, size in await asyncio.to_thread(_listing, self._root / folder):
                if not name.endswith(".part"):
                    yield f"{folder}/{name}", size

    def upload_of(self, key: str) -> str:
        return key.rpartition("/")[2].partition(".")[0]

    async def check(self) -> None:
        # In a thread: a network's file system may hang.
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        with _explained("check"):
            probe = self._root / f"check-{os.getpid()}"
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY, 0o600))
            os.unlink(probe)

    def _part(self, upload: str) -> str:
        return f"{self._prefix}{upload[:2]}/{upload}.part"

    def _remember(self, upload: str, progress: _Progress) -> None:
        self._progress[upload] = progress
        if len(self._progress) > HASHERS_KEPT:
            self._progress.popitem(last=False)

    @contextlib.contextmanager
    def _opened(self, upload: str) -> Iterator[FileIO]:
        """The file of an upload, for this request alone, also against other processes."""
        try:
            file = FileIO(self._part(upload), "r+")
        except FileNotFoundError:
            raise UploadUnknown from None
        with file, _explained(upload):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadBusy from None
            try:
                yield file
            except FileNotFoundError:
                raise UploadUnknown from None


async def _batches(body: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The stream in lists of about a mebibyte. What came before it broke off still comes."""
    batch: list[bytes] = []
    size = 0
    broken: HomeportError | None = None
    try:
        async for chunk in body:
            batch.append(chunk)
            size += len(chunk)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except HomeportError as error:
        broken = error
    if batch:
        yield batch
    if broken:
        raise broken


def _write(file: FileIO, batch: list[bytes], progress: _Progress | None) -> None:
    start = file.tell()
    for chunk in batch:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
    if _sync_file_range is not None:
        _sync_file_range(file.fileno(), start, file.tell() - start, _SYNC_FILE_RANGE_WRITE)
    if progress is not None:
        for chunk in batch:
            progress.hasher.update(chunk)
            progress.size += len(chunk)


def _matches(file: FileIO, digest: Digest, progress: _Progress | None) -> bool:
    if progress is None or progress.size != os.fstat(file.fileno()).st_size:
        file.seek(0)
        found: str = hashlib.file_digest(file, digest.algorithm).hexdigest()
    else:
        found = progress.hasher.hexdigest()
    return found == digest.hex


def _seal(file: FileIO, digest: Digest, progress: _Progress | None, part: str, final: str) -> None:
    """Check, rename, sync the file, sync the folder.

    The name comes first: a journalling file system then writes it with the file's own sync, and the folder's costs
    next to nothing. Until the blob's row is committed nobody looks at the name, so it may stand before the bytes do.
    """
    if not _matches(file, digest, progress):
        os.unlink(part)
        raise DigestMismatch(digest)
    os.rename(part, final)
    os.fsync(file.fileno())
    _sync_folder(os.path.dirname(final))


def _sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _listing(folder: Path) -> list[tuple[str, int]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.stat(follow_symlinks=False).st_size) for entry in entries]
