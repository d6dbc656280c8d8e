"""Statements on tags and their moves. They hold no rules."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from homeport.storage.db import tag_stretches
from homeport.storage.db.database import Transaction, from_microseconds, utcnow
from homeport.storage.db.records import Tag, TaggedName, TagMoment
from homeport.storage.db.tag_stretches import Ordering, time_key
from homeport.versions import version_key

_SELECT = """
    select tags.id, tags.repository_id, tags.name, tags.manifest_id, manifests.digest, manifests.media_type,
        manifests.config_media_type, manifests.artifact_type, manifests.depth, manifests.image_size_bytes,
        tags.created_at, tags.created_by, tags.updated_at, tags.updated_by, accounts.name as updated_by_name,
        tags.last_pulled_at
    """

_JOINS = """
    join manifests on manifests.id = tags.manifest_id
    left join accounts on accounts.id = tags.updated_by
    """

# The rows of a page are found in the index alone; only they are joined with what else is shown.
_PAGE_BEHIND = {
    Ordering.NAME: f"""
        {_SELECT} from (
            select * from tags where repository_id = :repository_id and name >= :start
            order by name limit :limit offset :skip
        ) as tags {_JOINS} order by tags.name
        """,
    Ordering.UPDATED: f"""
        {_SELECT} from (
            select * from tags
            where repository_id = :repository_id and updated_at >= cast(cast(:start as text) as bigint)
            order by updated_at limit :limit offset :skip
        ) as tags {_JOINS} order by tags.updated_at
        """,
    Ordering.VERSION: f"""
        {_SELECT} from (
            select * from tags where repository_id = :repository_id and version_key >= :start
            order by version_key limit :limit offset :skip
        ) as tags {_JOINS} order by tags.version_key
        """,
}

# `replace` tells whether a name holds a text on both databases alike; `like` differs in case and escapes.
_MATCHES = "replace(lower(tags.name), lower(:part), '') <> lower(tags.name)"

_MATCHING_PAGE = {
    (ordering, descending): f"""
        {_SELECT} from (
            select * from tags where repository_id = :repository_id and {_MATCHES}
            order by {ordering} {"desc" if descending else ""} limit :limit offset :skip
        ) as tags {_JOINS} order by tags.{ordering} {"desc" if descending else ""}
        """
    for ordering in Ordering
    for descending in (False, True)
}


async def get(tx: Transaction, *, repository_id: int, name: str) -> Tag | None:
    return await tx.one(
        Tag,
        f"{_SELECT} from tags {_JOINS} where tags.repository_id = :repository_id and tags.name = :name",
        repository_id=repository_id,
        name=name,
    )


async def put(
    tx: Transaction,
    *,
    repository_id: int,
    name: str,
    previous: Tag | None,
    manifest_id: int,
    digest: str,
    actor_id: int | None,
) -> None:
    """Point a tag at a manifest, and write down the move; `previous` is the tag as it is. The caller holds the
    repository's lock.
    """
    now = await _next_moment(tx, repository_id)
    if previous is not None:
        await tag_stretches.remove(tx, repository_id, Ordering.UPDATED, time_key(previous.updated_at))
    await tx.run(
        """
        insert into tags (repository_id, name, version_key, manifest_id, created_at, created_by, updated_at, updated_by)
        values (:repository_id, :name, :version_key, :manifest_id, :now, :actor_id, :now, :actor_id)
        on conflict (repository_id, name) do update set
            manifest_id = excluded.manifest_id, updated_at = excluded.updated_at, updated_by = excluded.updated_by
        """,
        repository_id=repository_id,
        name=name,
        version_key=version_key(name),
        manifest_id=manifest_id,
        actor_id=actor_id,
        now=now,
    )
    if previous is None:
        await tag_stretches.add(tx, repository_id, Ordering.NAME, name)
        await tag_stretches.add(tx, repository_id, Ordering.VERSION, version_key(name))
    await tag_stretches.add(tx, repository_id, Ordering.UPDATED, time_key(now))
    await _record_move(tx, repository_id=repository_id, name=name, digest=digest, actor_id=actor_id, moved_at=now)


async def delete(tx: Transaction, tag: Tag, *, actor_id: int | None) -> None:
    """Delete a tag, and write down the move. The caller holds the repository's lock."""
    await tag_stretches.remove(tx, tag.repository_id, Ordering.NAME, tag.name)
    await tag_stretches.remove(tx, tag.repository_id, Ordering.VERSION, version_key(tag.name))
    await tag_stretches.remove(tx, tag.repository_id, Ordering.UPDATED, time_key(tag.updated_at))
    await tx.run("delete from tags where id = :id", id=tag.id)
    await _record_move(
        tx, repository_id=tag.repository_id, name=tag.name, digest=None, actor_id=actor_id, moved_at=utcnow()
    )


async def _next_moment(tx: Transaction, repository_id: int) -> datetime:
    """Now, or a microsecond after the newest tag: no two tags of a repository were moved at the same time."""
    newest = await tx.value(
        int,
        "select max(updated_at) from tags where repository_id = :repository_id",
        repository_id=repository_id,
    )
    now = utcnow()
    if newest is None:
        return now
    return max(now, from_microseconds(newest) + timedelta(microseconds=1))


