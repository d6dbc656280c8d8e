import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.api.hub.pushing import Owned
from tests.home import Home

PATHS = ["/v2/access-tokens", "/v2/api_tokens"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UNAUTHORIZED = b'{"message":"unauthorized","errinfo":{}}'


def create(owner: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = owner.post(PATHS[0], json={"token_label": "ci", "scopes": ["repo:read"], **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def test_a_new_token_is_shown_once_and_whole(home: Home) -> None:
    owner = home.hub(home.user())
    sent = {
        "token_label": "my laptop",
        "scopes": ["repo:read", "repo:write"],
        "expires_at": "2031-01-31T12:00:00.5+02:00",
    }
    answer = owner.post(PATHS[0], json=sent, headers={"user-agent": "a client/1"})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    created = answer.json()
    assert re.fullmatch(r"dckr_pat_[A-Za-z0-9_-]{27}", created.pop("token"))
    assert TIME.fullmatch(created.pop("created_at"))
    assert str(UUID(created["uuid"])) == created.pop("uuid")
    assert created == {
        "client_id": "HUB",
        "creator_ip": "127.0.0.1",
        "creator_ua": "a client/1",
        "last_used": None,
        "generated_by": "manual",
        "is_active": True,
        **sent,
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_token_is_read_listed_changed_and_deleted(home: Home, path: str, slash: str) -> None:
    owner = home.hub(home.user())
    created = create(owner)
    url = f"{path}/{created['uuid']}{slash}"
    hidden = {**created, "token": ""}

    assert owner.get(url).json() == hidden
    listed = owner.get(path + slash)
    assert listed.status_code == 200
    assert listed.json() == {"count": 1, "next": None, "previous": None, "active_count": 1, "results": [hidden]}

    changed = owner.patch(url, json={"token_label": "new", "is_active": False})
    assert changed.status_code == 200
    assert changed.json() == {**hidden, "token_label": "new", "is_active": False}
    assert owner.get(path).json()["active_count"] == 0

    deleted = owner.delete(url)
    assert (deleted.status_code, deleted.content) == (202, b"")
    gone = owner.get(url)
    assert gone.status_code == 404
    assert "not found" in gone.text
    assert "does not exist" in gone.text


def test_the_former_route_asks_for_no_scopes_and_no_label(home: Home) -> None:
    owner = home.hub(home.user())
    answer = owner.post("/v2/api_tokens", json={"token_label": "", "is_active": False})
    assert answer.status_code == 201
    assert answer.json()["scopes"] == ["repo:admin"]
    assert answer.json()["is_active"] is True
    assert answer.json()["token_label"]


def test_pages_have_absolute_links_with_sorted_parameters(home: Home) -> None:
    owner = home.hub(home.user())
    uuids = [(create(owner))["uuid"] for _ in range(5)]
    pages = []
    url: str | None = f"{PATHS[0]}?z=1&page_size=2&a=b%26c"
    while url:
        page = owner.get(url).json()
        pages.append(page)
        url = page["next"]
    assert [token["uuid"] for page in pages for token in page["results"]] == uuids[::-1]
    assert {page["count"] for page in pages} == {5}
    base = f"{home.url}/v2/access-tokens?a=b%26c&page="
    assert [page["next"] for page in pages] == [f"{base}2&page_size=2&z=1", f"{base}3&page_size=2&z=1", None]
    assert [page["previous"] for page in pages] == [None, f"{base}1&page_size=2&z=1", f"{base}2&page_size=2&z=1"]


def test_a_page_holds_ten_and_no_more_than_a_hundred(home: Home) -> None:
    owner = home.hub(home.user())
    for _ in range(101):
        create(owner)
    assert len(owner.get(PATHS[0]).json()["results"]) == 10
    assert len(owner.get(PATHS[0], params={"page_size": "1000"}).json()["results"]) == 100


@pytest.mark.parametrize("page", ["2", "9" * 40])
def test_a_page_beyond_the_last_one_is_not_found(home: Home, page: str) -> None:
    owner = home.hub(home.user())
    answer = owner.get(PATHS[0], params={"page": page})
    assert answer.status_code == 404
    assert "not found" in answer.text


@pytest.mark.parametrize("parameter", ["page", "page_size"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "x", "", "\uff11"])
def test_a_page_is_a_positive_whole_number(home: Home, parameter: str, value: str) -> None:
    owner = home.hub(home.user())
    answer = owner.get(PATHS[0], params={parameter: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [parameter]
    assert answer.json()["text"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"token_label": ""}, "token_label"),
        ({"token_label": "x" * 101}, "token_label"),
        ({"token_label": 1}, "token_label"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["repo:everything"]}, "scopes"),
        ({"scopes": "repo:read"}, "scopes"),
        ({"scopes": [1]}, "scopes"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": 5}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00." + "1" * 60 + "Z"}, "expires_at"),
    ],
)
def test_a_wrong_field_is_named(home: Home, fields: dict[str, Any], wrong: str) -> None:
    owner = home.hub(home.user())
    answer = owner.post(PATHS[0], json={"token_label": "ci", "scopes": ["repo:read"], **fields})
    assert answer.status_code == 400
    assert list(answer.json()) == ["fields", "text"]
    assert list(answer.json()["fields"]) == [wrong]


def test_a_missing_field_is_named(home: Home) -> None:
    owner = home.hub(home.user())
    answer = owner.post(PATHS[0], json={"token_label": "ci"})
    assert answer.json() == {"fields": {"scopes": ["This field is required."]}, "text": "invalid request"}


@pytest.mark.parametrize("content", [b"", b"no", b"[]", b'"\xff"', b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_a_value_error(home: Home, content: bytes) -> None:
    owner = home.hub(home.user())
    answer = owner.post(PATHS[0], content=content)
    assert answer.status_code == 400
    assert answer.json()["fields"] == {}
    assert answer.json()["text"].startswith("malformed request")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "JWT null", "odd"])
def test_without_a_valid_bearer_all_is_unauthorized(home: Home, method: str, authorization: str) -> None:
    # The body is wrong as well: who asks is looked at first.
    answer = home.client(authorization=authorization).request(method, PATHS[0], content=b"no")
    assert answer.status_code == 401
    assert answer.content == UNAUTHORIZED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "JWT", "jwt"])
