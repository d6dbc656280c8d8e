"""Requests to where users say, such as webhooks: they reach the internet, and nothing that only this machine reaches.

What counts is the address that a connection goes to. For each connection a name is resolved once, what comes of it is
checked, and the connection goes to what was checked: a name that means something else a moment later changes nothing,
and neither does an odd spelling of an address. Each redirect is a new connection. Proxies that the environment names
are not used: they would connect for us, to whatever they like.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urljoin, urlsplit

import httpcore2
import msgspec

from homeport.addresses import Networks, is_public, parse_address

URL_LENGTH_LIMIT = 2048
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10
EXCERPT_TIMEOUT_S = 2
TOTAL_TIMEOUT_S = 20
"""Of one request with all of its redirects."""

REDIRECT_LIMIT = 3
ADDRESS_LIMIT = 4
"""Addresses of one name that are tried, in the order of the resolver."""

EXCERPT_SIZE_LIMIT = 4096
"""Bytes of an answer that are read; a receiver that sends more is not listened to."""

# A redirect by 303 asks for a GET of something else: it is an answer.
_REDIRECTS = frozenset({301, 302, 307, 308})
_PORTS = {"http": 80, "https": 443}
_TIMEOUTS = {
    "connect": CONNECT_TIMEOUT_S,
    "read": ANSWER_TIMEOUT_S,
    "write": ANSWER_TIMEOUT_S,
    "pool": CONNECT_TIMEOUT_S,
}
# The characters of RFC 3986, so that no two readers of a URL see different hosts in it.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to addresses; raises OSError where there are none."""


class Undelivered(Exception):
    """A request to which no answer came. The message is for who named the URL: no address of ours is in it."""


