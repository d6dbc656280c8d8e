"""Repositories by their user, as older clients of Docker's ask for them: those of a namespace, and starred ones."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.repositories import RepositoryEntry, RepositoryPage
from homeport.api.hub.requests import HubRequest
from homeport.core import repositories, stars
from homeport.core.services import Services


class RepositoryNameInfo(msgspec.Struct):
    namespace: str
    name: Annotated[str, Meta(examples=["app"])]


@get(
    "/v2/users/{user:str}/repositories",
    **reference(
        Section.REPOSITORIES,
        permission="Anybody sees the public ones; private ones are listed for who may pull from them.",
        errors=(401,),
        bearer="optional",
    ),
)
async def list_repositories_of_user(
    user: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> list[RepositoryNameInfo]:
    """The names of the repositories in a user's namespace, or an organization's: all in one list, in their order, up to
    10,000. A namespace that is not there has none.
    """
    async with services.db.read(scan=True) as tx:
        names = await repositories.list_names(tx, actor=request.actor, namespace=user)
    return [RepositoryNameInfo(name.namespace, name.name) for name in names]


@get(
    "/v2/users/{user:str}/repositories/starred",
    **reference(
        Section.REPOSITORIES,
        permission="Anybody sees the public ones; private ones are listed for who may pull from them.",
        errors=(401, 404),
        bearer="optional",
        query=PAGES,
    ),
)
async def list_starred_repositories(
    user: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RepositoryPage:
    """The repositories that a user has given a star, the last one first."""
    page = Page.of(request)
    async with services.db.read(scan=True) as tx:
        found = await stars.list_starred(tx, actor=request.actor, user=user, offset=page.offset, limit=page.size)
    next_, previous = page.links(request, services.settings, found.total)
    return RepositoryPage(found.total, next_, previous, [RepositoryEntry.of(entry) for entry in found.repositories])


handlers = [list_repositories_of_user, list_starred_repositories]
