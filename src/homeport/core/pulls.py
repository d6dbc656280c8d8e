"""What is counted behind the requests: pulls, and the use of tokens.

A request appends in memory; `fold` writes what has gathered in one transaction, every two seconds. That is all a crash
can lose. Nothing that a request waits for updates a counter.
"""

from collections import Counter
from datetime import datetime

from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import manifests as manifest_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.database import Database, utcnow


class PullLog:
    """Pulls and token uses since the last fold."""

    def __init__(self) -> None:
        self._repositories: Counter[int] = Counter()
        self._manifests: dict[int, datetime] = {}
        self._tags: dict[int, datetime] = {}
        self._tokens: dict[int, datetime] = {}

    def pulled(self, *, repository_id: int, manifest_id: int, tag_id: int | None) -> None:
        now = utcnow()
        self._repositories[repository_id] += 1
        self._manifests[manifest_id] = now
        if tag_id is not None:
            self._tags[tag_id] = now

    def used(self, token_id: int) -> None:
        self._tokens[token_id] = utcnow()

    async def fold(self, db: Database) -> None:
        """Write what has gathered; it is kept for the next time if that fails."""
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
