"""What the collection of garbage remembers: condemned blobs, discarded bytes; and whose turn each job is."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import moment, table, text

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Since when a repository no longer tells that it holds a blob which no manifest of its names.
    op.add_column("repository_blobs", moment("condemned_at", nullable=True))
    is_condemned = sa.text("condemned_at is not null")
    op.create_index(
        "repository_blobs_condemned",
        "repository_blobs",
        ["repository_id"],
        sqlite_where=is_condemned,
        postgresql_where=is_condemned,
    )
    op.create_index("tag_moves_digest", "tag_moves", ["repository_id", "digest"])
    table(
        "discarded_keys",
        text("storage_key"),
        moment("discarded_at"),
        sa.PrimaryKeyConstraint("storage_key"),
    )
    op.create_index("discarded_keys_discarded_at", "discarded_keys", ["discarded_at"])
    table("job_turns", text("job"), moment("due_at"), sa.PrimaryKeyConstraint("job"))