class Answer(msgspec.Struct, frozen=True):
    """What a receiver said: a status, and the first bytes of its body."""

    status: int
    excerpt: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class Url(NamedTuple):
    """A URL that requests may go to, if its host's address is one."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str
    """Path and query."""

    @classmethod
    def parse(cls, text: str) -> "Url":
        """Raises: ValueError, with a sentence on what is wrong."""
        if len(text) > URL_LENGTH_LIMIT:
            raise ValueError(f"At most {URL_LENGTH_LIMIT} characters.")
        if not _URL.fullmatch(text):
            raise ValueError("Percent-encode what is special in a URL; write a host's name in its ASCII form.")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("This is no URL.") from None
        if parts.scheme not in _PORTS:
            raise ValueError("Has to begin with http:// or https://.")
        if "@" in parts.netloc:
            raise ValueError("No user name or password may stand in it.")
        is_host = parse_address(host or "") if "[" in parts.netloc else _HOST.fullmatch(host or "")
        if not host or port == 0 or not is_host:
            raise ValueError("This is no URL of a host.")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], (parts.path or "/") + query)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def is_same_party(self, other: "Url") -> bool:
        """Whether another URL leads to whoever this one leads to: the same host and port, or its TLS port."""
        ports = (self.port, other.port)
        is_upgrade = (self.scheme, other.scheme, ports) == ("http", "https", (80, 443))
        return self.host == other.host and (is_upgrade or (self.scheme == other.scheme and self.port == other.port))


class Outbound:
    """A client for requests to where users say."""

    def __init__(self, allowed: Networks, *, resolve: Resolve | None = None, concurrency: int = 4) -> None:
        """`allowed` are the addresses beside public ones that may be reached."""
        # A pool of its own: names that take long to resolve must not keep the threads of others waiting.
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="resolve")
        self._backend = _Guarded(allowed, resolve or self._resolve)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(
        self, url: str, *, headers: Mapping[str, str], private_headers: Mapping[str, str], content: bytes
    ) -> Answer:
        """Post something, and again to where redirects lead. `private_headers` go to the host of the URL alone.

        Raises:
            Undelivered: no answer, or none in time; or nobody may be asked there.
        """
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return await self._follow(url, dict(headers), dict(private_headers), content)
        except TimeoutError:
            raise Undelivered(f"no answer within {TOTAL_TIMEOUT_S} seconds") from None
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise Undelivered(_told(error)) from error

    async def _follow(self, text: str, headers: dict[str, str], private: dict[str, str], content: bytes) -> Answer:
        url = _parsed(text)
        for _ in range(REDIRECT_LIMIT + 1):
            answer, location = await self._send(url, headers | private, content)
            if answer.status not in _REDIRECTS or location is None:
                return answer
            target = _parsed(urljoin(str(url), location), "redirected to a URL that is not allowed: ")
            if (url.scheme, target.scheme) == ("https", "http"):
                raise Undelivered("redirected from https to http")
            if not url.is_same_party(target):
                private = {}
            url = target
        raise Undelivered(f"more than {REDIRECT_LIMIT} redirects")

    async def _send(self, url: Url, headers: dict[str, str], content: bytes) -> tuple[Answer, str | None]:
        address = httpcore2.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        tls = self._tls if url.scheme == "https" else None
        # What is encoded could be much larger than it looks.
        sent = [*{"Host": url.authority, "Accept-Encoding": "identity", "Connection": "close", **headers}.items()]
        async with (
            httpcore2.AsyncConnectionPool(tls, network_backend=self._backend) as pool,
            pool.stream("POST", address, headers=sent, content=content, extensions={"timeout": _TIMEOUTS}) as response,
        ):
            locations = [value for name, value in response.headers if name.lower() == b"location"]
            answer = Answer(response.status, await _excerpt(response))
            return answer, locations[0].decode("latin-1") if locations else None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Certificates are checked against the authorities that this machine trusts."""
        return ssl.create_default_context()

    async def _resolve(self, host: str, port: int) -> list[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(address[0]) for *_, address in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


async def _excerpt(response: httpcore2.Response) -> bytes:
    """The beginning of a body. The status counts, whatever becomes of the body."""
    excerpt = bytearray()
    stream: Any = response.aiter_stream()
    with contextlib.suppress(TimeoutError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout(EXCERPT_TIMEOUT_S), contextlib.aclosing(stream):
            async for chunk in stream:
                excerpt += chunk
                if len(excerpt) >= EXCERPT_SIZE_LIMIT:
                    break
    return bytes(excerpt[:EXCERPT_SIZE_LIMIT])


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that may be reached, and to nothing else."""

    def __init__(self, allowed: Networks, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's contract
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._reachable(host, port)
        while addresses:
            try:
                stream = await self._plain.connect_tcp(addresses.pop(0), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if addresses:
                    continue
                raise
            # Nothing has been sent yet; where something between us and the network took us elsewhere, nothing is.
            if not self._may_reach(stream.get_extra_info("server_addr")[0]):
                await stream.aclose()
                break
            return stream
        raise Undelivered("the URL leads to an address that is not allowed")

    async def _reachable(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise Undelivered("the host's name could not be resolved in time") from None
        except (OSError, UnicodeError):
            raise Undelivered("the host's name cannot be resolved") from None
        return [address for address in found if self._may_reach(address)][:ADDRESS_LIMIT]

    def _may_reach(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and (is_public(address) or address in self._allowed)


def _parsed(text: str, what: str = "") -> Url:
    try:
        return Url.parse(text)
    except ValueError as error:
        raise Undelivered(f"{what}{error}") from None


def _told(error: BaseException) -> str:
    """What was wrong, in the words of what was wrong first."""
    if isinstance(error, httpcore2.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT_S} seconds"
    if isinstance(error, httpcore2.TimeoutException):
        return f"no answer within {ANSWER_TIMEOUT_S} seconds"
    first = error
    while (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    if isinstance(first, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {first.verify_message}"
    if isinstance(first, OSError) and first.errno is not None and not isinstance(first, ssl.SSLError):
        return os.strerror(first.errno)  # its own words may hold an address
    return str(first) or type(first).__name__
