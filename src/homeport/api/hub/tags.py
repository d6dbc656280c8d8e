"""Tags of a repository, under `/v2/namespaces/…` and the legacy `/v2/repositories/…`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Router, get

from homeport.api.hub.errors import render_field_errors
from homeport.api.hub.pages import page_request
from homeport.api.hub.times import wire_time, wire_time_or_none
from homeport.core import tags
from homeport.core.access import Actor
from homeport.core.services import Services
from homeport.core.tags import ShownTag, TagOrder, is_active
from homeport.errors import FieldInvalid
from homeport.names import RepositoryName
from homeport.storage.db.records import Image, Layer, Tag
from homeport.storage.db.tag_stretches import Ordering

ORDERINGS = {
    "name": TagOrder(Ordering.NAME, is_descending=False),
    "-name": TagOrder(Ordering.NAME, is_descending=True),
    "last_updated": TagOrder(Ordering.UPDATED, is_descending=False),
    "-last_updated": TagOrder(Ordering.UPDATED, is_descending=True),
}

UNKNOWN = "unknown"
"""The platform of what has none: attestations, charts, other artifacts."""

_CONTENT_TYPES = {
    "application/vnd.oci.image.config.v1+json": "image",
    "application/vnd.docker.container.image.v1+json": "image",
    "application/vnd.docker.plugin.v1+json": "plugin",
    "application/vnd.cncf.helm.config.v1+json": "helm",
    "application/vnd.docker.volume.v1+tar.gz": "volume",
    "application/vnd.wasm.config.v0+json": "wasm",
    "application/vnd.docker.compose.config.v1+json": "compose",
    "application/vnd.docker.compose.project": "compose",
    "application/vnd.docker.ai.model.config.v0.1+json": "model",
}
_UNRECOGNIZED = "unrecognized"


class ImageInfo(msgspec.Struct, frozen=True):
    """One platform of a tag; `size` in bytes, compressed."""

    architecture: str
    features: str
    variant: str | None
    digest: str
    os: str
    os_features: str
    os_version: str | None
    size: int
    status: str
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
            status=_status(is_active(image.last_pulled_at, image.pushed_at)),
            last_pulled=wire_time_or_none(image.last_pulled_at),
            last_pushed=wire_time_or_none(image.pushed_at),
        )


class LayerInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of an image's history; `digest` is left out where it made no layer."""

    size: int
    instruction: str
    digest: str | None = None


class LayeredImageInfo(msgspec.Struct, frozen=True):
    """An image as `/images` shows it: with its layers, and null features."""

    architecture: str
    features: None
    variant: str | None
    digest: str
    layers: list[LayerInfo]
    os: str
    os_features: None
    os_version: str | None
    size: int
    status: str
    last_pulled: str | None
    last_pushed: str | None

    @classmethod
    def of(cls, image: Image, layers: Sequence[Layer]) -> "LayeredImageInfo":
        plain = ImageInfo.of(image)
        return cls(
            architecture=plain.architecture,
            features=None,
            variant=plain.variant,
            digest=plain.digest,
            layers=[LayerInfo(layer.size_bytes, layer.instruction, layer.digest) for layer in layers],
            os=plain.os,
            os_features=None,
            os_version=plain.os_version,
            size=plain.size,
            status=plain.status,
            last_pulled=plain.last_pulled,
            last_pushed=plain.last_pushed,
        )


class TagInfo(msgspec.Struct, frozen=True):
    """A tag. The ids of accounts are 0 where the account is gone."""

    creator: int
    id: int
    images: list[ImageInfo]
    last_updated: str
    last_updater: int
    last_updater_username: str
    name: str
    repository: int
    full_size: int
    v2: bool
    tag_status: str
    tag_last_pulled: str | None
    tag_last_pushed: str
    media_type: str
    content_type: str
    digest: str

    @classmethod
    def of(cls, shown: ShownTag) -> "TagInfo":
        tag = shown.tag
        updated = wire_time(tag.updated_at)
        return cls(
            creator=tag.created_by or 0,
            id=tag.id,
            images=[ImageInfo.of(image) for image in shown.images],
            last_updated=updated,
            last_updater=tag.updated_by or 0,
            last_updater_username=tag.updated_by_name or "",
            name=tag.name,
            repository=tag.repository_id,
            full_size=_full_size(shown),
            v2=True,
            tag_status=_status(is_active(tag.last_pulled_at, tag.updated_at)),
            tag_last_pulled=wire_time_or_none(tag.last_pulled_at),
            tag_last_pushed=updated,
            media_type=_media_type(tag),
            content_type=_content_type(shown),
            digest=tag.digest,
        )


