"""Who is signed in, what users and organizations show of themselves, and the organizations of a user.

Docker's description has none of these; its clients use them, in the shapes that they have here.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get, patch, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp
from homeport.api.hub.users import UserInfo, user_fields
from homeport.core import profiles
from homeport.core.profiles import OrganizationPage
from homeport.core.services import Services
from homeport.storage.db.records import AccountKind, AccountProfile, OrganizationOfUser

_READ = [HttpMethod.GET, HttpMethod.HEAD]
_KNOWN = "Any user, for themselves; personal access tokens too."

Line = Annotated[str | None, Meta(description="One line, at most 255 characters.", examples=["Acme Corp."])]


class PublicUser(UserInfo, kw_only=True):
    """What anybody is shown of a user."""

    uuid: str


class SignedInUser(PublicUser, kw_only=True):
    is_staff: Annotated[bool, Meta(description="The same as `is_admin`.")]
    is_admin: Annotated[bool, Meta(description="Whether this is a site administrator.")]

    @classmethod
    def of(cls, profile: AccountProfile, *, shows_email: bool) -> "SignedInUser":
        is_admin = profile.is_site_admin
        fields = user_fields(profile, shows_email=shows_email)
        return cls(**fields, uuid=profile.uuid, is_staff=is_admin, is_admin=is_admin)


class PublicOrganization(msgspec.Struct, kw_only=True):
    """What anybody is shown of an organization."""

    id: Annotated[
        str, Meta(description="The organization's UUID without dashes.", examples=["1f0e2c6e6a3b4d539a5e0b7a1c9d8e21"])
    ]
    uuid: str
    orgname: Annotated[str, Meta(examples=["acme"])]
    full_name: str
    location: str
    company: str
    profile_url: str
    gravatar_email: str
    gravatar_url: str
    date_joined: Annotated[str, Meta(description="When the organization was made.")]
    type: Annotated[str, Meta(description="`Organization`.", examples=["Organization"])]
    badge: Annotated[
        str, Meta(description="`official`, `verified_publisher`, `open_source`, or empty.", examples=["open_source"])
    ]
    is_active: bool


class OwnOrganization(PublicOrganization, kw_only=True):
    """An organization, with what a user is in it."""

    user_role: Annotated[str, Meta(description="`Owner`, `Editor` or `Member`.", examples=["Owner"])]
    user_groups: Annotated[
        Sequence[str], Meta(description="The user's teams in it, by name.", examples=[["developers", "owners"]])
    ]
    org_groups_count: Annotated[int, Meta(description="How many teams it has.")]
    plan_name: Annotated[str | None, Meta(examples=["business"])]
    parent_name: Annotated[str | None, Meta(description="Always null: no company stands above it.")]

    @classmethod
    def of(cls, organization: OrganizationOfUser, teams: Sequence[str]) -> "OwnOrganization":
        return cls(
            **_organization_fields(organization),
            user_role=organization.role.capitalize(),
            user_groups=teams,
            org_groups_count=organization.team_count,
            plan_name=organization.plan,
            parent_name=None,
        )


class OwnOrganizationPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[OwnOrganization]


class UpdateProfile(msgspec.Struct):
    """What is left out stays as it is."""

    full_name: Line = None
    location: Line = None
    company: Line = None
    profile_url: Annotated[str | None, Meta(description="A link, `https://…`.", examples=["https://ann.example"])] = (
        None
    )


@route(
    "/v2/user",
    http_method=_READ,
    status_code=200,
    **reference(Section.USERS, summary="Get the signed-in user", permission=_KNOWN, errors=(401,)),
)
async def get_own_user(request: HubRequest, services: NamedDependency[Services]) -> SignedInUser:
    """Who is signed in."""
    async with services.db.read() as tx:
        profile = await profiles.own_profile(tx, actor=request.actor)
    return SignedInUser.of(profile, shows_email=request.actor.token is None)


@patch(
    "/v2/user",
    **reference(
        Section.USERS,
        summary="Change one's own profile",
        permission="A user for their own account, with a bearer token that was not made from an access token.",
        errors=(401, 403),
        is_extension=True,
    ),
)
async def update_own_user(
    data: JSONBody[UpdateProfile], request: HubRequest, services: NamedDependency[Services]
) -> SignedInUser:
    """Change what one's own profile shows."""
    async with services.db.write() as tx:
        profile = await profiles.update_own(tx, actor=request.actor, **msgspec.structs.asdict(data))
    return SignedInUser.of(profile, shows_email=True)


