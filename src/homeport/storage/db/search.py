"""Statements on what repositories are found by. They hold no rules but those that a `View` brings.

The index of tokens, which is written with the repositories, finds. Whether somebody may know of what it found is
decided by the rows of repositories themselves, in `list_seen`, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from homeport.search_tokens import Token, Wanted, tokens_of
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Badge, FoundRepository, OrganizationRole, RepositoryPlatform
from homeport.storage.db.repositories import (
    COLLABORATED,
    THROUGH_TEAMS,
    Reach,
    Sight,
    reach_parameters,
    reached,
)

NAMESPACES_LIMIT = 1000
POPULAR_LIMIT = 1000
PLATFORMS_LIMIT = 10_000


class Order(StrEnum):
    """`RANK` is the best match first; the others have the highest or newest first, or turned round."""

    RANK = "rank"
    PULLS = "pull_count"
    UPDATED = "updated_at"


class View(msgspec.Struct, frozen=True):
    """Which repositories of all namespaces an account may know of: those that are public; besides them the private ones
    of some namespaces, and those that have been opened to it; or all. Of these it is those within all of some reaches.
    """

    sight: Sight
    account_id: int | None = None
    namespace_ids: Sequence[int] = ()
    reaches: Sequence[Reach] = ()


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of what was found. Empty lists leave everything; `content_types` are JSON lists as they are written
    in a repository, of which with `is_other_content` none fits.
    """

    badges: Sequence[Badge] = ()
    content_types: Sequence[str] = ()
    is_other_content: bool = False
    architectures: Sequence[str] = ()
    operating_systems: Sequence[str] = ()


class _Id(msgspec.Struct, frozen=True):
    id: int


async def put(
    tx: Transaction,
    *,
    namespace_id: int,
    namespace: str,
    name: str,
    description: str,
    is_private: bool,
    categories: Sequence[str] = (),
) -> None:
    """Have a repository found by what it is like now; `categories` are slugs."""
    await tx.run(
        """
        insert into repository_search (repository_id, tokens)
        select id, cast(:tokens as text) from repositories where namespace_id = :namespace_id and name = :name
        on conflict (repository_id) do update set tokens = excluded.tokens
            where repository_search.tokens <> excluded.tokens
        """,
        namespace_id=namespace_id,
        name=name,
        tokens=tokens_of(
            namespace_id=namespace_id,
            namespace=namespace,
            name=name,
            description=description,
            is_private=is_private,
            categories=categories,
        ),
    )


async def list_ids(tx: Transaction, wanted: Wanted, *, limit: int) -> list[int]:
    """Some repositories with these tokens: all, or as many as the limit says."""
    found = await tx.many(_Id, "select id from (:wanted...tokens) as found limit :limit", wanted=wanted, limit=limit)
    return [row.id for row in found]


async def list_popular_ids(tx: Transaction, wanted: Wanted) -> list[int]:
    """Of the public repositories with the most stars and of those with the most pulls the ones with these tokens."""
    found = await tx.many(
        _Id,
        f"""
        select popular.id from (
            select id from (select id from repositories where star_count > 0 and not is_private
                order by star_count desc, id desc limit :limit) as starred
            union
            select id from (select id from repositories where pull_count > 0 and not is_private
                order by pull_count desc, id desc limit :limit) as pulled
        ) as popular join repository_search on repository_id = popular.id
        where {_holds(wanted)}
        """,
        limit=POPULAR_LIMIT,
        **_texts(wanted),
    )
    return [row.id for row in found]


async def list_opened_ids(tx: Transaction, wanted: Wanted, *, account_id: int | None, limit: int) -> list[int]:
    """Repositories with these tokens that have been opened to an account: to it alone, or to a team of it."""
    found = await tx.many(
        _Id,
        f"""
        select opened.repository_id as id from ({COLLABORATED} union {THROUGH_TEAMS}) as opened
        join repository_search on repository_search.repository_id = opened.repository_id
        where {_holds(wanted)} limit :limit
        """,
        account_id=account_id,
        limit=limit,
        **_texts(wanted),
    )
    return [row.id for row in found]


