"""Statements on stars: who likes a repository. They hold no rules."""

from homeport.storage.db.database import Transaction, utcnow


async def insert(tx: Transaction, *, repository_id: int, account_id: int) -> bool:
    """Whether the account had not starred it yet."""
    return bool(
        await tx.run(
            """
            insert into repository_stars (repository_id, account_id, created_at)
            values (:repository_id, :account_id, :now)
            on conflict (repository_id, account_id) do nothing
            """,
            repository_id=repository_id,
            account_id=account_id,
            now=utcnow(),
        )
    )


async def delete(tx: Transaction, *, repository_id: int, account_id: int) -> bool:
    """Whether the account had starred it."""
    return bool(
        await tx.run(
            "delete from repository_stars where repository_id = :repository_id and account_id = :account_id",
            repository_id=repository_id,
            account_id=account_id,
        )
    )
