"""What is counted behind the requests: pulls, and the use of tokens; and pulls that an organization has audited.

A request appends in memory; `fold` writes what has gathered, every two seconds. That is all a crash can lose. Nothing
that a request waits for updates a counter, or writes that somebody has read.
"""

import asyncio
from collections import Counter
from datetime import datetime

import msgspec
import structlog

from homeport.core import audit
from homeport.core.access import Actor
from homeport.core.audit import AuditAction, Event
from homeport.names import Reference, RepositoryName, TagName
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import audit as audit_rows
from homeport.storage.db import manifests as manifest_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.audit import NewEvent
from homeport.storage.db.database import Database, utcnow
from homeport.storage.db.records import Repository, TaggedManifest

log = structlog.get_logger()

EVENTS_PER_TRANSACTION = 500
"""On SQLite they are written on the event loop: a handful of milliseconds at a time."""

EVENTS_LIMIT = 100_000
"""What is kept in memory while the database takes nothing; what comes then is lost, and the log says how much."""


class PullLog:
    """Pulls and token uses since the last fold."""

    def __init__(self) -> None:
        self._repositories: Counter[int] = Counter()
        self._manifests: dict[int, datetime] = {}
        self._tags: dict[int, datetime] = {}
        self._tokens: dict[int, datetime] = {}
        self._events: list[NewEvent] = []
        self._events_lost = 0
        self._writing = asyncio.Lock()

    def pulled(
        self,
        repository: Repository,
        manifest: TaggedManifest,
        reference: Reference,
        *,
        actor: Actor,
        address: str,
        user_agent: str,
    ) -> None:
        """Count a pull, and note it for the audit log where the organization wants that."""
        now = utcnow()
        self._repositories[repository.id] += 1
        self._manifests[manifest.id] = now
        if manifest.tag_id is not None:
            self._tags[manifest.tag_id] = now
        if not repository.audits_pulls:
            return
        if len(self._events) >= EVENTS_LIMIT:
            self._events_lost += 1
            return
        actor = msgspec.structs.replace(actor, address=address, user_agent=user_agent)
        self._events.append(audit.new_event(actor, _event(repository, manifest, reference), at=now))

    def used(self, token_id: int) -> None:
        self._tokens[token_id] = utcnow()

    async def fold(self, db: Database) -> None:
        """Write what has gathered; it is kept for the next time if that fails."""
        await self._write_events(db)
        if not (self._repositories or self._tokens):
            return
        repositories, self._repositories = self._repositories, Counter()
        manifests, self._manifests = self._manifests, {}
        tags, self._tags = self._tags, {}
        tokens, self._tokens = self._tokens, {}
        try:
            async with db.write() as tx:
                # In the order of ids everywhere, so that two processes that fold cannot wait for each other.
                for repository_id, count in sorted(repositories.items()):
                    await repository_rows.add_pulls(tx, repository_id, count)
                await manifest_rows.set_last_pulled(tx, manifests)
                await tag_rows.set_last_pulled(tx, tags)
                await token_rows.set_last_used(tx, tokens)
        except BaseException:
            self._repositories.update(repositories)
            self._manifests = manifests | self._manifests
            self._tags = tags | self._tags
            self._tokens = tokens | self._tokens
            raise

    async def _write_events(self, db: Database) -> None:
        while self._events:
            # A fold that is cancelled at shutdown lets its batch go to the end: the last fold must not write it again.
            await asyncio.shield(self._write_batch(db))
        if self._events_lost:
            log.error("audit events of pulls lost", count=self._events_lost)
            self._events_lost = 0

    async def _write_batch(self, db: Database) -> None:
        async with self._writing:
            batch = self._events[:EVENTS_PER_TRANSACTION]
            async with db.write() as tx:
                await audit_rows.insert_all(tx, batch)
            del self._events[: len(batch)]


def _event(repository: Repository, manifest: TaggedManifest, reference: Reference) -> Event:
    data = {"digest": manifest.digest}
    if isinstance(reference, TagName):
        data["tag"] = reference
    name = RepositoryName(repository.namespace, repository.name)
    return Event(action=AuditAction.REPO_PULL, account_id=repository.namespace_id, name=str(name), data=data)
