"""What is shown of a repository and kept up to date with each push: its size, stars, categories and types; and tags in
the order of versions.
"""

import json

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import flag, integer, moment, reference, table, text
from homeport.versions import version_key

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BATCH = 1000
TYPE_LENGTH_LIMIT = 255
SHOWN_TYPES = 32
STRETCH = 256

# How content types are told from the type that a manifest gives itself, as of this migration.
_CONTENT_TYPES = (
    ("application/vnd.oci.image.config.", "image"),
    ("application/vnd.docker.container.image.", "image"),
    ("application/vnd.docker.plugin.", "plugin"),
    ("application/vnd.cncf.helm.", "helm"),
    ("application/vnd.docker.volume.", "volume"),
    ("application/vnd.wasm.", "wasm"),
    ("application/wasm", "wasm"),
    ("application/vnd.docker.compose.", "compose"),
    ("application/vnd.docker.ai.model.", "model"),
    ("application/vnd.cncf.model.", "model"),
)


def upgrade() -> None:
    _repositories()
    _sizes()
    _stars()
    _types()
    _versions()


def _repositories() -> None:
    for column in (
        flag("is_active", default=True),
        integer("star_count", default="0"),
        # Of its manifests, and of the blobs that are counted in `repository_blobs`.
        integer("storage_bytes", default="0"),
        # When its own properties were changed last; `updated_at` is of what is in it.
        moment("modified_at", nullable=True),
        # JSON lists of texts.
        text("categories", default="[]"),
        text("media_types", default="[]"),
        text("content_types", default="[]"),
    ):
        op.add_column("repositories", column)
    op.execute(
        """
        update repositories set updated_at = coalesce(
            (select max(tags.updated_at) from tags where tags.repository_id = repositories.id), updated_at)
        """
    )
    for column_name in ("updated_at", "pull_count"):
        op.create_index(f"repositories_{column_name}", "repositories", ["namespace_id", column_name, "id"])
    # Deleting a repository looks for its uploads.
    op.create_index("uploads_repository", "uploads", ["repository_id"])


def _sizes() -> None:
    # Null: not counted yet. The next push of a manifest does that, under the repository's lock.
    op.add_column("repository_blobs", integer("counted_bytes", nullable=True))
    op.execute(
        "update repository_blobs set counted_bytes = (select size_bytes from blobs where blobs.id = blob_id)",
    )
    is_uncounted = sa.text("counted_bytes is null")
    op.create_index(
        "repository_blobs_uncounted",
        "repository_blobs",
        ["repository_id"],
        sqlite_where=is_uncounted,
        postgresql_where=is_uncounted,
    )
    op.execute(
        """
        update repositories set storage_bytes =
            coalesce((select sum(counted_bytes) from repository_blobs where repository_id = repositories.id), 0)
            + coalesce((select sum(size_bytes) from manifests where repository_id = repositories.id), 0)
        """
    )


def _stars() -> None:
    table(
        "repository_stars",
        reference("repository_id", "repositories"),
        reference("account_id", "accounts"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("repository_id", "account_id"),
    )
    op.create_index("repository_stars_account", "repository_stars", ["account_id", "created_at", "repository_id"])


def _types() -> None:
    # How many manifests of a repository are of a type; what is there shows in `repositories` too.
    table(
        "repository_types",
        reference("repository_id", "repositories"),
        text("kind"),
        text("type"),
        integer("manifest_count"),
        sa.PrimaryKeyConstraint("repository_id", "kind", "type"),
        sa.CheckConstraint("kind in ('media', 'content')", "repository_types_kind"),
    )
    own = "coalesce(nullif(artifact_type, ''), config_media_type)"
    words = " ".join(
        f"when substr({own}, 1, {len(prefix)}) = '{prefix}' then '{word}'" for prefix, word in _CONTENT_TYPES
    )
    media = f"""substr(case when depth > 0 or config_media_type is null then media_type else config_media_type end,
        1, {TYPE_LENGTH_LIMIT})"""
    content = f"case when {own} is null and depth > 0 then 'image' {words} else 'unrecognized' end"
    for kind, expression in (("media", media), ("content", content)):
        op.execute(
            f"""
            insert into repository_types (repository_id, kind, type, manifest_count)
            select repository_id, '{kind}', type, count(*)
            from (select repository_id, {expression} as type from manifests) as typed
            group by repository_id, type
            """
        )
    _show_types()


def _show_types() -> None:
    bind = op.get_bind()
    found: dict[int, dict[str, list[str]]] = {}
    for row in bind.execute(sa.text("select repository_id, kind, type from repository_types order by 1, 2, 3")):
        found.setdefault(row.repository_id, {"media": [], "content": []})[row.kind].append(row.type)
    for repository_id, types in found.items():
        bind.execute(
            sa.text("update repositories set media_types = :media, content_types = :content where id = :id"),
            {"id": repository_id, **{kind: _json(some[:SHOWN_TYPES]) for kind, some in types.items()}},
        )


def _json(texts: list[str]) -> str:
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def _versions() -> None:
    op.add_column("tags", text("version_key", default=""))
    bind = op.get_bind()
    after = 0
    while names := bind.execute(
        sa.text("select id, name from tags where id > :after order by id limit :limit"),
        {"after": after, "limit": BATCH},
    ).all():
        bind.execute(
            sa.text("update tags set version_key = :key where id = :id"),
            [{"id": row.id, "key": version_key(row.name)} for row in names],
        )
        after = names[-1].id
    op.create_index("tags_version", "tags", ["repository_id", "version_key"])
    op.execute(
        f"""
        insert into tag_stretches (repository_id, ordering, start, tag_count)
        select repository_id, 'version_key', case when stretch = 0 then '' else min(version_key) end, count(*)
        from (
            select repository_id, version_key,
                (row_number() over (partition by repository_id order by version_key) - 1) / {STRETCH} as stretch
            from tags
        ) as placed
        group by repository_id, stretch
        """
    )
