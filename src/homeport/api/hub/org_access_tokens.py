"""Docker Hub API §Organization access tokens: secrets by which programs act for an organization."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import ACCESS_TOKEN_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import grants, org_access_tokens
from homeport.core.access_tokens import Created
from homeport.core.services import Services
from homeport.storage.db.records import AccessToken

_LIST = "/v2/orgs/{name:str}/access-tokens"
_ONE = "/v2/orgs/{name:str}/access-tokens/{uuid:str}"

_TOLD: dict[str, Any] = {
    "permission": "Owners of the organization, signed in with a password: no access token makes or changes one.",
    "errors": (401, 403, 404),
}

_Label = Annotated[str, Meta(description="1 to 100 characters.", examples=["for the build server"])]
_Description = Annotated[str, Meta(description="At most 200 characters.", examples=["Pushes what was built"])]
_CreatedBy = Annotated[str, Meta(description="Name of the user who made it.", examples=["ann"])]
_Uuid = Annotated[str, Meta(examples=["1f0e2c6e-6a3b-4d53-9a5e-0b7a1c9d8e21"])]


class Resource(msgspec.Struct):
    """Something that a token is given, and what it may do there."""

    type: Annotated[
        str,
        Meta(description="`TYPE_REPO` for repositories, `TYPE_ORG` for the organization.", examples=["TYPE_REPO"]),
    ]
    path: Annotated[
        str,
        Meta(
            description="A repository that there is, `acme/*` for all of the organization's, `acme/prefix*` for those "
            "whose names begin so (an extension of ours), `*/*/public` for all public ones; the organization's name.",
            examples=["acme/app"],
        ),
    ]
    scopes: Annotated[
        list[str],
        Meta(
            description="Of repositories: "
            + ", ".join(sorted(grants.REPOSITORY_SCOPES))
            + ". Of the organization: "
            + ", ".join(sorted(grants.ORGANIZATION_SCOPES))
            + ".",
            examples=[["scope-image-push"]],
        ),
    ]


class OrgAccessTokenEntry(msgspec.Struct):
    """A token in a list."""

    id: _Uuid
    label: _Label
    created_by: _CreatedBy
    is_active: bool
    created_at: str
    expires_at: str | None
    last_used_at: str | None

    @classmethod
    def of(cls, token: AccessToken) -> "OrgAccessTokenEntry":
        return cls(
            id=token.uuid,
            label=token.label,
            created_by=token.created_by,
            is_active=token.is_active,
            created_at=timestamp(token.created_at),
            expires_at=token.expires_at_text,
            last_used_at=timestamp_or_none(token.last_used_at),
        )


class OrgAccessTokenInfo(msgspec.Struct):
    id: _Uuid
    label: _Label
    description: _Description
    created_by: _CreatedBy
    is_active: bool
    created_at: str
    expires_at: Annotated[str | None, Meta(description="As it was sent.")]
    last_used_at: str | None
    resources: Sequence[Resource]

    @classmethod
    def of(cls, token: AccessToken) -> "OrgAccessTokenInfo":
        return cls(
            id=token.uuid,
            label=token.label,
            description=token.description,
            created_by=token.created_by,
            is_active=token.is_active,
            created_at=timestamp(token.created_at),
            expires_at=token.expires_at_text,
            last_used_at=timestamp_or_none(token.last_used_at),
            resources=_resources(token),
        )


class NewOrgAccessToken(msgspec.Struct):
    """A new token, with its secret."""

    id: _Uuid
    label: _Label
    description: _Description
    resources: Sequence[Resource]
    token: Annotated[
        str,
        Meta(
            description="What programs log in with, by the organization's name: shown once.",
            examples=["dckr_oat_0123456789abcdefghijklmnopqrstuv"],
        ),
    ]
    is_active: bool
    expires_at: str | None
    created_at: str
    last_used_at: str | None

    @classmethod
    def of(cls, created: Created) -> "NewOrgAccessToken":
        token = created.token
        return cls(
            id=token.uuid,
            label=token.label,
            description=token.description,
            resources=_resources(token),
            token=created.secret,
            is_active=token.is_active,
            expires_at=token.expires_at_text,
            created_at=timestamp(token.created_at),
            last_used_at=timestamp_or_none(token.last_used_at),
        )


class OrgAccessTokenPage(msgspec.Struct):
    total: int
    count: Annotated[int, Meta(description="The same as `total`.")]
    next: str | None
    previous: str | None
    results: Sequence[OrgAccessTokenEntry]


class CreateOrgAccessToken(msgspec.Struct):
    label: _Label
    description: _Description | None = None
    resources: Annotated[list[Resource], Meta(description="At most 100, 50 of them of repositories.")] | None = None
    expires_at: Annotated[str, Meta(description="A time that lies ahead; none: it does not expire.")] | None = None


class UpdateOrgAccessToken(msgspec.Struct):
    label: _Label | None = None
    description: _Description | None = None
    resources: list[Resource] | None = None
    is_active: bool | None = None


@post(
    _LIST,
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    **reference(Section.ORG_ACCESS_TOKENS, **_TOLD),
)
async def create_org_access_token(
    name: FromPath[str],
    data: JSONBody[CreateOrgAccessToken],
    request: HubRequest,
    services: NamedDependency[Services],
) -> NewOrgAccessToken:
    """Create an access token of an organization; the answer alone holds its secret."""
    async with services.db.write() as tx:
        created = await org_access_tokens.create_token(
            tx,
            actor=request.actor,
            organization=name,
            label=data.label,
            description=data.description or "",
            resources=_wanted(data.resources or []),
            expires_at=data.expires_at,
            plans=services.settings.plans,
        )
    return NewOrgAccessToken.of(created)


@get(_LIST, **reference(Section.ORG_ACCESS_TOKENS, **_TOLD, query=PAGES))
async def list_org_access_tokens(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> OrgAccessTokenPage:
    """Access tokens of an organization, the newest first; disabled and expired ones too."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await org_access_tokens.list_tokens(
            tx, actor=request.actor, organization=name, offset=page.offset, limit=page.size
        )
    total = found.counts.total
    next_, previous = page.links(request, services.settings, total)
    entries = [OrgAccessTokenEntry.of(token) for token in found.tokens]
    return OrgAccessTokenPage(total=total, count=total, next=next_, previous=previous, results=entries)


