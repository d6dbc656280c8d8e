"""Docker Hub API §Repositories: which tags of a repository can be neither moved nor deleted."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Router, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import REPOSITORY_ERRORS, renderers
from homeport.api.hub.reference import Section, reference
from homeport.api.hub.repositories import RepositoryInfo, Rules, immutable_tags_of, update
from homeport.api.hub.requests import HubRequest
from homeport.core import immutable_tags
from homeport.core.repositories import Changes
from homeport.core.services import Services
from homeport.errors import FieldInvalid
from homeport.names import RepositoryName

_PATH = "/v2/namespaces/{namespace:str}/repositories/{repository:str}/immutabletags"
_ADMINS = reference(
    Section.REPOSITORIES,
    permission="Who administers the repository. A token needs `repo:admin`.",
    errors=(400, 401, 403, 404),
    opened_by="scope-repository-settings-admin",
)


class ChangeImmutableTags(msgspec.Struct):
    """Some client libraries send the words in which a repository shows its settings: `enabled` and `rules`."""

    immutable_tags: Annotated[bool | None, Meta(description="Whether tags are immutable at all.", examples=[True])] = (
        None
    )
    immutable_tags_rules: Rules = None
    enabled: Annotated[bool | None, Meta(description="The same as `immutable_tags`.", examples=[True])] = None
    rules: Annotated[
        list[str] | str | None, Meta(description="The same as `immutable_tags_rules`.", examples=[["v.*"]])
    ] = None


class VerifyRule(msgspec.Struct):
    regex: Annotated[str, Meta(description="An RE2 expression for the whole name of a tag.", examples=["v.*"])]


class FittingTags(msgspec.Struct):
    tags: Annotated[
        Sequence[str],
        Meta(description="Names in byte order, the first 1,000.", examples=[["v1.0", "v1.1"]]),
    ]


@patch(_PATH, **_ADMINS)
async def change_immutable_tags(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[ChangeImmutableTags],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RepositoryInfo:
    """Say which tags are immutable: those whose whole name fits one of the rules, all where there is none.

    An immutable tag can be neither moved to another digest nor deleted, by nobody; pushing it again as it is works.
    What it points at cannot be deleted either. The repository itself can.
    """
    is_enabled = data.enabled if data.immutable_tags is None else data.immutable_tags
    if is_enabled is None:
        raise FieldInvalid({"immutable_tags": ["This field is required."]})
    rules = data.rules if data.immutable_tags_rules is None else data.immutable_tags_rules
    changes = Changes(immutable_tags=immutable_tags_of(rules, is_enabled=is_enabled))
    return await update(request, services, RepositoryName(namespace, repository), changes)


@post(f"{_PATH}/verify", status_code=200, **_ADMINS)
async def verify_immutable_tags(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[VerifyRule],
    request: HubRequest,
    services: NamedDependency[Services],
) -> FittingTags:
    """The tags that a rule would make immutable. Nothing is changed."""
    async with services.db.read(scan=True) as tx:
        return FittingTags(
            await immutable_tags.verify(
                tx, actor=request.actor, name=RepositoryName(namespace, repository), rule=data.regex
            )
        )


router = Router(
    "/",
    route_handlers=[change_immutable_tags, verify_immutable_tags],
    exception_handlers=renderers(REPOSITORY_ERRORS),
)
