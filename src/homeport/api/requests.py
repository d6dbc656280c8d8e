"""Around every request: an id, a log line, and the last net under an unexpected error."""

import itertools
import math
import os
import secrets
import time

import structlog

from homeport.api.http import DOOR, ROUTE, Application, Headers, Message, Receive, Response, Scope, Send, client_address
from homeport.api.tracing import REQUEST_ID
from homeport.metrics import BYTES_IN, BYTES_OUT, NOT_MEASURED, REQUEST_SECONDS, REQUESTS, Metrics

log = structlog.get_logger()

_ID_LENGTH_LIMIT = 128
_PROCESS = secrets.token_hex(6)
_numbers = itertools.count(1)
os.register_at_fork(after_in_child=lambda: globals().update(_PROCESS=secrets.token_hex(6)))

_WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}
_METHODS = {*_WITHOUT_BODY, "POST", "PUT", "PATCH", "DELETE"}

OTHER = "other"
"""In metrics, what clients made up: a path that no route takes, a method that nobody knows."""


class RequestLog:
    """Gives each request an id (or takes over the one it came with), and writes one line when it has ended.

    The line has the path without its query: that may hold a token.
    """

    def __init__(self, app: Application, metrics: Metrics = NOT_MEASURED) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        scope[REQUEST_ID] = request_id
        header = (b"x-request-id", request_id.encode("latin-1"))
        status = 0
        size = 0
        read_bytes = 0
        announced: Headers = ()
        unread_bytes = 0 if scope["method"] in _WITHOUT_BODY else _body_length(scope)

        async def received() -> Message:
            nonlocal read_bytes, unread_bytes
            message = await receive()
            came = len(message.get("body", b""))
            read_bytes += came
            unread_bytes = unread_bytes - came if message.get("more_body") else 0
            return message

        async def observed(message: Message) -> None:
            nonlocal status, size, announced
            if message["type"] == "http.response.start":
                status = message["status"]
                announced = message["headers"] = [*message.get("headers", ()), header]
                if unread_bytes and status >= 400:
                    # The rest of the body would be read as the next request: the server closes, and says so.
                    message["headers"].append((b"connection", b"close"))
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            elif message["type"] == "http.response.pathsend":
                size += _length(announced)
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight += 1
        try:
            await self._app(scope, received if unread_bytes else receive, observed)
        except Exception:
            log.exception("request failed", request_id=request_id, method=scope["method"], path=scope["path"])
            if status == 0:
                await send_error(observed, is_head=scope["method"] == "HEAD")
        finally:
            self._metrics.in_flight -= 1
        duration_s = time.perf_counter() - began
        self._measure(scope, status, duration_s, read_bytes, size)
        log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            size_bytes=size,
            duration_ms=round(duration_s * 1000, 3),
            address=client_address(scope) or None,
        )

    def _measure(self, scope: Scope, status: int, duration_s: float, read_bytes: int, sent_bytes: int) -> None:
        """Count by door and route, never by path: clients could make up any number of those."""
        door, route = scope.get(DOOR, OTHER), scope.get(ROUTE) or OTHER
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        metrics = self._metrics
        metrics.count(REQUESTS, door, route, method, str(status))
        metrics.observe(REQUEST_SECONDS, duration_s, door, route, method)
        if read_bytes:
            metrics.count(BYTES_IN, door, by=read_bytes)
        if sent_bytes:
            metrics.count(BYTES_OUT, door, by=sent_bytes)


def _body_length(scope: Scope) -> float:
    """The bytes of body that a request announces; infinity where it does not say how many."""
    length = 0.0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return math.inf
        if name == b"content-length":
            length = int(value) if value.isdigit() else math.inf
    return length


def _length(headers: Headers) -> int:
    """What an answer says that its body has."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and len(value) <= _ID_LENGTH_LIMIT:
            text: str = value.decode("latin-1")
            if text.isascii() and text.isprintable():
                return text
    return f"{_PROCESS}-{next(_numbers):x}"


async def send_error(send: Send, *, is_head: bool) -> None:
    """One body that the Hub's clients and the registry's can both read."""
    body = b'{"message":"internal error","errors":[{"code":"UNKNOWN","message":"internal error"}],"errinfo":{}}'
    await Response(500, [(b"content-type", b"application/json")], body).send(send, is_head=is_head)
