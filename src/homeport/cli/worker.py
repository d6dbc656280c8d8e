"""`homeport worker`: does the jobs of a hub in a process of its own."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator

from homeport.api.exposition import listening
from homeport.cli.output import CommandError
from homeport.cli.running import Data, run
from homeport.core.services import Services
from homeport.jobs import worker
from homeport.logs import configure_logs
from homeport.settings import load


def work(*, data: Data = None) -> None:
    """Do jobs until SIGTERM: mails, webhooks, garbage, retention. Any number of these may run, beside any number of
    servers.
    """
    configure_logs(load(data=data))
    run(data, _work)


async def _work(services: Services) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with _measured(services), worker.running(services, is_for_all=True):
        sys.stdout.write("Homeport works\n")
        sys.stdout.flush()
        await ended.wait()


@contextlib.asynccontextmanager
async def _measured(services: Services) -> AsyncIterator[None]:
    settings = services.settings
    if not settings.metrics_port:
        yield
        return
    try:
        server = await listening(services)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {settings.host}, port {settings.metrics_port}: {error.strerror}"
        ) from None
    async with server:
        yield
