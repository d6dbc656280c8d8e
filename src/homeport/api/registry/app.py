"""The registry door: OCI Distribution Spec 1.1 and the token service, as plain ASGI over one table of routes.

This is the hot path, and repository names hold slashes: a framework would cost more than the work.
"""

import re
from collections.abc import Awaitable, Callable

import msgspec

from homeport.api.http import ROUTE, Receive, Request, Response, Scope, Send, bearer_token
from homeport.api.registry import blobs, manifests, referrers, tags, token, uploads
from homeport.api.registry.errors import challenge, error_response, is_beyond_token, render
from homeport.api.registry.exchange import API_VERSION, Exchange
from homeport.core.access import ANONYMOUS, Action, Actor
from homeport.core.services import Services
from homeport.errors import (
    Denied,
    HomeportError,
    NamespaceUnknown,
    NotAuthenticated,
    RepositoryNameInvalid,
    RepositoryUnknown,
)
from homeport.names import RepositoryName

Handler = Callable[[Exchange, str], Awaitable[None]]

# The first pattern that fits counts; a name may itself hold the words.
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads(?:/([^/]*))?", re.DOTALL)
_TAGS = re.compile(r"/v2/(.+)/tags/(list)", re.DOTALL)
_ITEM = re.compile(r"/v2/(.+)/(manifests|blobs|referrers)/([^/]+)", re.DOTALL)

ROUTES: dict[tuple[str, str], tuple[Action, Handler]] = {
    ("manifests", "GET"): (Action.PULL, manifests.get),
    ("manifests", "HEAD"): (Action.PULL, manifests.get),
    ("manifests", "PUT"): (Action.PUSH, manifests.put),
    ("manifests", "DELETE"): (Action.DELETE, manifests.delete),
    ("blobs", "GET"): (Action.PULL, blobs.get),
    ("blobs", "HEAD"): (Action.PULL, blobs.get),
    ("blobs", "DELETE"): (Action.DELETE, blobs.delete),
    ("uploads", "POST"): (Action.PUSH, uploads.begin),
    ("upload", "GET"): (Action.PUSH, uploads.get),
    ("upload", "HEAD"): (Action.PUSH, uploads.get),
    ("upload", "PATCH"): (Action.PUSH, uploads.append),
    ("upload", "PUT"): (Action.PUSH, uploads.finish),
    ("upload", "DELETE"): (Action.PUSH, uploads.cancel),
    ("tags", "GET"): (Action.PULL, tags.get),
    ("tags", "HEAD"): (Action.PULL, tags.get),
    ("referrers", "GET"): (Action.PULL, referrers.get),
    ("referrers", "HEAD"): (Action.PULL, referrers.get),
}

TEMPLATES = {
    "manifests": "/v2/{name}/manifests/{reference}",
    "blobs": "/v2/{name}/blobs/{digest}",
    "uploads": "/v2/{name}/blobs/uploads",
    "upload": "/v2/{name}/blobs/uploads/{upload}",
    "tags": "/v2/{name}/tags/list",
    "referrers": "/v2/{name}/referrers/{digest}",
}
_ROOT_PATHS = ("/v2", "/v2/_catalog")

_METHODS = {kind: ", ".join(sorted(method for found, method in ROUTES if found == kind)).encode() for kind, _ in ROUTES}


