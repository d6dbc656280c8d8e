"""Checks that everything recorded is there and right (`homeport fsck`). It only reads, and may run beside a server.

Errors are what must never be: bytes that are missing or wrong, bytes that nothing knows of, tags that point nowhere,
counts that do not fit. Warnings are what users may bring about themselves: blobs deleted under a manifest.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from homeport.core.services import Services
from homeport.errors import BlobUnknown, StoreUnavailable
from homeport.names import Digest
from homeport.search_tokens import tokens_of
from homeport.storage.db import blobs as blob_rows
from homeport.storage.db import garbage as garbage_rows
from homeport.storage.db import integrity as rows
from homeport.storage.db import uploads as upload_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.integrity import CountedRepository, SearchedRepository
from homeport.storage.db.records import Blob

PAGE_SIZE = 200
ERROR, WARNING = "error", "warning"


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be."""

    severity: str
    kind: str
    what: str
    detail: str


async def check(services: Services, *, is_fast: bool = False) -> AsyncIterator[Finding]:
    """Look at everything; `is_fast` compares the sizes of blobs and does not read them."""
    async for finding in _check_blobs(services, is_fast=is_fast):
        yield finding
    async for finding in _check_objects(services):
        yield finding
    async for finding in _check_manifests(services):
        yield finding
    async for finding in _check_tags(services):
        yield finding
    async for finding in _check_counts(services):
        yield finding
    async for finding in _check_search(services):
        yield finding


async def _pages(services: Services, statement: Callable[..., Any]) -> AsyncIterator[list[Any]]:
    """All rows of a statement, a page and a transaction at a time."""
    after = 0
    while True:
        async with services.db.read(scan=True) as tx:
            page = await statement(tx, after, limit=PAGE_SIZE)
        if not page:
            return
        yield page
        after = page[-1].id


async def _check_blobs(services: Services, *, is_fast: bool) -> AsyncIterator[Finding]:
    async for page in _pages(services, blob_rows.list_after):
        for blob in page:
            if (problem := await _blob_problem(services, blob, is_fast=is_fast)) is not None:
                yield Finding(ERROR, problem[0], blob.digest, problem[1])


async def _blob_problem(services: Services, blob: Blob, *, is_fast: bool) -> tuple[str, str] | None:
    try:
        return await _content_problem(services, blob, is_fast=is_fast)
    except BlobUnknown:
        return "blob-missing", f"no bytes under {blob.storage_key}"
    except StoreUnavailable as error:  # a bad sector must not hide what else is wrong
        return "blob-unreadable", f"{blob.storage_key}: {error}"


async def _content_problem(services: Services, blob: Blob, *, is_fast: bool) -> tuple[str, str] | None:
    size = await services.blobs.stored_size(blob.storage_key)
    if size is None:
        raise BlobUnknown(blob.storage_key)
    if size != blob.size_bytes:
        return "blob-size", f"{size} bytes instead of {blob.size_bytes}"
    if is_fast:
        return None
    digest = Digest(blob.digest)
    hasher = hashlib.new(digest.algorithm)
    async for chunk in services.blobs.read(blob.storage_key):
        await asyncio.to_thread(hasher.update, chunk)
    return None if hasher.hexdigest() == digest.hex else ("blob-content", "the bytes are others")


async def _check_objects(services: Services) -> AsyncIterator[Finding]:
    async for key, size in services.blobs.keys():
        async with services.db.read() as tx:
            is_known = await _is_known(tx, key, services.blobs.upload_of(key))
        if not is_known:
            yield Finding(ERROR, "object-unknown", key, f"{size} bytes that no row knows of")


async def _is_known(tx: Transaction, key: str, upload: str) -> bool:
    """Whether a sealed object is published, or was and waits to be discarded, or belongs to an upload that is not
    finished or not swept yet, or waits to be discarded because its repository was deleted.
    """
    # In this order: publishing writes the one row and deletes the other in the same transaction.
    return (
        await upload_rows.is_known(tx, upload)
        or await blob_rows.is_key_published(tx, key)
        or await garbage_rows.is_discarded(tx, key)
        or await garbage_rows.is_discarded(tx, upload)
    )


