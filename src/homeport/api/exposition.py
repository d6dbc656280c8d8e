"""`/metrics`: what is measured, for those whom the setting `metrics_networks` names.

For everybody else there is no such path.
"""

import asyncio
import contextlib
from http import HTTPStatus

from homeport.addresses import Networks, parse_address
from homeport.api.http import ROUTE, Message, Response, Scope, Send, client_address
from homeport.api.proxies import IS_TRUSTED
from homeport.core.services import Services
from homeport.jobs import measures
from homeport.metrics import Prometheus

_LISTENER_TIMEOUT_S = 10
_FORWARDED = (b"x-forwarded-for", b"forwarded")


def is_reader(services: Services, scope: Scope) -> bool:
    """Whether a request may read. One that a proxy passes on for whom we do not know comes from a stranger, whatever
    address the proxy has.
    """
    if not scope.get(IS_TRUSTED) and any(name in _FORWARDED for name, _ in scope["headers"]):
        return False
    return may_read(services.settings.metrics_networks, client_address(scope))


def may_read(networks: Networks, address: str) -> bool:
    found = parse_address(address)
    return found is not None and found in networks


async def tell(services: Services, scope: Scope, send: Send) -> None:
    """Answer with all values of all workers."""
    scope[ROUTE] = scope["path"]
    if scope["method"] not in ("GET", "HEAD"):
        await Response(405, [(b"allow", b"GET, HEAD")]).send(send, is_head=False)
        return
    metrics = services.metrics
    assert isinstance(metrics, Prometheus)  # somebody may read: `app.measuring`
    await measures.sample(services)
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
    # In a thread: with several workers it reads their files.
    body, content_type = await asyncio.to_thread(metrics.render, accept)
    headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
    await Response(200, headers, body).send(send, is_head=scope["method"] == "HEAD")


async def listening(services: Services) -> asyncio.Server:
    """A listener of a process that has no door: it answers `GET /metrics` and `GET /healthz`, one request a connection.

    What it hears is measured as little as it is logged. Proxies are not believed: who reads comes by themselves.

    Raises:
        OSError: the address is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_LISTENER_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _listener_answer(services, head, address=writer.get_extra_info("peername")[0]))
                await writer.drain()
        writer.close()

    settings = services.settings
    return await asyncio.start_server(answer, settings.host, settings.metrics_port)


async def _listener_answer(services: Services, head: bytes, *, address: str) -> bytes:
    """The answer to a request's head, as it goes over the wire."""
    line, *headers = head.split(b"\r\n")
    scope: Scope = {
        "type": "http",
        "method": line.partition(b" ")[0].decode("latin-1"),
        "path": line.split(b" ")[1].partition(b"?")[0].decode("latin-1") if b" " in line else "",
        "headers": [
            (name.strip().lower(), value.strip())
            for name, colon, value in (header.partition(b":") for header in headers)
            if colon
        ],
        "client": (address, 0),
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    if scope["path"] == "/healthz":
        await Response(200, [(b"content-type", b"application/json")], b'{"status":"ok"}').send(
            send, is_head=scope["method"] == "HEAD"
        )
    elif scope["path"] == "/metrics" and is_reader(services, scope):
        await tell(services, scope, send)
    else:
        await Response(404).send(send, is_head=scope["method"] == "HEAD")
    start, body = sent
    lines = [f"HTTP/1.1 {start['status']} {HTTPStatus(start['status']).phrase}".encode()]
    lines += [name + b": " + value for name, value in [*start["headers"], (b"connection", b"close")]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(body["body"])
