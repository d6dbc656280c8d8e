"""Garbage: what no manifest, no repository and no tag needs any more. Collected while pushes and pulls go on.

Four steps, each of small transactions, each safe to break off and to run at the same time as another collector:

1. Where the site has a limit for it: manifests that have had no tag for so long, and that nothing keeps.
2. A blob that its repository has held for the grace period, and that none of its manifests names, is *condemned*:
   whoever asks whether it is there is told that it is not, and pushes it again. Pulls of it still work.
3. What has been condemned for an hour, and still has no manifest, is taken out of the repository.
4. Blobs that no repository holds are deleted, and a while later their bytes.

So who was told that a blob is there has an hour at least to push the manifest that names it. Steps 1 to 3 hold the
lock of the repository that pushes of manifests take; an error ends the run, and leaves what has not been judged.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec

from homeport.core import manifests
from homeport.core.services import Services
from homeport.metrics import GARBAGE, GARBAGE_BYTES
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import garbage as rows
from homeport.storage.db import job_turns
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.garbage import PagedManifest

PAGE = 500
CONDEMNED_FOR = timedelta(hours=1)
DISCARDED_FOR = timedelta(minutes=15)
"""How long bytes outlive their blob at least: for pulls that had begun, and links to the store that were given out."""

HELD_FOR = timedelta(minutes=10)
HELD_AGAIN_EVERY = timedelta(minutes=1)
_HOLD = "bytes are kept"

LEVELS_LIMIT = 64
"""Indexes above indexes, subjects above referrers: what stands below more of them is kept."""


class Collected(msgspec.Struct, kw_only=True):
    """What a run did. `condemned` and `unlinked` are blobs of repositories, `deleted` blobs of the whole store."""

    manifests: int = 0
    condemned: int = 0
    unlinked: int = 0
    deleted: int = 0
    discarded: int = 0


async def collect(services: Services, *, now: datetime) -> Collected:
    """Collect what is garbage by now.

    Raises:
        DatabaseUnavailable, StoreUnavailable: what had been done until then stays done.
    """
    done = Collected()
    try:
        await _collect(services, done, now=now)
    finally:
        # Also of a run that failed: what had been done until then stays done.
        for step, count in msgspec.structs.asdict(done).items():
            services.metrics.count(GARBAGE, step, by=count)
    return done


async def _collect(services: Services, done: Collected, *, now: datetime) -> None:
    settings = services.settings
    if settings.untagged_retention_days:
        before = now - timedelta(days=settings.untagged_retention_days)
        done.manifests = await _delete_untagged(services, before=before)
    before = now - timedelta(hours=settings.garbage_grace_hours)
    done.condemned = await _condemn(services, before=before, now=now)
    done.unlinked = await _unlink(services, before=now - CONDEMNED_FOR)
    done.deleted = await _delete_blobs(services, before=before, now=now)
    outlived = max(DISCARDED_FOR, timedelta(seconds=settings.blob_redirect_lifetime))
    done.discarded = await _discard_bytes(services, before=now - outlived)


@asynccontextmanager
async def bytes_kept(services: Services) -> AsyncIterator[None]:
    """Keep the bytes of all blobs that are there now, in whichever process garbage is collected: an export reads them
    for hours. Their rows may go meanwhile. If this process dies, the hold ends by itself.
    """
    await _hold(services)
    holding = asyncio.create_task(_hold_again(services))
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def _hold_again(services: Services) -> None:
    while True:
        await asyncio.sleep(HELD_AGAIN_EVERY.total_seconds())
        await _hold(services)


async def _hold(services: Services) -> None:
    async with services.db.write() as tx:
        await job_turns.hold(tx, _HOLD, until=utcnow() + HELD_FOR)


async def _condemn(services: Services, *, before: datetime, now: datetime) -> int:
    condemned = after = 0
    while True:
        async with services.db.read(scan=True) as tx:
            page = await rows.list_repositories(tx, after=after, limit=PAGE)
            found = await rows.list_with_unused(tx, page, before=before) if page else []
        for repository_id in found:
            async with _locked(services, repository_id) as tx:
                condemned += await rows.condemn(tx, repository_id, before=before, now=now)
        if len(page) < PAGE:
            return condemned
        after = page[-1]


async def _unlink(services: Services, *, before: datetime) -> int:
    unlinked = after = 0
    while True:
        async with services.db.read(scan=True) as tx:
            page = await rows.list_with_condemned(tx, after=after, before=before, limit=PAGE)
        for repository_id in page:
            async with _locked(services, repository_id) as tx:
                await rows.pardon(tx, repository_id)
                links = await rows.unlink_condemned(tx, repository_id, before=before)
                added_bytes = -sum(link.counted_bytes or 0 for link in links)
                await repository_rows.add_bytes(tx, repository_id, added_bytes)
            unlinked += len(links)
        if len(page) < PAGE:
            return unlinked
        after = page[-1]


async def _delete_blobs(services: Services, *, before: datetime, now: datetime) -> int:
    deleted = after = 0
    while True:
        async with services.db.read(scan=True) as tx:
            page = await rows.list_blobs(tx, after=after, before=before, limit=PAGE)
        if garbage := [blob.id for blob in page if blob.is_garbage]:
            deleted += await _delete(services, garbage, now=now)
        if len(page) < PAGE:
            return deleted
        after = page[-1].id


async def _delete(services: Services, ids: list[int], *, now: datetime) -> int:
    async with services.db.write() as tx:
        blobs = await rows.delete_unlinked(tx, ids)
        # Until the bytes are gone a row knows of them.
        await rows.insert_discarded(tx, [blob.storage_key for blob in blobs], now=now)
    services.metrics.count(GARBAGE_BYTES, by=sum(blob.size_bytes for blob in blobs))
    return len(blobs)


async def _discard_bytes(services: Services, *, before: datetime) -> int:
    discarded = 0
    while True:
        async with services.db.read() as tx:
            # What is deleted from here on was discarded before any hold that comes meanwhile.
            if await job_turns.is_held(tx, _HOLD, now=utcnow()):
                return discarded
            keys = await rows.list_discarded(tx, before=before, limit=PAGE)
        for key in keys:
            await _discard(services, key)
        if keys:
            async with services.db.write() as tx:
                await rows.delete_discarded(tx, keys)
        discarded += len(keys)
        if len(keys) < PAGE:
            return discarded


async def _discard(services: Services, key: str) -> None:
    """Take away the bytes of a deleted blob; or all of an upload whose repository was deleted (its id has no slash)."""
    if "/" not in key:
        await services.blobs.discard(key)
        return
    async with services.db.read() as tx:
        is_published = await blob_rows.is_key_published(tx, key)
    if not is_published:  # keys are never used twice; who restores an old database may find one that is
        await services.blobs.delete(key)


async def _delete_untagged(services: Services, *, before: datetime) -> int:
    deleted = after = 0
    while True:
        async with services.db.read(scan=True) as tx:
            page = await rows.list_manifests(tx, after=after, before=before, limit=PAGE)
        for repository_id, digests in _by_repository(page).items():
            async with _locked(services, repository_id) as tx:
                for digest in await _list_unneeded(tx, repository_id, digests, before=before):
                    deleted += await manifests.expire(tx, repository_id, digest)
        if len(page) < PAGE:
            return deleted
        after = page[-1].id


def _by_repository(page: Iterable[PagedManifest]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for manifest in page:
        if manifest.is_untagged:
            found.setdefault(manifest.repository_id, []).append(manifest.digest)
    return found


async def _list_unneeded(tx: Transaction, repository_id: int, digests: list[str], *, before: datetime) -> list[str]:
    """Those of the manifests that neither they themselves nor anything above them keeps."""
    unneeded = set(digests)
    asked = {digest: {digest} for digest in digests}  # for whom it matters whether something is kept
    reached: dict[str, set[str]] = {}  # for the same: a referrer may be about what its subject stands in
    for _ in range(LEVELS_LIMIT):
        for kept in await rows.list_kept(tx, repository_id, list(asked), before=before):
            unneeded -= asked[kept]
        for digest, waiting in asked.items():
            reached.setdefault(digest, set()).update(waiting)
        above: dict[str, set[str]] = {}
        for edge in await rows.list_above(tx, repository_id, list(asked)):
            above.setdefault(edge.above, set()).update(asked[edge.below] & unneeded)
        asked = {digest: new for digest, waiting in above.items() if (new := waiting - reached.get(digest, set()))}
        if not asked:
            return [digest for digest in digests if digest in unneeded]
    undecided = set().union(*asked.values())
    return [digest for digest in digests if digest in unneeded - undecided]


@asynccontextmanager
async def _locked(services: Services, repository_id: int) -> AsyncIterator[Transaction]:
    async with services.db.write(scan=True) as tx:
        await tx.lock("repository", repository_id)
        yield tx
