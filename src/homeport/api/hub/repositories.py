"""Docker Hub API §Repositories: repositories, by their present paths and by those that most scripts use."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, delete, get, patch, post, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import ANY_SCOPE, PAGES, Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import categories, repositories, stars
from homeport.core.access import Action
from homeport.core.immutable_tags import ImmutableTags, rules_of
from homeport.core.repositories import Changes, RepositoryOrder, ShownRepository
from homeport.core.services import Services
from homeport.errors import FieldInvalid
from homeport.names import RepositoryName
from homeport.storage.db.records import ListedRepository
from homeport.storage.db.repositories import Ordering

_LIST = ["/v2/namespaces/{namespace:str}/repositories", "/v2/repositories/{namespace:str}"]
_ONE = [f"{path}/{{repository:str}}" for path in _LIST]
_PRIVACY = [f"{path}/privacy" for path in _ONE]
_CATEGORIES = [f"{path}/categories" for path in _ONE]
_STARS = [f"{path}/stars" for path in _ONE]
_ANYWHERE = "/v2/repositories"
_READ = [HttpMethod.GET, HttpMethod.HEAD]

PLUGIN = "plugin"

# A minus is descending, but for times: there a bare word is the newest first (docs/compatibility.md).
OrderWord = Literal["name", "-name", "last_updated", "-last_updated", "pull_count", "-pull_count"]
_ORDERS: dict[str, RepositoryOrder] = {
    "name": RepositoryOrder(Ordering.NAME, is_descending=False),
    "-name": RepositoryOrder(Ordering.NAME, is_descending=True),
    "last_updated": RepositoryOrder(Ordering.UPDATED, is_descending=True),
    "-last_updated": RepositoryOrder(Ordering.UPDATED, is_descending=False),
    "pull_count": RepositoryOrder(Ordering.PULLS, is_descending=False),
    "-pull_count": RepositoryOrder(Ordering.PULLS, is_descending=True),
}

_TOLD: dict[str, Any] = {
    "permission": "Anybody for a public repository; who may pull from it for a private one.",
    "errors": (401, 404),
    "bearer": "optional",
}
_MAKERS: dict[str, Any] = {
    "permission": "Who the namespace belongs to; of an organization owners and editors. A token needs `repo:write`.",
    "errors": (400, 401, 403, 404, 409),
}
_ADMINS: dict[str, Any] = {
    "permission": "Who administers the repository. A token needs `repo:admin`.",
    "errors": (400, 401, 403, 404),
}
_STARRERS: dict[str, Any] = {
    "permission": "Any user who may pull from the repository. A token needs `repo:write`.",
    "errors": (401, 403, 404),
}

Active = Annotated[Literal["active", "inactive"], Meta(examples=["active"])]
Description = Annotated[str | None, Meta(description="At most 100 characters.", examples=["What it does"])]
FullDescription = Annotated[
    str | None, Meta(description="Markdown, at most 25,000 characters by default.", examples=["# What it does"])
]
MediaTypes = Annotated[Sequence[str], Meta(examples=[["application/vnd.docker.container.image.v1+json"]])]
ContentTypes = Annotated[Sequence[str], Meta(examples=[["image"]])]
Rules = Annotated[
    list[str] | str | None,
    Meta(
        description="RE2 expressions for whole names, at most 20 of 255 characters; a list, or one text with commas in "
        "between. Without any, all tags are meant.",
        examples=[["v.*", "latest"]],
    ),
]

# One that stands between two numbers in braces belongs to an expression: `v[0-9]{1,3}`.
_COMMA = re.compile(r",(?![0-9]*\})")


class CategoryInfo(msgspec.Struct):
    name: Annotated[str, Meta(examples=["Developer tools"])]
    slug: Annotated[str, Meta(examples=["developer-tools"])]

    @classmethod
    def of(cls, category: categories.Category) -> "CategoryInfo":
        return cls(name=category.name, slug=category.slug)


class PermissionsInfo(msgspec.Struct):
    """What the caller may do to a repository."""

    read: bool
    write: bool
    admin: bool

    @classmethod
    def of(cls, allowed: frozenset[Action]) -> "PermissionsInfo":
        return cls(read=Action.READ in allowed, write=Action.PUSH in allowed, admin=Action.ADMIN in allowed)


class ImmutableTagsInfo(msgspec.Struct):
    """Which tags can be neither moved nor deleted: all where it is enabled without rules."""

    enabled: Annotated[bool, Meta(examples=[False])]
    rules: Annotated[Sequence[str], Meta(description="RE2 expressions for whole names.", examples=[[]])]


class RepositoryEntry(msgspec.Struct):
    """A repository in a list."""

    name: Annotated[str, Meta(examples=["app"])]
    namespace: str
    repository_type: Annotated[str | None, Meta(description="`image`, `plugin`, or null while nothing is in it.")]
    status: Annotated[int, Meta(description="1 for active, 0 for inactive.", examples=[1])]
    status_description: Active
    description: Annotated[str, Meta(examples=["What it does"])]
    is_private: bool
    star_count: int
    pull_count: int
    last_updated: Annotated[str, Meta(description="When its content changed last.")]
    last_modified: Annotated[str | None, Meta(description="When its own properties were changed last.")]
    date_registered: Annotated[str, Meta(examples=["2026-01-02T03:04:05.678901Z"])]
    affiliation: Annotated[str, Meta(examples=[""])]
    media_types: MediaTypes
    content_types: ContentTypes
    categories: Sequence[CategoryInfo]
    storage_size: Annotated[int, Meta(description="Bytes of its manifests and of what pushes brought for them.")]

    @classmethod
    def of(cls, repository: ListedRepository) -> "RepositoryEntry":
        return cls(**_common(repository), affiliation="")


class RepositoryPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[RepositoryEntry]


class RepositoryInfo(msgspec.Struct):
    user: Annotated[str, Meta(description="The namespace.", examples=["acme"])]
    name: Annotated[str, Meta(examples=["app"])]
    namespace: str
    repository_type: Annotated[str | None, Meta(description="`image`, `plugin`, or null while nothing is in it.")]
    status: Annotated[int, Meta(description="1 for active, 0 for inactive.", examples=[1])]
    status_description: Active
    description: Annotated[str, Meta(examples=["What it does"])]
    is_private: bool
    is_automated: Annotated[bool, Meta(examples=[False])]
    star_count: int
    pull_count: int
    last_updated: Annotated[str, Meta(description="When its content changed last.")]
    last_modified: Annotated[str | None, Meta(description="When its own properties were changed last.")]
    date_registered: Annotated[str, Meta(examples=["2026-01-02T03:04:05.678901Z"])]
    collaborator_count: int
    affiliation: Annotated[str | None, Meta(examples=[None])]
    hub_user: Annotated[str | None, Meta(examples=[None])]
    has_starred: bool
    full_description: Annotated[str, Meta(examples=["# What it does"])]
    permissions: PermissionsInfo
    media_types: MediaTypes
    content_types: ContentTypes
    categories: Sequence[CategoryInfo]
    immutable_tags_settings: ImmutableTagsInfo
    storage_size: Annotated[int, Meta(description="Bytes of its manifests and of what pushes brought for them.")]
    source: Annotated[str | None, Meta(examples=[None])]

    @classmethod
    def of(cls, shown: ShownRepository) -> "RepositoryInfo":
        details = shown.details
        return cls(
            **_common(details),
            user=details.namespace,
            is_automated=False,
            collaborator_count=details.collaborator_count,
            affiliation=None,
            hub_user=None,
            has_starred=details.is_starred,
            full_description=details.full_description,
            permissions=PermissionsInfo.of(shown.allowed),
            immutable_tags_settings=ImmutableTagsInfo(
                enabled=details.has_immutable_tags, rules=rules_of(details.immutable_tag_rules)
            ),
            source=None,
        )


def _common(repository: ListedRepository) -> dict[str, Any]:
    """What lists show of a repository, and more of one."""
    content_types = _texts(repository.content_types)
    return {
        "name": repository.name,
        "namespace": repository.namespace,
        "repository_type": _repository_type(content_types),
        "status": int(repository.is_active),
        "status_description": "active" if repository.is_active else "inactive",
        "description": repository.description,
        "is_private": repository.is_private,
        "star_count": repository.star_count,
        "pull_count": repository.pull_count,
        "last_updated": timestamp(repository.updated_at),
        "last_modified": timestamp_or_none(repository.modified_at),
        "date_registered": timestamp(repository.created_at),
        "media_types": _texts(repository.media_types),
        "content_types": content_types,
        "categories": [CategoryInfo.of(found) for found in categories.named(_texts(repository.categories))],
        "storage_size": repository.storage_bytes,
    }


def _texts(written: str) -> list[str]:
    return msgspec.json.decode(written, type=list[str])


def _repository_type(content_types: Sequence[str]) -> str | None:
    """Docker's word of old: whatever is no plugin is called an image."""
    if not content_types:
        return None
    return PLUGIN if content_types == [PLUGIN] else "image"


