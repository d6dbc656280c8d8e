"""Statements on what types of content a repository holds: how many manifests it has of each. They hold no rules.

A list shows the types of a hundred repositories, each with any number of manifests. So they are counted as manifests
come and go, and what is there is written into the repository's row whenever the first of a type has come or the last
has gone.
"""

from enum import StrEnum

import msgspec

from homeport.storage.db.database import Transaction

TYPE_LENGTH_LIMIT = 255
"""Characters by which a media type counts: RFC 6838 §4.2 allows no more, and nothing keeps pushes from it."""

SHOWN_LIMIT = 32
"""Types of a kind that are shown of a repository, the first in the order of their names."""


class Kind(StrEnum):
    MEDIA = "media"
    CONTENT = "content"


class _Counted(msgspec.Struct, frozen=True):
    manifest_count: int


class _Type(msgspec.Struct, frozen=True):
    type: str


async def add(tx: Transaction, repository_id: int, *, media_type: str, content_type: str) -> None:
    """Count a manifest that comes. The caller holds the repository's lock."""
    if any(row.manifest_count == 1 for row in await _add(tx, repository_id, media_type, content_type)):
        await _show(tx, repository_id)


async def remove(tx: Transaction, repository_id: int, *, media_type: str, content_type: str) -> None:
    """Forget a manifest that goes. The caller holds the repository's lock."""
    await _take(tx, repository_id, media_type, content_type)
    if await _delete_empty(tx, repository_id):
        await _show(tx, repository_id)


async def _add(tx: Transaction, repository_id: int, media_type: str, content_type: str) -> list[_Counted]:
    return await tx.many(
        _Counted,
        """
        insert into repository_types (repository_id, kind, type, manifest_count)
        values (:repository_id, 'media', :media_type, 1), (:repository_id, 'content', :content_type, 1)
        on conflict (repository_id, kind, type) do update set manifest_count = repository_types.manifest_count + 1
        returning manifest_count
        """,
        repository_id=repository_id,
        media_type=media_type[:TYPE_LENGTH_LIMIT],
        content_type=content_type,
    )


async def _take(tx: Transaction, repository_id: int, media_type: str, content_type: str) -> None:
    await tx.run(
        """
        update repository_types set manifest_count = manifest_count - 1
        where repository_id = :repository_id
            and (kind = 'media' and type = :media_type or kind = 'content' and type = :content_type)
        """,
        repository_id=repository_id,
        media_type=media_type[:TYPE_LENGTH_LIMIT],
        content_type=content_type,
    )


async def _delete_empty(tx: Transaction, repository_id: int) -> int:
    return await tx.run(
        "delete from repository_types where repository_id = :repository_id and manifest_count <= 0",
        repository_id=repository_id,
    )


async def _show(tx: Transaction, repository_id: int) -> None:
    await tx.run(
        "update repositories set media_types = :media_types, content_types = :content_types where id = :id",
        id=repository_id,
        media_types=await _list(tx, repository_id, Kind.MEDIA),
        content_types=await _list(tx, repository_id, Kind.CONTENT),
    )


async def _list(tx: Transaction, repository_id: int, kind: Kind) -> str:
    found = await tx.many(
        _Type,
        """
        select type from repository_types where repository_id = :repository_id and kind = :kind
        order by type limit :limit
        """,
        repository_id=repository_id,
        kind=kind,
        limit=SHOWN_LIMIT,
    )
    return msgspec.json.encode([row.type for row in found]).decode()
