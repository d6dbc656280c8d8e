"""The Hub door: Docker's Hub API as a Litestar application."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import ControllerRouterHandler

from homeport.api.http import Message, Receive, Request, Response, Scope, Send
from homeport.api.hub import (
    access_tokens,
    audit,
    authentication,
    badges,
    collaborators,
    device_logins,
    documents,
    domains,
    email_changes,
    groups,
    immutable_tags,
    invites,
    mails,
    members,
    org_access_tokens,
    org_settings,
    password_changes,
    plans,
    profiles,
    rate_limits,
    removed,
    repositories,
    repository_groups,
    scim_tokens,
    search,
    second_factor,
    sign_ups,
    tag_deletions,
    tag_history,
    tags,
    user_repositories,
    webhooks,
)
from homeport.api.hub.documents import BESIDE
from homeport.api.hub.errors import HUB_ERRORS, pass_on, render_http, renderers
from homeport.api.hub.requests import CALLER, HubRequest, find_caller, from_where, identified
from homeport.api.rate_limits import headers as rate_limit_headers
from homeport.api.repeating import repeating
from homeport.api.requests import send_error
from homeport.core import limits
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.services import Services
from homeport.errors import HomeportError

_SECURITY_HEADERS = [(b"x-frame-options", b"deny"), (b"x-content-type-options", b"nosniff")]


OPEN: Sequence[ControllerRouterHandler] = [
    *authentication.open_handlers,
    *device_logins.handlers,
    *password_changes.open_handlers,
    *sign_ups.open_handlers,
    *documents.handlers,
    *search.engine_handlers,
]
"""A login is no place to ask for a token: clients send the one that has expired along. Engines search with what they
have.
"""

IDENTIFIED: Sequence[ControllerRouterHandler] = [
    *authentication.handlers,
    access_tokens.router,
    org_access_tokens.router,
    audit.router,
    second_factor.router,
    *tags.handlers,
    *repositories.handlers,
    *user_repositories.handlers,
    *plans.handlers,
    *removed.handlers,
    repository_groups.router,
    collaborators.router,
    tag_deletions.router,
    tag_history.router,
    immutable_tags.router,
    *profiles.handlers,
    password_changes.router,
    email_changes.router,
    *search.handlers,
    *org_settings.handlers,
    *domains.handlers,
    *badges.handlers,
    *scim_tokens.handlers,
    webhooks.router,
    invites.router,
    mails.router,
    members.router,
    groups.router,
]
"""Here a guard lets in whoever may be let in before anything else of a request is read."""

_OPEN_PATHS = {path for handler in OPEN if isinstance(handler, BaseRouteHandler) for path in handler.paths}


def create_app(services: Services, *, beside: Callable[[], Mapping[str, Any]] | None = None) -> "Hub":
    """The door as an ASGI application, without a lifespan; `beside` describes another door, for the same reference."""

    def provide_services() -> Services:
        return services

    app = Litestar(
        route_handlers=[*OPEN, Router("/", route_handlers=IDENTIFIED, guards=[identified])],
        dependencies={"services": Provide(provide_services, sync_to_thread=False)},
        exception_handlers={**renderers(HUB_ERRORS), HTTPException: render_http, Exception: pass_on},
        request_class=HubRequest,
        openapi_config=None,
        logging_config=None,
        debug=False,
        state=State({BESIDE: beside}),
    )
    return Hub(app, services)


class Hub:
    """What is the same for every route, and for what no route takes: who asks, and whether they ask too often."""

    def __init__(self, app: Litestar, services: Services) -> None:
        asgi: Any = app  # it wants its own names for the types of ASGI
        self._app = repeating(asgi, services.settings)
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope[CALLER] = caller = await self._caller(request)
        # Whose token lets nobody in counts by address, so that there is a limit to guessing tokens.
        actor = ANONYMOUS if isinstance(caller, HomeportError) else caller
        window = await limits.count_request(self._services, actor, address=request.address)
        headers = [*_SECURITY_HEADERS, *rate_limit_headers(window)]
        is_head = request.method == "HEAD"
        is_begun = False

        async def finished(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"] = [*message["headers"], *headers]
            elif is_head:
                message["body"] = b""
            await send(message)

        if window is not None and not window.is_allowed:
            await rate_limits.refusal(window).send(finished, is_head=is_head)
        elif b"%2f" in scope.get("raw_path", b"").lower():
            # No name has a slash in it, and a proxy may see another path than we do.
            await _NOT_FOUND.send(finished, is_head=is_head)
        elif not scope["query_string"].isascii():
            # It would have to be percent-encoded, and the framework cannot read it.
            await _BAD_QUERY.send(finished, is_head=is_head)
        else:
            try:
                await self._app(scope, receive, finished)
            except Exception:
                if not is_begun:
                    await send_error(finished, is_head=is_head)
                raise  # `RequestLog` writes it down

    async def _caller(self, request: Request) -> Actor | HomeportError:
        if request.path.rstrip("/") in _OPEN_PATHS:
            return from_where(ANONYMOUS, request)
        return await find_caller(self._services, request)


_NOT_FOUND = Response(404, [(b"content-type", b"application/json")], b'{"message":"page not found","errinfo":{}}')
_BAD_QUERY = Response(
    400, [(b"content-type", b"application/json")], b'{"message":"the query has to be ASCII","errinfo":{}}'
)
