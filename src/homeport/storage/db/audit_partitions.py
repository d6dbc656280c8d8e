"""Statements on the partitions of the audit log, which PostgreSQL alone has: one a month, made ahead, dropped whole.

What fits into none of them is in the default partition. Partitions are attached, not created in place: that lets
everybody go on to write into the others.
"""

from datetime import datetime

import msgspec

from homeport.storage.db.database import Transaction, to_microseconds

LOCK_TIMEOUT_MS = 1000
"""How long to wait for a partition, or for the log as a whole. Who waits has others wait behind them."""


class Partition(msgspec.Struct, frozen=True):
    """A part of the log, from `since` (None: from the beginning) until just before `until`."""

    name: str
    since: datetime | None
    until: datetime | None


async def hold(tx: Transaction) -> None:
    """Be the one who changes partitions, and give up soon where others are in the way."""
    await tx.run(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
    await tx.lock("audit partitions", 0)


async def list_all(tx: Transaction) -> list[Partition]:
    """All but the default one, in the order of time."""
    return await tx.many(
        Partition,
        """
        select name, cast(substring(bound from 'FROM \\(''(-?[0-9]+)') as bigint) as since,
            cast(substring(bound from 'TO \\(''(-?[0-9]+)') as bigint) as until
        from (
            select relname as name, pg_get_expr(relpartbound, pg_class.oid) as bound
            from pg_inherits join pg_class on pg_class.oid = inhrelid
            where inhparent = cast('audit_events' as regclass)
        ) as partitions
        where bound <> 'DEFAULT'
        order by since nulls first
        """,
    )


async def oldest_without(tx: Transaction) -> datetime | None:
    """The time of the oldest event that has no partition of its own; None if each has one."""
    found = await tx.many(_Moment, "select created_at from audit_events_default order by created_at limit 1")
    return found[0].created_at if found else None


class _Moment(msgspec.Struct, frozen=True):
    created_at: datetime


async def create(tx: Transaction, partition: Partition) -> None:
    """Make a partition, with what the default one holds of it.

    Nobody writes into the default one meanwhile; as a rule it is empty.
    """
    assert partition.since is not None
    assert partition.until is not None
    name, since, until = partition.name, to_microseconds(partition.since), to_microseconds(partition.until)
    await tx.run(f"create table {name} (like audit_events including defaults, primary key (id))")
    await tx.run("lock table audit_events_default in access exclusive mode")
    await tx.run(
        f"""
        with moved as (
            delete from audit_events_default where created_at >= {since} and created_at < {until} returning *
        )
        insert into {name} (id, account_id, action, name, actor, data, created_at)
        select id, account_id, action, name, actor, data, created_at from moved
        """
    )
    await tx.run(f"alter table audit_events attach partition {name} for values from ({since}) to ({until})")


async def drop(tx: Transaction, partition: Partition) -> None:
    """Forget all events of a partition at once."""
    # Not detached first: that takes the same lock, but for `detach … concurrently`, which PostgreSQL has not where
    # there is a default partition, nor within a transaction.
    await tx.run(f"drop table {partition.name}")
