"""The composition root: settings → database, blobs, keys → services → doors → one ASGI application.

Where the Hub and the registry share `/v2/` on one host, the first word behind it tells whose request it is. Words of
the Hub cannot be account names (`names.RESERVED_NAMES`).
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import structlog

from homeport import __version__
from homeport import settings as settings_module
from homeport.api.exposition import is_reader, tell
from homeport.api.health import DRAIN_SIGNAL, LIVENESS_PATH, READINESS_PATH, Health, not_migrated
from homeport.api.hosts import Hosts, Part
from homeport.api.http import DOOR, Application, Receive, Scope, Send
from homeport.api.proxies import TrustedProxies
from homeport.api.repeating import repeating
from homeport.api.requests import RequestLog
from homeport.api.tracing import Traced
from homeport.core.activity import ActivityLog
from homeport.core.authentication import Authenticator
from homeport.core.logins import Logins
from homeport.core.pulls import PullLog
from homeport.core.recent import Recent
from homeport.core.services import Services
from homeport.core.setup import is_prepared
from homeport.core.signing import Signer
from homeport.errors import DatabaseUnavailable, HomeportError
from homeport.jobs import worker
from homeport.logs import configure_logs
from homeport.metrics import NOT_MEASURED, Metrics, MetricsUnavailableError, Prometheus
from homeport.names import RESERVED_NAMES
from homeport.settings import Settings, SettingsError
from homeport.storage.blobs.opening import open_store
from homeport.storage.cache.cache import Counters
from homeport.storage.cache.memory import MemoryCounters
from homeport.storage.db import accounts as account_rows
from homeport.storage.db.database import Database
from homeport.storage.db.engine import open_database
from homeport.storage.db.migrate import is_usable
from homeport.traces import NOT_TRACED, OpenTelemetry, TracedDatabase, Traces, TracesUnavailableError, traced_store

log = structlog.get_logger()

OWN_PATHS = (LIVENESS_PATH, READINESS_PATH)
METRICS_PATH = "/metrics"

MIGRATION_AWAITED_S = 1.0
"""How often a server looks whether somebody has migrated the database."""

_TOKEN_PATHS = ("/token", "/token/")
_ENGINE_PATHS = ("/v1/_ping", "/v1/search")
"""What Docker's engine asks the host of a registry, though it is the Hub's: `docker search`."""
# A namespace of the registry may have this name: nothing of it is at the path itself.
_LOGOUT_PATHS = ("/v2/logout", "/v2/logout/")


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connect to everything; the database has to be migrated and prepared.

    Raises:
        DatabaseUnavailable, StoreUnavailable, SettingsError
    """
    metrics, traces = measuring(settings), tracing(settings)
    stack = contextlib.AsyncExitStack()
    # In a thread: the collector may be slow, or away.
    stack.push_async_callback(asyncio.to_thread, traces.close)
    db = await _opened_database(settings, traces)
    try:
        async with db.read() as tx:
            keys = await account_rows.list_signing_keys(tx)
        blobs = await open_store(settings, metrics)
        if traces.is_on:
            blobs = traced_store(blobs, traces)
        pulls = PullLog()
        activity = ActivityLog()
        counters = await stack.enter_async_context(counting(settings))
        authenticator = Authenticator(
            db, Signer(keys), pulls=pulls, activity=activity, settings=settings, metrics=metrics
        )
        yield Services(
            settings=settings,
            db=db,
            blobs=blobs,
            authenticator=authenticator,
            logins=Logins(
                db, authenticator, counters, pulls=pulls, activity=activity, settings=settings, metrics=metrics
            ),
            pulls=pulls,
            activity=activity,
            recent=Recent(db),
            counters=counters,
            metrics=metrics,
            traces=traces,
        )
    finally:
        await stack.aclose()
        await db.close()


async def _opened_database(settings: Settings, traces: Traces) -> Database:
    db: Any = await open_database(settings)
    return TracedDatabase(db, traces) if traces.is_on else db


def tracing(settings: Settings) -> Traces:
    """Where spans go: nowhere, unless the settings say so.

    Raises:
        SettingsError: OpenTelemetry's library is not installed.
    """
    if not settings.traces_url:
        return NOT_TRACED
    try:
        return OpenTelemetry(settings.traces_url, ratio=settings.traces_ratio, version=__version__)
    except TracesUnavailableError:
        raise SettingsError("traces_url needs the extra `traces`: install homeport[traces]") from None


def measuring(settings: Settings) -> Metrics:
    """Where what happens is counted: nowhere, unless somebody may read it.

    Raises:
        SettingsError: Prometheus' library is not installed.
    """
    if not settings.metrics_networks:
        return NOT_MEASURED
    try:
        return Prometheus()
    except MetricsUnavailableError:
        raise SettingsError("metrics_networks needs the extra `metrics`: install homeport[metrics]") from None


@contextlib.asynccontextmanager
async def counting(settings: Settings) -> AsyncIterator[Counters]:
    """Where limits are counted.

    Raises:
        SettingsError: Valkey's client is not installed.
    """
    local = MemoryCounters()
    if not settings.valkey_url:
        yield local
        return
    try:
        from homeport.storage.cache.valkey import connected  # noqa: PLC0415 - an extra, not needed for one process
    except ImportError:
        raise SettingsError("valkey_url needs the extra `valkey`: install homeport[valkey]") from None
    async with connected(settings.valkey_url, local=local) as shared:
        yield shared


