"""The contract of what counts for a while and may be lost: limits are kept by it."""

import time
from typing import Protocol

import msgspec


class Window(msgspec.Struct, frozen=True):
    """How a key stands within its window; `reset_at` is the window's end in seconds since 1970."""

    limit: int
    remaining: int
    reset_at: int
    is_allowed: bool

    @property
    def wait_s(self) -> int:
        """Whole seconds to its end; one at least."""
        return max(1, self.reset_at - int(time.time()))


class Counters(Protocol):
    """Counts by key in windows of fixed length: one begins with the first hit, and ends at a whole second.

    No more than `limit` hits are allowed before `reset_at`. One that is refused does not count.
    """

    async def hit(self, key: str, *, limit: int, window_s: int) -> Window:
        """Count one if there is room; `remaining` is what is left after it."""
        ...

    async def look(self, key: str, *, limit: int, window_s: int) -> Window:
        """How it stands, without counting; `is_allowed` tells whether a hit would be."""
        ...

    async def clear(self, key: str, *, window_s: int) -> None:
        """Forget what was counted."""
        ...

    async def is_shared(self) -> bool:
        """Whether all workers count together now."""
        ...
