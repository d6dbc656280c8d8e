"""Statements on uploads. They hold no rules."""

from datetime import datetime

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Upload


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
    return await tx.one(
        Upload,
        "select id, repository_id, account_id, created_at from uploads where id = :upload",
        upload=upload,
    )


async def delete(tx: Transaction, upload: str) -> bool:
    return bool(await tx.run("delete from uploads where id = :upload", upload=upload))


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
