"""Deleting many tags at once, by a filter: an extension of ours.

Finding them may look at every name of a repository, in slices and beside other requests. What was found is deleted
afterwards, in one transaction that looks at each tag again: one that has been moved meanwhile is not the one that was
meant. Immutable tags stay, and are told of.
"""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from fnmatch import translate
from functools import cached_property

import msgspec

from homeport.core import immutable_tags
from homeport.core.access import Action, Actor, access_repository
from homeport.core.repositories import lock_repository
from homeport.core.services import Services
from homeport.core.tags import delete_tags
from homeport.errors import FieldInvalid, RepositoryUnknown
from homeport.names import RepositoryName
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import tags as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Repository, Tag, TagMoment, TagRules

LIMIT = 100
"""Tags that one request deletes: each costs some ten statements, and other writers wait."""

PATTERN_LENGTH_LIMIT = 256

SLICE = 1000
"""Names that are looked at in one go."""


class TagFilter(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Which tags are meant: those that fit all that is given.

    `pattern` is a glob (`*`, `?`, `[…]`) for whole names, in their case. Of those that fit names and pattern the
    `keep_newest` that were pushed last are left out, and then those that were not pushed before `older_than`.
    """

    names: frozenset[str] | None = None
    pattern: str | None = None
    older_than: datetime | None = None
    keep_newest: int = 0

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(translate("*" if self.pattern is None else self.pattern))

    def check(self) -> None:
        """Raises FieldInvalid if it fits every tag, or is larger than any use of it."""
        reason = ""
        if self.names is None and self.pattern is None and self.older_than is None and not self.keep_newest:
            reason = "Give names, a pattern, older_than or keep_newest."
        elif len(self.names or ()) > LIMIT:
            reason = f"At most {LIMIT} names."
        elif len(self.pattern or "") > PATTERN_LENGTH_LIMIT:
            reason = f"A pattern has at most {PATTERN_LENGTH_LIMIT} characters."
        if reason:
            raise FieldInvalid({"filter": [reason]}, "invalid filter")

    def choose(self, newest_first: Iterable[TagMoment], *, kept: int) -> tuple[list[TagMoment], int]:
        """Those of some tags that are meant, when `kept` newer ones have been kept; and how many then are."""
        chosen = []
        for tag in newest_first:
            if not self._names(tag.name):
                continue
            if kept < self.keep_newest:
                kept += 1
            elif self.older_than is None or tag.updated_at < self.older_than:
                chosen.append(tag)
        return chosen, kept

    def _names(self, name: str) -> bool:
        return (self.names is None or name in self.names) and bool(self._pattern.match(name))


class Deletion(msgspec.Struct, frozen=True):
    """Tags that were deleted, or would be; `has_more` where as many again may be left. `immutable` are those that are
    meant and stay, the first `LIMIT` that were met.
    """

    tags: Sequence[Tag]
    immutable: Sequence[Tag]
    has_more: bool


class _Chosen(msgspec.Struct, frozen=True):
    """What is meant, those pushed last first: what may go, up to one more than one request deletes, and what stays."""

    mutable: Sequence[TagMoment] = ()
    immutable: Sequence[TagMoment] = ()

    def with_more(self, tags: Sequence[TagMoment], immutable: frozenset[str]) -> "_Chosen":
        return _Chosen(
            [*self.mutable, *(tag for tag in tags if tag.name not in immutable)][: LIMIT + 1],
            [*self.immutable, *(tag for tag in tags if tag.name in immutable)][:LIMIT],
        )


async def delete_matching(
    services: Services, *, actor: Actor, name: RepositoryName, filter_: TagFilter, is_dry_run: bool
) -> Deletion:
    """Delete up to `LIMIT` tags that a filter means, those pushed last first; in a dry run, tell which they are.

    Raises:
        FieldInvalid: as `TagFilter.check`.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    async with services.db.read(scan=True) as tx:
        repository = await access_repository(tx, actor, name, Action.DELETE_TAGS)
        filter_.check()
        chosen = await _choose(tx, repository, filter_)
        found = await _present(tx, repository, chosen)
    if is_dry_run or not found.tags:
        return found
    async with services.db.write(scan=True) as tx:
        repository = await access_repository(tx, actor, name, Action.DELETE_TAGS)
        await lock_repository(tx, repository)
        found = await _present(tx, repository, chosen)
        await delete_tags(tx, actor=actor, repository=repository, tags=found.tags)
    return found


async def _choose(tx: Transaction, repository: Repository, filter_: TagFilter) -> _Chosen:
    rules = await _rules(tx, repository)
    found = _Chosen()
    kept = 0
    async for tags in _slices(tx, repository.id, filter_):
        chosen, kept = filter_.choose(tags, kept=kept)
        found = found.with_more(chosen, await immutable_tags.which(rules, [tag.name for tag in chosen]))
        if len(found.mutable) > LIMIT:
            break
    return found


async def _rules(tx: Transaction, repository: Repository) -> TagRules:
    rules = await repository_rows.get_tag_rules(tx, repository.id)
    if rules is None:
        raise RepositoryUnknown(RepositoryName(repository.namespace, repository.name))
    return rules


async def _present(tx: Transaction, repository: Repository, chosen: _Chosen) -> Deletion:
    """What was chosen, by the rules of now: they may be others than at the choice."""
    mutable = await _unmoved(tx, repository.id, chosen.mutable[:LIMIT])
    kept = await _unmoved(tx, repository.id, chosen.immutable)
    immutable = await immutable_tags.which(await _rules(tx, repository), [tag.name for tag in mutable])
    return Deletion(
        tags=[tag for tag in mutable if tag.name not in immutable],
        immutable=[*kept, *(tag for tag in mutable if tag.name in immutable)][:LIMIT],
        has_more=len(chosen.mutable) > LIMIT,
    )


async def _slices(tx: Transaction, repository_id: int, filter_: TagFilter) -> AsyncIterator[list[TagMoment]]:
    """The tags among which the filter chooses, the newest first."""
    if filter_.names is not None:
        yield await rows.list_moments_of(tx, repository_id=repository_id, names=sorted(filter_.names))
        return
    # Those that are too new need only be looked at where they are counted.
    before = None if filter_.keep_newest else filter_.older_than
    while tags := await rows.list_moments(tx, repository_id=repository_id, before=before, limit=SLICE):
        yield tags
        before = tags[-1].updated_at


async def _unmoved(tx: Transaction, repository_id: int, chosen: Sequence[TagMoment]) -> list[Tag]:
    """The tags as they are now, the newest first, without those that have gone or were moved since they were chosen."""
    if not chosen:
        return []
    moments = {tag.id: tag.updated_at for tag in chosen}
    tags = await rows.list_named(tx, repository_id=repository_id, names=[tag.name for tag in chosen])
    unmoved = [tag for tag in tags if moments.get(tag.id) == tag.updated_at]
    return sorted(unmoved, key=lambda tag: tag.updated_at, reverse=True)
