"""Where tags have been, and putting them back there: an extension of ours."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.tags import TagInfo
from homeport.api.hub.times import timestamp
from homeport.core import tag_history
from homeport.core.content_types import media_type
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db.records import TagMove

_TAG = "/v2/namespaces/{namespace:str}/repositories/{repository:str}/tags/{tag:str}"


class MoveInfo(msgspec.Struct):
    """One move of a tag."""

    id: int
    digest: Annotated[str | None, Meta(description="Where it was moved to; null where it was deleted.")]
    media_type: Annotated[str | None, Meta(description="As tags show it; null where the manifest is not there.")]
    timestamp: str
    actor: Annotated[
        str | None, Meta(description="Who moved it; null for nobody who has a name here.", examples=["ann"])
    ]
    restorable: Annotated[bool, Meta(description="Whether the tag can be put there: the manifest is still there.")]

    @classmethod
    def of(cls, move: TagMove) -> "MoveInfo":
        is_there = move.manifest_id is not None
        return cls(
            id=move.id,
            digest=move.digest,
            media_type=media_type(move) if is_there else None,
            timestamp=timestamp(move.moved_at),
            actor=move.moved_by_name,
            restorable=is_there,
        )


class MovePage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[MoveInfo]


class RestoreTag(msgspec.Struct):
    digest: Annotated[str, Meta(description="One that the tag's history names.")]


@get(
    f"{_TAG}/history",
    **reference(
        Section.REPOSITORIES,
        permission="Anybody for a public repository; who may pull from it for a private one.",
        errors=(401, 404),
        bearer="optional",
        opened_by="scope-tag-read",
        query=PAGES,
        is_extension=True,
    ),
)
async def list_tag_moves(
    namespace: FromPath[str],
    repository: FromPath[str],
    tag: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> MovePage:
    """Each push and each deletion of a tag, the newest first; of a deleted tag too."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await tag_history.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return MovePage(found.total, next_, previous, [MoveInfo.of(move) for move in found.moves])


@post(
    f"{_TAG}/restore",
    status_code=200,
    **reference(
        Section.REPOSITORIES,
        permission="Who may push to the repository. A token needs `repo:write`.",
        errors=(400, 401, 403, 404),
        opened_by="scope-image-push",
        is_extension=True,
    ),
)
async def restore_tag(
    namespace: FromPath[str],
    repository: FromPath[str],
    tag: FromPath[str],
    data: JSONBody[RestoreTag],
    *,
    request: HubRequest,
    services: NamedDependency[Services],
) -> TagInfo:
    """Put a tag back on a digest that it has been at; a deleted one too. Where it is there already, nothing changes.

    It is a move like one by a push: immutable tags stay, webhooks are told, and it has its event and its place in the
    history.
    """
    async with services.db.write() as tx:
        shown = await tag_history.restore(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            digest=data.digest,
            settings=services.settings,
        )
    return TagInfo.of(shown)


router = Router("/", route_handlers=[list_tag_moves, restore_tag], exception_handlers=renderers(REPOSITORY_ERRORS))