class CreateRepository(msgspec.Struct):
    """What clients send besides (`registry`, `user`) is ignored."""

    name: Annotated[
        str, Meta(description="2 to 255 lower-case letters and digits, with `.`, `_` or `-` between.", examples=["app"])
    ]
    namespace: Annotated[
        str | None, Meta(description="May be left out where the path has it, and is the same.", examples=["acme"])
    ] = None
    description: Description = None
    full_description: FullDescription = None
    is_private: Annotated[bool, Meta(examples=[False])] = False


class UpdateRepository(msgspec.Struct):
    """What is left out stays as it is."""

    description: Description = None
    full_description: FullDescription = None
    is_private: Annotated[bool | None, Meta(examples=[True])] = None
    status: Annotated[
        Literal[0, 1] | None, Meta(description="1 for active, 0 for inactive: a mark, nothing more.", examples=[1])
    ] = None
    immutable_tags: Annotated[
        bool | None, Meta(description="Whether tags are immutable, as the rules beside it say.", examples=[True])
    ] = None
    immutable_tags_rules: Rules = None


class ChangePrivacy(msgspec.Struct):
    is_private: Annotated[bool, Meta(examples=[True])]


class ChosenCategory(msgspec.Struct):
    """A category by its slug; clients send its name along."""

    slug: Annotated[str, Meta(examples=["developer-tools"])]


