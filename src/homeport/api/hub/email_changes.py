"""One's own e-mail address: an extension, for Docker does this on its pages."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from homeport.api.hub.access_tokens import needs_own_account
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import email_changes, limits
from homeport.core.services import Services

_OWN = "A user for their own account, with a bearer token that was not made from an access token."


class EmailInfo(msgspec.Struct):
    email: Annotated[str | None, Meta(description="Null for an account without one.", examples=["ann@example.com"])]


class ChangeEmail(msgspec.Struct):
    email: Annotated[str, Meta(description="The new one.", examples=["ann@example.net"])]
    password: str


class EmailRequested(msgspec.Struct):
    detail: Annotated[
        str, Meta(description="The same for every address.", examples=["a mail is on its way to the new address"])
    ]


@get(
    "/v2/user/email",
    **reference(
        Section.USERS,
        summary="Get one's own e-mail address",
        permission=_OWN,
        errors=(401, 403),
        is_extension=True,
    ),
)
async def get_email(request: HubRequest, services: NamedDependency[Services]) -> EmailInfo:
    """The caller's e-mail address."""
    async with services.db.read() as tx:
        return EmailInfo(await email_changes.own_email(tx, actor=request.actor))


@post(
    "/v2/user/email",
    status_code=202,
    **reference(
        Section.USERS,
        summary="Change one's own e-mail address",
        permission=_OWN,
        errors=(401, 403),
        is_extension=True,
    ),
)
async def change_email(
    data: JSONBody[ChangeEmail], request: HubRequest, services: NamedDependency[Services]
) -> EmailRequested:
    """Ask for another e-mail address. It counts once the link in a mail to it has been followed and the password been
    shown there; the former address is sent a note. Refused to members of an organization that enforces single sign-on.
    """
    verified = await services.logins.check_password(request.actor, data.password)
    await limits.count_mail_request(services, address=request.plain.address)
    async with services.db.write() as tx:
        await email_changes.request_change(
            tx, actor=request.actor, verified=verified, email=data.email, settings=services.settings
        )
    return EmailRequested("a mail is on its way to the new address")


router = Router("/", route_handlers=[get_email, change_email], guards=[needs_own_account])
