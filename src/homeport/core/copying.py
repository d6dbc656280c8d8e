"""Copies a hub: the blobs, several at a time, each checked by its digest on its way; then the rows, all at once.

A backup, a restore and a move are made of the same halves: where blobs come from (a hub, a backup), and where they go
(a backup, a new place). What has arrived is not copied again, so that a copy that was broken off goes on.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from homeport.core import faults
from homeport.core.services import Services
from homeport.errors import (
    BlobTooLarge,
    BlobUnknown,
    ContentsUnfit,
    DigestMismatch,
    HomeportError,
    PlaceTaken,
    StoreUnavailable,
)
from homeport.names import Digest
from homeport.settings import Settings
from homeport.storage.backup import Problem, Problems
from homeport.storage.blobs.opening import prepare_store
from homeport.storage.blobs.store import BlobStore
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db.contents import Arrived, Place
from homeport.storage.db.engine import open_place
from homeport.storage.db.migrate import is_known, migrate
from homeport.storage.db.records import Blob

AT_ONCE = 8
FAILURES_LIMIT = 20
"""So many one after the other are no bad sectors: the store is away."""
PAGE = 500


class Measured(msgspec.Struct):
    """How many blobs there are, and how large they are in all."""

    count: int = 0
    size_bytes: int = 0


class Progress(Protocol):
    """Is told of what comes; a command shows it."""

    def begin(self, what: str, *, count: int = 0, size_bytes: int = 0) -> None:
        """Something begins that has so much to it; 0: nobody knows."""
        ...

    def advance(self, count: int, size_bytes: int = 0) -> None: ...


class Source(Protocol):
    """Where blobs come from."""

    def read(self, blob: Blob) -> AsyncIterator[bytes]:
        """Raises: BlobUnknown, StoreUnavailable."""
        ...


class Target(Protocol):
    """Where blobs go."""

    async def has(self, blob: Blob) -> bool: ...

    async def put(self, blob: Blob, chunks: AsyncIterator[bytes]) -> None:
        """Keep a blob, durably.

        Raises:
            DigestMismatch: the bytes are others; nothing is kept.
            StoreFull, StoreUnavailable
        """
        ...


class HubBlobs:
    """The blobs of a hub that runs, or stands still."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, blob: Blob) -> AsyncIterator[bytes]:
        key = blob.storage_key
        if await self._services.blobs.stored_size(key) is None:
            # A push may have brought lost bytes back, under another key.
            async with self._services.db.read() as tx:
                found = await blob_rows.get(tx, blob.digest)
            key = found.storage_key if found else key
        async for chunk in self._services.blobs.read(key):
            yield chunk

    async def list(self) -> AsyncIterator[Blob]:
        """All blobs, as they are when their page comes."""
        after = 0
        while True:
            async with self._services.db.read(scan=True) as tx:
                page = await blob_rows.list_after(tx, after, limit=PAGE)
            for blob in page:
                yield blob
            if len(page) < PAGE:
                return
            after = page[-1].id


class NewHub:
    """A place that a hub is brought to: an empty database, and an empty store of blobs."""

    def __init__(self, place: Place, store: BlobStore, *, is_resumed: bool) -> None:
        self._place = place
        self._store = store
        self._is_resumed = is_resumed

    async def has(self, blob: Blob) -> bool:
        return await self._place.get_arrived(blob.digest) is not None

    async def put(self, blob: Blob, chunks: AsyncIterator[bytes]) -> None:
        # The id is the blob's own: a copy that was broken off left its pieces nowhere else.
        upload = hashlib.sha256(blob.digest.encode()).hexdigest()[:32]
        if self._is_resumed:
            await self._store.discard(upload)
        try:
            await self._store.begin(upload)
            await self._store.append(upload, chunks, offset=0, limit_bytes=max(blob.size_bytes, 1))
            key = await self._store.seal(upload, Digest(blob.digest))
        except BaseException:
            await self._store.discard(upload)
            raise
        await self._place.note_arrived(Arrived(blob.digest, blob.size_bytes, key))


