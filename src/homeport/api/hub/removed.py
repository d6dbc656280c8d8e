"""What Docker Hub served once and has taken away: it says so, where other paths are only unknown."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.hub.errors import answer
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import repositories
from homeport.core.services import Services
from homeport.errors import PageUnknown
from homeport.names import RepositoryName

_TEXT = "this part of the API was removed in 2022: use /v2/namespaces/{namespace}/repositories"
_COMMENTS = [
    "/v2/repositories/{namespace:str}/{repository:str}/comments",
    "/v2/namespaces/{namespace:str}/repositories/{repository:str}/comments",
]


class CommentPage(msgspec.Struct):
    count: Annotated[int, Meta(description="Always 0.", examples=[0])]
    next: str | None
    previous: str | None
    results: Annotated[Sequence[dict[str, Any]], Meta(description="Always empty.", examples=[[]])]


@get("/v1/repositories/{rest:path}")
async def get_from_v1(rest: FromPath[str]) -> Response[bytes]:  # noqa: ARG001 - whatever stands there
    """410 for images and tags of the first version."""
    return answer(410, {"message": _TEXT, "detail": _TEXT, "errinfo": {}})


@get(
    _COMMENTS,
    **reference(
        Section.REPOSITORIES,
        permission="Anybody for a public repository; who may pull from it for a private one.",
        errors=(401, 404),
        bearer="optional",
        query=PAGES,
    ),
)
async def list_comments(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> CommentPage:
    """An empty page: nobody can comment on a repository any more."""
    page = Page.of(request)
    async with services.db.read() as tx:
        await repositories.get_repository(tx, actor=request.actor, name=RepositoryName(namespace, repository))
    if page.number > 1:
        raise PageUnknown
    return CommentPage(0, None, None, [])


handlers = [get_from_v1, list_comments]
