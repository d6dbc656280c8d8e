"""Counting attempts in the memory of one process."""

import time

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter


class AttemptLimiter:
    """So many failures for one key within a window of seconds."""

    def __init__(self, *, attempts: int, window_s: int) -> None:
        self._item: RateLimitItem = RateLimitItemPerSecond(attempts, window_s)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def blocked_for_s(self, key: str) -> int:
        """Seconds until the key may try again; 0 if it may now."""
        if self._limiter.test(self._item, key):
            return 0
        reset_at = self._limiter.get_window_stats(self._item, key).reset_time
        return max(1, round(reset_at - time.time()))

    def failed(self, key: str) -> None:
        """Count a failure."""
        self._limiter.hit(self._item, key)
