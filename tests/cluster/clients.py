"""Clients of a cluster. Each has an account of its own, and keeps book of what it was told."""

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import msgspec

from tests.cluster.book import Book
from tests.cluster.door import Door, Unanswered, Wrong
from tests.cluster.parts import Worker
from tests.home import OCI_MANIFEST, User, digest_of, image_manifest

PAUSE_S = 0.02
REFUSED_WITHIN_S = 1.0
"""How long after its end a token may still open something, on any worker."""

TAGS = 12
LAYERS = 60

Step = Callable[[], Awaitable[None]]


class Client:
    """Does one step after the other; `rounds` counts those that were answered as they have to be."""

    steps: Sequence[Step]

    def __init__(self, book: Book, front: Door, user: User, chance: random.Random) -> None:
        self.book = book
        self.front = front
        self.user = user
        self.chance = chance
        self.rounds = 0
        self._bearer: str | None = None
        self._last_done: tuple[str, ...] | None = None
        self._numbers = itertools.count(1)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.chance.choice(self.steps)()
                self.rounds += 1
            except Unanswered:
                await asyncio.sleep(PAUSE_S)
            except Wrong as error:
                self.book.wrong.append(f"{self.user.name}: {error}")
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def hub(self, method: str, path: str, *, ok: tuple[int, ...], **request: Any) -> httpx.Response:
        """Ask the Hub API, signed in; now and then anew."""
        if self._bearer is None or self.chance.random() < 0.02:
            credentials = {"identifier": self.user.name, "secret": self.user.password}
            answer = await self.front.ask("POST", "/v2/auth/token", json=credentials, ok=(200,))
            self._bearer = answer.json()["access_token"]
        headers = {"authorization": f"Bearer {self._bearer}"}
        return await self.front.ask(method, path, ok=ok, headers=headers, **request)

    @contextlib.contextmanager
    def deed(self, account: str, action: str, name: str, detail: str = "") -> Iterator[None]:
        """Something that an audit event tells of: once if the block ends without an error, else at most once."""
        key = (account, action, name, detail)
        self.book.asked[key] += 1
        yield
        self.book.done[key] += 1
        self._last_done = key

    async def read_log(self) -> None:
        """What was done last stands among the newest events of the log."""
        if (last := self._last_done) is None:
            return
        answer = await self.hub("GET", f"/v2/auditlogs/{last[0]}", ok=(200,), params={"page_size": 100})
        if last not in {deed_of(event) for event in answer.json()["logs"]}:
            raise Wrong(f"{last} does not stand in the log")


def deed_of(event: dict[str, Any]) -> tuple[str, ...]:
    """An event of the audit log as deeds are counted."""
    data = event["data"]
    details = ("tag", "team", "token_label")
    detail = next((data[name] for name in details if name in data), "")
    if "digest" in data:
        detail += f" {data['digest']}"
    return event["account"], event["action"], event["name"], detail


