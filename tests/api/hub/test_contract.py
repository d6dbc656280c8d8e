"""The answers of all tests are held against Docker's description; these tests hold that they really are."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contract import CONTRACT, EVERYWHERE, load
from tests.home import Home

ROOT = Path(__file__).parents[3]
JSON = "application/json"


def check(method: str, path: str, status: int, body: Any) -> None:
    CONTRACT.check(method, path, status, JSON, msgspec.json.encode(body))


RESTRICTED = {"enabled": True, "allow_official_images": True, "allow_verified_publishers": False}


def test_an_answer_that_is_described_passes() -> None:
    check("PUT", "/v2/orgs/acme/settings/", 200, {"restricted_images": RESTRICTED})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"restricted_images": {**RESTRICTED, "enabled": "true"}}),
        (200, {"restricted_images": {**RESTRICTED, "more": 1}}),
        (200, {"restricted_images": {"enabled": True}}),
        (200, {}),
        (201, {"restricted_images": RESTRICTED}),
        (404, {"restricted_images": RESTRICTED}),
    ],
)
def test_an_answer_that_is_not_described_fails(status: int, body: Any) -> None:
    with pytest.raises(AssertionError):
        check("PUT", "/v2/orgs/acme/settings", status, body)


def test_the_clients_of_the_tests_check_their_answers(home: Home) -> None:
    assert home.anonymous.event_hooks["response"]


def test_every_deviation_is_a_row_of_the_page_and_changes_something() -> None:
    page = (ROOT / "docs/compatibility.md").read_text()
    contract = load("contract.json")
    for deviation in load("deviations.json"):
        assert f"\n| {deviation['row']} |" in page, deviation
        if "object" in deviation:
            described = contract["objects"].get(deviation["object"], {})
        elif deviation["operation"] == EVERYWHERE:
            described = {}
        else:
            described = contract["operations"][deviation["operation"]]["answers"]
        assert any(described.get(key) != type_ for key, type_ in deviation["is"].items()), deviation
