"""Attempts to guess something: so many failures for one key within a window of seconds, which the first one begins."""

from homeport.storage.cache.cache import Counters


class Attempts:
    """Attempts of one kind."""

    def __init__(self, counters: Counters, kind: str, *, limit: int, window_s: int) -> None:
        self._counters = counters
        self._kind = kind
        self._limit = limit
        self._window_s = window_s

    async def blocked_for_s(self, key: str) -> int:
        """Seconds until the key may try again; 0 if it may now."""
        window = await self._counters.look(self._key(key), limit=self._limit, window_s=self._window_s)
        return 0 if window.is_allowed else window.wait_s

    async def failed(self, key: str) -> None:
        """Count a failure."""
        await self.attempt(key)

    async def attempt(self, key: str) -> int:
        """Count an attempt before its outcome is known, so that many at once are no way round the limit.

        Seconds until the key may try again; 0 if it may now, and has been counted.
        """
        window = await self._counters.hit(self._key(key), limit=self._limit, window_s=self._window_s)
        return 0 if window.is_allowed else window.wait_s

    async def succeeded(self, key: str) -> None:
        """Take back what was counted."""
        await self._counters.clear(self._key(key), window_s=self._window_s)

    def _key(self, key: str) -> str:
        return f"{self._kind} {key}"
