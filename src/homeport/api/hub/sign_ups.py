"""New accounts for whoever comes: an extension, for Docker does this on its pages."""

from typing import Annotated

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest, from_where
from homeport.core import limits, sign_ups
from homeport.core.access import ANONYMOUS
from homeport.core.services import Services


class SignUp(msgspec.Struct):
    username: Annotated[
        str, Meta(description="2 to 30 lower-case letters and digits, with `-` or `_` between them.", examples=["ann"])
    ]
    email: Annotated[str, Meta(examples=["ann@example.com"])]
    full_name: Annotated[str, Meta(examples=["Ann Other"])] = ""


class SignedUp(msgspec.Struct):
    detail: Annotated[str, Meta(description="The same for every address.", examples=["a mail is on its way"])]


@post(
    "/v2/users/signup",
    status_code=202,
    **reference(
        Section.USERS,
        permission="Anybody, where the site allows it.",
        errors=(403, 409),
        bearer="ignored",
        is_extension=True,
    ),
)
async def sign_up(data: JSONBody[SignUp], request: HubRequest, services: NamedDependency[Services]) -> SignedUp:
    """Ask for an account. It is made on the page behind the link of a mail, with a password that is set there. A name
    that is taken is a 409; whether an address is, only its owner is told, by mail.
    """
    sign_ups.check_open(services.settings)
    await limits.count_mail_request(services, address=request.plain.address)
    async with services.db.write() as tx:
        await sign_ups.request(
            tx,
            guest=from_where(ANONYMOUS, request.plain),
            name=data.username,
            email=data.email,
            full_name=data.full_name,
            settings=services.settings,
        )
    return SignedUp("a mail is on its way")


open_handlers = [sign_up]
