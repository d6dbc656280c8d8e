"""The audit log in partitions by time, on PostgreSQL. SQLite keeps its plain table."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

contracts = "0015"
"""It changes what the table is made of, and nothing that a program of before finds there or writes to it."""

_LOCK_TRIES = 60
_INDEXES = {
    "account": "account_id, created_at, id",
    "action": "account_id, action, created_at, id",
    "actor": "account_id, actor, created_at, id",
    "name": "account_id, name, created_at, id",
    "created": "created_at",
}


def upgrade() -> None:
    """The table as it is becomes the partition of the past. Nothing is copied and no index is built.

    The rows are looked at once, to be sure of the partition's bound, while others go on to write.
    """
    if op.get_bind().dialect.name == "sqlite":
        return
    newest = op.get_bind().scalar(sa.text("select max(created_at) from audit_events"))
    bound = _bound_of_the_past(newest or 0)
    with op.get_context().autocommit_block():
        # It was begun before, and broken off.
        _when_free("alter table audit_events drop constraint if exists audit_events_past")
        _when_free(f"alter table audit_events add constraint audit_events_past check (created_at < {bound}) not valid")
        op.execute("alter table audit_events validate constraint audit_events_past")
    _when_free("lock table audit_events in access exclusive mode", op.get_bind().begin_nested)
    _make_the_past()
    _make_the_whole()
    op.execute(f"alter table audit_events attach partition audit_events_past for values from (minvalue) to ({bound})")
    op.execute("alter table audit_events_past drop constraint audit_events_past")


def _bound_of_the_past(newest: int) -> int:
    """The beginning of a month that no event has reached, nor will while this runs."""
    second = max(time.time() + 2 * 24 * 3600, newest / 1_000_000)
    moment = datetime.fromtimestamp(second, UTC)
    months = moment.year * 12 + moment.month  # the next one: `month` counts from 1
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def _when_free(statement: str, attempt: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
    """Run what needs the whole table. Who waits for it makes others wait: so for a second, and then once more."""
    op.execute("set lock_timeout = '1s'")
    for tries in range(_LOCK_TRIES):
        try:
            with attempt():
                op.execute(statement)
            break
        except sa.exc.DBAPIError as error:
            if tries == _LOCK_TRIES - 1 or "lock timeout" not in str(error):
                raise
            time.sleep(0.5)
    op.execute("reset lock_timeout")


def _make_the_past() -> None:
    op.execute("alter table audit_events rename to audit_events_past")
    for name in _INDEXES:
        op.execute(f"alter index audit_events_{name} rename to audit_events_past_{name}")
    op.execute("alter index audit_events_pkey rename to audit_events_past_pkey")


def _make_the_whole() -> None:
    """The table over all partitions. Each has its own primary key, the id: one sequence gives the ids of all."""
    last = op.get_bind().scalar(sa.text("select nextval(pg_get_serial_sequence('audit_events_past', 'id'))"))
    op.execute("alter table audit_events_past alter column id drop identity")
    op.execute(f"create sequence audit_events_id_seq as bigint start with {last}")
    op.execute("create table audit_events (like audit_events_past including defaults) partition by range (created_at)")
    op.execute("alter table audit_events alter column id set default nextval('audit_events_id_seq')")
    op.execute("alter sequence audit_events_id_seq owned by audit_events.id")
    for name, columns in _INDEXES.items():
        op.execute(f"create index audit_events_{name} on audit_events ({columns})")
    op.execute("create table audit_events_default partition of audit_events (primary key (id)) default")
