"""Deleting many tags at once: an extension of ours."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_ERRORS, renderers
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp
from homeport.core import tag_deletions
from homeport.core.services import Services
from homeport.core.tag_deletions import TagFilter
from homeport.names import RepositoryName
from homeport.storage.db.records import Tag

# Not below `/tags/`: there every word may be the name of a tag.
_PATH = "/v2/namespaces/{namespace:str}/repositories/{repository:str}/delete-tags"


class ChosenTags(msgspec.Struct, kw_only=True):
    """Tags that fit all that is given; something has to be."""

    names: Annotated[list[str] | None, Meta(description="At most 100 names.", examples=[["1.0-rc1", "1.0-rc2"]])] = None
    pattern: Annotated[
        str | None,
        Meta(description="A glob for the whole name, with `*`, `?` and `[…]`, in its case.", examples=["*-rc*"]),
    ] = None
    older_than: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="Those pushed last before this time.", examples=["2026-01-01T00:00:00Z"]),
    ] = None
    keep_newest: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(
            description="How many of those that fit names and pattern stay: the ones that were pushed last.",
            examples=[10],
        ),
    ] = None


class DeleteTags(msgspec.Struct):
    filter: ChosenTags
    dry_run: Annotated[
        bool, Meta(description="Whether nothing is deleted: only what would be is told.", examples=[True])
    ] = False


class DeletedTag(msgspec.Struct):
    name: str
    digest: str
    last_pushed: str

    @classmethod
    def of(cls, tag: Tag) -> "DeletedTag":
        return cls(name=tag.name, digest=tag.digest, last_pushed=timestamp(tag.updated_at))


class DeletedTags(msgspec.Struct):
    dry_run: bool
    tags: Annotated[Sequence[DeletedTag], Meta(description="What was deleted, or would be.")]
    immutable: Annotated[
        Sequence[DeletedTag],
        Meta(
            description="What fits the filter and stays because it is immutable; at most 100 are named.", examples=[[]]
        ),
    ]
    has_more: Annotated[
        bool, Meta(description="Whether the filter fits more tags than one request deletes.", examples=[False])
    ]


@post(
    _PATH,
    status_code=200,
    **reference(
        Section.REPOSITORIES,
        permission="Who administers the repository. A token needs `repo:admin`.",
        errors=(400, 401, 403, 404),
        is_extension=True,
        opened_by="scope-tag-admin",
    ),
)
async def delete_tags(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[DeleteTags],
    request: HubRequest,
    services: NamedDependency[Services],
) -> DeletedTags:
    """Delete the tags that fit a filter, up to 100 in one request, those pushed last first. What they point at stays.

    Immutable tags stay, and the answer names them. A tag that somebody moves while this looks for others is left alone.
    """
    wanted = data.filter
    found = await tag_deletions.delete_matching(
        services,
        actor=request.actor,
        name=RepositoryName(namespace, repository),
        filter_=TagFilter(
            names=None if wanted.names is None else frozenset(wanted.names),
            pattern=wanted.pattern,
            older_than=wanted.older_than,
            keep_newest=wanted.keep_newest or 0,
        ),
        is_dry_run=data.dry_run,
    )
    return DeletedTags(
        data.dry_run,
        [DeletedTag.of(tag) for tag in found.tags],
        [DeletedTag.of(tag) for tag in found.immutable],
        found.has_more,
    )


router = Router("/", route_handlers=[delete_tags], exception_handlers=renderers(REPOSITORY_ERRORS))
