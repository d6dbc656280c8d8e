"""Statements on the logins that have ended. They hold no rules."""

from datetime import datetime

from homeport.storage.db.database import Transaction, utcnow


async def end(tx: Transaction, id_: str, *, account_id: int) -> bool:
    """Write down that a login has ended; whether it had not before."""
    return bool(
        await tx.run(
            """
            insert into ended_sessions (id, account_id, ended_at) values (:id, :account_id, :now)
            on conflict (id) do nothing
            """,
            id=id_,
            account_id=account_id,
            now=utcnow(),
        )
    )


async def is_ended(tx: Transaction, id_: str) -> bool:
    return await tx.value(int, "select 1 from ended_sessions where id = :id", id=id_) is not None


async def delete_old(tx: Transaction, *, before: datetime, limit: int) -> int:
    return await tx.run(
        """
        delete from ended_sessions
        where id in (select id from ended_sessions where ended_at < :before order by ended_at limit :limit)
        """,
        before=before,
        limit=limit,
    )
