"""Tags, as the registry lists them and as the Hub shows them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from homeport.core import audit, immutable_tags
from homeport.core.access import Action, Actor, access_repository
from homeport.core.audit import AuditAction, Event
from homeport.core.repositories import lock_repository, touch_repository
from homeport.core.webhook_deliveries import post_push
from homeport.errors import PageUnknown, TagUnknown
from homeport.names import Digest, RepositoryName
from homeport.settings import Settings
from homeport.storage.db import manifests as manifest_rows
from homeport.storage.db import tag_stretches
from homeport.storage.db import tags as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Image, Layer, Repository, Tag, TagRules
from homeport.storage.db.tag_stretches import Ordering

ACTIVE_FOR = timedelta(days=30)
"""A tag or image that was neither pushed nor pulled for a month is inactive."""


IMAGES_LIMIT = 128
"""Platforms of an index that are shown: a manifest of 4 MiB can name tens of thousands, and a page has 100 tags."""


class TagOrder(msgspec.Struct, frozen=True):
    ordering: Ordering = Ordering.UPDATED
    is_descending: bool = True


class ShownTag(msgspec.Struct, frozen=True):
    """A tag with the platforms behind it."""

    tag: Tag
    images: Sequence[Image]


class TagPage(msgspec.Struct, frozen=True):
    total: int
    tags: Sequence[ShownTag]


async def list_names(tx: Transaction, *, actor: Actor, name: RepositoryName, after: str, limit: int) -> list[str]:
    """Names of tags in byte order, those behind `after`.

    Raises:
        RepositoryUnknown, ImageRestricted: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.PULL)
    tx = tx.lists
    return await rows.list_names(tx, repository_id=repository.id, after=after, limit=limit)


async def list_page(
    tx: Transaction,
    *,
    actor: Actor,
    name: RepositoryName,
    order: TagOrder,
    page: int,
    page_size: int,
    part: str = "",
    depth_limit: int,
) -> TagPage:
    """A page of a repository's tags, counted from 1; `part` keeps those with it in their names.

    Raises:
        RepositoryUnknown, ActionDenied: as `access_repository`.
        PageUnknown: there is no such page; the first one is there even when it is empty.
    """
    repository = await access_repository(tx, actor, name, Action.READ_TAGS)
    tx = tx.lists
    offset = (page - 1) * page_size
    if part:
        total = await rows.count_matching(tx, repository_id=repository.id, part=part)
        tags = await rows.list_matching_page(
            tx,
            repository_id=repository.id,
            part=part,
            ordering=order.ordering,
            is_descending=order.is_descending,
            offset=min(offset, total),
            limit=page_size,
        )
    else:
        total = await tag_stretches.count(tx, repository.id)
        tags = await rows.list_page(
            tx,
            repository_id=repository.id,
            ordering=order.ordering,
            is_descending=order.is_descending,
            offset=offset,
            limit=page_size,
            total=total,
        )
    if page > 1 and not tags:
        raise PageUnknown
    return TagPage(total, await _shown(tx, tags, depth_limit))


async def access_tag(tx: Transaction, *, actor: Actor, name: RepositoryName, tag: str, depth_limit: int) -> ShownTag:
    """One tag.

    Raises:
        RepositoryUnknown, ActionDenied: as `access_repository`.
        TagUnknown
    """
    repository = await access_repository(tx, actor, name, Action.READ_TAGS)
    return await show_tag(tx, repository=repository, tag=tag, depth_limit=depth_limit)


async def show_tag(tx: Transaction, *, repository: Repository, tag: str, depth_limit: int) -> ShownTag:
    """One tag of a repository that the actor has been let into.

    Raises:
        TagUnknown
    """
    found = await rows.get(tx, repository_id=repository.id, name=tag)
    if found is None:
        raise TagUnknown(RepositoryName(repository.namespace, repository.name), tag)
    return (await _shown(tx, [found], depth_limit))[0]


