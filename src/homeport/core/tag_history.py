"""Where tags have been, and back again: an extension of ours.

Each move of a tag is kept until `tag_history_days` after the tag has left the place (`jobs/tag_history.py`). A tag
that was moved or deleted can be put back on any digest that its history names, while the repository holds the
manifest. That is a move like one by a push, with the same permission, rules, events and webhooks. It is asked for by
the digest and not by the number of a move: a digest says what the tag will be on, and asking twice is the same as
once.
"""

from collections.abc import Sequence

import msgspec

from homeport.core.access import Action, Actor, access_repository
from homeport.core.repositories import lock_repository, touch_repository
from homeport.core.tags import ShownTag, move_tags, show_tag
from homeport.errors import DigestInvalid, FieldInvalid, ManifestUnknown, MoveUnknown, PageUnknown, TagUnknown
from homeport.names import Digest, RepositoryName
from homeport.settings import Settings
from homeport.storage.db import manifests as manifest_rows
from homeport.storage.db import tag_history as rows
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import TagMove

SOURCE = "history"
"""What the event of a restored tag says besides."""


class MovePage(msgspec.Struct, frozen=True):
    total: int
    moves: Sequence[TagMove]


async def list_page(
    tx: Transaction, *, actor: Actor, name: RepositoryName, tag: str, page: int, page_size: int
) -> MovePage:
    """A page of a tag's moves, the newest first. The tag may have been deleted.

    Raises:
        RepositoryUnknown, ActionDenied: as `access_repository`.
        TagUnknown: nothing is kept of such a tag.
        PageUnknown
    """
    repository = await access_repository(tx, actor, name, Action.READ_TAGS)
    tx = tx.lists
    total = await rows.count(tx, repository_id=repository.id, name=tag)
    if not total:
        raise TagUnknown(name, tag)
    offset = (page - 1) * page_size
    if offset >= total:
        raise PageUnknown
    moves = await rows.list_page(tx, repository_id=repository.id, name=tag, offset=offset, limit=page_size)
    return MovePage(total, moves)


async def restore(
    tx: Transaction, *, actor: Actor, name: RepositoryName, tag: str, digest: str, settings: Settings
) -> ShownTag:
    """Put a tag back on a digest that it has been at; where it is there already, nothing changes.

    Raises:
        FieldInvalid: no digest.
        MoveUnknown: its history does not name the digest.
        ManifestUnknown: the repository does not hold the manifest any more.
        TagImmutable
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.PUSH)
    wanted = _parse(digest)
    await lock_repository(tx, repository)
    if not await rows.has_been_at(tx, repository_id=repository.id, name=tag, digest=wanted):
        raise MoveUnknown(tag, wanted)
    manifest_id = await manifest_rows.get_id(tx, repository_id=repository.id, digest=wanted)
    if manifest_id is None:
        raise ManifestUnknown(wanted)
    present = await tag_rows.get(tx, repository_id=repository.id, name=tag)
    if present is None or present.digest != wanted:
        await move_tags(
            tx,
            settings=settings,
            actor=actor,
            repository=repository,
            rules=await touch_repository(tx, repository),
            names=[tag],
            manifest_id=manifest_id,
            digest=wanted,
            source=SOURCE,
        )
    # Who may push need not be let read tags: they are shown the one that they moved.
    return await show_tag(tx, repository=repository, tag=tag, depth_limit=settings.manifest_depth_limit)


def _parse(digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except DigestInvalid as error:
        raise FieldInvalid({"digest": [f"{error}."]}, "invalid digest") from None
