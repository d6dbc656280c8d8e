"""The Hub door: Docker Hub's API as a Litestar application.

Paths work with and without a trailing slash, with no redirect in between. HEAD is answered as GET is, without a body.
"""

from typing import Any, cast

import msgspec
from litestar import Litestar, MediaType, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from homeport.api.http import Application, Message, Receive, Scope, Send
from homeport.api.hub import access_tokens, authentication, tags
from homeport.api.hub.dependencies import provide_actor, provide_services
from homeport.api.hub.errors import render, render_framework
from homeport.core.services import Services
from homeport.errors import HomeportError

BODY_SIZE_LIMIT = 1024 * 1024
_HEADERS = [(b"x-frame-options", b"deny"), (b"x-content-type-options", b"nosniff")]


def create_app(services: Services) -> Application:
    """The door over running services."""
    litestar = Litestar(
        route_handlers=[authentication.router, access_tokens.router, tags.router],
        dependencies={"services": Provide(provide_services), "actor": Provide(provide_actor)},
        exception_handlers={
            HomeportError: render,
            HTTPException: render_framework,
            msgspec.ValidationError: _render_invalid,
            RecursionError: _render_recursion,
        },
        state=State({"services": services}),
        request_max_body_size=BODY_SIZE_LIMIT,
        openapi_config=None,
        logging_config=None,
    )
    return _Edge(cast(Application, litestar))


def _render_invalid(_request: Request[Any, Any, Any], error: msgspec.ValidationError) -> Response[dict[str, Any]]:
    text = str(error)
    return Response({"message": text, "detail": text, "errinfo": {}}, status_code=400, media_type=MediaType.JSON)


def _render_recursion(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[str]:
    return Response("malformed request: nested too deep", status_code=400, media_type=MediaType.TEXT)


class _Edge:
    """HEAD as GET without a body, and the headers that every answer has."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"

        async def edged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            elif is_head:
                message["body"] = b""
            await send(message)

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, edged)