class Pusher(Client):
    """Pushes images into repositories that are there, pulls, lists and deletes them."""

    def __init__(
        self, book: Book, front: Door, user: User, chance: random.Random, *, repositories: Sequence[str]
    ) -> None:
        super().__init__(book, front, user, chance)
        self.repositories = repositories
        self._token: str | None = None
        self.steps = (self.push, self.push, self.push, self.pull, self.pull, self.list_tags, self.list_tags_as_hub)
        self.steps = (*self.steps, self.delete, self.read_log)

    async def registry(self, method: str, path: str, *, ok: tuple[int, ...], **request: Any) -> httpx.Response:
        if self._token is None or self.chance.random() < 0.01:
            scopes = [f"repository:{name}:pull,push,delete" for name in self.repositories]
            auth = (self.user.name, self.user.password)
            answer = await self.front.ask("GET", "/token", params={"scope": scopes}, auth=auth, ok=(200,))
            self._token = answer.json()["token"]
        headers = {"authorization": f"Bearer {self._token}", **request.pop("headers", {})}
        return await self.front.ask(method, path, ok=ok, headers=headers, **request)

    async def push(self) -> None:
        name = self.chance.choice(self.repositories)
        key = (name, f"t{self.chance.randrange(TAGS)}")
        # A small alphabet of layers: the same content is pushed at the same time by several clients.
        number = self.chance.randrange(LAYERS)
        layer = f"layer {number} ".encode() * (1, 100, 1000, 40_000, 120_000, 400_000)[number % 6]
        config = msgspec.json.encode(
            {"os": "linux", "architecture": "amd64", "text": f"{self.user.name} {next(self._numbers)}"}
        )
        for blob in (layer, config):
            await self._push_blob(name, blob)
        content = image_manifest(config, layer)
        digest = digest_of(content)
        self.book.manifests[digest] = (content, (digest_of(config), digest_of(layer)))
        self.book.tags.asked(key, digest)
        with self.deed(self.user.name, "repo.tag.push", name, f"{key[1]} {digest}"):
            await self.registry(
                "PUT",
                f"/v2/{name}/manifests/{key[1]}",
                content=content,
                headers={"content-type": OCI_MANIFEST},
                ok=(201,),
            )
        self.book.tags.answered(key, digest)
        self.book.pushed[name, digest] = "manifests"

    async def pull(self) -> None:
        """By tag, then by digest, then the blobs; every byte is compared."""
        known = [key for key in self.book.tags if key[0] in self.repositories]
        if not known:
            return
        name, tag = key = self.chance.choice(known)
        answer = await self.registry("GET", f"/v2/{name}/manifests/{tag}", ok=(200, 404))
        digest = answer.headers["docker-content-digest"] if answer.status_code == 200 else None
        if not self.book.tags.found(key, digest):
            raise Wrong(f"{name}:{tag} is at {digest}, not at one of {set(self.book.tags.possible(key))}")
        if digest is None:
            return
        content, blobs = self.book.manifests[digest]
        again = await self.registry("GET", f"/v2/{name}/manifests/{digest}", ok=(200,))
        if not answer.content == again.content == content:
            raise Wrong(f"{name}:{tag}: the manifest {digest} is not whole")
        for blob in blobs:
            answer = await self.registry("GET", f"/v2/{name}/blobs/{blob}", ok=(200, 307))
            found = await self.front.fetch(answer)
            if found not in (None, self.book.blobs[blob]):
                raise Wrong(f"{name}: the blob {blob} is not whole")

    async def list_tags(self) -> None:
        """Pages of the registry, put together."""
        name = self.chance.choice(self.repositories)
        path = f"/v2/{name}/tags/list?n={self.chance.randint(2, TAGS)}"
        found: list[str] = []
        while path:
            answer = await self.registry("GET", path, ok=(200,))
            found += answer.json()["tags"] or []
            link = re.match("<([^>]+)>", answer.headers.get("link", ""))
            path = link[1] if link else ""
        if found != sorted(set(found)):
            raise Wrong(f"{name}: the tags are listed as {found}")
        self._compare(name, set(found))

    async def list_tags_as_hub(self) -> None:
        name = self.chance.choice(self.repositories)
        namespace, _, repository = name.partition("/")
        path = f"/v2/namespaces/{namespace}/repositories/{repository}/tags?page_size={self.chance.randint(2, TAGS)}"
        found: dict[str, str] = {}
        while path:
            page = (await self.hub("GET", path, ok=(200,))).json()
            found |= {tag["name"]: tag["digest"] for tag in page["results"]}
            path = (page["next"] or "").removeprefix(self.front.url)
        if len(found) != page["count"]:
            raise Wrong(f"{name}: of {page['count']} tags {len(found)} are listed")
        self._compare(name, set(found))
        for tag, digest in found.items():
            if digest not in self.book.tags.possible((name, tag)):
                raise Wrong(f"{name}:{tag} is listed at {digest}")

    async def delete(self) -> None:
        """A tag, by either door."""
        keys = [key for key in self.book.tags if key[0] in self.repositories and self.book.tags.certain(key)]
        if not keys:
            return
        name, tag = key = self.chance.choice(keys)
        digest = self.book.tags.certain(key)
        self.book.tags.asked(key, None)
        with self.deed(self.user.name, "repo.tag.delete", name, f"{tag} {digest}"):
            if self.chance.random() < 0.5:
                await self.registry("DELETE", f"/v2/{name}/manifests/{tag}", ok=(202,))
            else:
                await self.hub("DELETE", f"/v2/repositories/{name}/tags/{tag}/", ok=(204,))
        self.book.tags.answered(key, None)

    def _compare(self, name: str, found: set[str]) -> None:
        known = [key for key in self.book.tags if key[0] == name]
        if unknown := found - {tag for _, tag in known}:
            raise Wrong(f"{name}: {unknown} is listed, and was never pushed")
        for key in known:
            possible = self.book.tags.possible(key)
            if (key[1] in found and possible == {None}) or (key[1] not in found and None not in possible):
                raise Wrong(f"{name}:{key[1]} is {'' if key[1] in found else 'not '}listed, and may be {set(possible)}")

    # Blobs

    async def _push_blob(self, name: str, content: bytes) -> None:
        digest = digest_of(content)
        self.book.blobs[digest] = content
        if (name, digest) in self.book.pushed and self.chance.random() < 0.8:
            await self.registry("HEAD", f"/v2/{name}/blobs/{digest}", ok=(200,))
            return
        ways = [self._push_at_once, self._push_in_two, self._push_in_chunks]
        if sources := [source for source, found in self.book.pushed if found == digest and source != name]:
            await self.chance.choice([*ways, self._mount])(name, digest, self.chance.choice(sources))
        else:
            await self.chance.choice(ways)(name, digest, content)
        self.book.pushed[name, digest] = "blobs"

    async def _mount(self, name: str, digest: str, source: Any) -> None:
        await self.registry("POST", f"/v2/{name}/blobs/uploads/?mount={digest}&from={source}", ok=(201,))

    async def _push_at_once(self, name: str, digest: str, _: Any) -> None:
        content = self.book.blobs[digest]
        await self.registry("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content=content, ok=(201,))

    async def _push_in_two(self, name: str, digest: str, _: Any) -> None:
        upload = await self._begin(name)
        await self._go_on("PUT", upload, 201, params={"digest": digest}, content=self.book.blobs[digest])

    async def _push_in_chunks(self, name: str, digest: str, _: Any) -> None:
        """In two to four chunks; after one that was not answered it asks how far it has come."""
        content = self.book.blobs[digest]
        upload = await self._begin(name)
        size = max(len(content) // self.chance.randint(2, 4), 1)
        there = 0
        while there < len(content):
            chunk = content[there : there + size]
            headers = {"content-range": f"{there}-{there + len(chunk) - 1}"}
            try:
                await self._go_on("PATCH", upload, 202, content=chunk, headers=headers)
                there += len(chunk)
            except Unanswered:
                there = await self._progress(upload, at_least=there, at_most=there + len(chunk))
        await self._go_on("PUT", upload, 201, params={"digest": digest})

    async def _begin(self, name: str) -> "_Upload":
        began_at = time.monotonic()
        answer = await self.registry("POST", f"/v2/{name}/blobs/uploads/", ok=(202,))
        return _Upload(answer.headers["location"], began_at)

    async def _go_on(self, method: str, upload: "_Upload", status: int, **request: Any) -> httpx.Response:
        answer = await self.registry(method, upload.path, ok=(status, 404), **request)
        if answer.status_code == status:
            return answer
        # That an upload has begun need not outlive a power cut; what was pushed does.
        if self.book.weather.excuses(upload.began_at, of="database"):
            raise Unanswered
        raise Wrong(f"{method} {upload.path} was answered {answer.status_code} {answer.text}")

    async def _progress(self, upload: "_Upload", *, at_least: int, at_most: int) -> int:
        for attempt in itertools.count(1):
            try:
                answer = await self._go_on("GET", upload, 204)
                break
            except Unanswered:
                if attempt == 10:
                    raise
                await asyncio.sleep(0.5)
        end = int(answer.headers["range"].partition("-")[2])
        there = end + 1 if end or at_least else 0
        if not at_least <= there <= at_most:
            raise Wrong(f"{upload.path} has {there} bytes, of which {at_least} were acknowledged")
        return there


class _Upload(msgspec.Struct):
    path: str
    began_at: float


class Manager(Client):
    """Makes, changes and deletes repositories and teams of an organization."""

    def __init__(
        self, book: Book, front: Door, user: User, chance: random.Random, *, organization: str, member: User
    ) -> None:
        super().__init__(book, front, user, chance)
        self.organization = organization
        self.member = member
        self.steps = (
            self.create_repository,
            self.describe_repository,
            self.describe_repository,
            self.delete_repository,
            self.read_repository,
            self.list_repositories,
            self.create_team,
            self.add_member,
            self.delete_team,
            self.read_team,
            self.read_log,
        )

    @property
    def _repositories(self) -> str:
        return f"/v2/namespaces/{self.organization}/repositories"

    @property
    def _teams(self) -> str:
        return f"/v2/orgs/{self.organization}/groups"

    async def create_repository(self) -> None:
        name, text = f"r{next(self._numbers)}", f"text {next(self._numbers)}"
        key = ("repository", self.organization, name)
        self.book.things.asked(key, text)
        with self.deed(self.organization, "repo.create", f"{self.organization}/{name}"):
            await self.hub("POST", self._repositories, json={"name": name, "description": text}, ok=(201,))
        self.book.things.answered(key, text)

    async def describe_repository(self) -> None:
        if key := self._one("repository"):
            text = f"text {next(self._numbers)}"
            self.book.things.asked(key, text)
            with self.deed(self.organization, "repo.update", f"{self.organization}/{key[2]}"):
                await self.hub("PATCH", f"{self._repositories}/{key[2]}", json={"description": text}, ok=(200,))
            self.book.things.answered(key, text)

    async def delete_repository(self) -> None:
        if key := self._one("repository"):
            self.book.things.asked(key, None)
            with self.deed(self.organization, "repo.delete", f"{self.organization}/{key[2]}"):
                await self.hub("DELETE", f"{self._repositories}/{key[2]}", ok=(202,))
            self.book.things.answered(key, None)

    async def read_repository(self) -> None:
        if key := self._any("repository"):
            answer = await self.hub("GET", f"{self._repositories}/{key[2]}", ok=(200, 404))
            self._compare(key, answer.json()["description"] if answer.status_code == 200 else None)

    async def list_repositories(self) -> None:
        path = f"{self._repositories}?ordering=name&page_size={self.chance.randint(5, 100)}"
        found: dict[str, str] = {}
        while path:
            page = (await self.hub("GET", path, ok=(200,))).json()
            found |= {entry["name"]: entry["description"] for entry in page["results"]}
            path = (page["next"] or "").removeprefix(self.front.url)
        for key in self.known("repository"):
            self._compare(key, found.get(key[2]))

    async def create_team(self) -> None:
        name = f"team{next(self._numbers)}"
        key = ("team", self.organization, name)
        self.book.things.asked(key, "")
        with self.deed(self.organization, "org.team.create", self.organization, name):
            await self.hub("POST", self._teams, json={"name": name}, ok=(201,))
        self.book.things.answered(key, "")

    async def add_member(self) -> None:
        key = self._one("team")
        if key and self.book.things.certain(key) == "":
            self.book.things.asked(key, self.member.name)
            with self.deed(self.organization, "org.team.member.add", self.member.name, key[2]):
                await self.hub("POST", f"{self._teams}/{key[2]}/members", json={"member": self.member.name}, ok=(200,))
            self.book.things.answered(key, self.member.name)

    async def delete_team(self) -> None:
        if key := self._one("team"):
            self.book.things.asked(key, None)
            with self.deed(self.organization, "org.team.delete", self.organization, key[2]):
                await self.hub("DELETE", f"{self._teams}/{key[2]}", ok=(204,))
            self.book.things.answered(key, None)

    async def read_team(self) -> None:
        if key := self._any("team"):
            await self.read_members(key)

    async def read_members(self, key: tuple[str, ...]) -> None:
        answer = await self.hub("GET", f"{self._teams}/{key[2]}/members", ok=(200, 404))
        members = [found["username"] for found in answer.json()["results"]] if answer.status_code == 200 else None
        self._compare(key, None if members is None else "".join(members))

    def _compare(self, key: tuple[str, ...], found: str | None) -> None:
        if not self.book.things.found(key, found):
            raise Wrong(f"{key} is {found!r}, not one of {set(self.book.things.possible(key))}")

    def known(self, kind: str) -> list[tuple[str, ...]]:
        return [key for key in self.book.things if key[:2] == (kind, self.organization)]

    def _any(self, kind: str) -> tuple[str, ...] | None:
        keys = self.known(kind)
        return self.chance.choice(keys) if keys else None

    def _one(self, kind: str) -> tuple[str, ...] | None:
        """One that is surely there."""
        keys = [key for key in self.known(kind) if self.book.things.certain(key) is not None]
        return self.chance.choice(keys) if keys else None


class TokenHolder(Client):
    """Makes access tokens, shows them to each worker, and ends them: no worker may take them a second later."""

    def __init__(
        self,
        book: Book,
        front: Door,
        user: User,
        chance: random.Random,
        *,
        repository: str,
        workers: Sequence[tuple[Worker, Door]],
    ) -> None:
        super().__init__(book, front, user, chance)
        self.workers = workers
        self.steps = (self.live_and_end, self.live_and_end, self.read_log)
        namespace, _, name = repository.partition("/")
        self._repository = repository
        self._paths = (f"/v2/namespaces/{namespace}/repositories/{name}", f"/v2/{repository}/tags/list")

    async def live_and_end(self) -> None:
        label = f"token {next(self._numbers)}"
        with self.deed(self.user.name, "user.access_token.create", self.user.name, label):
            body = {"token_label": label, "scopes": ["repo:admin"]}
            created = (await self.hub("POST", "/v2/access-tokens", json=body, ok=(201,))).json()
        bearers = await self._bearers(created["token"])
        await self._show_all(bearers, ok=(200,))
        await self._end(label, created["uuid"])
        ended_at = time.monotonic()
        await self._refused(created["token"])
        while time.monotonic() < ended_at + REFUSED_WITHIN_S + 1:
            may_open = time.monotonic() < ended_at + REFUSED_WITHIN_S
            await self._show_all(bearers, ok=(200, 401) if may_open else (401,))
            await asyncio.sleep(0.1)

    async def _bearers(self, secret: str) -> tuple[str, str]:
        """One of the Hub API, one of the registry."""
        credentials = {"identifier": self.user.name, "secret": secret}
        hub = await self.front.ask("POST", "/v2/auth/token", json=credentials, ok=(200,))
        scope = {"scope": f"repository:{self._repository}:pull"}
        registry = await self.front.ask("GET", "/token", params=scope, auth=(self.user.name, secret), ok=(200,))
        return hub.json()["access_token"], registry.json()["token"]

    async def _show_all(self, bearers: Sequence[str], *, ok: tuple[int, ...]) -> None:
        await asyncio.gather(*(self._show(worker, door, bearers, ok=ok) for worker, door in self.workers))

    async def _show(self, worker: Worker, door: Door, bearers: Sequence[str], *, ok: tuple[int, ...]) -> None:
        for path, bearer in zip(self._paths, bearers, strict=True):
            if worker.is_serving:
                with contextlib.suppress(Unanswered):
                    await door.ask("GET", path, ok=ok, headers={"authorization": f"Bearer {bearer}"})

    async def _end(self, label: str, uuid: str) -> None:
        """Until somebody says that it has ended; not there is right once a request was not answered."""
        ok: tuple[int, ...] = (202,)
        while True:
            key = (self.user.name, "user.access_token.delete", self.user.name, label)
            self.book.asked[key] += 1
            try:
                await self.hub("DELETE", f"/v2/access-tokens/{uuid}", ok=ok)
            except Unanswered:
                ok = (202, 404)
                await asyncio.sleep(PAUSE_S)
            else:
                self.book.done[key] = 1
                self._last_done = key
                return

    async def _refused(self, secret: str) -> None:
        credentials = {"identifier": self.user.name, "secret": secret}
        await self.front.ask("POST", "/v2/auth/token", json=credentials, ok=(401,))
