"""`/healthz`: the process answers. `/readyz`: it can serve, with a word for each thing that it needs.

Whoever asks learns names, states and times, and no addresses; the log says the rest. What was found holds for a second,
and a thing that does not answer within a second is away: so an answer takes little more than that, however many ask and
whatever hangs. One that hangs is not asked again before it has answered.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from homeport.api.http import ROUTE, Receive, Response, Scope, Send
from homeport.core.services import Services
from homeport.errors import HomeportError
from homeport.storage.db.migrate import Fit, read_fit

log = structlog.get_logger()

REMEMBERED_S = 1.0
TIMEOUT_S = 1.0
RETRY_AFTER_S = 5

DRAIN_SIGNAL = signal.SIGUSR1
"""With it `homeport serve` tells its workers that they are no longer ready."""

OK = "ok"
AWAY = "away"
LIVENESS_PATH, READINESS_PATH = "/healthz", "/readyz"

Check = Callable[[], Awaitable[str]]


class _Found(msgspec.Struct, frozen=True):
    state: str
    duration_ms: float


class Health:
    """Answers on both paths for running services."""

    def __init__(self, services: Services, *, is_draining: Callable[[], bool]) -> None:
        self._services = services
        self._is_draining = is_draining
        self._checks: dict[str, Check] = {"database": self._database, "blobs": self._blobs}
        if services.settings.valkey_url:
            self._checks["valkey"] = self._valkey
        self._schema = Fit.CURRENT
        self._running: dict[str, asyncio.Task[_Found]] = {}
        self._probe: asyncio.Task[dict[str, _Found]] | None = None
        self._told: dict[str, str] = {}

    async def __call__(self, scope: Scope, send: Send) -> None:
        scope[ROUTE] = scope["path"]
        if scope["path"] == LIVENESS_PATH:
            await _answer(scope, send, 200, {"status": OK})
        elif self._is_draining():
            await _answer(scope, send, 503, {"status": "draining"})
        else:
            await self._tell_readiness(scope, send)

    async def _tell_readiness(self, scope: Scope, send: Send) -> None:
        found = await self._find()
        states = {name: one.state for name, one in found.items()}
        # Without Valkey everything goes on, with limits that are wider.
        is_ready = states["database"] == states["blobs"] == OK and self._schema.is_usable
        body = {
            "status": OK if is_ready else "unavailable",
            **states,
            "schema": self._schema,
            "duration_ms": {name: one.duration_ms for name, one in found.items()},
        }
        await _answer(scope, send, 200 if is_ready else 503, body)

    async def _find(self) -> dict[str, _Found]:
        """What all checks find, or have found a moment ago. Those who ask at the same time share it."""
        if self._probe is None:
            self._probe = asyncio.create_task(self._find_now())
            self._probe.add_done_callback(lambda _: asyncio.get_running_loop().call_later(REMEMBERED_S, self._forget))
        return await asyncio.shield(self._probe)

    def _forget(self) -> None:
        self._probe = None

    async def _find_now(self) -> dict[str, _Found]:
        for name, check in self._checks.items():
            if name not in self._running or self._running[name].done():
                self._running[name] = asyncio.create_task(self._run(name, check))
        await asyncio.wait(self._running.values(), timeout=TIMEOUT_S)
        found = {
            name: task.result() if task.done() else _Found(AWAY, round(TIMEOUT_S * 1000, 1))
            for name, task in self._running.items()
        }
        for name, one in found.items():
            self._tell_change(name, one.state)
        return found

    async def _run(self, name: str, check: Check) -> _Found:
        began = time.perf_counter()
        try:
            state = await check()
        except HomeportError as error:
            state = AWAY
            log.warning("not ready", check=name, reason=str(error))
        except Exception:
            state = AWAY
            log.exception("not ready", check=name)
        return _Found(state, round((time.perf_counter() - began) * 1000, 1))

    def _tell_change(self, name: str, state: str) -> None:
        if self._told.get(name, OK) != state:
            log.warning("readiness", check=name, state=state)
        self._told[name] = state

    async def _database(self) -> str:
        async with self._services.db.read() as tx:
            self._schema = await read_fit(tx, is_sqlite=self._services.settings.is_sqlite)
        return OK

    async def _blobs(self) -> str:
        await self._services.blobs.check()
        return OK

    async def _valkey(self) -> str:
        return OK if await self._services.counters.is_shared() else AWAY


async def not_migrated(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an application
    """All that a server says whose database is to be migrated by somebody else: come again later."""
    if scope["path"] == LIVENESS_PATH:
        await _answer(scope, send, 200, {"status": OK})
    elif scope["path"] == READINESS_PATH:
        await _answer(scope, send, 503, {"status": "unavailable", "schema": Fit.BEHIND})
    else:
        message = "the hub is being upgraded: try again in a moment"
        body = {"message": message, "errors": [{"code": "UNAVAILABLE", "message": message}], "errinfo": {}}
        await _answer(scope, send, 503, body)


async def _answer(scope: Scope, send: Send, status: int, body: object) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await Response(status, headers, msgspec.json.encode(body)).send(send, is_head=scope["method"] == "HEAD")
