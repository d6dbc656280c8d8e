"""Statements on whose turn a job is, where many processes run the same jobs."""

from datetime import datetime

from homeport.storage.db.database import Transaction


async def take(tx: Transaction, job: str, *, now: datetime, next_at: datetime) -> bool:
    """Take the turn of a job, if it is due; it is due again at `next_at`."""
    return bool(
        await tx.run(
            """
            insert into job_turns (job, due_at) values (:job, :next_at)
            on conflict (job) do update set due_at = excluded.due_at where job_turns.due_at <= :now
            """,
            job=job,
            now=now,
            next_at=next_at,
        )
    )


async def hold(tx: Transaction, job: str, *, until: datetime) -> None:
    """Have nobody take the turn of a job before a time; what others hold for longer stays."""
    await tx.run(
        """
        insert into job_turns (job, due_at) values (:job, :until)
        on conflict (job) do update set due_at = excluded.due_at where job_turns.due_at < excluded.due_at
        """,
        job=job,
        until=until,
    )


async def is_held(tx: Transaction, job: str, *, now: datetime) -> bool:
    return bool(await tx.value(int, "select 1 from job_turns where job = :job and due_at > :now", job=job, now=now))
