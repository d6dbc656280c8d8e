"""Accounts, organizations, teams, tokens, repositories, content and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The types that both databases share. Names compare in byte order: SQLite's default, `collate "C"` on PostgreSQL.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Int = sa.BigInteger
Moment = sa.BigInteger  # microseconds since 1970, UTC
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Flag = sa.Boolean(create_constraint=False)


def _table(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table whose ids are never given twice, also after a delete."""
    op.create_table(name, *items, sqlite_autoincrement=any(getattr(item, "name", "") == "id" for item in items))


def _id() -> sa.Column[int]:
    return sa.Column("id", Id, sa.Identity(), primary_key=True)


def _reference(name: str, table: str, *, nullable: bool = False, cascade: bool = True) -> sa.Column[int]:
    return sa.Column(name, Id, sa.ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None), nullable=nullable)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, Text, nullable=nullable, server_default=default)


def _int(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, Int, nullable=nullable, server_default=default)


def _flag(name: str, *, default: bool) -> sa.Column[bool]:
    return sa.Column(name, Flag, nullable=False, server_default=sa.true() if default else sa.false())


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, Moment, nullable=nullable)


def upgrade() -> None:
    _accounts()
    _organizations()
    _tokens()
    _repositories()
    _content()
    _tags()
    _uploads()


def _accounts() -> None:
    # Users and organizations share one space of names.
    _table(
        "accounts",
        _id(),
        _text("uuid"),
        _text("name"),
        _text("kind"),
        _text("email", nullable=True),
        _text("full_name", default=""),
        _text("password_hash", nullable=True),
        # Counts password changes, resets and deactivations: what was issued under another number is void.
        _int("credentials_version", default="1"),
        _flag("is_active", default=True),
        _flag("is_site_admin", default=False),
        _moment("created_at"),
        sa.UniqueConstraint("uuid"),
        sa.UniqueConstraint("name"),
        sa.CheckConstraint("kind in ('user', 'organization')", "accounts_kind"),
    )
    op.create_index("accounts_email", "accounts", [sa.text("lower(email)")], unique=True)


