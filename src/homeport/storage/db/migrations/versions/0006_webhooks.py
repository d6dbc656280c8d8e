"""Webhooks of repositories, what is to be delivered to them, and what became of it."""

import sqlalchemy as sa
from alembic import op

from homeport.storage.db.migrations.columns import Text, flag, identity, integer, moment, reference, table, text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table(
        "webhooks",
        identity(),
        reference("repository_id", "repositories"),
        text("name"),
        flag("is_active", default=True),
        # Docker's clients set it; nothing goes by it.
        flag("expects_final_callback", default=False),
        # What deliveries are signed with: kept as it is, as signing takes it.
        text("secret"),
        moment("created_at"),
        reference("created_by", "accounts", nullable=True, cascade=False),
        moment("updated_at"),
        reference("updated_by", "accounts", nullable=True, cascade=False),
    )
    op.create_index("webhooks_repository", "webhooks", ["repository_id", "id"])
    table(
        "webhook_targets",
        identity(),
        reference("webhook_id", "webhooks"),
        text("url"),
        moment("created_at"),
        reference("created_by", "accounts", nullable=True, cascade=False),
        # When the first of its deliveries is due; null: none is.
        moment("due_at", nullable=True),
        # Until then a process that delivers has the target for itself.
        moment("claimed_until", nullable=True),
    )
    op.create_index("webhook_targets_webhook", "webhook_targets", ["webhook_id", "id"])
    op.create_index("webhook_targets_due", "webhook_targets", ["due_at", "id"])
    _deliveries()


def _deliveries() -> None:
    table(
        "webhook_events",
        text("id"),
        reference("repository_id", "repositories"),
        text("tag"),
        # What is sent, but for what differs with each webhook.
        text("payload"),
        moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("webhook_events_created", "webhook_events", ["created_at"])
    op.create_index("webhook_events_repository", "webhook_events", ["repository_id"])
    table(
        "webhook_deliveries",
        identity(),
        # What receivers know it by.
        text("uuid"),
        reference("webhook_id", "webhooks"),
        reference("target_id", "webhook_targets"),
        sa.Column("event_id", Text, sa.ForeignKey("webhook_events.id", ondelete="CASCADE"), nullable=False),
        moment("created_at"),
        # Since when it has been tried: it is given up some time later.
        moment("due_since"),
        # Null: delivered, or given up.
        moment("due_at", nullable=True),
        moment("delivered_at", nullable=True),
        integer("attempts", default="0"),
        # Of the last attempt.
        moment("attempted_at", nullable=True),
        integer("duration_ms", nullable=True),
        integer("http_status", nullable=True),
        text("error", default=""),
        text("answer", default=""),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("webhook_deliveries_webhook", "webhook_deliveries", ["webhook_id", "id"])
    op.create_index("webhook_deliveries_due", "webhook_deliveries", ["target_id", "due_at", "id"])
    op.create_index("webhook_deliveries_event", "webhook_deliveries", ["event_id"])
