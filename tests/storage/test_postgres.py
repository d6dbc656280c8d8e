"""PostgreSQL that is busy, slow, or away for a while."""

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from homeport.errors import DatabaseUnavailable
from homeport.settings import Settings
from homeport.storage.db.database import Database
from homeport.storage.db.engine import open_database
from tests.home import ADMIN_PASSWORD, push_image, running_server, settings_of
from tests.postgres import PostgresServer


@pytest.fixture
def impatient(tmp_path: Path, new_database: Callable[[str], str]) -> Settings:
    settings = settings_of(tmp_path, new_database("postgres"))
    return msgspec.structs.replace(settings, database_pool_size=2, database_pool_wait=1, database_statement_timeout=1)


def on(settings: Settings, verb: Callable[[Database], Awaitable[object]]) -> None:
    async def run() -> None:
        db = await open_database(settings)
        try:
            await verb(db)
            # Whatever it was, it has passed.
            async with db.read() as tx, db.read() as other:
                assert await tx.value(int, "select 1") == await other.value(int, "select 1")
        finally:
            await db.close()

    asyncio.run(run())


def test_who_finds_no_free_connection_is_told_so(impatient: Settings) -> None:
    async def verb(db: Database) -> None:
        async with db.read(), db.read():
            with pytest.raises(DatabaseUnavailable, match="no connection within 1 seconds"):
                async with db.read():
                    pass

    on(impatient, verb)


def test_a_statement_that_takes_too_long_is_ended(impatient: Settings) -> None:
    async def verb(db: Database) -> None:
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            async with db.read() as tx:
                await tx.run("select pg_sleep(30)")

    on(impatient, verb)


def test_who_waits_too_long_for_a_lock_is_told_so(impatient: Settings) -> None:
    async def verb(db: Database) -> None:
        async with db.write() as tx:
            await tx.lock("test", 1)
            with pytest.raises(DatabaseUnavailable, match="lock timeout"):
                async with db.write() as other:
                    await other.lock("test", 1)

    on(impatient, verb)


def test_a_transaction_that_does_nothing_is_ended(impatient: Settings) -> None:
    async def verb(db: Database) -> None:
        async def idle() -> None:
            async with db.write() as tx:
                await tx.lock("test", 1)
                await asyncio.sleep(2)
                await tx.value(int, "select 1")

        with pytest.raises(DatabaseUnavailable):
            await idle()

    on(impatient, verb)


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """One that may be stopped: others do not use it."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        server.create()
        with server.running():
            yield server


class Client:
    """Somebody who changes a repository, pushes a tag and reads lists, and goes on whatever the answers are."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        credentials = {"identifier": "admin", "secret": ADMIN_PASSWORD}
        self._hub = {"authorization": f"Bearer {self._answer(self._login(credentials))['access_token']}"}
        token = self._http.get("/token?scope=repository:admin/app:pull,push", auth=("admin", ADMIN_PASSWORD))
        self._registry = {"authorization": f"Bearer {self._answer(token)['token']}"}
        self._http.headers.update(self._registry)
        self._manifest = push_image(self._http, "admin/app", "first", text="of the outage")
        self.kept = ["first"]
        self.answers: list[httpx.Response] = []

    def _login(self, credentials: dict[str, str]) -> httpx.Response:
        return self._http.post("/v2/auth/token", json=credentials)

    @staticmethod
    def _answer(response: httpx.Response) -> dict[str, str]:
        assert response.status_code == 200, response.text
        return dict(response.json())

    def work(self, number: int) -> list[int]:
        """Some requests; their statuses."""
        tag = f"t{number}"
        pushed = self._http.put(
            f"/v2/admin/app/manifests/{tag}",
            content=self._manifest,
            headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
        )
        if pushed.status_code == 201:
            self.kept.append(tag)
        answers = [
            pushed,
            self._http.get("/v2/admin/app/tags/list"),
            self._http.get("/v2/admin/app/manifests/first"),
            self._http.get("/v2/namespaces/admin/repositories/app/tags", headers=self._hub),
            self._http.get("/v2/auditlogs/admin", headers=self._hub),
            self._http.get("/readyz"),
        ]
        self.answers += answers
        return [answer.status_code for answer in answers]

    def tags(self) -> list[str]:
        return list(self._http.get("/v2/admin/app/tags/list").json()["tags"])


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_is_an_outage_while_it_lasts(
    own_server: PostgresServer, tmp_path: Path, mode: str
) -> None:
    data = tmp_path / "hub"
    name = f"restart_{mode}"
    own_server.run("createdb", "-h", "127.0.0.1", "-p", own_server.port, "-U", "postgres", name)
    url = own_server.url.rpartition("/")[0] + f"/{name}"
    with (
        running_server(data, HOMEPORT_DATABASE_URL=url, HOMEPORT_DATABASE_POOL_WAIT="2") as address,
        httpx.Client(base_url=address, timeout=30) as http,
    ):
        client = Client(http)
        assert set(client.work(0)) == {200, 201}
        stopping = threading.Thread(target=own_server.stop, args=(mode,))
        stopping.start()
        number = 1
        while stopping.is_alive():
            client.work(number)
            number += 1
        *during, _ = client.work(number)
        assert set(during) == {503}, during
        # What a probe has found holds for a second.
        deadline = time.monotonic() + 60
        while client.work(number := number + 1)[-1] != 503:
            assert time.monotonic() < deadline
        starting = threading.Thread(target=own_server.start)
        starting.start()
        while starting.is_alive():
            number += 1
            client.work(number)
        starting.join()
        deadline = time.monotonic() + 60
        while 503 in client.work(number := number + 1):
            assert time.monotonic() < deadline
        for answer in client.answers:
            assert answer.status_code in (200, 201, 503), answer.text
            if answer.status_code == 503 and answer.request.url.path != "/readyz":
                assert int(answer.headers["retry-after"]) > 0
        # What was answered 503 may have been kept: the connection may have broken behind the commit.
        assert set(client.kept) <= set(client.tags())
    lines = [json.loads(line) for line in (tmp_path / "hub.log").read_text().splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["event"] == "request failed"]