@route(
    "/v2/users/{user:str}",
    http_method=_READ,
    status_code=200,
    **reference(Section.USERS, permission="Anybody.", errors=(308, 401, 404), bearer="optional", answer=PublicUser),
)
async def get_user(user: FromPath[str], services: NamedDependency[Services]) -> Response[Any]:
    """What a user shows of themselves. If the name is an organization's, a 308 says where that is shown."""
    async with services.db.read() as tx:
        profile = await profiles.access_profile(tx, name=user)
    if profile.kind is AccountKind.ORGANIZATION:
        return _elsewhere(f"/v2/orgs/{profile.name}")
    return Response(PublicUser(**user_fields(profile, shows_email=False), uuid=profile.uuid))


@route(
    "/v2/orgs/{org_name:str}",
    http_method=_READ,
    status_code=200,
    **reference(
        Section.ORGANIZATIONS,
        permission="Anybody.",
        errors=(308, 401, 404),
        bearer="optional",
        answer=PublicOrganization,
    ),
)
async def get_organization(org_name: FromPath[str], services: NamedDependency[Services]) -> Response[Any]:
    """What an organization shows of itself. If the name is a user's, a 308 says where that is shown."""
    async with services.db.read() as tx:
        profile = await profiles.access_profile(tx, name=org_name)
    if profile.kind is AccountKind.USER:
        return _elsewhere(f"/v2/users/{profile.name}")
    return Response(PublicOrganization(**_organization_fields(profile)))


@patch(
    "/v2/orgs/{org_name:str}",
    **reference(
        Section.ORGANIZATIONS,
        summary="Change the profile of an organization",
        permission="Owners of the organization and site administrators, signed in with a password.",
        errors=(401, 403, 404),
        is_extension=True,
    ),
)
async def update_organization(
    org_name: FromPath[str],
    data: JSONBody[UpdateProfile],
    request: HubRequest,
    services: NamedDependency[Services],
) -> PublicOrganization:
    """Change what an organization's profile shows."""
    async with services.db.write() as tx:
        profile = await profiles.update_organization(
            tx, actor=request.actor, organization=org_name, **msgspec.structs.asdict(data)
        )
    return PublicOrganization(**_organization_fields(profile))


@get(
    "/v2/user/orgs",
    **reference(Section.ORGANIZATIONS, permission=_KNOWN, errors=(401, 404), query=PAGES),
)
async def list_own_organizations(request: HubRequest, services: NamedDependency[Services]) -> OwnOrganizationPage:
    """The organizations that the caller is in, the oldest first."""
    return await _own_organizations(request, services)


@get(
    "/v2/orgs",
    **reference(Section.ORGANIZATIONS, permission=_KNOWN, errors=(401, 404), query=PAGES, is_extension=True),
)
async def list_organizations(request: HubRequest, services: NamedDependency[Services]) -> OwnOrganizationPage:
    """The same as `GET /v2/user/orgs`."""
    return await _own_organizations(request, services)


@get(
    "/v2/users/{user:str}/orgs",
    **reference(
        Section.ORGANIZATIONS,
        permission="Any user; personal access tokens too.",
        errors=(401, 404),
        query=PAGES,
    ),
)
async def list_organizations_of_user(
    user: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> OwnOrganizationPage:
    """The organizations that a user is in, the oldest first. Of somebody else these are the ones that the caller is in,
    too; site administrators see all.
    """
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await profiles.list_organizations_of(
            tx, actor=request.actor, user=user, offset=page.offset, limit=page.size
        )
    return _page_of(found, page, request, services)


async def _own_organizations(request: HubRequest, services: Services) -> OwnOrganizationPage:
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await profiles.list_own_organizations(tx, actor=request.actor, offset=page.offset, limit=page.size)
    return _page_of(found, page, request, services)


def _page_of(found: OrganizationPage, page: Page, request: HubRequest, services: Services) -> OwnOrganizationPage:
    next_, previous = page.links(request, services.settings, found.total)
    results = [
        OwnOrganization.of(organization, found.teams.get(organization.id, ())) for organization in found.organizations
    ]
    return OwnOrganizationPage(found.total, next_, previous, results)


def _organization_fields(profile: AccountProfile) -> dict[str, Any]:
    return {
        "id": profile.uuid.replace("-", ""),
        "uuid": profile.uuid,
        "orgname": profile.name,
        "full_name": profile.full_name,
        "location": profile.location,
        "company": profile.company,
        "profile_url": profile.profile_url,
        "gravatar_email": "",
        "gravatar_url": "",
        "date_joined": timestamp(profile.created_at),
        "type": "Organization",
        "badge": profile.badge,
        "is_active": profile.is_active,
    }


def _elsewhere(path: str) -> Response[bytes]:
    """Clients follow it, and find the other kind of account."""
    return Response(b"", status_code=308, headers={"Location": path}, media_type="text/plain")


handlers = [
    get_own_user,
    update_own_user,
    get_user,
    get_organization,
    update_organization,
    list_own_organizations,
    list_organizations,
    list_organizations_of_user,
]
