"""The door for people: plain pages that work without scripts, and forms that they send.

There are no cookies and no sessions here. Each form carries what it takes to do its deed: the secret of a link, and a
password where somebody has to show who they are. Another site that makes a browser send such a form has neither, and
the browser adds nothing of its own: there is nothing to forge (CSRF).
"""

import re
from collections.abc import Awaitable, Callable

from homeport.api.http import ROUTE, Application, Receive, Request, Response, Scope, Send
from homeport.core.services import Services
from homeport.errors import HomeportError
from homeport.web import accounts, device_logins, invites
from homeport.web.pages import error_page

Handler = Callable[..., Awaitable[Response]]
"""Takes the services, the request, and what the path's groups hold."""

ROUTES: list[tuple[re.Pattern[str], dict[str, Handler]]] = [
    (re.compile(r"/invites/([^/]+)/?"), {"GET": invites.show, "HEAD": invites.show}),
    (re.compile(r"/invites/([^/]+)/accept/?"), {"POST": invites.accept}),
    (re.compile(r"/invites/([^/]+)/join/?"), {"POST": invites.join}),
    (re.compile(r"/invites/([^/]+)/decline/?"), {"POST": invites.decline}),
    (
        re.compile(r"/account/password/?"),
        {"GET": accounts.show_forgotten, "HEAD": accounts.show_forgotten, "POST": accounts.ask_for_password},
    ),
    (re.compile(r"/account/password/([^/]+)/?"), {"GET": accounts.show_reset, "HEAD": accounts.show_reset}),
    (re.compile(r"/account/password/([^/]+)/reset/?"), {"POST": accounts.reset}),
    (re.compile(r"/account/email/([^/]+)/?"), {"GET": accounts.show_email, "HEAD": accounts.show_email}),
    (re.compile(r"/account/email/([^/]+)/confirm/?"), {"POST": accounts.confirm_email}),
    (
        re.compile(r"/account/sign-up/?"),
        {"GET": accounts.show_sign_up, "HEAD": accounts.show_sign_up, "POST": accounts.sign_up},
    ),
    (re.compile(r"/account/sign-up/([^/]+)/?"), {"GET": accounts.show_complete, "HEAD": accounts.show_complete}),
    (re.compile(r"/account/sign-up/([^/]+)/create/?"), {"POST": accounts.complete}),
    (
        re.compile(r"/activate/?"),
        {"GET": device_logins.show, "HEAD": device_logins.show, "POST": device_logins.find},
    ),
    (re.compile(r"/activate/allow/?"), {"POST": device_logins.allow}),
    (re.compile(r"/activate/deny/?"), {"POST": device_logins.deny}),
]


def is_page(path: str) -> bool:
    """Whether a path is this door's."""
    return path == "/activate" or path.startswith(("/invites/", "/account/", "/activate/"))


def create_app(services: Services) -> Application:
    """The door as an ASGI application, without a lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await _answer(services, request)
        except HomeportError as error:
            response = error_page(error)
        await response.send(send, is_head=request.method == "HEAD")

    return app


def _template(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.removesuffix("/?").replace("([^/]+)", "{secret}")


async def _answer(services: Services, request: Request) -> Response:
    for pattern, methods in ROUTES:
        if match := pattern.fullmatch(request.path):
            request.scope[ROUTE] = _template(pattern)
            if handler := methods.get(request.method):
                return await handler(services, request, *match.groups())
            return Response(405, [(b"allow", ", ".join(methods).encode()), (b"cache-control", b"no-store")])
    return error_page(None)
