"""The description that the server publishes of itself."""

import re
from typing import Any

import pytest
from jsonschema.validators import Draft202012Validator
from markupsafe import escape

from homeport.api.hub.reference import Section
from tests.home import Home

Description = dict[str, Any]


@pytest.fixture
def description(home: Home) -> Description:
    answer = home.anonymous.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: Description = answer.json()
    return found


def operations(description: Description) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_server_publishes_it_with_its_own_address(home: Home, description: Description) -> None:
    assert description["openapi"] == "3.1.0"
    assert description["servers"] == [{"url": home.url}]


def test_every_operation_is_told_of_in_full(description: Description) -> None:
    for path, method, operation in operations(description):
        where = f"{method} {path}"
        assert operation["summary"], where
        what, _, who = operation["description"].partition("\n\n")
        assert what.endswith((".", ")")), where
        scope = operation.get("x-organization-scope")
        tokens = f"\n\n**Organization access tokens:** {scope}." if scope else ""
        assert who == f"**Who may:** {operation['x-permission']}{tokens}", where
        assert operation["x-permission"].endswith("."), where
        assert operation["tags"][0] in {*Section, "SCIM"}, where
        assert any(status.startswith("4") for status in operation["responses"]), where


def test_operations_have_ids_of_their_own(description: Description) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(description)]
    assert len(ids) == len(set(ids))


def test_examples_are_what_their_schemas_say(description: Description) -> None:
    checked = 0
    for path, method, operation in operations(description):
        contents = [response.get("content", {}) for response in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for content in contents:
            for media in content.values():
                if "example" in media:
                    schema = {**media["schema"], "components": description["components"]}
                    Draft202012Validator(schema).validate(media["example"])
                    checked += 1
        body = operation.get("requestBody")
        assert body is None or all("example" in media for media in body["content"].values()), (path, method)
    assert checked > len(description["paths"])


def test_every_reference_leads_somewhere(description: Description) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):  # one of SCIM's attributes has that name too
                assert value["$ref"].rpartition("/")[2] in description["components"]["schemas"]
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(description)
    Draft202012Validator.check_schema(description["components"]["schemas"])


def test_parameters_in_a_path_are_described(description: Description) -> None:
    for path, method, operation in operations(description):
        named = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, (path, method)


def test_the_page_for_people_shows_every_operation_and_needs_nothing_from_elsewhere(
    home: Home, description: Description
) -> None:
    answer = home.anonymous.get("/reference")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for _, _, operation in operations(description):
        assert f'id="{operation["operationId"]}"' in answer.text
        assert escape(operation["x-permission"].split("`")[0]) in answer.text
    assert not re.findall(r"<(?:script|link|img|iframe)\b|(?:src|href)=\"(?!#|/openapi\.json\")", answer.text)
