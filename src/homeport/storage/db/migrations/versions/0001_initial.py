"""Accounts, organizations, teams, tokens, repositories, content and tags."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import flag, identity, integer, moment, reference, table, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


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
    table(
        "accounts",
        identity(),
        text("uuid"),
        text("name"),
        text("kind"),
        text("email", nullable=True),
        text("full_name", default=""),
        text("password_hash", nullable=True),
        # Counts password changes, resets and deactivations: what was issued under another number is void.
        integer("credentials_version", default="1"),
        flag("is_active", default=True),
        flag("is_site_admin", default=False),
        moment("created_at"),
        sa.UniqueConstraint("uuid"),
        sa.UniqueConstraint("name"),
        sa.CheckConstraint("kind in ('user', 'organization')", "accounts_kind"),
    )
    op.create_index("accounts_email", "accounts", [sa.text("lower(email)")], unique=True)


def _organizations() -> None:
    table(
        "organization_members",
        reference("organization_id", "accounts"),
        reference("account_id", "accounts"),
        text("role"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("organization_id", "account_id"),
        sa.CheckConstraint("role in ('owner', 'editor', 'member')", "organization_members_role"),
    )
    op.create_index("organization_members_account", "organization_members", ["account_id"])
    table(
        "teams",
        identity(),
        text("uuid"),
        reference("organization_id", "accounts"),
        text("name"),
        text("description", default=""),
        moment("created_at"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("teams_name", "teams", ["organization_id", sa.text("lower(name)")], unique=True)
    table(
        "team_members",
        reference("team_id", "teams"),
        reference("account_id", "accounts"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("team_id", "account_id"),
    )
    op.create_index("team_members_account", "team_members", ["account_id"])


def _tokens() -> None:
    table(
        "access_tokens",
        identity(),
        text("uuid"),
        reference("account_id", "accounts"),
        text("label"),
        text("secret_sha256"),
        text("scopes"),
        flag("is_active", default=True),
        moment("created_at"),
        moment("expires_at", nullable=True),
        # Clients compare what they sent byte for byte.
        text("expires_at_text", nullable=True),
        moment("last_used_at", nullable=True),
        text("creator_ip", default=""),
        text("creator_ua", default=""),
        text("generated_by", default="manual"),
        sa.UniqueConstraint("uuid"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_index("access_tokens_account", "access_tokens", ["account_id", "id"])
    # What was revoked lately: each process reads the newest rows and forgets what it remembered of them.
    table(
        "revocations",
        identity(),
        reference("account_id", "accounts"),
        moment("created_at"),
    )
    op.create_index("revocations_created", "revocations", ["created_at"])
    table(
        "signing_keys",
        text("kid"),
        text("private_key"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("kid"),
    )


def _repositories() -> None:
    table(
        "repositories",
        identity(),
        reference("namespace_id", "accounts"),
        text("name"),
        flag("is_private", default=False),
        text("description", default=""),
        text("full_description", default=""),
        integer("pull_count", default="0"),
        moment("created_at"),
        moment("updated_at"),
        sa.UniqueConstraint("namespace_id", "name"),
    )
    for name, holder, what in (
        ("repository_teams", "team_id", "teams"),
        ("repository_collaborators", "account_id", "accounts"),
    ):
        table(
            name,
            reference("repository_id", "repositories"),
            reference(holder, what),
            text("permission"),
            moment("created_at"),
            sa.PrimaryKeyConstraint("repository_id", holder),
            sa.CheckConstraint("permission in ('read', 'write', 'admin')", f"{name}_permission"),
        )
        op.create_index(f"{name}_holder", name, [holder])


def _content() -> None:
    table(
        "blobs",
        identity(),
        text("digest"),
        integer("size_bytes"),
        text("storage_key"),
        moment("created_at"),
        sa.UniqueConstraint("digest"),
        sa.UniqueConstraint("storage_key"),
    )
    # A repository sees the blobs that were pushed or mounted into it, and no others.
    table(
        "repository_blobs",
        reference("repository_id", "repositories"),
        reference("blob_id", "blobs", cascade=False),
        moment("created_at"),
        sa.PrimaryKeyConstraint("repository_id", "blob_id"),
    )
    op.create_index("repository_blobs_blob", "repository_blobs", ["blob_id"])
    table(
        "manifests",
        identity(),
        reference("repository_id", "repositories"),
        text("digest"),
        text("media_type"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        integer("size_bytes"),
        # How many levels of indexes are below: 0 for an image.
        integer("depth"),
        text("subject", nullable=True),
        text("artifact_type", nullable=True),
        text("annotations", nullable=True),
        text("config_media_type", nullable=True),
        text("os", nullable=True),
        text("os_version", nullable=True),
        text("os_features", default=""),
        text("architecture", nullable=True),
        text("variant", nullable=True),
        text("features", default=""),
        # Sum of the sizes of the layers; 0 for an index.
        integer("image_size_bytes"),
        moment("pushed_at"),
        reference("pushed_by", "accounts", nullable=True, cascade=False),
        moment("last_pulled_at", nullable=True),
        sa.UniqueConstraint("repository_id", "digest"),
    )
    op.create_index(
        "manifests_subject",
        "manifests",
        ["repository_id", "subject", "digest"],
        sqlite_where=sa.text("subject is not null"),
        postgresql_where=sa.text("subject is not null"),
    )
    table(
        "manifest_references",
        reference("manifest_id", "manifests"),
        integer("position"),
        reference("repository_id", "repositories"),
        text("kind"),
        text("digest"),
        text("media_type"),
        integer("size_bytes"),
        text("os", nullable=True),
        text("os_version", nullable=True),
        text("os_features", default=""),
        text("architecture", nullable=True),
        text("variant", nullable=True),
        text("features", default=""),
        sa.PrimaryKeyConstraint("manifest_id", "position"),
        sa.CheckConstraint("kind in ('config', 'layer', 'manifest')", "manifest_references_kind"),
    )
    op.create_index("manifest_references_digest", "manifest_references", ["repository_id", "digest"])
    table(
        "manifest_layers",
        reference("manifest_id", "manifests"),
        integer("position"),
        # Null for a step of the history that made no layer.
        text("digest", nullable=True),
        integer("size_bytes"),
        text("instruction"),
        sa.PrimaryKeyConstraint("manifest_id", "position"),
    )


def _tags() -> None:
    table(
        "tags",
        identity(),
        reference("repository_id", "repositories"),
        text("name"),
        reference("manifest_id", "manifests", cascade=False),
        moment("created_at"),
        reference("created_by", "accounts", nullable=True, cascade=False),
        # Unique in the repository, so that it can order pages by itself.
        moment("updated_at"),
        reference("updated_by", "accounts", nullable=True, cascade=False),
        moment("last_pulled_at", nullable=True),
        sa.UniqueConstraint("repository_id", "name"),
        sa.UniqueConstraint("repository_id", "updated_at"),
    )
    op.create_index("tags_manifest", "tags", ["manifest_id"])
    # Counted stretches of the tags in each order: how a page far down is found without walking to it.
    table(
        "tag_stretches",
        reference("repository_id", "repositories"),
        text("ordering"),
        text("start"),
        integer("tag_count"),
        sa.PrimaryKeyConstraint("repository_id", "ordering", "start"),
    )
    table(
        "tag_moves",
        identity(),
        reference("repository_id", "repositories"),
        text("name"),
        # Null: the tag was deleted.
        text("digest", nullable=True),
        moment("moved_at"),
        reference("moved_by", "accounts", nullable=True, cascade=False),
    )
    op.create_index("tag_moves_tag", "tag_moves", ["repository_id", "name", "id"])


def _uploads() -> None:
    table(
        "uploads",
        text("id"),
        reference("repository_id", "repositories"),
        reference("account_id", "accounts"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uploads_created", "uploads", ["created_at"])
