"""Limits are exact across workers while Valkey is there, and each worker's own while it is away."""

import asyncio
from collections.abc import Sequence

import httpx

from tests.cluster.book import Book
from tests.cluster.door import new_client
from tests.cluster.parts import VALKEY_AWAY, Cluster
from tests.home import User

LIMIT = 40
VALKEY_BACK_WITHIN_S = 3.0


async def check_limits(cluster: Cluster, book: Book, users: Sequence[User]) -> None:
    """Restarts the workers with a low limit; each part of it has a user of its own."""
    await asyncio.to_thread(_restart, cluster, HOMEPORT_RATE_LIMIT_USER=str(LIMIT), HOMEPORT_RATE_LIMIT_WINDOW="600")
    together, away, back = users
    async with new_client(keeps_connections=True) as client:
        bearers = [await _bearer(client, cluster.workers[0].url, user) for user in users]
        let_through = await _let_through(client, cluster, bearers[0])
        if sum(let_through) != LIMIT:
            book.wrong.append(f"of {together.name} {let_through} requests were let through, and {LIMIT} are allowed")
        warned = [worker.count_logged(VALKEY_AWAY) for worker in cluster.workers]
        await asyncio.to_thread(cluster.stop_valkey)
        let_through = await _let_through(client, cluster, bearers[1])
        if let_through != [LIMIT] * len(cluster.workers):
            book.wrong.append(f"without Valkey {let_through} requests of {away.name} were let through")
        warnings = [
            worker.count_logged(VALKEY_AWAY) - before for worker, before in zip(cluster.workers, warned, strict=True)
        ]
        if warnings != [1] * len(cluster.workers):
            book.wrong.append(f"workers warned {warnings} times that Valkey is away, and not once each")
        await asyncio.to_thread(cluster.start_valkey)
        await asyncio.sleep(VALKEY_BACK_WITHIN_S)
        let_through = await _let_through(client, cluster, bearers[2])
        if sum(let_through) != LIMIT:
            book.wrong.append(f"with Valkey again {let_through} requests of {back.name} were let through")


async def _let_through(client: httpx.AsyncClient, cluster: Cluster, bearer: str) -> list[int]:
    """How many of too many requests at once each worker lets through."""

    async def one(url: str) -> bool:
        answer = await client.get(f"{url}/v2/repositories/namespaces", headers={"authorization": f"Bearer {bearer}"})
        assert answer.status_code in (200, 429), answer.text
        return answer.status_code == 200

    urls = [worker.url for worker in cluster.workers] * (LIMIT + 10)
    answers = await asyncio.gather(*map(one, urls))
    return [sum(answers[number :: len(cluster.workers)]) for number in range(len(cluster.workers))]


async def _bearer(client: httpx.AsyncClient, url: str, user: User) -> str:
    answer = await client.post(f"{url}/v2/auth/token", json={"identifier": user.name, "secret": user.password})
    bearer: str = answer.json()["access_token"]
    return bearer


def _restart(cluster: Cluster, **variables: str) -> None:
    for worker in cluster.workers:
        worker.terminate()
    for worker in cluster.workers:
        worker.start(**variables)
    for worker in cluster.workers:
        worker.wait()