async def delete_tag(tx: Transaction, *, actor: Actor, name: RepositoryName, tag: str) -> None:
    """Delete a tag; what it points at stays.

    Raises:
        TagUnknown, TagImmutable
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.DELETE_TAGS)
    await lock_repository(tx, repository)
    found = await rows.get(tx, repository_id=repository.id, name=tag)
    if found is None:
        raise TagUnknown(name, tag)
    await delete_tags(tx, actor=actor, repository=repository, tags=[found])


async def move_tags(
    tx: Transaction,
    *,
    settings: Settings,
    actor: Actor,
    repository: Repository,
    rules: TagRules,
    names: Sequence[str],
    manifest_id: int,
    digest: Digest,
    **told: str,
) -> None:
    """Point tags of a repository at a manifest, new ones or not: the one way by which a tag comes and moves.

    The caller holds the repository's lock and has touched it, which told the `rules`. What is `told` besides is kept
    in the events. A tag that is where it shall be may be pushed again, immutable or not.

    Raises:
        TagImmutable
    """
    found = await rows.list_named(tx, repository_id=repository.id, names=list(names)) if names else []
    present = {tag.name: tag for tag in found}
    moving = [name for name in names if name in present and present[name].digest != digest]
    await immutable_tags.check_tags(repository, rules, moving)
    for name in names:
        await rows.put(
            tx,
            repository_id=repository.id,
            name=name,
            previous=present.get(name),
            manifest_id=manifest_id,
            digest=digest,
            actor_id=actor.account_id,
        )
    events = [_event(AuditAction.REPO_TAG_PUSH, repository, name, digest, **told) for name in names]
    await audit.record_all(tx, actor, events)
    await post_push(tx, settings=settings, actor=actor, repository=repository, tags=names, digest=digest)


async def delete_tags(tx: Transaction, *, actor: Actor, repository: Repository, tags: Sequence[Tag]) -> None:
    """Delete tags of a repository, of which the caller holds the lock: the one way by which a tag goes.

    Raises:
        TagImmutable
    """
    if not tags:
        return
    rules = await touch_repository(tx, repository)
    await immutable_tags.check_tags(repository, rules, [tag.name for tag in tags])
    for tag in tags:
        await rows.delete(tx, tag, actor_id=actor.account_id)
    events = [_event(AuditAction.REPO_TAG_DELETE, repository, tag.name, tag.digest) for tag in tags]
    await audit.record_all(tx, actor, events)


def _event(action: AuditAction, repository: Repository, tag: str, digest: str, **told: str) -> Event:
    return Event(
        action=action,
        account_id=repository.namespace_id,
        name=str(RepositoryName(repository.namespace, repository.name)),
        data={"tag": tag, "digest": digest, **told},
    )


async def list_layers(tx: Transaction, shown: ShownTag) -> dict[int, list[Layer]]:
    """The layers of each image of a tag, by the id of its manifest."""
    ids = [image.manifest_id for image in shown.images if image.manifest_id is not None]
    layers: dict[int, list[Layer]] = {}
    for layer in await manifest_rows.list_layers(tx, ids) if ids else ():
        layers.setdefault(layer.manifest_id, []).append(layer)
    return layers


def is_active(*moments: datetime | None) -> bool:
    """Whether any of the times, None for never, lies within the last month."""
    since = utcnow() - ACTIVE_FOR
    return any(moment is not None and moment >= since for moment in moments)


async def _shown(tx: Transaction, tags: Sequence[Tag], depth_limit: int) -> list[ShownTag]:
    if not tags:
        return []
    ids = list(dict.fromkeys(tag.manifest_id for tag in tags))
    images: dict[int, list[Image]] = {}
    found = await manifest_rows.list_images(tx, ids, depth_limit=depth_limit, breadth_limit=IMAGES_LIMIT)
    for image in found:
        images.setdefault(image.root_id, []).append(image)
    return [ShownTag(tag, images.get(tag.manifest_id, [])[:IMAGES_LIMIT]) for tag in tags]
