"""Manifests: pushed, pulled, deleted."""

from collections.abc import Sequence

import msgspec

from homeport.core import audit, blobs, faults, immutable_tags, manifest_parsing
from homeport.core.access import OPERATOR, Action, Actor, access_repository, access_repository_head
from homeport.core.audit import AuditAction
from homeport.core.content_types import content_type, media_type
from homeport.core.manifest_parsing import Parsed
from homeport.core.repositories import lock_repository, may_push, repository_to_push_to, touch_repository
from homeport.core.services import Services
from homeport.core.tags import delete_tags, move_tags
from homeport.errors import ManifestBlobUnknown, ManifestInvalid, ManifestUnknown
from homeport.names import Digest, Reference, RepositoryName, TagName
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import manifests as rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import repository_types
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.manifests import NewManifest, TypedManifest
from homeport.storage.db.records import Repository, TaggedManifest, TagRules


class Pushed(msgspec.Struct, frozen=True):
    """What came of a push: the digest, the manifest it is about, the tags that point at it now."""

    digest: Digest
    subject: str | None
    tags: Sequence[TagName]


async def push(
    services: Services,
    *,
    actor: Actor,
    name: RepositoryName,
    reference: Reference | None,
    tags: Sequence[TagName] = (),
    content: bytes,
    content_type: str | None,
) -> Pushed:
    """Store a manifest, and point tags at it: all of them or none.

    Raises:
        ManifestInvalid, ManifestUnsupported, ManifestTooLarge
        DigestMismatch: pushed by a digest that is not its own.
        ManifestBlobUnknown: the repository does not hold a blob that it names. Children of an index may be missing.
        TagImmutable
        RepositoryUnknown: it is being deleted.
        NotAuthenticated, NamespaceUnknown, ActionDenied: as `repository_to_push_to`.
    """
    async with services.db.read() as tx:
        present = await may_push(tx, actor=actor, name=name)  # who asks comes before what they send
    parsed = manifest_parsing.parse(content, content_type)
    digest = manifest_parsing.digest_of(content, reference if isinstance(reference, Digest) else None)
    if isinstance(reference, TagName):
        tags = [reference, *tags]
    config = await _read_config(services, present, parsed) if present else None
    manifest = msgspec.structs.replace(manifest_parsing.with_config(parsed, config), digest=digest)
    async with services.db.write() as tx:
        repository = await repository_to_push_to(
            tx,
            actor=actor,
            name=name,
            default_privacy=services.settings.default_privacy,
            plans=services.settings.plans,
        )
        await tx.lock("repository", repository.id)
        manifest_id, rules = await _put(tx, services, actor, repository, parsed=parsed, manifest=manifest)
        names = list(dict.fromkeys(tags))
        await move_tags(
            tx,
            settings=services.settings,
            actor=actor,
            repository=repository,
            rules=rules,
            names=names,
            manifest_id=manifest_id,
            digest=digest,
        )
        faults.point("manifest-uncommitted")
    faults.point("manifest-committed")
    return Pushed(digest, manifest.subject, names)


async def _read_config(services: Services, repository: Repository, parsed: Parsed) -> bytes | None:
    """The image config, read before the transaction that needs it. None where there is none, or none to be read."""
    if parsed.config is None:
        return None
    async with services.db.read() as tx:
        blob = await blob_rows.get_in_repository(tx, repository_id=repository.id, digest=parsed.config)
    if blob is None or blob.size_bytes > manifest_parsing.CONFIG_SIZE_LIMIT:
        return None
    return await blobs.read_whole(services, blob)


async def _put(
    tx: Transaction,
    services: Services,
    actor: Actor,
    repository: Repository,
    *,
    parsed: Parsed,
    manifest: NewManifest,
) -> tuple[int, TagRules]:
    """Have a repository hold a manifest: its id, and which tags are immutable, as the lock keeps it."""
    present = await rows.get_id(tx, repository_id=repository.id, digest=manifest.digest)
    if not services.settings.sparse_images:
        await _check_blobs(tx, repository, parsed)
    depth = 0 if present is not None else await _depth(tx, services, repository, parsed)
    added_bytes = await blob_rows.count_links(tx, repository.id) + (0 if present is not None else len(manifest.content))
    rules = await touch_repository(tx, repository, added_bytes=added_bytes)
    if present is not None:
        await rows.set_pushed(tx, present, pushed_by=actor.account_id)
        return present, rules
    types = {"media_type": media_type(manifest), "content_type": content_type(manifest)}
    await repository_types.add(tx, repository.id, **types)
    new = await rows.insert(tx, manifest, repository_id=repository.id, pushed_by=actor.account_id, depth=depth)
    return new, rules