async def _check_manifests(services: Services) -> AsyncIterator[Finding]:
    async for page in _pages(services, rows.list_manifests):
        for manifest in page:
            what = f"{manifest.repository}@{manifest.digest}"
            digest = Digest(manifest.digest)
            if hashlib.new(digest.algorithm, manifest.content).hexdigest() != digest.hex:
                yield Finding(ERROR, "manifest-content", what, "the bytes are others")
            if len(manifest.content) != manifest.size_bytes:
                yield Finding(ERROR, "manifest-size", what, f"{len(manifest.content)} bytes")
        async with services.db.read(scan=True) as tx:
            missing = await rows.list_missing_blobs(tx, [manifest.id for manifest in page])
        for blob in missing:
            if "foreign" not in blob.media_type and "nondistributable" not in blob.media_type:
                what = f"{blob.repository}@{blob.manifest}"
                yield Finding(WARNING, "manifest-blob", what, f"{blob.digest} is not in the repository")


async def _check_tags(services: Services) -> AsyncIterator[Finding]:
    async for page in _pages(services, rows.list_tags):
        for tag in page:
            what = f"{tag.repository}:{tag.name}"
            if tag.digest is None:
                yield Finding(ERROR, "tag-manifest", what, "it points at no manifest")
            elif tag.manifest_repository_id != tag.repository_id:
                yield Finding(ERROR, "tag-manifest", what, "it points into another repository")
            elif tag.moved_digest != tag.digest:
                yield Finding(ERROR, "tag-history", what, f"its last move was to {tag.moved_digest}")


def _count_findings(repository: CountedRepository) -> Iterator[Finding]:
    """What is kept count of besides tags."""
    counts = {
        "repository-size": ("bytes", repository.storage_bytes, repository.found_bytes),
        "repository-stars": ("stars", repository.star_count, repository.found_stars),
        "repository-media-types": ("manifests", repository.by_media_type, repository.manifest_count),
        "repository-content-types": ("manifests", repository.by_content_type, repository.manifest_count),
    }
    for kind, (what, said, found) in counts.items():
        if said != found:
            yield Finding(ERROR, kind, repository.repository, f"{said} {what} counted, there are {found}")


async def _check_counts(services: Services) -> AsyncIterator[Finding]:
    async for page in _pages(services, rows.list_repositories):
        for repository in page:
            for finding in _count_findings(repository):
                yield finding
            counts = {
                "name": repository.by_name,
                "updated_at": repository.by_time,
                "version_key": repository.by_version,
            }
            for ordering, count in counts.items():
                if count != repository.tag_count:
                    detail = f"{count} tags counted by {ordering}, there are {repository.tag_count}"
                    yield Finding(ERROR, "tag-count", repository.repository, detail)
            async with services.db.read(scan=True) as tx:
                wrong = await rows.list_wrong_stretches(tx, repository.id)
            for stretch in wrong:
                detail = f"{stretch.tag_count} tags said, {stretch.found_count} found, from {stretch.start!r}"
                yield Finding(ERROR, "tag-stretch", f"{stretch.repository} by {stretch.ordering}", detail)


async def _check_search(services: Services) -> AsyncIterator[Finding]:
    async for page in _pages(services, rows.list_searched):
        for repository in page:
            if repository.tokens != _tokens_of(repository):
                what = f"{repository.namespace}/{repository.name}"
                yield Finding(ERROR, "search", what, "search does not find it by what it is like now")


def _tokens_of(repository: SearchedRepository) -> str:
    return tokens_of(
        namespace_id=repository.namespace_id,
        namespace=repository.namespace,
        name=repository.name,
        description=repository.description,
        is_private=repository.is_private,
        categories=msgspec.json.decode(repository.categories, type=list[str]),
    )
