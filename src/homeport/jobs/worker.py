"""Runs jobs beside the requests of a server, or in a process of their own (`homeport worker`)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from homeport.core import uploads
from homeport.core.services import Services
from homeport.jobs import audit, garbage, mail_requests, mails, measures, revocations, sessions, tag_history, webhooks
from homeport.jobs.turns import NOT_OURS, in_turn
from homeport.jobs.webhooks import Deliveries
from homeport.metrics import JOB_FAILURES, JOB_ITEMS, JOB_RUNS, JOB_SECONDS, JOB_SUCCESS, Metrics, Prometheus
from homeport.storage.db.database import utcnow
from homeport.traces import NOT_TRACED, Traces

log = structlog.get_logger()

SWEPT_EVERY = timedelta(minutes=10)
AUDIT_KEPT_EVERY = timedelta(hours=1)
GARBAGE_COLLECTED_EVERY = timedelta(hours=1)
MOVES_DROPPED_EVERY = timedelta(hours=6)  # it looks at every move


class Job(msgspec.Struct, frozen=True):
    """What is done again and again, `every_s` seconds after it has ended. A whole number that it gives says how much it
    has handled.
    """

    name: str
    every_s: float
    run: Callable[[], Awaitable[object]]


def own_jobs(services: Services) -> list[Job]:
    """What each process has to do for itself: write down what it remembers, and forget what has been revoked."""
    return [
        Job("fold pulls", 2.0, lambda: services.pulls.fold(services.db)),
        Job("fold activity", 2.0, lambda: services.activity.fold(services.db)),
        Job("catch up with revocations", 0.5, services.authenticator.catch_up),
    ]


def shared_jobs(services: Services, deliveries: Deliveries) -> list[Job]:
    """What any process may do for all, and any number of them at once: they claim what they work on, or take turns."""
    return [
        Job("answer requests for mails", 0.5, lambda: mail_requests.answer_all(services)),
        Job("send mails", 1.0, lambda: mails.send_due(services)),
        Job("deliver to webhooks", 0.5, deliveries.begin_due),
        Job("sweep", 60.0, lambda: in_turn(services, "sweep", SWEPT_EVERY, _sweep)),
        Job(
            "keep audit logs",
            60.0,
            lambda: in_turn(services, "audit log", AUDIT_KEPT_EVERY, _keep_audit_logs),
        ),
        Job("drop old moves of tags", 60.0, lambda: in_turn(services, "tag history", MOVES_DROPPED_EVERY, _drop_moves)),
        Job("collect garbage", 60.0, lambda: in_turn(services, "garbage", GARBAGE_COLLECTED_EVERY, garbage.collect)),
    ]


def measuring_jobs(services: Services, *, is_for_all: bool) -> list[Job]:
    """What is measured again and again, where somebody may read it."""
    jobs = [Job("measure", measures.SAMPLED_EVERY_S, lambda: measures.sample(services))]
    if is_for_all:
        backlog = Job("measure backlog", measures.BACKLOG_SAMPLED_EVERY_S, lambda: measures.sample_backlog(services))
        jobs.append(backlog)
    return jobs


@contextlib.asynccontextmanager
async def running(services: Services, *, is_for_all: bool) -> AsyncIterator[None]:
    """Keep this process's own jobs going while the block runs, and those that are `is_for_all` too, if it is to."""
    async with contextlib.AsyncExitStack() as stack:
        jobs = own_jobs(services)
        if is_for_all:
            deliveries = await stack.enter_async_context(webhooks.delivering(services))
            jobs += shared_jobs(services, deliveries)
        if isinstance(services.metrics, Prometheus):
            jobs += measuring_jobs(services, is_for_all=is_for_all)
        await stack.enter_async_context(_repeating(jobs, services.metrics, services.traces))
        try:
            yield
        finally:
            for fold in (services.pulls.fold, services.activity.fold):
                with contextlib.suppress(Exception):
                    await fold(services.db)
            services.metrics.fold()


@contextlib.asynccontextmanager
async def _repeating(jobs: list[Job], metrics: Metrics, traces: Traces = NOT_TRACED) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_repeat(job, metrics, traces)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(services: Services) -> int:
    if swept := await uploads.sweep(services):
        log.info("uploads swept", count=swept)
    await revocations.drop_old(services.db, now=utcnow())
    await sessions.drop_old(services, now=utcnow())
    await mails.drop_old(services, now=utcnow())
    await mail_requests.drop_old(services, now=utcnow())
    if dropped := await webhooks.drop_old(services, now=utcnow()):
        log.info("deliveries of webhooks dropped", pushes=dropped)
    return swept


async def _keep_audit_logs(services: Services) -> None:
    await audit.keep(services, now=utcnow())


async def _drop_moves(services: Services) -> int:
    if dropped := await tag_history.drop_old(services, now=utcnow()):
        log.info("moves of tags dropped", count=dropped)
    return dropped


async def _repeat(job: Job, metrics: Metrics, traces: Traces) -> None:
    """A job that fails is told of and tried again: it must not end with one bad moment of the database."""
    while True:
        await asyncio.sleep(job.every_s)
        began = time.monotonic()
        try:
            with traces.span(f"job {job.name}"):
                outcome = await job.run()
        except Exception:
            metrics.count(JOB_FAILURES, job.name)
            log.exception("job failed", job=job.name)
        else:
            if outcome is not NOT_OURS:
                _succeeded(job, metrics, outcome, took_s=time.monotonic() - began)


def _succeeded(job: Job, metrics: Metrics, outcome: object, *, took_s: float) -> None:
    metrics.count(JOB_RUNS, job.name)
    metrics.count(JOB_SECONDS, job.name, by=took_s)
    metrics.set(JOB_SUCCESS, time.time(), job.name)
    if isinstance(outcome, int):
        metrics.count(JOB_ITEMS, job.name, by=outcome)