def create_app(services: Services, *, is_draining: Callable[[], bool] = lambda: False) -> Application:
    """The doors of running services as one application, without a lifespan."""
    from homeport.api.hub.app import create_app as create_hub  # noqa: PLC0415 - a third of the start-up time
    from homeport.api.registry.app import Registry, nowhere  # noqa: PLC0415
    from homeport.api.registry.pull_limits import PullLimits  # noqa: PLC0415
    from homeport.web.app import create_app as create_web  # noqa: PLC0415
    from homeport.web.app import is_page  # noqa: PLC0415

    settings = services.settings
    hub = create_hub(services, beside=_describe_scim)
    # An upload is bytes, too.
    registry = repeating(Registry(services), settings, unless=lambda path: "/blobs/uploads" in path)
    if settings.has_pull_limits:
        registry = PullLimits(registry, services)
    web = repeating(create_web(services), settings)
    health = Health(services, is_draining=is_draining)
    scim = _Late(lambda: _scim(services))
    hosts = Hosts(settings)

    def is_registrys(path: str, parts: Part) -> bool:
        if path in _TOKEN_PATHS:
            return Part.TOKENS in parts
        return Part.REGISTRY in parts and (Part.HUB not in parts or _is_registry_path(path))

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        parts = hosts.parts(scope)
        if path in OWN_PATHS:
            scope[DOOR] = "own"
            await health(scope, send)
        elif path == METRICS_PATH and is_reader(services, scope):
            scope[DOOR] = "own"
            await tell(services, scope, send)
        elif is_registrys(path, parts):
            scope[DOOR] = "registry"
            await (hub if path in _ENGINE_PATHS else registry)(scope, receive, send)
        elif Part.HUB not in parts:
            await nowhere(scope, send)
        elif path.startswith("/v2/scim/"):
            scope[DOOR] = "scim"
            await scim(scope, receive, send)
        elif is_page(path):
            scope[DOOR] = "web"
            await web(scope, receive, send)
        else:
            scope[DOOR] = "hub"
            await hub(scope, receive, send)

    traced = Traced(dispatch, services.traces) if services.traces.is_on else dispatch
    app = RequestLog(traced, services.metrics)
    return TrustedProxies(app, settings.trusted_proxies) if settings.trusted_proxies else app


def _is_registry_path(path: str) -> bool:
    """Whether a path is the registry's on a host that it shares with the Hub."""
    if not path.startswith("/v2/"):
        return path == "/v2"
    return path[4:].partition("/")[0] not in RESERVED_NAMES and path not in _LOGOUT_PATHS


class _Late:
    """A door that is made when somebody comes to it: its libraries take half a second and 30 MiB."""

    def __init__(self, create: Callable[[], Application]) -> None:
        self._create = create
        self._made: asyncio.Task[Application] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None:
            self._made = asyncio.create_task(asyncio.to_thread(self._create))
        door = await asyncio.shield(self._made)
        await door(scope, receive, send)


def _scim(services: Services) -> Application:
    from homeport.api.scim.app import Scim  # noqa: PLC0415 - see `_Late`

    return Scim(services)


def _describe_scim() -> dict[str, Any]:
    from homeport.api.scim.description import describe  # noqa: PLC0415 - see `_Late`

    return describe()


class Server:
    """The application that a server process runs: it opens the services when it starts and closes them at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._app: Application | None = None
        self._opening: asyncio.Task[None] | None = None
        self._draining = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and self._app is not None:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._or_exit(self._start())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    @staticmethod
    async def _or_exit(start: Coroutine[Any, Any, None]) -> None:
        try:
            await start
        except Exception as error:
            # The server would go on without us, and answer 500 to everything. It starts another worker instead.
            log.error("start failed", reason=str(error), exc_info=not isinstance(error, HomeportError))
            os._exit(1)

    async def _start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(DRAIN_SIGNAL, self._draining.set)
        if self._settings.migrate or await self._is_migrated():
            await self._open()
            return
        log.warning("the database is not migrated: waiting for `homeport migrate`")
        self._app = RequestLog(not_migrated)
        self._opening = asyncio.create_task(self._or_exit(self._open_once_migrated()))

    async def _open(self) -> None:
        services = await self._stack.enter_async_context(open_services(self._settings))
        await self._stack.enter_async_context(worker.running(services, is_for_all=self._settings.jobs))
        self._app = create_app(services, is_draining=self._draining.is_set)
        # What has been loaded so far stays: the collector need not walk through all of it again and again.
        gc.collect()
        gc.freeze()

    async def _open_once_migrated(self) -> None:
        is_migrated = False
        while not is_migrated:
            await asyncio.sleep(MIGRATION_AWAITED_S)
            # A database that is away meanwhile is no reason to end.
            with contextlib.suppress(DatabaseUnavailable):
                is_migrated = await self._is_migrated()
        await self._open()
        log.info("the database is migrated")

    async def _is_migrated(self) -> bool:
        """Whether the schema is there, and what a first start needs."""
        if not await is_usable(self._settings):
            return False
        db = await open_database(self._settings)
        try:
            return await is_prepared(db)
        finally:
            await db.close()


def serve() -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
    """What granian calls in each worker process; the settings come by the environment."""
    settings = settings_module.load()
    configure_logs(settings)
    return Server(settings)
