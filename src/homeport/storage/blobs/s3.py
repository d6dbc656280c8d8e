"""Blobs in a bucket: of S3, of what speaks its language, of Google Cloud Storage or Azure.

    uploads/3f0c…               the state of an upload: what it has gathered so far; `3f0c…` is its id
    blobs/3f0c…/9d1e…           a piece of it, or the whole; `3f0c…/9d1e…` is the key once it is sealed

Each request that brings bytes streams them straight into an object of its own, in parts of one size, hashed while they
pass. When that object is complete the state is replaced by one that lists it too, on the condition that nobody else has
replaced it meanwhile. So what a state lists is there and whole; what a dead process was about to bring counts as
nothing; of two requests that write at the same time, one finds that the other was there first. The condition is kept by
the store itself (`If-Match`), so that it holds among machines, and no lock outlives who held it.

An upload of one piece, which is what clients send, lies where it will stay: sealing compares the hash that the state
holds. Several pieces are read, hashed and written once more as one: an object store cannot append. Sealing too replaces
the state: only who did may take away what else was gathered. The rest of a killed process stays until the upload is
sealed or discarded: both take away all that is under its id.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from homeport.errors import (
    BlobTooLarge,
    BlobUnknown,
    DigestMismatch,
    HomeportError,
    StoreUnavailable,
    UploadBusy,
    UploadUnknown,
)
from homeport.metrics import BLOB_CACHE_READS, NOT_MEASURED, Metrics
from homeport.names import Digest
from homeport.settings import Settings
from homeport.storage.blobs.bucket import Bucket, Version
from homeport.storage.blobs.leftovers import Leftovers
from homeport.storage.blobs.read_cache import ReadCache, read_file

PART_BYTES = 8 * 1024 * 1024
"""An upload holds about five of them in memory. They grow where `blob_size_limit` asks for it."""
PARTS_LIMIT = 10_000
OBJECT_BYTES_LIMIT = 5 * 1024**4
TOUCH_INTERVAL_S = 300.0
"""How often a long request renews the state of its upload, so that the sweeper sees that it lives."""

_BLOBS, _UPLOADS, _PROBES = "blobs", "uploads", "probes"


class _Piece(msgspec.Struct, frozen=True, array_like=True):
    name: str
    size: int
    sha256: str


class _Gathered(msgspec.Struct, frozen=True):
    """What the object of a state holds. A piece that is shorter than a part is the last one."""

    pieces: tuple[_Piece, ...] = ()
    sealed: str = ""
    """The piece that is the blob, once it is."""


class _State(msgspec.Struct, frozen=True):
    upload: str
    gathered: _Gathered
    version: Version

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.gathered.pieces)


class S3Store:
    """A `BlobStore` over one bucket."""

    def __init__(self, settings: Settings, metrics: Metrics = NOT_MEASURED) -> None:
        """Raises: SettingsError: the library does not take the settings."""
        self._bucket = Bucket(settings)
        self._metrics = metrics
        self._leftovers = Leftovers(settings)
        self._touch_interval_s = min(TOUCH_INTERVAL_S, settings.upload_age_limit / 4)
        self._redirect_lifetime_s = settings.blob_redirect_lifetime if settings.blob_redirects else 0
        self._cache = (
            ReadCache(settings.blob_cache_path, settings.blob_cache_size) if settings.blob_cache_size else None
        )

    async def prepare(self) -> None:
        """Try whether the store keeps the conditions that uploads depend on.

        Raises:
            StoreUnavailable: it does not, or cannot be reached.
        """
        path = f"{_PROBES}/{uuid4().hex}"
        first = await self._bucket.create(path, b"first")
        second = await self._bucket.create(path, b"second")
        third = first and await self._bucket.swap(path, b"third", first)
        fourth = first and await self._bucket.swap(path, b"fourth", first)
        await self._bucket.delete([path])
        if second or fourth or not third:
            raise StoreUnavailable("it does not keep conditions (If-None-Match, If-Match), which uploads depend on")

    async def begin(self, upload: str) -> None:
        # If there is one already, it is ours: the answer to a first try was lost.
        await self._bucket.create(_state_path(upload), msgspec.json.encode(_Gathered()))

    async def append(self, upload: str, body: AsyncIterator[bytes], *, offset: int, limit_bytes: int) -> int:
        state = await self._access(upload)
        if state.size != offset:
            raise UploadUnknown if state.size < offset else UploadBusy
        pieces, tail = _without_tail(state.gathered.pieces)
        head = b"".join([chunk async for chunk in self._read_pieces(upload, tail)])
        stream = _Stream(
            body, head=head, part_bytes=part_bytes(limit_bytes), limit_bytes=limit_bytes - offset + len(head)
        )

        async def parts() -> AsyncIterator[bytes]:
            nonlocal state
            touched = time.monotonic()
            async for part in stream.parts():
                yield part
                if time.monotonic() - touched > self._touch_interval_s:
                    state = await self._swap(state, state.gathered)
                    touched = time.monotonic()

        piece = await self._write(upload, stream, parts())
        if piece is not None:
            await self._commit(state, _Gathered((*pieces, piece)), piece.name)
            with contextlib.suppress(StoreUnavailable):
                await self._bucket.delete([_blob_path(upload, old.name) for old in tail])
        if stream.broken is not None:
            raise stream.broken
        return offset + stream.new_bytes

    async def size(self, upload: str) -> int | None:
        state = await self._state(upload)
        return None if state is None or state.gathered.sealed else state.size

    async def seal(self, upload: str, digest: Digest) -> str:
        state = await self._access(upload)
        try:
            name = await self._whole(state, digest)
        except DigestMismatch:
            await self.discard(upload)
            raise
        await self._commit(state, _Gathered(state.gathered.pieces, sealed=name), name)
        # It is sealed; what is left is taken away by the sweeper if it cannot be now.
        with contextlib.suppress(StoreUnavailable):
            await self._tidy(upload, name)
        return f"{upload}/{name}"

    async def discard(self, upload: str) -> None:
        # In this order: who still writes finds the state gone, and takes away what it wrote.
        await self._bucket.delete([_state_path(upload)])
        await self._bucket.delete([found.path async for found in self._bucket.list(f"{_BLOBS}/{upload}")])

    async def list_stale(self, *, before: datetime) -> list[str]:
        """Also takes away what nobody else would: what is left beside a sealed blob, and half of an object."""
        await self._abort_leftovers(before)
        stale = []
        async for found in self._bucket.list(_UPLOADS):
            if found.modified_at < before and (state := await self._state(_upload(found.path))) is not None:
                if state.gathered.sealed:
                    await self._tidy(state.upload, state.gathered.sealed)
                else:
                    stale.append(state.upload)
        return stale

    def local_path(self, key: str) -> str | None:  # noqa: ARG002 - the contract's
        return None

    def read_cached(self, key: str, length: int) -> bytes | None:  # noqa: ARG002
        return None

    async def url(self, key: str) -> str | None:
        if not self._redirect_lifetime_s:
            return None
        return await self._bucket.sign(f"{_BLOBS}/{key}", lifetime_s=self._redirect_lifetime_s)

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if length == 0:
            return
        if self._cache is not None and (file := self._cache.open(key)) is not None:
            self._metrics.count(BLOB_CACHE_READS, "hit")
            with file:
                async for chunk in read_file(file, start=start, length=length):
                    yield chunk
            return
        if self._cache is not None:
            self._metrics.count(BLOB_CACHE_READS, "miss")
        total, chunks = await self._bucket.open(f"{_BLOBS}/{key}", start=start, length=length)
        if self._cache is not None and start == 0 and length in (None, total):
            chunks = self._cache.keep(key, total, chunks)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def stored_size(self, key: str) -> int | None:
        return await self._bucket.size(f"{_BLOBS}/{key}")

    async def delete(self, key: str) -> None:
        await self._bucket.delete([f"{_BLOBS}/{key}"])
        if self._cache is not None:
            await self._cache.forget(key)

    async def keys(self) -> AsyncIterator[tuple[str, int]]:
        # In this order: what begins meanwhile is left to the caller, who knows its row.
        gathering = {_upload(found.path) async for found in self._bucket.list(_UPLOADS)}
        async for found in self._bucket.list(_BLOBS):
            key = found.path.removeprefix(f"{_BLOBS}/")
            if self.upload_of(key) not in gathering:
                yield key, found.size

    def upload_of(self, key: str) -> str:
        return key.partition("/")[0]

    async def check(self) -> None:
        await self._bucket.check(f"{_PROBES}/check")

    async def _abort_leftovers(self, before: datetime) -> None:
        for leftover in await self._leftovers.find(_BLOBS, before=before):
            upload = self.upload_of(leftover.path.removeprefix(f"{_BLOBS}/"))
            modified_at = await self._bucket.modified_at(_state_path(upload))
            # A long request renews the state of its upload.
            if modified_at is None or modified_at < before:
                await self._leftovers.abort(leftover)

    # States

    async def _state(self, upload: str) -> _State | None:
        found = await self._bucket.fetch(_state_path(upload))
        return _State(upload, msgspec.json.decode(found[0], type=_Gathered), found[1]) if found else None

    async def _access(self, upload: str) -> _State:
        """Raises: UploadUnknown: nothing is gathered under this id."""
        state = await self._state(upload)
        if state is None or state.gathered.sealed:
            raise UploadUnknown
        return state

    async def _swap(self, state: _State, gathered: _Gathered) -> _State:
        """Replace a state, if it is still the one that was read.

        Raises:
            UploadBusy, UploadUnknown: it was replaced, or taken away, by somebody else.
            StoreUnavailable: it may have been replaced or not.
        """
        unavailable: StoreUnavailable | None = None
        version = None
        try:
            version = await self._bucket.swap(_state_path(state.upload), msgspec.json.encode(gathered), state.version)
        except StoreUnavailable as error:
            unavailable = error
        if version is not None:
            return _State(state.upload, gathered, version)
        # The answer to a try that succeeded may have been lost. Names are never used twice: a state that says the same
        # is ours.
        now = await self._state(state.upload)
        if now is not None and now.gathered == gathered:
            return now
        if unavailable is not None:
            raise unavailable
        raise UploadUnknown if now is None or now.gathered.sealed else UploadBusy

    async def _commit(self, state: _State, gathered: _Gathered, name: str) -> None:
        """Replace a state by one that needs an object; take that away if somebody else was there first."""
        try:
            await self._swap(state, gathered)
        except (UploadBusy, UploadUnknown):
            if all(piece.name != name for piece in state.gathered.pieces):
                await self._bucket.delete([_blob_path(state.upload, name)])
            raise

    # Objects

    async def _write(self, upload: str, stream: "_Stream", parts: AsyncIterator[bytes]) -> _Piece | None:
        """Write a stream into an object of its own; None if nothing new came."""
        first = await anext(parts, b"")
        if not stream.new_bytes:
            return None
        name = uuid4().hex[:16]
        path = _blob_path(upload, name)
        if len(first) < stream.part_bytes:
            await self._bucket.put(path, first)
        else:
            await self._bucket.upload(path, _chain(first, parts), part_bytes=stream.part_bytes)
        return _Piece(name, stream.size, stream.hexdigest())

    async def _whole(self, state: _State, digest: Digest) -> str:
        """The name of one object that holds all pieces.

        Raises:
            DigestMismatch: the bytes are others.
        """
        pieces = state.gathered.pieces
        if len(pieces) == 1:
            found = pieces[0].sha256 if digest.algorithm == "sha256" else await self._hash(state, digest.algorithm)
            if found != digest.hex:
                raise DigestMismatch(digest)
            return pieces[0].name
        return await self._join(state, digest)

    async def _hash(self, state: _State, algorithm: str) -> str:
        hasher = hashlib.new(algorithm)
        async for chunk in self._read_pieces(state.upload, state.gathered.pieces):
            await asyncio.to_thread(hasher.update, chunk)
        return hasher.hexdigest()

    async def _join(self, state: _State, digest: Digest) -> str:
        """Write the pieces, or nothing, as one object; its name."""
        body = self._read_pieces(state.upload, state.gathered.pieces)
        stream = _Stream(body, algorithm=digest.algorithm, part_bytes=part_bytes(state.size), limit_bytes=state.size)
        piece = await self._write(state.upload, stream, stream.parts())
        if stream.broken is not None:
            raise stream.broken
        if piece is None:
            piece = _Piece(uuid4().hex[:16], 0, "")
            await self._bucket.put(_blob_path(state.upload, piece.name), b"")
        if stream.hexdigest() != digest.hex:
            raise DigestMismatch(digest)
        return piece.name

    async def _read_pieces(self, upload: str, pieces: Iterable[_Piece]) -> AsyncIterator[bytes]:
        """Raises: UploadBusy, UploadUnknown: they were taken away meanwhile."""
        for piece in pieces:
            try:
                _, chunks = await self._bucket.open(_blob_path(upload, piece.name), length=piece.size)
            except BlobUnknown:
                if piece in (await self._access(upload)).gathered.pieces:
                    raise StoreUnavailable("it has lost a part of the upload") from None
                raise UploadBusy from None
            async for chunk in chunks:
                yield chunk

    async def _tidy(self, upload: str, name: str) -> None:
        """Take away all that a sealed upload is not."""
        sealed = _blob_path(upload, name)
        found = [found.path async for found in self._bucket.list(f"{_BLOBS}/{upload}")]
        await self._bucket.delete([path for path in found if path != sealed])
        await self._bucket.delete([_state_path(upload)])


class _Stream:
    """A body in parts of one size, hashed while they pass. It ends where the body breaks off."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        *,
        head: bytes = b"",
        algorithm: str = "sha256",
        part_bytes: int,
        limit_bytes: int,
    ) -> None:
        """`head` comes before the body."""
        self.part_bytes = part_bytes
        self.size = len(head)
        self.new_bytes = 0
        self.broken: HomeportError | None = None
        self._body = body
        self._head = head
        self._limit_bytes = limit_bytes
        self._hasher: Any = hashlib.new(algorithm)

    async def parts(self) -> AsyncIterator[bytes]:
        """Raises: BlobTooLarge"""
        waiting, waiting_bytes = [self._head], len(self._head)
        async for chunk in self._chunks():
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            if waiting_bytes >= self.part_bytes:
                content = b"".join(waiting)
                whole_bytes = waiting_bytes - waiting_bytes % self.part_bytes
                for start in range(0, whole_bytes, self.part_bytes):
                    yield await self._hashed(content[start : start + self.part_bytes])
                waiting, waiting_bytes = [content[whole_bytes:]], waiting_bytes - whole_bytes
        if waiting_bytes:
            yield await self._hashed(b"".join(waiting))

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._body:
                self.size += len(chunk)
                self.new_bytes += len(chunk)
                if self.size > self._limit_bytes:
                    break
                yield chunk
        except HomeportError as error:
            self.broken = error
        if self.size > self._limit_bytes:
            raise BlobTooLarge(self._limit_bytes)

    async def _hashed(self, part: bytes) -> bytes:
        # In a thread: hashing on the event loop would starve the others.
        await asyncio.to_thread(self._hasher.update, part)
        return part

    def hexdigest(self) -> str:
        found: str = self._hasher.hexdigest()
        return found


def part_bytes(limit_bytes: int) -> int:
    """The size of the parts of an object that may grow to a limit: stores take so many parts and no more."""
    return max(PART_BYTES, -(-min(limit_bytes, OBJECT_BYTES_LIMIT) // PARTS_LIMIT))


def _without_tail(pieces: tuple[_Piece, ...]) -> tuple[tuple[_Piece, ...], tuple[_Piece, ...]]:
    """Pieces, and the last of them if it is short: it is written again with what comes behind it, so that many small
    chunks make few pieces.
    """
    count = len(pieces) - (bool(pieces) and pieces[-1].size < PART_BYTES)
    return pieces[:count], pieces[count:]


def _state_path(upload: str) -> str:
    return f"{_UPLOADS}/{upload}"


def _blob_path(upload: str, name: str) -> str:
    return f"{_BLOBS}/{upload}/{name}"


def _upload(state_path: str) -> str:
    return state_path.removeprefix(f"{_UPLOADS}/")


async def _chain(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in others:
        yield part
