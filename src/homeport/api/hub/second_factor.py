"""The second factor of one's own account: an extension of ours, for Docker's API has no operations for it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import segno
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from homeport.api.hub.access_tokens import needs_own_account
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import second_factors
from homeport.core.authentication import Credential
from homeport.core.services import Services

_PERMISSION = "A user for their own account, with a bearer token that was not made from an access token."
_NOT_KEPT = {"Cache-Control": "no-store"}

Code = Annotated[str, Meta(description="Six digits of the authenticator app.", examples=["492039"])]
AnyCode = Annotated[
    str, Meta(description="Six digits of the authenticator app, or a recovery code.", examples=["492039"])
]
RecoveryCodes = Annotated[
    Sequence[str],
    Meta(
        description="Each does once for a code. They are shown only here.",
        examples=[["m3nq-7xkd-e2vb-9wpa", "t6hs-c4zy-u8fr-k5gj"]],
    ),
]


class Enrol(msgspec.Struct):
    password: str


class Enrolment(msgspec.Struct):
    secret: Annotated[
        str, Meta(description="In base32, to be typed into an app.", examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    ]
    otpauth_uri: Annotated[
        str,
        Meta(
            description="The same as a link that apps open.",
            examples=["otpauth://totp/Homeport:ann?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Homeport"],
        ),
    ]
    qr_code: Annotated[
        str,
        Meta(
            description="The link as a QR picture: an SVG as a `data:` URI.",
            examples=["data:image/svg+xml;charset=utf-8,%3Csvg%2F%3E"],
        ),
    ]


class Confirm(msgspec.Struct):
    code: Code


class Confirmed(msgspec.Struct):
    recovery_codes: RecoveryCodes
    token: Annotated[
        str,
        Meta(
            description="A bearer token to go on with: the one of this request has ended with all others.",
            examples=["eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"],
        ),
    ]


class PasswordAndCode(msgspec.Struct):
    password: str
    code: AnyCode


class NewRecoveryCodes(msgspec.Struct):
    recovery_codes: RecoveryCodes


class SecondFactorStatus(msgspec.Struct):
    enabled: bool
    recovery_codes_left: Annotated[int, Meta(examples=[10])]


@get(
    "/v2/user/2fa",
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403), is_extension=True),
)
async def get_second_factor(request: HubRequest, services: NamedDependency[Services]) -> SecondFactorStatus:
    """Whether the second factor is on, and how many recovery codes are left."""
    async with services.db.read() as tx:
        status = await second_factors.status(tx, actor=request.actor)
    return SecondFactorStatus(enabled=status.is_on, recovery_codes_left=status.recovery_codes_left)


@post(
    "/v2/user/2fa",
    status_code=200,
    response_headers=_NOT_KEPT,
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403, 409), is_extension=True),
)
async def enrol_second_factor(
    data: JSONBody[Enrol], request: HubRequest, services: NamedDependency[Services]
) -> Enrolment:
    """A new secret for an authenticator app. Logins stay as they are until a first code confirms it."""
    await services.logins.check_password(request.actor, data.password)
    async with services.db.write() as tx:
        enrolment = await second_factors.enrol(tx, actor=request.actor)
    # Some ten milliseconds of pure computing: not on the event loop.
    qr_code = await asyncio.to_thread(_qr_code, enrolment.uri)
    return Enrolment(secret=enrolment.secret, otpauth_uri=enrolment.uri, qr_code=qr_code)


@post(
    "/v2/user/2fa/confirm",
    status_code=200,
    response_headers=_NOT_KEPT,
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403, 409), is_extension=True),
)
async def confirm_second_factor(
    data: JSONBody[Confirm], request: HubRequest, services: NamedDependency[Services]
) -> Confirmed:
    """Switch the second factor on with a first code. Bearer and refresh tokens that a password bought before end;
    personal access tokens go on.
    """
    async with services.logins.one_code(request.actor.account_uuid), services.db.write() as tx:
        confirmed = await second_factors.confirm(tx, actor=request.actor, code=data.code)
    token = services.authenticator.hub_token(
        Credential(confirmed.account), lifetime_s=services.settings.login_token_lifetime
    )
    return Confirmed(recovery_codes=confirmed.recovery_codes, token=token)


@post(
    "/v2/user/2fa/recovery-codes",
    status_code=200,
    response_headers=_NOT_KEPT,
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403, 409), is_extension=True),
)
async def renew_recovery_codes(
    data: JSONBody[PasswordAndCode], request: HubRequest, services: NamedDependency[Services]
) -> NewRecoveryCodes:
    """New recovery codes in place of all that were left."""
    await services.logins.check_password(request.actor, data.password)
    async with services.logins.one_code(request.actor.account_uuid), services.db.write() as tx:
        codes = await second_factors.renew_recovery_codes(tx, actor=request.actor, code=data.code)
    return NewRecoveryCodes(codes)


@delete(
    "/v2/user/2fa",
    status_code=204,
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403, 409), is_extension=True),
)
async def delete_second_factor(
    data: JSONBody[PasswordAndCode], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Switch the second factor off, with the password and a code. The recovery codes go with it."""
    await _disable(data, request, services)


# Some proxies drop the body of a DELETE.
@post(
    "/v2/user/2fa/disable",
    status_code=204,
    **reference(Section.AUTHENTICATION, permission=_PERMISSION, errors=(401, 403, 409), is_extension=True),
)
async def disable_second_factor(
    data: JSONBody[PasswordAndCode], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """The same as `DELETE /v2/user/2fa`, for where the body of a DELETE does not arrive."""
    await _disable(data, request, services)


async def _disable(data: PasswordAndCode, request: HubRequest, services: Services) -> None:
    await services.logins.check_password(request.actor, data.password)
    async with services.logins.one_code(request.actor.account_uuid), services.db.write() as tx:
        await second_factors.disable(tx, actor=request.actor, code=data.code)


def _qr_code(uri: str) -> str:
    return segno.make(uri, error="m").svg_data_uri(scale=4)


router = Router(
    "/",
    route_handlers=[
        get_second_factor,
        enrol_second_factor,
        confirm_second_factor,
        renew_recovery_codes,
        delete_second_factor,
        disable_second_factor,
    ],
    guards=[needs_own_account],
)
