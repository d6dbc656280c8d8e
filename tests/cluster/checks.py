"""What is read back in the end, from each worker."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from homeport.core.access import OPERATOR
from homeport.storage.db.database import utcnow
from tests.cluster.book import SETTLES_AFTER_S, Book
from tests.cluster.clients import Client, Manager, Pusher, deed_of
from tests.cluster.door import Door, Unanswered, Wrong
from tests.receiving import Receiver

AT_ONCE = 8
LISTED = 6
"""How often each client lists tags, of one of its repositories or the other."""

DELIVERED_WITHIN_S = 90.0
"""A worker that is killed while it delivers keeps its claim for a minute."""

ACTIONS = {
    "repo.tag.push",
    "repo.tag.delete",
    "repo.create",
    "repo.update",
    "repo.delete",
    "org.team.create",
    "org.team.delete",
    "org.team.member.add",
    "user.access_token.create",
    "user.access_token.delete",
}


class Reader:
    """Reads everything back through one door; of contents those in a `share`."""

    def __init__(self, book: Book, door: Door, clients: Sequence[Client], share: slice) -> None:
        self._book = book
        self._clients = clients
        self._door = door
        self._share = share
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        for client in self._clients:
            client.front = self._door
            if isinstance(client, Pusher):
                await self._read_images(client)
            if isinstance(client, Manager):
                await self._read_things(client)
            await self._read_events(client)

    async def _read_images(self, client: Pusher) -> None:
        tags = [key for key in self._book.tags if key[0] in client.repositories]
        await self._all(self._read_tag(client, *key) for key in tags)
        items = [item for item in self._book.pushed.items() if item[0][0] in client.repositories]
        await self._all(self._read_content(client, kind, *key) for key, kind in items[self._share])
        lists = [read() for _ in range(LISTED) for read in (client.list_tags, client.list_tags_as_hub)]
        await self._all(lists)

    async def _read_tag(self, client: Pusher, name: str, tag: str) -> None:
        answer = await client.registry("GET", f"/v2/{name}/manifests/{tag}", ok=(200, 404))
        digest = answer.headers["docker-content-digest"] if answer.status_code == 200 else None
        possible = self._book.tags.possible((name, tag))
        if not self._book.tags.found((name, tag), digest):
            self._book.lost.append(f"{name}:{tag} is at {digest} at {self._door.url}, not at one of {set(possible)}")

    async def _read_content(self, client: Pusher, kind: str, name: str, digest: str) -> None:
        answer = await client.registry("GET", f"/v2/{name}/{kind}/{digest}", ok=(200, 307, 404))
        expected = self._book.manifests[digest][0] if kind == "manifests" else self._book.blobs[digest]
        if answer.status_code == 404 or await self._door.fetch(answer) != expected:
            self._book.lost.append(f"{kind} {digest} of {name} at {self._door.url}: {answer.status_code}")

    async def _read_things(self, client: Manager) -> None:
        await self._all([client.list_repositories(), *map(client.read_members, client.known("team"))])

    async def _read_events(self, client: Client) -> None:
        """Of each acknowledged deed exactly one; of what was asked for and not answered one at most."""
        account = client.organization if isinstance(client, Manager) else client.user.name
        found: Counter[Any] = Counter()
        until = utcnow().isoformat()  # logins that come meanwhile push nothing onto the next page
        for page in range(1, 1000):
            parameters = {"page": page, "page_size": 100, "to": until}
            logs = (await client.hub("GET", f"/v2/auditlogs/{account}", params=parameters, ok=(200,))).json()["logs"]
            found.update(
                deed_of(event) for event in logs if event["action"] in ACTIONS and event["actor"] != OPERATOR.name
            )
            if not logs:
                break
        for deed in {*found, *self._book.asked}:
            if deed[0] == account:
                least, most = self._book.done[deed], self._book.asked[deed]
                if not least <= found[deed] <= most:
                    problems = self._book.lost if found[deed] < least else self._book.wrong
                    problems.append(f"{deed} has {found[deed]} events at {self._door.url}, and not {least} to {most}")

    async def _all(self, reads: Iterable[Awaitable[None]]) -> None:
        async def one(read: Awaitable[None]) -> None:
            async with self._turn:
                try:
                    await read
                except Wrong as error:
                    self._book.wrong.append(str(error))
                except Unanswered:
                    pass  # it is in the book

        await asyncio.gather(*(one(read) for read in reads))


async def read_back(book: Book, doors: Sequence[Door], clients: Sequence[Client], *, is_short: bool) -> None:
    """Each worker gives what was acknowledged, and all of them the same. In short each gives a part of the contents."""
    await asyncio.sleep(SETTLES_AFTER_S)
    for number, door in enumerate(doors):
        share = slice(number, None, len(doors)) if is_short else slice(None)
        await Reader(book, door, clients, share).run()


async def delete_all(book: Book, front: Door, clients: Sequence[Client]) -> None:
    """Every repository of the clients that push and manage."""
    for client in clients:
        client.front = front
        namespace = client.organization if isinstance(client, Manager) else client.user.name
        path = f"/v2/namespaces/{namespace}/repositories"
        while entries := (await client.hub("GET", path, ok=(200,), params={"page_size": 100})).json()["results"]:
            for entry in entries:
                await client.hub("DELETE", f"{path}/{entry['name']}", ok=(202,))


async def check_webhooks(book: Book, receiver: Receiver, hooked: Sequence[str]) -> int:
    """Each acknowledged push was told of, and no push that nobody asked for; how many deliveries there were."""

    def told() -> set[tuple[str, str]]:
        bodies = [received.json for received in list(receiver.requests)]
        return {
            (body["repository"]["repo_name"], f"{body['push_data']['tag']} {body['push_data']['digest']}")
            for body in bodies
        }

    def pushes(deeds: Iterable[Any]) -> set[tuple[str, str]]:
        return {(name, detail) for _, action, name, detail in deeds if action == "repo.tag.push" and name in hooked}

    deadline = time.monotonic() + DELIVERED_WITHIN_S
    while pushes(book.done) - told():
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    book.lost += [f"no webhook told of {name} {detail}" for name, detail in pushes(book.done) - told()]
    book.wrong += [f"a webhook told of {name} {detail}" for name, detail in told() - pushes(book.asked)]
    return len(receiver.requests)
