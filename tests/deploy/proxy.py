"""deploy/nginx/homeport.conf in front of servers that die over a request."""

import contextlib
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy import nginx
from tests.postgres import free_port


class Dying(socketserver.ThreadingTCPServer):
    """Takes a request and hangs up."""

    daemon_threads = True

    def __init__(self, seen: list[str]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if line := self.rfile.readline():
                    seen.append(line.decode().split()[0])

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def seen() -> list[str]:
    """The methods of requests that servers were sent."""
    return []


@pytest.fixture
def client(tmp_path: Path, seen: list[str]) -> Iterator[httpx.Client]:
    """A client of nginx with two dying servers behind it."""
    port, (certificate, key) = free_port(), (tmp_path / "tls.crt", tmp_path / "tls.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Dying(seen)) for _ in range(2)]
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        http = nginx.rendered(
            servers=[f"127.0.0.1:{server.server_address[1]}" for server in servers],
            tls=f"127.0.0.1:{port}",
            plain=f"127.0.0.1:{free_port()}",
            certificate=certificate,
            key=key,
            challenges=tmp_path,
        )
        stack.enter_context(nginx.running(tmp_path, http))
        wait_for(port)
        yield stack.enter_context(httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=False))


def wait_for(port: int) -> None:
    """Without a request: a server that dies over one is left alone for a while."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise AssertionError("nginx did not become ready")


def test_what_reads_is_asked_of_another_server(client: httpx.Client, seen: list[str]) -> None:
    answer = client.get("/v2/admin/app/manifests/1.0")
    assert seen == ["GET", "GET"]
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("size", [0, 3_000_000])
def test_what_writes_is_sent_once(client: httpx.Client, seen: list[str], method: str, size: int) -> None:
    answer = client.request(method, "/v2/admin/app/manifests/1.0", content=b"x" * size)
    assert (answer.status_code, seen) == (503, [method])
