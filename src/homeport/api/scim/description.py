"""The description of this door as a part of the hub's OpenAPI document, made from the resources that it serves."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from scim2_models import Attribute, Mutability, Resource, ServiceProviderConfig

from homeport.api.http import SCIM_ROOT
from homeport.api.scim.models import SCIM_USER, DockerUser, Group

SECTION = "SCIM"
_MEDIA_TYPE = "application/scim+json"
_PERMISSION = "The identity provider of an organization: whoever has its SCIM token."
_EXAMPLE_ID = "d80f7c79-7730-49d8-9a41-7c42fb622d9c"
_EXAMPLE_URL = f"https://hub.example.com{SCIM_ROOT}"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation; `answer` and `body` are names of schemas."""

    method: str
    path: str
    id: str
    summary: str
    description: str
    status: int = 200
    answer: str | None = None
    body: str | None = None
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = (401,)
    is_extension: bool = False


_PROJECTION = ("attributes", "excludedAttributes")
_SEARCH = ("filter", "sortBy", "sortOrder", "startIndex", "count", *_PROJECTION)

_QUERY: Mapping[str, tuple[str, dict[str, Any]]] = {
    "attributes": ("Attributes to answer with, separated by commas.", {"type": "string"}),
    "excludedAttributes": ("Attributes to leave out, separated by commas.", {"type": "string"}),
    "filter": (
        "Conditions as RFC 7644 §3.4.2.2 writes them: `eq ne co sw ew gt ge lt le pr`, `and or not`, brackets.",
        {"type": "string", "examples": ['userName eq "jon@example.com"']},
    ),
    "sortBy": ("The attribute that the list is in the order of.", {"type": "string"}),
    "sortOrder": ("The direction of the order.", {"type": "string", "enum": ["ascending", "descending"]}),
    "startIndex": ("Number of the first resource of the page, from 1.", {"type": "integer"}),
    "count": ("Resources on a page, at most 200.", {"type": "integer"}),
}

_ERRORS = {
    400: "The request cannot be right; `scimType` is a word of RFC 7644 for what is wrong.",
    401: "No SCIM token, or none that is valid.",
    403: "The site does not let identity providers do this.",
    404: "There is no such resource in the organization.",
    409: "The name is taken; or somebody has the address, and has been invited.",
    412: "The resource is not what `If-Match` says.",
    413: "The body is larger than any client needs.",
    429: "Too many requests: come back after the time that the headers say.",
    501: "RFC 7644 allows this, and it is not here.",
    503: "Something that the answer depends on is away: send the request again later.",
}


def _reads(noun: str, plural: str, *, is_extension: bool) -> list[Operation]:
    return [
        Operation(
            method="get",
            path=f"/{plural}",
            id=f"listScim{plural}",
            summary=f"List {plural.lower()}",
            description=f"A page of the organization's {plural.lower()}, filtered and in an order if one is asked for.",
            answer=f"Scim{noun}List",
            query=_SEARCH,
            is_extension=is_extension,
        ),
        Operation(
            method="post",
            path=f"/{plural}/.search",
            id=f"searchScim{plural}",
            summary=f"Search {plural.lower()}",
            description="As the list, with the query in the body: for filters that no URL should hold.",
            body="ScimSearch",
            answer=f"Scim{noun}List",
            is_extension=True,
        ),
        Operation(
            method="get",
            path=f"/{plural}/{{id}}",
            id=f"getScim{noun}",
            summary=f"Get a {noun.lower()}",
            description=f"One {noun.lower()}. `If-None-Match` with its version makes a 304 of it.",
            answer=f"Scim{noun}",
            query=_PROJECTION,
            errors=(401, 404),
            is_extension=is_extension,
        ),
    ]


