"""Statements on uploads. They hold no rules."""

from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Upload


class UploadId(msgspec.Struct, frozen=True):
    id: str


async def insert(tx: Transaction, *, upload: str, repository_id: int, account_id: int) -> None:
    await tx.run(
        """
        insert into uploads (id, repository_id, account_id, created_at)
        values (:upload, :repository_id, :account_id, :now)
        """,
        upload=upload,
        repository_id=repository_id,
        account_id=account_id,
        now=utcnow(),
    )


async def get(tx: Transaction, upload: str) -> Upload | None:
    """An upload that can be gone on with."""
    return await tx.one(
        Upload,
        """
        select id, repository_id, account_id, created_at from uploads where id = :upload and not is_discarded
        """,
        upload=upload,
    )


async def is_known(tx: Transaction, upload: str) -> bool:
    """Whether there is an upload, or one whose bytes are being discarded."""
    return bool(await tx.value(int, "select 1 from uploads where id = :upload", upload=upload))


async def delete(tx: Transaction, upload: str) -> bool:
    """Delete an upload that has become a blob; False if it was discarded."""
    return bool(await tx.run("delete from uploads where id = :upload and not is_discarded", upload=upload))


async def claim(tx: Transaction, upload: str) -> bool:
    """Have an upload be discarded; False if it has ended. Who did it, or finds it done, may take away its bytes."""
    return bool(await tx.run("update uploads set is_discarded = true where id = :upload", upload=upload))


async def delete_discarded(tx: Transaction, upload: str) -> None:
    await tx.run("delete from uploads where id = :upload and is_discarded", upload=upload)


async def count(tx: Transaction) -> int:
    """How many uploads have begun and not ended."""
    return await tx.value(int, "select count(*) from uploads where not is_discarded") or 0


async def list_older(tx: Transaction, *, before: datetime, after: str, limit: int) -> list[Upload]:
    """Uploads that began before a time, in the order of their ids, those behind `after`."""
    return await tx.many(
        Upload,
        """
        select id, repository_id, account_id, created_at from uploads
        where created_at < :before and id > :after order by id limit :limit
        """,
        before=before,
        after=after,
        limit=limit,
    )


async def delete_all(tx: Transaction, repository_id: int) -> list[str]:
    """Delete the uploads of a repository; their ids, which nobody else knows of any more. An upload that becomes a blob
    at the same moment is waited for.
    """
    found = await tx.many(
        UploadId, "delete from uploads where repository_id = :repository_id returning id", repository_id=repository_id
    )
    return [row.id for row in found]
