"""Docker Hub API §Authentication: a password, with a code where one is wanted, or a personal access token for a bearer
token."""

from typing import Annotated

import msgspec
from litestar import post, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import JSONBody
from msgspec import Meta

from homeport.api.hub.errors import EXCHANGE_ERRORS, LOGIN_ERRORS, renderers
from homeport.api.hub.reference import Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import sessions
from homeport.core.activity import Door, Visit
from homeport.core.authentication import ACCESS_TOKEN_LIFETIME_S, Credential
from homeport.core.services import Services

_NOT_KEPT = {"Cache-Control": "no-store"}


class Login(msgspec.Struct):
    username: str
    password: str


class SecondFactorLogin(msgspec.Struct):
    login_2fa_token: Annotated[str, Meta(description="From the 401 that the password was answered with.")]
    code: Annotated[str, Meta(description="Six digits of an authenticator app, or a recovery code.")]


class LoginAnswer(msgspec.Struct):
    token: str
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Refresh(msgspec.Struct):
    refresh_token: str


class LoggedOut(msgspec.Struct):
    detail: Annotated[str, Meta(examples=["Logged out"])]


class Exchange(msgspec.Struct):
    identifier: str
    secret: str


class ExchangeAnswer(msgspec.Struct):
    access_token: str


_REFRESH = Query("refresh_token", "`true` asks for a refresh token too.")


# GET too, with a body: a connector in the field asks so.
@route(
    "/v2/users/login",
    http_method=[HttpMethod.POST, HttpMethod.GET],
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(LOGIN_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        permission="Anybody who knows a user's password or personal access token.",
        errors=(401,),
        bearer="ignored",
        query=(_REFRESH,),
        body=Login,
    ),
)
async def log_in(request: HubRequest, services: NamedDependency[Services]) -> LoginAnswer:
    """A bearer token for a name with a password or a personal access token. If the account has a second factor, a
    right password is answered with 401 and a `login_2fa_token`, which `POST /v2/users/2fa-login` takes with the code.
    """
    login = await request.decoded(Login)
    credential = await services.logins.log_in(login.username, login.password, _visit(request))
    return _logged_in(credential, request, services)


@post(
    "/v2/users/2fa-login",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(LOGIN_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Log in with a second factor",
        permission="Anybody who has shown a user's password within the last five minutes, and has a code.",
        errors=(401,),
        bearer="ignored",
        query=(_REFRESH,),
    ),
)
async def log_in_by_code(
    data: JSONBody[SecondFactorLogin], request: HubRequest, services: NamedDependency[Services]
) -> LoginAnswer:
    """The second half of a login: the code of an authenticator app, or a recovery code. Either is taken once."""
    credential = await services.logins.log_in_by_code(data.login_2fa_token, data.code, _visit(request))
    return _logged_in(credential, request, services)


@post(
    "/v2/auth/token",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(EXCHANGE_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Create access token",
        permission="Anybody who knows a user's password or personal access token, or an organization's access token.",
        errors=(401,),
        bearer="ignored",
    ),
)
async def exchange(
    data: JSONBody[Exchange], request: HubRequest, services: NamedDependency[Services]
) -> ExchangeAnswer:
    """A bearer token that lives ten minutes. An organization's `identifier` is its name. A password that is not enough
    is answered as by `POST /v2/users/login`.
    """
    credential = await services.logins.log_in(data.identifier, data.secret, _visit(request), takes_organizations=True)
    return ExchangeAnswer(services.authenticator.hub_token(credential, lifetime_s=ACCESS_TOKEN_LIFETIME_S))


@post(
    "/v2/auth/refresh",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(LOGIN_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Refresh a login",
        permission="Anybody who has a refresh token.",
        errors=(401,),
        bearer="ignored",
        is_extension=True,
    ),
)
async def refresh(data: JSONBody[Refresh], request: HubRequest, services: NamedDependency[Services]) -> LoginAnswer:
    """A new bearer token for the refresh token of a login, which works until it expires, or the login ends."""
    credential = await services.logins.refresh(data.refresh_token, address=request.plain.address)
    token = services.authenticator.hub_token(credential, lifetime_s=services.settings.login_token_lifetime)
    return LoginAnswer(token, data.refresh_token)


@post(
    "/v2/logout",
    status_code=200,
    **reference(
        Section.AUTHENTICATION,
        permission="Any user, for themselves; personal access tokens too.",
        errors=(401,),
    ),
)
async def log_out(request: HubRequest, services: NamedDependency[Services]) -> LoggedOut:
    """End the login that the bearer token came from: it, its refresh token and registry tokens bought with that. Other
    logins go on, and so does a personal access token that was shown at the login.
    """
    async with services.db.write() as tx:
        await sessions.end_own(tx, actor=request.actor)
    return LoggedOut("Logged out")


def _visit(request: HubRequest) -> Visit:
    return Visit(Door.HUB, request.plain.address, request.plain.user_agent)


def _logged_in(credential: Credential, request: HubRequest, services: Services) -> LoginAnswer:
    authenticator = services.authenticator
    answer = LoginAnswer(authenticator.hub_token(credential, lifetime_s=services.settings.login_token_lifetime))
    if request.parameter("refresh_token") == "true":
        answer.refresh_token = authenticator.refresh_token(credential)
    return answer


open_handlers = [log_in, log_in_by_code, exchange, refresh]
handlers = [log_out]
