"""The tables of operations in docs/compatibility.md are what Docker describes, and what this server has."""

import re
from pathlib import Path

import pytest

from homeport.app import OWN_PATHS
from tests.api.test_access_matrix import routes_of_the_code
from tests.contract import load
from tests.home import Home

PAGE = (Path(__file__).parents[2] / "docs/compatibility.md").read_text()
OPERATIONS = 42


def table() -> dict[str, tuple[str, str]]:
    """Operation → whether it is done, and what differs."""
    section = PAGE.partition("## Operations")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z]+ /[^`]+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    return {operation: (state.strip(), remark.strip()) for operation, state, remark in rows}


def shape(operation: str) -> str:
    """An operation whatever its parameters are called."""
    return re.sub(r"\{\w+\}", "{}", operation)


def test_every_operation_of_the_description_has_a_row() -> None:
    assert len(table()) == OPERATIONS
    scim = {operation for operation in table() if "/v2/scim/" in operation}
    assert set(table()) - scim == set(load("contract.json")["operations"])


def test_the_operations_that_are_done_are_routes_and_the_others_are_not(home: Home) -> None:
    description = home.anonymous.get("/openapi.json").json()
    routes = {shape(f"{method.upper()} {path}") for path, methods in description["paths"].items() for method in methods}
    assert {state for state, _ in table().values()} <= {"done", "not yet"}
    for operation, (state, _) in table().items():
        assert (shape(operation) in routes) == (state == "done"), operation


@pytest.mark.parametrize("deviation", load("deviations.json"), ids=lambda deviation: deviation["row"])
def test_an_operation_that_deviates_says_so(deviation: dict[str, str]) -> None:
    operation = deviation.get("operation", "*")
    if operation != "*":
        assert table()[operation][1] != "-", deviation


# What no first description has

STATES = {"done", "both", "ours", "ours, both", "not served", "gone"}
NEWER = "/v2/namespaces/{namespace}/repositories"
FORMER = "/v2/repositories/{namespace}"
OTHERWISE = ("/v2/scim/", "/invites/", "/account/", "/activate", "/openapi.json", "/reference", *OWN_PATHS)
"""SCIM has a table of its own, and pages for people are no API."""


def newer() -> dict[str, str]:
    """Operation → state, of the table of what the first description lacks."""
    section = PAGE.partition("## Newer and undocumented operations")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([^|]+) \| [^|]+ \|$", section, re.MULTILINE)
    assert len(rows) == len({operation for operation, _ in rows}) == section.count("\n| ") - 2
    return {operation: state.strip() for operation, state in rows}


def served() -> dict[str, str]:
    """The same for what is served, under each of its paths."""
    found = {operation: state for operation, state in newer().items() if state not in ("not served", "gone")}
    for operation, state in list(found.items()):
        if state.endswith("both"):
            assert f" {NEWER}" in operation
            found[operation.replace(NEWER, FORMER)] = state
    return found


def test_the_table_of_newer_operations_is_what_is_served_beyond_the_description(home: Home) -> None:
    assert set(newer().values()) == STATES
    routes = {shape(f"{method} {path}") for method, path in routes_of_the_code(home) if not path.startswith(OTHERWISE)}
    described = {shape(operation) for operation, (state, _) in table().items() if state == "done"}
    assert {shape(operation) for operation in served()} == routes - described


def test_what_is_ours_is_what_the_reference_calls_an_extension(home: Home) -> None:
    description = home.anonymous.get("/openapi.json").json()
    extensions = {
        shape(f"{method.upper()} {path}")
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
        if operation.get("x-extension") and not path.startswith(OTHERWISE)
    }
    assert {shape(operation) for operation, state in served().items() if state.startswith("ours")} == extensions


@pytest.mark.parametrize("operation", sorted(newer().keys() - served().keys()))
def test_what_the_table_says_is_not_served_is_not_found_or_gone(home: Home, operation: str) -> None:
    repository = home.repository(home.organization(home.admin))
    values = {"namespace": repository.namespace, "name": repository.namespace, "repository": repository.name, "id": "1"}
    method, path = operation.format(**values).split()
    answer = home.hub(home.admin).request(method, path, json={})
    assert answer.status_code == (410 if newer()[operation] == "gone" else 404)


def test_every_operation_that_a_row_names_is_one_of_the_tables() -> None:
    named = [
        operation
        for cell in re.findall(r"^\| ((?:[^|`]|`[^`]*`)+) \|", PAGE, re.MULTILINE)
        for operation in re.findall(r"`([A-Z]+ /[^`…?]+)`", cell)
    ]
    assert len(named) > len(table()) + len(newer())
    known = {shape(operation).rstrip("/") for operation in (*table(), *newer(), *served())}
    assert {operation for operation in named if shape(operation).rstrip("/") not in known} == set()
