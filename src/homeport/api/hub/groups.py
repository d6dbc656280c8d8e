"""Docker Hub API §Groups: the teams of an organization, and who is in them."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import GROUP_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.users import UserInfo, user_fields
from homeport.core import teams
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole, Profile, Team

_LIST = "/v2/orgs/{org_name:str}/groups"
_ONE = f"{_LIST}/{{group_name:str}}"
_MEMBERS = f"{_ONE}/members"
_MEMBER = f"{_MEMBERS}/{{username:str}}"

OLD_CLIENT = "hub-tool"
"""Docker's former command line client, as its `User-Agent` has it. It takes the members of a team for a bare array."""

UNPAGED_LIMIT = 10_000
"""Members of a team that are told to that client, which knows no pages."""

_READERS: dict[str, Any] = {
    "permission": "Members of the organization; personal access tokens too.",
    "errors": (400, 401, 403, 404),
}
_OWNERS: dict[str, Any] = {
    "permission": "Owners of the organization, signed in with a password.",
    "errors": (400, 401, 403, 404),
}


class GroupInfo(msgspec.Struct):
    id: int
    uuid: str
    name: Annotated[str, Meta(examples=["developers"])]
    description: Annotated[str, Meta(examples=["Who develops"])]
    member_count: int
    role: Annotated[
        str, Meta(description="What its members are in the organization: `owner` or `member`.", examples=["member"])
    ]

    @classmethod
    def of(cls, team: Team) -> "GroupInfo":
        return cls(
            id=team.id,
            uuid=team.uuid,
            name=team.name,
            description=team.description,
            member_count=team.member_count,
            role=OrganizationRole.OWNER if teams.is_owners(team) else OrganizationRole.MEMBER,
        )


class GroupPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[GroupInfo]


class CreateGroup(msgspec.Struct):
    name: Annotated[str, Meta(description="3 to 30 letters, digits, `_` and `-`.", examples=["developers"])]
    description: Annotated[str | None, Meta(examples=["Who develops"])] = None


class UpdateGroup(msgspec.Struct):
    """Clients send whole groups back: what cannot be changed is left out of account."""

    name: Annotated[str | None, Meta(examples=["developers"])] = None
    description: Annotated[str | None, Meta(examples=["Who develops"])] = None


class GroupMemberInfo(UserInfo, kw_only=True):
    email: Annotated[str | msgspec.UnsetType, Meta(description="Only for owners, signed in with a password.")] = (
        msgspec.UNSET
    )

    @classmethod
    def of(cls, profile: Profile, *, shows_email: bool) -> "GroupMemberInfo":
        email = (profile.email or "") if shows_email else msgspec.UNSET
        return cls(**user_fields(profile, shows_email=shows_email), email=email)


class GroupMemberPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[GroupMemberInfo]


class AddGroupMember(msgspec.Struct):
    member: Annotated[str, Meta(description="The name of a user.", examples=["jonsnow"])]


class Nothing(msgspec.Struct):
    """An empty object."""


