"""Versions side by side: an old server on a wider schema, a new one on an older schema, and what migrations may do."""

import asyncio
import contextlib
import itertools
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core import integrity
from homeport.core.demo import seeding
from homeport.settings import Settings
from homeport.storage.db import migrate as migrating
from homeport.storage.db.migrate import HEAD, OLDEST, Fit, fit, migrate
from tests.api.scene import WHO, Scene
from tests.api.test_access_matrix import MATRIX, Row, ask, told, values_for
from tests.conftest import DATABASES, NewHome
from tests.home import (
    ADMIN_PASSWORD,
    Home,
    clean_environment,
    digest_of,
    push_image,
    running_server,
    settings_of,
    wait_until_ready,
)
from tests.postgres import free_port

FOLDER = migrating._FOLDER
OLD = "0014"
"""A version of which databases are around."""

NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"
{marks}

def upgrade() -> None:
    bind = op.get_bind()
    parts = set()
    if bind.dialect.name == "postgresql":
        parts = {{name for name, in bind.exec_driver_sql("select inhrelid::regclass::text from pg_inherits")}}
    for table in sa.inspect(bind).get_table_names():
        if table not in parts and not table.startswith(("repository_tokens", "alembic_", "schema_")):
            op.add_column(table, sa.Column("c{revision}", sa.BigInteger(), nullable=False, server_default="7"))
            op.add_column(table, sa.Column("n{revision}", sa.Text()))
    op.create_table("t{revision}", sa.Column("id", sa.BigInteger(), primary_key=True))
    if bind.dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            op.create_index("i{revision}", "tags", ["c{revision}"], postgresql_concurrently=True)
    else:
        op.create_index("i{revision}", "tags", ["c{revision}"])
"""

GROWING = {
    *("accounts", "audit_events", "blobs", "mails", "manifest_references", "manifests", "repositories"),
    *("repository_blobs", "repository_search", "repository_types", "tag_moves", "tag_stretches", "tags", "uploads"),
}
"""Tables that grow with the hub."""


class Versions:
    """Programs that know other migrations than this one does."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = patch
        self._folder = folder

    def only_until(self, revision: str) -> None:
        self._become(revision)
        for path in (self._folder / "versions").glob("*.py"):
            if path.name[:4] > revision:
                path.unlink()

    def become_next(self, revision: str = "9000", *, before: str = HEAD, marks: str = "") -> None:
        """The version behind this one."""
        self._become(revision)
        text = NEXT.format(revision=revision, before=before, marks=marks)
        (self._folder / "versions" / f"{revision}_next.py").write_text(text)

    def become_this(self) -> None:
        self._patch.undo()

    def _become(self, revision: str) -> None:
        shutil.copytree(FOLDER, self._folder, dirs_exist_ok=True)
        self._patch.setattr(migrating, "_FOLDER", self._folder)
        self._patch.setattr(migrating, "HEAD", revision)


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Versions]:
    with pytest.MonkeyPatch.context() as patch:
        yield Versions(patch, tmp_path / "migrations")


# An old server on a wider schema


def allowed(row: Row) -> str | None:
    """Somebody who is let in; the nobler the better."""
    order = ("owner", "site administrator", *WHO)
    return next((who for who in order if row.denied(who, is_private=True) is None), None)


def outcomes(scene: Scene) -> dict[str, str]:
    """What each route answers to somebody whom it lets in."""
    found = {}
    for row in MATRIX:
        if (who := allowed(row)) is None:
            continue
        caller = scene.callers[who]
        if row.ends_session:
            caller = caller._replace(hub=scene.home.hub(caller.user))
        found[str(row)] = told(ask(row, caller, values_for(row, scene.here, caller)))
        scene.here.forget_invitee()
    return found


@contextlib.contextmanager
def pushing(home: Home) -> Iterator[list[int]]:
    """Somebody who pushes and pulls all the time; the statuses that they get."""
    user = home.user()
    name = home.repository(user.name)
    client = home.registry(user, name)
    statuses: list[int] = []
    ended = threading.Event()

    def work() -> None:
        blob = f"/v2/{name}/blobs"
        push_image(client, name, "latest")
        for number in itertools.count():
            pushed = str(number).encode()
            begun = client.post(f"{blob}/uploads/", params={"digest": digest_of(pushed)}, content=pushed)
            pulled = client.get(f"{blob}/{digest_of(pushed)}") if begun.status_code == 201 else begun
            tagged = client.get(f"/v2/{name}/manifests/latest")
            statuses.extend((begun.status_code, pulled.status_code, tagged.status_code))
            if ended.is_set():
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_for(lambda: bool(statuses))
        yield statuses
    finally:
        ended.set()
        thread.join()


