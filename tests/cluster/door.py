"""How the clients of a cluster ask, and judge answers: right, wrong, or none in a time when there may be none."""

import contextlib
import time
from typing import Any

import httpx
import msgspec

from tests.cluster.book import Book

TIMEOUT_S = 20.0
REGISTRY_WORDS = ("/manifests/", "/blobs/", "/tags/list")

TLS = httpx.create_ssl_context()


class Unanswered(Exception):
    """Nobody knows whether it was done."""


class Wrong(Exception):
    """An answer that cannot be."""


class Door:
    """One way in: nginx, or a worker itself."""

    def __init__(self, book: Book, url: str, client: httpx.AsyncClient) -> None:
        self._book = book
        self.url = url
        self._client = client

    async def ask(self, method: str, path: str, *, ok: tuple[int, ...], **request: Any) -> httpx.Response:
        """An answer with one of these statuses.

        Raises:
            Unanswered, Wrong
        """
        url = httpx.URL(self.url).join(path)
        began_at = time.monotonic()
        try:
            answer = await self._client.request(method, url, **request)
        except httpx.TransportError as error:
            self._book.cut += 1
            if not self._book.weather.excuses(began_at, cut=True):
                self._book.unclear.append(f"{method} {url.path}: {error!r} after {time.monotonic() - began_at:.1f} s")
            raise Unanswered from error
        if answer.status_code in ok:
            self._book.reads += method in ("GET", "HEAD")
            return answer
        what = f"{method} {url} was answered {answer.status_code} {answer.text[:300]}"
        if answer.status_code != 503:
            raise Wrong(what)
        self._book.unavailable[_why(answer)] += 1
        if not self._book.weather.excuses(began_at):
            self._book.unclear.append(f"{what} {dict(answer.headers)}")
        elif not _is_clear(url.path, answer, is_head=method == "HEAD"):
            self._book.unclear.append(f"not clear: {what} {dict(answer.headers)}")
        raise Unanswered

    async def fetch(self, answer: httpx.Response) -> bytes | None:
        """The bytes that a blob's answer holds or leads to; None if the store itself cannot give them now."""
        if answer.status_code != 307:
            return answer.content
        began_at = time.monotonic()
        found = await self._client.get(answer.headers["location"])
        if found.status_code == 200:
            return found.content
        if self._book.weather.excuses(began_at, of="store"):
            return None
        raise Wrong(f"{answer.headers['location']} was answered {found.status_code}")


def _is_clear(path: str, answer: httpx.Response, *, is_head: bool) -> bool:
    """Whether clients are told when to come back, and why, in the words of the door that they came by; and nothing of
    where parts are.
    """
    if not answer.headers.get("retry-after", "").isdigit() or "127.0.0.1" in answer.text:
        return False
    if is_head:
        return True
    body: Any = None
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.decode(answer.content)
    if not isinstance(body, dict):
        return False
    if path == "/token" or any(word in path for word in REGISTRY_WORDS):
        return any(error.get("code") and error.get("message") for error in body.get("errors", ()))
    return bool(body.get("message") or body.get("detail"))


def _why(answer: httpx.Response) -> str:
    """Who says so, by the words of the answer."""
    texts = {"the database": "database", "the blob store": "store", "the hub": "nginx"}
    return next((who for text, who in texts.items() if f"{text} is not available" in answer.text), "other")


def new_client(*, keeps_connections: bool = False) -> httpx.AsyncClient:
    """Without kept connections every request comes to a worker of its own, and none is sent into a closed one."""
    limits = httpx.Limits(max_keepalive_connections=20 if keeps_connections else 0)
    return httpx.AsyncClient(verify=TLS, timeout=TIMEOUT_S, limits=limits)
