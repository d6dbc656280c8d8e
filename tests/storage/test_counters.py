"""Counting in windows: the contract of `storage/cache/cache.py`, for each that keeps it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from homeport.storage.cache.memory import MemoryCounters

T = TypeVar("T")

# Steps of time with the keys that ask after each; a step back is a clock that is set.
steps = st.lists(
    st.tuples(st.floats(0, 40, allow_nan=False), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=80
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


def run(coroutine: Awaitable[T]) -> T:
    async def main() -> T:
        return await coroutine

    return asyncio.run(main())


@given(steps=steps, limit=st.integers(1, 5), window_s=st.integers(1, 60))
def test_no_more_than_the_limit_is_allowed_in_a_window(
    steps: list[tuple[float, str, bool]], limit: int, window_s: int
) -> None:
    async def main() -> None:
        clock = Clock()
        counters = MemoryCounters(now=clock)
        allowed: defaultdict[tuple[str, int], int] = defaultdict(int)
        refused_until: dict[str, int] = {}
        for step_s, key, is_hit in steps:
            clock.now += step_s
            before = await counters.look(key, limit=limit, window_s=window_s)
            window = await counters.hit(key, limit=limit, window_s=window_s) if is_hit else before
            assert clock.now < window.reset_at <= clock.now + window_s
            assert 0 <= window.remaining <= limit
            assert window.is_allowed == before.is_allowed == (before.remaining > 0)
            if is_hit and window.is_allowed:
                allowed[key, window.reset_at] += 1
                # Looks and refusals have not counted: what is left is what the allowed ones have left.
                assert window.remaining == limit - allowed[key, window.reset_at] == before.remaining - 1
            if not window.is_allowed:
                assert allowed[key, window.reset_at] == limit
                refused_until[key] = window.reset_at
            if window.is_allowed and key in refused_until:
                assert clock.now >= refused_until.pop(key)
        assert all(count <= limit for count in allowed.values())

    run(main())


@given(back_s=st.floats(0, 1e6, allow_nan=False), window_s=st.integers(1, 60))
def test_a_clock_that_is_set_back_locks_nobody_out(back_s: float, window_s: int) -> None:
    async def main() -> None:
        clock = Clock()
        counters = MemoryCounters(now=clock)
        await counters.hit("a", limit=1, window_s=window_s)
        clock.now -= back_s
        assert (await counters.look("a", limit=1, window_s=window_s)).reset_at <= clock.now + window_s

    run(main())


def test_a_flood_of_keys_does_not_grow_without_end() -> None:
    async def main() -> None:
        clock = Clock()
        counters = MemoryCounters(keys_limit=100, now=clock)
        for number in range(10_000):
            await counters.hit(f"flood {number}", limit=1, window_s=60)
            assert len(counters) <= 100
        assert not (await counters.look("flood 9999", limit=1, window_s=60)).is_allowed
        # Windows of another length have room of their own.
        await counters.hit("pull", limit=1, window_s=21600)
        for number in range(1000):
            await counters.hit(f"more {number}", limit=1, window_s=60)
        assert not (await counters.look("pull", limit=1, window_s=21600)).is_allowed

    run(main())


def test_what_is_over_goes_away() -> None:
    async def main() -> None:
        clock = Clock()
        counters = MemoryCounters(keys_limit=1000, now=clock)
        for number in range(500):
            await counters.hit(f"flood {number}", limit=1, window_s=60)
        clock.now += 60
        for _ in range(500):
            clock.now += 0.001
            await counters.hit(f"later {clock.now}", limit=1, window_s=60)
        assert len(counters) == 500

    run(main())


def test_a_key_that_comes_back_gets_a_place_behind_the_others() -> None:
    async def main() -> None:
        clock = Clock()
        counters = MemoryCounters(keys_limit=2, now=clock)
        await counters.hit("old", limit=1, window_s=60)
        clock.now += 60
        await counters.hit("b", limit=1, window_s=60)
        await counters.hit("old", limit=1, window_s=60)
        await counters.hit("c", limit=1, window_s=60)
        assert [(await counters.look(key, limit=1, window_s=60)).is_allowed for key in ("old", "b", "c")] == [
            False,
            True,
            False,
        ]

    run(main())


def test_what_is_cleared_begins_anew() -> None:
    async def main() -> None:
        counters = MemoryCounters()
        for window_s in (60, 600):
            await counters.hit("a", limit=1, window_s=window_s)
        await counters.clear("a", window_s=60)
        await counters.clear("never counted", window_s=60)
        assert (await counters.hit("a", limit=1, window_s=60)).is_allowed
        assert not (await counters.hit("a", limit=1, window_s=600)).is_allowed

    run(main())
