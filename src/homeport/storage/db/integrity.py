"""Statements of `homeport fsck`: they look at everything, a page at a time in the order of ids."""

import msgspec

from homeport.storage.db.database import Transaction


class CheckedManifest(msgspec.Struct, frozen=True):
    id: int
    repository: str
    repository_id: int
    digest: str
    content: bytes
    size_bytes: int


class MissingBlob(msgspec.Struct, frozen=True):
    """A blob that a manifest names and its repository does not see. `media_type` tells foreign layers."""

    repository: str
    manifest: str
    digest: str
    media_type: str


class CheckedTag(msgspec.Struct, frozen=True):
    """A tag with what it should point at; the other fields are None where that is not there."""

    id: int
    repository: str
    name: str
    manifest_repository_id: int | None
    repository_id: int
    digest: str | None
    moved_digest: str | None


class CheckedStretch(msgspec.Struct, frozen=True):
    """A stretch of tags with the number that it says and the number that there are."""

    repository: str
    ordering: str
    start: str
    tag_count: int
    found_count: int


class CountedRepository(msgspec.Struct, frozen=True):
    """A repository with its tags counted, and as its stretches count them in each order; and with what else is kept
    count of, as it is said and as it is found.
    """

    id: int
    repository: str
    tag_count: int
    by_name: int
    by_time: int
    by_version: int
    storage_bytes: int
    found_bytes: int
    star_count: int
    found_stars: int
    manifest_count: int
    by_media_type: int
    by_content_type: int


class SearchedRepository(msgspec.Struct, frozen=True):
    """A repository with the tokens that it is found by; None where there are none. `categories` is a JSON list."""

    id: int
    namespace_id: int
    namespace: str
    name: str
    description: str
    is_private: bool
    categories: str
    tokens: str | None


_NAME = "accounts.name || '/' || repositories.name as repository"
_REPOSITORY = """
    join repositories on repositories.id = {table}.repository_id
    join accounts on accounts.id = repositories.namespace_id
    """


async def list_manifests(tx: Transaction, after: int, *, limit: int) -> list[CheckedManifest]:
    return await tx.many(
        CheckedManifest,
        f"""
        select manifests.id, {_NAME}, manifests.repository_id, digest, content, size_bytes
        from manifests {_REPOSITORY.format(table="manifests")}
        where manifests.id > :after order by manifests.id limit :limit
        """,
        after=after,
        limit=limit,
    )


async def list_missing_blobs(tx: Transaction, manifest_ids: list[int]) -> list[MissingBlob]:
    return await tx.many(
        MissingBlob,
        f"""
        select {_NAME}, manifests.digest as manifest, needed.digest, needed.media_type
        from manifest_references needed
        join manifests on manifests.id = needed.manifest_id
        {_REPOSITORY.format(table="manifests")}
        where needed.manifest_id in (:ids...bigint) and needed.kind <> 'manifest' and not exists (
            select 1 from blobs join repository_blobs on blob_id = blobs.id
            where blobs.digest = needed.digest and repository_blobs.repository_id = needed.repository_id
        )
        order by needed.manifest_id, needed.position
        """,
        ids=manifest_ids,
    )


async def list_tags(tx: Transaction, after: int, *, limit: int) -> list[CheckedTag]:
    return await tx.many(
        CheckedTag,
        f"""
        select tags.id, {_NAME}, tags.name, manifests.repository_id as manifest_repository_id, tags.repository_id,
            manifests.digest,
            (select digest from tag_moves
                where tag_moves.repository_id = tags.repository_id and tag_moves.name = tags.name
                order by tag_moves.id desc limit 1) as moved_digest
        from tags {_REPOSITORY.format(table="tags")}
        left join manifests on manifests.id = tags.manifest_id
        where tags.id > :after order by tags.id limit :limit
        """,
        after=after,
        limit=limit,
    )


async def list_repositories(tx: Transaction, after: int, *, limit: int) -> list[CountedRepository]:
    return await tx.many(
        CountedRepository,
        f"""
        select repositories.id, {_NAME},
            (select count(*) from tags where repository_id = repositories.id) as tag_count,
            (select cast(coalesce(sum(tag_count), 0) as bigint) from tag_stretches
                where repository_id = repositories.id and ordering = 'name') as by_name,
            (select cast(coalesce(sum(tag_count), 0) as bigint) from tag_stretches
                where repository_id = repositories.id and ordering = 'updated_at') as by_time,
            (select cast(coalesce(sum(tag_count), 0) as bigint) from tag_stretches
                where repository_id = repositories.id and ordering = 'version_key') as by_version,
            storage_bytes,
            cast(coalesce((select sum(counted_bytes) from repository_blobs
                    where repository_id = repositories.id), 0)
                + coalesce((select sum(size_bytes) from manifests where repository_id = repositories.id), 0)
                as bigint) as found_bytes,
            star_count,
            (select count(*) from repository_stars where repository_id = repositories.id) as found_stars,
            (select count(*) from manifests where repository_id = repositories.id) as manifest_count,
            (select cast(coalesce(sum(manifest_count), 0) as bigint) from repository_types
                where repository_id = repositories.id and kind = 'media') as by_media_type,
            (select cast(coalesce(sum(manifest_count), 0) as bigint) from repository_types
                where repository_id = repositories.id and kind = 'content') as by_content_type
        from repositories join accounts on accounts.id = namespace_id
        where repositories.id > :after order by repositories.id limit :limit
        """,
        after=after,
        limit=limit,
    )


async def list_searched(tx: Transaction, after: int, *, limit: int) -> list[SearchedRepository]:
    return await tx.many(
        SearchedRepository,
        """
        select repositories.id, namespace_id, accounts.name as namespace, repositories.name, description, is_private,
            categories, tokens
        from repositories join accounts on accounts.id = namespace_id
        left join repository_search on repository_id = repositories.id
        where repositories.id > :after order by repositories.id limit :limit
        """,
        after=after,
        limit=limit,
    )


async def list_wrong_stretches(tx: Transaction, repository_id: int) -> list[CheckedStretch]:
    """The stretches of a repository that do not hold as many tags as they say."""
    return await tx.many(
        CheckedStretch,
        f"""
        with stretches as (
            select repository_id, ordering, start, tag_count,
                lead(start) over (partition by ordering order by start) as following
            from tag_stretches where repository_id = :repository_id
        ), counted as (
            select repository_id, ordering, start, tag_count, case ordering
                when 'name' then (
                    select count(*) from tags where tags.repository_id = stretches.repository_id
                    and name >= start and (following is null or name < following))
                when 'version_key' then (
                    select count(*) from tags where tags.repository_id = stretches.repository_id
                    and version_key >= start and (following is null or version_key < following))
                else (
                    select count(*) from tags where tags.repository_id = stretches.repository_id
                    and updated_at >= cast(case ordering when 'updated_at' then start else '0' end as bigint)
                    and (following is null or
                        updated_at < cast(case ordering when 'updated_at' then following else '0' end as bigint)))
                end as found_count
            from stretches
        )
        select {_NAME}, ordering, start, tag_count, found_count
        from counted {_REPOSITORY.format(table="counted")}
        where tag_count <> found_count order by ordering, start limit 1000
        """,
        repository_id=repository_id,
    )