async def list_ids_among(tx: Transaction, wanted: Wanted, *, ids: Sequence[int]) -> list[int]:
    """Those of a few repositories that have these tokens."""
    found = await tx.many(
        _Id,
        f"""
        select repository_id as id from repository_search
        where repository_id in (:ids...bigint) and {_holds(wanted)}
        """,
        ids=list(ids),
        **_texts(wanted),
    )
    return [row.id for row in found]


def _holds(wanted: Wanted) -> str:
    """A condition: the tokens of `repository_search` are wanted. For few rows: it reads them."""
    text = "(' ' || tokens || ' ')"
    groups = (
        " or ".join(f"replace({text}, cast(:{name} as text), '') <> {text}" for name, _ in _named(group, number))
        for number, group in enumerate(wanted.groups)
    )
    return " and ".join(f"({group})" for group in groups) or "true"


def _texts(wanted: Wanted) -> Mapping[str, str]:
    """The parameters of `_holds`."""
    named = (pair for number, group in enumerate(wanted.groups) for pair in _named(group, number))
    return {name: f" {token.text}" if token.is_prefix else f" {token.text} " for name, token in named}


def _named(group: Sequence[Token], number: int) -> Sequence[tuple[str, Token]]:
    return [(f"token_{number}_{place}", token) for place, token in enumerate(group)]


async def list_namespace_ids(tx: Transaction, *, badges: Sequence[Badge]) -> list[int]:
    """Namespaces that are marked with one of these badges."""
    found = await tx.many(
        _Id,
        "select id from accounts where badge <> '' and badge in (:badges...text) order by id limit :limit",
        badges=list(badges),
        limit=NAMESPACES_LIMIT,
    )
    return [row.id for row in found]


async def list_namespace_ids_of_member(
    tx: Transaction, *, account_id: int, roles: Sequence[OrganizationRole]
) -> list[int]:
    """Organizations in which an account has one of these roles."""
    found = await tx.many(
        _Id,
        """
        select organization_id as id from organization_members
        where account_id = :account_id and role in (:roles...text)
        """,
        account_id=account_id,
        roles=list(roles),
    )
    return [row.id for row in found]


VISIBLE = {
    Sight.PUBLIC: "not repositories.is_private",
    Sight.OPENED: f"""(not repositories.is_private or repositories.namespace_id in (:namespace_ids...bigint)
        or repositories.id in ({COLLABORATED}) or repositories.id in ({THROUGH_TEAMS}))""",
    Sight.ALL: "true",
}
"""A condition on a repository for each sight of a `View`, whose ids are parameters of these names."""

# Where one of the platforms of the tag that was moved last is wanted.
_LATEST = (
    "(select manifest_id from tags where tags.repository_id = repositories.id order by tags.updated_at desc limit 1)"
)
_PLATFORMS = f"""manifests left join manifest_references on manifest_references.manifest_id = manifests.id
    and manifest_references.kind = 'manifest'
    where manifests.id = {_LATEST}"""
_HAS_PLATFORM = """and exists (select 1 from {platforms}
    and coalesce(manifest_references.{column}, manifests.{column}) in (:{parameter}...text))"""


def _filtered(filter_: Filter) -> str:
    conditions = ""
    if filter_.badges:
        conditions += "and accounts.badge in (:badges...text) "
    if filter_.content_types:
        negated = "not" if filter_.is_other_content else ""
        conditions += f"and repositories.content_types {negated} in (:content_types...text) "
    if filter_.architectures:
        conditions += _HAS_PLATFORM.format(platforms=_PLATFORMS, column="architecture", parameter="architectures")
    if filter_.operating_systems:
        conditions += _HAS_PLATFORM.format(platforms=_PLATFORMS, column="os", parameter="operating_systems")
    return conditions


_FULL_NAME = "accounts.name || '/' || repositories.name"

# The words of both names, with blanks around each.
_NAME_WORDS = f"' ' || replace(replace(replace(replace({_FULL_NAME}, '/', ' '), '-', ' '), '_', ' '), '.', ' ') || ' '"


