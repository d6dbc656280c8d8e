"""Access tokens of organizations: how owners manage them, and how what they open begins and ends."""

import base64
import json
import re
import time
from typing import Any

import httpx
import pytest

from homeport.core import accounts, org_access_tokens
from homeport.core.access import Actor
from homeport.core.grants import Resource
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole
from tests.api.registry.test_statements import count
from tests.home import Home, User, push_image, unique
from tests.inviting import run
from tests.plans import assert_by_index, plans_of

REFUSED = "token issued from organization access token is not allowed"
ORGANIZATION_LOGIN = {"detail": "Cannot log into an organization account"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FOLDED_WITHIN_S = 10


class Place:
    """An organization with a private repository and a public one, and its owner."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.organization = home.organization(self.owner)
        self.private = home.repository(self.organization, "hidden", is_private=True)
        self.public = home.repository(self.organization, "shown")
        self.hub = home.hub(self.owner)
        self.url = f"/v2/orgs/{self.organization}/access-tokens"

    def create(self, *resources: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = self.hub.post(self.url, json={"label": "ci", "resources": list(resources), **fields})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def on_all(self, *scopes: str) -> dict[str, Any]:
        return {"type": "TYPE_REPO", "path": f"{self.organization}/*", "scopes": list(scopes)}

    def on(self, name: RepositoryName, *scopes: str) -> dict[str, Any]:
        return {"type": "TYPE_REPO", "path": str(name), "scopes": list(scopes)}

    def on_itself(self, *scopes: str) -> dict[str, Any]:
        return {"type": "TYPE_ORG", "path": self.organization, "scopes": list(scopes)}

    def as_token(self, *resources: dict[str, Any]) -> httpx.Client:
        """A client of the Hub API with a new token."""
        return self.home.hub(User(self.organization), self.create(*resources)["token"])

    def registry(self, secret: str, *names: RepositoryName) -> httpx.Client:
        return self.home.registry(User(self.organization), *names, secret=secret)


@pytest.fixture
def place(home: Home) -> Place:
    return Place(home)


# Managing them


def test_a_new_token_is_shown_once_and_whole(place: Place) -> None:
    resources = [place.on(place.private, "scope-image-push", "repo-pull"), place.on_itself("scope-cloud-connect")]
    sent = {
        "label": "ci",
        "description": "for the build",
        "resources": resources,
        "expires_at": "2031-01-31T12:00:00.5+02:00",
    }
    answer = place.hub.post(place.url, json=sent)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    created = answer.json()
    keys = ["id", "label", "description", "resources", "token", "is_active", "expires_at", "created_at", "last_used_at"]
    assert list(created) == keys
    assert re.fullmatch(r"dckr_oat_[A-Za-z0-9_-]{32}", created["token"])
    assert MOMENT.fullmatch(created["created_at"])
    told = {**sent, "is_active": True, "last_used_at": None}
    assert {key: created[key] for key in told} == told
    assert place.hub.get(f"{place.url}/{created['id']}").json() == {
        **told,
        "id": created["id"],
        "created_by": place.owner.name,
        "created_at": created["created_at"],
    }


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_token_is_listed_read_changed_and_deleted(place: Place, slash: str) -> None:
    first, second = place.create(place.on_all("scope-image-pull")), place.create(label="two")
    url = f"{place.url}/{first['id']}{slash}"
    listed = place.hub.get(place.url + slash).json()
    assert (listed["total"], listed["count"], listed["next"], listed["previous"]) == (2, 2, None, None)
    assert [entry["id"] for entry in listed["results"]] == [second["id"], first["id"]]
    page = place.hub.get(f"{place.url}{slash}?page_size=1&page=2").json()
    assert [entry["id"] for entry in page["results"]] == [first["id"]]
    assert place.hub.get(f"{place.url}?page=3&page_size=1").status_code == 404

    resources = [place.on(place.public, "scope-tag-read")]
    wanted = {"label": "new", "description": "other", "resources": resources, "is_active": False}
    changed = place.hub.patch(url, json=wanted)
    assert changed.status_code == 200
    assert {key: changed.json()[key] for key in wanted} == wanted
    assert place.hub.get(url).json() == changed.json()
    assert place.hub.patch(url, json={"label": None}).json() == changed.json()

    assert place.hub.delete(url).status_code == 204
    gone = place.hub.get(url)
    assert (gone.status_code, "not found" in gone.text) == (404, True)
    assert place.hub.delete(url).status_code == 404


def test_only_owners_by_password_manage_tokens(place: Place) -> None:
    home = place.home
    members = [home.user(role) for role in ("editor", "member")]
    for user, role in zip(members, (OrganizationRole.EDITOR, OrganizationRole.MEMBER), strict=True):
        home.member(place.organization, user, role)
    by_token = home.hub(place.owner, home.access_token(place.owner)[1])
    by_own = place.as_token(place.on_itself("scope-member-edit"))
    for client, text in (
        *((home.hub(user), "denied") for user in [*members, home.user()]),
        (by_token, "token issued from personal access token is not allowed"),
        (by_own, REFUSED),
    ):
        answer = client.post(place.url, json={"label": "mine"})
        assert (answer.status_code, text in answer.json()["message"]) == (403, True)


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("label", {"label": ""}),
    ("label", {"label": " "}),
    ("label", {"label": "x" * 101}),
    ("label", {"label": None}),
    ("description", {"description": "x" * 201}),
    ("expires_at", {"expires_at": ""}),
    ("expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
    ("resources", {"resources": "all"}),
    ("resources", {"resources": [{"path": "{org}/*", "scopes": ["scope-image-pull"]}]}),
    ("resources", {"resources": [{"type": "TYPE_REPO", "path": "{org}/*"}]}),
    *(
        ("resources", {"resources": [{"type": type_, "path": path, "scopes": scopes}]})
        for type_, path, scopes in (
            ("TYPE_REPO", "{org}/*", []),
            ("TYPE_REPO", "{org}/*", ["scope-image-pull"] * 65),
            ("TYPE_REPO", "{org}/*", ["scope-image-pul"]),
            ("TYPE_REPO", "{org}/*", ["repo:admin"]),
            ("TYPE_REPO", "{org}/*", ["scope-member-read"]),
            ("TYPE_ORG", "{org}", ["scope-image-pull"]),
            ("TYPE_ORG", "{org}/*", ["scope-member-read"]),
            ("TYPE_ORG", "{other}", ["scope-member-read"]),
            ("TYPE_TEAM", "{org}", ["scope-member-read"]),
            ("TYPE_REPO", "{org}/nothing-of-this-name", ["scope-image-pull"]),
            ("TYPE_REPO", "{other}/*", ["scope-image-pull"]),
            ("TYPE_REPO", "{other_repository}", ["scope-image-pull"]),
            ("TYPE_REPO", "*", ["scope-image-pull"]),
            ("TYPE_REPO", "*/*", ["scope-image-pull"]),
            ("TYPE_REPO", "{org}", ["scope-image-pull"]),
            ("TYPE_REPO", "{org}/*a", ["scope-image-pull"]),
            ("TYPE_REPO", "{org}/a*b", ["scope-image-pull"]),
            ("TYPE_REPO", "{org}/a/*", ["scope-image-pull"]),
            ("TYPE_REPO", "{org}*/a", ["scope-image-pull"]),
            ("TYPE_REPO", "", ["scope-image-pull"]),
        )
    ),
    ("resources", {"resources": [{"type": "TYPE_REPO", "path": "{org}/*", "scopes": ["scope-image-pull"]}] * 51}),
    ("resources", {"resources": [{"type": "TYPE_ORG", "path": "{org}", "scopes": ["scope-member-read"]}] * 101}),
]


@pytest.mark.parametrize(("field", "fields"), REFUSALS, ids=str)
def test_what_cannot_be_is_refused_with_its_field(place: Place, field: str, fields: dict[str, Any]) -> None:
    elsewhere = place.home.repository(place.home.organization(place.owner))
    text = json.dumps({"label": "ci", **fields})
    for word, value in (
        ("{org}", place.organization),
        ("{other}", elsewhere.namespace),
        ("{other_repository}", str(elsewhere)),
    ):
        text = text.replace(word, value)
    body = json.loads(text)
    kept = place.create()
    answers = [place.hub.post(place.url, json=body)]
    if field in ("description", "resources") or fields.get("label"):
        answers.append(place.hub.patch(f"{place.url}/{kept['id']}", json=fields | body))
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert list(answer.json()) == ["fields", "text"]
        assert list(answer.json()["fields"]) == [field]
    assert place.hub.get(place.url).json()["total"] == 1


def test_a_label_is_needed(place: Place) -> None:
    answer = place.hub.post(place.url, json={})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["label"])


def test_events_tell_what_became_of_a_token(place: Place) -> None:
    created = place.create(place.on_all("scope-image-pull"))
    url = f"{place.url}/{created['id']}"
    place.hub.patch(url, json={"label": "ci"})
    place.hub.patch(url, json={"label": "build", "is_active": False})
    place.hub.delete(url)
    logs = place.hub.get(f"/v2/auditlogs/{place.organization}").json()["logs"]
    told = [event for event in logs if event["action"].startswith("org.access_token.")]
    assert [event["action"].rpartition(".")[2] for event in told] == ["delete", "update", "create"]
    assert {event["data"]["token_id"] for event in told} == {created["id"]}
    assert told[1]["data"]["fields"] == "label, is_active"
    assert told[2]["data"]["resources"] == f"{place.organization}/*: scope-image-pull"
    assert {(event["name"], event["actor"]) for event in told} == {(place.organization, place.owner.name)}
    assert told[1]["action_description"] == f"updated the access token build of the organization {place.organization}"


def test_a_list_costs_the_same_with_one_token_and_with_many(place: Place) -> None:
    place.create()
    path = f"{place.url}?page_size=100"
    few = count(place.home, place.hub.headers["authorization"], path)
    for _ in range(20):
        place.create(place.on_all("scope-image-pull"))
    assert count(place.home, place.hub.headers["authorization"], path) == few <= 4


def test_what_a_token_is_given_costs_no_statements(place: Place) -> None:
    path = f"/v2/namespaces/{place.organization}/repositories"
    one = place.as_token(place.on_itself("scope-repository-list"))
    names = [place.home.repository(place.organization) for _ in range(49)]
    resources = [place.on(name, "scope-image-pull") for name in names]
    many = place.as_token(place.on_itself("scope-repository-list"), *resources)
    counts = [count(place.home, client.headers["authorization"], path) for client in (one, many)]
    assert counts[0] == counts[1] <= 3


# Logging in


def test_the_organization_logs_in_with_its_name_and_a_token_alone(place: Place) -> None:
    home, secret = place.home, place.create()["token"]
    anonymous = home.anonymous
    answer = anonymous.post("/v2/auth/token", json={"identifier": place.organization.upper(), "secret": secret})
    assert answer.status_code == 200
    for name in (place.owner.name, home.organization(place.owner), "nobody-of-this-name"):
        for wrong in (secret, secret[:-1] + ("a" if secret[-1] != "a" else "b")):
            refused = anonymous.post("/v2/auth/token", json={"identifier": name, "secret": wrong})
            assert (refused.status_code, "message" in refused.json()) == (401, True)
            assert anonymous.get("/token", params={"service": "test"}, auth=(name, wrong)).status_code == 401


def test_the_login_of_people_lets_no_organization_in(place: Place) -> None:
    secret = place.create()["token"]
    personal = place.home.access_token(place.owner)[1]
    for path in ("/v2/users/login", "/v2/users/login/"):
        for name, word in (
            (place.organization, secret),
            (place.organization, "a password"),
            (place.organization, personal),
            (place.owner.name, secret),
        ):
            answer = place.home.anonymous.post(path, json={"username": name, "password": word})
            assert (answer.status_code, answer.json()) == (401, ORGANIZATION_LOGIN)


def test_the_secret_itself_is_no_bearer_token(place: Place) -> None:
    secret = place.create(place.on_all("scope-repository-read"))["token"]
    answer = place.home.client(authorization=f"Bearer {secret}").get(
        f"/v2/namespaces/{place.organization}/repositories"
    )
    assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized", "errinfo": {}})


def test_a_bearer_token_says_whose_it_is(place: Place) -> None:
    created = place.create(place.on_all("scope-image-pull", "scope-tag-read"), place.on_itself("scope-ram-read"))
    credentials = {"identifier": place.organization, "secret": created["token"]}
    token = place.home.anonymous.post("/v2/auth/token", json=credentials).json()["access_token"]
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["source"] == {"type": "oat", "id": created["id"]}
    assert claims["scope"] == "scope-image-pull scope-tag-read scope-ram-read"
    assert claims["https://hub.docker.com"]["source"] == f"docker_oat|{created['id']}"
    assert claims["https://hub.docker.com"]["username"] == place.organization
    assert claims["exp"] - claims["iat"] == 600


def test_the_use_of_a_token_is_written_down(place: Place) -> None:
    created = place.create(place.on_all("scope-image-pull"))
    place.registry(created["token"], place.private)
    deadline = time.monotonic() + FOLDED_WITHIN_S
    while not (last := place.hub.get(f"{place.url}/{created['id']}").json()["last_used_at"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert MOMENT.fullmatch(last)
    assert place.hub.get(place.url).json()["results"][0]["last_used_at"] == last


# What ends


ENDS: dict[str, Any] = {
    "deleted": lambda place, url: place.hub.delete(url),
    "switched off": lambda place, url: place.hub.patch(url, json={"is_active": False}),
    "given nothing": lambda place, url: place.hub.patch(url, json={"resources": []}),
    "given something else": lambda place, url: place.hub.patch(
        url, json={"resources": [place.on(place.public, "scope-repository-read", "scope-image-pull")]}
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_a_token_loses_is_lost_at_once_at_every_door(place: Place, how: str) -> None:
    push_image(place.home.registry(place.owner, place.private), place.private, "latest", text=how)
    created = place.create(place.on_all("scope-repository-read", "scope-image-pull"))
    hub = place.home.hub(User(place.organization), created["token"])
    registry = place.registry(created["token"], place.private)
    shown = f"/v2/namespaces/{place.organization}/repositories/{place.private.name}"
    pulled = f"/v2/{place.private}/manifests/latest"
    assert (hub.get(shown).status_code, registry.get(pulled).status_code) == (200, 200)
    ENDS[how](place, f"{place.url}/{created['id']}")
    assert hub.get(shown).status_code in (401, 404)
    assert registry.get(pulled).status_code in (401, 404)


def test_a_token_that_has_expired_opens_nothing(place: Place) -> None:
    created = place.create(place.on_all("scope-repository-read"), expires_at="2100-01-01T00:00:00Z")
    hub = place.home.hub(User(place.organization), created["token"])
    run(place.home, "update access_tokens set expires_at = 1 where uuid = :uuid", uuid=created["id"])
    credentials = {"identifier": place.organization, "secret": created["token"]}
    assert place.home.anonymous.post("/v2/auth/token", json=credentials).status_code == 401
    assert hub.get(f"/v2/namespaces/{place.organization}/repositories").status_code == 401


def test_an_organization_that_is_shut_has_no_tokens(place: Place) -> None:
    created = place.create(place.on_all("scope-repository-read"))
    hub = place.home.hub(User(place.organization), created["token"])
    run(place.home, "update accounts set is_active = false where name = :name", name=place.organization)
    credentials = {"identifier": place.organization, "secret": created["token"]}
    assert place.home.anonymous.post("/v2/auth/token", json=credentials).status_code == 401
    assert hub.get("/v2/search/repositories?query=x").status_code == 401


def test_a_token_does_not_outlive_the_repository_that_it_names(place: Place) -> None:
    created = place.create(place.on(place.private, "scope-repository-read", "scope-image-push"))
    hub = place.home.hub(User(place.organization), created["token"])
    url = f"/v2/namespaces/{place.organization}/repositories/{place.private.name}"
    assert hub.get(url).status_code == 200
    assert place.hub.delete(url).status_code == 202
    body = {"name": place.private.name, "is_private": True}
    assert place.hub.post(f"/v2/namespaces/{place.organization}/repositories", json=body).status_code == 201
    assert hub.get(url).status_code == 404
    # What it was given is told as it was sent.
    assert place.hub.get(f"{place.url}/{created['id']}").json()["resources"] == created["resources"]
    assert place.registry(created["token"], place.private).get(f"/v2/{place.private}/tags/list").status_code == 401


def test_a_token_follows_a_repository_to_its_new_name_and_not_out_of_the_organization(place: Place) -> None:
    created = place.create(place.on(place.private, "scope-repository-read"))
    hub = place.home.hub(User(place.organization), created["token"])
    other, renamed = place.home.organization(place.owner), unique("renamed")
    parameters = {"id": place.home.repository_id(place.private), "name": renamed}
    run(place.home, "update repositories set name = :name where id = :id", **parameters)
    assert hub.get(f"/v2/namespaces/{place.organization}/repositories/{renamed}").status_code == 200
    assert hub.get(f"/v2/namespaces/{place.organization}/repositories/{place.private.name}").status_code == 404
    namespace = "(select id from accounts where name = :other)"
    run(
        place.home,
        f"update repositories set namespace_id = {namespace} where id = :id",
        id=parameters["id"],
        other=other,
    )
    assert hub.get(f"/v2/namespaces/{other}/repositories/{renamed}").status_code == 404


def test_a_pattern_holds_what_begins_so_and_what_is_made_later(place: Place) -> None:
    pattern = {"type": "TYPE_REPO", "path": f"{place.organization}/web-*", "scopes": ["scope-repository-read"]}
    hub = place.as_token(pattern)
    inside, outside = (place.home.repository(place.organization, word, is_private=True) for word in ("web-", "web"))
    statuses = [
        hub.get(f"/v2/namespaces/{place.organization}/repositories/{name.name}").status_code
        for name in (inside, outside)
    ]
    assert statuses == [200, 404]


# Who it is that acts


def test_the_log_names_the_token_behind_a_deed(place: Place) -> None:
    created = place.create(place.on_all("scope-repository-edit"))
    hub = place.home.hub(User(place.organization), created["token"])
    answer = hub.patch(
        f"/v2/namespaces/{place.organization}/repositories/{place.private.name}", json={"description": "x"}
    )
    assert answer.status_code == 200, answer.text
    event = place.hub.get(f"/v2/auditlogs/{place.organization}?action=repo.update").json()["logs"][0]
    assert event["actor"] == f'{place.organization} - access token "ci"'
    told = {key: value for key, value in event["data"].items() if key.startswith("access_token_")}
    assert told == {
        "access_token_id": created["id"],
        "access_token_label": "ci",
        "access_token_type": "TYPE_UNSPECIFIED",
    }


def test_a_pull_that_is_audited_names_the_token(place: Place) -> None:
    push_image(place.home.registry(place.owner, place.private), place.private, "latest", text="audited")
    assert (
        place.hub.patch(f"/v2/orgs/{place.organization}/settings/policies", json={"audit_pulls": True}).status_code
        == 200
    )
    created = place.create(place.on_all("scope-image-pull"))
    registry = place.registry(created["token"], place.private)
    assert registry.get(f"/v2/{place.private}/manifests/latest").status_code == 200
    deadline = time.monotonic() + FOLDED_WITHIN_S
    while not (events := place.hub.get(f"/v2/auditlogs/{place.organization}?action=repo.pull").json()["logs"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert events[0]["actor"] == f'{place.organization} - access token "ci"'
    assert events[0]["data"]["access_token_id"] == created["id"]


def test_rules_of_immutable_tags_are_set_by_a_scope_of_their_own(place: Place) -> None:
    url = f"/v2/namespaces/{place.organization}/repositories/{place.private.name}"
    rules = {"immutable_tags": True, "immutable_tags_rules": ["v.*"]}
    editor = place.as_token(place.on_all("scope-repository-edit"))
    setter = place.as_token(place.on_all("scope-repository-settings-admin"))
    assert editor.patch(url, json=rules).status_code == 403
    assert editor.patch(url, json={"description": "x", **rules}).status_code == 403
    assert editor.patch(f"{url}/immutabletags", json=rules).status_code == 403
    assert setter.patch(f"{url}/immutabletags", json=rules).status_code == 200
    assert setter.patch(url, json={"description": "x"}).status_code == 403
    assert place.hub.get(url).json()["immutable_tags_settings"] == {"enabled": True, "rules": ["v.*"]}


def test_what_an_organization_pushes_is_its_own(place: Place) -> None:
    secret = place.create(place.on_all("scope-image-push"))["token"]
    push_image(place.registry(secret, place.private), place.private, "latest", text="pushed")
    tag = place.hub.get(f"/v2/namespaces/{place.organization}/repositories/{place.private.name}/tags/latest").json()
    assert tag["last_updater_username"] == place.organization


def test_no_token_says_who_owns_the_organization(place: Place) -> None:
    home, org = place.home, place.organization
    member, other = home.user("member"), home.user("owner")
    home.member(org, member, OrganizationRole.MEMBER)
    home.member(org, other, OrganizationRole.OWNER)
    hub = place.as_token(place.on_itself("scope-member-edit", "scope-group-edit", "scope-invite-edit"))
    invite = {"org": org, "invitees": ["somebody@example.com"]}
    for method, url, body in (
        ("PUT", f"/v2/orgs/{org}/members/{member.name}", {"role": "owner"}),
        ("PUT", f"/v2/orgs/{org}/members/{other.name}", {"role": "member"}),
        ("DELETE", f"/v2/orgs/{org}/members/{other.name}", None),
        ("POST", f"/v2/orgs/{org}/groups/owners/members", {"member": member.name}),
        ("DELETE", f"/v2/orgs/{org}/groups/owners/members/{other.name}", None),
        ("POST", "/v2/invites/bulk", {**invite, "role": "owner"}),
        ("POST", "/v2/invites/bulk", {**invite, "team": "owners"}),
    ):
        answer = hub.request(method, url, json=body)
        assert (answer.status_code, answer.json()["message"]) == (403, REFUSED), url
    assert hub.put(f"/v2/orgs/{org}/members/{member.name}", json={"role": "editor"}).status_code == 200
    assert hub.delete(f"/v2/orgs/{org}/members/{member.name}").status_code == 204
    owners = place.hub.get(f"/v2/orgs/{org}/groups/owners/members").json()["results"]
    assert {user["username"] for user in owners} == {place.owner.name, other.name}


def test_a_token_reads_no_addresses_of_members(place: Place) -> None:
    hub = place.as_token(place.on_itself("scope-member-read"))
    members = hub.get(f"/v2/orgs/{place.organization}/members").json()["results"]
    assert [member["email"] for member in members] == [""]
    assert place.owner.name in hub.get(f"/v2/orgs/{place.organization}/members/export").text
    assert "@" not in hub.get(f"/v2/orgs/{place.organization}/members/export").text


# Lists and searches


def test_lists_hold_what_is_private_by_a_scope_of_their_own(place: Place) -> None:
    url = f"/v2/namespaces/{place.organization}/repositories"
    elsewhere = place.home.repository(place.home.organization(place.owner))
    hidden = place.home.repository(elsewhere.namespace, is_private=True)
    for scopes, expected in (
        (["scope-repository-list"], {place.private.name, place.public.name}),
        (["scope-ram-read"], {place.public.name}),
    ):
        hub = place.as_token(place.on_itself(*scopes), place.on_all("scope-repository-admin", "scope-image-push"))
        assert {row["name"] for row in hub.get(url).json()["results"]} == expected
        assert [
            row["name"] for row in hub.get(f"/v2/namespaces/{elsewhere.namespace}/repositories").json()["results"]
        ] == [elsewhere.name]
        found = hub.get("/v2/search/repositories", params={"query": place.private.name}).json()["results"]
        assert [row["repo_name"] for row in found] == [str(place.private)] * (place.private.name in expected)
        assert hub.get("/v2/search/repositories", params={"query": hidden.name}).json()["count"] == 0


def test_the_engine_searches_with_an_organization(place: Place) -> None:
    secret = place.create(place.on_itself("scope-repository-list"))["token"]
    answer = place.home.anonymous.get("/v1/search", params={"q": place.private.name}, auth=(place.organization, secret))
    assert [row["name"] for row in answer.json()["results"]] == [str(place.private)]


def test_former_paths_refuse_every_token(place: Place) -> None:
    hub = place.as_token(
        place.on_all("scope-repository-admin", "scope-tag-admin"), place.on_itself("scope-repository-list")
    )
    for path in ("", f"/{place.public.name}", f"/{place.public.name}/tags", f"/{place.public.name}/"):
        answer = hub.get(f"/v2/repositories/{place.organization}{path}")
        assert (answer.status_code, answer.json()) == (403, {"message": REFUSED, "errinfo": {}})


# The registry


def actions_of(home: Home, auth: tuple[str, str], name: RepositoryName) -> list[str]:
    """What a token of the registry carries if all is asked for."""
    parameters = {"service": "test", "scope": f"repository:{name}:pull,push,delete"}
    answer = home.anonymous.get("/token", params=parameters, auth=auth)
    assert answer.status_code == 200, answer.text
    payload = answer.json()["token"].split(".")[1]
    access = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["access"]
    return access[0]["actions"] if access else []


def actions(place: Place, secret: str, name: RepositoryName) -> list[str]:
    return actions_of(place.home, (place.organization, secret), name)


@pytest.mark.parametrize(
    ("scope", "carried"),
    [
        ("scope-image-pull", ["pull"]),
        ("scope-image-push", ["pull", "push"]),
        ("scope-image-delete", ["pull", "push", "delete"]),
        ("repo-pull", ["pull"]),
        ("repo-push", ["pull", "push"]),
        ("image-pull", ["pull"]),
        ("image-push", ["pull", "push"]),
        ("scope-repository-admin", []),
        ("scope-tag-admin", []),
        ("scope-cloud-connect", []),
    ],
)
def test_a_registry_token_carries_what_the_scope_says(place: Place, scope: str, carried: list[str]) -> None:
    secret = place.create(place.on(place.private, scope))["token"]
    assert actions(place, secret, place.private) == carried
    assert actions(place, secret, place.public) == []
    everywhere = place.create({"type": "TYPE_REPO", "path": "*/*/public", "scopes": [scope]})["token"]
    elsewhere = place.home.repository(place.home.organization(place.owner))
    assert actions(place, everywhere, elsewhere) == carried[:1]
    assert actions(place, everywhere, place.public) == carried[:1]
    assert actions(place, everywhere, place.private) == []


def test_repositories_are_made_by_a_scope_of_their_own(place: Place) -> None:
    new = RepositoryName(place.organization, unique("new"))
    without = place.create(place.on_all("scope-image-push"))["token"]
    assert actions(place, without, new) == []
    secret = place.create(place.on_all("scope-image-push"), place.on_itself("scope-repository-create"))["token"]
    push_image(place.registry(secret, new), new, "latest", text="first")
    hub = place.as_token(place.on_itself("scope-repository-create"))
    url = f"/v2/namespaces/{place.organization}/repositories"
    made = hub.post(url, json={"name": unique("made"), "is_private": True})
    assert (made.status_code, made.json()["permissions"]["write"]) == (201, False)
    # Who may make them knows no more of those that are there.
    assert hub.get(f"{url}/{made.json()['name']}").status_code == 404


def test_an_organization_is_one_caller_to_limits(place: Place) -> None:
    secrets = [place.create(place.on_all("scope-repository-read"))["token"] for _ in range(2)]
    hubs = [place.home.hub(User(place.organization), secret) for secret in secrets]
    left = [int(hub.get("/v2/categories").headers["x-ratelimit-remaining"]) for hub in hubs]
    assert left[1] == left[0] - 1


def test_tokens_are_found_by_index(place: Place) -> None:
    place.create()
    home = place.home

    async def verb(tx: Any) -> None:
        actor = Actor.of(await accounts.access_user(tx, place.owner.name))
        await org_access_tokens.list_tokens(tx, actor=actor, organization=place.organization, offset=0, limit=10)

    assert_by_index(plans_of(home, verb, must_scan=True), "access_tokens")


def test_the_helper_of_other_tests_makes_the_same(place: Place) -> None:
    resource = Resource("TYPE_REPO", f"{place.organization}/*", ["scope-image-pull"])
    token, secret = place.home.organization_token(place.organization, place.owner, resource)
    assert place.hub.get(f"{place.url}/{token.uuid}").json()["resources"] == [place.on_all("scope-image-pull")]
    assert actions(place, secret, place.private) == ["pull"]
