import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from homeport import errors
from homeport.api.hub.errors import (
    ACCESS_TOKEN_ERRORS,
    AUDIT_ERRORS,
    EXCHANGE_ERRORS,
    GROUP_ERRORS,
    HUB_ERRORS,
    LOGIN_ERRORS,
    ORGANIZATION_ERRORS,
    Table,
    closest,
)
from homeport.errors import HomeportError
from tests.home import Home

TABLES = {
    "hub": HUB_ERRORS,
    "tokens": ACCESS_TOKEN_ERRORS,
    "exchange": EXCHANGE_ERRORS,
    "login": LOGIN_ERRORS,
    "audit": AUDIT_ERRORS,
    "organizations": ORGANIZATION_ERRORS,
    "groups": GROUP_ERRORS,
}


def all_errors(of: type[HomeportError] = HomeportError) -> Iterator[type[HomeportError]]:
    yield of
    for cls in of.__subclasses__():
        yield from all_errors(cls)


def an_error(cls: type[HomeportError]) -> HomeportError:
    """An instance, made of whatever its constructor takes."""
    if cls.__init__ is Exception.__init__:
        return cls("a reason")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        value = {"fields": {"a": ["b"]}}.get(name, 1 if parameter.annotation is int else "x")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            positional.append(value)
    return cls(*positional, **named)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
@pytest.mark.parametrize("cls", list(dict.fromkeys(all_errors())))
def test_every_error_has_a_status_and_a_body(cls: type[HomeportError], table: Table) -> None:
    error = an_error(cls)
    status, shape = closest(table, error)
    body = shape(error)
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    assert 400 <= status < 600
    assert (status < 500) == isinstance(
        error,
        errors.Invalid | errors.Unknown | errors.Conflict | errors.Denied | errors.TooLarge | errors.TooMany,
    )
    if status == 404 and cls is not errors.Unknown:
        assert "not found" in text.lower()


def test_an_unknown_path_is_not_found(home: Home) -> None:
    for path in ("/v2/users", "/v2/search/what", "/v2/repositories/a%2Fb/tags", "/v2/access-tokens/a/b", "/nowhere"):
        answer = home.anonymous.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/json"
        assert "not found" in answer.json()["message"]


def test_another_method_is_not_allowed(home: Home) -> None:
    answer = home.anonymous.delete("/v2/users/login")
    assert answer.status_code == 405
    assert answer.json() == {"message": "405: Method Not Allowed"}
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


def test_every_answer_has_the_security_headers(home: Home) -> None:
    for path in ("/v2/access-tokens", "/v2/repositories/a/b/tags", "/v2/users", "/v2/repositories/a%2Fb/tags"):
        answer = home.anonymous.get(path)
        assert answer.headers["x-frame-options"] == "deny"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_docker_hub_has_taken_away_is_gone(home: Home) -> None:
    for tail in ("nginx/tags", "library/nginx/tags/", "library/nginx/tags/latest", "nginx/images"):
        answer = home.anonymous.get(f"/v1/repositories/{tail}")
        assert answer.status_code == 410
        assert "was removed" in answer.json()["message"]
    assert home.anonymous.get("/v1/nothing").status_code == 404


GONE = [
    *("images", "images-summary", "images/sha256:0", "images/sha256:0/tags", "delete-images", "autobuild"),
    *("buildhistory", "buildtrigger", "buildtrigger/history", "links", "repositories/webhooks"),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("tail", GONE)
def test_what_docker_hub_serves_no_more_is_not_found(home: Home, method: str, tail: str) -> None:
    name = home.repository("admin")
    for path in (f"/v2/namespaces/admin/repositories/{name.name}/{tail}", f"/v2/repositories/{name}/{tail}/"):
        answer = home.hub(home.admin).request(method, path)
        assert (answer.status_code, "not found" in answer.text) == (404, True)
