"""One request at the registry door, with what its handlers need."""

from typing import Any
from urllib.parse import urlencode

import msgspec

from homeport.api.http import Headers, Request, Response, Send
from homeport.core.access import Action, Actor
from homeport.core.services import Services
from homeport.names import RepositoryName

API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its actor; `action` is what it asks for, `name` the repository where it has one."""

    services: Services
    request: Request
    send: Send
    actor: Actor
    action: Action
    name: RepositoryName

    @property
    def path(self) -> str:
        """Where the repository is at this door; locations begin with it."""
        return f"/v2/{self.name}"

    async def answer(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        response = Response(status, [API_VERSION, *headers], body)
        await response.send(self.send, is_head=self.request.method == "HEAD")

    async def answer_json(
        self, value: Any, headers: Headers = (), *, content_type: bytes = b"application/json"
    ) -> None:
        await self.answer(200, [(b"content-type", content_type), *headers], msgspec.json.encode(value))


def matches_etag(header: str, etag: str) -> bool:
    """Whether an `If-None-Match` or `If-Match` header names an entity tag (RFC 9110 §13.1)."""
    return header.strip() == "*" or any(
        candidate.strip().removeprefix("W/").strip('"') == etag for candidate in header.split(",")
    )


def next_link(path: str, **parameters: str | int) -> tuple[bytes, bytes]:
    """A `Link` header to the next page (OCI Distribution Spec §Listing tags)."""
    return b"link", f'<{path}?{urlencode(parameters)}>; rel="next"'.encode("latin-1")