@get(_ONE, **reference(Section.ORG_ACCESS_TOKENS, **_TOLD))
async def get_org_access_token(
    name: FromPath[str], uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> OrgAccessTokenInfo:
    """One access token of an organization."""
    async with services.db.read() as tx:
        token = await org_access_tokens.access_token(tx, actor=request.actor, organization=name, uuid=uuid)
    return OrgAccessTokenInfo.of(token)


@patch(_ONE, **reference(Section.ORG_ACCESS_TOKENS, **_TOLD))
async def update_org_access_token(
    name: FromPath[str],
    uuid: FromPath[str],
    data: JSONBody[UpdateOrgAccessToken],
    request: HubRequest,
    services: NamedDependency[Services],
) -> OrgAccessTokenInfo:
    """Change what is given of an access token. What it loses is lost at once, for bearer tokens made from it too."""
    async with services.db.write() as tx:
        token = await org_access_tokens.update_token(
            tx,
            actor=request.actor,
            organization=name,
            uuid=uuid,
            label=data.label,
            description=data.description,
            resources=None if data.resources is None else _wanted(data.resources),
            is_active=data.is_active,
        )
    return OrgAccessTokenInfo.of(token)


@delete(_ONE, status_code=204, **reference(Section.ORG_ACCESS_TOKENS, **_TOLD))
async def delete_org_access_token(
    name: FromPath[str], uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Delete an access token of an organization; it stops working at once."""
    async with services.db.write() as tx:
        await org_access_tokens.delete_token(tx, actor=request.actor, organization=name, uuid=uuid)


def _wanted(resources: Sequence[Resource]) -> list[grants.Resource]:
    return [grants.Resource(resource.type, resource.path, resource.scopes) for resource in resources]


def _resources(token: AccessToken) -> list[Resource]:
    return [
        Resource(type=resource.type, path=resource.path, scopes=resource.scopes)
        for resource in org_access_tokens.resources_of(token)
    ]


router = Router(
    "/",
    route_handlers=[
        create_org_access_token,
        list_org_access_tokens,
        get_org_access_token,
        update_org_access_token,
        delete_org_access_token,
    ],
    exception_handlers=renderers(ACCESS_TOKEN_ERRORS),
)
