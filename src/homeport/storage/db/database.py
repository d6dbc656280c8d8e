"""The contract of the database: transactions that run SQL as it is written, and give frozen structs.

SQL stands where it is used, in the words that SQLite and PostgreSQL share, with named parameters (`:name`). What a
parameter may be: None, bool, int, str, bytes, an aware `datetime` (stored as UTC microseconds), a list of int or str,
which is written `in (:names...text)` or `in (:ids...bigint)`, or a `search_tokens.Wanted`, which is written `from
(:wanted...tokens) as …` and gives the `id` of each repository that has them, in no order.

Columns come in the order of the struct's fields; the first use of a statement checks that, so that a changed query
fails in its first test and never swaps two values silently.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, get_type_hints

import msgspec

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
K = TypeVar("K")

CACHE_LIMIT = 2048
"""Statements that a process remembers."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)(?:\.\.\.(bigint|text|tokens))?")


Listener = Callable[[str, int], None]


class Attempt:
    """What has become of the transactions of one try to handle a request."""

    __slots__ = ("has_written", "is_taken_back")

    def __init__(self) -> None:
        self.has_written = False
        self.is_taken_back = False

    @property
    def may_be_repeated(self) -> bool:
        """Whether a transaction was taken back for no fault of its own, and none was kept."""
        return self.is_taken_back and not self.has_written


ATTEMPT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""Whoever could begin anew sets one; the database says there what has happened."""


class Transaction(Protocol):
    """Statements that see one state of the data, and are kept together or not at all."""

    @property
    def lists(self) -> "Transaction":
        """For the statements of a list, once it is decided that the actor may see it: a replica may run them.

        It has all that had been written before they came. No decision and no write may hang on them. In a transaction
        that writes, and where there is no replica, this is the transaction itself.
        """
        ...

    async def one(self, struct: type[S], sql: str, /, **parameters: Any) -> S | None:
        """The first row, or None."""
        ...

    async def many(self, struct: type[S], sql: str, /, **parameters: Any) -> list[S]:
        """All rows. The statement bounds their number."""
        ...

    async def value(self, type_: type[T], sql: str, /, **parameters: Any) -> T | None:
        """The first column of the first row; None if there is no row or the value is null."""
        ...

    async def run(self, sql: str, /, **parameters: Any) -> int:
        """Run a statement that gives no rows; how many rows it touched."""
        ...

    async def run_many(self, sql: str, rows: Sequence[dict[str, Any]], /) -> None:
        """Run one statement for each row of parameters."""
        ...

    async def lock(self, kind: str, id_: int, /) -> None:
        """Wait until no other transaction holds this lock, and hold it until this one ends."""
        ...

    def announce(self, event: str, id_: int, /) -> None:
        """Tell the listeners of this process once the transaction is durable; not at all if it fails."""
        ...


class Usage(msgspec.Struct, kw_only=True):
    """How a database is used: what has been since it was opened, and what is now."""

    reads: int = 0
    writes: int = 0
    statements: int = 0
    waited_s: float = 0.0
    """What transactions have waited for a connection, or for the one writer, in all."""

    waiting: int = 0
    open_connections: int = 0
    busy_connections: int = 0


class Database(Protocol):
    """Where transactions come from."""

    trace: Callable[[str], None] | None
    """Called with each statement; tests count with it."""

    def read(self, *, scan: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that only reads; `scan` keeps statements that may look at many rows off the event loop."""
        ...

    def write(self, *, is_durable: bool = True, scan: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that is durable when the block has ended without an error; `scan` as in `read`.

        One that need not be is visible to all and survives the death of the process, but may be lost in a power cut.
        """
        ...

    def version(self) -> int | None:
        """A number that changes when anybody has written anything; None where that is not known for nothing."""
        ...

    def listen(self, listener: Listener) -> None:
        """Have announcements told to a function."""
        ...

    def usage(self) -> Usage:
        """How it is used."""
        ...

    async def close(self) -> None: ...


def to_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def utcnow() -> datetime:
    return datetime.now(UTC)


class Cache(dict[K, T]):
    """What is remembered of statements. The filters of clients make ever new ones: a full one begins anew."""

    def __setitem__(self, key: K, value: T) -> None:
        if len(self) >= CACHE_LIMIT:
            self.clear()
        super().__setitem__(key, value)


class RowMaker:
    """Turns the rows of one statement into structs; knows which columns need converting."""

    def __init__(self, struct: type[msgspec.Struct], columns: Sequence[str]) -> None:
        fields = struct.__struct_fields__
        if tuple(columns) != fields:
            raise TypeError(f"{struct.__name__} has {fields}, the statement gives {tuple(columns)}")
        hints = get_type_hints(struct)
        self._struct = struct
        self._converters = [
            (index, converter)
            for index, name in enumerate(fields)
            if (converter := _converter(hints[name])) is not None
        ]

    def __call__(self, row: Sequence[Any]) -> Any:
        if not self._converters:
            return self._struct(*row)
        values = list(row)
        for index, convert in self._converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        return self._struct(*values)


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    """What a column needs on its way out: times and booleans are integers in the database."""
    options = {hint, *getattr(hint, "__args__", ())}
    if datetime in options:
        return from_microseconds
    if bool in options:
        return bool
    for option in options:
        if isinstance(option, type) and issubclass(option, str) and option is not str:
            return option
    return None