@get(
    _LIST,
    **reference(
        Section.GROUPS,
        **_READERS,
        query=(
            *PAGES,
            Query("username", "Teams that this user is in."),
            Query("search", "A part of the team's name."),
        ),
        opened_by="scope-group-read",
    ),
)
async def list_groups(org_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> GroupPage:
    """The teams of an organization, by name."""
    page = Page.of(request)
    async with services.db.read(scan=True) as tx:
        found = await teams.list_page(
            tx,
            actor=request.actor,
            organization=org_name,
            part=request.parameter("search") or "",
            user=request.parameter("username") or "",
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return GroupPage(found.total, next_, previous, [GroupInfo.of(team) for team in found.teams])


@post(_LIST, status_code=201, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def create_group(
    org_name: FromPath[str],
    data: JSONBody[CreateGroup],
    request: HubRequest,
    services: NamedDependency[Services],
) -> GroupInfo:
    """Make a team. Its name differs from those of the organization's other teams in more than case."""
    async with services.db.write() as tx:
        team = await teams.create_team(
            tx,
            actor=request.actor,
            organization=org_name,
            name=data.name,
            description=data.description or "",
            plans=services.settings.plans,
        )
    return GroupInfo.of(team)


@get(_ONE, **reference(Section.GROUPS, **_READERS, opened_by="scope-group-read"))
async def get_group(
    org_name: FromPath[str], group_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> GroupInfo:
    """One team; its name may be written in any case."""
    async with services.db.read() as tx:
        team = await teams.get_team(tx, actor=request.actor, organization=org_name, name=group_name)
    return GroupInfo.of(team)


@put(_ONE, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def replace_group(
    org_name: FromPath[str],
    group_name: FromPath[str],
    data: JSONBody[CreateGroup],
    request: HubRequest,
    services: NamedDependency[Services],
) -> GroupInfo:
    """Replace a team's name and description; without a description it has none. Members and permissions stay."""
    async with services.db.write() as tx:
        team = await teams.update_team(
            tx,
            actor=request.actor,
            organization=org_name,
            team=group_name,
            name=data.name,
            description=data.description or "",
        )
    return GroupInfo.of(team)


@patch(_ONE, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def update_group(
    org_name: FromPath[str],
    group_name: FromPath[str],
    data: JSONBody[UpdateGroup],
    request: HubRequest,
    services: NamedDependency[Services],
) -> GroupInfo:
    """Change a team's name, its description, or both. Members and permissions stay."""
    async with services.db.write() as tx:
        team = await teams.update_team(
            tx,
            actor=request.actor,
            organization=org_name,
            team=group_name,
            name=data.name,
            description=data.description,
        )
    return GroupInfo.of(team)


@delete(_ONE, status_code=204, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def delete_group(
    org_name: FromPath[str], group_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Delete a team, and what it was granted on repositories. Its members stay in the organization."""
    async with services.db.write() as tx:
        await teams.delete_team(tx, actor=request.actor, organization=org_name, team=group_name)


@get(
    _MEMBERS,
    **reference(
        Section.GROUPS,
        **_READERS,
        query=(
            *PAGES,
            Query("search", "A part of the name or full name, for owners also of the e-mail address."),
        ),
        opened_by="scope-group-read",
    ),
)
async def list_group_members(
    org_name: FromPath[str], group_name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> GroupMemberPage | list[GroupMemberInfo]:
    """The members of a team, by name. A client that calls itself `hub-tool` and asks for no page gets a bare array."""
    page = Page.of(request)
    is_unpaged = _knows_no_pages(request)
    async with services.db.read(scan=True) as tx:
        found = await teams.list_members(
            tx,
            actor=request.actor,
            organization=org_name,
            team=group_name,
            part=request.parameter("search") or "",
            page=page.number,
            page_size=UNPAGED_LIMIT if is_unpaged else page.size,
        )
    infos = [GroupMemberInfo.of(profile, shows_email=found.shows_emails) for profile in found.members]
    if is_unpaged:
        return infos
    next_, previous = page.links(request, services.settings, found.total)
    return GroupMemberPage(found.total, next_, previous, infos)


@post(_MEMBERS, status_code=200, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def add_group_member(
    org_name: FromPath[str],
    group_name: FromPath[str],
    data: JSONBody[AddGroupMember],
    request: HubRequest,
    services: NamedDependency[Services],
) -> Nothing:
    """Add a member of the organization to a team; adding them again changes nothing.

    Who joins the team `owners` becomes an owner. Who is not in the organization yet has to be invited; for site
    administrators alone they become a member of it.
    """
    async with services.db.write() as tx:
        await teams.add_member(
            tx,
            actor=request.actor,
            organization=org_name,
            team=group_name,
            user=data.member,
            plans=services.settings.plans,
        )
    return Nothing()


@delete(_MEMBER, status_code=204, **reference(Section.GROUPS, **_OWNERS, opened_by="scope-group-edit"))
async def remove_group_member(
    org_name: FromPath[str],
    group_name: FromPath[str],
    username: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> None:
    """Remove a user from a team; they stay in the organization. Who leaves the team `owners` is a plain member from
    then on; its last member cannot leave it.
    """
    async with services.db.write() as tx:
        await teams.remove_member(tx, actor=request.actor, organization=org_name, team=group_name, user=username)


def _knows_no_pages(request: HubRequest) -> bool:
    product = request.plain.user_agent.partition("/")[0].strip().lower()
    return product == OLD_CLIENT and request.parameter("page") is None and request.parameter("page_size") is None


router = Router(
    "/",
    route_handlers=[
        list_groups,
        create_group,
        get_group,
        replace_group,
        update_group,
        delete_group,
        list_group_members,
        add_group_member,
        remove_group_member,
    ],
    exception_handlers=renderers(GROUP_ERRORS),
)
