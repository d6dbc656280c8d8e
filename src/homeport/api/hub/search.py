"""Finding repositories: as Docker Hub's pages do it, as `docker search` does, and as the newer catalogue does."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from homeport.api.http import basic_credentials, bearer_token
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import ANY_SCOPE, PAGES, Query, Section, reference
from homeport.api.hub.repositories import CategoryInfo
from homeport.api.hub.requests import HubRequest, from_where
from homeport.api.hub.times import timestamp
from homeport.core import categories, search
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.activity import Door, Visit
from homeport.core.search import Found, Search
from homeport.core.services import Services
from homeport.errors import FieldInvalid, NotAuthenticated, PageUnknown
from homeport.names import OFFICIAL_NAMESPACE
from homeport.storage.db.records import Badge, FoundRepository, RepositoryPlatform
from homeport.storage.db.search import Filter, Order

ENGINE_PAGE_SIZE = 25
CATALOG_PAGE_SIZE = 25
PAGE_SIZE_LIMIT = 100

_ANYBODY: dict[str, Any] = {
    "permission": "Anybody finds what is public; private repositories are found by who may pull from them.",
    "bearer": "optional",
}
_QUERY = "Words that all have to be there: in the namespace, in the name or in the description."


class SearchResult(msgspec.Struct):
    repo_name: Annotated[str, Meta(description="Without its namespace where that is `library`.", examples=["acme/app"])]
    short_description: Annotated[str, Meta(examples=["What it does"])]
    star_count: int
    pull_count: int
    repo_owner: Annotated[str, Meta(examples=[""])]
    is_automated: Annotated[bool, Meta(examples=[False])]
    is_official: bool

    @classmethod
    def of(cls, repository: FoundRepository) -> "SearchResult":
        return cls(
            repo_name=_short_name(repository),
            short_description=repository.description,
            star_count=repository.star_count,
            pull_count=repository.pull_count,
            repo_owner="",
            is_automated=False,
            is_official=repository.badge is Badge.OFFICIAL,
        )


class SearchPage(msgspec.Struct):
    count: int
    next: Annotated[str, Meta(description="Empty on the last page.")]
    previous: Annotated[str, Meta(description="Empty on the first page.", examples=[""])]
    results: Sequence[SearchResult]


class EngineResult(msgspec.Struct):
    name: Annotated[str, Meta(description="Without its namespace where that is `library`.", examples=["acme/app"])]
    description: Annotated[str, Meta(examples=["What it does"])]
    star_count: int
    is_official: bool
    is_automated: Annotated[bool, Meta(examples=[False])]
    is_trusted: Annotated[bool, Meta(examples=[False])]

    @classmethod
    def of(cls, repository: FoundRepository) -> "EngineResult":
        return cls(
            name=_short_name(repository),
            description=repository.description,
            star_count=repository.star_count,
            is_official=repository.badge is Badge.OFFICIAL,
            is_automated=False,
            is_trusted=False,
        )


class EngineResults(msgspec.Struct):
    query: Annotated[str, Meta(examples=["app"])]
    num_results: Annotated[int, Meta(description="Of all pages.")]
    num_pages: int
    page: int
    page_size: Annotated[int, Meta(examples=[ENGINE_PAGE_SIZE])]
    results: Sequence[EngineResult]


class Ping(msgspec.Struct):
    standalone: Annotated[bool, Meta(description="Engines then send what they have logged in with.", examples=[True])]


class Publisher(msgspec.Struct):
    id: Annotated[str, Meta(examples=["1f0e2c6e-6a3b-4d53-9a5e-0b7a1c9d8e21"])]
    name: Annotated[str, Meta(examples=["Acme"])]


class Named(msgspec.Struct):
    """An operating system or an architecture; the label is for people."""

    name: Annotated[str, Meta(examples=["linux"])]
    label: Annotated[str, Meta(examples=["Linux"])]


class Logo(msgspec.Struct):
    large: str
    small: str


BadgeName = Literal["official", "verified_publisher", "open_source", "none"]
ContentKind = Literal["image", "plugin", "model"]


class CatalogResult(msgspec.Struct):
    id: Annotated[str, Meta(examples=["acme/app"])]
    name: Annotated[str, Meta(description="Without its namespace where that is `library`.", examples=["acme/app"])]
    slug: Annotated[str, Meta(examples=["acme/app"])]
    type: Annotated[ContentKind, Meta(examples=["image"])]
    publisher: Publisher
    created_at: str
    updated_at: str
    short_description: Annotated[str, Meta(examples=["What it does"])]
    badge: Annotated[BadgeName, Meta(examples=["verified_publisher"])]
    star_count: int
    pull_count: Annotated[str, Meta(description="Rounded down from a hundred on: `500K+`.", examples=["500K+"])]
    operating_systems: Annotated[Sequence[Named], Meta(description="Of the tag that was moved last.")]
    architectures: Annotated[Sequence[Named], Meta(description="Of the tag that was moved last.")]
    logo_url: Annotated[Logo | None, Meta(examples=[None])]
    extension_reviewed: Annotated[bool, Meta(examples=[False])]
    archived: Annotated[bool, Meta(examples=[False])]
    categories: Sequence[CategoryInfo]

    @classmethod
    def of(cls, repository: FoundRepository, platforms: Sequence[RepositoryPlatform]) -> "CatalogResult":
        name = _short_name(repository)
        return cls(
            id=name,
            name=name,
            slug=name,
            type=_kind(repository),
            publisher=Publisher(repository.publisher_uuid, repository.publisher),
            created_at=timestamp(repository.created_at),
            updated_at=timestamp(repository.updated_at),
            short_description=repository.description,
            badge=_BADGE_NAMES[repository.badge],
            star_count=repository.star_count,
            pull_count=rounded(repository.pull_count),
            operating_systems=_named({platform.os for platform in platforms}),
            architectures=_named({platform.architecture for platform in platforms}),
            logo_url=None,
            extension_reviewed=False,
            archived=False,
            categories=[CategoryInfo.of(found) for found in categories.named(_texts(repository.categories))],
        )


class Catalog(msgspec.Struct):
    total: int
    results: Sequence[CatalogResult]


_BADGE_NAMES: dict[Badge, BadgeName] = {
    Badge.OFFICIAL: "official",
    Badge.VERIFIED_PUBLISHER: "verified_publisher",
    Badge.OPEN_SOURCE: "open_source",
    Badge.NONE: "none",
}
_LABELS = {
    "386": "x86",
    "amd64": "x86-64",
    "arm": "ARM",
    "arm64": "ARM 64",
    "freebsd": "FreeBSD",
    "linux": "Linux",
    "mips64le": "MIPS 64 LE",
    "ppc64le": "PowerPC 64 LE",
    "riscv64": "RISC-V 64",
    "s390x": "IBM Z",
    "windows": "Windows",
}

# What a repository holds nothing but, as it stands in its row; any other is an image.
_KINDS: dict[ContentKind, str] = {"plugin": '["plugin"]', "model": '["model"]'}


def _short_name(repository: FoundRepository) -> str:
    if repository.namespace == OFFICIAL_NAMESPACE:
        return repository.name
    return f"{repository.namespace}/{repository.name}"


def _kind(repository: FoundRepository) -> ContentKind:
    return next((kind for kind, written in _KINDS.items() if repository.content_types == written), "image")


def _texts(written: str) -> list[str]:
    return msgspec.json.decode(written, type=list[str])


def _named(names: set[str | None]) -> list[Named]:
    return [Named(name, _LABELS.get(name, name)) for name in sorted(filter(None, names)) if name != "unknown"]


def rounded(count: int) -> str:
    """A count as Docker Hub's catalogue writes it: rounded down to 1 or 5 with noughts, as `500K+`."""
    if count < 100:
        return str(count)
    first, noughts = int(str(count)[0]), len(str(count)) - 1
    thousands = min(noughts // 3, 3)
    return f"{(5 if first >= 5 else 1) * 10 ** (noughts - 3 * thousands)}{' KMB'[thousands].strip()}+"


@get(
    "/v2/search/repositories",
    **reference(
        Section.SEARCH,
        **_ANYBODY,
        errors=(401, 404),
        query=(
            Query("query", _QUERY),
            *PAGES,
            Query("is_official", "Official images only, or others only.", bool),
            Query("is_automated", "No repository is: with `true` nothing is found.", bool),
        ),
        opened_by=ANY_SCOPE,
    ),
)
async def search_repositories(request: HubRequest, services: NamedDependency[Services]) -> SearchPage:
    """Find repositories, the best match first. The end of a list is an empty text here, not null."""
    page = Page.of(request)
    text, words = search.parse_query(request.parameter("query") or "", field="query")
    badges = _official(request)
    if _flag(request, "is_automated"):
        found = Found(0, [])
    else:
        wanted = Search(text=text, words=words, filter_=Filter(badges=badges))
        async with services.db.read(scan=True) as tx:
            found = await search.find(tx, actor=request.actor, search=wanted, offset=page.offset, limit=page.size)
    if page.number > 1 and not found.repositories:
        raise PageUnknown
    next_, previous = page.links(request, services.settings, found.total)
    results = [SearchResult.of(repository) for repository in found.repositories]
    return SearchPage(found.total, next_ or "", previous or "", results)


def _official(request: HubRequest) -> list[Badge]:
    """The badges that are asked for; none for all."""
    flag = _flag(request, "is_official")
    if flag is None:
        return []
    return [Badge.OFFICIAL] if flag else [badge for badge in Badge if badge is not Badge.OFFICIAL]


def _flag(request: HubRequest, name: str) -> bool | None:
    text = (request.parameter(name) or "").lower()
    if text in ("", "true", "1", "false", "0"):
        return text in ("true", "1") if text else None
    raise FieldInvalid({name: ["Must be true or false."]}, f"Invalid {name} value")


@get(
    "/v1/_ping",
    **reference(
        Section.SEARCH, permission="Anybody.", bearer="ignored", summary="Look for a registry of the first API"
    ),
)
async def ping() -> Ping:
    """What an engine asks of a registry before it searches there."""
    return Ping(standalone=True)


@get(
    "/v1/search",
    **reference(
        Section.SEARCH,
        permission="Anybody finds what is public; private repositories are found by who may pull from them. Takes a "
        "user name with a password or an access token (`Basic`) too, and tokens of the registry with the scope "
        "`registry:catalog:search`.",
        bearer="optional",
        errors=(401,),
        query=(
            Query("q", _QUERY),
            Query("n", "Results on a page, 25 by default; more than 100 are cut to 100.", Annotated[int, Meta(ge=0)]),
            Query("page", "Number of the page, from 1.", Annotated[int, Meta(ge=1)]),
        ),
        opened_by=ANY_SCOPE,
    ),
)
async def search_for_engine(request: HubRequest, services: NamedDependency[Services]) -> EngineResults:
    """Find repositories for `docker search` and `podman search`, the best match first. Pages behind the last one are
    empty.
    """
    query = request.parameter("q") or ""
    text, words = search.parse_query(query, field="q")
    size = min(_number(request, "n", default=0) or ENGINE_PAGE_SIZE, PAGE_SIZE_LIMIT)
    number = _number(request, "page", default=1) or 1
    actor = await _searcher(request, services)
    found = Found(0, [])
    if text:
        wanted = Search(text=text, words=words)
        async with services.db.read(scan=True) as tx:
            found = await search.find(tx, actor=actor, search=wanted, offset=(number - 1) * size, limit=size)
    return EngineResults(
        query=query,
        num_results=found.total,
        num_pages=-(-found.total // size),
        page=number,
        page_size=size,
        results=[EngineResult.of(repository) for repository in found.repositories],
    )


async def _searcher(request: HubRequest, services: Services) -> Actor:
    """Who searches from an engine: with what it has logged in with, or with a token that it was given for that.

    Raises:
        NotAuthenticated: what they came with lets nobody in.
    """
    plain = request.plain
    header = plain.header(b"authorization")
    if not header:
        return from_where(ANONYMOUS, plain)
    if basic := basic_credentials(header):
        visit = Visit(Door.REGISTRY, plain.address, plain.user_agent)
        credential = await services.logins.log_in(*basic, visit, takes_organizations=True)
        return from_where(credential.actor, plain)
    token = bearer_token(header)
    if token is None:
        raise NotAuthenticated
    return from_where(await services.authenticator.searcher(token, address=plain.address), plain)


_SORTS = {"pull_count": Order.PULLS, "updated_at": Order.UPDATED}
_BADGE_WORDS: dict[str, Sequence[Badge]] = {
    "official": [Badge.OFFICIAL],
    "verified_publisher": [Badge.VERIFIED_PUBLISHER],
    "open_source": [Badge.OPEN_SOURCE],
    "none": [Badge.NONE],
}


@get(
    ["/api/search/v4", "/api/search/v3/catalog/search"],
    **reference(
        Section.SEARCH,
        **_ANYBODY,
        errors=(401,),
        query=(
            Query("query", f"{_QUERY} Without it everything is found."),
            Query("from", "Results that come before.", Annotated[int, Meta(ge=0)]),
            Query("size", "Results, 25 by default; more than 100 are cut to 100.", Annotated[int, Meta(ge=0)]),
            Query("sort", "The best match comes first without it.", Literal["pull_count", "updated_at"]),
            Query("order", "`desc` without it.", Literal["asc", "desc"]),
            Query("type", "Any of `image`, `plugin` and `model`, with commas in between; nothing is of another type."),
            Query(
                "badges", "Any of `official`, `verified_publisher`, `open_source` and `none`, with commas in between."
            ),
            Query("images", "The same as `badges`."),
            Query("categories", "Slugs of categories, with commas in between; one of them has to be there."),
            Query("architectures", "With commas in between; one of them has to be in the tag that was moved last."),
            Query("operating_systems", "With commas in between; one of them has to be in the tag that was moved last."),
            Query("extension_reviewed", "No repository is: with `true` nothing is found.", bool),
        ),
        opened_by=ANY_SCOPE,
    ),
)
async def search_catalog(request: HubRequest, services: NamedDependency[Services]) -> Catalog:
    """Find repositories with all that the newer pages of Docker Hub show of them. A part behind the last result is
    empty.
    """
    text, words = search.parse_query(request.parameter("query") or "", field="query")
    offset = _number(request, "from", default=0)
    size = min(_number(request, "size", default=CATALOG_PAGE_SIZE), PAGE_SIZE_LIMIT)
    filter_ = _filter(request)
    order, is_descending = _order(request)
    asked = _split(request, "categories")
    slugs = [category.slug for category in categories.named(asked)]
    if filter_ is None or (asked and not slugs):
        return Catalog(0, [])
    wanted = Search(
        text=text,
        words=words,
        categories=slugs,
        filter_=filter_,
        order=order,
        is_descending=is_descending,
    )
    async with services.db.read(scan=True) as tx:
        found = await search.find(
            tx, actor=request.actor, search=wanted, offset=offset, limit=size, with_platforms=True
        )
    results = [CatalogResult.of(one, found.platforms.get(one.id, ())) for one in found.repositories]
    return Catalog(found.total, results)


def _filter(request: HubRequest) -> Filter | None:
    """What is to be left of what is found; None for nothing."""
    badges = [badge for word in _badge_words(request) for badge in _BADGE_WORDS.get(word, ())]
    kinds = _split(request, "type")
    if _flag(request, "extension_reviewed") or (_badge_words(request) and not badges):
        return None
    if kinds and not {"image", *_KINDS} & set(kinds):
        return None
    # Images are what is neither of the others; all of the three are everything.
    is_other = "image" in kinds
    written = [text for kind, text in _KINDS.items() if (kind in kinds) != is_other]
    return Filter(
        badges=badges,
        content_types=written if kinds else (),
        is_other_content=is_other,
        architectures=_split(request, "architectures"),
        operating_systems=_split(request, "operating_systems"),
    )


def _badge_words(request: HubRequest) -> list[str]:
    return [*_split(request, "badges"), *_split(request, "images")]


def _order(request: HubRequest) -> tuple[Order, bool]:
    sort, order = request.parameter("sort") or "", request.parameter("order") or "desc"
    if sort and sort not in _SORTS:
        raise FieldInvalid({"sort": [f"Must be one of: {', '.join(_SORTS)}."]}, "Invalid sort value")
    if order not in ("asc", "desc"):
        raise FieldInvalid({"order": ["Must be one of: asc, desc."]}, "Invalid order value")
    return _SORTS.get(sort, Order.RANK), order == "desc"


def _number(request: HubRequest, name: str, *, default: int) -> int:
    text = request.parameter(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise FieldInvalid({name: ["Must be a whole number."]}, f"Invalid {name} value")
    # Digits beyond these are beyond every result.
    return int(text[:12])


def _split(request: HubRequest, name: str) -> list[str]:
    return [word for word in (request.parameter(name) or "").split(",") if word]


handlers: Sequence[ControllerRouterHandler] = [search_repositories, search_catalog]

engine_handlers: Sequence[ControllerRouterHandler] = [ping, search_for_engine]
