"""The token of an organization's identity provider: an extension of ours."""

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.http import SCIM_ROOT, base_url
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import scim_tokens
from homeport.core.services import Services
from homeport.storage.db.records import ScimToken

_ONE = "/v2/orgs/{name:str}/scim/token"
_ROTATE = "/v2/orgs/{name:str}/scim/token/rotate"
_OWNERS = "Owners of the organization and site administrators, signed in with a password."


class ScimTokenInfo(msgspec.Struct, kw_only=True):
    scim_url: Annotated[
        str,
        Meta(
            description="What the identity provider takes as its base URL.",
            examples=["https://hub.example.com/v2/scim/2.0"],
        ),
    ]
    created_by: Annotated[str, Meta(description="Who made the present secret.", examples=["moby"])]
    created_at: Annotated[str, Meta(description="When the present secret was made.")]
    last_used_at: Annotated[str | None, Meta(description="Exact to a minute; null until it is used.")]
    token: Annotated[
        str | msgspec.UnsetType, Meta(description="The secret: shown once, when it is made.", examples=["dckr_scim_…"])
    ] = msgspec.UNSET

    @classmethod
    def of(cls, request: HubRequest, services: Services, token: ScimToken, secret: str = "") -> "ScimTokenInfo":
        return cls(
            scim_url=base_url(services.settings, request.plain.scope) + SCIM_ROOT,
            created_by=token.created_by,
            created_at=timestamp(token.created_at),
            last_used_at=timestamp_or_none(token.last_used_at),
            token=secret or msgspec.UNSET,
        )


@get(_ONE, **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), is_extension=True))
async def get_scim_token(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> ScimTokenInfo:
    """What is known of the organization's SCIM token, without its secret."""
    async with services.db.read() as tx:
        token = await scim_tokens.get_token(tx, actor=request.actor, organization=name)
    return ScimTokenInfo.of(request, services, token)


@post(_ONE, **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404, 409), is_extension=True))
async def create_scim_token(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> ScimTokenInfo:
    """Make the organization's SCIM token. There is one at most: a 409 says that there is one already."""
    async with services.db.write() as tx:
        created = await scim_tokens.create_token(
            tx, actor=request.actor, organization=name, plans=services.settings.plans
        )
    return ScimTokenInfo.of(request, services, created.token, created.secret)


@post(
    _ROTATE,
    status_code=200,
    **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), is_extension=True),
)
async def rotate_scim_token(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> ScimTokenInfo:
    """Give the organization's SCIM token another secret. The former one ends at once."""
    async with services.db.write() as tx:
        created = await scim_tokens.rotate_token(tx, actor=request.actor, organization=name)
    return ScimTokenInfo.of(request, services, created.token, created.secret)


@delete(_ONE, **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), is_extension=True))
async def revoke_scim_token(name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> None:
    """End the organization's SCIM token. Whom it has provisioned stays."""
    async with services.db.write() as tx:
        await scim_tokens.revoke_token(tx, actor=request.actor, organization=name)


handlers = [get_scim_token, create_scim_token, rotate_scim_token, revoke_scim_token]
