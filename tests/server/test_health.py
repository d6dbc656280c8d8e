"""`/readyz` per dependency, and a server that is told to end."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from homeport.api.health import REMEMBERED_S, Health
from homeport.api.http import Message
from homeport.core.services import Services
from homeport.errors import DatabaseUnavailable, StoreUnavailable
from tests.conftest import DATABASES, NewHome
from tests.home import ADMIN_PASSWORD, Home, digest_of
from tests.server.test_serve import serving, token

SECRET = "10.1.2.3 refused secret-host"


@pytest.fixture(scope="module", params=DATABASES)
def home(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    with new_home(request.param) as running:
        yield running


class Asked:
    """A dependency that counts how often it is asked, and then does what a test wants."""

    def __init__(self, behave: Callable[[], Awaitable[None]]) -> None:
        self.count = 0
        self._behave = behave

    async def check(self) -> None:
        self.count += 1
        await self._behave()


class NoDatabase:
    def read(self) -> Any:
        raise DatabaseUnavailable(SECRET)


async def ready(health: Health) -> tuple[int, dict[str, Any]]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await health({"type": "http", "method": "GET", "path": "/readyz", "headers": []}, send)
    assert SECRET not in str(sent)
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


def test_each_thing_is_told_of_by_name_state_and_time(home: Home) -> None:
    answer = httpx.get(f"{home.url}/readyz")
    found = answer.json()
    assert all(value >= 0 for value in found["duration_ms"].values())
    checked = {"database", "blobs"} | ({"valkey"} if home.settings.valkey_url else set())
    assert set(found.pop("duration_ms")) == checked
    assert (answer.status_code, found) == (200, dict.fromkeys({"status", "schema", *checked}, "ok"))


def test_what_hangs_holds_up_nobody_and_is_asked_once(home: Home) -> None:
    released = asyncio.Event()

    async def hang() -> None:
        await released.wait()

    async def probe(services: Services) -> None:
        blobs = Asked(hang)
        health = Health(msgspec.structs.replace(services, blobs=blobs), is_draining=lambda: False)
        async with asyncio.timeout(30):
            for _ in range(2):
                for status, body in await asyncio.gather(*(ready(health) for _ in range(20))):
                    assert (status, body["blobs"], body["database"]) == (503, "away", "ok")
                await asyncio.sleep(REMEMBERED_S * 1.2)
            assert blobs.count == 1
            released.set()
            await asyncio.sleep(0)
            assert (await ready(health))[0] == 200

    home.run(probe)


def test_frequent_probes_ask_once_a_second_and_reasons_stay_here(home: Home) -> None:
    async def fail() -> None:
        raise StoreUnavailable(SECRET)

    async def probe(services: Services) -> None:
        blobs = Asked(fail)
        broken = msgspec.structs.replace(services, blobs=blobs, db=NoDatabase())
        health = Health(broken, is_draining=lambda: False)
        for _ in range(30):
            status, body = await ready(health)
            assert (status, body["status"], body["blobs"], body["database"]) == (503, "unavailable", "away", "away")
        assert blobs.count == 1
        await asyncio.sleep(REMEMBERED_S * 1.2)
        await ready(health)
        assert blobs.count == 2

    home.run(probe)


def test_a_server_that_is_told_to_end_is_not_ready_first_and_serves_on(tmp_path: Path) -> None:
    variables = {"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, "HOMEPORT_DRAIN_DELAY": "300", "HOMEPORT_WORKERS": "2"}
    with serving(tmp_path / "hub", **variables) as (url, process):
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while (answer := httpx.get(f"{url}/readyz")).status_code == 200:
            assert time.monotonic() < deadline
        for _ in range(10):  # on connections of their own: both workers know
            answer = httpx.get(f"{url}/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
            assert httpx.get(f"{url}/token", auth=("admin", ADMIN_PASSWORD)).status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)  # who cannot wait says so again
        assert process.wait(timeout=60) == 0


def test_transfers_of_all_workers_finish_after_sigterm_and_nobody_else_is_let_in(tmp_path: Path) -> None:
    content = os.urandom(8_000_000)
    variables = {"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, "HOMEPORT_WORKERS": "2"}
    with serving(tmp_path / "hub", **variables) as (url, process), ExitStack() as stack:
        headers = token(url, "admin/slow")
        host, port = url.removeprefix("http://").split(":")

        def connected(lines: str, body: bytes = b"") -> socket.socket:
            connection = stack.enter_context(socket.socket())
            # Smaller than what is pulled: the server cannot send all of it before somebody reads.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(30)
            connection.connect((host, int(port)))
            head = f"{lines}\r\nhost: {host}\r\nauthorization: {headers['authorization']}\r\n"
            connection.sendall(head.encode() + b"connection: close\r\n" + body)
            return connection

        def begun() -> str:
            location: str = httpx.post(f"{url}/v2/admin/slow/blobs/uploads/", headers=headers).headers["location"]
            return location

        with httpx.Client(headers=headers) as client:
            client.put(url + begun(), params={"digest": digest_of(content)}, content=content)
        length = f"content-length: {len(content)}\r\n\r\n".encode()
        pushes, half = [], len(content) // 2
        for number in range(4):  # so many that either worker has some
            pushed = content[number + 1 :] + content[: number + 1]
            line = f"PUT {begun()}?digest={digest_of(pushed)} HTTP/1.1"
            pushes.append((connected(line, length + pushed[:half]), pushed[half:]))
        pulls = [connected(f"GET /v2/admin/slow/blobs/{digest_of(content)} HTTP/1.1", b"\r\n") for _ in range(4)]
        firsts = [pull.recv(1000) for pull in pulls]
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert not is_let_in(host, int(port))
        for connection, rest in pushes:
            connection.sendall(rest)
        for connection, _ in pushes:
            assert connection.recv(1000).startswith(b"HTTP/1.1 201")
        for pull, first in zip(pulls, firsts, strict=True):
            assert received(pull, first).partition(b"\r\n\r\n")[2] == content
        assert process.wait(timeout=30) == 0


def received(connection: socket.socket, first: bytes) -> bytes:
    """All that comes until the other side closes."""
    pieces = [first]
    with suppress(ConnectionResetError):
        while piece := connection.recv(1_000_000):
            pieces.append(piece)
    return b"".join(pieces)


def is_let_in(host: str, port: int) -> bool:
    """Whether somebody new gets an answer."""
    with suppress(OSError), socket.create_connection((host, port), timeout=2) as late:
        late.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        return late.recv(100) != b""
    return False
