"""Counting in a Valkey server, so that all workers count as one. Nothing in it is the only copy of anything.

While the server is away each process counts by itself, and says so once: limits are wider then, and nobody is kept out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import ValkeyError

from homeport.storage.cache.cache import Counters, Window

log = structlog.get_logger()

PREFIX = "homeport:"
CONNECTIONS = 20
TIMEOUT_S = 0.5
"""What a request waits for the server at most."""

RETRY_S = 1.0
"""How long a server that was away is not asked again: requests do not wait for it one after the other."""

# A window is a count that expires. Redis 7 and Valkey know EXPIRETIME.
_SCRIPT = """
local limit, window, counts = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local hits = tonumber(redis.call('GET', KEYS[1]) or '0')
local reset_at
if hits > 0 then
    reset_at = redis.call('EXPIRETIME', KEYS[1])
else
    reset_at = tonumber(redis.call('TIME')[1]) + window
end
local is_allowed = hits < limit
if is_allowed and counts then
    hits = redis.call('INCR', KEYS[1])
    if hits == 1 then redis.call('EXPIREAT', KEYS[1], reset_at) end
end
return {hits, reset_at, is_allowed and 1 or 0}
"""


class ValkeyCounters:
    """`cache.Counters` of all processes that share a server; those of one process while it is away."""

    def __init__(self, client: Any, *, local: Counters, timeout_s: float) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)
        self._local = local
        self._timeout_s = timeout_s
        self._away_until = 0.0
        self._is_away = False

    async def is_shared(self) -> bool:
        """Whether the server answers."""
        await self.look("is it there", limit=1, window_s=1)
        return not self._is_away

    async def hit(self, key: str, *, limit: int, window_s: int) -> Window:
        """Count one if there is room."""
        shared = await self._count(key, limit, window_s, counts=True)
        return shared or await self._local.hit(key, limit=limit, window_s=window_s)

    async def look(self, key: str, *, limit: int, window_s: int) -> Window:
        """How it stands, without counting."""
        shared = await self._count(key, limit, window_s, counts=False)
        return shared or await self._local.look(key, limit=limit, window_s=window_s)

    async def clear(self, key: str, *, window_s: int) -> None:
        """Forget what was counted, here and there."""
        await self._local.clear(key, window_s=window_s)
        await self._asked(lambda: self._client.delete(_key(key, window_s)))

    async def _count(self, key: str, limit: int, window_s: int, *, counts: bool) -> Window | None:
        """None while the server is away."""
        found: tuple[int, int, int] | None = await self._asked(
            lambda: self._script(keys=[_key(key, window_s)], args=[limit, window_s, int(counts)])
        )
        if found is None:
            return None
        hits, reset_at, is_allowed = found
        return Window(limit, max(limit - hits, 0), reset_at, bool(is_allowed))

    async def _asked(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What the server says; None while it is away."""
        if self._is_away and time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask()
        except (ValkeyError, OSError, TimeoutError) as error:
            self._went_away(error)
            return None
        if self._is_away:
            self._is_away = False
            log.info("limits are counted by all workers together again")
        return answer

    def _went_away(self, error: Exception) -> None:
        self._away_until = time.monotonic() + RETRY_S
        if not self._is_away:
            self._is_away = True
            log.warning("valkey is away: each worker counts limits by itself", reason=str(error) or repr(error))


def _key(key: str, window_s: int) -> bytes:
    return f"{PREFIX}count:{window_s}:{key}".encode(errors="surrogatepass")  # of names that nobody can have, too


@asynccontextmanager
async def connected(url: str, *, local: Counters, timeout_s: float = TIMEOUT_S) -> AsyncIterator[ValkeyCounters]:
    """Counters over a server, which need not be there yet."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )
    async with Valkey(connection_pool=pool) as client:
        yield ValkeyCounters(client, local=local, timeout_s=timeout_s)
    await pool.disconnect()
