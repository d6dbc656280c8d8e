"""What a server has acknowledged, so that it can be held to it."""

import threading
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Register(Generic[K, V]):
    """What each thing may be: the value that was acknowledged last, or one that was asked for since.

    A request that was not answered may have happened or not; or may be about to, as long as it has not `settled`.
    """

    def __init__(self, absent: V, *, settles_after_s: float = 0) -> None:
        self.acknowledged = 0
        self._absent = absent
        self._settles_after_s = settles_after_s
        self._values: dict[K, set[V]] = {}
        self._asked_at: dict[K, float] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._values))

    def asked(self, key: K, value: V) -> None:
        with self._lock:
            self._values.setdefault(key, {self._absent}).add(value)
            self._asked_at[key] = time.monotonic()

    def answered(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = {value}
            self.acknowledged += 1

    def refused(self, key: K, value: V) -> None:
        """It did surely not happen."""
        with self._lock:
            if len(self._values[key]) > 1:
                self._values[key].discard(value)

    def possible(self, key: K) -> frozenset[V]:
        return frozenset(self._values.get(key, {self._absent}))

    def certain(self, key: K) -> V | None:
        """The one value that it can be; None where there are several."""
        values = self.possible(key)
        return next(iter(values)) if len(values) == 1 else None

    def found(self, key: K, value: V) -> bool:
        """Whether it can be what was read just now; what it is from then on, once nothing is on its way any more."""
        with self._lock:
            if value not in self.possible(key):
                return False
            if time.monotonic() - self._asked_at.get(key, 0.0) >= self._settles_after_s:
                self._values[key] = {value}
            return True
