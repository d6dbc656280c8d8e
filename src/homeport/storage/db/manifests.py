"""Statements on manifests, what they refer to, and referrers. They hold no rules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Image, Layer, Manifest, Referrer, TaggedManifest


class NewReference(msgspec.Struct, frozen=True, kw_only=True):
    """A descriptor of a manifest. The platform is that of the descriptor, as an index gives it."""

    kind: str
    digest: str
    media_type: str
    size_bytes: int
    os: str | None = None
    os_version: str | None = None
    os_features: str = ""
    architecture: str | None = None
    variant: str | None = None
    features: str = ""


class NewLayer(msgspec.Struct, frozen=True, kw_only=True):
    digest: str | None
    size_bytes: int
    instruction: str


class NewManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a manifest when it is pushed."""

    digest: str
    media_type: str
    content: bytes
    depth: int
    subject: str | None = None
    artifact_type: str | None = None
    annotations: str | None = None
    config_media_type: str | None = None
    os: str | None = None
    os_version: str | None = None
    os_features: str = ""
    architecture: str | None = None
    variant: str | None = None
    features: str = ""
    image_size_bytes: int = 0
    references: Sequence[NewReference] = ()
    layers: Sequence[NewLayer] = ()


async def get_id(tx: Transaction, *, repository_id: int, digest: str) -> int | None:
    return await tx.value(
        int,
        "select id from manifests where repository_id = :repository_id and digest = :digest",
        repository_id=repository_id,
        digest=digest,
    )


class TypedManifest(msgspec.Struct, frozen=True):
    """What a manifest counts for in its repository."""

    id: int
    size_bytes: int
    media_type: str
    config_media_type: str | None
    artifact_type: str | None
    depth: int


async def get_typed(tx: Transaction, *, repository_id: int, digest: str) -> TypedManifest | None:
    return await tx.one(
        TypedManifest,
        """
        select id, size_bytes, media_type, config_media_type, artifact_type, depth from manifests
        where repository_id = :repository_id and digest = :digest
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def get_by_digest(tx: Transaction, *, repository_id: int, digest: str) -> TaggedManifest | None:
    return await tx.one(
        TaggedManifest,
        """
        select id, digest, media_type, content, cast(null as bigint) as tag_id from manifests
        where repository_id = :repository_id and digest = :digest
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def get_by_tag(tx: Transaction, *, repository_id: int, tag: str) -> TaggedManifest | None:
    return await tx.one(
        TaggedManifest,
        """
        select manifests.id, digest, media_type, content, tags.id as tag_id
        from tags join manifests on manifests.id = manifest_id
        where tags.repository_id = :repository_id and tags.name = :tag
        """,
        repository_id=repository_id,
        tag=tag,
    )


async def insert(
    tx: Transaction, manifest: NewManifest, *, repository_id: int, pushed_by: int | None, depth: int
) -> int:
    """Insert a manifest that the repository does not have, with its references and layers; its id."""
    manifest_id = await tx.value(
        int,
        """
        insert into manifests (repository_id, digest, media_type, content, size_bytes, depth, subject, artifact_type,
            annotations, config_media_type, os, os_version, os_features, architecture, variant, features,
            image_size_bytes, pushed_at, pushed_by)
        values (:repository_id, :digest, :media_type, :content, :size_bytes, :depth, :subject, :artifact_type,
            :annotations, :config_media_type, :os, :os_version, :os_features, :architecture, :variant, :features,
            :image_size_bytes, :now, :pushed_by)
        returning id
        """,
        **_columns(manifest, without=("references", "layers", "depth")),
        size_bytes=len(manifest.content),
        depth=depth,
        repository_id=repository_id,
        pushed_by=pushed_by,
        now=utcnow(),
    )
    assert manifest_id is not None
    if manifest.references:
        await tx.run_many(
            """
            insert into manifest_references (manifest_id, position, repository_id, kind, digest, media_type,
                size_bytes, os, os_version, os_features, architecture, variant, features)
            values (:manifest_id, :position, :repository_id, :kind, :digest, :media_type,
                :size_bytes, :os, :os_version, :os_features, :architecture, :variant, :features)
            """,
            [
                {
                    **_columns(reference),
                    "manifest_id": manifest_id,
                    "position": position,
                    "repository_id": repository_id,
                }
                for position, reference in enumerate(manifest.references)
            ],
        )
    if manifest.layers:
        await tx.run_many(
            """
            insert into manifest_layers (manifest_id, position, digest, size_bytes, instruction)
            values (:manifest_id, :position, :digest, :size_bytes, :instruction)
            """,
            [
                {**_columns(layer), "manifest_id": manifest_id, "position": position}
                for position, layer in enumerate(manifest.layers)
            ],
        )
    return manifest_id


def _columns(struct: msgspec.Struct, without: Sequence[str] = ()) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name not in without}


