"""Filters and orders of SCIM, over resources as they were answered: RFC 7644 §3.4.2.2 and §3.4.2.3, in Python.

Written from the RFC and from the schemas that the service publishes, and from no code of the service. Where the RFC
leaves it open: no value of an attribute of many values equals what it is said not to equal (`ne`); two texts are the
same if their NFKC forms are, whatever their case; an attribute of many values is compared by its `value`.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

Json = Mapping[str, Any]

TEXTS = ("string", "reference")
TEXT_OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
MOMENT_OPERATORS = ("eq", "ne", "gt", "ge", "lt", "le")
FLAG_OPERATORS = ("eq", "ne")


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute, or a part of a complex one; `schema` is the one that qualifies its name."""

    name: str
    type: str
    schema: str = ""
    part: str = ""
    is_exact: bool = False
    is_many: bool = False
    is_extension: bool = False
    parts: tuple["Attribute", ...] = ()
    """Those of a complex attribute, each as an attribute of an entry."""

    @property
    def path(self) -> str:
        """As it is written without its schema."""
        return f"{self.name}.{self.part}" if self.part else self.name

    @property
    def operators(self) -> Sequence[str]:
        return {"boolean": FLAG_OPERATORS, "dateTime": MOMENT_OPERATORS}.get(self.type, TEXT_OPERATORS)

    def entries(self, resource: Json) -> list[Any]:
        """Its values; one that a resource has not is None where it can have but one."""
        holder = resource.get(self.schema, {}) if self.is_extension else resource
        value = holder.get(self.name)
        entries = list(value or ()) if self.is_many else [value]
        return [entry.get(self.part) if entry is not None else None for entry in entries] if self.part else entries

    def comparable(self, value: Any) -> Any:
        """What is compared of a value."""
        if value is None:
            return None
        if self.type == "dateTime":
            return datetime.fromisoformat(value)
        return folded(value) if self.type in TEXTS and not self.is_exact else value


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


# Attributes that all resources have, and that no schema lists (RFC 7643 §3).
_COMMON = (
    {"name": "schemas", "type": "reference", "multiValued": True, "caseExact": False},
    {"name": "id", "type": "string", "multiValued": False, "caseExact": True},
    {"name": "externalId", "type": "string", "multiValued": False, "caseExact": True},
    {
        "name": "meta",
        "type": "complex",
        "multiValued": False,
        "subAttributes": [
            {"name": "resourceType", "type": "string", "caseExact": True},
            {"name": "created", "type": "dateTime"},
            {"name": "lastModified", "type": "dateTime"},
            {"name": "location", "type": "string"},
            {"name": "version", "type": "string", "caseExact": True},
        ],
    },
)


def attributes_of(schemas: Iterable[Json], main: str, *extensions: str) -> list[Attribute]:
    """Every attribute and part that a resource may be asked for, by the schemas that the service publishes."""
    found = [attribute for each in _COMMON for attribute in _attributes(each, main, is_extension=False)]
    for schema in schemas:
        if schema["id"] in (main, *extensions):
            is_extension = schema["id"] != main
            for each in schema["attributes"]:
                found += _attributes(each, schema["id"], is_extension=is_extension)
    return found


def _attributes(said: Json, schema: str, *, is_extension: bool) -> list[Attribute]:
    parts = [
        Attribute(name=part["name"], type=part["type"], is_exact=part.get("caseExact", False))
        for part in said.get("subAttributes", ())
    ]
    whole = Attribute(
        name=said["name"],
        type=said["type"],
        schema=schema,
        is_exact=said.get("caseExact", False),
        is_many=said["multiValued"],
        is_extension=is_extension,
        parts=tuple(parts),
    )
    return [
        whole,
        *(
            msgspec.structs.replace(whole, part=part.name, type=part.type, is_exact=part.is_exact, parts=())
            for part in parts
        ),
    ]


# Filters


def is_present(attribute: Attribute, resource: Json) -> bool:
    return any(_is_something(entry) for entry in attribute.entries(resource))


def _is_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_is_something(part) for part in value.values())
    return value is not None and value != ""


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, other: bool(value == other),
    "co": lambda value, other: other in value,
    "sw": lambda value, other: bool(value.startswith(other)),
    "ew": lambda value, other: bool(value.endswith(other)),
    "gt": lambda value, other: bool(value > other),
    "ge": lambda value, other: bool(value >= other),
    "lt": lambda value, other: bool(value < other),
    "le": lambda value, other: bool(value <= other),
}


def compares(attribute: Attribute, operator: str, literal: Any, resource: Json) -> bool:
    """Whether `attribute operator literal` holds."""
    compared = _standing_for(attribute)
    values = [compared.comparable(value) for value in compared.entries(resource)]
    if literal is None:
        has_none = not values or None in values
        return {"eq": has_none, "ne": not has_none}[operator]
    other = compared.comparable(literal)
    if operator == "ne":
        return not any(value is not None and value == other for value in values)
    return any(value is not None and _TESTS[operator](value, other) for value in values)


def _standing_for(attribute: Attribute) -> Attribute:
    """The `value` of an attribute of many values is what it is compared and sorted by."""
    value = next((part for part in attribute.parts if part.name == "value"), None)
    if value is None:
        return attribute
    return msgspec.structs.replace(attribute, part="value", type=value.type, is_exact=value.is_exact, parts=())


# Orders


def ordered(resources: Sequence[Json], attribute: Attribute, *, is_descending: bool) -> list[Json]:
    """Resources by an attribute: who has none comes last, descending first; who is alike, in the order that it had."""

    def key(resource: Json) -> tuple[bool, Any]:
        value = _sorted_by(attribute, resource)
        return (value is None, value if value is not None else "")

    found = sorted(resources, key=key)
    return found[::-1] if is_descending else found


def _sorted_by(attribute: Attribute, resource: Json) -> Any:
    compared = _standing_for(attribute)
    if not compared.is_many:
        return compared.comparable(compared.entries(resource)[0])
    whole = msgspec.structs.replace(compared, part="").entries(resource)
    if not whole:
        return None
    first = next((entry for entry in whole if isinstance(entry, Mapping) and entry.get("primary")), whole[0])
    return compared.comparable(first.get(compared.part) if compared.part else first)
