"""What the published reference says of an operation beyond its types: its section, who may call it, how it can fail.

A handler takes it as keyword arguments: `@get("/v2/…", **reference(Section.GROUPS, permission="…", errors=(401,)))`.
Its docstring becomes the description, its parameters and structs the schemas (`openapi.py`).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

OPT = "reference"

Bearer = Literal["needed", "optional", "ignored"]
"""What an operation makes of a bearer token; optional where what is public is shown to anybody."""


ANY_SCOPE = "any scope"


class Section(StrEnum):
    """The sections of the reference, in their order there."""

    AUTHENTICATION = "Authentication"
    ACCESS_TOKENS = "Personal access tokens"
    ORG_ACCESS_TOKENS = "Organization access tokens"
    AUDIT_LOGS = "Audit logs"
    USERS = "Users"
    SETTINGS = "Organization settings"
    REPOSITORIES = "Repositories"
    SEARCH = "Search"
    ORGANIZATIONS = "Organizations"
    GROUPS = "Groups (teams)"
    INVITES = "Invites"


class Query(msgspec.Struct, frozen=True):
    """A query parameter that a handler reads; `type` is what a schema is made of, with its limits."""

    name: str
    description: str
    type: Any = str


PAGES = (
    Query("page", "Number of the page, from 1.", Annotated[int, Meta(ge=1)]),
    Query("page_size", "Entries on a page; more than 100 are cut to 100.", Annotated[int, Meta(ge=1)]),
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What to tell of a handler.

    `summary` is a title where the handler's name does not make a good one, `permission` a sentence on who may call it.
    `opened_by` is the scope by which an organization's access token is let in (`ANY_SCOPE`: each is); empty: none is.
    An extension is not Docker's. `body` and `answer` are types where the handler's signature does not show them;
    `body_media_type` and `answer_media_type` are those of what is not JSON.
    """

    section: Section
    summary: str
    permission: str
    errors: tuple[int, ...]
    bearer: Bearer
    opened_by: str
    query: tuple[Query, ...]
    body: Any
    body_media_type: str
    answer: Any
    answer_media_type: str
    is_extension: bool

    def __deepcopy__(self, _memo: object) -> "Reference":
        """Litestar copies what handlers carry; types with limits cannot be copied, and this need not be."""
        return self


def reference(
    section: Section,
    *,
    permission: str,
    errors: Sequence[int] = (),
    summary: str = "",
    bearer: Bearer = "needed",
    opened_by: str = "",
    query: Sequence[Query] = (),
    body: Any = None,
    body_media_type: str = "application/json",
    answer: Any = None,
    answer_media_type: str = "application/json",
    is_extension: bool = False,
) -> dict[str, Any]:
    """Keyword arguments of a handler that is to be in the reference."""
    told = Reference(
        section=section,
        summary=summary,
        permission=permission,
        errors=tuple(errors),
        bearer=bearer,
        opened_by=opened_by,
        query=tuple(query),
        body=body,
        body_media_type=body_media_type,
        answer=answer,
        answer_media_type=answer_media_type,
        is_extension=is_extension,
    )
    return {"opt": {OPT: told}}