class Registry:
    """The door as an ASGI application."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._handle(request, send)
        except HomeportError as error:
            answer = render(error, request)
        if answer is not None:
            await answer.send(send, is_head=request.method == "HEAD")

    async def _handle(self, request: Request, send: Send) -> Response | None:
        """Handle a request; an answer that is not sent yet, or None."""
        path = request.path
        if path.rstrip("/") == "/token":
            request.scope[ROUTE] = "/token"
            return await token.handle(self._services, request)
        route = _route(path)
        if route is None:
            return await self._handle_root(request)
        kind, name_text, item = route
        request.scope[ROUTE] = TEMPLATES[kind]
        found = ROUTES.get((kind, request.method))
        if found is None:
            allow = (b"allow", _METHODS[kind])
            return error_response(405, "UNSUPPORTED", f"{request.method} is not allowed here", [allow])
        action, handler = found
        name = _name(request, name_text)
        try:
            actor = await self._actor(request)
        except NotAuthenticated as error:
            return challenge(self._services.settings, request, name=name, action=action, message=str(error))
        exchange = Exchange(services=self._services, request=request, send=send, actor=actor, action=action, name=name)
        try:
            await handler(exchange, item)
        except (Denied, RepositoryUnknown, NamespaceUnknown) as error:
            return self._refusal(exchange, error)
        return None

    def _refusal(self, exchange: Exchange, error: HomeportError) -> Response:
        """A refusal that a wider token might lift is a challenge, any other is said as it is."""
        settings, actor, name, action = (
            self._services.settings,
            exchange.actor,
            exchange.name,
            exchange.action,
        )
        if is_beyond_token(actor, name, action) or isinstance(error, NotAuthenticated):
            return challenge(
                settings,
                exchange.request,
                name=name,
                action=action,
                is_insufficient=bool(actor.ceiling.layers) and not actor.is_anonymous,
            )
        return render(error, exchange.request)

    async def _handle_root(self, request: Request) -> Response:
        """`/v2/`: whether a token is good. `_catalog` is refused as Docker Hub does: some appliances take an answer
        as a sign of a registry of another kind."""
        settings = self._services.settings
        path = request.path.rstrip("/")
        if path in _ROOT_PATHS:
            request.scope[ROUTE] = path
        if path == "/v2/_catalog":
            return error_response(
                401,
                "UNAUTHORIZED",
                "authentication required",
                [
                    (
                        b"www-authenticate",
                        challenge(settings, request).headers[-1][1]
                        + b',scope="registry:catalog:*",error="insufficient_scope"',
                    )
                ],
            )
        if path != "/v2":
            return _page_unknown()
        if request.method not in ("GET", "HEAD"):
            return error_response(405, "UNSUPPORTED", "not allowed here", [(b"allow", b"GET, HEAD")])
        if not request.header(b"authorization"):
            return challenge(settings, request)
        try:
            await self._actor(request)
        except NotAuthenticated as error:
            return challenge(settings, request, message=str(error))
        return Response(200, [API_VERSION, (b"content-type", b"application/json")], b"{}")

    async def _actor(self, request: Request) -> Actor:
        """Who asks. Only the registry's own bearer tokens are taken; without one it is nobody."""
        header = request.header(b"authorization")
        if not header:
            return ANONYMOUS
        found = bearer_token(header)
        if found is None:
            raise NotAuthenticated
        actor = await self._services.authenticator.registry_actor(found, address=request.address)
        if request.method in ("GET", "HEAD"):
            return actor  # one object for a token, by which answers are remembered (`core/recent.py`)
        return msgspec.structs.replace(actor, address=request.address, user_agent=request.user_agent)


async def nowhere(scope: Scope, send: Send) -> None:
    """What is on no page of the host that was asked."""
    await _page_unknown().send(send, is_head=scope["method"] == "HEAD")


def _page_unknown() -> Response:
    return error_response(404, "NAME_UNKNOWN", "page not found")


def _route(path: str) -> tuple[str, str, str] | None:
    """Kind of the thing, name of the repository, and which thing."""
    if (match := _ITEM.fullmatch(path)) and (match[2], match[3]) != ("blobs", "uploads"):
        return match[2], match[1], match[3]
    if match := _UPLOAD.fullmatch(path):
        upload = match[2]
        return ("upload", match[1], upload) if upload else ("uploads", match[1], "")
    if match := _TAGS.fullmatch(path):
        return "tags", match[1], ""
    return None


def _name(request: Request, text: str) -> RepositoryName:
    """The repository's name. An encoded slash is refused: a proxy may see another path in it than we do."""
    if b"%2f" in request.scope.get("raw_path", b"").lower():
        raise RepositoryNameInvalid(text[:64], "it holds an encoded slash")
    return RepositoryName.parse(text)
