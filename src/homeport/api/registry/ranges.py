"""Which bytes a request asks for: RFC 9110 §14, of blobs and of manifests alike."""

import re

from homeport.api.http import Request

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.IGNORECASE)


def wanted_range(request: Request, *, size_bytes: int, etag: str) -> range | None:
    """The bytes that a GET asks for: None for all of them, an empty range if there are no such bytes.

    Several ranges at once are answered with the whole, as the RFC allows: no client of registries asks for them,
    and long lists of them have served as an attack.
    """
    header = request.header(b"range")
    if not header or request.method != "GET":
        return None
    match = _RANGE.fullmatch(header.replace(" ", ""))
    condition = request.header(b"if-range")
    if match is None or (condition and condition.strip('"') != etag):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return range(max(0, size_bytes - int(suffix)), size_bytes)
    start = int(first)
    stop = min(int(last) + 1, size_bytes) if last is not None else size_bytes
    return range(start, stop) if start < stop else range(0)


def content_range(wanted: range, size_bytes: int) -> tuple[bytes, bytes]:
    """The header that tells which bytes an answer holds; of an empty range, how many there are."""
    part = f"{wanted.start}-{wanted.stop - 1}" if wanted else "*"
    return b"content-range", f"bytes {part}/{size_bytes}".encode()
