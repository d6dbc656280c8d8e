"""Drops the rows that told other processes of revocations, long after all have read them."""

from datetime import datetime, timedelta

from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Database

KEPT_FOR = timedelta(hours=1)


async def drop_old(db: Database, *, now: datetime) -> None:
    async with db.write() as tx:
        await rows.delete_revocations(tx, before=now - KEPT_FOR)