class TagPage(msgspec.Struct, frozen=True):
    count: int
    next: str | None
    previous: str | None
    results: list[TagInfo]


@get(
    [
        "/v2/namespaces/{namespace:str}/repositories/{repository:str}/tags",
        "/v2/repositories/{namespace:str}/{repository:str}/tags",
    ]
)
async def list_tags(
    request: Request[Any, Any, Any], namespace: str, repository: str, services: Services, actor: Actor
) -> TagPage:
    """Tags of a repository, the newest first; `ordering` and `name` (a part of it) choose others."""
    page = page_request(request, services)
    part = page.parameters.get("name", "")
    order = _order(page.parameters.get("ordering"))
    # A search by part of a name looks at every name.
    async with services.db.read(scan=bool(part)) as tx:
        found = await tags.list_page(
            tx,
            actor=actor,
            name=RepositoryName(namespace, repository),
            order=order,
            page=page.number,
            page_size=page.size,
            part=part,
            depth_limit=services.settings.manifest_depth_limit,
        )
    return TagPage(
        count=found.total,
        next=page.next(found.total),
        previous=page.previous(),
        results=[TagInfo.of(shown) for shown in found.tags],
    )


@get(
    [
        "/v2/namespaces/{namespace:str}/repositories/{repository:str}/tags/{tag:str}",
        "/v2/repositories/{namespace:str}/{repository:str}/tags/{tag:str}",
    ]
)
async def get_tag(namespace: str, repository: str, tag: str, services: Services, actor: Actor) -> TagInfo:
    """One tag."""
    async with services.db.read() as tx:
        shown = await tags.access_tag(
            tx,
            actor=actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            depth_limit=services.settings.manifest_depth_limit,
        )
    return TagInfo.of(shown)


@get("/v2/repositories/{namespace:str}/{repository:str}/tags/{tag:str}/images")
async def list_images(
    namespace: str, repository: str, tag: str, services: Services, actor: Actor
) -> list[LayeredImageInfo]:
    """The platforms of a tag with the layers of each."""
    async with services.db.read() as tx:
        shown = await tags.access_tag(
            tx,
            actor=actor,
            name=RepositoryName(namespace, repository),
            tag=tag,
            depth_limit=services.settings.manifest_depth_limit,
        )
        layers = await tags.list_layers(tx, shown)
    return [LayeredImageInfo.of(image, layers.get(image.manifest_id or 0, [])) for image in shown.images]


def _order(text: str | None) -> TagOrder:
    if not text:
        return TagOrder()
    if text not in ORDERINGS:
        choices = ", ".join(ORDERINGS)
        raise FieldInvalid(
            {"ordering": [f"Invalid ordering value. Must be one of: {choices}"]}, "Invalid ordering value"
        )
    return ORDERINGS[text]


def _status(active: bool) -> str:
    return "active" if active else "inactive"


def _full_size(shown: ShownTag) -> int:
    """An image's size; of an index, that of linux/amd64 or else of its first platform."""
    images = shown.images
    preferred = (image for image in images if (image.os, image.architecture) == ("linux", "amd64"))
    chosen = next(preferred, images[0] if images else None)
    return chosen.size_bytes if chosen else 0


def _media_type(tag: Tag) -> str:
    """An index's own media type; for a single image that of its config, as Docker Hub has it."""
    return tag.media_type if tag.depth else tag.config_media_type or tag.media_type


def _content_type(shown: ShownTag) -> str:
    tag = shown.tag
    if not tag.depth:
        return _CONTENT_TYPES.get(tag.config_media_type or "", _UNRECOGNIZED)
    return _CONTENT_TYPES.get(tag.artifact_type or "", _UNRECOGNIZED) if tag.artifact_type else "image"


router = Router(
    "/", route_handlers=[list_tags, get_tag, list_images], exception_handlers={FieldInvalid: render_field_errors}
)
