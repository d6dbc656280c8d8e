"""Holds every answer of the Hub door against Docker's published description, as `samples/docker_hub` restates it.

`contract.json` says what the description says: operations with their statuses, objects with the types of their fields.
`newer.json` adds what later descriptions have, and what clients call that no description has.
`deviations.json` says where Homeport answers otherwise, each with the row of docs/compatibility.md that tells why. What
is in neither is an error of the test in which it came up. Stricter than the description in two ways: an object has all
of its fields, and no others.

Types: `string`, `integer`, `number`, `boolean`, `any`; `x?` may be null, `[x]` is a list, `{x}` a map, `a|b` one of
these texts, anything else an object. A field with `?` behind its name may be absent.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
from jsonschema.validators import Draft202012Validator

_FOLDER = Path(__file__).parent / "samples" / "docker_hub"
_PLAIN = {"string", "integer", "number", "boolean"}
EVERYWHERE = "*"

Schema = dict[str, Any]


def load(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text())


class Contract:
    """The description with the deviations laid over it."""

    def __init__(self, contract: dict[str, Any], deviations: list[dict[str, Any]]) -> None:
        self.objects: dict[str, dict[str, Any]] = {name: dict(fields) for name, fields in contract["objects"].items()}
        self.answers = {name: dict(operation["answers"]) for name, operation in contract["operations"].items()}
        self.everywhere: dict[str, str | None] = {}
        for deviation in deviations:
            self._apply(deviation)
        self._patterns = [
            (name.partition(" ")[0], re.compile(re.sub(r"\{\w+\}", "[^/]+", name.partition(" ")[2]) + "/?"), name)
            for name in sorted(self.answers, key=lambda name: name.count("{"))
        ]

    def _apply(self, deviation: dict[str, Any]) -> None:
        """A null type takes a field or an answer away; `none` is an answer without a body."""
        target = deviation.get("operation")
        changed: dict[str, Any]
        if target == EVERYWHERE:
            changed = self.everywhere
        elif target is not None:
            changed = self.answers[target]
        else:
            changed = self.objects.setdefault(deviation["object"], {})
        for key, type_ in deviation["is"].items():
            if type_ is None:
                del changed[key]
            else:
                changed.pop(key.removesuffix("?"), None)
                changed[key] = None if type_ == "none" else type_

    def operation(self, method: str, path: str) -> str | None:
        return next((name for verb, shape, name in self._patterns if verb == method and shape.fullmatch(path)), None)

    def schema(self, type_: str) -> Schema:  # noqa: PLR0911 - one line a kind of type
        if type_ in _PLAIN:
            return {"type": type_}
        if type_ == "any":
            return {}
        if type_.endswith("?"):
            return {"anyOf": [self.schema(type_[:-1]), {"type": "null"}]}
        if type_.startswith("["):
            return {"type": "array", "items": self.schema(type_[1:-1])}
        if type_.startswith("{"):
            return {"type": "object", "additionalProperties": self.schema(type_[1:-1])}
        if " or " in type_:
            return {"anyOf": [self.schema(option) for option in type_.split(" or ")]}
        if "|" in type_:
            return {"enum": type_.split("|")}
        return self._object(self.objects[type_])

    def _object(self, fields: dict[str, str]) -> Schema:
        return {
            "type": "object",
            "properties": {name.removesuffix("?"): self.schema(field) for name, field in fields.items()},
            "required": [name for name in fields if not name.endswith("?")],
            "additionalProperties": False,
        }

    @functools.cache  # noqa: B019 - one object for the whole run
    def _validator(self, type_: str) -> Any:
        return Draft202012Validator(self.schema(type_))

    def check(self, method: str, path: str, status: int, content_type: str, content: bytes) -> None:
        """Raises AssertionError if an answer is neither described nor a listed deviation."""
        name = self.operation(method, path)
        assert name is not None, f"{method} {path} is not in the description"
        answers = {**self.everywhere, **self.answers[name]}
        where = f"{name} answers {status}"
        key = str(status) if str(status) in answers else "default"
        assert key in answers, f"{where}, which is neither in the description nor a listed deviation: {content[:300]!r}"
        type_ = answers[key]
        if method == "HEAD" or type_ is None:
            assert not content, f"{where} with a body: {content[:300]!r}"
        elif "/" in type_:
            assert content_type.partition(";")[0] == type_, f"{where} as {content_type}"
        elif content_type.partition(";")[0] == "text/plain":
            assert f"{status} text" in answers, f"{where} as a text"
        else:
            assert content_type.partition(";")[0] == "application/json", f"{where} as {content_type}"
            problems = [error.message for error in self._validator(type_).iter_errors(json.loads(content))]
            assert not problems, f"{where} with {content[:600]!r}: {problems}"


def _with_newer(contract: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    return {part: {**contract[part], **newer[part]} for part in ("operations", "objects")}


CONTRACT = Contract(_with_newer(load("contract.json"), load("newer.json")), load("deviations.json"))


def check_answer(response: httpx.Response) -> None:
    """What the tests' clients call with each answer."""
    method, path = response.request.method, response.request.url.path
    if CONTRACT.operation(method, path) is not None:
        content = response.read()
        CONTRACT.check(method, path, response.status_code, response.headers.get("content-type", ""), content)
