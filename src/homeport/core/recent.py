"""Answers of reads that stay good as long as the database is as it was.

Pulls ask for the same few manifests and blobs again and again. SQLite tells in two microseconds whether anything
has been written since the last time, by any process; while nothing has, what was read and allowed a moment ago is
what would be read and allowed now. PostgreSQL has no such word, and there every request reads.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from homeport.core.access import Actor
from homeport.storage.db.database import Database

T = TypeVar("T")

ENTRIES_LIMIT = 2048
"""When there are more, all are forgotten: the next write would have done that too."""


class Recent:
    """What was read since the database changed last; one for a process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._version: int | None = None
        self._answers: dict[tuple[Any, ...], tuple[Actor, Any]] = {}

    async def read(self, actor: Actor, key: tuple[Any, ...], verb: Callable[[], Awaitable[T]]) -> T:
        """What `verb` gives for an actor; errors are not kept."""
        version = self._db.version()
        if version is None:
            return await verb()
        if version != self._version:
            self._answers.clear()
            self._version = version
        # The actor of a remembered token is one object. It is kept with the answer, so that its id stays its own.
        key = (id(actor), *key)
        found = self._answers.get(key)
        if found is not None:
            answer: T = found[1]
            return answer
        answer = await verb()
        if self._version == version:
            if len(self._answers) >= ENTRIES_LIMIT:
                self._answers.clear()
            self._answers[key] = (actor, answer)
        return answer
