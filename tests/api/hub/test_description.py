"""The server does what its own description says, whatever is thrown at it (Schemathesis)."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as conformance

from tests.conftest import DATABASES, NewHome
from tests.home import Home


@pytest.fixture(scope="module", params=DATABASES)
def fuzzed(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A hub of its own: what is thrown at it deletes and changes things."""
    # Wrong passwords are thrown too, and each operation begins with a login.
    limits = {"HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS": "1000000", "HOMEPORT_LOGIN_ATTEMPTS_PER_ACCOUNT": "1000000"}
    with new_home(request.param, **limits) as home:
        yield home


EXAMPLES = 15

# Who may do what is held by the access matrix. That a body which fits its schema may still be refused, for its names
# mostly, is in the nature of things.
CHECKS = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]


def test_answers_are_what_the_description_says(fuzzed: Home) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    wrong = []
    thrown_at = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result.err()
        operation = result.ok()
        thrown_at += 1
        try:
            throw_at(fuzzed, operation)
        except (schemathesis.errors.SchemathesisError, AssertionError, BaseExceptionGroup) as error:
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)
    assert thrown_at > 10


def throw_at(home: Home, operation: Any) -> None:
    """Send what the description allows, and some that it does not; check status, type and schema of each answer."""

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def throw(case: Any) -> None:
        case.call_and_validate(headers={"authorization": token}, checks=CHECKS)

    hub = home.hub(home.admin)
    token = scim_token(home, hub) if operation.path.startswith("/v2/scim/") else hub.headers["authorization"]
    throw()


def scim_token(home: Home, hub: httpx.Client) -> str:
    organization = home.organization(home.admin)
    return f"Bearer {hub.post(f'/v2/orgs/{organization}/scim/token').json()['token']}"
