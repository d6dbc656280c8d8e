"""A client that knows no more of SCIM than Docker's published description.

Beside what is asserted here, `tests/scim.py` holds every answer against the shapes of the description.
"""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.home import Home, unique
from tests.scim import CONTRACT, DOCKER_USER, ERROR, GROUP, MEDIA_TYPE, ROOT, USER, IdentityProvider, Json

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
def provider(home: Home) -> IdentityProvider:
    return IdentityProvider.of(home)


def address() -> str:
    return f"jon.snow@{unique('d')}.example.com"


def jon(provider: IdentityProvider, user_name: str | None = None) -> Json:
    """A user, made with all that the description lets a client send."""
    body = {"schemas": [USER], "userName": user_name or address(), "name": {"givenName": "Jon", "familyName": "Snow"}}
    made = provider.post("/Users", body)
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def test_a_new_user_has_every_field_of_the_description(provider: IdentityProvider) -> None:
    user_name = address()
    made = jon(provider, user_name)
    assert set(made) == {name.removesuffix("?") for name in CONTRACT.objects["user"]} - {"externalId", DOCKER_USER}
    assert made["schemas"] == [USER]
    assert UUID.fullmatch(made["id"])
    assert made["userName"] == user_name
    assert made["name"] == {"givenName": "Jon", "familyName": "Snow"}
    assert re.fullmatch(r"jon-snow\d*(-[0-9a-f]{8})?", made["displayName"])  # the Docker ID
    assert made["active"] is True
    assert made["emails"] == [{"value": user_name, "display": user_name, "primary": True}]
    assert [group["display"] for group in made["groups"]] == ["company"]
    assert made["meta"]["resourceType"] == "User"
    assert made["meta"]["location"] == f"{provider.base_url}/Users/{made['id']}"
    for name in ("created", "lastModified"):
        assert datetime.fromisoformat(made["meta"][name]).tzinfo is not None
        assert made["meta"][name].endswith("Z")
    assert provider.get(f"/Users/{made['id']}").json() == made
    names = [member["username"] for member in members_of(provider)]
    assert sorted(names) == sorted([provider.owner.name, made["displayName"]])


def members_of(provider: IdentityProvider) -> list[Json]:
    answer = provider.home.hub(provider.owner).get(f"/v2/orgs/{provider.organization}/members")
    assert answer.status_code == 200
    return answer.json()["results"]  # type: ignore[no-any-return]


def test_replacing_changes_the_name_and_nothing_else(provider: IdentityProvider) -> None:
    made = jon(provider)
    body = {"schemas": [USER], "name": {"givenName": "Aegon", "familyName": "Targaryen"}, "enabled": True}
    replaced = provider.put(f"/Users/{made['id']}", body)
    assert replaced.status_code == 200
    changed = replaced.json()
    assert changed["name"] == {"givenName": "Aegon", "familyName": "Targaryen"}
    for name in set(made) - {"name", "meta"}:
        assert changed[name] == made[name], name
    assert changed["meta"]["created"] == made["meta"]["created"]
    assert changed["meta"]["lastModified"] > made["meta"]["lastModified"]
    assert [member["full_name"] for member in members_of(provider) if member["username"] == made["displayName"]] == [
        "Aegon Targaryen"
    ]


def test_a_replacement_without_a_name_does_not_clear_it(provider: IdentityProvider) -> None:
    made = jon(provider)
    names: list[Any] = [None, {}, {"givenName": None}, {"formatted": "Jon"}]
    for fields in ({}, *({"name": name} for name in names)):
        changed = provider.put(f"/Users/{made['id']}", {"schemas": [USER], "enabled": True, **fields}).json()
        assert (changed["name"], changed["active"]) == (made["name"], True)


@pytest.mark.parametrize(
    ("fields", "is_active"),
    [
        ({}, False),
        ({"enabled": False}, False),
        ({"enabled": True}, True),
        ({"active": True}, True),
        ({"active": False}, False),
        ({"active": True, "enabled": False}, True),
        ({"active": False, "enabled": True}, False),
        ({"Active": True}, True),
        ({"ENABLED": True}, True),
    ],
)
def test_a_replacement_that_does_not_enable_a_user_deactivates_them(
    provider: IdentityProvider, fields: Json, is_active: bool
) -> None:
    made = jon(provider)
    changed = provider.put(f"/Users/{made['id']}", {"schemas": [USER], **fields})
    assert changed.status_code == 200
    assert changed.json()["active"] is is_active
    assert provider.get(f"/Users/{made['id']}").json()["active"] is is_active
    back = provider.put(f"/Users/{made['id']}", {"schemas": [USER], "enabled": True}).json()
    assert (back["active"], back["name"]) == (True, made["name"])


