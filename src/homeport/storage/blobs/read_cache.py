"""Blobs of a bucket on the local disk: those that were read last, up to a limit.

A file stands for one key. It gets its name when it is whole and synced, and keys are never used twice, so what has a
name is right. Several processes share the folder without locks: of two that fetch the same blob each writes a file of
its own, and the last one gives it the name; who reads has the file open, and may find its name gone. The time of a file
says when it was read last.

What is wrong with this disk is nobody's trouble: then the bytes come from the bucket.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from io import FileIO
from pathlib import Path
from uuid import uuid4

import structlog

from homeport.errors import StoreUnavailable

log = structlog.get_logger()

CHUNK_BYTES = 1024 * 1024
LARGEST_SHARE = 4
"""A blob that takes more than this part of the limit is not kept: it would drive out too many others."""
SWEEP_SHARE = 16
"""A process looks through the folder when it has added this part of the limit; so much may be there beyond it."""
ABANDONED_S = 24 * 3600
"""After which an unfinished file is a dead process's."""

_UNFINISHED = ".new"


class ReadCache:
    """A folder of copies, for all processes of one machine."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._added_bytes = limit_bytes  # others were here before: the first addition looks through the folder

    def open(self, key: str) -> FileIO | None:
        """The copy of a key, to be closed by the caller; None if there is none."""
        path = self._path(key)
        try:
            file = FileIO(path)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return file

    async def keep(self, key: str, size_bytes: int, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The chunks of a whole blob as they come, and a copy of them once the last has come."""
        copy = _Copy(self._folder / f"{uuid4().hex}{_UNFINISHED}") if self._takes(size_bytes) else None
        try:
            async for chunk in chunks:
                if copy is not None:
                    await asyncio.to_thread(copy.write, chunk)
                yield chunk
            if copy is not None and await asyncio.to_thread(copy.finish, self._path(key), size_bytes):
                self._added_bytes += size_bytes
        finally:
            if copy is not None:
                copy.close()
        if self._added_bytes * SWEEP_SHARE >= self._limit_bytes:
            self._added_bytes = 0
            await asyncio.to_thread(self._sweep)

    async def forget(self, key: str) -> None:
        """Remove the copy of a key that is gone from the bucket, so that its room is free."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.unlink, self._path(key))

    def _takes(self, size_bytes: int) -> bool:
        return size_bytes * LARGEST_SHARE <= self._limit_bytes

    def _path(self, key: str) -> Path:
        return self._folder / key.replace("/", "-")

    def _sweep(self) -> None:
        """Remove what was not read for the longest time, until the rest is within the limit."""
        with contextlib.suppress(OSError):
            files = sorted(self._files())
            excess = sum(size for _, size, _ in files) - self._limit_bytes
            for read_at, size, path in files:
                is_abandoned = path.name.endswith(_UNFINISHED) and read_at < time.time() - ABANDONED_S
                if excess > 0 or is_abandoned:
                    path.unlink(missing_ok=True)
                    excess -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Each file with the time when it was read last, and its size."""
        files = []
        for entry in os.scandir(self._folder):
            with contextlib.suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                files.append((stat.st_mtime, stat.st_size, self._folder / entry.name))
        return files


class _Copy:
    """A file that is being written. It gives up at the first error, and says so in the log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._size = 0
        self._has_failed = False

    def write(self, chunk: bytes) -> None:
        if self._has_failed:
            return
        try:
            file = self._file or self._create()
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
            self._size += len(chunk)
        except OSError as error:
            self._give_up(error)

    def finish(self, target: Path, size_bytes: int) -> bool:
        """Sync the file and give it its name, if it is whole; whether it got it."""
        if self._file is None or self._has_failed or self._size != size_bytes:
            return False
        try:
            # Or a power cut might leave the name without the bytes.
            os.fsync(self._file.fileno())
            os.rename(self._path, target)
        except OSError as error:
            self._give_up(error)
        return not self._has_failed

    def close(self) -> None:
        """Remove what did not get its name."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _create(self) -> FileIO:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = FileIO(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w")
        return self._file

    def _give_up(self, error: OSError) -> None:
        self._has_failed = True
        log.warning("read cache", reason=error.strerror)


async def read_file(file: FileIO, *, start: int, length: int | None) -> AsyncIterator[bytes]:
    """The bytes of an open file from `start` on."""
    left = os.fstat(file.fileno()).st_size - start if length is None else length
    while left > 0:
        chunk = await asyncio.to_thread(os.pread, file.fileno(), min(left, CHUNK_BYTES), start)
        if not chunk:
            raise StoreUnavailable("a copy is shorter than it was")
        start += len(chunk)
        left -= len(chunk)
        yield chunk
