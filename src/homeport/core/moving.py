"""Moves a hub to another database, and to another store of blobs, without a copy in between.

Most of the bytes can go ahead while the hub runs, as often as one likes. The move itself keeps the database locked:
servers answer reads, and writes wait. When all rows are at the new place, the old one is marked first, durably, and
refuses every write from then on; then the new one commits. Whatever is killed in between, there are never two hubs: at
worst there is one that is marked, and the next run goes on from there.
"""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec

from homeport.core import faults
from homeport.core.copying import (
    HubBlobs,
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
from homeport.errors import ContentsUnfit, HubMoved, NotMoved, PlaceTaken
from homeport.settings import Settings
from homeport.storage.backup import Problems
from homeport.storage.blobs.opening import open_store
from homeport.storage.db.contents import Place, blobs_of
from homeport.storage.db.engine import open_place, open_snapshot, take_back
from homeport.storage.db.marks import read_marks
from homeport.storage.db.migrate import HEAD


class _NewPlace(msgspec.Struct, frozen=True):
    """Where a hub goes; `hub` is None if its blobs stay where they are."""

    place: Place
    hub: NewHub | None


async def move_ahead(services: Services, target: Settings, progress: Progress) -> Problems:
    """Copy the blobs that are there now; the move itself then has little left to do. Safe to repeat.

    Raises:
        as `move`, but for `ContentsUnfit`
    """
    async with _opened(services.settings, target) as new:
        if new.hub is None:
            return Problems()
        blobs = HubBlobs(services)
        measured = await measure(blobs.list())
        progress.begin("blobs", count=measured.count, size_bytes=measured.size_bytes)
        return await copy_blobs(blobs.list(), blobs, new.hub, progress)


async def move(services: Services, target: Settings, progress: Progress, *, is_complete: bool = True) -> None:
    """Move a hub to an empty place, and have the old one refuse what would be written to it.

    `is_complete`: refuse to go without a blob that cannot be read.

    Raises:
        HubMoved: it has gone elsewhere.
        PlaceTaken: there is something at the new place, or it is the old one.
        ContentsUnfit: blobs are missing. Nothing has changed at the old place.
        DatabaseUnavailable, StoreFull, StoreUnavailable
    """
    keeps_store = _is_same_store(services.settings, target)
    has_left = await _has_left(services.settings, target)
    async with (
        _opened(services.settings, target) as new,
        open_snapshot(services.settings, is_locked=True, with_store=keeps_store) as snapshot,
    ):
        if snapshot.revision != HEAD:
            raise ContentsUnfit("the hub is of a newer Homeport: move it with that one")
        if new.hub is not None:
            measured = await measure(blobs_of(snapshot))
            progress.begin("blobs", count=measured.count, size_bytes=measured.size_bytes)
            problems = await copy_blobs(blobs_of(snapshot), HubBlobs(services), new.hub, progress)
            insist(problems, is_complete=is_complete)

        progress.begin("rows")

        async def leave() -> None:
            faults.point("rows-loaded")
            await snapshot.leave(described(target))
            faults.point("hub-left")

        await new.place.load(
            snapshot,
            keeps_store=keeps_store,
            is_complete=is_complete,
            on_rows=progress.advance,
            before_commit=arrive if has_left else leave,
        )


async def undo(settings: Settings) -> str:
    """Have a hub that has moved be one again, as it was when it went; where it had gone.

    Raises:
        NotMoved
        DatabaseUnavailable
    """
    marks = await read_marks(settings)
    if marks.moved_to is None:
        raise NotMoved
    await take_back(settings)
    return marks.moved_to


def described(settings: Settings) -> str:
    """A place in words, without secrets."""
    if settings.is_sqlite:
        database = str(settings.sqlite_path.absolute())
    else:
        parts = urlsplit(settings.database_url)
        database = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{database} and {settings.blob_url or settings.blobs_path.absolute()}"


@contextlib.asynccontextmanager
async def _opened(source: Settings, target: Settings) -> AsyncIterator[_NewPlace]:
    if _is_same_database(source, target):
        raise PlaceTaken("it is the database that the hub is in: name another one")
    await prepare_place(target, HEAD)
    store = None if _is_same_store(source, target) else await open_store(target)
    async with open_place(target) as place:
        is_resumed = await begin_at(place, store)
        yield _NewPlace(place, NewHub(place, store, is_resumed=is_resumed) if store else None)


async def _has_left(source: Settings, target: Settings) -> bool:
    """Whether a run before has marked the source, and was killed before the target was one."""
    moved_to = (await read_marks(source)).moved_to
    if moved_to is None:
        return False
    if moved_to != described(target) or not (await read_marks(target)).is_filling:
        raise HubMoved(moved_to)
    return True


def _is_same_database(one: Settings, other: Settings) -> bool:
    if one.is_sqlite and other.is_sqlite:
        return one.sqlite_path.resolve() == other.sqlite_path.resolve()
    return one.database_url == other.database_url


def _is_same_store(one: Settings, other: Settings) -> bool:
    if not one.blob_url and not other.blob_url:
        return one.blobs_path.resolve() == other.blobs_path.resolve()
    return (one.blob_url, one.blob_endpoint) == (other.blob_url, other.blob_endpoint)
