"""Docker Hub API §Repositories: tags, by their present path and by the one that most scripts use."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec
from litestar import delete, get, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath

from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import tags
from homeport.core.content_types import content_type, media_type
from homeport.core.services import Services
from homeport.core.tags import ShownTag, TagOrder
from homeport.errors import FieldInvalid
from homeport.names import RepositoryName
from homeport.storage.db.records import Image, Layer
from homeport.storage.db.tag_stretches import Ordering

_LIST = [
    "/v2/namespaces/{namespace:str}/repositories/{repository:str}/tags",
    "/v2/repositories/{namespace:str}/{repository:str}/tags",
]
_ONE = [f"{path}/{{tag:str}}" for path in _LIST]
_IMAGES = f"{_ONE[1]}/images"
_READ = [HttpMethod.GET, HttpMethod.HEAD]

UNKNOWN = "unknown"
"""What Docker Hub calls the platform of what has none: attestations, charts, other artifacts."""

# At this door a bare word is descending, and a minus turns it round (docs/compatibility.md).
OrderWord = Literal["last_updated", "-last_updated", "name", "-name", "version", "-version"]
_ORDERS: dict[str, TagOrder] = {
    "last_updated": TagOrder(Ordering.UPDATED, is_descending=True),
    "-last_updated": TagOrder(Ordering.UPDATED, is_descending=False),
    "name": TagOrder(Ordering.NAME, is_descending=True),
    "-name": TagOrder(Ordering.NAME, is_descending=False),
    # Ours.
    "version": TagOrder(Ordering.VERSION, is_descending=True),
    "-version": TagOrder(Ordering.VERSION, is_descending=False),
}


_TOLD = reference(
    Section.REPOSITORIES,
    permission="Anybody for a public repository; who may pull from it for a private one.",
    errors=(401, 404),
    bearer="optional",
    opened_by="scope-tag-read",
)
_TOLD_LIST = reference(
    Section.REPOSITORIES,
    permission="Anybody for a public repository; who may pull from it for a private one.",
    errors=(401, 404),
    bearer="optional",
    opened_by="scope-tag-read",
    query=(
        *PAGES,
        Query(
            "ordering",
            "`last_updated`, `name` and `version` are descending; a minus in front turns them round. `version` goes by "
            "semantic versions, with tags that are none behind them; it is an extension.",
            OrderWord,
        ),
        Query("name", "A part of the tag's name."),
    ),
)


class Status(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"


class ImageInfo(msgspec.Struct):
    """One platform of a tag."""

    architecture: str
    features: str
    variant: str | None
    digest: str
    os: str
    os_features: str
    os_version: str | None
    size: int
    status: Status
    last_pulled: str | None
    last_pushed: str | None

    @classmethod
    def of(cls, image: Image) -> "ImageInfo":
        return cls(
            architecture=image.architecture or UNKNOWN,
            features=image.features,
            variant=image.variant,
            digest=image.digest,
            os=image.os or UNKNOWN,
            os_features=image.os_features,
            os_version=image.os_version,
            size=image.size_bytes,
            status=_status(is_active=tags.is_active(image.pushed_at, image.last_pulled_at)),
            last_pulled=timestamp_or_none(image.last_pulled_at),
            last_pushed=timestamp_or_none(image.pushed_at),
        )


class TagInfo(msgspec.Struct):
    creator: int
    id: int
    images: Sequence[ImageInfo]
    last_updated: str
    last_updater: int
    last_updater_username: str
    name: str
    repository: int
    full_size: int
    v2: bool
    tag_status: Status
    tag_last_pulled: str | None
    tag_last_pushed: str
    media_type: str
    content_type: str
    digest: str

    @classmethod
    def of(cls, shown: ShownTag) -> "TagInfo":
        tag = shown.tag
        updated_at = timestamp(tag.updated_at)
        return cls(
            creator=tag.created_by or 0,
            id=tag.id,
            images=[ImageInfo.of(image) for image in shown.images],
            last_updated=updated_at,
            last_updater=tag.updated_by or 0,
            last_updater_username=tag.updated_by_name or "",
            name=tag.name,
            repository=tag.repository_id,
            full_size=_full_size(shown),
            v2=True,
            tag_status=_status(is_active=tags.is_active(tag.updated_at, tag.last_pulled_at)),
            tag_last_pulled=timestamp_or_none(tag.last_pulled_at),
            tag_last_pushed=updated_at,
            media_type=media_type(tag),
            content_type=content_type(tag),
            digest=tag.digest,
        )


class TagPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[TagInfo]


class LayerInfo(msgspec.Struct):
    """A step of an image's history; without a digest where it made no layer."""

    size: int
    instruction: str
    digest: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, layer: Layer) -> "LayerInfo":
        digest = msgspec.UNSET if layer.digest is None else layer.digest
        return cls(size=layer.size_bytes, instruction=layer.instruction, digest=digest)


