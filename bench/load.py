"""The load: wrk for small answers, sockets of our own for large ones and for pushes. It runs on the second core."""

import hashlib
import os
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

MIB = 1024 * 1024
_BUFFER = memoryview(bytearray(4 * MIB))


class Measured(NamedTuple):
    per_second: float
    processor_us: float
    """What the server's processor spent for one."""

    def times(self, factor: float) -> "Measured":
        """The same in a smaller unit, of which one holds so many."""
        return Measured(self.per_second * factor, self.processor_us / factor)


class Clock:
    """Takes the time while a server is under load, and its processor's time, which a busy machine disturbs less."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._processor_s = _processor_s(pid)
        self._began = time.perf_counter()

    def measured(self, count: float) -> Measured:
        seconds = time.perf_counter() - self._began
        return Measured(count / seconds, (_processor_s(self._pid) - self._processor_s) / count * 1e6)


def requests_per_second(pid: int, url: str, headers: Mapping[str, str], seconds: int) -> Measured:
    """How many answers a second eight connections get."""
    options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", *options, url]
    clock = Clock(pid)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url}: {output}")
    found = re.search(r"(\d+) requests in .*Requests/sec:\s*([\d.]+)", output, re.DOTALL)
    assert found is not None
    return Measured(float(found[2]), clock.measured(int(found[1])).processor_us)


def mebibytes_per_second(pid: int, port: int, path: str, headers: Mapping[str, str], times: int) -> Measured:
    """How fast a large answer comes over one connection."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode()
    received = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        clock = Clock(pid)
        for _ in range(times):
            connection.sendall(request)
            received += _read_answer(connection)
        return clock.measured(received / MIB)


def _read_answer(connection: socket.socket) -> int:
    """Read an answer with a Content-Length; the length of its body."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    head, _, rest = head.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found is not None
    length = int(found[1])
    left = length - len(rest)
    while left > 0:
        count = connection.recv_into(_BUFFER, min(left, len(_BUFFER)))
        assert count > 0
        left -= count
    return length


def push(connection: socket.socket, repository: str, headers: Mapping[str, str], content: bytes, *, way: str) -> str:
    """Push a blob by POST and PUT, or by POST, PATCH and PUT as clients do; its digest."""
    digest = digest_of(content)
    push_digested(connection, repository, headers, content, digest, way=way)
    return digest


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push_digested(
    connection: socket.socket, repository: str, headers: Mapping[str, str], content: bytes, digest: str, *, way: str
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    location = _send(connection, "POST", f"/v2/{repository}/blobs/uploads/", lines, b"", 202)
    lines += "Content-Type: application/octet-stream\r\n"
    if way == "PATCH":
        location = _send(connection, "PATCH", location, lines, content, 202)
        content = b""
    mark = "&" if "?" in location else "?"
    _send(connection, "PUT", f"{location}{mark}digest={digest}", lines, content, 201)


def _send(connection: socket.socket, method: str, path: str, lines: str, body: bytes, status: int) -> str:
    """Send a request and read its answer, which has no body; the path of its `Location`.

    By hand: Python's HTTP client takes longer for the three requests of a small push than a server should.
    """
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    connection.sendall(head.encode())
    if body:
        connection.sendall(body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = connection.recv(65536)
        assert received, answer
        answer += received
    if not answer.startswith(b"HTTP/1.1 %d " % status):
        raise RuntimeError(f"{method} {path}: {answer[:600]!r}")
    found = re.search(rb"^location: (?:http://[^/]*)?([^\r]*)", answer, re.IGNORECASE | re.MULTILINE)
    return found[1].decode() if found else ""


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def pushes_per_second(
    pid: int, port: int, repository: str, headers: Mapping[str, str], *, size: int, count: int, clients: int, way: str
) -> Measured:
    """How many blobs of a size, new ones each time, several clients push in a second.

    Only the requests are on the clock: the contents and their digests are made before.
    """
    contents = [[_new_blob(size) for _ in range(count // clients)] for _ in range(clients)]
    barrier = threading.Barrier(clients + 1)

    def work(mine: list[tuple[bytes, str]]) -> None:
        with connect(port) as connection:
            barrier.wait()
            for content, digest in mine:
                push_digested(connection, repository, headers, content, digest, way=way)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in contents]
    for thread in threads:
        thread.start()
    clock = Clock(pid)
    barrier.wait()
    for thread in threads:
        thread.join()
    return clock.measured(clients * (count // clients))


def _new_blob(size: int) -> tuple[bytes, str]:
    content = secrets.token_bytes(size)
    return content, digest_of(content)


def _family(pid: int) -> list[int]:
    """A process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [pid, *map(int, children.read().split())]


def _processor_s(pid: int) -> float:
    """What a process and its children have used of the processor, in user and kernel mode."""
    ticks = 0
    for member in _family(pid):
        with open(f"/proc/{member}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_mib(pid: int) -> float:
    """Memory of a process and its children; what several share is counted once (PSS)."""
    return sum(map(_pss_mib, _family(pid)))


def _pss_mib(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        found = re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
