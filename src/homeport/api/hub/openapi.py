"""The description of the Hub door as OpenAPI 3.1, made from the routes, their structs and what `reference` tells.

Every route under `/v2/` is in it; one that tells nothing of itself is an error, so that none is forgotten.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.routes import BaseRoute, HTTPRoute

from homeport import __version__
from homeport.api.hub.examples import example_of
from homeport.api.hub.reference import OPT, Bearer, Reference, Section
from homeport.api.hub.requests import CLOSED_TO_ORGANIZATIONS

_SCHEMAS = "#/components/schemas/{name}"
_SECURITY: Mapping[Bearer, list[dict[str, list[str]]]] = {
    "needed": [{"bearer": []}],
    "optional": [{}, {"bearer": []}],
    "ignored": [],
}

# Paths by which older clients know what has a newer one. A GET with a body is a former way, too.
_FORMER = ("/v2/repositories", "/v2/api_tokens", "/api/search/v3")
_DESCRIBED = ("/v2/", "/v1/search", "/v1/_ping", "/api/search/", "/api/billing/", "/oauth/")

_INTRODUCTION = """\
What a client of Docker Hub knows, on a host of your own.

Get a bearer token from `POST /v2/auth/token` with a user name and a password or a personal access token, and send it
along as `Authorization: Bearer …`. Paths work with and without a slash at their end. Lists come in pages with `next`
and `previous` as absolute URLs. Operations marked *extension* are Homeport's own.

Every answer says how many requests are left: `X-RateLimit-Limit`, `X-RateLimit-Remaining`, and `X-RateLimit-Reset`,
a Unix time. Beyond the limit the status is 429, with `Retry-After` in seconds and `X-Retry-After` as a Unix time.
"""

_SECTIONS = {
    Section.AUTHENTICATION: "From a password, a second factor or an access token to a bearer token.",
    Section.ACCESS_TOKENS: "Secrets for programs, with scopes, an end and a switch. Each scope holds those below it: "
    "`repo:admin`, `repo:write`, `repo:read`, `repo:public_read`.",
    Section.ORG_ACCESS_TOKENS: "Secrets by which programs act for an organization: its name goes with them as a "
    "user's does with theirs. Each reaches what its resources name, and operations that one of its scopes opens.",
    Section.AUDIT_LOGS: "What happened in an account, by whom and from where.",
    Section.USERS: "The signed-in user, and what is shown of the others.",
    Section.SETTINGS: "What members of an organization may pull, and other policies.",
    Section.REPOSITORIES: "Repositories and their tags.",
    Section.SEARCH: "Finding repositories by name, namespace and description, the best match first.",
    Section.ORGANIZATIONS: "Organizations and their members.",
    Section.GROUPS: "Teams of an organization. Docker's API calls them groups.",
    Section.INVITES: "Asking people into an organization.",
}

_ERRORS = {
    308: "It is shown at the path of the header `Location`.",
    400: "What was sent cannot be right; `fields`, where there are any, says what is wrong with which.",
    401: "No credentials, or none that are valid.",
    403: "The caller may not do this.",
    404: "There is no such thing, or the caller may not know of it.",
    409: "It cannot be done in the present state of things.",
    410: "It was there, and has ended.",
    413: "The body is larger than any client needs.",
    429: "Too many requests: come back after the time that the headers say.",
    503: "Something that the answer depends on is away: send the request again later.",
}

_PARAMETERS = {
    "account": "Name of an organization or a user.",
    "account_id": "The UUID of an organization or a user, with or without dashes.",
    "delivery_id": "The UUID that the list shows.",
    "domain": "Name of a domain.",
    "group_id": "The number that the list of groups shows.",
    "group_name": "Name of a team.",
    "id": "The UUID that the list shows.",
    "invite_id": "The UUID that the list shows.",
    "mail_id": "The number that the list shows.",
    "name": "Name of the organization.",
    "namespace": "Name of a user or an organization.",
    "org_name": "Name of the organization.",
    "repository": "Name of the repository, without its namespace.",
    "tag": "Name of the tag.",
    "user": "Name of a user.",
    "username": "Name of a user.",
    "uuid": "The UUID that the list shows.",
    "webhook_id": "The number that the list shows.",
}


class Error(msgspec.Struct):
    """What most operations answer with when they refuse; the text stands in `message`, in `detail`, or in both."""

    message: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET
    errinfo: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    login_2fa_token: str | msgspec.UnsetType = msgspec.UNSET


class FieldErrors(msgspec.Struct):
    """What is wrong with which field."""

    fields: dict[str, list[str]]
    text: str


class OAuthError(msgspec.Struct):
    """What the logins of programs are refused with (RFC 6749 §5.2, RFC 8628 §3.5)."""

    error: str
    error_description: str


class RateLimited(msgspec.Struct):
    """What is answered to who comes too often; logins leave `error` out."""

    detail: str
    error: bool | msgspec.UnsetType = msgspec.UNSET


class Status(msgspec.Struct):
    """What the audit log answers with when it refuses; `code` is one of gRPC's."""

    code: int
    message: str
    details: list[Any]
    detail: str


class Operation(msgspec.Struct, frozen=True):
    """One method of one path."""

    path: str
    method: str
    handler: HTTPRouteHandler
    told: Reference

    @property
    def is_former(self) -> bool:
        return self.path.startswith(_FORMER) or (self.method == "get" and self.told.body is not None)

    @property
    def id(self) -> str:
        """Unique; stays the same as long as the handler keeps its name."""
        words = self.handler.handler_name.split("_")
        name = words[0] + "".join(word.capitalize() for word in words[1:])
        return name + ("Head" if self.method == "head" else "") + ("Former" if self.is_former else "")


