"""What the doors share: reading a plain ASGI request within limits, and sending an answer.

The registry door works with these alone; the Hub door has a framework, and takes from here who asks and from where.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from homeport.errors import BodyInvalid, BodyTooLarge, SizeMismatch
from homeport.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

QUERY_LENGTH_LIMIT = 8192

DOOR = "homeport.door"
"""The key of a scope with the name of the door that a request came to."""

ROUTE = "path_template"
"""The key of a scope with the template of the path that was asked for. The framework of the Hub door writes it too."""

SCIM_ROOT = "/v2/scim/2.0"
"""Where the SCIM door is; the Hub door tells owners of it."""


class BodyBroken(SizeMismatch):
    """The client went away in the middle of a body."""


class Request:
    """One HTTP request. Header names are lower-case; of a header that is repeated the last one counts."""

    __slots__ = ("_query", "_receive", "headers", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._query: dict[str, list[str]] | None = None

    def header(self, name: bytes) -> str:
        """A header's value; the empty string where it is missing."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def query(self) -> Mapping[str, list[str]]:
        """Parameters with all their values.

        Raises:
            BodyInvalid: longer or more than any client needs.
        """
        if self._query is None:
            raw: bytes = self.scope["query_string"]
            if len(raw) > QUERY_LENGTH_LIMIT:
                raise BodyInvalid("the query string is too long")
            try:
                self._query = parse_qs(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=256)
            except ValueError as error:
                raise BodyInvalid("the query string has too many parameters") from error
        return self._query

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    @property
    def address(self) -> str:
        return client_address(self.scope)

    @property
    def user_agent(self) -> str:
        return self.header(b"user-agent")

    @property
    def content_length(self) -> int | None:
        """The announced length of the body, None if there is none (chunked)."""
        text = self.header(b"content-length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            BodyBroken: it ended before the announced length, or the client went away.
        """
        received = 0
        expected = self.content_length
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BodyBroken(expected_bytes=expected or -1, received_bytes=received)
            if chunk := message.get("body"):
                received += len(chunk)
                yield chunk
            # What was announced is here: to ask for the message that says so costs a way to the server and back.
            if not message.get("more_body") or received == expected:
                break
        if expected is not None and received != expected:
            raise BodyBroken(expected_bytes=expected, received_bytes=received)

    async def whole_body(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge, BodyBroken
        """
        if (self.content_length or 0) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        chunks = []
        size = 0
        async for chunk in self.body():
            size += len(chunk)
            if size > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            chunks.append(chunk)
        return b"".join(chunks)


class Response:
    """An answer with a body that is at hand. A HEAD request gets the headers alone."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        self.status = status
        self.headers = list(headers)
        self.body = body

    async def send(self, send: Send, *, is_head: bool) -> None:
        headers = self.headers
        if not any(name == b"content-length" for name, _ in headers) and self.status != 204:
            headers = [*headers, (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if is_head else self.body})


def client_address(scope: Scope) -> str:
    """Where a request comes from, empty if that is unknown. Where one socket listens for both, IPv4 comes as IPv6."""
    client = scope.get("client")
    if not client:
        return ""
    address: str = client[0]
    return address.removeprefix("::ffff:") if "." in address else address


def base_url(settings: Settings, scope: Scope) -> str:
    """What absolute URLs in answers begin with: the setting, or else the host that the request was sent to."""
    if settings.public_url:
        return settings.public_url
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    if not host or not all(character.isalnum() or character in ".-:[]_" for character in host):
        return settings.listen_url
    return f"{scope.get('scheme', 'http')}://{host}"


def bearer_token(authorization: str) -> str | None:
    """The token of an `Authorization` header of the schemes `Bearer` and `JWT`, in any case."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "jwt") else None


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Name and password of a `Basic` header; None if there is none, or none that can be read."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None
