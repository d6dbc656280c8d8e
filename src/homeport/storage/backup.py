"""A backup: a folder that holds a hub.

    backup.json                               what it is: written last, and renamed into place
    tables/20261125T220000Z/tags.jsonl.gz     the rows of a table, one JSON list a line
    blobs/sha256/9f/9f86d081…                 the bytes of a blob
    lock                                      held by who writes to it

Each run writes its tables to a folder of its own, so that the backup before stays whole until the new one is. Blobs are
shared: one that is there is not written again. Their name is given to them when all of their bytes are on the disk and
hash right. The folder opens to its owner only: it holds the keys that sign tokens, and hashes of passwords.
"""

import asyncio
import contextlib
import errno
import fcntl
import gzip
import hashlib
import io
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from homeport.errors import BackupInvalid, BlobUnknown, DigestMismatch, StoreFull, StoreUnavailable
from homeport.names import Digest
from homeport.storage.db.contents import Column, Contents, Kind, OnRows, Row, Table, blobs_of
from homeport.storage.db.records import Blob

FORMAT = 1
CHUNK_BYTES = 1024 * 1024
COMPRESSION = 3
PROBLEMS_LIMIT = 1000
"""So many are named; all are counted."""

_TYPES: dict[Kind, Any] = {Kind.INTEGER: int | None, Kind.TEXT: str | None, Kind.BYTES: bytes | None}
_TYPES[Kind.BOOLEAN] = bool | None


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    """A table, and where its rows are. `sha256` is of the file as it is on the disk."""

    name: str
    columns: tuple[Column, ...]
    last_id: int | None
    file: str
    row_count: int
    size_bytes: int
    sha256: str

    @property
    def table(self) -> Table:
        return Table(self.name, self.columns, self.last_id)


class Problem(msgspec.Struct, frozen=True):
    """A blob that is named and could not be copied."""

    digest: str
    why: str


class Problems:
    """Problems, all of them counted and the first of them named."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[Problem] = []

    def add(self, problem: Problem) -> None:
        self.count += 1
        if len(self.named) < PROBLEMS_LIMIT:
            self.named.append(problem)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `backup.json` says. A backup with problems lacks the blobs that they name."""

    format: int
    program: str
    revision: str
    begun_at: str
    ended_at: str
    blob_count: int
    blob_bytes: int
    problem_count: int
    problems: tuple[Problem, ...]
    tables: tuple[TableFile, ...]

    @property
    def row_count(self) -> int:
        return sum(table.row_count for table in self.tables)


class _Format(msgspec.Struct):
    format: int


class Folder:
    """The files of a backup that somebody writes."""

    def __init__(self, root: Path, run: str) -> None:
        self._root = root
        self._run = run
        self._touched: set[Path] = set()

    async def write_tables(self, contents: Contents, on_rows: OnRows) -> list[TableFile]:
        """Write all rows; what was written."""
        folder = self._root / "tables" / self._run
        with _explained(folder.name):
            await asyncio.to_thread(_make_folder, folder)
            written = [await self._write_table(contents, table, folder, on_rows) for table in contents.tables]
            await asyncio.to_thread(_sync_folders, [folder, folder.parent, self._root])
        return written

    async def _write_table(self, contents: Contents, table: Table, folder: Path, on_rows: OnRows) -> TableFile:
        path = folder / f"{table.name}.jsonl.gz"
        encode = msgspec.json.Encoder().encode_lines
        with _created(path) as raw:
            count = 0
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=COMPRESSION, mtime=0) as file:
                async for batch in contents.rows(table):
                    await asyncio.to_thread(lambda rows: file.write(encode(rows)), batch)
                    count += len(batch)
                    on_rows(len(batch))
            await asyncio.to_thread(_sync, raw)
        return TableFile(
            name=table.name,
            columns=table.columns,
            last_id=table.last_id,
            file=str(path.relative_to(self._root)),
            row_count=count,
            size_bytes=path.stat().st_size,
            sha256=await asyncio.to_thread(_sha256, path),
        )

    async def has(self, blob: Blob) -> bool:
        """Whether a blob is there: a file with its name is whole, unless somebody has cut it since."""
        path = blob_path(self._root, Digest(blob.digest))
        with _explained(blob.digest):
            return path.exists() and path.stat().st_size == blob.size_bytes

    async def put(self, blob: Blob, chunks: AsyncIterator[bytes]) -> None:
        """Write a blob.

        Raises:
            DigestMismatch: the bytes are others; they are not kept.
            StoreFull, StoreUnavailable
        """
        digest = Digest(blob.digest)
        path = blob_path(self._root, digest)
        part = path.with_name(f"{path.name}.part")
        hasher = hashlib.new(digest.algorithm)
        with _explained(blob.digest):
            if path.parent not in self._touched:
                await asyncio.to_thread(_make_folder, path.parent)
                self._touched.add(path.parent)
            with _created(part) as file:
                async for chunk in chunks:
                    await asyncio.to_thread(_write, file, hasher, chunk)
                if hasher.hexdigest() != digest.hex:
                    os.unlink(part)
                    raise DigestMismatch(digest)
                await asyncio.to_thread(_sync, file)
            os.rename(part, path)

    async def finish(self, manifest: Manifest) -> None:
        """Make this the backup, and take away what was only the one before's."""
        with _explained("backup.json"):
            await asyncio.to_thread(self._finish, manifest)

    def _finish(self, manifest: Manifest) -> None:
        _sync_folders([*self._touched, *{path.parent for path in self._touched}, self._root])
        part = self._root / "backup.json.part"
        with _created(part) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            _sync(file)
        os.rename(part, self._root / "backup.json")
        _sync_folders([self._root])
        for folder in (self._root / "tables").iterdir():
            if folder.name != self._run:
                shutil.rmtree(folder)
        for path in self._root.glob("blobs/*/*/*.part"):
            path.unlink()

    def blobs(self, tables: Sequence[TableFile]) -> AsyncIterator[Blob]:
        """The blobs that rows name which were just written."""
        return blobs_of(Backup(self._root, tables=tables, revision=""))