def _writes(noun: str, plural: str, texts: Sequence[str], *, is_extension: bool) -> list[Operation]:
    create, replace, patch, delete = texts
    name = noun.lower()
    changes = (401, 403, 404, 409, 412)
    return [
        Operation(
            method="post",
            path=f"/{plural}",
            id=f"createScim{noun}",
            summary=f"Create a {name}",
            description=create,
            status=201,
            body=f"Scim{noun}Create",
            answer=f"Scim{noun}",
            errors=(401, 403, 404, 409),
            is_extension=is_extension,
        ),
        Operation(
            method="put",
            path=f"/{plural}/{{id}}",
            id=f"replaceScim{noun}",
            summary=f"Replace a {name}",
            description=replace,
            body=f"Scim{noun}Replace",
            answer=f"Scim{noun}",
            query=_PROJECTION,
            errors=changes,
            is_extension=is_extension,
        ),
        Operation(
            method="patch",
            path=f"/{plural}/{{id}}",
            id=f"patchScim{noun}",
            summary=f"Change a {name}",
            description=patch,
            body="ScimPatch",
            answer=f"Scim{noun}",
            query=_PROJECTION,
            errors=changes,
            is_extension=True,
        ),
        Operation(
            method="delete",
            path=f"/{plural}/{{id}}",
            id=f"deleteScim{noun}",
            summary=f"Delete a {name}",
            description=delete,
            status=204,
            errors=(401, 404, 412),
            is_extension=True,
        ),
    ]


def _discovery(path: str, noun: str, summary: str, *, of_one: str = "") -> list[Operation]:
    listed = Operation(
        method="get",
        path=path,
        id=f"listScim{noun}s" if of_one else f"getScim{noun}",
        summary=summary,
        description=f"{summary}: what this service can do, as RFC 7643 describes it.",
        answer=f"Scim{noun}List" if of_one else f"Scim{noun}",
    )
    if not of_one:
        return [listed]
    one = Operation(
        method="get",
        path=f"{path}/{{{of_one}}}",
        id=f"getScim{noun}",
        summary=summary.replace("List the", "Get a")[:-1],
        description="One of them.",
        answer=f"Scim{noun}",
        errors=(401, 404),
    )
    return [listed, one]


OPERATIONS = [
    *_discovery("/ServiceProviderConfig", "ServiceProviderConfig", "Get the service provider's configuration"),
    *_discovery("/ResourceTypes", "ResourceType", "List the resource types", of_one="name"),
    *_discovery("/Schemas", "Schema", "List the schemas", of_one="id"),
    *_reads("User", "Users", is_extension=False),
    *_writes(
        "User",
        "Users",
        (
            "Makes a member with a new account without a password, in the team `company` or in `dockerTeam`. An "
            "account that there is already is claimed if its address is in a verified domain of the organization and "
            "it is in no other organization. Otherwise it is invited, and the answer is a 409.",
            "Changes a user. What is left out stays as it is, but for `active`: without it, or Docker's `enabled`, the "
            "user is deactivated.",
            "Changes some attributes of a user; a deactivated user's sessions and tokens end in the same moment.",
            "Takes a user out of the organization; an account that the organization manages is shut.",
        ),
        is_extension=False,
    ),
    *_reads("Group", "Groups", is_extension=True),
    *_writes(
        "Group",
        "Groups",
        (
            "Makes a team; its name for paths is made from `displayName`.",
            "Makes a team what it is to be, with its members.",
            "Changes some attributes of a team, or adds and removes members.",
            "Deletes a team with its permissions; its members stay in the organization.",
        ),
        is_extension=True,
    ),
    Operation(
        method="post",
        path="/.search",
        id="searchScim",
        summary="Search users and groups",
        description="As the searches of users and groups, over both; users come first.",
        body="ScimSearch",
        answer="ScimUserList",
        errors=(401, 501),
        is_extension=True,
    ),
]