class NamespacesInfo(msgspec.Struct):
    namespaces: Annotated[Sequence[str], Meta(examples=[["acme", "jonsnow"]])]


class Starred(msgspec.Struct):
    """An empty object."""


@get(
    _LIST,
    **reference(
        Section.REPOSITORIES,
        permission="Anybody sees the public ones; private ones are listed for who may pull from them.",
        errors=(401, 404),
        bearer="optional",
        query=(
            *PAGES,
            Query("name", "A part of the repository's name."),
            Query(
                "ordering",
                "`name` and `pull_count` are ascending, `last_updated` has the newest first; a minus in front turns "
                "them round.",
                OrderWord,
            ),
            Query("media_types", "Those that hold anything of one of these media types, with commas in between."),
            Query("content_types", "Those that hold anything of one of these content types, with commas in between."),
        ),
        opened_by=ANY_SCOPE,
    ),
)
async def list_repositories(
    namespace: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RepositoryPage:
    """The repositories of a namespace, those that were updated last first. A namespace that is not there has none."""
    page = Page.of(request)
    order = _order(request)
    async with services.db.read(scan=True) as tx:
        found = await repositories.list_page(
            tx,
            actor=request.actor,
            namespace=namespace,
            order=order,
            page=page.number,
            page_size=page.size,
            part=request.parameter("name") or "",
            media_types=_split(request.parameter("media_types")),
            content_types=_split(request.parameter("content_types")),
        )
    next_, previous = page.links(request, services.settings, found.total)
    return RepositoryPage(found.total, next_, previous, [RepositoryEntry.of(entry) for entry in found.repositories])


@post(_LIST, status_code=201, **reference(Section.REPOSITORIES, **_MAKERS, opened_by="scope-repository-create"))
async def create_repository(
    namespace: FromPath[str],
    data: JSONBody[CreateRepository],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryInfo:
    """Make an empty repository."""
    if data.namespace not in (None, namespace):
        raise FieldInvalid({"namespace": ["Must be the namespace of the path."]}, "invalid repository")
    return await _create(request, services, namespace, data)


@post(
    _ANYWHERE,
    status_code=201,
    **reference(Section.REPOSITORIES, **_MAKERS, summary="Create repository"),
)
async def create_repository_of_body(
    data: JSONBody[CreateRepository], request: HubRequest, services: NamedDependency[Services]
) -> RepositoryInfo:
    """Make an empty repository in the namespace that the body names."""
    if data.namespace is None:
        raise FieldInvalid({"namespace": ["This field is required."]})
    return await _create(request, services, data.namespace, data)


async def _create(request: HubRequest, services: Services, namespace: str, data: CreateRepository) -> RepositoryInfo:
    async with services.db.write() as tx:
        shown = await repositories.new_repository(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, data.name),
            is_private=data.is_private,
            description=data.description or "",
            full_description=data.full_description or "",
            settings=services.settings,
        )
    return RepositoryInfo.of(shown)


@get("/v2/repositories/namespaces", **reference(Section.REPOSITORIES, permission="Any user.", errors=(401,)))
async def list_namespaces(request: HubRequest, services: NamedDependency[Services]) -> NamespacesInfo:
    """Where the caller may make repositories: the caller's own namespace, and organizations that they own or edit."""
    async with services.db.read() as tx:
        return NamespacesInfo(await repositories.list_namespaces(tx, actor=request.actor))


@route(
    _ONE,
    http_method=_READ,
    status_code=200,
    **reference(Section.REPOSITORIES, **_TOLD, opened_by="scope-repository-read"),
)
async def get_repository(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RepositoryInfo:
    """One repository."""
    async with services.db.read() as tx:
        shown = await repositories.get_repository(tx, actor=request.actor, name=RepositoryName(namespace, repository))
    return RepositoryInfo.of(shown)


@patch(_ONE, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repository-edit"))
async def update_repository(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[UpdateRepository],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryInfo:
    """Change a repository's descriptions, its privacy, its status or its immutable tags.

    With `immutable_tags` and without rules, rules that were there go; rules alone change nothing.
    """
    is_immutable, rules = data.immutable_tags, data.immutable_tags_rules
    changes = Changes(
        description=data.description,
        full_description=data.full_description,
        is_private=data.is_private,
        is_active=None if data.status is None else bool(data.status),
        immutable_tags=None if is_immutable is None else immutable_tags_of(rules, is_enabled=is_immutable),
    )
    return await update(request, services, RepositoryName(namespace, repository), changes)


@delete(_ONE, status_code=202, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repository-admin"))
async def delete_repository(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> Response[bytes]:
    """Delete a repository with all that is in it. Its name stays with the namespace; a token that was made for it does
    not open a later one of that name.
    """
    async with services.db.write(scan=True) as tx:
        await repositories.delete_repository(tx, actor=request.actor, name=RepositoryName(namespace, repository))
    return Response(b"", status_code=202, media_type="text/plain")


@post(_PRIVACY, status_code=200, **reference(Section.REPOSITORIES, **_ADMINS, opened_by="scope-repository-edit"))
async def change_repository_privacy(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[ChangePrivacy],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryInfo:
    """Make a repository private or public."""
    changes = Changes(is_private=data.is_private)
    return await update(request, services, RepositoryName(namespace, repository), changes)


@patch(
    _CATEGORIES,
    **reference(Section.REPOSITORIES, **_ADMINS, is_extension=True, opened_by="scope-repository-edit"),
)
async def change_repository_categories(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[list[ChosenCategory]],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryInfo:
    """Put a repository into other categories, at most three of those that `GET /v2/categories` lists."""
    changes = Changes(categories=[chosen.slug for chosen in data])
    return await update(request, services, RepositoryName(namespace, repository), changes)


def immutable_tags_of(rules: list[str] | str | None, *, is_enabled: bool) -> ImmutableTags:
    """What clients send of immutable tags. Docker's own sends the rules as one text."""
    if isinstance(rules, str):
        rules = [rule for part in _COMMA.split(rules) if (rule := part.strip())]
    return ImmutableTags(is_enabled, rules or [])


async def update(request: HubRequest, services: Services, name: RepositoryName, changes: Changes) -> RepositoryInfo:
    """Change what is given of a repository; what it is then."""
    async with services.db.write() as tx:
        shown = await repositories.update_repository(
            tx, actor=request.actor, name=name, changes=changes, settings=services.settings
        )
    return RepositoryInfo.of(shown)


@get(
    "/v2/categories",
    **reference(
        Section.REPOSITORIES,
        permission="Anybody.",
        errors=(401,),
        bearer="optional",
        is_extension=True,
        opened_by=ANY_SCOPE,
    ),
)
async def list_categories() -> list[CategoryInfo]:
    """What a repository can be about."""
    return [CategoryInfo.of(category) for category in categories.CATEGORIES]


@post(_STARS, status_code=200, **reference(Section.REPOSITORIES, **_STARRERS, opened_by="scope-repository-edit"))
async def star_repository(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> Starred:
    """Give a repository a star; a second time changes nothing."""
    async with services.db.write() as tx:
        await stars.star(tx, actor=request.actor, name=RepositoryName(namespace, repository))
    return Starred()


@delete(_STARS, status_code=204, **reference(Section.REPOSITORIES, **_STARRERS, opened_by="scope-repository-edit"))
async def unstar_repository(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Take one's star from a repository; without one nothing changes."""
    async with services.db.write() as tx:
        await stars.unstar(tx, actor=request.actor, name=RepositoryName(namespace, repository))


def _order(request: HubRequest) -> RepositoryOrder:
    word = request.parameter("ordering")
    if not word:
        return RepositoryOrder()
    try:
        return _ORDERS[word]
    except KeyError:
        text = f"Invalid ordering value. Must be one of: {', '.join(_ORDERS)}"
        raise FieldInvalid({"ordering": [text]}, "Invalid ordering value") from None


def _split(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


handlers: Sequence[ControllerRouterHandler] = [
    list_repositories,
    list_categories,
    list_namespaces,
    Router(
        "/",
        route_handlers=[
            create_repository,
            create_repository_of_body,
            get_repository,
            update_repository,
            delete_repository,
            change_repository_privacy,
            change_repository_categories,
            star_repository,
            unstar_repository,
        ],
        exception_handlers=renderers(REPOSITORY_ERRORS),
    ),
]
