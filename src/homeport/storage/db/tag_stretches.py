"""Counted stretches of a repository's tags: how any page of a million tags is found at the cost of the first.

Pages are numbered, so page 8,000 asks for the tags behind the first 79,900. Walking to them costs what they are. So
each order (by name, by time of the last move, by version) is cut into stretches of at most `LENGTH_LIMIT` tags, each
with its first key and its count; adding up some thousand counts finds the stretch in which a page begins, and the index
of the tags does the rest. Every tag that comes, moves or goes changes one count in each order that goes by what has
changed, in the same transaction and under the repository's lock (docs/decisions/0003-pages-of-tags.md).
"""

from datetime import datetime
from enum import StrEnum

from homeport.storage.db.database import Transaction, to_microseconds
from homeport.storage.db.records import Position, Stretch

LENGTH_LIMIT = 512
"""Tags in a stretch before it is cut in two."""


class Ordering(StrEnum):
    NAME = "name"
    UPDATED = "updated_at"
    VERSION = "version_key"


def time_key(moment: datetime) -> str:
    """A time as a key that sorts as text."""
    return f"{to_microseconds(moment):020d}"


_NTH_KEY = {
    Ordering.NAME: """
        select name from tags where repository_id = :repository_id and name >= :start
        order by name limit 1 offset :skip
        """,
    Ordering.UPDATED: """
        select updated_at from tags
        where repository_id = :repository_id and updated_at >= cast(cast(:start as text) as bigint)
        order by updated_at limit 1 offset :skip
        """,
    Ordering.VERSION: """
        select version_key from tags where repository_id = :repository_id and version_key >= :start
        order by version_key limit 1 offset :skip
        """,
}


async def add(tx: Transaction, repository_id: int, ordering: Ordering, key: str) -> None:
    """Count a tag that has just been written."""
    stretch = await _stretch_of(tx, repository_id, ordering, key)
    if stretch is None:
        await _insert(tx, repository_id, ordering, Stretch(_lowest(ordering), 1))
    elif stretch.tag_count < LENGTH_LIMIT:
        await _set_count(tx, repository_id, ordering, stretch.start, stretch.tag_count + 1)
    else:
        await _split(tx, repository_id, ordering, stretch)


async def remove(tx: Transaction, repository_id: int, ordering: Ordering, key: str) -> None:
    """Forget a tag that is going."""
    stretch = await _stretch_of(tx, repository_id, ordering, key)
    assert stretch is not None
    if stretch.tag_count > 1:
        await _set_count(tx, repository_id, ordering, stretch.start, stretch.tag_count - 1)
    elif stretch.start == _lowest(ordering):
        await _set_count(tx, repository_id, ordering, stretch.start, 0)
    else:
        await tx.run(
            """
            delete from tag_stretches
            where repository_id = :repository_id and ordering = :ordering and start = :start
            """,
            repository_id=repository_id,
            ordering=ordering,
            start=stretch.start,
        )


async def count(tx: Transaction, repository_id: int) -> int:
    """How many tags a repository has."""
    found = await tx.value(
        int,
        """
        select cast(coalesce(sum(tag_count), 0) as bigint) from tag_stretches
        where repository_id = :repository_id and ordering = 'name'
        """,
        repository_id=repository_id,
    )
    return found or 0


async def locate(tx: Transaction, repository_id: int, ordering: Ordering, offset: int) -> Position | None:
    """The stretch in which the tag behind the first `offset` tags stands; None without tags."""
    return await tx.one(
        Position,
        """
        select start, before from (
            select start, cast(sum(tag_count) over (order by start) - tag_count as bigint) as before
            from tag_stretches where repository_id = :repository_id and ordering = :ordering
        ) as positions
        where before <= :skip order by start desc limit 1
        """,
        repository_id=repository_id,
        ordering=ordering,
        skip=offset,
    )


def _lowest(ordering: Ordering) -> str:
    return "0" * 20 if ordering is Ordering.UPDATED else ""


async def _stretch_of(tx: Transaction, repository_id: int, ordering: Ordering, key: str) -> Stretch | None:
    return await tx.one(
        Stretch,
        """
        select start, tag_count from tag_stretches
        where repository_id = :repository_id and ordering = :ordering and start <= :key
        order by start desc limit 1
        """,
        repository_id=repository_id,
        ordering=ordering,
        key=key,
    )


async def _split(tx: Transaction, repository_id: int, ordering: Ordering, stretch: Stretch) -> None:
    """Cut a full stretch, which the new tag belongs to, in two halves."""
    lower = (stretch.tag_count + 1) // 2
    middle = await tx.value(str, _NTH_KEY[ordering], repository_id=repository_id, start=stretch.start, skip=lower)
    assert middle is not None
    if ordering is Ordering.UPDATED:
        middle = middle.zfill(20)
    await _set_count(tx, repository_id, ordering, stretch.start, lower)
    await _insert(tx, repository_id, ordering, Stretch(middle, stretch.tag_count + 1 - lower))


async def _insert(tx: Transaction, repository_id: int, ordering: Ordering, stretch: Stretch) -> None:
    await tx.run(
        """
        insert into tag_stretches (repository_id, ordering, start, tag_count)
        values (:repository_id, :ordering, :start, :tag_count)
        """,
        repository_id=repository_id,
        ordering=ordering,
        start=stretch.start,
        tag_count=stretch.tag_count,
    )


async def _set_count(tx: Transaction, repository_id: int, ordering: Ordering, start: str, tag_count: int) -> None:
    await tx.run(
        """
        update tag_stretches set tag_count = :tag_count
        where repository_id = :repository_id and ordering = :ordering and start = :start
        """,
        repository_id=repository_id,
        ordering=ordering,
        start=start,
        tag_count=tag_count,
    )