def describe() -> dict[str, Any]:
    """Tags, paths and components to put beside the Hub's."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(SCIM_ROOT + operation.path, {})[operation.method] = _described(operation)
    text = "Members and teams from an identity provider, as SCIM 2.0 (RFC 7643, RFC 7644) has them."
    return {
        "tags": [{"name": SECTION, "description": text}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"scim": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [SECTION],
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"{operation.description}\n\n**Who may:** {_PERMISSION}",
        "x-permission": _PERMISSION,
        "x-extension": operation.is_extension,
        "security": [{"scim": []}],
        "responses": {
            str(operation.status): _answer(operation),
            **{str(code): _error(code) for code in _codes(operation)},
        },
    }
    if parameters := [*_path_parameters(operation.path), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body:
        content = {_MEDIA_TYPE: _content(operation.body), "application/json": _content(operation.body)}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _codes(operation: Operation) -> list[int]:
    return sorted({*operation.errors, 400, 429, 503, *((413,) if operation.body else ())})


def _answer(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer:
        described["content"] = {_MEDIA_TYPE: _content(operation.answer)}
    return described


def _content(schema: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    if schema in _EXAMPLES:
        content["example"] = _EXAMPLES[schema]
    return content


def _error(code: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _ERRORS[code], "content": {_MEDIA_TYPE: _content("ScimError")}}
    if code in (429, 503):
        described["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    texts = {"id": "The id that the list shows.", "name": "The name that the list shows."}
    return [
        {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in texts.items()
        if f"{{{name}}}" in path
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": _QUERY[name][0], "schema": _QUERY[name][1]}
        for name in operation.query
    ]


# Schemas


def _schemas() -> dict[str, Any]:
    user, group = _resource(SCIM_USER), _resource(Group)
    user["properties"][str(DockerUser.__schema__)] = _object(DockerUser.to_schema().attributes or [])
    schemas = {
        "ScimUser": user,
        "ScimUserCreate": _request(user, required=("schemas", "userName")),
        "ScimUserReplace": _request(user, required=("schemas",), enabled=True),
        "ScimGroup": group,
        "ScimGroupCreate": _request(group, required=("schemas", "displayName")),
        "ScimGroupReplace": _request(group, required=("schemas", "displayName")),
        "ScimServiceProviderConfig": _resource(ServiceProviderConfig, has_id=False),
        "ScimResourceType": _any_resource("id", "name", "endpoint", "schema"),
        "ScimSchema": _any_resource("id", "name", "attributes"),
        "ScimPatch": _patch(),
        "ScimSearch": _search(),
        "ScimError": _error_document(),
    }
    for noun in ("User", "Group", "ResourceType", "Schema"):
        schemas[f"Scim{noun}List"] = _list(f"Scim{noun}")
    return schemas


def _resource(model: type[Resource[Any]], *, has_id: bool = True) -> dict[str, Any]:
    described = _object(model.to_schema().attributes or [])
    common = {
        "schemas": {"type": "array", "items": {"type": "string"}, "description": "Which schemas the resource has."},
        "id": {"type": "string", "readOnly": True, "description": "Unique, and never changed."},
        "externalId": {"type": "string", "description": "The provider's own name for it; it identifies nothing here."},
        "meta": {
            "type": "object",
            "readOnly": True,
            "description": "When it was made and changed, where it is, and its version.",
            "properties": {
                name: {"type": "string"} for name in ("resourceType", "created", "lastModified", "location", "version")
            },
        },
    }
    described["properties"] = {**common, **described["properties"]}
    # All else can be left out of an answer by `attributes`.
    described["required"] = ["schemas", *(["id"] if has_id else [])]
    return described


def _object(attributes: Sequence[Attribute]) -> dict[str, Any]:
    return {"type": "object", "properties": {attribute.name: _attribute(attribute) for attribute in attributes}}


def _attribute(attribute: Attribute) -> dict[str, Any]:
    types = {Attribute.Type.boolean: "boolean", Attribute.Type.integer: "integer", Attribute.Type.complex: "object"}
    assert attribute.type is not None
    described: dict[str, Any] = {"type": types.get(attribute.type, "string")}
    if attribute.sub_attributes:
        described = _object(attribute.sub_attributes)
    if attribute.multi_valued:
        described = {"type": "array", "items": described}
    if attribute.description:
        described["description"] = attribute.description
    if attribute.canonical_values:
        described["examples"] = list(attribute.canonical_values)
    if attribute.mutability is Mutability.read_only:
        described["readOnly"] = True
    return described


def _request(resource: Mapping[str, Any], *, required: Sequence[str], enabled: bool = False) -> dict[str, Any]:
    properties = {
        name: described for name, described in resource["properties"].items() if not described.get("readOnly")
    }
    if enabled:
        text = "Docker's word for `active`; that one counts if both are there."
        properties["enabled"] = {"type": "boolean", "default": False, "description": text}
    return {"type": "object", "required": list(required), "properties": properties}


def _list(name: str) -> dict[str, Any]:
    resources = {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
    numbers = {name: {"type": "integer"} for name in ("totalResults", "startIndex", "itemsPerPage")}
    both = "The page, under the name that Docker's description has beside the RFC's."
    return {
        "type": "object",
        "required": ["schemas", *numbers, "Resources", "resources"],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            **numbers,
            "Resources": resources,
            "resources": {**resources, "description": both},
        },
    }


def _any_resource(*required: str) -> dict[str, Any]:
    types = {"attributes": "array"}
    return {
        "type": "object",
        "required": ["schemas", *required],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            **{name: {"type": types.get(name, "string")} for name in required},
        },
    }


def _patch() -> dict[str, Any]:
    operation = {
        "type": "object",
        "required": ["op"],
        "properties": {
            "op": {"type": "string", "examples": ["add", "replace", "remove"], "description": "In any case."},
            "path": {"type": "string", "description": "What is changed; without it, `value` names it."},
            "value": {"description": "What is added, or put in its place."},
        },
    }
    return {
        "type": "object",
        "required": ["schemas", "Operations"],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "Operations": {"type": "array", "items": operation},
        },
    }


def _search() -> dict[str, Any]:
    lists = {name: {"type": "array", "items": {"type": "string"}} for name in _PROJECTION}
    properties = {name: {**schema, "description": text} for name, (text, schema) in _QUERY.items()}
    return {
        "type": "object",
        "required": ["schemas"],
        "properties": {"schemas": {"type": "array", "items": {"type": "string"}}, **properties, **lists},
    }


def _error_document() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["schemas", "status", "detail"],
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "status": {"type": "string", "description": "The status code, as text."},
            "scimType": {"type": "string", "description": "What is wrong, in a word of RFC 7644 §3.12."},
            "detail": {"type": "string", "description": "What is wrong, in words for people."},
        },
    }


_USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
_GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
_EXAMPLES: Mapping[str, Any] = {
    "ScimUser": {
        "schemas": [_USER_SCHEMA],
        "id": _EXAMPLE_ID,
        "userName": "jon@example.com",
        "name": {"givenName": "Jon", "familyName": "Snow"},
        "displayName": "jon",
        "active": True,
        "emails": [{"value": "jon@example.com", "display": "jon@example.com", "primary": True}],
        "meta": {
            "resourceType": "User",
            "created": "2026-01-02T03:04:05Z",
            "lastModified": "2026-01-02T03:04:05Z",
            "location": f"{_EXAMPLE_URL}/Users/{_EXAMPLE_ID}",
            "version": 'W/"1"',
        },
    },
    "ScimUserCreate": {
        "schemas": [_USER_SCHEMA],
        "userName": "jon@example.com",
        "name": {"givenName": "Jon", "familyName": "Snow"},
    },
    "ScimUserReplace": {"schemas": [_USER_SCHEMA], "name": {"givenName": "Jon"}, "active": True},
    "ScimGroupCreate": {
        "schemas": [_GROUP_SCHEMA],
        "displayName": "Night's Watch",
        "members": [{"value": _EXAMPLE_ID}],
    },
    "ScimGroupReplace": {"schemas": [_GROUP_SCHEMA], "displayName": "Night's Watch", "members": []},
    "ScimPatch": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": False}],
    },
    "ScimSearch": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": 'userName eq "jon@example.com"',
    },
    "ScimError": {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "404",
        "detail": f"user {_EXAMPLE_ID} not found",
    },
}
