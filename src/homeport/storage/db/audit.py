"""Statements on the audit log. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction


class NewEvent(msgspec.Struct, frozen=True):
    """An event to be written. `data` is a JSON object of texts."""

    account_id: int
    action: str
    name: str
    actor: str
    data: str
    created_at: datetime


async def insert_all(tx: Transaction, events: Sequence[NewEvent]) -> None:
    await tx.run_many(
        """
        insert into audit_events (account_id, action, name, actor, data, created_at)
        values (:account_id, :action, :name, :actor, :data, :created_at)
        """,
        [msgspec.structs.asdict(event) for event in events],
    )