async def set_pushed(tx: Transaction, manifest_id: int, *, pushed_by: int | None) -> None:
    """The manifest came again."""
    await tx.run(
        "update manifests set pushed_at = :now, pushed_by = :pushed_by where id = :id",
        id=manifest_id,
        pushed_by=pushed_by,
        now=utcnow(),
    )


async def delete(tx: Transaction, manifest_id: int) -> None:
    """Delete a manifest that no tag points at, with its references and layers."""
    await tx.run("delete from manifests where id = :id", id=manifest_id)


async def deepest(tx: Transaction, *, repository_id: int, digests: list[str]) -> int | None:
    """The greatest depth among those of the digests that the repository has."""
    return await tx.value(
        int,
        """
        select max(depth) from manifests
        where repository_id = :repository_id and digest in (:digests...text)
        """,
        repository_id=repository_id,
        digests=digests,
    )


async def list_referrers(
    tx: Transaction,
    *,
    repository_id: int,
    subject: str,
    artifact_type: str | None,
    after: str,
    limit: int,
) -> list[Referrer]:
    """Manifests with this subject in the order of their digests, those behind `after`."""
    return await tx.many(
        Referrer,
        """
        select digest, media_type, size_bytes, artifact_type, annotations from manifests
        where repository_id = :repository_id and subject = :subject and digest > :after
            and (cast(:artifact_type as text) is null or artifact_type = :artifact_type)
        order by digest limit :limit
        """,
        repository_id=repository_id,
        subject=subject,
        artifact_type=artifact_type,
        after=after,
        limit=limit,
    )


async def list_images(tx: Transaction, manifest_ids: list[int], *, depth_limit: int, breadth_limit: int) -> list[Image]:
    """The platforms of manifests: an image is its own, an index has those of its leaves, the first `breadth_limit`.

    The walk visits each index once a level, so that indexes which name each other many times cost no more than
    their number; and it looks at the first `breadth_limit` descriptors of each, of which a manifest may have thousands.
    """
    return await tx.many(
        Image,
        """
        with recursive indexes (root_id, manifest_id, repository_id, level) as (
            select id, id, repository_id, 0 from manifests where id in (:ids...bigint) and depth > 0
            union
            select indexes.root_id, child.id, indexes.repository_id, indexes.level + 1
            from indexes
            join manifest_references on manifest_references.manifest_id = indexes.manifest_id
            join manifests child
                on child.repository_id = indexes.repository_id and child.digest = manifest_references.digest
            where child.depth > 0 and indexes.level < :depth_limit
                and manifest_references.position < :breadth_limit
        )
        select root_id, manifest_id, digest, os, os_version, os_features, architecture, variant, features,
            size_bytes, pushed_at, last_pulled_at
        from (
            select id as root_id, id as manifest_id, digest, os, os_version, os_features, architecture, variant,
                features, image_size_bytes as size_bytes, pushed_at, last_pulled_at, 0 as level, 0 as position
            from manifests where id in (:ids...bigint) and depth = 0
            union all
            select root_id, child.id, leaf.digest, coalesce(leaf.os, child.os),
                coalesce(leaf.os_version, child.os_version),
                case when leaf.os_features <> '' then leaf.os_features else coalesce(child.os_features, '') end,
                coalesce(leaf.architecture, child.architecture), coalesce(leaf.variant, child.variant),
                case when leaf.features <> '' then leaf.features else coalesce(child.features, '') end,
                coalesce(child.image_size_bytes, 0), child.pushed_at, child.last_pulled_at, level, leaf.position
            from indexes
            join manifest_references leaf on leaf.manifest_id = indexes.manifest_id
            left join manifests child
                on child.repository_id = indexes.repository_id and child.digest = leaf.digest
            where leaf.kind = 'manifest' and leaf.position < :breadth_limit
                and (child.id is null or child.depth = 0)
        ) as images
        order by root_id, level, position
        """,
        ids=manifest_ids,
        depth_limit=depth_limit,
        breadth_limit=breadth_limit,
    )


async def list_layers(tx: Transaction, manifest_ids: list[int]) -> list[Layer]:
    return await tx.many(
        Layer,
        """
        select manifest_id, digest, size_bytes, instruction from manifest_layers
        where manifest_id in (:ids...bigint) order by manifest_id, position
        """,
        ids=manifest_ids,
    )


async def set_last_pulled(tx: Transaction, pulls: Mapping[int, datetime]) -> None:
    """Write down when manifests were pulled last: id → time."""
    for manifest_id, pulled_at in sorted(pulls.items()):
        await tx.run(
            "update manifests set last_pulled_at = :pulled_at where id = :id",
            id=manifest_id,
            pulled_at=pulled_at,
        )


async def list_after(tx: Transaction, after: int, *, limit: int) -> list[Manifest]:
    """All manifests in the order of their ids, a page at a time."""
    return await tx.many(
        Manifest,
        "select id, digest, media_type, content from manifests where id > :after order by id limit :limit",
        after=after,
        limit=limit,
    )
