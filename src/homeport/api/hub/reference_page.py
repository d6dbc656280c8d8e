"""The readable reference at `/reference`: the description as one page that needs nothing from elsewhere."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

_SPAN = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*")
_TAGS = (Markup("<code>{}</code>"), Markup("<strong>{}</strong>"), Markup("<em>{}</em>"))
_DEPTH_LIMIT = 6
_NO_BODY = ("get", "head", "delete")

Schema = Mapping[str, Any]


class Field(msgspec.Struct, frozen=True):
    """A field of an object, or a parameter; `indent` counts the objects around it."""

    name: str
    type: str
    is_required: bool
    description: str
    indent: int = 0


class Answer(msgspec.Struct, frozen=True):
    status: str
    description: str
    fields: list[Field]
    example: str

    @property
    def is_success(self) -> bool:
        return self.status.startswith(("2", "3"))


class Shown(msgspec.Struct, frozen=True):
    """One operation as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    permission: str
    is_extension: bool
    is_former: bool
    parameters: Mapping[str, list[Field]]
    body: list[Field]
    request: str
    answers: list[Answer]


class ShownSection(msgspec.Struct, frozen=True):
    id: str
    name: str
    description: str
    operations: list[Shown]


def render(description: Mapping[str, Any], server: str) -> str:
    """The page for a description, with the server's address in its examples."""
    template = _environment().get_template("reference.html")
    return template.render(info=description["info"], sections=list(_sections(description, server)), server=server)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("homeport.api.hub"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["spans"] = spans
    return environment


def spans(text: str) -> Markup:
    """A text with `code`, **bold** and *italics* as HTML, and everything else escaped."""
    html = Markup()
    end = 0
    for match in _SPAN.finditer(text):
        html += escape(text[end : match.start()])
        html += next(tag.format(inner) for tag, inner in zip(_TAGS, match.groups(), strict=True) if inner)
        end = match.end()
    return html + escape(text[end:])


def _sections(description: Mapping[str, Any], server: str) -> Iterator[ShownSection]:
    found: dict[str, list[Shown]] = {}
    schemas = description["components"]["schemas"]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append(_shown(path, method, operation, schemas, server))
    for tag in description["tags"]:
        if operations := found.get(tag["name"]):
            slug = re.sub(r"[^a-z]+", "-", tag["name"].lower()).strip("-")
            yield ShownSection(f"tag-{slug}", tag["name"], tag["description"], operations)


def _shown(path: str, method: str, operation: Mapping[str, Any], schemas: Schema, server: str) -> Shown:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Shown(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        description=operation["description"].partition("\n\n")[0],
        permission=operation["x-permission"],
        is_extension=operation["x-extension"],
        is_former=operation.get("deprecated", False),
        parameters=_parameters(operation, schemas),
        body=list(_fields(body.get("schema", {}), schemas)),
        request=_curl(path, method, operation, body, server),
        answers=[_answer(status, answer, schemas) for status, answer in operation["responses"].items()],
    )


def _parameters(operation: Mapping[str, Any], schemas: Schema) -> dict[str, list[Field]]:
    """Parameters by where they stand: in the path, in the query."""
    parameters: dict[str, list[Field]] = {}
    for parameter in operation.get("parameters", ()):
        field = Field(
            parameter["name"],
            _type(parameter["schema"], schemas),
            parameter.get("required", False),
            parameter["description"],
        )
        parameters.setdefault(parameter["in"], []).append(field)
    return parameters


def _answer(status: str, answer: Mapping[str, Any], schemas: Schema) -> Answer:
    media = answer.get("content", {}).get("application/json", {})
    example = json.dumps(media["example"], indent=2, ensure_ascii=False) if "example" in media else ""
    return Answer(status, answer["description"], list(_fields(media.get("schema", {}), schemas)), example)


def _fields(schema: Schema, schemas: Schema, indent: int = 0) -> Iterator[Field]:
    """The fields of an object and of the objects in it, in the order of reading."""
    schema = _inner(schema, schemas)
    if indent > _DEPTH_LIMIT:
        return
    for name, property_ in schema.get("properties", {}).items():
        yield Field(
            name,
            _type(property_, schemas),
            name in schema.get("required", ()),
            property_.get("description", ""),
            indent,
        )
        yield from _fields(property_, schemas, indent + 1)


def _inner(schema: Schema, schemas: Schema) -> Schema:
    """The object that a schema is about: behind references, lists, and alternatives to null."""
    if "$ref" in schema:
        return _inner(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "items" in schema:
        return _inner(schema["items"], schemas)
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _inner(option, schemas)
    return schema


def _type(schema: Schema, schemas: Schema) -> str:
    if "$ref" in schema:
        return _type(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option, schemas) for option in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    return str(schema.get("type", "any"))


def _curl(path: str, method: str, operation: Mapping[str, Any], body: Mapping[str, Any], server: str) -> str:
    """The request as a command for a shell."""
    words = ["curl", *(["--head"] if method == "head" else [] if method == "get" else ["-X", method.upper()])]
    lines = [" ".join([*words, shlex.quote(server + re.sub(r"\{(\w+)\}", r"<\1>", path))])]
    if {"bearer": []} in operation["security"]:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if "example" in body and method not in _NO_BODY:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(body['example'], ensure_ascii=False))}")
    return " \\\n  ".join(lines)