def test_a_list_is_read_by_either_name(provider: IdentityProvider) -> None:
    made = jon(provider)
    query = {"startIndex": 1, "count": 10, "filter": f'userName eq "{made["userName"]}"'}
    listed = provider.get("/Users", **query, sortBy="userName", sortOrder="ascending").json()
    assert listed["resources"] == listed["Resources"] == [made]
    assert (listed["totalResults"], listed["startIndex"], listed["itemsPerPage"]) == (1, 1, 1)
    narrow = provider.get("/Users", attributes="userName,displayName", filter=query["filter"]).json()["resources"]
    assert narrow == [{name: made[name] for name in ("schemas", "id", "userName", "displayName")}]
    for path in ("/ResourceTypes", "/Schemas"):
        listed = provider.get(path).json()
        assert listed["resources"] == listed["Resources"]
        assert len(listed["resources"]) == listed["totalResults"]


def test_the_description_names_each_resource_type_and_schema(provider: IdentityProvider) -> None:
    for path in ("/ResourceTypes", "/Schemas"):
        for described in provider.get(path).json()["resources"]:
            assert provider.get(f"{path}/{described['id']}").json() == described
        missing = provider.get(f"{path}/Nothing")
        assert (missing.status_code, "not found" in missing.json()["detail"]) == (404, True)


def test_errors_have_the_shape_of_the_description(provider: IdentityProvider) -> None:
    made = jon(provider)
    stranger = provider.home.client(authorization="Bearer dckr_scim_nothing")
    for answer, status in (
        (provider.get("/Users", filter="userName eq"), 400),
        (stranger.get(f"{ROOT}/Users"), 401),
        (provider.get("/Users/d80f7c79-7730-49d8-9a41-7c42fb622d9c"), 404),
        (provider.post("/Users", {"schemas": [USER], "userName": made["userName"]}), 409),
    ):
        error = answer.json()
        assert (answer.status_code, error["status"], error["schemas"]) == (status, str(status), [ERROR])
        assert isinstance(error["detail"], str)
        assert ("scimType" in error) is (status in (400, 409))
        assert answer.headers["content-type"] == MEDIA_TYPE
    assert stranger.get(f"{ROOT}/Users").headers["www-authenticate"].startswith("Bearer")


PATHS = ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas", f"/Schemas/{USER}", "/Users"]


def test_a_trailing_slash_changes_nothing(provider: IdentityProvider) -> None:
    made = jon(provider)
    for path in [*PATHS, f"/Users/{made['id']}", "/Groups"]:
        with_slash, without = provider.get(f"{path}/"), provider.get(path)
        assert (with_slash.status_code, with_slash.json()) == (200, without.json()), path
    second = provider.send("POST", "/Users/", {"schemas": [USER], "userName": address()})
    assert second.status_code == 201
    path = f"/Users/{second.json()['id']}/"
    assert provider.put(path, {"schemas": [USER], "enabled": True}).status_code == 200
    assert provider.patch(path, {"op": "replace", "path": "active", "value": False}).status_code == 200
    assert provider.delete(path).status_code == 204
    assert provider.send("POST", "/.search/", {"count": 0}).status_code == 200


def test_head_is_a_get_without_a_body(provider: IdentityProvider) -> None:
    made = jon(provider)
    for path in [*PATHS, f"/Users/{made['id']}", "/Users/nobody", "/Groups"]:
        head, read = provider.send("HEAD", path), provider.get(path)
        assert (head.status_code, head.content) == (read.status_code, b""), path
        for name in ("content-type", "etag", "content-length"):
            assert head.headers.get(name) == read.headers.get(name), (path, name)


@pytest.mark.parametrize(
    "media_type", ["application/scim+json", "application/json", "application/json; charset=utf-8", ""]
)
def test_either_media_type_is_taken_and_one_is_answered(provider: IdentityProvider, media_type: str) -> None:
    body = {"schemas": [USER], "userName": address()}
    made = provider.send("POST", "/Users", body, headers={"content-type": media_type})
    assert (made.status_code, made.headers["content-type"]) == (201, MEDIA_TYPE)
    for accept in (media_type or "*/*", "text/html"):
        read = provider.send("GET", f"/Users/{made.json()['id']}", headers={"accept": accept})
        assert (read.status_code, read.headers["content-type"]) == (200, MEDIA_TYPE)


def test_the_token_opens_its_organization_and_nothing_of_the_hub(provider: IdentityProvider) -> None:
    for path in (
        "/v2/access-tokens",
        f"/v2/orgs/{provider.organization}/members",
        f"/v2/orgs/{provider.organization}/groups",
    ):
        assert httpx.get(provider.home.url + path, headers=dict(provider.client.headers)).status_code == 401, path


def test_a_group_is_emptied_by_an_empty_list_and_not_by_none(provider: IdentityProvider) -> None:
    user = provider.user()
    group = provider.group(None, user)
    path = f"/Groups/{group['id']}"
    renamed = {"schemas": [GROUP], "displayName": unique("renamed")}
    assert [member["value"] for member in provider.put(path, renamed).json()["members"]] == [user["id"]]
    assert "members" not in provider.put(path, {**renamed, "members": []}).json()


@pytest.mark.parametrize("name", ["山田\u3000太郎", "\u0645\u06cc\u200c\u062e", "Ana\u00a0Maria"])
def test_names_of_all_scripts_are_kept_as_they_are(provider: IdentityProvider, name: str) -> None:
    made = provider.user(name={"givenName": name})
    assert provider.get(f"/Users/{made['id']}").json()["name"] == {"givenName": name}
