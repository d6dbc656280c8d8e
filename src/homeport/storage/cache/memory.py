"""Counting in the memory of one process."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from itertools import islice

from homeport.storage.cache.cache import Window

KEYS_LIMIT = 100_000
"""Keys that are counted at once, for each length of windows. The oldest window makes room for a new one."""


class MemoryCounters:
    """`cache.Counters` of one process."""

    def __init__(self, *, keys_limit: int = KEYS_LIMIT, now: Callable[[], float] = time.time) -> None:
        self._keys_limit = keys_limit
        self._now = now
        # By length of window: what began first ends first, so that those at an end stand in front.
        self._counts: defaultdict[int, OrderedDict[str, _Count]] = defaultdict(OrderedDict)

    async def hit(self, key: str, *, limit: int, window_s: int) -> Window:
        """Count one if there is room."""
        now = self._now()
        counts = self._counts[window_s]
        count = counts.get(key)
        if count is None or not count.is_running(now, window_s):
            count = self._begin(counts, key, now, window_s)
        is_allowed = count.hits < limit
        if is_allowed:
            count.hits += 1
        return count.window(limit, is_allowed=is_allowed)

    async def look(self, key: str, *, limit: int, window_s: int) -> Window:
        """How it stands, without counting."""
        now = self._now()
        count = self._counts[window_s].get(key)
        if count is None or not count.is_running(now, window_s):
            count = _Count(int(now) + window_s)
        return count.window(limit, is_allowed=count.hits < limit)

    async def clear(self, key: str, *, window_s: int) -> None:
        """Forget what was counted."""
        self._counts[window_s].pop(key, None)

    async def is_shared(self) -> bool:
        """Never."""
        return False

    def __len__(self) -> int:
        """Keys that are kept, those whose window is over among them."""
        return sum(map(len, self._counts.values()))

    def _begin(self, counts: "OrderedDict[str, _Count]", key: str, now: float, window_s: int) -> "_Count":
        counts.pop(key, None)
        # Two at most for one that comes: what a flood has left goes away bit by bit, and no request waits for it.
        for oldest in list(islice(counts, 2)):
            if len(counts) >= self._keys_limit or not counts[oldest].is_running(now, window_s):
                del counts[oldest]
        count = counts[key] = _Count(int(now) + window_s)
        return count


class _Count:
    __slots__ = ("hits", "reset_at")

    def __init__(self, reset_at: int) -> None:
        self.hits = 0
        self.reset_at = reset_at

    def is_running(self, now: float, window_s: int) -> bool:
        # A window that ends further ahead than it is long was begun by a clock that has been set back since.
        return now < self.reset_at <= now + window_s

    def window(self, limit: int, *, is_allowed: bool) -> Window:
        return Window(limit, max(limit - self.hits, 0), self.reset_at, is_allowed)