def command(settings: Settings, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        **{"HOMEPORT_DATA": str(settings.data), "HOMEPORT_DATABASE_URL": settings.database_url, **variables}
    )
    return subprocess.run(
        [sys.executable, "-m", "homeport", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", DATABASES)
def test_every_route_works_on_while_a_newer_version_widens_the_schema(
    new_home: NewHome, versions: Versions, kind: str
) -> None:
    with new_home(kind, HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS="100000") as home:
        scene = Scene(home, is_private=True)
        expected = {str(row): str(row.success) for row in MATRIX if allowed(row)}
        assert len(expected) > 200
        assert outcomes(scene) == expected
        with pushing(home) as statuses:
            versions.become_next()
            assert asyncio.run(migrate(home.settings))
            versions.become_this()
            count = len(statuses)
            assert outcomes(scene) == expected
        assert len(statuses) > count > 0
        # Who waits for a migration crosswise is told to come again.
        assert set(statuses) - {503} == {200, 201}
        assert statuses.count(503) < 10
        ready = httpx.get(f"{home.url}/readyz")
        assert (ready.status_code, ready.json()["schema"]) == (200, "newer")
        # One that starts then works with it, too, and leaves it as it is.
        assert not asyncio.run(migrate(home.settings))
        assert command(home.settings, "user", "list").returncode == 0

        versions.become_next("9001", before="9000", marks="contracts = '9001'")
        shutil.copy(FOLDER / "env.py", versions._folder)
        assert asyncio.run(migrate(home.settings))
        versions.become_this()
        refused = command(home.settings, "user", "list")
        assert refused.returncode == 1
        assert "upgrade the program" in refused.stderr
        with contextlib.suppress(AssertionError):
            wait_for(lambda: httpx.get(f"{home.url}/readyz").status_code == 503)
        ready = httpx.get(f"{home.url}/readyz")
        assert (ready.status_code, ready.json()["schema"]) == (503, "too new")


def wait_for(check: Callable[[], bool]) -> None:
    for _ in range(100):
        if check():
            return
        threading.Event().wait(0.1)
    raise AssertionError


def test_a_migration_that_gives_way_to_a_request_goes_on(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "hub", new_database("postgres"))
    upgrade, tries = migrating._upgrade, []

    def give_way_once(connection: Any, to: str) -> None:
        tries.append(connection)
        if len(tries) == 1:
            connection.exec_driver_sql("do $$ begin raise sqlstate '40P01'; end $$")
        upgrade(connection, to)

    monkeypatch.setattr(migrating, "_upgrade", give_way_once)
    assert asyncio.run(migrate(settings))
    assert len(tries) == 2
    assert asyncio.run(migrating.is_current(settings))


# A new server on an older schema


class Seeded(NamedTuple):
    settings: Settings
    manifests: dict[str, bytes]


async def seeded(settings: Settings) -> None:
    await set_up(settings)
    async with open_services(settings) as services:
        await seeding.seed(services)


def older(settings: Settings, new: Settings, versions: Versions) -> None:
    """Make the database of `settings` one of an older version, with all that another one holds."""
    shutil.copytree(new.blobs_path, settings.blobs_path)
    versions.only_until(OLD)
    assert asyncio.run(migrate(settings))
    versions.become_this()
    if settings.is_sqlite:
        copy_sqlite(new.sqlite_path, settings.sqlite_path)
    else:
        asyncio.run(copy_postgres(new.database_url, settings.database_url))


def is_data(table: str) -> bool:
    return not table.startswith(("repository_tokens", "alembic_", "schema_", "sqlite_"))


def copy_sqlite(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(target)) as connection:
        connection.execute("attach ? as source", (str(source),))
        tables = [name for (name,) in connection.execute("select name from main.sqlite_master where type = 'table'")]
        for table in filter(is_data, tables):
            columns = ", ".join(row[1] for row in connection.execute(f"pragma main.table_info({table})"))
            connection.execute(f"delete from main.{table}")
            connection.execute(f"insert into main.{table} ({columns}) select {columns} from source.{table}")
        connection.commit()


COLUMNS = """
    select table_name, array_agg(column_name::text) as columns from information_schema.columns
    where table_schema = 'public' and is_generated = 'NEVER' group by table_name
"""


async def copy_postgres(source: str, target: str) -> None:
    reader, writer = await asyncpg.connect(source), await asyncpg.connect(target)
    await writer.execute("set session_replication_role = replica")
    for table, columns in await writer.fetch(COLUMNS):
        if is_data(table):
            rows = await reader.fetch(f"select {', '.join(columns)} from {table}")
            await writer.execute(f"delete from {table}")
            await writer.copy_records_to_table(table, records=[tuple(row) for row in rows], columns=columns)
            if "id" in columns and await writer.fetchval(f"select pg_get_serial_sequence('{table}', 'id')"):
                highest = f"(select coalesce(max(id), 1) from {table})"
                await writer.execute(f"select setval(pg_get_serial_sequence('{table}', 'id'), {highest})")
    await reader.close()
    await writer.close()


def content(settings: Settings) -> dict[str, bytes]:
    """What a client pulls of the demo: manifests by their names."""
    with running_server(settings.data, **database(settings)) as url, httpx.Client(base_url=url) as client:
        found = {}
        hub = {"username": "admin", "password": ADMIN_PASSWORD}
        client.headers["authorization"] = f"Bearer {client.post('/v2/users/login', json=hub).json()['token']}"
        names = [row["name"] for row in client.get("/v2/namespaces/demo/repositories").json()["results"]]
        assert len(names) > 2
        for name in names:
            scope = {"scope": f"repository:demo/{name}:pull"}
            token = client.get("/token", params=scope, auth=("admin", ADMIN_PASSWORD)).json()["token"]
            for tag in client.get(f"/v2/namespaces/demo/repositories/{name}/tags?page_size=100").json()["results"]:
                pulled = client.get(
                    f"/v2/demo/{name}/manifests/{tag['name']}", headers={"authorization": f"Bearer {token}"}
                )
                assert pulled.status_code == 200
                found[f"{name}:{tag['name']}"] = pulled.content
        return found


def database(settings: Settings) -> dict[str, str]:
    return {"HOMEPORT_DATABASE_URL": settings.database_url} if settings.database_url else {}


async def errors_of(settings: Settings) -> list[integrity.Finding]:
    async with open_services(settings) as services:
        findings = [finding async for finding in integrity.check(services)]
    return [finding for finding in findings if finding.severity == integrity.ERROR]


@pytest.mark.parametrize("kind", DATABASES)
def test_a_new_server_waits_for_the_migration_of_an_older_database_and_serves_it_then(
    new_database: Callable[[str], str], versions: Versions, tmp_path: Path, kind: str
) -> None:
    new = settings_of(tmp_path / "new", new_database(kind))
    old = settings_of(tmp_path / "old", new_database(kind))
    command(new, "migrate", HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD)
    asyncio.run(seeded(new))
    old.data.mkdir()
    older(old, new, versions)
    port = free_port()
    variables = {**database(old), "HOMEPORT_MIGRATE": "false"}
    arguments = ["serve", "--port", str(port), "--data", str(old.data), "--workers", "2"]
    with (
        open(tmp_path / "log", "wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "homeport", *arguments], env=clean_environment(**variables), stdout=log, stderr=log
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            wait_for(lambda: listens(client))
            for _ in range(4):
                ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
                assert (ready.status_code, ready.json()["schema"]) == (503, "not migrated")
            for row in MATRIX:
                path = re.sub(r"\{\w+\}", "1", row.path)
                answer = client.request(row.method, path, headers={"authorization": "Basic YWRtaW46eA=="})
                if path not in ("/healthz", "/readyz"):
                    assert answer.status_code == 503, row
                    assert int(answer.headers["retry-after"]) > 0
            assert command(old, "user", "list").returncode == 1
            assert asyncio.run(migrating.find_fit(old)) is Fit.BEHIND  # nobody has touched it
            done = command(old, "migrate", HOMEPORT_MIGRATE="false")
            assert done.returncode == 0, done.stderr
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            wait_for(lambda: all(httpx.get(f"http://127.0.0.1:{port}/v2/").status_code == 401 for _ in range(10)))
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert content(old) == content(new)
    assert asyncio.run(errors_of(old)) == []


def listens(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/healthz").status_code == 200
    return False


# What migrations may do


def objection(statement: str, *, is_postgres: bool, new_tables: set[str]) -> str | None:
    """Why a statement of a migration is none that only widens the schema; None if it is."""
    words = " ".join(statement.lower().split())
    if re.match(r"(select|insert|update|pragma|show|with|begin|commit|savepoint|release)\b", words):
        return None
    if match := re.match(r"create table (?:if not exists )?(\S+)", words):
        new_tables.add(match[1])
        return None
    if match := re.match(r"create (unique )?index (concurrently )?.* on (\w+)", words):
        return None if match[3] in new_tables else _objection_to_index(*match.groups(), is_postgres=is_postgres)
    if match := re.match(r"alter table \w+ add (?:column )?(?!constraint)(.*)", words):
        return _objection_to_column(match[1])
    return "it takes something away, or changes it"


def _objection_to_index(unique: str | None, concurrently: str | None, table: str, *, is_postgres: bool) -> str | None:
    if unique:
        return "an older program may write what is no longer unique"
    return "pushes wait for it" if is_postgres and table in GROWING and not concurrently else None


def _objection_to_column(definition: str) -> str | None:
    if "not null" in definition and "default" not in definition:
        return "an older program does not fill it"
    return "an older program may not keep to it" if re.search(r"unique|check", definition) else None


@pytest.mark.parametrize(
    ("statement", "is_refused"),
    [
        ("CREATE TABLE new (id BIGINT NOT NULL)", False),
        ("ALTER TABLE tags ADD COLUMN later BIGINT", False),
        ("ALTER TABLE tags ADD COLUMN later BIGINT DEFAULT '7' NOT NULL", False),
        ("CREATE INDEX CONCURRENTLY i ON tags (name)", False),
        ("CREATE INDEX i ON webhooks (name)", False),
        ("UPDATE tags SET later = 1", False),
        ("CREATE INDEX i ON tags (name)", True),
        ("CREATE UNIQUE INDEX i ON webhooks (name)", True),
        ("ALTER TABLE tags ADD COLUMN later BIGINT NOT NULL", True),
        ("ALTER TABLE tags ADD COLUMN later BIGINT UNIQUE", True),
        ("ALTER TABLE tags ADD CONSTRAINT c CHECK (name <> '')", True),
        ("ALTER TABLE tags DROP COLUMN name", True),
        ("ALTER TABLE tags RENAME COLUMN name TO word", True),
        ("ALTER TABLE tags ALTER COLUMN name TYPE BIGINT", True),
        ("ALTER TABLE tags ALTER COLUMN name SET NOT NULL", True),
        ("DROP TABLE tags", True),
        ("DROP INDEX i", True),
        ("DELETE FROM tags", True),
        ("CREATE TRIGGER t AFTER INSERT ON tags BEGIN SELECT 1; END", True),
    ],
)
def test_what_only_widens_a_schema_is_told_from_the_rest(statement: str, is_refused: bool) -> None:
    assert (objection(statement, is_postgres=True, new_tables=set()) is not None) == is_refused


def statements_of(settings: Settings) -> dict[str, list[str]]:
    """What each migration runs that the database does not have yet, by its revision."""
    found: dict[str, list[str]] = {}
    running: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "UPDATE alembic_version" in statement:
            found[re.findall(r"\d{4}", f"{statement} {parameters}")[0]] = running.copy()
            running.clear()
        elif not re.match(r"\s*(select|pragma|create table if not exists schema_support)", statement, re.IGNORECASE):
            running.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        asyncio.run(migrate(settings))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return found


def marks() -> dict[str, str]:
    """The migrations that say whom they leave behind."""
    found = {}
    for path in (FOLDER / "versions").glob("*.py"):
        if match := re.search(r'^contracts = "(\d{4})"$', path.read_text(), re.MULTILINE):
            found[path.name[:4]] = match[1]
    return found


def test_migrations_only_widen_the_schema_or_say_whom_they_leave_behind(
    empty_settings: Settings, versions: Versions
) -> None:
    empty_settings.data.mkdir()
    versions.only_until(OLDEST)
    asyncio.run(migrate(empty_settings))
    versions.become_this()
    shutil.rmtree(versions._folder)
    versions.become_next()
    found = statements_of(empty_settings)
    assert len(found["9000"]) > 50
    problems = []
    for revision, statements in found.items():
        new_tables: set[str] = set()
        for statement in statements:
            why = objection(statement, is_postgres=not empty_settings.is_sqlite, new_tables=new_tables)
            if why and revision not in marks():
                problems.append(f"{revision}: {statement}: {why}")
    assert problems == []
    assert all(OLDEST <= oldest <= revision for revision, oldest in marks().items())


@pytest.mark.parametrize(
    ("version", "oldest", "expected"),
    [
        (HEAD, None, Fit.CURRENT),
        (HEAD, "9999", Fit.CURRENT),
        (None, None, Fit.BEHIND),
        ("0001", HEAD, Fit.BEHIND),
        ("9000", HEAD, Fit.NEWER),
        ("9000", "0001", Fit.NEWER),
        ("9000", "8999", Fit.TOO_NEW),
        ("9000", None, Fit.TOO_NEW),
    ],
)
def test_how_a_schema_fits(version: str | None, oldest: str | None, expected: Fit) -> None:
    assert fit(version, oldest) is expected