class Backup:
    """The files of a backup that somebody reads: `Contents`, and blobs."""

    def __init__(self, root: Path, *, tables: Sequence[TableFile], revision: str) -> None:
        self._root = root
        self._files = {file.name: file for file in tables}
        self.tables: Sequence[Table] = [file.table for file in tables]
        self.revision = revision

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """Raises: BackupInvalid: the file is not what was written."""
        described = self._files[table.name]
        types = tuple(_TYPES[column.kind] for column in table.columns)
        decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(tuple.__class_getitem__(types))
        count = 0
        with _unreadable(described.file), gzip.open(self._root / described.file) as file:
            while lines := await asyncio.to_thread(file.readlines, CHUNK_BYTES):
                yield [decoder.decode(line) for line in lines]
                count += len(lines)
        if count != described.row_count:
            raise BackupInvalid(f"{described.file} has {count} rows instead of {described.row_count}")

    async def check(self) -> None:
        """Raises: BackupInvalid: a file of rows is not the one that was written."""
        for described in self._files.values():
            with _unreadable(described.file):
                found = await asyncio.to_thread(_sha256, self._root / described.file)
            if found != described.sha256:
                raise BackupInvalid(f"{described.file} is another than the one that was written")

    async def read(self, blob: Blob) -> AsyncIterator[bytes]:
        """The bytes of a blob.

        Raises:
            BlobUnknown, StoreUnavailable
        """
        path = blob_path(self._root, Digest(blob.digest))
        with _explained(blob.digest):
            try:
                file = io.FileIO(path)
            except FileNotFoundError:
                raise BlobUnknown(blob.digest) from None
            with file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield chunk


@contextlib.contextmanager
def writing(root: Path, run: str) -> Iterator[Folder]:
    """A backup to write to; nobody else writes to it meanwhile.

    Raises:
        BackupInvalid: the folder holds something else, or somebody else writes to it.
        StoreFull, StoreUnavailable
    """
    with _explained(str(root)):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.listdir(root) and not (root / "lock").exists():
            raise BackupInvalid(f"{root} holds something else: name an empty folder")
        root.chmod(0o700)
        descriptor = os.open(root / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupInvalid("another export writes to it") from None
        yield Folder(root, run)
    finally:
        os.close(descriptor)


def read_manifest(root: Path) -> Manifest:
    """Raises: BackupInvalid: there is none, or one that this version cannot read."""
    try:
        text = (root / "backup.json").read_bytes()
        form = msgspec.json.decode(text, type=_Format).format
        if form != FORMAT:
            raise BackupInvalid(f"it has the format {form}, this version reads {FORMAT}: upgrade the program")
        return msgspec.json.decode(text, type=Manifest)
    except FileNotFoundError:
        raise BackupInvalid(f"there is no backup.json in {root}: no export has ended there") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupInvalid(f"backup.json: {error}") from None


def open_backup(root: Path, manifest: Manifest) -> Backup:
    return Backup(root, tables=manifest.tables, revision=manifest.revision)


def blob_path(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def _make_folder(folder: Path) -> None:
    """With those above it, all for the owner alone."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _created(path: Path) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w")


def _write(file: io.FileIO, hasher: Any, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]
    hasher.update(chunk)


def _sync(file: io.FileIO) -> None:
    os.fsync(file.fileno())


def _sync_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """The operating system's errors in our words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull from error
        raise StoreUnavailable(f"{what}: {error.strerror or error}") from error


@contextlib.contextmanager
def _unreadable(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, msgspec.MsgspecError, zlib.error) as error:
        raise BackupInvalid(f"{what}: {error}") from None