def test_both_schemes_are_understood_in_any_case(home: Home, scheme: str) -> None:
    owner = home.hub(home.user())
    token = owner.headers["authorization"].partition(" ")[2]
    assert (home.client(authorization=f"{scheme} {token}").get(PATHS[0])).status_code == 200


def test_an_access_token_itself_is_no_bearer(home: Home) -> None:
    created = create(home.hub(home.user()))
    answer = home.client(authorization=f"Bearer {created['token']}").get(PATHS[0])
    assert (answer.status_code, answer.content) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/{uuid}"), ("PATCH", "/{uuid}"), ("DELETE", "/{uuid}")],
)
def test_a_token_does_not_manage_tokens(home: Home, method: str, path: str) -> None:
    user = home.user()
    created = create(home.hub(user), scopes=["repo:admin"])
    through_token = home.hub(user, created["token"])
    answer = through_token.request(method, PATHS[0] + path.format(**created))
    assert answer.status_code == 403
    expected = b'{"message":"token issued from personal access token is not allowed","errinfo":{}}'
    assert answer.content == expected


@pytest.mark.parametrize("how", ["disable", "delete"])
def test_what_was_made_from_a_token_ends_with_it(home: Home, how: str) -> None:
    repository = Owned(home)
    repository.tagged("1")
    user, tags = repository.owner, repository.path()
    owner = home.hub(user)
    created = create(owner)
    through_token = home.hub(user, created["token"])
    assert through_token.get(tags).status_code == 200

    url = f"{PATHS[0]}/{created['uuid']}"
    (owner.delete(url) if how == "delete" else owner.patch(url, json={"is_active": False}))

    assert through_token.get(tags).status_code == 401
    login = {"username": user.name, "password": created["token"]}
    assert home.anonymous.post("/v2/users/login", json=login).status_code == 401


def test_the_tokens_of_others_do_not_exist(home: Home) -> None:
    created = create(home.hub(home.user()))
    stranger = home.hub(home.user())
    url = f"{PATHS[0]}/{created['uuid']}"
    for answer in (
        stranger.get(url),
        stranger.patch(url, json={"is_active": False}),
        stranger.delete(url),
        stranger.get(f"{PATHS[0]}/{uuid4()}"),
    ):
        assert answer.status_code == 404
        assert "not found" in answer.json()["message"]
    assert stranger.get(PATHS[0]).json()["count"] == 0
