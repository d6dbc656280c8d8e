"""One's own password, and a new one for who has forgotten theirs: extensions, for Docker does this on its pages."""

from typing import Annotated

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from homeport.api.hub.access_tokens import needs_own_account
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest, from_where
from homeport.core import accounts, limits, password_changes
from homeport.core.access import ANONYMOUS
from homeport.core.authentication import Credential
from homeport.core.services import Services

_NOT_KEPT = {"Cache-Control": "no-store"}


class ChangePassword(msgspec.Struct):
    password: Annotated[str, Meta(description="The present one.")]
    new_password: Annotated[str, Meta(description="8 to 1,024 characters.", examples=["another long enough password"])]
    delete_access_tokens: Annotated[
        bool, Meta(description="Delete all personal access tokens, too.", examples=[False])
    ] = False


class PasswordChanged(msgspec.Struct):
    token: Annotated[
        str,
        Meta(
            description="A bearer token to go on with: the one of this request has ended with all others.",
            examples=["eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"],
        ),
    ]


class RequestReset(msgspec.Struct):
    identifier: Annotated[str, Meta(description="A user name or an e-mail address.")]


class Requested(msgspec.Struct):
    detail: Annotated[str, Meta(description="The same for everybody.", examples=["a mail is on its way"])]


@post(
    "/v2/user/password",
    status_code=200,
    response_headers=_NOT_KEPT,
    **reference(
        Section.USERS,
        summary="Change one's own password",
        permission="A user for their own account, with a bearer token that was not made from an access token.",
        errors=(401, 403),
        is_extension=True,
    ),
)
async def change_password(
    data: JSONBody[ChangePassword], request: HubRequest, services: NamedDependency[Services]
) -> PasswordChanged:
    """Change one's own password. Bearer and refresh tokens that a password bought before end; personal access tokens
    go on, unless they are to be deleted. Refused to members of an organization that enforces single sign-on.
    """
    verified = await services.logins.check_password(request.actor, data.password)
    password_hash = await accounts.hash_new_password(data.new_password, field="new_password")
    async with services.db.write() as tx:
        account = await password_changes.change_own(
            tx,
            actor=request.actor,
            verified=verified,
            password_hash=password_hash,
            deletes_tokens=data.delete_access_tokens,
            settings=services.settings,
        )
    return PasswordChanged(
        services.authenticator.hub_token(Credential(account), lifetime_s=services.settings.login_token_lifetime)
    )


@post(
    "/v2/users/password-reset",
    status_code=202,
    **reference(
        Section.USERS,
        summary="Ask for a new password",
        permission="Anybody, where the site allows it.",
        errors=(403,),
        bearer="ignored",
        is_extension=True,
    ),
)
async def request_password_reset(
    data: JSONBody[RequestReset], request: HubRequest, services: NamedDependency[Services]
) -> Requested:
    """Have a link for a new password be mailed to a user. The answer is the same whether or not there is one."""
    await limits.count_mail_request(services, address=request.plain.address)
    guest = from_where(ANONYMOUS, request.plain)
    async with services.db.write() as tx:
        await password_changes.request_reset(tx, actor=guest, identifier=data.identifier, settings=services.settings)
    return Requested("if there is such an account, a mail with a link for a new password is on its way")


router = Router("/", route_handlers=[change_password], guards=[needs_own_account])
open_handlers = [request_password_reset]
