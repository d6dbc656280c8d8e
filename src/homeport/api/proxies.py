"""Who sent a request, where proxies stand in between: before anything else looks at it.

A proxy that the setting `trusted_proxies` names is believed when it says for whom it asks (`X-Forwarded-For`), and by
what scheme and host it was asked (`X-Forwarded-Proto`, `X-Forwarded-Host`). From anybody else these headers mean
nothing. `Forwarded` (RFC 7239) is not read.
"""

import re

from homeport.addresses import Address, Networks, parse_address
from homeport.api.http import Application, Receive, Scope, Send, client_address

_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([0-9.]+):\d+")
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SCHEMES = ("http", "https")


IS_TRUSTED = "homeport.is_trusted"
"""The key of a scope whose client is known although a proxy has sent the request."""


class TrustedProxies:
    """Puts the client's address, and the scheme and host that it asked for, in the place of the proxy's."""

    def __init__(self, app: Application, trusted: Networks) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = parse_address(client_address(scope))
        if peer is not None and peer in self._trusted:
            scope[IS_TRUSTED] = True
            self._look_behind(peer, scope)
        await self._app(scope, receive, send)

    def _look_behind(self, peer: Address, scope: Scope) -> None:
        client = client_behind(peer, _said(scope, b"x-forwarded-for"), self._trusted)
        scope["client"] = (str(client), 0)
        # The last value is the one that the nearest proxy has written; what stands before it, anybody may have.
        scheme = _said(scope, b"x-forwarded-proto")[-1:]
        if scheme and scheme[0].lower() in _SCHEMES:
            scope["scheme"] = scheme[0].lower()
        host = _said(scope, b"x-forwarded-host")[-1:]
        if host and _HOST.fullmatch(host[0]):
            others = [header for header in scope["headers"] if header[0] != b"host"]
            scope["headers"] = [*others, (b"host", host[0].encode())]


def client_behind(peer: Address, hops: list[str], trusted: Networks) -> Address:
    """The first address from the right that is no trusted proxy's. `peer` is trusted, `hops` what it says.

    Each hop was written down by the one to its right, so that nothing to the left of the first stranger is known. If
    all are trusted, it is the one farthest away. A hop that is no address makes the header void: it is the peer.
    """
    client = peer
    for hop in reversed(hops):
        found = _hop(hop)
        if found is None:
            return peer
        client = found
        if found not in trusted:
            break
    return client


def _hop(text: str) -> Address | None:
    """An address, as some proxies write it with a port behind it."""
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    return parse_address(text)


def _said(scope: Scope, name: bytes) -> list[str]:
    """The values of a header that is a list: repeated, or with commas in between."""
    lines = [value.decode("latin-1") for header, value in scope["headers"] if header == name]
    return [value.strip() for value in ",".join(lines).split(",")] if lines else []
