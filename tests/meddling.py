"""A proxy in front of the S3 server of the tests that does what networks and stores do at their worst."""

import contextlib
import http.client
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

Fault = Literal["refuse", "500", "hang", "lose answer", "cut answer", "forget conditions"]


class Asked(NamedTuple):
    """A request that came by."""

    method: str
    path: str
    size_bytes: int


class Meddler:
    """Passes requests on, but for what `fault` says of each; `asked` holds them all."""

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://")
        self.fault: Callable[[Asked], Fault | None] = lambda _: None
        self.asked: list[Asked] = []
        self.released = threading.Event()
        self.lock = threading.Lock()
        meddler = self

        class Handler(_Handler):
            owner = meddler

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Meddler"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def always(self, fault: Fault | None) -> None:
        self.fault = lambda _: fault

    def once(self, number: int, fault: Fault) -> None:
        """Do it to the request of a number, from now on, and to no other."""
        first = len(self.asked)
        self.fault = lambda _: fault if len(self.asked) == first + number + 1 else None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Meddler

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.owner.lock:
            asked = Asked(self.command, self.path, len(body))
            self.owner.asked.append(asked)
            fault = self.owner.fault(asked)
        if fault == "hang":
            self.owner.released.wait()
        if fault in ("refuse", "hang"):
            self.close_connection = True
        elif fault == "500":
            self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
        else:
            status, headers, content = self._ask(body)
            if fault == "forget conditions" and status == 412:
                status, headers, content = 200, [("etag", '"of another"')], b""
            if fault == "lose answer":
                self.close_connection = True
            else:
                self._answer(status, headers, content, cut=fault == "cut answer")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - the base class's names

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.owner.target)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        length = {name.lower(): value for name, value in headers}.get("content-length")
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", length or "0" if is_head else str(len(content)))
        self.end_headers()
        if not is_head:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
