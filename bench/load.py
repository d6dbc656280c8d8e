"""The load: wrk for small answers, sockets of our own for large ones and for pushes. It runs on the second core."""

import hashlib
import http.client
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Mapping

MIB = 1024 * 1024
_BUFFER = memoryview(bytearray(4 * MIB))


def requests_per_second(url: str, headers: Mapping[str, str], seconds: int) -> float:
    """How many answers a second eight connections get."""
    options = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", *options, url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url}: {output}")
    found = re.search(r"Requests/sec:\s*([\d.]+)", output)
    assert found is not None
    return float(found[1])


def mebibytes_per_second(port: int, path: str, headers: Mapping[str, str], times: int) -> float:
    """How fast a large answer comes over one connection."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode()
    received = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        for _ in range(times):
            connection.sendall(request)
            received += _read_answer(connection)
        return received / MIB / (time.perf_counter() - began)


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


def push(
    connection: http.client.HTTPConnection, repository: str, headers: Mapping[str, str], content: bytes, *, way: str
) -> str:
    """Push a blob by POST and PUT, or by POST, PATCH and PUT as clients do; its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    location = _send(connection, "POST", f"/v2/{repository}/blobs/uploads/", headers, b"", 202)
    binary = {**headers, "content-type": "application/octet-stream"}
    if way == "PATCH":
        location = _send(connection, "PATCH", location, binary, content, 202)
        content = b""
    mark = "&" if "?" in location else "?"
    _send(connection, "PUT", f"{location}{mark}digest={digest}", binary, content, 201)
    return digest


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    status: int,
) -> str:
    connection.request(method, path, body=body, headers=dict(headers))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != status:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
    location = answer.headers.get("location", "")
    return location.partition(str(connection.port))[2] if location.startswith("http") else location


def pushes_per_second(
    port: int, repository: str, headers: Mapping[str, str], *, size: int, count: int, clients: int, way: str
) -> float:
    """How many blobs of a size, new ones each time, several clients push in a second.

    Only the requests are on the clock: the contents and their digests are made before.
    """
    contents = [[secrets.token_bytes(size) for _ in range(count // clients)] for _ in range(clients)]
    barrier = threading.Barrier(clients + 1)

    def work(mine: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        barrier.wait()
        for content in mine:
            push(connection, repository, headers, content, way=way)
        connection.close()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in contents]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return clients * (count // clients) / (time.perf_counter() - began)


def proportional_mib(pid: int) -> float:
    """Memory of a process and its children; what several share is counted once (PSS)."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return sum(map(_pss_mib, [pid, *map(int, children.read().split())]))


def _pss_mib(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        found = re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
