"""Drops what the history of tags has kept for longer than the setting says. The place where a tag is stays."""

from datetime import datetime, timedelta

from homeport.core.services import Services
from homeport.storage.db import tag_history as rows

BATCH = 1000
"""Moves that are looked at in one go, and of which one transaction deletes those that are too old."""


async def drop_old(services: Services, *, now: datetime) -> int:
    """Delete moves to places that their tags left too long ago; how many there were.

    It goes by the time when a tag left: what it was on until yesterday can be restored, however long it was there.
    """
    days = services.settings.tag_history_days
    if not days:
        return 0
    before = now - timedelta(days=days)
    after = dropped = 0
    while True:
        async with services.db.read(scan=True) as tx:
            moves = await rows.list_after(tx, after, limit=BATCH)
        old = [move.id for move in moves if move.ended_at is not None and move.ended_at < before]
        if old:
            async with services.db.write() as tx:
                # Another process may be at it: two that delete the same rows could wait for each other.
                await tx.lock("tag history", 0)
                await rows.delete_all(tx, old)
        dropped += len(old)
        if len(moves) < BATCH:
            return dropped
        after = moves[-1].id
