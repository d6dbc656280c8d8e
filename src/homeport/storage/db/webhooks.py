"""Statements on webhooks and the URLs that they deliver to. They hold no rules."""

from collections.abc import Sequence
from datetime import datetime

from homeport.storage.db.database import Transaction, from_microseconds, utcnow
from homeport.storage.db.records import ClaimedTarget, Webhook, WebhookTarget

_WEBHOOKS = """
    select webhooks.id, webhooks.repository_id, webhooks.name, webhooks.is_active, webhooks.expects_final_callback,
        creators.name as creator, webhooks.created_at, updaters.name as updater, webhooks.updated_at
    from webhooks
    left join accounts as creators on creators.id = webhooks.created_by
    left join accounts as updaters on updaters.id = webhooks.updated_by
    """
_TARGETS = """
    select webhook_targets.id, webhook_targets.webhook_id, webhook_targets.url, accounts.name as creator,
        webhook_targets.created_at
    from webhook_targets left join accounts on accounts.id = webhook_targets.created_by
    """
_IS_FREE = "due_at <= :now and (claimed_until is null or claimed_until <= :now)"


async def count(tx: Transaction, repository_id: int) -> int:
    found = await tx.value(
        int, "select count(*) from webhooks where repository_id = :repository_id", repository_id=repository_id
    )
    return found or 0


async def list_page(tx: Transaction, *, repository_id: int, offset: int, limit: int) -> list[Webhook]:
    """Webhooks of a repository, the first one first."""
    return await tx.many(
        Webhook,
        f"{_WEBHOOKS} where webhooks.repository_id = :repository_id order by webhooks.id limit :limit offset :offset",
        repository_id=repository_id,
        offset=offset,
        limit=limit,
    )


async def get(tx: Transaction, *, repository_id: int, id_: int) -> Webhook | None:
    return await tx.one(
        Webhook,
        f"{_WEBHOOKS} where webhooks.id = :id and webhooks.repository_id = :repository_id",
        id=id_,
        repository_id=repository_id,
    )


async def insert(
    tx: Transaction,
    *,
    repository_id: int,
    name: str,
    is_active: bool,
    expects_final_callback: bool,
    secret: str,
    actor_id: int | None,
) -> int:
    """Insert a webhook; its id."""
    id_ = await tx.value(
        int,
        """
        insert into webhooks
            (repository_id, name, is_active, expects_final_callback, secret,
                created_at, created_by, updated_at, updated_by)
        values (:repository_id, :name, :is_active, :expects_final_callback, :secret,
                :now, :actor_id, :now, :actor_id)
        returning id
        """,
        repository_id=repository_id,
        name=name,
        is_active=is_active,
        expects_final_callback=expects_final_callback,
        secret=secret,
        actor_id=actor_id,
        now=utcnow(),
    )
    assert id_ is not None
    return id_


async def update(
    tx: Transaction,
    id_: int,
    *,
    name: str,
    is_active: bool,
    expects_final_callback: bool,
    secret: str | None,
    actor_id: int | None,
) -> None:
    """Change a webhook; its secret stays where none is given."""
    await tx.run(
        """
        update webhooks set name = :name, is_active = :is_active, expects_final_callback = :expects_final_callback,
            secret = coalesce(cast(:secret as text), secret), updated_at = :now, updated_by = :actor_id
        where id = :id
        """,
        id=id_,
        name=name,
        is_active=is_active,
        expects_final_callback=expects_final_callback,
        secret=secret,
        actor_id=actor_id,
        now=utcnow(),
    )


async def delete(tx: Transaction, id_: int) -> None:
    """Delete a webhook with its URLs and their deliveries."""
    # Who gives a target back holds it, and asks for its webhook then: in this order nobody waits for the other.
    await tx.run("delete from webhook_targets where webhook_id = :id", id=id_)
    await tx.run("delete from webhooks where id = :id", id=id_)


