"""OCI Distribution Spec §Pushing blobs: at once, in chunks, resumed, in one request, mounted, given up."""

import re
from collections.abc import AsyncIterator

from homeport.api.registry.errors import upload_range
from homeport.api.registry.exchange import Exchange
from homeport.core import uploads
from homeport.errors import DigestInvalid, RepositoryNameInvalid, SizeMismatch
from homeport.names import Digest, RepositoryName

_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/.*)?")


async def begin(exchange: Exchange, _item: str) -> None:
    """Begin an upload; or mount a blob; or take a whole blob in this one request."""
    request = exchange.request
    if (mount := request.parameter("mount")) and await _mount(exchange, mount):
        return
    digest_text = request.parameter("digest")
    digest = Digest.parse(digest_text) if digest_text else None
    upload = await uploads.begin(exchange.services, actor=exchange.actor, name=exchange.name)
    if digest is None:
        await exchange.answer(202, _state(exchange, upload, size=0))
        return
    await uploads.finish(
        exchange.services,
        actor=exchange.actor,
        name=exchange.name,
        upload=upload,
        digest=digest,
        body=request.body(),
    )
    await _created(exchange, digest)


async def _mount(exchange: Exchange, mount: str) -> bool:
    """Whether the blob could be mounted; if not, the client uploads it."""
    digest = Digest.parse(mount)
    try:
        text = exchange.request.parameter("from")
        source = RepositoryName.parse(text) if text else None
    except RepositoryNameInvalid:
        return False
    is_mounted = await uploads.mount(
        exchange.services, actor=exchange.actor, name=exchange.name, digest=digest, source=source
    )
    if is_mounted:
        await _created(exchange, digest)
    return is_mounted


async def get(exchange: Exchange, upload: str) -> None:
    """How far an upload has come."""
    size = await uploads.progress(exchange.services, actor=exchange.actor, name=exchange.name, upload=upload)
    await exchange.answer(204, _state(exchange, upload, size=size))


async def append(exchange: Exchange, upload: str) -> None:
    """Add a chunk, or a stream without a stated range."""
    size = await uploads.append(
        exchange.services,
        actor=exchange.actor,
        name=exchange.name,
        upload=upload,
        body=_chunk(exchange),
        start=_start(exchange),
    )
    await exchange.answer(202, _state(exchange, upload, size=size))


async def finish(exchange: Exchange, upload: str) -> None:
    """Add the last chunk, if there is one, and close the upload with its digest."""
    text = exchange.request.parameter("digest")
    if not text:
        raise DigestInvalid("")
    digest = Digest.parse(text)
    await uploads.finish(
        exchange.services,
        actor=exchange.actor,
        name=exchange.name,
        upload=upload,
        digest=digest,
        body=_chunk(exchange),
        start=_start(exchange),
    )
    await _created(exchange, digest)


async def cancel(exchange: Exchange, upload: str) -> None:
    await uploads.cancel(exchange.services, actor=exchange.actor, name=exchange.name, upload=upload)
    await exchange.answer(204)


def _start(exchange: Exchange) -> int | None:
    """Where a chunk says that it begins; None if it does not say, -1 (no upload ends there) if it makes no sense.

    Raises:
        SizeMismatch: it is longer or shorter than it says.
    """
    header = exchange.request.header(b"content-range")
    if not header:
        return None
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        return -1
    length = exchange.request.content_length
    stated = int(match[2]) - int(match[1]) + 1
    # `0-0` with an empty body is how some clients say "nothing".
    if length is not None and length not in (stated, 0):
        raise SizeMismatch(expected_bytes=stated, received_bytes=length)
    return int(match[1]) if length != 0 else None


def _chunk(exchange: Exchange) -> AsyncIterator[bytes] | None:
    """The body; None where there surely is none."""
    return None if exchange.request.content_length == 0 else exchange.request.body()


def _state(exchange: Exchange, upload: str, *, size: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"location", f"{exchange.path}/blobs/uploads/{upload}".encode()),
        (b"range", upload_range(size)),
        (b"docker-upload-uuid", upload.encode("latin-1", "replace")),
    ]


async def _created(exchange: Exchange, digest: Digest) -> None:
    await exchange.answer(
        201,
        [
            (b"location", f"{exchange.path}/blobs/{digest}".encode()),
            (b"docker-content-digest", digest.encode()),
        ],
    )
