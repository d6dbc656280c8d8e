"""Finding repositories by name, namespace and description.

A query is words, all of which have to be there: at the beginning of a word of the description, anywhere in a name, or,
for a word of two letters, at the beginning of one; a single letter is a word by itself. What is found is what the
caller may know of, the best match first. At most `LIMIT` repositories are looked at of those that the index gives; of
words that more have, they are those that are called so, the caller's own, those of marked namespaces, the most popular
ones, and of the others any. Decision 13 (docs/decisions/0013-search.md) says why.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from homeport.core.access import Actor, see_everywhere
from homeport.errors import FieldInvalid
from homeport.search_tokens import (
    PRIVATE,
    PUBLIC,
    QUERY_LENGTH_LIMIT,
    QUERY_WORDS_LIMIT,
    Token,
    Wanted,
    called,
    holding,
    in_category,
    in_namespace,
    words_of,
)
from homeport.storage.db import search as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Badge, FoundRepository, RepositoryPlatform
from homeport.storage.db.repositories import Sight
from homeport.storage.db.search import Filter, Order, View

LIMIT = 2000
"""Repositories that are looked at of what the index gives; the last page of a search ends there."""

_NAME = re.compile(r"[a-z0-9._/-]+")


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for. Without words that is everything. `categories` are slugs, any of which will do."""

    text: str
    words: Sequence[str]
    categories: Sequence[str] = ()
    filter_: Filter = Filter()
    order: Order = Order.RANK
    is_descending: bool = True

    @property
    def is_for_nothing(self) -> bool:
        """Whether there was something to look for, and no letter or digit in it."""
        return bool(self.text) and not self.words

    @property
    def name(self) -> str:
        """What was looked for, if it may be a name or the beginning of one."""
        name = self.text.lower().strip("/")
        return name if _NAME.fullmatch(name) else ""


class Found(msgspec.Struct, frozen=True):
    """A part of what a search finds; `total` counts all of it. Platforms are by repository."""

    total: int
    repositories: Sequence[FoundRepository]
    platforms: Mapping[int, Sequence[RepositoryPlatform]] = {}


def parse_query(text: str, *, field: str) -> tuple[str, list[str]]:
    """The text of a query and its words; `field` is how the caller calls it.

    Raises:
        FieldInvalid: longer, or more words, than anybody types.
    """
    text = text.strip()
    if len(text) > QUERY_LENGTH_LIMIT:
        raise FieldInvalid({field: [f"At most {QUERY_LENGTH_LIMIT} characters."]}, "invalid query")
    words = list(dict.fromkeys(words_of(text)))
    if len(words) > QUERY_WORDS_LIMIT:
        raise FieldInvalid({field: [f"At most {QUERY_WORDS_LIMIT} words."]}, "invalid query")
    return text, words


async def find(
    tx: Transaction, *, actor: Actor, search: Search, offset: int, limit: int, with_platforms: bool = False
) -> Found:
    """A part of the repositories that fit and that the actor may know of."""
    if search.is_for_nothing:
        return Found(0, [])
    view = await see_everywhere(tx, actor)
    tx = tx.lists
    ids = await rows.list_seen(
        tx,
        await _candidates(tx, view, search),
        view,
        search.filter_,
        text=search.name,
        words=search.words,
        order=search.order,
        is_descending=search.is_descending,
    )
    part = ids[offset : offset + limit]
    found = {repository.id: repository for repository in await rows.list_found(tx, part)}
    platforms: dict[int, list[RepositoryPlatform]] = {}
    if with_platforms:
        for platform in await rows.list_platforms(tx, part):
            platforms.setdefault(platform.repository_id, []).append(platform)
    return Found(len(ids), [found[id_] for id_ in part if id_ in found], platforms)


async def _candidates(tx: Transaction, view: View, search: Search) -> list[int]:
    """Repositories that may fit, each once. Whether the actor may know of them is asked of their own rows later: that
    the index is asked for some only keeps others from taking their places.
    """
    groups = [holding(word) for word in search.words]
    if search.categories:
        groups.append([in_category(slug) for slug in search.categories])
    places = _visible(view)
    if search.filter_.badges and Badge.NONE not in search.filter_.badges:
        marked = await rows.list_namespace_ids(tx, badges=search.filter_.badges)
        if not marked:
            return []
        places.append([in_namespace(id_) for id_ in marked])
    ids = await rows.list_ids(tx, Wanted([*places, *groups]), limit=LIMIT) if all(places) else []
    if len(ids) == LIMIT:
        ids += await _first_of_many(tx, view, search, groups)
    if view.sight is Sight.OPENED:
        ids += await rows.list_opened_ids(tx, Wanted(groups), account_id=view.account_id, limit=LIMIT)
    if named := [id_ for reach in view.reaches for id_ in reach.named_repository_ids]:
        ids += await rows.list_ids_among(tx, Wanted(groups), ids=named)
    return list(dict.fromkeys(ids))


def _visible(view: View) -> list[Sequence[Token]]:
    """Groups of tokens that what may be seen has, but for what is named by itself. An empty one: nothing has."""
    roles = [PUBLIC, PRIVATE] if view.sight is Sight.ALL else [PUBLIC, *map(in_namespace, view.namespace_ids)]
    tokens = [
        [in_namespace(id_) for id_ in reach.named_namespace_ids]
        for reach in view.reaches
        if not reach.public.is_everywhere
    ]
    return [roles, *tokens]


async def _first_of_many(tx: Transaction, view: View, search: Search, groups: Sequence[Sequence[Token]]) -> list[int]:
    """What must not be missing among more repositories than are looked at."""
    visible = _visible(view)
    marked = await rows.list_namespace_ids(tx, badges=[Badge.OFFICIAL, Badge.VERIFIED_PUBLISHER])
    wanted = [[*visible, [in_namespace(id_) for id_ in ids], *groups] for ids in (marked, view.namespace_ids) if ids]
    if search.name:
        # Who is called so has all the words, unless a namespace is among them.
        namespace, _, name = search.name.rpartition("/")
        wanted.append([*visible, [called(name)], *(groups if namespace else ())])
    ids = await rows.list_popular_ids(tx, Wanted(groups))
    for some in wanted:
        ids += await rows.list_ids(tx, Wanted(some), limit=LIMIT)
    return ids
