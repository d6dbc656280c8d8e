"""OCI Distribution Spec §Pulling blobs, §Deleting blobs; RFC 9110 §14 on ranges."""

from homeport.api.http import Headers
from homeport.api.registry.exchange import API_VERSION, Exchange, matches_etag
from homeport.api.registry.ranges import content_range, wanted_range
from homeport.core import blobs
from homeport.errors import BlobUnknown
from homeport.metrics import BLOB_BYTES_PULLED, BLOB_REDIRECTS
from homeport.names import Digest
from homeport.storage.db.records import Blob

_PATHSEND = "http.response.pathsend"

_SMALL_BYTES = 128 * 1024
"""Up to this size a blob that is in memory is sent from here: the server's way to a file costs more than the copy."""


async def get(exchange: Exchange, item: str) -> None:
    """The bytes of a blob, or a range of them."""
    services, request = exchange.services, exchange.request
    blob = await blobs.pull(
        services,
        actor=exchange.actor,
        name=exchange.name,
        digest=Digest.parse(item),
        is_head=request.method == "HEAD",
    )
    etag = b'"' + blob.digest.encode() + b'"'
    headers = [
        (b"docker-content-digest", blob.digest.encode()),
        (b"etag", etag),
        (b"cache-control", b"max-age=31536000, immutable"),
        (b"accept-ranges", b"bytes"),
    ]
    if (tags := request.header(b"if-none-match")) and matches_etag(tags, blob.digest):
        await exchange.answer(304, headers)
        return
    if (tags := request.header(b"if-match")) and not matches_etag(tags, blob.digest):
        await exchange.answer(412, headers)
        return
    headers.append((b"content-type", b"application/octet-stream"))
    wanted = wanted_range(request, size_bytes=blob.size_bytes, etag=blob.digest)
    if wanted is None:
        if request.method == "HEAD" or not await _redirect(exchange, blob):
            headers.append((b"content-length", str(blob.size_bytes).encode()))
            await _send_whole(exchange, blob, headers)
    elif not wanted:
        await exchange.answer(416, [*headers, content_range(wanted, blob.size_bytes)])
    elif not await _redirect(exchange, blob):
        await _send_range(exchange, blob, headers, wanted)


async def _redirect(exchange: Exchange, blob: Blob) -> bool:
    """Send the client on to where the bytes are, if that is not here.

    The store knows nothing of who may pull what: the URL is made anew for each request that was let in, and no cache
    on the way may hand it to others.
    """
    if exchange.request.header(b"if-range"):
        return False  # it names our entity tag: the store has another
    url = await exchange.services.blobs.url(blob.storage_key)
    if url is None:
        return False
    headers = [
        (b"location", url.encode()),
        (b"docker-content-digest", blob.digest.encode()),
        (b"cache-control", b"no-store"),
    ]
    await exchange.answer(307, headers)
    exchange.services.metrics.count(BLOB_REDIRECTS)
    return True


async def _send_whole(exchange: Exchange, blob: Blob, headers: Headers) -> None:
    request, send, store = exchange.request, exchange.send, exchange.services.blobs
    if request.method == "HEAD":
        if await store.stored_size(blob.storage_key) is None:
            # Clients ask before a push: who hears that the blob is not there brings it again, and that mends it.
            raise BlobUnknown(blob.digest)
        await exchange.answer(200, headers)
        return
    if blob.size_bytes <= _SMALL_BYTES:
        body = store.read_cached(blob.storage_key, blob.size_bytes)
        if body is not None:
            await exchange.answer(200, headers, body)
            exchange.services.metrics.count(BLOB_BYTES_PULLED, by=blob.size_bytes)
            return
    # A file that is missing is told of here, before the first byte: the server would end the answer in the middle.
    path = store.local_path(blob.storage_key)
    if path is not None and _PATHSEND in request.scope.get("extensions", ()):
        await send({"type": "http.response.start", "status": 200, "headers": [API_VERSION, *headers]})
        await send({"type": _PATHSEND, "path": path})
        exchange.services.metrics.count(BLOB_BYTES_PULLED, by=blob.size_bytes)
    else:
        await _stream(exchange, blob, 200, headers, range(blob.size_bytes))


async def _send_range(exchange: Exchange, blob: Blob, headers: Headers, wanted: range) -> None:
    length = (b"content-length", str(len(wanted)).encode())
    await _stream(exchange, blob, 206, [*headers, content_range(wanted, blob.size_bytes), length], wanted)


async def _stream(exchange: Exchange, blob: Blob, status: int, headers: Headers, wanted: range) -> None:
    send = exchange.send
    start: dict[str, object] | None = {
        "type": "http.response.start",
        "status": status,
        "headers": [API_VERSION, *headers],
    }
    body = exchange.services.blobs.read(blob.storage_key, start=wanted.start, length=len(wanted))
    async for chunk in body:
        if start is not None:
            await send(start)
            start = None
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        exchange.services.metrics.count(BLOB_BYTES_PULLED, by=len(chunk))
    if start is not None:
        await send(start)
    await send({"type": "http.response.body", "body": b""})


async def delete(exchange: Exchange, item: str) -> None:
    """Take a blob out of the repository."""
    async with exchange.services.db.write() as tx:
        await blobs.delete_blob(tx, actor=exchange.actor, name=exchange.name, digest=Digest.parse(item))
    await exchange.answer(202)