def describe(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """The description, without the servers."""
    operations = sorted(_operations(routes), key=_place)
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homeport",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": section, "description": text} for section, text in _SECTIONS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def merged(description: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the tags, paths and components of another."""
    components = description["components"]
    return {
        **description,
        "tags": [*description["tags"], *other.get("tags", ())],
        "paths": {**description["paths"], **other.get("paths", {})},
        "components": {
            name: {**components.get(name, {}), **other.get("components", {}).get(name, {})} for name in components
        },
    }


def _operations(routes: Iterable[BaseRoute]) -> Iterator[Operation]:
    for route in routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(_DESCRIBED):
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                if method != "OPTIONS":
                    told = handler.opt.get(OPT)
                    if not isinstance(told, Reference):
                        raise TypeError(f"{handler.handler_name} tells nothing of itself: give it `**reference(…)`")
                    yield Operation(route.path_format, method.lower(), handler, told)


def _place(operation: Operation) -> tuple[Any, ...]:
    sections = list(Section)
    methods = ["get", "head", "post", "put", "patch", "delete"]
    return (
        operation.is_former,
        sections.index(operation.told.section),
        operation.told.is_extension,
        operation.path,
        methods.index(operation.method),
    )


class _Schemas:
    """The schemas of all types that operations mention, each struct once."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types: list[Any] = [Error, FieldErrors, OAuthError, RateLimited, Status]
        for operation in operations:
            types += [type_ for type_ in (_body(operation), _answer(operation)) if type_ is not None]
            types += [query.type for query in operation.told.query]
        self._types = types
        self._schemas, self.components = msgspec.json.schema_components(types, ref_template=_SCHEMAS)

    def of(self, type_: Any) -> Mapping[str, Any]:
        return self._schemas[self._types.index(type_)]


def _body(operation: Operation) -> Any:
    field = operation.handler.parsed_data_field
    return operation.told.body or (field.annotation if field else None)


def _answer(operation: Operation) -> Any:
    """The type of the body; None where there is none, or none that is JSON."""
    if operation.told.answer is not None:
        return operation.told.answer
    annotation = operation.handler.parsed_return_field.annotation
    is_bare = get_origin(annotation) in (Response, Stream) or annotation in (None, type(None), Stream, Response)
    return None if is_bare else annotation


def _describe(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    told, handler = operation.told, operation.handler
    description = " ".join((handler.fn.__doc__ or "").split("Raises:")[0].split())
    opened_by = "" if operation.path.startswith(CLOSED_TO_ORGANIZATIONS) else told.opened_by
    scope = f"\n\n**Organization access tokens:** {opened_by}." if opened_by else ""
    described: dict[str, Any] = {
        "tags": [told.section],
        "operationId": operation.id,
        "summary": told.summary or _summary(handler.handler_name),
        "description": f"{description}\n\n**Who may:** {told.permission}{scope}",
        "x-permission": told.permission,
        "x-organization-scope": opened_by,
        "x-extension": told.is_extension,
        "security": _SECURITY[told.bearer],
        "responses": _responses(operation, schemas),
    }
    if operation.is_former:
        described["deprecated"] = True
    if parameters := [*_path_parameters(operation.path), *_query_parameters(operation, schemas)]:
        described["parameters"] = parameters
    if (body := _body(operation)) is not None and operation.method != "get":
        content = {"schema": schemas.of(body), "example": example_of(body)}
        described["requestBody"] = {"required": True, "content": {told.body_media_type: content}}
    return described


def _summary(handler_name: str) -> str:
    words = handler_name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    return [
        {"name": query.name, "in": "query", "description": query.description, "schema": schemas.of(query.type)}
        for query in operation.told.query
    ]


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    told, status = operation.told, operation.handler.status_code
    answer = _answer(operation)
    success: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if operation.method != "head" and told.answer_media_type != "application/json":
        success["content"] = {told.answer_media_type: {"schema": {"type": "string"}}}
    elif operation.method != "head" and answer is not None:
        success["content"] = {"application/json": {"schema": schemas.of(answer), "example": example_of(answer)}}
    return {str(status): success, **{str(code): _error(operation, code, schemas) for code in _codes(operation)}}


def _codes(operation: Operation) -> list[int]:
    """Statuses of errors: what the handler tells, and what any request may meet."""
    found = {*operation.told.errors, 400, 429, 503}
    if _body(operation) is not None:
        found.add(413)
    return sorted(found)


def _error(operation: Operation, code: int, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _ERRORS[code]}
    if code < 400:
        response["headers"] = {"Location": {"description": "A path.", "schema": {"type": "string"}}}
    elif operation.method != "head":
        content = {"application/json": {"schema": _error_schema(operation, code, schemas)}}
        response["content"] = content
        if code == 400 and operation.told.section is Section.AUTHENTICATION:
            content["text/plain"] = {"schema": {"type": "string"}}
    if code in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _error_schema(operation: Operation, code: int, schemas: _Schemas) -> Mapping[str, Any]:
    if code == 429:
        return schemas.of(RateLimited)
    if operation.path.startswith("/oauth/"):
        return schemas.of(OAuthError)
    if operation.told.section is Section.AUDIT_LOGS:
        return schemas.of(Status)
    if code == 400:
        return {"anyOf": [schemas.of(FieldErrors), schemas.of(Error)]}
    return schemas.of(Error)
