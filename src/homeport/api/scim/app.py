"""The door: one request of an identity provider from its token to its answer."""

from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus

import msgspec
import structlog
from scim2_models import SCIMException
from scim2_models.exceptions import InvalidSyntaxException, NotFoundException
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse

from homeport.api.http import ROUTE, SCIM_ROOT, Receive, Request, Response, Scope, Send, base_url, bearer_token
from homeport.api.rate_limits import headers as rate_limit_headers
from homeport.api.repeating import repeating
from homeport.api.scim.errors import TooManyException, told
from homeport.api.scim.handler import Handler
from homeport.api.scim.service import Service
from homeport.api.scim.storage import OrganizationStorage
from homeport.core import limits, scim_tokens
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.invites import Letter
from homeport.core.scim_tokens import Provider
from homeport.core.services import Services
from homeport.errors import HomeportError, NotAuthenticated
from homeport.storage.cache.cache import Window

log = structlog.get_logger()

BODY_SIZE_LIMIT = 8 * 1024 * 1024
"""Enough for a group of 100,000 members."""

_SECURITY_HEADERS = [
    (b"x-frame-options", b"deny"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
_READS = ("GET", "HEAD")
_ENDPOINTS = {"Users", "Groups", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Me", "Bulk", ".search"}

RETRY_AFTER_S = 5

_ASKING = "homeport.asking"
"""Where the scope of a request holds what `_asking` has found out."""


class Scim:
    """The door as an ASGI application, without a lifespan."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._service = Service()
        self._served = repeating(self._serve, services.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who asks is found out and counted once, also where the rest has to be tried again."""
        scope[_ASKING] = await self._asking(Request(scope, receive))
        await self._served(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope[ROUTE] = _template(request.path)
        provider, window = scope[_ASKING]
        try:
            answer = self._refused(window) or await self._answer(request, _known(provider))
        except SCIMException as error:
            answer = self._service.error_response(error)
        except HomeportError as error:
            answer = self._service.error_response(told(error))
        except RecursionError:
            answer = self._service.error_response(InvalidSyntaxException(detail="nested too deep"))
        except Exception as error:
            log.exception("request failed", method=request.method, path=request.path)
            answer = self._service.error_response(error)
        if answer.status is HTTPStatus.SERVICE_UNAVAILABLE:
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        headers = [*_headers(answer), *_SECURITY_HEADERS, *rate_limit_headers(window)]
        await Response(answer.status, headers, _body(answer)).send(send, is_head=request.method == "HEAD")

    async def _asking(self, request: Request) -> tuple[Provider | Exception, Window | None]:
        """Who asks, or what keeps them out, with their count."""
        try:
            provider = await self._provider(request)
            return provider, await self._count(request, provider)
        except Exception as error:
            return error, None

    async def _provider(self, request: Request) -> Provider | NotAuthenticated:
        """Who asks, or why it is nobody."""
        token = bearer_token(request.header(b"authorization"))
        if token is None:
            return NotAuthenticated()
        settings = self._services.settings
        letter = Letter(base_url(settings, request.scope), timedelta(seconds=settings.invite_lifetime))
        try:
            return await scim_tokens.authenticate(
                self._services.db,
                token,
                plans=settings.plans,
                letter=letter,
                address=request.address,
                user_agent=request.user_agent,
            )
        except NotAuthenticated as error:
            return error

    async def _count(self, request: Request, provider: Provider | NotAuthenticated) -> Window | None:
        """Count the request: for its organization, or for the address of who guesses tokens."""
        caller = Actor(account_id=provider.organization.id) if isinstance(provider, Provider) else ANONYMOUS
        return await limits.count_request(self._services, caller, address=request.address)

    def _refused(self, window: Window | None) -> ScimResponse | None:
        if window is None or window.is_allowed:
            return None
        answer = self._service.error_response(TooManyException())
        answer.headers["Retry-After"] = str(window.wait_s)
        answer.headers["X-Retry-After"] = str(window.reset_at)
        return answer

    async def _answer(self, request: Request, provider: Provider) -> ScimResponse:
        if b"%2f" in request.scope.get("raw_path", b"").lower() or not _is_here(request.path):
            raise NotFoundException(detail=f"No SCIM endpoint at {request.path!r}")
        method = "GET" if request.method == "HEAD" else request.method
        is_read = request.method in _READS or request.path.rstrip("/").endswith("/.search")
        root = base_url(self._services.settings, request.scope) + SCIM_ROOT
        storage = OrganizationStorage(self._services.db, provider, base_url=root, is_read=is_read)
        body = b"" if request.method in _READS else await request.whole_body(BODY_SIZE_LIMIT)
        return await Handler(self._service, storage).handle(
            ScimRequest(
                method=method,
                base_url=root,
                path=request.path.removeprefix(SCIM_ROOT) or "/",
                query={name: values[0] for name, values in request.query.items()},
                headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]],
                body=body,
            )
        )


def _known(provider: Provider | Exception) -> Provider:
    if isinstance(provider, Exception):
        raise provider
    return provider


def _is_here(path: str) -> bool:
    return path == SCIM_ROOT or path.startswith(f"{SCIM_ROOT}/")


def _template(path: str) -> str:
    """The route of a path; empty for one that no route takes."""
    endpoint, *below = path.removeprefix(SCIM_ROOT).strip("/").split("/")
    if endpoint not in _ENDPOINTS or len(below) > 1:
        return ""
    return f"{SCIM_ROOT}/{endpoint}" + ("/{id}" if below else "")


def _headers(answer: ScimResponse) -> Iterator[tuple[bytes, bytes]]:
    for name, value in answer.headers.items():
        if answer.body is not None or name.lower() != "content-type":
            yield name.lower().encode(), value.encode("latin-1")


def _body(answer: ScimResponse) -> bytes:
    if answer.body is None or answer.status is HTTPStatus.NO_CONTENT:
        return b""
    if "Resources" in answer.body:
        # RFC 7644 writes it with a capital letter, Docker's description without.
        resources = msgspec.Raw(msgspec.json.encode(answer.body["Resources"]))
        return msgspec.json.encode({**answer.body, "Resources": resources, "resources": resources})
    return msgspec.json.encode(answer.body)
