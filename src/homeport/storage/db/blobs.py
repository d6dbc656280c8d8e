"""Statements on blobs and on which repository sees which. They hold no rules."""

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Blob


class CountedLink(msgspec.Struct, frozen=True):
    """A repository's link to a blob, with what it counts for in the repository's size; None: not counted yet."""

    counted_bytes: int | None


async def insert(tx: Transaction, *, digest: str, size_bytes: int, storage_key: str) -> bool:
    """Publish a blob; False if there is one of that digest."""
    return bool(
        await tx.run(
            """
            insert into blobs (digest, size_bytes, storage_key, created_at)
            values (:digest, :size_bytes, :storage_key, :now)
            on conflict (digest) do nothing
            """,
            digest=digest,
            size_bytes=size_bytes,
            storage_key=storage_key,
            now=utcnow(),
        )
    )


async def replace_storage_key(tx: Transaction, blob_id: int, *, lost: str, storage_key: str) -> bool:
    """Have the bytes of a blob be those under another key; False if they are not under the lost one any more."""
    return bool(
        await tx.run(
            "update blobs set storage_key = :storage_key where id = :id and storage_key = :lost",
            id=blob_id,
            lost=lost,
            storage_key=storage_key,
        )
    )


async def get(tx: Transaction, digest: str) -> Blob | None:
    return await tx.one(
        Blob, "select id, digest, size_bytes, storage_key from blobs where digest = :digest", digest=digest
    )


async def get_in_repository(tx: Transaction, *, repository_id: int, digest: str) -> Blob | None:
    return await tx.one(
        Blob,
        """
        select blobs.id, digest, size_bytes, storage_key
        from blobs join repository_blobs on blob_id = blobs.id
        where digest = :digest and repository_id = :repository_id
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def get_lasting(tx: Transaction, *, repository_id: int, digest: str) -> Blob | None:
    """A blob that a repository sees, unless it is condemned as garbage: whoever asks may count on it to stay."""
    return await tx.one(
        Blob,
        """
        select blobs.id, blobs.digest, blobs.size_bytes, storage_key
        from blobs join repository_blobs on blob_id = blobs.id
        where blobs.digest = :digest and repository_id = :repository_id and (
            condemned_at is null or exists (
                select 1 from manifest_references
                where manifest_references.repository_id = :repository_id
                    and manifest_references.digest = :digest
            )
        )
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def link(tx: Transaction, *, repository_id: int, digest: str) -> bool:
    """Let a repository see a blob; False if the blob is not there."""
    return bool(
        await tx.run(
            """
            insert into repository_blobs (repository_id, blob_id, created_at)
            select :repository_id, id, :now from blobs where digest = :digest
            on conflict (repository_id, blob_id)
                do update set created_at = excluded.created_at, condemned_at = null
            """,
            repository_id=repository_id,
            digest=digest,
            now=utcnow(),
        )
    )


async def count_links(tx: Transaction, repository_id: int) -> int:
    """Count the links that have come since the last time; the bytes of their blobs. The caller holds the repository's
    lock, and adds them to its size.
    """
    links = await tx.many(
        CountedLink,
        """
        update repository_blobs set counted_bytes = (select size_bytes from blobs where blobs.id = blob_id)
        where repository_id = :repository_id and counted_bytes is null
        returning counted_bytes
        """,
        repository_id=repository_id,
    )
    return sum(link.counted_bytes or 0 for link in links)


async def unlink(tx: Transaction, *, repository_id: int, digest: str) -> CountedLink | None:
    """Take a blob out of a repository's sight; None if it was not in it. The caller holds the repository's lock."""
    return await tx.one(
        CountedLink,
        """
        delete from repository_blobs
        where repository_id = :repository_id and blob_id = (select id from blobs where digest = :digest)
        returning counted_bytes
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def list_present(tx: Transaction, *, repository_id: int, digests: list[str]) -> list[Blob]:
    """Those of the digests that the repository sees."""
    return await tx.many(
        Blob,
        """
        select blobs.id, digest, size_bytes, storage_key
        from blobs join repository_blobs on blob_id = blobs.id
        where repository_id = :repository_id and digest in (:digests...text)
        """,
        repository_id=repository_id,
        digests=digests,
    )


async def is_key_published(tx: Transaction, storage_key: str) -> bool:
    return bool(await tx.value(int, "select 1 from blobs where storage_key = :storage_key", storage_key=storage_key))


async def list_after(tx: Transaction, after: int, *, limit: int) -> list[Blob]:
    """All blobs in the order of their ids, a page at a time."""
    return await tx.many(
        Blob,
        "select id, digest, size_bytes, storage_key from blobs where id > :after order by id limit :limit",
        after=after,
        limit=limit,
    )
