"""The table of operations in docs/compatibility.md is what Docker describes, and what this server has."""

import re
from pathlib import Path

import pytest

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
