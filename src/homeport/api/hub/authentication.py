"""Authentication: a name with a password or personal access token, exchanged for a bearer token."""

from typing import Any

import msgspec
from litestar import Request, Router, get, post
from litestar.exceptions import HTTPException

from homeport.api.http import client_address
from homeport.api.hub.errors import render_login, render_malformed
from homeport.core.authentication import ACCESS_TOKEN_LIFETIME_S, Credential
from homeport.core.services import Services
from homeport.errors import Denied, TooMany


class LoginRequest(msgspec.Struct, frozen=True):
    username: str
    password: str


class LoginAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    token: str
    refresh_token: str | None = None


class TokenRequest(msgspec.Struct, frozen=True):
    identifier: str
    secret: str


class TokenAnswer(msgspec.Struct, frozen=True):
    access_token: str


@post("/v2/users/login", status_code=200)
async def log_in(request: Request[Any, Any, Any], data: LoginRequest, services: Services) -> LoginAnswer:
    """Log in with a password or a personal access token."""
    return _logged_in(services, await _credential(request, services, data.username, data.password), request)


@get("/v2/users/login")
async def log_in_by_get(request: Request[Any, Any, Any], services: Services) -> LoginAnswer:
    """The same by GET with a body: one client in the field does that."""
    data = msgspec.convert(await request.json(), LoginRequest)
    return _logged_in(services, await _credential(request, services, data.username, data.password), request)


@post("/v2/auth/token", status_code=200)
async def create_access_token(request: Request[Any, Any, Any], data: TokenRequest, services: Services) -> TokenAnswer:
    """A bearer token for ten minutes."""
    credential = await _credential(request, services, data.identifier, data.secret)
    return TokenAnswer(services.authenticator.hub_token(credential, lifetime_s=ACCESS_TOKEN_LIFETIME_S))


async def _credential(request: Request[Any, Any, Any], services: Services, name: str, secret: str) -> Credential:
    address = client_address(request.scope)  # type: ignore[arg-type]
    return await services.authenticator.log_in(name, secret, address=address)


def _logged_in(services: Services, credential: Credential, request: Request[Any, Any, Any]) -> LoginAnswer:
    token = services.authenticator.hub_token(credential, lifetime_s=services.settings.login_token_lifetime)
    wants_refresh = request.query_params.get("refresh_token") == "true"
    return LoginAnswer(token, services.authenticator.refresh_token(credential) if wants_refresh else None)


router = Router(
    "/",
    route_handlers=[log_in, log_in_by_get, create_access_token],
    exception_handlers={Denied: render_login, TooMany: render_login, HTTPException: render_malformed},
)