def _tier(words: Sequence[str]) -> str:
    """How well a repository fits: as it is called, by how its name begins, by words of its names, by parts of them, or
    else by its description alone.
    """
    starts = " and ".join(_in_names(f"cast(' ' || :word_{number} as text)") for number in range(len(words)))
    parts = " and ".join(_in_names(f"cast(:word_{number} as text)") for number in range(len(words)))
    by_words = f"when {starts} then 2 when {parts} then 3" if words else ""
    return f"""case when :text in (repositories.name, {_FULL_NAME}) then 0
        when :text <> '' and (substr(repositories.name, 1, length(:text)) = :text
            or substr({_FULL_NAME}, 1, length(:text)) = :text) then 1
        {by_words} else 4 end"""


def _in_names(text: str) -> str:
    return f"replace({_NAME_WORDS}, {text}, '') <> {_NAME_WORDS}"


_BADGES = f"case accounts.badge when '{Badge.OFFICIAL}' then 0 when '{Badge.VERIFIED_PUBLISHER}' then 1 else 2 end"


def _order(order: Order, words: Sequence[str], *, is_descending: bool) -> str:
    if order is Order.RANK:
        return f"{_tier(words)}, {_BADGES}, star_count desc, pull_count desc, repositories.id"
    direction = "desc" if is_descending else ""
    return f"repositories.{order} {direction}, repositories.id {direction}"


async def list_seen(
    tx: Transaction,
    ids: Sequence[int],
    view: View,
    filter_: Filter,
    *,
    text: str,
    words: Sequence[str],
    order: Order,
    is_descending: bool,
) -> list[int]:
    """Those of the repositories that somebody may know of and that pass a filter, in an order without ties. They are
    ranked by `text`, which may be a name, and by `words`.
    """
    found = await tx.many(
        _Id,
        f"""
        select repositories.id from repositories join accounts on accounts.id = repositories.namespace_id
        where repositories.id in (:ids...bigint) and accounts.is_active and {VISIBLE[view.sight]}
            and {reached(view.reaches)} {_filtered(filter_)}
        order by {_order(order, words, is_descending=is_descending)}
        """,
        ids=list(ids),
        account_id=view.account_id,
        namespace_ids=list(view.namespace_ids),
        badges=list(filter_.badges),
        content_types=list(filter_.content_types),
        architectures=list(filter_.architectures),
        operating_systems=list(filter_.operating_systems),
        text=text,
        **{f"word_{number}": word for number, word in enumerate(words)},
        **reach_parameters(view.reaches),
    )
    return [row.id for row in found]


async def list_found(tx: Transaction, ids: Sequence[int]) -> list[FoundRepository]:
    """What is shown of repositories, in the order of their ids. How people are called besides is not
    told to everybody.
    """
    return await tx.many(
        FoundRepository,
        """
        select repositories.id, accounts.name as namespace, repositories.name, repositories.description, accounts.badge,
            accounts.uuid as publisher_uuid,
            case when kind = 'organization' and full_name <> '' then full_name else accounts.name end as publisher,
            star_count, pull_count, repositories.created_at, repositories.updated_at, categories, content_types
        from repositories join accounts on accounts.id = repositories.namespace_id
        where repositories.id in (:ids...bigint) order by repositories.id
        """,
        ids=list(ids),
    )


async def list_platforms(tx: Transaction, ids: Sequence[int]) -> list[RepositoryPlatform]:
    """The platforms of the tag that was moved last of each of some repositories."""
    return await tx.many(
        RepositoryPlatform,
        f"""
        select distinct repositories.id as repository_id, coalesce(manifest_references.os, manifests.os) as os,
            coalesce(manifest_references.architecture, manifests.architecture) as architecture
        from repositories join manifests on manifests.id = {_LATEST}
        left join manifest_references on manifest_references.manifest_id = manifests.id
            and manifest_references.kind = 'manifest'
        where repositories.id in (:ids...bigint)
        order by 1, 2, 3 limit :limit
        """,
        ids=list(ids),
        limit=PLATFORMS_LIMIT,
    )
