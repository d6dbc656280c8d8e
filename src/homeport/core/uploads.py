"""Uploads: bytes that become a blob.

An upload belongs to one repository and one account. Its row is written when it begins and goes in the transaction that
publishes the blob, so that a row without a blob is all that a crash can leave: the sweeper finds the leftover
bytes by it. No transaction is open while a body streams.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

from homeport.core import faults
from homeport.core.access import ANONYMOUS, Action, Actor, access_repository, allowed_actions, is_restricted
from homeport.core.repositories import repository_to_push_to
from homeport.core.services import Services
from homeport.errors import (
    BlobTooLarge,
    DigestMismatch,
    HomeportError,
    NotAuthenticated,
    RangeInvalid,
    UploadUnknown,
)
from homeport.metrics import BLOB_BYTES_PUSHED
from homeport.names import Digest, RepositoryName
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import uploads as rows
from homeport.storage.db.database import Transaction, utcnow

SWEEP_BATCH = 100


async def begin(services: Services, *, actor: Actor, name: RepositoryName) -> str:
    """Begin an upload; its id.

    Raises:
        NotAuthenticated, NamespaceUnknown, ActionDenied, PlanLimitReached: as `repository_to_push_to`.
    """
    upload = uuid4().hex
    # The row is for the sweeper. A power cut that takes it leaves bytes that the sweeper finds by their age.
    async with services.db.write(is_durable=False) as tx:
        repository = await _target(tx, services, actor, name)
        await rows.insert(tx, upload=upload, repository_id=repository, account_id=_account(actor))
    faults.point("upload-row-written")
    await services.blobs.begin(upload)
    return upload


async def mount(
    services: Services, *, actor: Actor, name: RepositoryName, digest: Digest, source: RepositoryName | None
) -> bool:
    """Let a repository see a blob that the actor may pull from another one; False if there is none.

    Without a source, any repository will do that holds the blob and that the actor, or anybody, may pull from.

    Raises:
        NotAuthenticated, NamespaceUnknown, ActionDenied: as `repository_to_push_to`.
    """
    async with services.db.write() as tx:
        target = await _target(tx, services, actor, name)
        if not await _may_mount(tx, actor, digest, source):
            return False
        return await blob_rows.link(tx, repository_id=target, digest=digest)


async def _may_mount(tx: Transaction, actor: Actor, digest: Digest, source: RepositoryName | None) -> bool:
    names = [source] if source else await repository_rows.list_names_with_blob(tx, digest=digest)
    for name in names:
        repository = await repository_rows.get(tx, name, actor_id=actor.account_id)
        if repository is None or is_restricted(actor, repository):
            continue
        if source and not await blob_rows.get_in_repository(tx, repository_id=repository.id, digest=digest):
            continue
        # What anybody may pull needs no mention in the token that the client came with.
        anybody = await repository_rows.get(tx, name, actor_id=None)
        if Action.PULL in allowed_actions(actor, repository):
            return True
        if anybody and Action.PULL in allowed_actions(ANONYMOUS, anybody):
            return True
    return False


async def progress(services: Services, *, actor: Actor, name: RepositoryName, upload: str) -> int:
    """How many bytes an upload has.

    Raises:
        UploadUnknown: there is none of the actor's in this repository.
    """
    async with services.db.read() as tx:
        await _access_upload(tx, actor, name, upload)
    size = await services.blobs.size(upload)
    if size is None:
        raise UploadUnknown
    return size


async def append(
    services: Services,
    *,
    actor: Actor,
    name: RepositoryName,
    upload: str,
    body: AsyncIterator[bytes] | None,
    start: int | None = None,
) -> int:
    """Add a chunk; how many bytes the upload has then. What came before a body broke off is kept.

    Raises:
        UploadUnknown, UploadBusy
        RangeInvalid: the chunk says that it begins at `start`, and the upload ends elsewhere.
        BlobTooLarge, StoreFull, StoreUnavailable
    """
    size = await progress(services, actor=actor, name=name, upload=upload)
    if start is not None and start != size:
        raise RangeInvalid(size)
    if body is None:
        return size
    return await _append(services, upload, body, offset=size)


async def _append(services: Services, upload: str, body: AsyncIterator[bytes], *, offset: int) -> int:
    size = await services.blobs.append(upload, body, offset=offset, limit_bytes=services.settings.blob_size_limit)
    services.metrics.count(BLOB_BYTES_PUSHED, by=size - offset)
    return size


async def finish(
    services: Services,
    *,
    actor: Actor,
    name: RepositoryName,
    upload: str,
    digest: Digest,
    body: AsyncIterator[bytes] | None,
    start: int | None = None,
) -> None:
    """Add the last bytes, check all of them against the digest, and publish the blob.

    Raises:
        UploadUnknown, UploadBusy, RangeInvalid, BlobTooLarge, StoreFull, StoreUnavailable
        DigestMismatch: nothing of the upload is kept.
    """
    size = await progress(services, actor=actor, name=name, upload=upload)
    if start is not None and start != size:
        raise RangeInvalid(size)
    try:
        if body is not None:
            size = await _append(services, upload, body, offset=size)
        faults.point("upload-received")
        key = await services.blobs.seal(upload, digest)
    except (BlobTooLarge, DigestMismatch):
        await _discard(services, upload)
        raise
    faults.point("upload-sealed")
    try:
        async with services.db.write() as tx:
            if await rows.get(tx, upload) is None:
                raise UploadUnknown  # cancelled meanwhile, or its repository was deleted
            repository = await _target(tx, services, actor, name)
            is_new = await blob_rows.insert(tx, digest=digest, size_bytes=size, storage_key=key)
            # The row before the link, as who deletes a repository takes them: so neither waits crosswise.
            if is_new and not await rows.delete(tx, upload):
                raise UploadUnknown  # cancelled this moment, or its repository was deleted
            await blob_rows.link(tx, repository_id=repository, digest=digest)
            faults.point("blob-uncommitted")
    except HomeportError:
        await _discard_orphan(services, upload, key)
        raise
    faults.point("blob-committed")
    if not is_new:
        # The same content is there already; the row stays until these bytes are gone, or take its place.
        await _give_way(services, upload, digest=digest, key=key)


async def _give_way(services: Services, upload: str, *, digest: Digest, key: str) -> None:
    """Discard an upload whose content is there already; unless the store has lost that: what came again is as good.

    The store is asked while no transaction is open: it may be far away, or down.
    """
    async with services.db.read() as tx:
        present = await blob_rows.get(tx, digest)
    if present is None:  # the repository was deleted meanwhile, and what nobody needs any more was collected
        await _discard(services, upload)
        raise UploadUnknown
    if await services.blobs.stored_size(present.storage_key) == present.size_bytes:
        await _discard(services, upload)
        return
    async with services.db.write() as tx:
        is_needed = await blob_rows.replace_storage_key(tx, present.id, lost=present.storage_key, storage_key=key)
        if is_needed and not await rows.delete(tx, upload):
            raise UploadUnknown  # swept this moment, with its bytes


async def cancel(services: Services, *, actor: Actor, name: RepositoryName, upload: str) -> None:
    """Give an upload up.

    Raises:
        UploadUnknown
    """
    async with services.db.read() as tx:
        await _access_upload(tx, actor, name, upload)
    await _discard(services, upload)


async def sweep(services: Services) -> int:
    """Discard the uploads that nobody has gone on with for the limit; how many there were."""
    before = utcnow() - timedelta(seconds=services.settings.upload_age_limit)
    stale = set(await services.blobs.list_stale(before=before))
    swept, last = 0, ""
    while True:
        async with services.db.read() as tx:
            old = await rows.list_older(tx, before=before, after=last, limit=SWEEP_BATCH)
        for upload in old:
            last = upload.id
            # An old upload whose bytes are not stale is a slow one.
            if last in stale or await services.blobs.size(last) is None:
                await _discard(services, last)
                swept += 1
        if len(old) < SWEEP_BATCH:
            break
    for upload_id in stale:
        async with services.db.read() as tx:
            is_known = await rows.get(tx, upload_id) is not None
        if not is_known and await services.blobs.size(upload_id) is not None:
            await services.blobs.discard(upload_id)
            swept += 1
    return swept


async def _discard(services: Services, upload: str) -> None:
    """Forget an upload, unless it has ended otherwise.

    Whoever claims the row owns the bytes: so nobody takes away what `finish` is publishing. The bytes go before the row
    does: a row without bytes is swept later, bytes without a row might stay. No transaction is open meanwhile, as the
    store may be far away, or down. Neither has to be durable: a row that a power cut brings back is swept later too.
    """
    async with services.db.write(is_durable=False) as tx:
        if not await rows.claim(tx, upload):
            return
    await services.blobs.discard(upload)
    async with services.db.write(is_durable=False) as tx:
        await rows.delete_discarded(tx, upload)


async def _discard_orphan(services: Services, upload: str, key: str) -> None:
    """Discard sealed bytes that no row knows of: whoever took the upload's row may have looked for them before they had
    their name.
    """
    async with services.db.read() as tx:
        # In this order: publishing writes the one row and deletes the other in the same transaction.
        is_known = await rows.get(tx, upload) is not None or await blob_rows.is_key_published(tx, key)
    if not is_known:
        await services.blobs.discard(upload)


async def _access_upload(tx: Transaction, actor: Actor, name: RepositoryName, upload: str) -> None:
    """Raises UploadUnknown if this upload is not the actor's, or not in this repository.

    What is wrong with the repository is said in the words of the registry: unknown, denied.
    """
    repository = await access_repository(tx, actor, name, Action.PUSH)
    found = await rows.get(tx, upload)
    if found is None or found.repository_id != repository.id or found.account_id != actor.account_id:
        raise UploadUnknown


async def _target(tx: Transaction, services: Services, actor: Actor, name: RepositoryName) -> int:
    repository = await repository_to_push_to(
        tx,
        actor=actor,
        name=name,
        default_privacy=services.settings.default_privacy,
        plans=services.settings.plans,
    )
    return repository.id


def _account(actor: Actor) -> int:
    if actor.account_id is None:
        raise NotAuthenticated
    return actor.account_id
