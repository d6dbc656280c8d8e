"""Logins of programs in a browser: RFC 8628, as Docker's command line client and Docker Desktop speak it.

Docker serves it on a host of its own; here it is the same one.
"""

from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from msgspec import Meta

from homeport.api.http import base_url
from homeport.api.hub.errors import OAUTH_ERRORS, renderers
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import device_logins
from homeport.core.activity import Door, Visit
from homeport.core.authentication import Credential
from homeport.core.services import Services
from homeport.errors import GrantUnsupported

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
SCOPE = "openid offline_access"

_FORM = "application/x-www-form-urlencoded"
_NOT_KEPT = {"Cache-Control": "no-store"}
_COMMON: dict[str, Any] = {"bearer": "ignored", "body_media_type": _FORM}

ClientId = Annotated[
    str, Meta(min_length=1, max_length=255, description="What the program calls itself.", examples=["docker-cli"])
]


class DeviceCodeRequest(msgspec.Struct):
    """`audience` and `scope` are taken and not used: there is one of each."""

    client_id: ClientId


class DeviceCodeAnswer(msgspec.Struct):
    device_code: Annotated[str, Meta(examples=["Zx3vR0b9m0m3gq6T5eVn2b8cYw1lQpJ4hK7sD9fGtUo"])]
    user_code: Annotated[str, Meta(examples=["BCDF-GHJK"])]
    verification_uri: Annotated[str, Meta(examples=["https://hub.example.com/activate"])]
    verification_uri_complete: Annotated[str, Meta(examples=["https://hub.example.com/activate?user_code=BCDF-GHJK"])]
    expires_in: Annotated[int, Meta(description="Seconds that the codes work.", examples=[900])]
    interval: Annotated[int, Meta(description="Seconds to wait between two requests for tokens.", examples=[5])]


class OAuthTokenRequest(msgspec.Struct):
    grant_type: Annotated[str, Meta(description=f"`{DEVICE_CODE_GRANT}` or `{REFRESH_GRANT}`.")]
    client_id: ClientId
    device_code: Annotated[str, Meta(description="Of the first grant.")] = ""
    refresh_token: Annotated[str, Meta(description="Of the second.")] = ""


class OAuthTokenAnswer(msgspec.Struct):
    access_token: Annotated[str, Meta(description="A bearer token, as a login gives it.")]
    id_token: Annotated[str, Meta(description="Who has signed in; it opens nothing.", examples=["eyJhbGciOi…"])]
    refresh_token: str
    scope: Annotated[str, Meta(examples=[SCOPE])]
    expires_in: Annotated[int, Meta(description="Seconds that the bearer token lives.", examples=[86400])]
    token_type: Annotated[str, Meta(examples=["Bearer"])]


class OAuthRevocation(msgspec.Struct):
    token: Annotated[str, Meta(description="A refresh token.")]


class OAuthRevoked(msgspec.Struct):
    """An empty object."""


@post(
    "/oauth/device/code",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(OAUTH_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Begin the login of a program",
        permission="Anybody.",
        body=DeviceCodeRequest,
        **_COMMON,
    ),
)
async def begin_device_login(request: HubRequest, services: NamedDependency[Services]) -> DeviceCodeAnswer:
    """Two codes: one for the program, and one for the person who approves its login at `/activate`."""
    asked = await request.decoded_form(DeviceCodeRequest)
    lifetime_s = services.settings.device_login_lifetime
    async with services.db.write() as tx:
        started = await device_logins.start(tx, guest=request.actor, client_id=asked.client_id, lifetime_s=lifetime_s)
    page = f"{base_url(services.settings, request.plain.scope)}/activate"
    return DeviceCodeAnswer(
        device_code=started.device_code,
        user_code=started.user_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?user_code={started.user_code}",
        expires_in=lifetime_s,
        interval=device_logins.INTERVAL_S,
    )


@post(
    "/oauth/token",
    status_code=200,
    response_headers=_NOT_KEPT,
    exception_handlers=renderers(OAUTH_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="Get the tokens of a program",
        permission="Anybody who has the device code of a login that was approved, or a refresh token.",
        errors=(403,),
        body=OAuthTokenRequest,
        **_COMMON,
    ),
)
async def issue_oauth_tokens(request: HubRequest, services: NamedDependency[Services]) -> OAuthTokenAnswer:
    """Tokens as a login gives them. While nobody has approved the login, the `error` of a 403 is
    `authorization_pending`; `slow_down`, if it is asked for too often; then `access_denied` or `expired_token`.
    """
    asked = await request.decoded_form(OAuthTokenRequest)
    if asked.grant_type == DEVICE_CODE_GRANT:
        credential = await services.logins.redeem(asked.device_code, client_id=asked.client_id, visit=_visit(request))
        return _answer(services, credential, asked, services.authenticator.refresh_token(credential))
    if asked.grant_type == REFRESH_GRANT:
        credential = await services.logins.refresh(asked.refresh_token, address=_visit(request).address)
        return _answer(services, credential, asked, asked.refresh_token)
    raise GrantUnsupported([DEVICE_CODE_GRANT, REFRESH_GRANT])


@post(
    "/oauth/revoke",
    status_code=200,
    exception_handlers=renderers(OAUTH_ERRORS),
    **reference(
        Section.AUTHENTICATION,
        summary="End the login of a program",
        permission="Anybody who has a refresh token.",
        body=OAuthRevocation,
        **_COMMON,
    ),
)
async def revoke_oauth_token(request: HubRequest, services: NamedDependency[Services]) -> OAuthRevoked:
    """End the login that a refresh token came from, with all tokens of it. A token that is unknown, or has ended, is
    answered in the same way.
    """
    asked = await request.decoded_form(OAuthRevocation)
    await services.logins.end(asked.token, _visit(request))
    return OAuthRevoked()


def _answer(
    services: Services, credential: Credential, asked: OAuthTokenRequest, refresh_token: str
) -> OAuthTokenAnswer:
    lifetime_s = services.settings.login_token_lifetime
    return OAuthTokenAnswer(
        access_token=services.authenticator.hub_token(credential, lifetime_s=lifetime_s),
        id_token=services.authenticator.identity_token(credential, client_id=asked.client_id),
        refresh_token=refresh_token,
        scope=SCOPE,
        expires_in=lifetime_s,
        token_type="Bearer",  # noqa: S106 - the name of a scheme
    )


def _visit(request: HubRequest) -> Visit:
    return Visit(Door.HUB, request.plain.address, request.plain.user_agent)


handlers = [begin_device_login, issue_oauth_tokens, revoke_oauth_token]
