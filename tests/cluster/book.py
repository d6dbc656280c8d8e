"""What the clients of a cluster were told, what may go wrong at which time, and what went wrong."""

import contextlib
import time
from collections import Counter
from collections.abc import Hashable, Iterator

import msgspec

from tests.ledger import Register

RECOVERS_WITHIN_S = 5.0
"""How long after the end of a fault requests may still be refused: from then on all has to be as before."""

SETTLES_AFTER_S = 3.0
"""How long what was not answered may still be on its way to the database."""


class Spell(msgspec.Struct):
    """A time in which something is away. `is_cutting`: connections may be cut, too."""

    name: str
    is_cutting: bool
    began_at: float
    ended_at: float = float("inf")

    def covers(self, began_at: float, ended_at: float) -> bool:
        return began_at <= self.ended_at + RECOVERS_WITHIN_S and ended_at >= self.began_at


class Weather:
    """When requests may fail."""

    def __init__(self) -> None:
        self._spells: list[Spell] = []

    @contextlib.contextmanager
    def spell(self, name: str, *, is_cutting: bool = False) -> Iterator[None]:
        found = Spell(name, is_cutting, time.monotonic())
        self._spells.append(found)
        try:
            yield
        finally:
            found.ended_at = time.monotonic()

    def excuses(self, began_at: float, *, cut: bool = False, of: str = "") -> bool:
        """Whether a request that began at a time, and has just failed, may have failed."""
        now = time.monotonic()
        return any(
            spell.covers(began_at, now) and (spell.is_cutting or not cut) and spell.name.startswith(of)
            for spell in self._spells
        )


Deed = tuple[Hashable, ...]
"""Account, action and name of an audit event, and what tells it from others of these."""


class Book:
    """`tags`: digest of each tag (None: there is none). `things`: anything else, by a key; None: it is not there."""

    def __init__(self) -> None:
        self.weather = Weather()
        self.tags: Register[tuple[str, str], str | None] = Register(None, settles_after_s=SETTLES_AFTER_S)
        self.things: Register[tuple[str, ...], str | None] = Register(None, settles_after_s=SETTLES_AFTER_S)
        self.manifests: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        """Bytes of each, and the digests of the blobs that it names."""
        self.blobs: dict[str, bytes] = {}
        self.pushed: dict[tuple[str, str], str] = {}
        """Repository and digest of all that was acknowledged, with the kind: manifest or blob."""
        self.asked: Counter[Deed] = Counter()
        self.done: Counter[Deed] = Counter()
        self.reads = 0
        self.unavailable: Counter[str] = Counter()
        self.cut = 0
        self.lost: list[str] = []
        self.wrong: list[str] = []
        self.unclear: list[str] = []
        """Errors at a time when there may be none, or in words that nobody understands."""

    @property
    def acknowledged(self) -> int:
        return sum(self.done.values()) + len(self.pushed)

    @property
    def problems(self) -> list[str]:
        return [
            *(f"lost: {text}" for text in self.lost),
            *(f"wrong: {text}" for text in self.wrong),
            *(f"unclear: {text}" for text in self.unclear),
        ]
