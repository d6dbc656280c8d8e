"""Receivers of webhooks: real HTTP servers on loopback that remember what they got and answer as they are told."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

COMES_WITHIN_S = 15


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def tag(self) -> str:
        tag: str = self.json["push_data"]["tag"]
        return tag


class Reply(NamedTuple):
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b"thanks"
    length: int | None = None
    """What it says the length of its body is."""
    is_endless: bool = False
    after_s: float = 0
    until: threading.Event | None = None
    """Waits for it before it answers."""


class Receiver:
    """A server; `reply` decides on each request, by what was received and how many there were before."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, certificate: str = "") -> None:
        self.requests: list[Received] = []
        self.reply: Callable[[Received], Reply] = lambda _received: Reply()
        self.sent_bytes = 0
        self.connections = 0
        self._server = _Server((host, port), _handler_of(self))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.port = self._server.server_port
        self.url = f"{scheme}://{host}:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Receiver"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @property
    def tags(self) -> list[str]:
        return [received.tag for received in self.requests]

    def wait(self, count: int) -> list[Received]:
        until(lambda: len(self.requests) >= count)
        return self.requests


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of ours."""


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.path, headers, body)
            reply = receiver.reply(received)
            receiver.requests.append(received)
            if reply.until is not None:
                reply.until.wait(30)
            time.sleep(reply.after_s)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if not reply.is_endless:
                self.send_header("content-length", str(len(reply.body) if reply.length is None else reply.length))
            self.end_headers()
            self.wfile.write(reply.body)
            while reply.is_endless:
                receiver.sent_bytes += self.wfile.write(b"x" * 65536)
            if reply.length is not None:
                self.rfile.read(1)  # until the other side hangs up

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


def until(condition: Callable[[], Any], within_s: float = COMES_WITHIN_S) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")
