"""The Hub door: Docker's Hub API as a Litestar application."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from homeport.api.http import Message, Receive, Response, Scope, Send
from homeport.api.hub import access_tokens, authentication, documents, tags
from homeport.api.hub.errors import HUB_ERRORS, pass_on, render_http, renderers
from homeport.api.hub.requests import HubRequest, identifier
from homeport.core.services import Services

_SECURITY_HEADERS = [(b"x-frame-options", b"deny"), (b"x-content-type-options", b"nosniff")]


OPEN: Sequence[ControllerRouterHandler] = [*authentication.handlers, *documents.handlers]
"""A login is no place to ask for a token: clients send the one that has expired along."""

IDENTIFIED: Sequence[ControllerRouterHandler] = [access_tokens.router, *tags.handlers]
"""Here a guard finds out who asks before anything else of a request is read."""


def create_app(services: Services) -> "Hub":
    """The door as an ASGI application, without a lifespan."""

    def provide_services() -> Services:
        return services

    identified = Router("/", route_handlers=IDENTIFIED, guards=[identifier(services)])
    return Hub(
        Litestar(
            route_handlers=[*OPEN, identified],
            dependencies={"services": Provide(provide_services, sync_to_thread=False)},
            exception_handlers={**renderers(HUB_ERRORS), HTTPException: render_http, Exception: pass_on},
            request_class=HubRequest,
            openapi_config=None,
            logging_config=None,
            debug=False,
        )
    )


class Hub:
    """What is the same for every route, and for what no route takes."""

    def __init__(self, app: Litestar) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"

        async def finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_SECURITY_HEADERS]
            elif is_head:
                message["body"] = b""
            await send(message)

        if b"%2f" in scope.get("raw_path", b"").lower():
            # No name has a slash in it, and a proxy may see another path than we do.
            await _NOT_FOUND.send(finished, is_head=is_head)
            return
        app: Any = self._app  # it wants its own names for the types of ASGI
        await app(scope, receive, finished)


_NOT_FOUND = Response(404, [(b"content-type", b"application/json")], b'{"message":"page not found","errinfo":{}}')
