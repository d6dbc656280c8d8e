"""Three workers and a job worker behind nginx, with PostgreSQL, Valkey and an S3 server; one after the other fails.

Meanwhile clients push, pull, change and delete, and keep book. Nothing that was acknowledged may be lost, no answer may
be wrong, errors have to be clear 503s in the moments when something is away, and all has to go on by itself afterwards.

    python -m tests.cluster [--short] [--rounds N] [--seed N]
"""

import argparse
import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio.from_thread
import msgspec

from homeport.settings import load
from homeport.storage.db.records import OrganizationRole
from tests.cluster.book import Book
from tests.cluster.checks import check_webhooks, delete_all, read_back
from tests.cluster.clients import Client, Manager, Pusher, TokenHolder
from tests.cluster.door import Door, new_client
from tests.cluster.faults import Faults, at_work
from tests.cluster.limits import check_limits
from tests.cluster.parts import Cluster, left_over, running_cluster
from tests.home import Home, User
from tests.receiving import Receiver

PUSHERS = 4
MANAGERS = 2


class Scene(msgspec.Struct):
    """Who there is."""

    pushers: list[tuple[User, list[str]]]
    managers: list[tuple[User, str, User]]
    holder: tuple[User, str]
    limited: list[User]

    @property
    def hooked(self) -> list[str]:
        return [names[0] for _, names in self.pushers]


def main() -> int:
    began_at = time.monotonic()
    options = _options()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="homeport-cluster-") as folder:
        book = Book()
        with (
            _keeping(Path(folder), options.keep),
            Receiver().running() as receiver,
            running_cluster(Path(folder)) as cluster,
        ):
            print(f"three workers run after {time.monotonic() - began_at:.0f} s", flush=True)
            with _timed("the scene is set"):
                scene = _set_the_scene(cluster, receiver)
            outcome = asyncio.run(_run(cluster, book, scene, receiver, options))
        if processes := left_over(cluster.sessions):
            book.wrong.append(f"processes are left: {processes}")
    print("\n".join(book.problems[:50]))
    print(
        f"cluster: {book.acknowledged} acknowledged, {len(book.lost)} lost, {len(book.wrong)} wrong, "
        f"{len(book.unclear)} unclear errors; {outcome}, {time.monotonic() - began_at:.0f} s"
    )
    return 1 if book.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("--short", action="store_true", help="one round, with one worker killed")
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault comes")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="a folder for the logs")
    return parser.parse_args()


def _set_the_scene(cluster: Cluster, receiver: Receiver) -> Scene:
    """Accounts, repositories that are there, and webhooks: by the operator's verbs, before anything fails."""
    settings = load(cluster.variables)
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        contextlib.closing(Home(cluster.nginx.url, settings, portal)) as home,
    ):
        pushers = []
        for _ in range(PUSHERS):
            user = home.user("pusher")
            names = [home.repository(user.name) for _ in range(2)]
            hook = {"name": "all", "webhooks": [{"hook_url": f"{receiver.url}/{user.name}"}]}
            path = f"/v2/namespaces/{user.name}/repositories/{names[0].name}/webhooks"
            answer = home.hub(user).post(path, json=hook)
            assert answer.is_success, answer.text
            pushers.append((user, [str(name) for name in names]))
        managers = []
        for _ in range(MANAGERS):
            owner, member = home.user("manager"), home.user("member")
            organization = home.organization(owner)
            home.member(organization, member, OrganizationRole.MEMBER)
            managers.append((owner, organization, member))
        holder = home.user("holder")
        repository = home.repository(holder.name, is_private=True)
        return Scene(pushers, managers, (holder, str(repository)), [home.user("limited") for _ in range(3)])


async def _run(cluster: Cluster, book: Book, scene: Scene, receiver: Receiver, options: argparse.Namespace) -> str:
    """What the closing line says of it."""
    chance = random.Random(options.seed)
    async with new_client() as http, new_client(keeps_connections=True) as reading:
        front = Door(book, cluster.nginx.url, http)
        doors = [Door(book, worker.url, http) for worker in cluster.workers]
        clients = _clients(cluster, book, scene, front, doors, chance)
        faults = Faults(cluster, book, clients, chance)
        async with at_work(clients):
            for _ in range(1 if options.short else options.rounds):
                await faults.run(is_short=options.short)
        with _timed("everything is read back from each worker"):
            direct = [Door(book, worker.url, reading) for worker in cluster.workers]
            await read_back(book, direct, clients, is_short=options.short)
        with _timed("webhooks"):
            deliveries = await check_webhooks(book, receiver, scene.hooked)
        await _command(cluster, book, "fsck")
        with _timed("everything is deleted"):
            await delete_all(book, front, clients)
        await _command(cluster, book, "collect")
        await _command(cluster, book, "fsck")
        with _timed("limits"):
            await check_limits(cluster, book, scene.limited)
    return (
        f"{book.reads} read, {book.unavailable.total()} answered with 503 and {book.cut} cut while {faults.count} "
        f"parts failed, {deliveries} webhooks"
    )


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    began_at = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began_at:.0f} s", flush=True)


async def _command(cluster: Cluster, book: Book, name: str) -> None:
    """An operator's command, which has to succeed."""
    done = await asyncio.to_thread(cluster.command, name)
    text = "; ".join(done.stdout.splitlines())
    print(f"homeport {name}: {text}", flush=True)
    if done.returncode != 0 or (name == "fsck" and text != "0 errors, 0 warnings"):
        book.lost.append(f"homeport {name} ended with {done.returncode}: {text} {done.stderr[-2000:]}")


def _clients(
    cluster: Cluster, book: Book, scene: Scene, front: Door, doors: Sequence[Door], chance: random.Random
) -> list[Client]:
    def own() -> random.Random:
        return random.Random(chance.random())

    workers = list(zip(cluster.workers, doors, strict=True))
    holder, repository = scene.holder
    return [
        *(Pusher(book, front, user, own(), repositories=names) for user, names in scene.pushers),
        *(
            Manager(book, front, owner, own(), organization=organization, member=member)
            for owner, organization, member in scene.managers
        ),
        TokenHolder(book, front, holder, own(), repository=repository, workers=workers),
    ]


@contextlib.contextmanager
def _keeping(folder: Path, kept: Path | None) -> Iterator[None]:
    """Copy the logs at the end, however it ends; where it breaks off, show what nginx had to say last."""
    try:
        yield
    except Exception:
        print("".join((folder / "nginx/error.log").read_text().splitlines(keepends=True)[-10:]))
        raise
    finally:
        if kept:
            kept.mkdir(parents=True, exist_ok=True)
            for log in (*folder.glob("*.log"), *folder.glob("nginx/*.log"), folder / "postgres/log"):
                shutil.copy(log, kept)


if __name__ == "__main__":
    sys.exit(main())