def _organizations() -> None:
    _table(
        "organization_members",
        _reference("organization_id", "accounts"),
        _reference("account_id", "accounts"),
        _text("role"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("organization_id", "account_id"),
        sa.CheckConstraint("role in ('owner', 'editor', 'member')", "organization_members_role"),
    )
    op.create_index("organization_members_account", "organization_members", ["account_id"])
    _table(
        "teams",
        _id(),
        _text("uuid"),
        _reference("organization_id", "accounts"),
        _text("name"),
        _text("description", default=""),
        _moment("created_at"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("teams_name", "teams", ["organization_id", sa.text("lower(name)")], unique=True)
    _table(
        "team_members",
        _reference("team_id", "teams"),
        _reference("account_id", "accounts"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("team_id", "account_id"),
    )
    op.create_index("team_members_account", "team_members", ["account_id"])


def _tokens() -> None:
    _table(
        "access_tokens",
        _id(),
        _text("uuid"),
        _reference("account_id", "accounts"),
        _text("label"),
        _text("secret_sha256"),
        _text("scopes"),
        _flag("is_active", default=True),
        _moment("created_at"),
        _moment("expires_at", nullable=True),
        # Clients compare what they sent byte for byte.
        _text("expires_at_text", nullable=True),
        _moment("last_used_at", nullable=True),
        _text("creator_ip", default=""),
        _text("creator_ua", default=""),
        _text("generated_by", default="manual"),
        sa.UniqueConstraint("uuid"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_index("access_tokens_account", "access_tokens", ["account_id", "id"])
    # What was revoked lately: each process reads the newest rows and forgets what it remembered of them.
    _table(
        "revocations",
        _id(),
        _reference("account_id", "accounts"),
        _moment("created_at"),
    )
    op.create_index("revocations_created", "revocations", ["created_at"])
    _table(
        "signing_keys",
        _text("kid"),
        _text("private_key"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("kid"),
    )


def _repositories() -> None:
    _table(
        "repositories",
        _id(),
        _reference("namespace_id", "accounts"),
        _text("name"),
        _flag("is_private", default=False),
        _text("description", default=""),
        _text("full_description", default=""),
        _int("pull_count", default="0"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.UniqueConstraint("namespace_id", "name"),
    )
    for table, holder, what in (
        ("repository_teams", "team_id", "teams"),
        ("repository_collaborators", "account_id", "accounts"),
    ):
        _table(
            table,
            _reference("repository_id", "repositories"),
            _reference(holder, what),
            _text("permission"),
            _moment("created_at"),
            sa.PrimaryKeyConstraint("repository_id", holder),
            sa.CheckConstraint("permission in ('read', 'write', 'admin')", f"{table}_permission"),
        )
        op.create_index(f"{table}_holder", table, [holder])


def _content() -> None:
    _table(
        "blobs",
        _id(),
        _text("digest"),
        _int("size_bytes"),
        _text("storage_key"),
        _moment("created_at"),
        sa.UniqueConstraint("digest"),
        sa.UniqueConstraint("storage_key"),
    )
    # A repository sees the blobs that were pushed or mounted into it, and no others.
    _table(
        "repository_blobs",
        _reference("repository_id", "repositories"),
        _reference("blob_id", "blobs", cascade=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("repository_id", "blob_id"),
    )
    op.create_index("repository_blobs_blob", "repository_blobs", ["blob_id"])
    _table(
        "manifests",
        _id(),
        _reference("repository_id", "repositories"),
        _text("digest"),
        _text("media_type"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _int("size_bytes"),
        # How many levels of indexes are below: 0 for an image.
        _int("depth"),
        _text("subject", nullable=True),
        _text("artifact_type", nullable=True),
        _text("annotations", nullable=True),
        _text("config_media_type", nullable=True),
        _text("os", nullable=True),
        _text("os_version", nullable=True),
        _text("os_features", default=""),
        _text("architecture", nullable=True),
        _text("variant", nullable=True),
        _text("features", default=""),
        # Sum of the sizes of the layers; 0 for an index.
        _int("image_size_bytes"),
        _moment("pushed_at"),
        _reference("pushed_by", "accounts", nullable=True, cascade=False),
        _moment("last_pulled_at", nullable=True),
        sa.UniqueConstraint("repository_id", "digest"),
    )
    op.create_index(
        "manifests_subject",
        "manifests",
        ["repository_id", "subject", "digest"],
        sqlite_where=sa.text("subject is not null"),
        postgresql_where=sa.text("subject is not null"),
    )
    _table(
        "manifest_references",
        _reference("manifest_id", "manifests"),
        _int("position"),
        _reference("repository_id", "repositories"),
        _text("kind"),
        _text("digest"),
        _text("media_type"),
        _int("size_bytes"),
        _text("os", nullable=True),
        _text("os_version", nullable=True),
        _text("os_features", default=""),
        _text("architecture", nullable=True),
        _text("variant", nullable=True),
        _text("features", default=""),
        sa.PrimaryKeyConstraint("manifest_id", "position"),
        sa.CheckConstraint("kind in ('config', 'layer', 'manifest')", "manifest_references_kind"),
    )
    op.create_index("manifest_references_digest", "manifest_references", ["repository_id", "digest"])
    _table(
        "manifest_layers",
        _reference("manifest_id", "manifests"),
        _int("position"),
        # Null for a step of the history that made no layer.
        _text("digest", nullable=True),
        _int("size_bytes"),
        _text("instruction"),
        sa.PrimaryKeyConstraint("manifest_id", "position"),
    )


def _tags() -> None:
    _table(
        "tags",
        _id(),
        _reference("repository_id", "repositories"),
        _text("name"),
        _reference("manifest_id", "manifests", cascade=False),
        _moment("created_at"),
        _reference("created_by", "accounts", nullable=True, cascade=False),
        # Unique in the repository, so that it can order pages by itself.
        _moment("updated_at"),
        _reference("updated_by", "accounts", nullable=True, cascade=False),
        _moment("last_pulled_at", nullable=True),
        sa.UniqueConstraint("repository_id", "name"),
        sa.UniqueConstraint("repository_id", "updated_at"),
    )
    op.create_index("tags_manifest", "tags", ["manifest_id"])
    # Counted stretches of the tags in each order: how a page far down is found without walking to it.
    _table(
        "tag_stretches",
        _reference("repository_id", "repositories"),
        _text("ordering"),
        _text("start"),
        _int("tag_count"),
        sa.PrimaryKeyConstraint("repository_id", "ordering", "start"),
    )
    _table(
        "tag_moves",
        _id(),
        _reference("repository_id", "repositories"),
        _text("name"),
        # Null: the tag was deleted.
        _text("digest", nullable=True),
        _moment("moved_at"),
        _reference("moved_by", "accounts", nullable=True, cascade=False),
    )
    op.create_index("tag_moves_tag", "tag_moves", ["repository_id", "name", "id"])


def _uploads() -> None:
    _table(
        "uploads",
        _text("id"),
        _reference("repository_id", "repositories"),
        _reference("account_id", "accounts"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uploads_created", "uploads", ["created_at"])
