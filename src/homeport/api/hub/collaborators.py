"""Docker Hub API §Repositories: collaborators, who may push to a repository without being in a group."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import collaborators
from homeport.core.services import Services
from homeport.names import RepositoryName

_LIST = [
    "/v2/repositories/{namespace:str}/{repository:str}/collaborators",
    "/v2/namespaces/{namespace:str}/repositories/{repository:str}/collaborators",
]
_ONE = [f"{path}/{{username:str}}" for path in _LIST]

_ADMINS: dict[str, Any] = {
    "permission": "Who administers the repository. A token needs `repo:admin`.",
    "errors": (400, 401, 403, 404),
}


class CollaboratorInfo(msgspec.Struct):
    user: Annotated[str, Meta(description="The name of a user.", examples=["jonsnow"])]


class CollaboratorPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[CollaboratorInfo]


@get(_LIST, **reference(Section.REPOSITORIES, **_ADMINS, query=PAGES))
async def list_collaborators(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> CollaboratorPage:
    """The users who were given a permission on a repository by themselves."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await collaborators.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    infos = [CollaboratorInfo(collaborator.name) for collaborator in found.collaborators]
    return CollaboratorPage(found.total, next_, previous, infos)


@post(_LIST, status_code=200, **reference(Section.REPOSITORIES, **_ADMINS))
async def add_collaborator(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[CollaboratorInfo],
    request: HubRequest,
    services: NamedDependency[Services],
) -> CollaboratorInfo:
    """Let a user pull from a repository and push to it; who may already keeps what they have."""
    async with services.db.write() as tx:
        user = await collaborators.add_collaborator(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), user=data.user
        )
    return CollaboratorInfo(user)


@delete(_ONE, status_code=204, **reference(Section.REPOSITORIES, **_ADMINS))
async def remove_collaborator(
    namespace: FromPath[str],
    repository: FromPath[str],
    username: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> None:
    """Take from a user what they were given by themselves on a repository."""
    async with services.db.write() as tx:
        await collaborators.remove_collaborator(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), user=username
        )


router = Router(
    "/",
    route_handlers=[list_collaborators, add_collaborator, remove_collaborator],
    exception_handlers=renderers(REPOSITORY_ERRORS),
)
