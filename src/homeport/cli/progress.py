"""How far a long command is: one line that is written anew on a terminal, elsewhere a line now and then."""

import sys
import time

_SHOWN_EVERY_S = 0.2
_TOLD_EVERY_S = 30.0
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Shown:
    """Shows on standard error."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._what = ""
        self._total = self._total_bytes = 0
        self._count = self._bytes = 0
        self._begun_s = self._told_s = time.monotonic()

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def begin(self, what: str, *, count: int = 0, size_bytes: int = 0) -> None:
        self._end()
        self._what = what
        self._total, self._total_bytes = count, size_bytes
        self._count = self._bytes = 0
        self._begun_s = self._told_s = time.monotonic()

    def advance(self, count: int, size_bytes: int = 0) -> None:
        self._count += count
        self._bytes += size_bytes
        now = time.monotonic()
        if now - self._told_s >= (_SHOWN_EVERY_S if self._is_terminal else _TOLD_EVERY_S):
            self._told_s = now
            self._tell(now, end="\r" if self._is_terminal else "\n")

    def _end(self) -> None:
        if self._what:
            self._tell(time.monotonic(), end="\n")
            self._what = ""

    def _tell(self, now: float, *, end: str) -> None:
        total = f" of {self._total}" if self._total else ""
        text = f"{self._what}: {self._count}{total}"
        if self._total_bytes:
            rate = self._bytes / max(now - self._begun_s, 0.001)
            text += f", {sized(self._bytes)} of {sized(self._total_bytes)}, {sized(rate)}/s"
        # To the end of the line: what was there may have been longer.
        sys.stderr.write(f"{text}\x1b[K{end}" if self._is_terminal else text + end)
        sys.stderr.flush()


def sized(size_bytes: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} {_UNITS[-1]}"
