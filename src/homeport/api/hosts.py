"""The hosts of the Hub, the registry and the token service, where settings give them hosts of their own.

Without `registry_url` and `token_url` every host answers for all three. With them, a request to a host that they name
is for what they name, and a request to any other host is for the Hub.
"""

from enum import Flag, auto
from urllib.parse import urlsplit

from homeport.api.http import Scope, base_url
from homeport.settings import Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Part(Flag):
    """What a host answers for."""

    HUB = auto()
    REGISTRY = auto()
    TOKENS = auto()


WHOLE = Part.HUB | Part.REGISTRY | Part.TOKENS


class Hosts:
    """Which host answers for what."""

    def __init__(self, settings: Settings) -> None:
        urls = {
            Part.HUB: settings.public_url,
            Part.REGISTRY: settings.registry_url or settings.public_url,
            Part.TOKENS: settings.token_url or settings.registry_url or settings.public_url,
        }
        self._parts: dict[bytes, Part] = {}
        if len(set(urls.values())) > 1:
            for part, url in urls.items():
                for host in _spellings(url):
                    self._parts[host] = self._parts.get(host, Part(0)) | part
        self._elsewhere = self._parts[_spellings(settings.public_url)[0]] if self._parts else WHOLE

    def parts(self, scope: Scope) -> Part:
        """What the host of a request answers for."""
        if not self._parts:
            return WHOLE
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return self._parts.get(host.lower(), self._elsewhere)


def _spellings(url: str) -> list[bytes]:
    """A URL's host as `Host` headers have it: with the port unless it is the scheme's own, and then either way."""
    scheme, _, host = url.lower().partition("://")
    usual = f":{_DEFAULT_PORTS[scheme]}"
    if urlsplit(url).port is None:
        return [host.encode(), (host + usual).encode()]
    return [host.encode(), host.removesuffix(usual).encode()] if host.endswith(usual) else [host.encode()]


def registry_url(settings: Settings, scope: Scope) -> str:
    """What an image's name begins with, behind a scheme."""
    return settings.registry_url or base_url(settings, scope)


def registry_host(settings: Settings, scope: Scope) -> str:
    """The registry's name for `docker login`, and the service that its tokens are for."""
    return registry_url(settings, scope).partition("://")[2]


def token_url(settings: Settings, scope: Scope) -> str:
    """Where the registry sends whoever needs a token."""
    return f"{settings.token_url or registry_url(settings, scope)}/token"