async def _check_blobs(tx: Transaction, repository: Repository, parsed: Parsed) -> None:
    if not parsed.required:
        return
    found = await blob_rows.list_present(tx, repository_id=repository.id, digests=list(parsed.required))
    missing = set(parsed.required) - {blob.digest for blob in found}
    for digest in parsed.required:
        if digest in missing:
            raise ManifestBlobUnknown(digest)


async def _depth(tx: Transaction, services: Services, repository: Repository, parsed: Parsed) -> int:
    """How many levels of indexes an index holds, itself counted; 0 for an image."""
    if not parsed.manifest.depth:
        return 0
    below = await rows.deepest(tx, repository_id=repository.id, digests=list(parsed.children))
    depth = 1 + (below or 0)
    if depth > services.settings.manifest_depth_limit:
        raise ManifestInvalid(f"indexes are nested more than {services.settings.manifest_depth_limit} deep")
    return depth


async def pull(
    services: Services, *, actor: Actor, name: RepositoryName, reference: Reference, is_head: bool = False
) -> tuple[Repository, TaggedManifest]:
    """What `access_manifest` gives, without asking the database again while nothing has changed."""

    async def verb() -> tuple[Repository, TaggedManifest]:
        async with services.db.read() as tx:
            return await access_manifest(tx, actor=actor, name=name, reference=reference, is_head=is_head)

    return await services.recent.read(actor, ("manifest", name, reference, is_head), verb)


async def access_manifest(
    tx: Transaction, *, actor: Actor, name: RepositoryName, reference: Reference, is_head: bool = False
) -> tuple[Repository, TaggedManifest]:
    """A manifest of a repository that the actor may pull from; of a HEAD, may push to or pull from.

    Raises:
        ManifestUnknown
        RepositoryUnknown, ImageRestricted: as `access_repository`, `access_repository_head`.
    """
    if is_head:
        repository = await access_repository_head(tx, actor, name)
    else:
        repository = await access_repository(tx, actor, name, Action.PULL)
    if isinstance(reference, Digest):
        manifest = await rows.get_by_digest(tx, repository_id=repository.id, digest=reference)
    else:
        manifest = await rows.get_by_tag(tx, repository_id=repository.id, tag=reference)
    if manifest is None:
        raise ManifestUnknown(reference)
    return repository, manifest


async def delete(services: Services, *, actor: Actor, name: RepositoryName, reference: Reference) -> None:
    """Delete a tag; or, by digest, a manifest with all tags that point at it. Blobs and children stay.

    Raises:
        ManifestUnknown
        TagImmutable, ContentImmutable: the latter also of what an index holds that an immutable tag points at.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    async with services.db.write() as tx:
        repository = await access_repository(tx, actor, name, Action.DELETE)
        await lock_repository(tx, repository)
        if isinstance(reference, Digest):
            await _delete_manifest(tx, actor, repository, reference)
        else:
            tag = await tag_rows.get(tx, repository_id=repository.id, name=reference)
            if tag is None:
                raise ManifestUnknown(reference)
            await delete_tags(tx, actor=actor, repository=repository, tags=[tag])
        faults.point("tag-delete-uncommitted")
    faults.point("tag-delete-committed")


async def expire(tx: Transaction, repository_id: int, digest: str) -> bool:
    """Delete a manifest that has had no tag for longer than the site keeps such; False if it is gone already. The
    caller holds the repository's lock.
    """
    repository = await repository_rows.get_by_id(tx, repository_id)
    manifest = await rows.get_typed(tx, repository_id=repository_id, digest=digest)
    if repository is None or manifest is None:
        return False
    await repository_rows.add_bytes(tx, repository.id, -manifest.size_bytes)
    await _remove(tx, OPERATOR, repository, manifest, digest)
    return True


async def _delete_manifest(tx: Transaction, actor: Actor, repository: Repository, digest: Digest) -> None:
    manifest = await rows.get_typed(tx, repository_id=repository.id, digest=digest)
    if manifest is None:
        raise ManifestUnknown(digest)
    rules = await touch_repository(tx, repository, added_bytes=-manifest.size_bytes)
    await immutable_tags.check_content(tx, repository, rules, digest)
    await delete_tags(tx, actor=actor, repository=repository, tags=await tag_rows.list_of_manifest(tx, manifest.id))
    await _remove(tx, actor, repository, manifest, digest)


async def _remove(tx: Transaction, actor: Actor, repository: Repository, manifest: TypedManifest, digest: str) -> None:
    await rows.delete(tx, manifest.id)
    await repository_types.remove(
        tx, repository.id, media_type=media_type(manifest), content_type=content_type(manifest)
    )
    await audit.record(
        tx,
        actor,
        AuditAction.REPO_MANIFEST_DELETE,
        account_id=repository.namespace_id,
        name=str(RepositoryName(repository.namespace, repository.name)),
        digest=digest,
    )
