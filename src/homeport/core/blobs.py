"""Blobs as a repository sees them: by its own links, so that a digest learnt elsewhere opens nothing."""

from homeport.core import audit, immutable_tags
from homeport.core.access import Action, Actor, access_repository, access_repository_head
from homeport.core.audit import AuditAction
from homeport.core.repositories import lock_repository, touch_repository
from homeport.core.services import Services
from homeport.errors import BlobUnknown
from homeport.names import Digest, RepositoryName
from homeport.storage.db import blobs as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Blob


async def pull(
    services: Services, *, actor: Actor, name: RepositoryName, digest: Digest, is_head: bool = False
) -> Blob:
    """What `access_blob` gives, without asking the database again while nothing has changed."""

    async def verb() -> Blob:
        async with services.db.read() as tx:
            return await access_blob(tx, actor=actor, name=name, digest=digest, is_head=is_head)

    return await services.recent.read(actor, ("blob", name, digest, is_head), verb)


async def access_blob(
    tx: Transaction, *, actor: Actor, name: RepositoryName, digest: Digest, is_head: bool = False
) -> Blob:
    """A blob of a repository that the actor may pull from; of a HEAD, may push to or pull from.

    Raises:
        BlobUnknown: the repository does not see it.
        RepositoryUnknown, ImageRestricted: as `access_repository`, `access_repository_head`.
    """
    if is_head:
        # A client that is about to push asks like this, and leaves out what is there.
        repository = await access_repository_head(tx, actor, name)
        blob = await rows.get_lasting(tx, repository_id=repository.id, digest=digest)
    else:
        repository = await access_repository(tx, actor, name, Action.PULL)
        blob = await rows.get_in_repository(tx, repository_id=repository.id, digest=digest)
    if blob is None:
        raise BlobUnknown(digest)
    return blob


async def delete_blob(tx: Transaction, *, actor: Actor, name: RepositoryName, digest: Digest) -> None:
    """Take a blob out of a repository; other repositories keep it. Its bytes are left to garbage collection.

    Manifests that name it stay, as the OCI specification has it: whoever deletes a blob answers for that. What an
    immutable tag leads to has to stay.

    Raises:
        ContentImmutable
        BlobUnknown, RepositoryUnknown, ActionDenied, NotAuthenticated
    """
    repository = await access_repository(tx, actor, name, Action.DELETE)
    await lock_repository(tx, repository)
    link = await rows.unlink(tx, repository_id=repository.id, digest=digest)
    if link is None:
        raise BlobUnknown(digest)
    rules = await touch_repository(tx, repository, added_bytes=-(link.counted_bytes or 0))
    await immutable_tags.check_content(tx, repository, rules, digest)
    await audit.record(
        tx,
        actor,
        AuditAction.REPO_BLOB_DELETE,
        account_id=repository.namespace_id,
        name=str(name),
        digest=digest,
    )


async def read_whole(services: Services, blob: Blob) -> bytes:
    """The bytes of a small blob.

    Raises:
        StoreUnavailable, BlobUnknown: the store has lost it.
    """
    return b"".join([chunk async for chunk in services.blobs.read(blob.storage_key)])
