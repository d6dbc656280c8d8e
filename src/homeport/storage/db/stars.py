"""Statements on stars: who likes a repository. They hold no rules."""

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ListedRepository
from homeport.storage.db.repositories import listed, reach_parameters, reached
from homeport.storage.db.search import VISIBLE, View

_STARRED = """repository_stars join repositories on repositories.id = repository_stars.repository_id
    join accounts on accounts.id = repositories.namespace_id
    where repository_stars.account_id = :starred_by and accounts.is_active and {visible} and {reached}"""


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


async def count_seen(tx: Transaction, *, account_id: int, view: View) -> int:
    """How many repositories an account has starred, of those that somebody may know of."""
    found = await tx.value(
        int,
        f"select count(*) from {_starred(view)}",
        starred_by=account_id,
        account_id=view.account_id,
        namespace_ids=list(view.namespace_ids),
        **reach_parameters(view.reaches),
    )
    return found or 0


async def list_seen(tx: Transaction, *, account_id: int, view: View, offset: int, limit: int) -> list[ListedRepository]:
    """A page of what `count_seen` counts, what was starred last first."""
    return await tx.many(
        ListedRepository,
        f"""
        select {listed("repositories")} from {_starred(view)}
        order by repository_stars.created_at desc, repository_stars.repository_id desc limit :limit offset :offset
        """,
        starred_by=account_id,
        account_id=view.account_id,
        namespace_ids=list(view.namespace_ids),
        **reach_parameters(view.reaches),
        offset=offset,
        limit=limit,
    )


def _starred(view: View) -> str:
    return _STARRED.format(visible=VISIBLE[view.sight], reached=reached(view.reaches))
