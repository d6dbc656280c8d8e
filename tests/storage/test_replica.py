"""Lists from a read replica: a real one, which follows the primary by streaming."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio.from_thread
import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from homeport.settings import Settings, SettingsError, load
from homeport.storage.db.engine import open_database
from homeport.storage.db.replica import REST_S
from tests.home import Home, push_image, running_server, unique
from tests.inviting import run
from tests.postgres import PostgresServer


class Pair(NamedTuple):
    """A primary and its replica, which writes each statement into its log, and a hub that uses both."""

    primary: PostgresServer
    replica: PostgresServer
    home: Home

    def asked(self, ask: Callable[[], httpx.Response]) -> tuple[httpx.Response, list[str]]:
        """An answer, and the statements that the replica was sent meanwhile, but for how far it is."""
        before = self.replica.log.stat().st_size
        answer = ask()
        time.sleep(0.1)
        text = self.replica.log.read_bytes()[before:].decode()
        lines = [part for part in text.split(" LOG:  execute ")[1:] if "pg_last_wal_replay_lsn" not in part]
        return answer, lines

    def tell_replica(self, statement: str) -> None:
        async def tell() -> None:
            connection = await asyncpg.connect(self.replica.url)
            await connection.execute(statement)
            await connection.close()

        asyncio.run(tell())


@pytest.fixture(scope="module")
def pair(portal: anyio.from_thread.BlockingPortal) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as folder:
        primary = PostgresServer(Path(folder) / "primary")
        replica = PostgresServer(Path(folder) / "replica", settings=["log_statement=all"])
        primary.create()
        variables = {"HOMEPORT_DATABASE_URL": primary.url, "HOMEPORT_DATABASE_READ_URL": replica.url}
        with primary.running():
            replica.create_replica_of(primary)
            data = Path(folder) / "hub"
            with replica.running(), running_server(data, **variables) as address:
                home = Home(address, load(variables, data=data), portal)
                try:
                    yield Pair(primary, replica, home)
                finally:
                    home.close()


class Place:
    """A repository with a tag, and who may see it."""

    def __init__(self, pair: Pair) -> None:
        home = pair.home
        self.owner = home.user("owner")
        self.organization = home.organization(self.owner)
        self.name = home.repository(self.organization, is_private=True)
        self.client = home.hub(self.owner)
        self.registry = home.registry(self.owner, self.name)
        self.content = push_image(self.registry, self.name, "first", text=unique("text"))
        self.lists = [
            f"/v2/namespaces/{self.organization}/repositories",
            f"/v2/namespaces/{self.organization}/repositories/{self.name.name}/tags",
            f"/v2/search/repositories?query={self.name.name}",
            f"/v2/orgs/{self.organization}/members",
            f"/v2/orgs/{self.organization}/groups",
            f"/v2/auditlogs/{self.organization}",
        ]

    def push(self) -> str:
        tag = unique("tag")
        put = self.registry.put(
            f"/v2/{self.name}/manifests/{tag}",
            content=self.content,
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        )
        assert put.status_code == 201, put.text
        return tag

    def tags(self) -> list[str]:
        answer = self.client.get(self.lists[1])
        assert answer.status_code == 200, answer.text
        return [tag["name"] for tag in answer.json()["results"]]


@pytest.fixture
def place(pair: Pair) -> Place:
    return Place(pair)


def rested() -> None:
    time.sleep(REST_S + 0.2)


def statements_of(pair: Pair, place: Place, path: str) -> list[str]:
    """What the replica is sent for a list, once it is asked (again): a busy machine may have it fall behind."""
    for _ in range(20):
        answer, statements = pair.asked(lambda: place.client.get(path))
        assert answer.status_code == 200
        if statements:
            return statements
        rested()
    raise AssertionError("the replica is not asked")


def test_lists_are_read_from_the_replica(pair: Pair, place: Place) -> None:
    for path in place.lists:
        assert statements_of(pair, place, path)
    assert place.registry.get(f"/v2/{place.name}/tags/list").json()["tags"] == ["first"]


def test_no_decision_no_login_and_no_answer_by_name_reaches_the_replica(pair: Pair, place: Place) -> None:
    home, name = pair.home, place.name
    stranger = home.user("stranger")
    digest = place.registry.head(f"/v2/{name}/manifests/first").headers["docker-content-digest"]
    credentials = {"identifier": place.owner.name, "secret": place.owner.password}
    scope = {"service": "test", "scope": f"repository:{name}:pull"}
    others: list[tuple[int, Callable[[], httpx.Response]]] = [
        (200, lambda: home.anonymous.post("/v2/auth/token", json=credentials)),
        (200, lambda: home.anonymous.get("/token", params=scope, auth=(place.owner.name, place.owner.password))),
        (200, lambda: place.registry.get(f"/v2/{name}/manifests/first")),
        (200, lambda: place.registry.get(f"/v2/{name}/manifests/{digest}")),
        (200, lambda: place.registry.get(f"/v2/{name}/referrers/{digest}")),
        (200, lambda: place.client.get(f"/v2/namespaces/{name.namespace}/repositories/{name.name}")),
        (200, lambda: place.client.get(f"{place.lists[1]}/first")),
        (200, lambda: place.client.patch(f"/v2/repositories/{name}/", json={"description": unique("text")})),
        (200, lambda: place.client.get("/v2/access-tokens")),
        (404, lambda: home.hub(stranger).get(place.lists[1])),
        (403, lambda: home.hub(stranger).get(place.lists[5])),
        (401, lambda: home.anonymous.get(place.lists[5])),
    ]
    for status, ask in others:
        answer, statements = pair.asked(ask)
        assert answer.status_code == status, answer.text
        assert statements == []
    # Of a list that is read there, who may see it is asked of the primary alone.
    statements = statements_of(pair, place, place.lists[1])
    decisions = ("revocations", "access_tokens", "organization_members", "credentials_version", "sessions")
    assert not [text for text in statements for word in decisions if word in text]


def test_a_replica_that_stands_still_gives_no_list(pair: Pair, place: Place) -> None:
    stranger = pair.home.hub(pair.home.user("stranger"))
    id_ = pair.home.repository_id(place.name)

    def seen(path: str) -> list[str]:
        return [repository["name"] for repository in stranger.get(path).json()["results"]]

    run(pair.home, "update repositories set is_private = :yes where id = :id", yes=False, id=id_)
    pair.tell_replica("select pg_wal_replay_pause()")
    try:
        for _ in range(5):
            tag = place.push()
            assert place.tags()[0] == tag
        # Nobody sees what has been taken from them.
        assert seen(place.lists[0]) == [place.name.name]
        run(pair.home, "update repositories set is_private = :yes where id = :id", yes=True, id=id_)
        assert seen(place.lists[0]) == []
        rested()
        answer, statements = pair.asked(lambda: place.client.get(place.lists[1]))
        assert answer.json()["results"][0]["name"] == tag
        assert statements == []
    finally:
        pair.tell_replica("select pg_wal_replay_resume()")
    assert statements_of(pair, place, place.lists[1])


def test_what_somebody_has_just_done_is_in_the_list_that_they_ask_for_next(pair: Pair, place: Place) -> None:
    for _ in range(40):
        tag = place.push()
        assert place.tags()[0] == tag


def test_without_the_replica_everything_goes_on(pair: Pair, place: Place) -> None:
    tag = place.push()
    pair.replica.stop()
    try:
        for path in place.lists * 3:
            assert place.client.get(path).status_code == 200
        assert place.tags()[0] == tag
    finally:
        pair.replica.start()
    assert statements_of(pair, place, place.lists[1])


def on(settings: Settings, verb: Callable[[Any], Any]) -> list[Any]:
    """What the log says while something is run over the databases of the settings."""

    async def opened() -> None:
        db = await open_database(settings)
        try:
            await verb(db)
        finally:
            await db.close()

    with capture_logs() as lines:
        asyncio.run(opened())
    return [line["event"] for line in lines]


async def ask(db: Any) -> None:
    for _ in range(10):
        async with db.read() as tx:
            assert await tx.lists.value(int, "select count(*) from accounts") > 0


def test_a_replica_that_is_away_is_told_of_once(pair: Pair) -> None:
    away = load({"HOMEPORT_DATABASE_URL": pair.primary.url, "HOMEPORT_DATABASE_READ_URL": "postgresql://127.0.0.1:1/x"})
    assert on(away, ask) == ["the read replica is left alone"]


def test_another_primary_is_no_replica(pair: Pair, new_database: Callable[[str], str]) -> None:
    """Its tables are empty: it would say so."""
    for other in (new_database("postgres"), pair.primary.url):
        settings = load({"HOMEPORT_DATABASE_URL": pair.primary.url, "HOMEPORT_DATABASE_READ_URL": other})
        assert on(settings, ask) == ["the read replica is left alone"]


def test_a_transaction_that_writes_reads_its_own(pair: Pair) -> None:
    settings = load({"HOMEPORT_DATABASE_URL": pair.primary.url, "HOMEPORT_DATABASE_READ_URL": pair.replica.url})

    async def verb(db: Any) -> None:
        async with db.write() as tx:
            await tx.run("insert into job_turns (job, due_at) values ('own', 1)")
            assert await tx.lists.value(int, "select due_at from job_turns where job = 'own'") == 1
            assert not await tx.lists.value(bool, "select pg_is_in_recovery()")
        async with db.read() as tx:
            assert await tx.lists.value(bool, "select pg_is_in_recovery()")
            assert not await tx.value(bool, "select pg_is_in_recovery()")

    assert on(settings, verb) == []


def test_a_replica_of_sqlite_is_refused() -> None:
    with pytest.raises(SettingsError, match="database_read_url does nothing without database_url"):
        load({"HOMEPORT_DATABASE_READ_URL": "postgresql://127.0.0.1/x"})
