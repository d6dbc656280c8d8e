"""What fails, and what is done about it: nothing, but that an operator starts again what has ended."""

import asyncio
import functools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from homeport.core.faults import POINTS, VARIABLE
from tests.cluster.book import RECOVERS_WITHIN_S, Book
from tests.cluster.clients import Client
from tests.cluster.parts import VALKEY_AWAY, WORKERS, Cluster, Worker

Fault = tuple[str, Callable[[], Awaitable[None]]]

DOWN_S = 2.0
VALKEY_AWAY_S = 10.0
STORE_FAILS_S = 5.0
CALM_S = 2.0
"""How long each client has, once all has to be as before, to get something done."""

CALM_LIMIT_S = 15.0

PASSAGE = 2
"""At which passage of a fault point a worker dies."""

DIES_WITHIN_S = 30.0


class Faults:
    """One round of them; `count` is how many there were."""

    def __init__(self, cluster: Cluster, book: Book, clients: Sequence[Client], chance: random.Random) -> None:
        self._cluster = cluster
        self._book = book
        self._clients = clients
        self._chance = chance
        self.count = 0

    async def run(self, *, is_short: bool) -> None:
        await self._calm("the start")
        for name, fault in self._short() if is_short else self._whole():
            before = self._counts()
            began_at = time.monotonic()
            await fault()
            await self._calm(name)
            self.count += 1
            done, unavailable, cut = (new - old for new, old in zip(self._counts(), before, strict=True))
            print(
                f"{name}: {time.monotonic() - began_at:.0f} s, {done} acknowledged, "
                f"{unavailable} answered with 503, {cut} cut",
                flush=True,
            )

    def _whole(self) -> Iterator[Fault]:
        *first, turned = self._short()
        yield from first
        for worker in self._shuffled():
            yield f"kill -9 of {worker.name}", functools.partial(self._kill, worker)
        for worker, point in zip(self._shuffled(), self._chance.sample(POINTS, WORKERS), strict=True):
            yield self._death(worker, point)
        yield turned
        stopped = self._chance.choice(self._cluster.workers)
        yield f"SIGTERM of {stopped.name}", functools.partial(self._stop, stopped)

    def _short(self) -> Iterator[Fault]:
        killed, turned, _ = self._shuffled()
        # First the job worker: what it had claimed is delivered when its claim has run out.
        yield "kill -9 of the job worker", self._kill_job_worker
        yield self._death(killed, self._chance.choice(POINTS))
        yield "PostgreSQL is restarted", self._restart_database
        yield "Valkey is away", self._stop_valkey
        yield "the S3 server answers 500", self._fail_store
        yield f"{turned.name} is taken out and restarted", functools.partial(self._turn, turned)

    def _death(self, worker: Worker, point: str) -> Fault:
        return f"kill -9 of {worker.name} at {point}", functools.partial(self._die, worker, point)

    def _shuffled(self) -> list[Worker]:
        return self._chance.sample(self._cluster.workers, WORKERS)

    def _counts(self) -> tuple[int, int, int]:
        return self._book.acknowledged, self._book.unavailable.total(), self._book.cut

    async def _calm(self, name: str) -> None:
        """All is well again within a time, and every client gets on."""
        await asyncio.sleep(RECOVERS_WITHIN_S)
        rounds = [client.rounds for client in self._clients]
        deadline = time.monotonic() + CALM_LIMIT_S
        await asyncio.sleep(CALM_S)
        while stuck := [
            client.user.name for client, before in zip(self._clients, rounds, strict=True) if client.rounds == before
        ]:
            if time.monotonic() > deadline:
                self._book.unclear.append(f"{', '.join(stuck)} did not get on after {name}")
                return
            await asyncio.sleep(0.1)

    async def _kill(self, worker: Worker) -> None:
        with self._book.weather.spell("worker", is_cutting=True):
            await asyncio.to_thread(worker.kill)
            await asyncio.sleep(DOWN_S)
            await self._start(worker)

    async def _die(self, worker: Worker, point: str) -> None:
        """In the middle of a push or a delete, as `make crash` has it: where an answer is most easily wrong."""
        with self._book.weather.spell("worker", is_cutting=True):
            await asyncio.to_thread(worker.kill)
            await self._start(worker, **{VARIABLE: f"{point}:{PASSAGE}"})
            await asyncio.to_thread(worker.wait_until_dead, DIES_WITHIN_S)
            await asyncio.to_thread(worker.kill)
            await self._start(worker)

    async def _turn(self, worker: Worker) -> None:
        """As an operator does it with a new version: nobody is to see any of it."""
        worker.is_serving = False
        await asyncio.to_thread(self._cluster.nginx.take_out, worker)
        await asyncio.to_thread(worker.terminate)
        await self._start(worker)
        await asyncio.to_thread(self._cluster.nginx.put_back)

    async def _stop(self, worker: Worker) -> None:
        """Without a word to nginx: requests that have begun end well."""
        with self._book.weather.spell("worker"):
            worker.is_serving = False
            await asyncio.to_thread(worker.terminate)
            await self._start(worker)

    async def _kill_job_worker(self) -> None:
        await asyncio.to_thread(self._cluster.job_worker.kill)
        await asyncio.sleep(DOWN_S)
        await self._start(self._cluster.job_worker)

    async def _stop_valkey(self) -> None:
        """Requests go on, and each worker says once that limits are its own."""
        workers = self._cluster.workers
        before = [worker.count_logged(VALKEY_AWAY) for worker in workers]
        await asyncio.to_thread(self._cluster.stop_valkey)
        await asyncio.sleep(VALKEY_AWAY_S)
        await asyncio.to_thread(self._cluster.start_valkey)
        warnings = [worker.count_logged(VALKEY_AWAY) - count for worker, count in zip(workers, before, strict=True)]
        if warnings != [1] * len(workers):
            self._book.wrong.append(f"workers warned {warnings} times that Valkey is away, and not once each")

    async def _restart_database(self) -> None:
        with self._book.weather.spell("database"):
            await asyncio.to_thread(self._cluster.database.stop)
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(self._cluster.database.start)

    async def _fail_store(self) -> None:
        with self._book.weather.spell("store"):
            self._cluster.meddler.always("500")
            await asyncio.sleep(STORE_FAILS_S)
            self._cluster.meddler.always(None)

    async def _start(self, worker: Worker, **variables: str) -> None:
        worker.start(**variables)
        await asyncio.to_thread(worker.wait)


@asynccontextmanager
async def at_work(clients: Sequence[Client]) -> AsyncIterator[None]:
    """Clients work while the block runs; it ends when each has ended its step."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(client.run(stop)) for client in clients]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