async def prepare_place(settings: Settings, revision: str) -> None:
    """Make the schema that rows are of.

    Raises:
        ContentsUnfit: this version does not know it.
        PlaceTaken: there are rows.
        DatabaseUnavailable, StoreUnavailable, SettingsError
    """
    if not is_known(revision):
        raise ContentsUnfit(f"it is of a newer Homeport than this one (schema {revision}): upgrade the program")
    if not settings.is_sqlite or settings.sqlite_path.exists():
        # Before anything is migrated that may be somebody's.
        async with open_place(settings) as place:
            if not await place.is_filling() and not await place.is_empty():
                raise PlaceTaken("there are rows in the database")
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make the folder {settings.data}: {error.strerror}") from None
    await prepare_store(settings)
    await migrate(settings, to=revision)


async def begin_at(place: Place, store: BlobStore | None) -> bool:
    """Begin to fill a place, or go on with it; whether somebody had begun. Without a store, the blobs stay where they
    are.

    Raises:
        PlaceTaken, DatabaseUnavailable, StoreUnavailable
    """
    if await place.is_filling():
        return True
    if store is not None:
        async for key, _ in store.keys():
            raise PlaceTaken(f"there are bytes in the store of blobs, under {key}")
    await place.begin()
    return False


async def measure(blobs: AsyncIterator[Blob]) -> Measured:
    measured = Measured()
    async for blob in blobs:
        measured.count += 1
        measured.size_bytes += blob.size_bytes
    return measured


def insist(problems: Problems, *, is_complete: bool) -> None:
    """Raises: ContentsUnfit: there are problems where there must be none."""
    if problems.count and is_complete:
        first = problems.named[0]
        raise ContentsUnfit(
            f"{problems.count} blobs cannot be read (--incomplete leaves them out), the first is {first.digest}: "
            f"{first.why}"
        )


async def arrive() -> None:
    """What is done before the rows are committed where nobody leaves."""
    faults.point("rows-loaded")


async def copy_blobs(blobs: AsyncIterator[Blob], source: Source, target: Target, progress: Progress) -> Problems:
    """Copy what the target has not; what could not be copied because it is missing or wrong at the source.

    Raises:
        StoreFull, StoreUnavailable, DatabaseUnavailable: of the target; or the source is away altogether.
    """
    copying = _Copying(blobs, source, target, progress)
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(copying.run())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return copying.problems


class _Copying:
    """Blobs that several tasks copy."""

    def __init__(self, blobs: AsyncIterator[Blob], source: Source, target: Target, progress: Progress) -> None:
        self._blobs = blobs
        self._turn = asyncio.Lock()
        self._source = source
        self._target = target
        self._progress = progress
        self._failures = 0
        self.problems = Problems()

    async def run(self) -> None:
        while (blob := await self._next()) is not None:
            if not await self._target.has(blob):
                await self._copy(blob)
            self._progress.advance(1, blob.size_bytes)

    async def _next(self) -> Blob | None:
        async with self._turn:
            return await anext(self._blobs, None)

    async def _copy(self, blob: Blob) -> None:
        reading = _Reading(self._source.read(blob))
        try:
            await self._target.put(blob, reading.chunks())
            faults.point("copied-blob")
            self._failures = 0
        except HomeportError as error:
            if reading.error is None and not isinstance(error, DigestMismatch | BlobTooLarge):
                raise  # the target's
            self._failures += isinstance(reading.error, StoreUnavailable)
            if self._failures >= FAILURES_LIMIT:
                raise
            self.problems.add(Problem(blob.digest, _why(error)))


def _why(error: HomeportError) -> str:
    if isinstance(error, BlobUnknown):
        return "no bytes are there"
    return str(error) if isinstance(error, StoreUnavailable) else "the bytes are others"


class _Reading:
    """The bytes of a blob, with what went wrong with reading them."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: HomeportError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except HomeportError as error:
            self.error = error
            raise