async def _record_move(
    tx: Transaction,
    *,
    repository_id: int,
    name: str,
    digest: str | None,
    actor_id: int | None,
    moved_at: datetime,
) -> None:
    await tx.run(
        """
        insert into tag_moves (repository_id, name, digest, moved_at, moved_by)
        values (:repository_id, :name, :digest, :moved_at, :actor_id)
        """,
        repository_id=repository_id,
        name=name,
        digest=digest,
        moved_at=moved_at,
        actor_id=actor_id,
    )


async def list_of_manifest(tx: Transaction, manifest_id: int) -> list[Tag]:
    """All tags that point at a manifest."""
    return await tx.many(
        Tag,
        f"{_SELECT} from tags {_JOINS} where tags.manifest_id = :manifest_id order by tags.name",
        manifest_id=manifest_id,
    )


async def list_names_above(tx: Transaction, *, repository_id: int, digest: str, after: str, limit: int) -> list[str]:
    """Names of the tags that lead to a manifest or a blob, through indexes too, in byte order: those behind `after`."""
    found = await tx.many(
        TaggedName,
        """
        with recursive above (id) as (
            select id from manifests where repository_id = :repository_id and digest = :digest
            union
            select manifest_id from manifest_references where repository_id = :repository_id and digest = :digest
            union
            select holders.manifest_id
            from above
            join manifests on manifests.id = above.id
            join manifest_references holders
                on holders.repository_id = manifests.repository_id and holders.digest = manifests.digest
        )
        select tags.name from above join tags on tags.manifest_id = above.id
        where tags.name > :after order by tags.name limit :limit
        """,
        repository_id=repository_id,
        digest=digest,
        after=after,
        limit=limit,
    )
    return [row.name for row in found]


async def list_named(tx: Transaction, *, repository_id: int, names: list[str]) -> list[Tag]:
    """The tags of these names, in no order."""
    return await tx.many(
        Tag,
        f"{_SELECT} from tags {_JOINS} where tags.repository_id = :repository_id and tags.name in (:names...text)",
        repository_id=repository_id,
        names=names,
    )


async def list_moments(tx: Transaction, *, repository_id: int, before: datetime | None, limit: int) -> list[TagMoment]:
    """Tags that were moved last before a time, the newest first; all with none."""
    return await tx.many(
        TagMoment,
        f"""
        select id, name, updated_at from tags
        where repository_id = :repository_id {"" if before is None else "and updated_at < :before"}
        order by updated_at desc limit :limit
        """,
        repository_id=repository_id,
        before=before,
        limit=limit,
    )


async def list_moments_of(tx: Transaction, *, repository_id: int, names: list[str]) -> list[TagMoment]:
    """The tags of these names, the newest first."""
    return await tx.many(
        TagMoment,
        """
        select id, name, updated_at from tags
        where repository_id = :repository_id and name in (:names...text) order by updated_at desc
        """,
        repository_id=repository_id,
        names=names,
    )


async def list_page(
    tx: Transaction,
    *,
    repository_id: int,
    ordering: Ordering,
    is_descending: bool,
    offset: int,
    limit: int,
    total: int,
) -> list[Tag]:
    """The tags behind the first `offset` ones of a repository that has `total`, in an order."""
    if is_descending:
        # The page from the other end, backwards.
        limit = max(0, min(limit, total - offset))
        offset = total - offset - limit
    if limit <= 0 or offset < 0 or offset >= total:
        return []
    position = await tag_stretches.locate(tx, repository_id, ordering, offset)
    if position is None:
        return []
    tags = await tx.many(
        Tag,
        _PAGE_BEHIND[ordering],
        repository_id=repository_id,
        start=position.start,
        skip=offset - position.before,
        limit=limit,
    )
    return tags[::-1] if is_descending else tags


async def count_matching(tx: Transaction, *, repository_id: int, part: str) -> int:
    """How many tags have `part` in their names; looks at every name."""
    found = await tx.value(
        int,
        f"select count(*) from tags where repository_id = :repository_id and {_MATCHES}",
        repository_id=repository_id,
        part=part,
    )
    return found or 0


async def list_matching_page(
    tx: Transaction,
    *,
    repository_id: int,
    part: str,
    ordering: Ordering,
    is_descending: bool,
    offset: int,
    limit: int,
) -> list[Tag]:
    """A page of the tags that have `part` in their names."""
    return await tx.many(
        Tag,
        _MATCHING_PAGE[ordering, is_descending],
        repository_id=repository_id,
        part=part,
        skip=offset,
        limit=limit,
    )


async def list_names(tx: Transaction, *, repository_id: int, after: str, limit: int) -> list[str]:
    """Names in byte order, those behind `after`."""
    rows = await tx.many(
        TaggedName,
        """
        select name from tags where repository_id = :repository_id and name > :after
        order by name limit :limit
        """,
        repository_id=repository_id,
        after=after,
        limit=limit,
    )
    return [row.name for row in rows]


async def set_last_pulled(tx: Transaction, pulls: Mapping[int, datetime]) -> None:
    """Write down when tags were pulled last: id → time."""
    for tag_id, pulled_at in sorted(pulls.items()):
        await tx.run("update tags set last_pulled_at = :pulled_at where id = :id", id=tag_id, pulled_at=pulled_at)
