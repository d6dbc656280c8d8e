"""Docker Hub API §Repositories: which groups (teams) have been given what on a repository."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_GROUP_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import repository_teams
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db.records import Permission, RepositoryTeam

_LIST = [
    "/v2/repositories/{namespace:str}/{repository:str}/groups",
    "/v2/namespaces/{namespace:str}/repositories/{repository:str}/groups",
]
_ONE = [f"{path}/{{group_id:int}}" for path in _LIST]

_ADMINS: dict[str, Any] = {
    "permission": "Who administers the repository. A token needs `repo:admin`.",
    "errors": (400, 401, 403, 404),
}

PermissionWord = Annotated[Literal["read", "write", "admin"], Meta(examples=["write"])]


class RepositoryGroupInfo(msgspec.Struct):
    group_name: Annotated[str, Meta(examples=["developers"])]
    permission: PermissionWord
    group_id: Annotated[int, Meta(examples=[17])]

    @classmethod
    def of(cls, granted: RepositoryTeam) -> "RepositoryGroupInfo":
        return cls(group_name=granted.team, permission=granted.permission.value, group_id=granted.team_id)


class RepositoryGroupPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[RepositoryGroupInfo]


class AssignGroup(msgspec.Struct):
    """Clients send the group's name along, under several names: it goes by the id."""

    group_id: Annotated[int, Meta(description="The `id` of the group.", examples=[17])]
    permission: PermissionWord


class ChangeGroup(msgspec.Struct):
    permission: PermissionWord


@get(_LIST, **reference(Section.REPOSITORIES, **_ADMINS, query=PAGES, opened_by="scope-repo-group-read"))
async def list_repository_groups(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RepositoryGroupPage:
    """The groups that have a permission on a repository."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await repository_teams.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return RepositoryGroupPage(found.total, next_, previous, [RepositoryGroupInfo.of(team) for team in found.teams])


@post(_LIST, status_code=200, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repo-group-edit"))
async def assign_repository_group(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[AssignGroup],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryGroupInfo:
    """Give a group of the organization a permission on a repository. If it has one already, that is changed with
    PATCH.
    """
    async with services.db.write() as tx:
        granted = await repository_teams.add_team(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            team_id=data.group_id,
            permission=Permission(data.permission),
        )
    return RepositoryGroupInfo.of(granted)


@get(_ONE, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repo-group-read"))
async def get_repository_group(
    namespace: FromPath[str],
    repository: FromPath[str],
    group_id: FromPath[int],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryGroupInfo:
    """What one group may do to a repository."""
    async with services.db.read() as tx:
        granted = await repository_teams.get_team(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), team_id=group_id
        )
    return RepositoryGroupInfo.of(granted)


@patch(_ONE, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repo-group-edit"))
async def update_repository_group(
    namespace: FromPath[str],
    repository: FromPath[str],
    group_id: FromPath[int],
    *,
    data: JSONBody[ChangeGroup],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryGroupInfo:
    """Give a group another permission on a repository than the one it has."""
    async with services.db.write() as tx:
        granted = await repository_teams.update_team(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            team_id=group_id,
            permission=Permission(data.permission),
        )
    return RepositoryGroupInfo.of(granted)


@delete(_ONE, status_code=204, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repo-group-admin"))
async def remove_repository_group(
    namespace: FromPath[str],
    repository: FromPath[str],
    group_id: FromPath[int],
    request: HubRequest,
    services: NamedDependency[Services],
) -> None:
    """Take a group's permission on a repository away."""
    async with services.db.write() as tx:
        await repository_teams.remove_team(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), team_id=group_id
        )


router = Router(
    "/",
    route_handlers=[
        list_repository_groups,
        assign_repository_group,
        get_repository_group,
        update_repository_group,
        remove_repository_group,
    ],
    exception_handlers=renderers(REPOSITORY_GROUP_ERRORS),
)
