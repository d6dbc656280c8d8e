"""Statements of the collection of garbage. They hold no rules.

Repositories, manifests and blobs are looked through a page at a time, in the order of their ids: a run never holds more
of them than a page.
"""

from datetime import datetime

import msgspec

from homeport.storage.db.blobs import CountedLink
from homeport.storage.db.database import Transaction

_IS_NAMED = """exists (
    select 1 from manifest_references
    where manifest_references.repository_id = repository_blobs.repository_id
        and manifest_references.digest = (select digest from blobs where blobs.id = repository_blobs.blob_id)
)"""
"""Whether a manifest of the repository names the blob of a link."""


class Id(msgspec.Struct, frozen=True):
    id: int


class PagedBlob(msgspec.Struct, frozen=True):
    id: int
    is_garbage: bool


class PagedManifest(msgspec.Struct, frozen=True):
    id: int
    repository_id: int
    digest: str
    is_untagged: bool


class Edge(msgspec.Struct, frozen=True):
    """What keeps a manifest: an index that names it, or the subject that it is about."""

    below: str
    above: str


class Digest(msgspec.Struct, frozen=True):
    digest: str


class StorageKey(msgspec.Struct, frozen=True):
    storage_key: str


class DeletedBlob(msgspec.Struct, frozen=True):
    storage_key: str
    size_bytes: int


# Links of repositories to blobs


async def list_repositories(tx: Transaction, *, after: int, limit: int) -> list[int]:
    found = await tx.many(
        Id, "select id from repositories where id > :after order by id limit :limit", after=after, limit=limit
    )
    return [row.id for row in found]


async def list_with_unused(tx: Transaction, repository_ids: list[int], *, before: datetime) -> list[int]:
    """Those of the repositories with a blob older than `before` that no manifest names, and that is not condemned."""
    found = await tx.many(
        Id,
        f"""
        select distinct repository_id as id from repository_blobs
        where repository_id in (:ids...bigint) and condemned_at is null and created_at < :before and not {_IS_NAMED}
        order by 1
        """,
        ids=repository_ids,
        before=before,
    )
    return [row.id for row in found]


async def condemn(tx: Transaction, repository_id: int, *, before: datetime, now: datetime) -> int:
    """Condemn what `list_with_unused` looks for; how many links there were. The caller holds the repository's lock."""
    return await tx.run(
        f"""
        update repository_blobs set condemned_at = :now
        where repository_id = :id and condemned_at is null and created_at < :before and not {_IS_NAMED}
        """,
        id=repository_id,
        before=before,
        now=now,
    )


async def list_with_condemned(tx: Transaction, *, after: int, before: datetime, limit: int) -> list[int]:
    """Repositories that have had a blob condemned since before a time, in the order of their ids."""
    found = await tx.many(
        Id,
        """
        select distinct repository_id as id from repository_blobs
        where repository_id > :after and condemned_at is not null and condemned_at < :before
        order by 1 limit :limit
        """,
        after=after,
        before=before,
        limit=limit,
    )
    return [row.id for row in found]


async def pardon(tx: Transaction, repository_id: int) -> int:
    """Take back the sentence of blobs that a manifest names by now."""
    return await tx.run(
        f"""
        update repository_blobs set condemned_at = null
        where repository_id = :id and condemned_at is not null and {_IS_NAMED}
        """,
        id=repository_id,
    )


async def unlink_condemned(tx: Transaction, repository_id: int, *, before: datetime) -> list[CountedLink]:
    """Take condemned blobs out of a repository's sight. The caller holds the repository's lock."""
    return await tx.many(
        CountedLink,
        f"""
        delete from repository_blobs
        where repository_id = :id and condemned_at is not null and condemned_at < :before and not {_IS_NAMED}
        returning counted_bytes
        """,
        id=repository_id,
        before=before,
    )


# Blobs that no repository sees


async def list_blobs(tx: Transaction, *, after: int, before: datetime, limit: int) -> list[PagedBlob]:
    """A page of all blobs. Garbage is what is older than `before` and in no repository."""
    return await tx.many(
        PagedBlob,
        """
        select id, created_at < :before
            and not exists (select 1 from repository_blobs where blob_id = blobs.id) as is_garbage
        from blobs where id > :after order by id limit :limit
        """,
        after=after,
        before=before,
        limit=limit,
    )


async def delete_unlinked(tx: Transaction, ids: list[int]) -> list[DeletedBlob]:
    """Delete those of the blobs that no repository sees."""
    return await tx.many(
        DeletedBlob,
        """
        delete from blobs where id in (:ids...bigint)
            and not exists (select 1 from repository_blobs where blob_id = blobs.id)
        returning storage_key, size_bytes
        """,
        ids=ids,
    )


async def insert_discarded(tx: Transaction, keys: list[str], *, now: datetime) -> None:
    await tx.run_many(
        "insert into discarded_keys (storage_key, discarded_at) values (:key, :now)",
        [{"key": key, "now": now} for key in keys],
    )


async def list_discarded(tx: Transaction, *, before: datetime, limit: int) -> list[str]:
    found = await tx.many(
        StorageKey,
        """
        select storage_key from discarded_keys where discarded_at < :before
        order by discarded_at, storage_key limit :limit
        """,
        before=before,
        limit=limit,
    )
    return [row.storage_key for row in found]


async def is_discarded(tx: Transaction, key: str) -> bool:
    return bool(await tx.value(int, "select 1 from discarded_keys where storage_key = :key", key=key))


async def delete_discarded(tx: Transaction, keys: list[str]) -> None:
    await tx.run("delete from discarded_keys where storage_key in (:keys...text)", keys=keys)


# Manifests without tags


async def list_manifests(tx: Transaction, *, after: int, before: datetime, limit: int) -> list[PagedManifest]:
    """A page of all manifests. `is_untagged` are those without a tag that nobody pushed or pulled since `before`."""
    return await tx.many(
        PagedManifest,
        """
        select id, repository_id, digest, pushed_at < :before
            and (last_pulled_at is null or last_pulled_at < :before)
            and not exists (select 1 from tags where manifest_id = manifests.id) as is_untagged
        from manifests where id > :after order by id limit :limit
        """,
        after=after,
        before=before,
        limit=limit,
    )


async def list_above(tx: Transaction, repository_id: int, digests: list[str]) -> list[Edge]:
    """The indexes that name any of the manifests, and the subjects of those that have one."""
    return await tx.many(
        Edge,
        """
        select manifest_references.digest as below, manifests.digest as above
        from manifest_references join manifests on manifests.id = manifest_id
        where manifest_references.repository_id = :id and manifest_references.digest in (:digests...text)
        union
        select digest, subject from manifests
        where repository_id = :id and digest in (:digests...text) and subject is not null
        """,
        id=repository_id,
        digests=digests,
    )


async def list_kept(tx: Transaction, repository_id: int, digests: list[str], *, before: datetime) -> list[str]:
    """Those of the manifests that have a tag, or had one, were pushed or were pulled since a time."""
    found = await tx.many(
        Digest,
        """
        select digest from manifests
        where repository_id = :id and digest in (:digests...text) and (
            pushed_at >= :before or last_pulled_at >= :before
            or exists (select 1 from tags where manifest_id = manifests.id)
            or exists (
                select 1 from tag_moves arrived join tag_moves gone
                    on gone.repository_id = arrived.repository_id and gone.name = arrived.name
                        and gone.id > arrived.id
                where arrived.repository_id = :id and arrived.digest = manifests.digest and gone.moved_at >= :before
            )
        )
        """,
        id=repository_id,
        digests=digests,
        before=before,
    )
    return [row.digest for row in found]
