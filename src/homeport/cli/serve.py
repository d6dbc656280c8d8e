"""`homeport serve`: sets up what is missing, then runs the server and its workers."""

import asyncio
import contextlib
import ctypes
import importlib.util
import multiprocessing
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from homeport.api.health import DRAIN_SIGNAL
from homeport.cli.output import CommandError
from homeport.core.setup import ADMIN, Prepared, prepare
from homeport.errors import DatabaseUnavailable
from homeport.metrics import shared_folder
from homeport.settings import PREFIX, Settings, SettingsError, load
from homeport.storage.blobs.opening import prepare_store
from homeport.storage.db.database import Database, utcnow
from homeport.storage.db.engine import open_database
from homeport.storage.db.marks import check_place
from homeport.storage.db.migrate import is_usable, migrate

_HTTP1_BUFFER_BYTES = 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
    workers: int | None = None,
) -> None:
    """Set up the data folder and the database if needed, then serve until SIGTERM."""
    settings = _with_free_address(load(host=host, port=port, data=data, workers=workers))
    done = asyncio.run(set_up(settings, migrates=settings.migrate))
    _greet(settings, done.prepared)
    _run(settings)


def _with_free_address(settings: Settings) -> Settings:
    """The settings with an address that can be listened on: a host's name looked up, port 0 turned into a free one.

    The server by itself would share a port with another that listens there (SO_REUSEPORT): each would get a part of
    the requests, and nobody would be told.

    Raises:
        CommandError
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            host, port = probe.getsockname()[:2]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        raise CommandError(f"cannot listen on {settings.host}, port {settings.port}: {reason}") from None
    return msgspec.structs.replace(settings, host=host, port=port)


class SetUp(msgspec.Struct, frozen=True):
    is_migrated: bool
    prepared: Prepared


async def set_up(settings: Settings, *, migrates: bool = True) -> SetUp:
    """Make the data folder, the schema, keys and administrator; whatever is there stays.

    Unless it `migrates`, a database that somebody else is still to migrate is left alone.

    Raises:
        CommandError: there can be no such folder.
        HubMoved, HubUnfinished: no hub may run here.
        DatabaseUnavailable, StoreUnavailable, SettingsError, SchemaTooNewError
    """
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the data folder {settings.data}: {error.strerror}") from None
    await check_place(settings)
    _require_extras(settings)
    await prepare_store(settings)
    if settings.valkey_url:
        from homeport.app import counting  # noqa: PLC0415 - loads the services, which this process needs for nothing else

        async with counting(settings):
            pass
    is_migrated = False
    if migrates:
        is_migrated = await migrate(settings)
    elif not await is_usable(settings):
        return SetUp(is_migrated=False, prepared=Prepared(is_new=False))
    db = await open_database(settings)
    try:
        if not settings.is_sqlite:
            await _make_partitions(db)
        return SetUp(is_migrated, await prepare(db, admin_password=settings.admin_password))
    finally:
        await db.close()


async def _make_partitions(db: Database) -> None:
    """Have events of now go where they belong at once; after a long rest that would be left to a job."""
    from homeport.jobs.audit import make_partitions  # noqa: PLC0415 - only PostgreSQL needs it

    # Somebody may be in the way; the default partition takes events meanwhile.
    with contextlib.suppress(DatabaseUnavailable):
        await make_partitions(db, now=utcnow())


def _require_extras(settings: Settings) -> None:
    """Raises: SettingsError: something is asked for whose library is not installed. Nothing is loaded: `Prometheus` has
    to be, in each worker, after it has been told of the folder.
    """
    for name, extra, module in (
        ("metrics_networks", "metrics", "prometheus_client"),
        ("traces_url", "traces", "opentelemetry"),
    ):
        if getattr(settings, name) and importlib.util.find_spec(module) is None:
            raise SettingsError(f"{name} needs the extra `{extra}`: install homeport[{extra}]")


def keep_freed_memory() -> None:
    """Have glibc keep the memory of bodies for the next ones.

    Blobs arrive in pieces of up to a mebibyte. By default such memory goes back to the kernel at once, and is fetched
    and cleared again for the next piece; that costs more than the copy. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 1024 * 1024)
        mallopt(_M_TRIM_THRESHOLD, 128 * 1024 * 1024)


def _greet(settings: Settings, prepared: Prepared) -> None:
    url = settings.listen_url
    address = (settings.registry_url or url).partition("://")[2]
    lines = [f"Homeport listens on {url}, data in {settings.data.absolute()}"]
    if prepared.generated_password:
        lines += [
            "",
            f"  The password of {ADMIN} is: {prepared.generated_password}",
            "  It is not shown again.",
        ]
    lines += [
        "",
        "Try next:",
        f"  docker login {address} --username {ADMIN}",
        f"  docker tag busybox {address}/{ADMIN}/busybox && docker push {address}/{ADMIN}/busybox",
        f"  curl {url}/v2/namespaces/{ADMIN}/repositories/busybox/tags",
        "",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _run(settings: Settings) -> None:
    from granian import Granian  # noqa: PLC0415 - only the server needs it
    from granian.constants import Interfaces, Loops  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415

    # Workers read the settings again; what flags said reaches them by the environment. The password stays behind.
    for name in ("host", "port", "data", "workers"):
        os.environ[PREFIX + name.upper()] = str(getattr(settings, name))
    os.environ.pop(PREFIX + "ADMIN_PASSWORD", None)
    keep_freed_memory()
    server = Granian(
        "homeport.app:serve",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=settings.workers,
        websockets=False,
        http1_settings=HTTP1Settings(max_buffer_size=_HTTP1_BUFFER_BYTES),
        log_level=LogLevels.warning,
        workers_kill_timeout=settings.drain_timeout,
        respawn_failed_workers=True,
    )
    if settings.drain_delay:
        _drain_first(server, settings.drain_delay)
    counts_together = settings.metrics_networks and settings.workers > 1
    with shared_folder() if counts_together else contextlib.nullcontext():
        server.serve()


def _drain_first(server: Any, delay_s: int) -> None:
    """Have SIGTERM tell the workers that they are no longer ready, and stop the server a while later.

    Load balancers see it and send nobody here any more. A second SIGTERM, and Ctrl-C, stop it at once.
    """
    stop = server.signal_handler_interrupt
    is_draining = False

    def interrupted(number: int, frame: object) -> None:
        nonlocal is_draining
        if number != signal.SIGTERM or is_draining:
            stop(number, frame)
            return
        is_draining = True
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, DRAIN_SIGNAL)
        timer = threading.Timer(delay_s, stop)
        timer.daemon = True
        timer.start()

    server.signal_handler_interrupt = interrupted
