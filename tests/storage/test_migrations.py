"""Migrations fill what they add as the program itself would have."""

import asyncio
from typing import Any

import msgspec

from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core import integrity
from homeport.core.demo import seeding
from homeport.search_tokens import PRIVATE, PUBLIC, Wanted
from homeport.settings import Settings
from homeport.storage.db import search
from homeport.storage.db.migrate import is_current, migrate

UNDO_REPOSITORIES = [
    "drop table repository_types",
    "drop table repository_stars",
    "delete from tag_stretches where ordering = 'version_key'",
    *(
        f"drop index {index}"
        for index in (
            *("tags_version", "repository_blobs_uncounted", "uploads_repository"),
            *("repositories_updated_at", "repositories_pull_count"),
        )
    ),
    "alter table tags drop column version_key",
    "alter table repository_blobs drop column counted_bytes",
    *(
        f"alter table repositories drop column {column}"
        for column in (
            *("is_active", "star_count", "storage_bytes", "modified_at"),
            *("categories", "media_types", "content_types"),
        )
    ),
]

UNDO_ACCOUNTS = [
    "drop index organization_members_of_account",
    *(f"drop table {table}" for table in ("mail_requests", "confirmations", "ended_sessions")),
]

UNDO_WEBHOOKS = [
    f"drop table {table}" for table in ("webhook_deliveries", "webhook_events", "webhook_targets", "webhooks")
]

UNDO_UPLOADS = ["alter table uploads drop column is_discarded"]

UNDO_SEARCH = [
    *(f"drop index {index}" for index in ("repositories_popular_star_count", "repositories_popular_pull_count")),
    "drop index accounts_badge",
    "drop table repository_search",
]

UNDO_IMMUTABLE_TAGS = [
    f"alter table repositories drop column {column}" for column in ("has_immutable_tags", "immutable_tag_rules")
]

UNDO_ORGANIZATION_TOKENS = [
    f"alter table access_tokens drop column {column}" for column in ("description", "created_by", "grants")
]

UNDO_NARROW_TOKENS = [
    "drop index access_tokens_parent",
    *(f"alter table access_tokens drop column {column}" for column in ("address_ranges", "can_derive", "parent_id")),
]
UNDO_DEVICE_LOGINS = ["drop table device_logins", "drop index access_tokens_generated"]

UNDO_GARBAGE = [
    "drop index repository_blobs_condemned",
    "alter table repository_blobs drop column condemned_at",
    "drop index tag_moves_digest",
    "drop table discarded_keys",
    "drop table job_turns",
]

FILLED = {
    "repository_search": "repository_id, tokens",
    "repositories": "id, storage_bytes, media_types, content_types, categories, is_active, star_count, modified_at, "
    "has_immutable_tags, immutable_tag_rules",
    "repository_types": "repository_id, kind, type, manifest_count",
    "repository_blobs": "repository_id, blob_id, counted_bytes",
    "tags": "id, version_key",
    "tag_stretches": "repository_id, ordering, start, tag_count",
}


class _Row(msgspec.Struct, frozen=True):
    row: str


def test_what_was_pushed_before_is_counted_as_what_is_pushed_now(empty_settings: Settings) -> None:
    async def run() -> None:
        await set_up(empty_settings)
        async with open_services(empty_settings) as services:
            await seeding.seed(services)
            pushed = await _filled(services)
            assert all(pushed.values())
            async with services.db.write() as tx:
                undo_search = _undo_search(is_sqlite=empty_settings.is_sqlite)
                before = [*UNDO_WEBHOOKS, *UNDO_ACCOUNTS, *UNDO_REPOSITORIES]
                newest = [
                    *UNDO_UPLOADS,
                    *UNDO_GARBAGE,
                    *UNDO_DEVICE_LOGINS,
                    *UNDO_NARROW_TOKENS,
                    *UNDO_ORGANIZATION_TOKENS,
                    *UNDO_IMMUTABLE_TAGS,
                ]
                for statement in [*newest, *undo_search, *before]:
                    await tx.run(statement)
                await tx.run("update alembic_version set version_num = :version", version="0003")
        assert not await is_current(empty_settings)
        assert await migrate(empty_settings)
        async with open_services(empty_settings) as services:
            assert await _filled(services) == pushed
            assert await _found(services) == len(pushed["repositories"])
            findings = [finding async for finding in integrity.check(services)]
            assert [finding for finding in findings if finding.severity == integrity.ERROR] == []

    asyncio.run(run())


def _undo_search(*, is_sqlite: bool) -> list[str]:
    """SQLite's index goes before the table that it is of, PostgreSQL's function after the index that needs it."""
    if is_sqlite:
        return ["drop table repository_tokens", *UNDO_SEARCH]
    return [*UNDO_SEARCH, "drop function repository_tokens"]


async def _found(services: Any) -> int:
    async with services.db.read() as tx:
        return len(await search.list_ids(tx, Wanted([[PUBLIC, PRIVATE]]), limit=1000))


async def _filled(services: Any) -> dict[str, list[str]]:
    found = {}
    async with services.db.read() as tx:
        for table, columns in FILLED.items():
            text = " || ' ' || ".join(f"coalesce(cast({column} as text), 'none')" for column in columns.split(", "))
            rows = await tx.many(_Row, f"select {text} as row from {table} order by 1")
            found[table] = [row.row for row in rows]
    return found