async def insert_targets(tx: Transaction, webhook_id: int, urls: Sequence[str], *, actor_id: int | None) -> None:
    now = utcnow()
    await tx.run_many(
        """
        insert into webhook_targets (webhook_id, url, created_at, created_by)
        values (:webhook_id, :url, :now, :actor_id)
        """,
        [{"webhook_id": webhook_id, "url": url, "now": now, "actor_id": actor_id} for url in urls],
    )


async def list_targets(tx: Transaction, webhook_ids: Sequence[int]) -> list[WebhookTarget]:
    """The URLs of some webhooks, the first one first."""
    return await tx.many(
        WebhookTarget,
        f"{_TARGETS} where webhook_targets.webhook_id in (:webhook_ids...bigint) order by webhook_targets.id",
        webhook_ids=list(webhook_ids),
    )


async def list_told_targets(tx: Transaction, repository_id: int) -> list[WebhookTarget]:
    """The URLs that are told of pushes to a repository."""
    return await tx.many(
        WebhookTarget,
        f"""
        {_TARGETS} join webhooks on webhooks.id = webhook_targets.webhook_id
        where webhooks.repository_id = :repository_id and webhooks.is_active order by webhook_targets.id
        """,
        repository_id=repository_id,
    )


async def wake(tx: Transaction, target_ids: Sequence[int], *, now: datetime) -> None:
    """Say that targets have something to be delivered at once."""
    # Also where that is known already: `release` waits for the row, and then sees what this transaction has written.
    await tx.run(
        """
        update webhook_targets set due_at = case when due_at < :now then due_at else :now end
        where id in (:ids...bigint)
        """,
        ids=list(target_ids),
        now=now,
    )


async def is_any_due(tx: Transaction, *, now: datetime) -> bool:
    found = await tx.value(int, f"select 1 from webhook_targets where {_IS_FREE} order by due_at, id limit 1", now=now)
    return found is not None


async def oldest_due(tx: Transaction, *, now: datetime) -> datetime | None:
    """Since when something is due for the target that waits longest for its turn."""
    found = await tx.value(int, f"select min(due_at) from webhook_targets where {_IS_FREE}", now=now)
    return None if found is None else from_microseconds(found)


async def claim(tx: Transaction, *, now: datetime, until: datetime) -> ClaimedTarget | None:
    """Take a target for which something is due, the one that waits longest; nobody else is given it before `until`.

    None, too, where another process has just taken the same one.
    """
    # One and no more: who locks several could wait for a push that locks the same in another order, and it for them.
    # Who waited for another's claim of the same row looks at it again: hence the condition outside, too.
    return await tx.one(
        ClaimedTarget,
        f"""
        update webhook_targets set claimed_until = :until
        where id = (select id from webhook_targets where {_IS_FREE} order by due_at, id limit 1) and {_IS_FREE}
        returning id, claimed_until
        """,
        now=now,
        until=until,
    )


async def release(tx: Transaction, target: ClaimedTarget) -> bool:
    """Give a target back; False if the claim has run out, and it may be another's by now."""
    return bool(
        await tx.run(
            "update webhook_targets set claimed_until = null where id = :id and claimed_until = :until",
            id=target.id,
            until=target.claimed_until,
        )
    )


async def set_due(tx: Transaction, target_id: int, *, not_before: datetime) -> None:
    """Say when a target's next delivery is due. The caller has just released the target in this transaction."""
    # Behind those that wait already, however long its own deliveries have been due: everybody gets a turn.
    await tx.run(
        """
        update webhook_targets set due_at = (
            select case when min(due_at) < :not_before then :not_before else min(due_at) end
            from webhook_deliveries where target_id = :id and due_at is not null
        )
        where id = :id
        """,
        id=target_id,
        not_before=not_before,
    )


async def rest(tx: Transaction, webhook_id: int) -> None:
    """Say that nothing is due for the targets of a webhook."""
    await tx.run("update webhook_targets set due_at = null where webhook_id = :webhook_id", webhook_id=webhook_id)