class LayeredImageInfo(msgspec.Struct):
    """One platform of a tag with its layers. Here, and only here, features that are not set are null."""

    architecture: str
    features: str | None
    variant: str | None
    digest: str
    layers: Sequence[LayerInfo]
    os: str
    os_features: str | None
    os_version: str | None
    size: int
    status: Status
    last_pulled: str | None
    last_pushed: str | None

    @classmethod
    def of(cls, image: Image, layers: Sequence[Layer]) -> "LayeredImageInfo":
        info = msgspec.structs.asdict(ImageInfo.of(image))
        info["features"] = image.features or None
        info["os_features"] = image.os_features or None
        return cls(**info, layers=[LayerInfo.of(layer) for layer in layers])


@route(_LIST, http_method=_READ, status_code=200, **_TOLD_LIST)
async def list_tags(
    namespace: FromPath[str],
    repository: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> TagPage:
    """The tags of a repository, those moved last first."""
    page = Page.of(request)
    part = request.parameter("name") or ""
    async with services.db.read(scan=bool(part)) as tx:
        found = await tags.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            order=_order(request),
            page=page.number,
            page_size=page.size,
            part=part,
            depth_limit=services.settings.manifest_depth_limit,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return TagPage(found.total, next_, previous, [TagInfo.of(shown) for shown in found.tags])


@route(_ONE, http_method=_READ, status_code=200, **_TOLD)
async def get_tag(
    namespace: FromPath[str],
    repository: FromPath[str],
    tag: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> TagInfo:
    """One tag."""
    async with services.db.read() as tx:
        shown = await tags.access_tag(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            depth_limit=services.settings.manifest_depth_limit,
        )
    return TagInfo.of(shown)


@delete(
    _ONE,
    status_code=204,
    **reference(
        Section.REPOSITORIES,
        permission="Who administers the repository. A token needs `repo:admin`.",
        errors=(401, 403, 404),
        opened_by="scope-tag-admin",
    ),
)
async def delete_tag(
    namespace: FromPath[str],
    repository: FromPath[str],
    tag: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> None:
    """Delete a tag. What it points at stays, and can still be pulled by its digest."""
    async with services.db.write() as tx:
        await tags.delete_tag(tx, actor=request.actor, name=RepositoryName(namespace, repository), tag=tag)


@get(_IMAGES, **_TOLD)
async def list_images(
    namespace: FromPath[str],
    repository: FromPath[str],
    tag: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> list[LayeredImageInfo]:
    """The platforms of a tag with their layers."""
    async with services.db.read() as tx:
        shown = await tags.access_tag(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            depth_limit=services.settings.manifest_depth_limit,
        )
        layers = await tags.list_layers(tx, shown)
    return [LayeredImageInfo.of(image, layers.get(image.manifest_id or 0, ())) for image in shown.images]


def _order(request: HubRequest) -> TagOrder:
    word = request.parameter("ordering")
    if not word:
        return TagOrder()
    try:
        return _ORDERS[word]
    except KeyError:
        text = f"Invalid ordering value. Must be one of: {', '.join(_ORDERS)}"
        raise FieldInvalid({"ordering": [text]}, "Invalid ordering value") from None


def _status(*, is_active: bool) -> Status:
    return Status.ACTIVE if is_active else Status.INACTIVE


def _full_size(shown: ShownTag) -> int:
    """The size of an image; of an index that of its first platform, as Docker Hub has it."""
    sizes = (image.size_bytes for image in shown.images if image.os not in (None, UNKNOWN))
    return next(sizes, 0) if shown.tag.depth else shown.tag.image_size_bytes


handlers = [list_tags, get_tag, delete_tag, list_images]
