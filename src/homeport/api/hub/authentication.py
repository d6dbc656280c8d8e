"""Docker Hub API §Authentication: a password or personal access token for a bearer token."""

import msgspec
from litestar import post, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import JSONBody

from homeport.api.hub.errors import EXCHANGE_ERRORS, LOGIN_ERRORS, renderers
from homeport.api.hub.reference import Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core.authentication import ACCESS_TOKEN_LIFETIME_S
from homeport.core.services import Services

_NOT_KEPT = {"Cache-Control": "no-store"}


class Login(msgspec.Struct):
    username: str
    password: str


class LoginAnswer(msgspec.Struct):
    token: str
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Exchange(msgspec.Struct):
    identifier: str
    secret: str


class ExchangeAnswer(msgspec.Struct):
    access_token: str


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
        query=(Query("refresh_token", "`true` asks for a refresh token too."),),
        body=Login,
    ),
)
async def log_in(request: HubRequest, services: NamedDependency[Services]) -> LoginAnswer:
    """A bearer token for a name with a password or a personal access token."""
    login = await request.decoded(Login)
    authenticator = services.authenticator
    credential = await authenticator.log_in(login.username, login.password, address=request.plain.address)
    answer = LoginAnswer(authenticator.hub_token(credential, lifetime_s=services.settings.login_token_lifetime))
    if request.parameter("refresh_token") == "true":
        answer.refresh_token = authenticator.refresh_token(credential)
    return answer


@post(
    "/v2/auth/token",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(EXCHANGE_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Create access token",
        permission="Anybody who knows a user's password or personal access token.",
        errors=(401,),
        bearer="ignored",
    ),
)
async def exchange(
    data: JSONBody[Exchange], request: HubRequest, services: NamedDependency[Services]
) -> ExchangeAnswer:
    """A bearer token that lives ten minutes."""
    authenticator = services.authenticator
    credential = await authenticator.log_in(data.identifier, data.secret, address=request.plain.address)
    return ExchangeAnswer(authenticator.hub_token(credential, lifetime_s=ACCESS_TOKEN_LIFETIME_S))


handlers = [log_in, exchange]
