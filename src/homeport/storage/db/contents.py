"""Everything that a database holds, for backups and moves: its tables as the schema has them, and their rows.

No list of tables is kept here: they come from the schema, and a new one is copied without anybody's doing. What is not
copied is named below, with the reason.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from homeport.names import Digest
from homeport.storage.db.marks import FILLING, MOVED
from homeport.storage.db.records import Blob

OF_THE_PLACE = {
    "alembic_version": "which schema it is, which a backup says by itself",
    "schema_support": "which programs the schema is for: written as it is migrated",
    "job_turns": "when a job is due again: at a new place each may begin at once",
    MOVED: "that the hub has gone",
    FILLING: "that a hub is coming",
}

OF_THE_STORE = {
    "uploads": "their bytes are not copied: a client whose upload is unknown begins anew",
    "discarded_keys": "keys of bytes that are about to be deleted where they are",
}
"""They go along where the blobs stay."""

DERIVED = {"repository_tokens": "SQLite's index of search: triggers write it as rows of `repository_search` come"}
"""Virtual tables; one that is not named here cannot be copied, and is an error."""

BATCH_ROWS = 1000
BATCH_BYTES = 1024 * 1024

Row = Sequence[Any]


class Kind(StrEnum):
    """What a column holds, on whichever database: the values are int, str, bytes and bool, or None."""

    INTEGER = "integer"
    TEXT = "text"
    BYTES = "bytes"
    BOOLEAN = "boolean"


class Column(msgspec.Struct, frozen=True, array_like=True):
    name: str
    kind: Kind


class Table(msgspec.Struct, frozen=True):
    """`last_id` is the last that the database has given to a row, also to one that is gone: none is given twice."""

    name: str
    columns: tuple[Column, ...]
    last_id: int | None = None

    @property
    def select(self) -> str:
        return f"select {', '.join(column.name for column in self.columns)} from {self.name}"

    def index(self, name: str) -> int:
        return next(index for index, column in enumerate(self.columns) if column.name == name)


class Contents(Protocol):
    """All rows of one moment, of a hub or of a backup."""

    @property
    def revision(self) -> str:
        """The schema that they are of."""
        ...

    @property
    def tables(self) -> Sequence[Table]: ...

    def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """The rows of a table in batches, in no order, with the columns in the table's."""
        ...


class Snapshot(Contents, Protocol):
    """The rows of a database, as they are for as long as it is open."""

    async def leave(self, target: str) -> None:
        """Have everything that would write refused from now on, durably, with a word on where the hub went.

        Only of a snapshot that is locked.
        """
        ...


OnRows = Callable[[int], None]
"""Is told of how many more rows have come."""


class Arrived(msgspec.Struct, frozen=True):
    """A blob whose bytes are in the store of the place."""

    digest: str
    size_bytes: int
    storage_key: str


class Place(Protocol):
    """A database that a hub is brought to: first its blobs, noted one by one, then all rows at once."""

    async def is_empty(self) -> bool:
        """Whether there is no row at all."""
        ...

    async def is_filling(self) -> bool:
        """Whether a hub is on its way to here."""
        ...

    async def begin(self) -> None:
        """Say that a hub is on its way; servers refuse to start here from now on."""
        ...

    async def get_arrived(self, digest: str) -> Arrived | None: ...

    async def note_arrived(self, blob: Arrived) -> None: ...

    async def load(
        self,
        contents: Contents,
        *,
        keeps_store: bool,
        is_complete: bool,
        on_rows: OnRows,
        before_commit: Callable[[], Awaitable[None]],
    ) -> None:
        """Take in all rows in one transaction, after which the place is a hub.

        `keeps_store`: the blobs stay under the keys that they have. `is_complete`: each has to have arrived.

        Raises:
            PlaceTaken: there are rows already, or no hub is on its way to here any more.
            ContentsUnfit: the rows do not fit the schema or each other, or blobs are missing.
            DatabaseUnavailable
        """
        ...


def kept_tables(names: Sequence[str], *, with_store: bool) -> list[str]:
    """The tables that are copied."""
    left = {*OF_THE_PLACE, *(() if with_store else OF_THE_STORE)}
    return sorted(set(names) - left)


async def blobs_of(contents: Contents) -> AsyncIterator[Blob]:
    """The blobs that rows name."""
    table = next(table for table in contents.tables if table.name == "blobs")
    places = [table.index(name) for name in Blob.__struct_fields__]
    async for batch in contents.rows(table):
        for row in batch:
            blob = Blob(*(row[place] for place in places))
            Digest.parse(blob.digest)  # out of a backup, where it is the name of a file
            yield blob


# What follows the rows, in words that both databases share.

CREATE_FILLING = f"""
    create table {FILLING} (
        digest text{{collate}} primary key, size_bytes bigint not null, storage_key text{{collate}} not null
    )
    """

SELECT_ARRIVED = f"select digest, size_bytes, storage_key from {FILLING}"

REKEY = f"""
    update blobs set storage_key = {FILLING}.storage_key from {FILLING} where {FILLING}.digest = blobs.digest
    """

COUNT_MISSING = f"""
    select count(*) from blobs where not exists (select 1 from {FILLING} where {FILLING}.digest = blobs.digest)
    """

DISCARD_UNNAMED = f"""
    insert into discarded_keys (storage_key, discarded_at)
    select storage_key, {{now}} from {FILLING}
    where not exists (select 1 from blobs where blobs.digest = {FILLING}.digest)
    """
"""What came ahead, and is no more: the collection of garbage takes the bytes away."""


def difference(wanted: Sequence[Table], found: Sequence[Table]) -> str | None:
    """What keeps rows of some tables from fitting into others; None if they do."""
    columns = {table.name: {(column.name, column.kind) for column in table.columns} for table in wanted}
    own = {table.name: {(column.name, column.kind) for column in table.columns} for table in found}
    for name in sorted({*columns, *own}):
        if columns.get(name) != own.get(name):
            return f"the table {name} is another here and there"
    return None
