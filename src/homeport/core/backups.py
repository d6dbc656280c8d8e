"""Backups: a hub is written to a folder while it runs, and read back into an empty place.

All rows come out of one snapshot, which is short; the blobs that they name are copied after it. Meanwhile the
collection of garbage lets all bytes be (`garbage.bytes_kept`). So a backup is the hub of the moment when the export
began: all that had been acknowledged by then is in it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from homeport import __version__
from homeport.core import faults, garbage
from homeport.core.copying import (
    HubBlobs,
    Measured,
    NewHub,
    Progress,
    arrive,
    begin_at,
    copy_blobs,
    insist,
    measure,
    prepare_place,
)
from homeport.core.services import Services
from homeport.errors import BackupInvalid, DigestMismatch
from homeport.names import Digest
from homeport.settings import Settings
from homeport.storage.backup import (
    FORMAT,
    Manifest,
    Problems,
    TableFile,
    open_backup,
    read_manifest,
    writing,
)
from homeport.storage.blobs.opening import open_store
from homeport.storage.db.contents import blobs_of
from homeport.storage.db.database import utcnow
from homeport.storage.db.engine import open_place, open_snapshot
from homeport.storage.db.migrate import migrate
from homeport.storage.db.records import Blob


async def export(services: Services, root: Path, progress: Progress) -> Manifest:
    """Write a hub to a folder. One that holds a backup already is brought up to date: only new blobs are copied.

    A blob that cannot be copied is a problem in the manifest, and the rest is saved.

    Raises:
        BackupInvalid: the folder holds something else, or another export writes to it.
        DatabaseUnavailable, StoreFull, StoreUnavailable: what was written stays, for the next run.
    """
    begun_at = utcnow()
    with writing(root, f"{begun_at:%Y%m%dT%H%M%S%fZ}") as folder:
        async with garbage.bytes_kept(services):
            async with open_snapshot(services.settings) as snapshot:
                revision = snapshot.revision
                progress.begin("rows")
                tables = await folder.write_tables(snapshot, progress.advance)
            faults.point("rows-written")
            measured = await measure(folder.blobs(tables))
            progress.begin("blobs", count=measured.count, size_bytes=measured.size_bytes)
            problems = await copy_blobs(folder.blobs(tables), HubBlobs(services), folder, progress)
        manifest = _manifest(begun_at, revision, tables, measured, problems)
        await folder.finish(manifest)
    return manifest


def _manifest(
    begun_at: datetime, revision: str, tables: list[TableFile], measured: Measured, problems: Problems
) -> Manifest:
    return Manifest(
        format=FORMAT,
        program=__version__,
        revision=revision,
        begun_at=begun_at.isoformat(),
        ended_at=utcnow().isoformat(),
        blob_count=measured.count,
        blob_bytes=measured.size_bytes,
        problem_count=problems.count,
        problems=tuple(problems.named),
        tables=tuple(tables),
    )


async def import_(settings: Settings, root: Path, progress: Progress, *, is_complete: bool = True) -> Manifest:
    """Bring a backup to an empty place. One that was broken off goes on; no server starts there before it is done.

    `is_complete`: refuse a backup that lacks blobs.

    Raises:
        BackupInvalid, ContentsUnfit: nothing of the rows is kept.
        PlaceTaken: there is something already.
        DatabaseUnavailable, StoreFull, StoreUnavailable
    """
    manifest = read_manifest(root)
    if manifest.problem_count and is_complete:
        raise BackupInvalid(f"it lacks {manifest.problem_count} blobs (--incomplete takes it as it is)")
    backup = open_backup(root, manifest)
    await backup.check()
    await prepare_place(settings, manifest.revision)
    store = await open_store(settings)
    async with open_place(settings) as place:
        hub = NewHub(place, store, is_resumed=await begin_at(place, store))
        progress.begin("blobs", count=manifest.blob_count, size_bytes=manifest.blob_bytes)
        insist(await copy_blobs(blobs_of(backup), backup, hub, progress), is_complete=is_complete)
        progress.begin("rows", count=manifest.row_count)
        await place.load(
            backup,
            keeps_store=False,
            is_complete=is_complete,
            on_rows=progress.advance,
            before_commit=arrive,
        )
    await migrate(settings)
    return manifest


class _Nowhere:
    """Where blobs go that are looked at only."""

    async def has(self, blob: Blob) -> bool:  # noqa: ARG002 - the contract's
        return False

    async def put(self, blob: Blob, chunks: AsyncIterator[bytes]) -> None:
        digest = Digest(blob.digest)
        hasher = hashlib.new(digest.algorithm)
        async for chunk in chunks:
            await asyncio.to_thread(hasher.update, chunk)
        if hasher.hexdigest() != digest.hex:
            raise DigestMismatch(digest)


async def check(root: Path, progress: Progress) -> Problems:
    """Read a whole backup; the blobs that are missing or wrong in it.

    Raises:
        BackupInvalid: the rows cannot be read.
    """
    manifest = read_manifest(root)
    backup = open_backup(root, manifest)
    await backup.check()
    for table in backup.tables:
        async for _ in backup.rows(table):
            pass
    progress.begin("blobs", count=manifest.blob_count, size_bytes=manifest.blob_bytes)
    return await copy_blobs(blobs_of(backup), backup, _Nowhere(), progress)
