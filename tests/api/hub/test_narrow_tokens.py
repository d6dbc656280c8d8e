"""Personal access tokens that are narrower than Docker's scopes, and those that are derived from them: ours."""

import json
import time
from typing import Any

import httpx
import pytest

from homeport.core import access_tokens, accounts
from homeport.core.access import Actor
from homeport.core.activity import TOLD_EVERY_S
from homeport.names import RepositoryName
from homeport.storage.db import access_tokens as access_token_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole, Permission
from tests.api.hub.test_org_access_tokens import actions_of
from tests.api.registry.test_statements import count
from tests.conftest import DATABASES, NewHome
from tests.home import Home, User, push_image, put_manifest, unique
from tests.inviting import run
from tests.plans import plans_of

TOKENS = "/v2/access-tokens"
REFUSED = "token issued from personal access token is not allowed"
BEHIND = "127.0.0.0/8"


class Place:
    """A user with two private repositories and a public one, and an organization of theirs."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.user = home.user("narrow")
        self.hub = home.hub(self.user)
        self.one, self.two = (home.repository(self.user.name, word, is_private=True) for word in ("web-", "db-"))
        self.public = home.repository(self.user.name, "web-", is_private=False)
        self.organization = home.organization(self.user)
        self.elsewhere = home.repository(home.organization(home.user()), is_private=False)

    def create(
        self, *grants: tuple[object, list[str]], client: httpx.Client | None = None, **fields: Any
    ) -> dict[str, Any]:
        answer = self.ask(*grants, client=client, **fields)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def ask(
        self, *grants: tuple[object, list[str]], client: httpx.Client | None = None, **fields: Any
    ) -> httpx.Response:
        given = {"grants": [{"repositories": str(path), "verbs": verbs} for path, verbs in grants]} if grants else {}
        return (client or self.hub).post(TOKENS, json={"token_label": "narrow", **given, **fields})

    def as_token(self, created: dict[str, Any]) -> httpx.Client:
        return self.home.hub(self.user, created["token"])

    def registry(self, created: dict[str, Any], *names: RepositoryName) -> httpx.Client:
        return self.home.registry(self.user, *names, secret=created["token"])

    def url(self, name: RepositoryName) -> str:
        return f"/v2/namespaces/{name.namespace}/repositories/{name.name}"


@pytest.fixture
def place(home: Home) -> Place:
    return Place(home)


# What it is


def test_a_narrow_token_tells_what_it_was_given(place: Place) -> None:
    grants = [
        {"repositories": str(place.one), "verbs": ["pull", "push"]},
        {"repositories": f"{place.organization}/web-*", "verbs": ["administer"]},
    ]
    sent = {"grants": grants, "address_ranges": [BEHIND, "2001:db8::/32"], "can_derive": True}
    answer = place.hub.post(TOKENS, json={"token_label": "narrow", **sent})
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert {key: created[key] for key in sent} == sent
    assert created["scopes"] == []
    assert place.hub.get(f"{TOKENS}/{created['uuid']}").json() == {**created, "token": ""}
    event = place.hub.get(f"/v2/auditlogs/{place.user.name}?action=user.access_token.create").json()["logs"][0]
    assert event["data"]["grants"] == f"{place.one}: pull push; {place.organization}/web-*: administer"
    assert event["data"]["address_ranges"] == f"{BEHIND} 2001:db8::/32"
    assert event["data"]["can_derive"] == "true"


def test_a_token_of_dockers_form_has_no_fields_of_ours(place: Place) -> None:
    created = place.create(scopes=["repo:read"])
    assert not {"grants", "address_ranges", "can_derive"} & created.keys()


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("scopes", {}),
    ("scopes", {"scopes": []}),
    ("scopes", {"scopes": ["repo:all"], "grants": [{"repositories": "*/*", "verbs": ["pull"]}]}),
    ("scopes", {"address_ranges": [BEHIND]}),
    ("grants", {"grants": []}),
    ("grants", {"grants": "all"}),
    ("grants", {"grants": [{"repositories": "*/*", "verbs": ["pull"]}] * 51}),
    *(
        ("grants", {"grants": [{"repositories": path, "verbs": verbs}]})
        for path, verbs in (
            ("*/*", []),
            ("*/*", ["read"]),
            ("*/*", ["pull"] * 65),
            ("*", ["pull"]),
            ("{user}/w*b", ["pull"]),
            ("{user}/nothing-of-this-name", ["pull"]),
            ("{hidden}", ["pull"]),
            ("nobody-of-this-name/*", ["pull"]),
            (".*/.*", ["pull"]),
        )
    ),
    *(
        ("address_ranges", {"scopes": ["repo:read"], "address_ranges": ranges})
        for ranges in (
            ["localhost"],
            ["10.0.0.1/8"],
            [""],
            ["10.0.0.0/33"],
            ["fe80::1%eth0"],
            [BEHIND] * 51,
            "10.0.0.0/8",
        )
    ),
    ("can_derive", {"scopes": ["repo:read"], "can_derive": "true"}),
]


@pytest.mark.parametrize(("field", "fields"), REFUSALS, ids=str)
def test_what_cannot_be_is_refused_with_its_field(place: Place, field: str, fields: dict[str, Any]) -> None:
    hidden = place.home.repository(place.elsewhere.namespace, is_private=True)
    text = (
        json.dumps({"token_label": "narrow", **fields})
        .replace("{user}", place.user.name)
        .replace("{hidden}", str(hidden))
    )
    answer = place.hub.post(TOKENS, json=json.loads(text))
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field]), answer.text
    assert place.hub.get(TOKENS).json()["count"] == 0


# What it opens


VERBS = {
    "pull": {"read", "tags", "pull"},
    "push": {"push", "star"},
    "delete_tag": {"delete tag", "delete"},
    "edit_description": {"describe"},
    "administer": {"read", "tags", "describe", "delete tag", "privacy", "webhooks", "pull", "push", "delete", "star"},
}


def deeds(place: Place, created: dict[str, Any], name: RepositoryName) -> set[str]:
    """What a token can do to a repository, at both doors."""
    owner = place.home.registry(place.user, name)
    manifest = push_image(owner, name, "doomed", "other", text=unique("deed"))
    hub, url = place.as_token(created), place.url(name)
    answers = {
        "read": hub.get(url),
        "tags": hub.get(f"{url}/tags"),
        "describe": hub.patch(url, json={"description": unique("text")}),
        "delete tag": hub.delete(f"{url}/tags/doomed"),
        "star": hub.post(f"{url}/stars"),
        "privacy": hub.post(f"{url}/privacy", json={"is_private": True}),
        "webhooks": hub.get(f"{url}/webhooks"),
    }
    for what, answer in answers.items():
        assert answer.status_code in (200, 204, 403, 404), (what, answer.text)
    client = place.registry(created, name)
    answers |= {
        "pull": client.get(f"/v2/{name}/manifests/other"),
        "push": put_manifest(client, name, "another", manifest),
        "delete": client.delete(f"/v2/{name}/manifests/other"),
    }
    return {what for what, answer in answers.items() if answer.status_code < 400}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_opens_what_it_is_for_where_it_is_given(place: Place, verb: str) -> None:
    created = place.create((place.one, [verb]))
    assert deeds(place, created, place.one) == VERBS[verb]
    assert deeds(place, created, place.two) == set()


def test_scopes_and_grants_have_both_to_allow_it(place: Place) -> None:
    created = place.create((place.one, ["administer"]), scopes=["repo:read"])
    assert deeds(place, created, place.one) == VERBS["pull"]
    assert deeds(place, created, place.two) == set()


def test_a_grant_gives_nothing_that_the_account_has_not(place: Place) -> None:
    created = place.create((place.elsewhere, ["administer"]), ("*/*", ["pull"]))
    hub, url = place.as_token(created), place.url(place.elsewhere)
    assert hub.get(url).json()["permissions"] == {"read": True, "write": False, "admin": False}
    assert hub.patch(url, json={"description": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("{user}/web-*", {"one", "public"}),
        ("{user}/*", {"one", "two", "public"}),
        ("*/*", {"one", "two", "public", "elsewhere"}),
        ("*/*/public", {"public", "elsewhere"}),
    ],
)
def test_patterns_reach_what_they_say_in_looks_lists_and_searches(place: Place, path: str, reached: set[str]) -> None:
    created = place.create((path.format(user=place.user.name), ["pull"]))
    hub = place.as_token(created)
    names = {word: getattr(place, word) for word in ("one", "two", "public", "elsewhere")}
    looked = {word for word, name in names.items() if hub.get(place.url(name)).status_code == 200}
    listed, searched = set(), set()
    for word, name in names.items():
        rows = hub.get(f"/v2/namespaces/{name.namespace}/repositories").json()["results"]
        listed |= {word} if name.name in {row["name"] for row in rows} else set()
        found = hub.get("/v2/search/repositories", params={"query": name.name}).json()["results"]
        searched |= {word} if str(name) in {row["repo_name"] for row in found} else set()
    assert looked == listed == searched == reached
    engine = place.home.anonymous.get(
        "/v1/search", params={"q": place.one.name}, auth=(place.user.name, created["token"])
    )
    assert [row["name"] for row in engine.json()["results"]] == [str(place.one)] * ("one" in reached)


def test_a_first_push_goes_where_a_pattern_lets_it(place: Place) -> None:
    created = place.create((f"{place.user.name}/web-*", ["pull", "push"]))
    inside = RepositoryName(place.user.name, unique("web-"))
    push_image(place.registry(created, inside), inside, "latest", text="inside")
    outside = RepositoryName(place.user.name, unique("other"))
    assert place.registry(created, outside).post(f"/v2/{outside}/blobs/uploads/").status_code == 401
    hub = place.as_token(created)
    urls = f"/v2/namespaces/{place.user.name}/repositories"
    assert [hub.post(urls, json={"name": unique(word)}).status_code for word in ("web-", "other")] == [201, 403]
    assert hub.get("/v2/repositories/namespaces").json()["namespaces"] == [place.user.name]


def test_a_repository_that_is_named_is_meant_itself_and_not_its_name(place: Place) -> None:
    created = place.create((place.one, ["administer"]))
    hub = place.as_token(created)
    assert hub.delete(place.url(place.one)).status_code == 202
    made = {"name": place.one.name, "is_private": True}
    url = f"/v2/namespaces/{place.user.name}/repositories"
    assert hub.post(url, json=made).status_code == 403
    assert place.hub.post(url, json=made).status_code == 201
    assert hub.get(place.url(place.one)).status_code == 404


def test_a_narrow_token_sees_nothing_of_organizations_and_manages_no_tokens(place: Place) -> None:
    created = place.create(("*/*", ["administer"]))
    hub = place.as_token(created)
    for method, path in (
        ("GET", f"/v2/orgs/{place.organization}/members"),
        ("GET", f"/v2/orgs/{place.organization}/groups"),
        ("GET", TOKENS),
        ("POST", TOKENS),
        ("POST", "/v2/api_tokens"),
        ("DELETE", f"{TOKENS}/{created['uuid']}"),
        ("GET", f"/v2/auditlogs/{place.user.name}"),
    ):
        answer = hub.request(method, path, json={"token_label": "x", "scopes": ["repo:read"]})
        assert (answer.status_code, REFUSED in answer.text) == (403, True), path


def test_what_it_is_given_costs_no_statements(place: Place) -> None:
    names = [place.home.repository(place.user.name) for _ in range(48)]
    one = place.create((f"{place.user.name}/*", ["pull"]))
    many = place.create(
        (place.one, ["pull"]), (f"{place.user.name}/web-*", ["pull"]), *((name, ["pull"]) for name in names)
    )
    for path in (f"/v2/namespaces/{place.user.name}/repositories", place.url(place.one)):
        counts = [count(place.home, place.as_token(created).headers["authorization"], path) for created in (one, many)]
        assert counts[0] == counts[1] <= 3
    searched = [
        count(place.home, place.as_token(created).headers["authorization"], "/v2/search/repositories?query=web")
        for created in (one, many)
    ]
    # What is named by itself is looked for by itself.
    assert searched[0] + 1 == searched[1]


# Where it is used from


@pytest.fixture(scope="module", params=DATABASES)
def proxied(request: pytest.FixtureRequest, new_home: NewHome) -> Any:
    with new_home(request.param, HOMEPORT_TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


def test_addresses_outside_of_its_ranges_are_kept_out_at_every_door(proxied: Home) -> None:
    place = Place(proxied)
    push_image(proxied.registry(place.user, place.one), place.one, "latest", text="addresses")
    created = place.create((place.one, ["pull"]), address_ranges=["192.0.2.0/24", "2001:db8::/32"])
    inside, outside = {"x-forwarded-for": "2001:db8::7"}, {"x-forwarded-for": "198.51.100.7"}
    auth = (place.user.name, created["token"])
    credentials = {"identifier": auth[0], "secret": auth[1]}
    scope = {"service": "test", "scope": f"repository:{place.one}:pull", "offline_token": "true"}
    anonymous = proxied.anonymous

    exchanged = anonymous.post("/v2/auth/token", json=credentials, headers=inside)
    issued = anonymous.get("/token", params=scope, auth=auth, headers=inside)
    login = {"username": auth[0], "password": auth[1]}
    logged_in = anonymous.post("/v2/users/login?refresh_token=true", json=login, headers=inside)
    assert [answer.status_code for answer in (exchanged, issued, logged_in)] == [200] * 3
    hub = {"authorization": f"Bearer {exchanged.json()['access_token']}"}
    registry = {"authorization": f"Bearer {issued.json()['token']}"}
    refresh = {"refresh_token": logged_in.json()["refresh_token"]}
    form = {"grant_type": "refresh_token", "service": "test", **refresh}
    searching = anonymous.get(
        "/token", params={"service": "test", "scope": "registry:catalog:search"}, auth=auth, headers=inside
    )
    engine = {"authorization": f"Bearer {searching.json()['token']}"}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v2/auth/token", {"json": credentials}),
        ("POST", "/v2/users/login", {"json": login}),
        ("GET", "/token", {"params": scope, "auth": auth}),
        ("POST", "/token", {"data": {"grant_type": "password", "username": auth[0], "password": auth[1]}}),
        ("POST", "/token", {"data": form}),
        ("POST", "/v2/auth/refresh", {"json": refresh}),
        ("GET", place.url(place.one), {"headers": hub}),
        ("GET", "/v1/search?q=web", {"headers": hub}),
        ("GET", "/v1/search?q=web", {"headers": engine}),
        ("GET", "/v1/search?q=web", {"auth": auth}),
        ("GET", f"/v2/{place.one}/manifests/latest", {"headers": registry}),
        ("HEAD", f"/v2/{place.one}/manifests/latest", {"headers": registry}),
        ("GET", "/v2/", {"headers": registry}),
    ]
    for method, path, fields in asked:
        headers = fields.pop("headers", {})
        statuses = [
            anonymous.request(method, path, headers={**headers, **where}, **fields).status_code
            for where in (inside, outside, inside)
        ]
        assert statuses == [200, 401, 200], (method, path)


def test_a_refusal_by_address_is_in_the_log(proxied: Home) -> None:
    assert TOLD_EVERY_S > 60
    place = Place(proxied)
    created = place.create(scopes=["repo:read"], address_ranges=["192.0.2.1"])
    credentials = {"identifier": place.user.name, "secret": created["token"]}
    assert proxied.anonymous.post("/v2/auth/token", json=credentials).status_code == 401
    url = f"/v2/auditlogs/{place.user.name}?action=user.login.failed"
    deadline = time.monotonic() + 10
    while not (events := place.hub.get(url).json()["logs"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert events[0]["data"]["reason"] == "outside of its addresses"


# What is derived from it


def test_a_token_creates_narrower_ones_if_it_may(place: Place) -> None:
    parent = place.create((f"{place.user.name}/*", ["pull", "push"]), can_derive=True)
    hub = place.as_token(parent)
    child = place.create((place.one, ["pull"]), client=hub)
    assert deeds(place, child, place.one) == VERBS["pull"]
    assert deeds(place, child, place.two) == set()
    uuids = {token["uuid"] for token in place.hub.get(TOKENS).json()["results"]}
    assert uuids == {parent["uuid"], child["uuid"]}
    event = place.hub.get(f"/v2/auditlogs/{place.user.name}?action=user.access_token.create").json()["logs"][0]
    assert event["actor"] == f'{place.user.name} - access token "narrow"'
    assert event["data"]["access_token_id"] == parent["uuid"]


def test_a_token_reads_and_changes_no_others_whatever_it_may_create(place: Place) -> None:
    parent = place.create(("*/*", ["administer"]), can_derive=True)
    hub = place.as_token(parent)
    child = place.create(("*/*", ["pull"]), client=hub)
    for uuid in (parent["uuid"], child["uuid"]):
        for method, path in (("GET", TOKENS), *((method, f"{TOKENS}/{uuid}") for method in ("GET", "PATCH", "DELETE"))):
            answer = hub.request(method, path, json={"token_label": "x"})
            assert (answer.status_code, answer.json()["message"]) == (403, REFUSED)
    assert hub.post("/v2/api_tokens", json={}).status_code == 403
    assert hub.get(f"{TOKENS}/{child['uuid']}/effective").status_code == 403


WIDER: dict[str, dict[str, Any]] = {
    "another repository": {"grants": [{"repositories": "{two}", "verbs": ["pull"]}]},
    "all of the namespace": {"grants": [{"repositories": "{user}/*", "verbs": ["pull"]}]},
    "a shorter beginning": {"grants": [{"repositories": "{user}/web*", "verbs": ["pull"]}]},
    "everything": {"grants": [{"repositories": "*/*", "verbs": ["pull"]}]},
    "all that is public": {"grants": [{"repositories": "*/*/public", "verbs": ["pull"]}]},
    "another verb": {"grants": [{"repositories": "{one}", "verbs": ["pull", "delete_tag"]}]},
    "a second grant": {
        "grants": [{"repositories": "{one}", "verbs": ["pull"]}, {"repositories": "{two}", "verbs": ["pull"]}]
    },
    "a scope": {"scopes": ["repo:public_read"]},
    "a later end": {"expires_at": "2100-01-01T00:00:01Z"},
    "no end": {"expires_at": None},
    "a wider range": {"address_ranges": ["126.0.0.0/7"]},
    "another range": {"address_ranges": ["127.0.0.0/16", "10.0.0.0/24"]},
    "no range": {"address_ranges": []},
    "null for a range": {"address_ranges": None},
}


@pytest.mark.parametrize("what", WIDER)
def test_no_token_creates_a_wider_one(place: Place, what: str) -> None:
    end, ranges = "2100-01-01T00:00:00Z", ["127.0.0.0/8"]
    parent = place.create(
        (f"{place.user.name}/web-*", ["pull", "push"]), can_derive=True, expires_at=end, address_ranges=ranges
    )
    narrow = {
        "token_label": "child",
        "grants": [{"repositories": "{one}", "verbs": ["pull"]}],
        "expires_at": end,
        "address_ranges": ["127.0.0.0/16"],
    }
    hub = place.as_token(parent)
    if what == "a scope":
        del narrow["grants"]
    answers = []
    for body in ({**narrow, **WIDER[what]}, narrow):
        text = json.dumps(body)
        for word, value in (("{one}", place.one), ("{two}", place.two), ("{user}", place.user.name)):
            text = text.replace(word, str(value))
        answers.append(hub.post(TOKENS, content=text))
    if what in ("another repository", "a second grant"):
        # A repository that the token may not know of is not there.
        assert (answers[0].status_code, list(answers[0].json()["fields"])) == (400, ["grants"])
    else:
        assert (answers[0].status_code, REFUSED in answers[0].json()["message"]) == (403, True), answers[0].text
    assert answers[1].status_code == (400 if what == "a scope" else 201)


def test_what_ends_a_token_ends_what_was_derived_from_it(place: Place) -> None:
    parent = place.create((place.one, ["pull"]), can_derive=True)
    child = place.create((place.one, ["pull"]), client=place.as_token(parent), can_derive=True)
    grandchild = place.create((place.one, ["pull"]), client=place.as_token(child))
    clients = [place.as_token(created) for created in (parent, child, grandchild)]
    registries = [place.registry(created, place.one) for created in (parent, child, grandchild)]

    def statuses() -> list[int]:
        read = [client.get(place.url(place.one)).status_code for client in clients]
        return read + [client.get(f"/v2/{place.one}/tags/list").status_code for client in registries]

    assert statuses() == [200] * 6
    assert place.hub.patch(f"{TOKENS}/{child['uuid']}", json={"is_active": False}).status_code == 200
    assert statuses() == [200, 401, 401] * 2
    assert place.hub.patch(f"{TOKENS}/{child['uuid']}", json={"is_active": True}).status_code == 200
    assert statuses() == [200] * 6
    run(place.home, "update access_tokens set expires_at = 1 where uuid = :uuid", uuid=parent["uuid"])
    credentials = {"identifier": place.user.name, "secret": grandchild["token"]}
    assert place.home.anonymous.post("/v2/auth/token", json=credentials).status_code == 401
    assert place.hub.delete(f"{TOKENS}/{parent['uuid']}").status_code == 202
    assert statuses() == [401] * 6
    assert place.hub.get(TOKENS).json()["count"] == 0
    events = place.hub.get(f"/v2/auditlogs/{place.user.name}?action=user.access_token.delete").json()["logs"]
    assert {event["data"]["token_id"] for event in events} == {
        created["uuid"] for created in (parent, child, grandchild)
    }


def test_a_line_of_tokens_has_an_end(place: Place) -> None:
    client, made = place.hub, 0
    while True:
        answer = place.ask((place.one, ["pull"]), client=client, can_derive=True)
        if answer.status_code != 201:
            break
        client, made = place.as_token(answer.json()), made + 1
    assert (answer.status_code, made) == (403, 8)


# What it can do now


def effective(place: Place, created: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = place.hub.get(f"{TOKENS}/{created['uuid']}/effective{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def verbs_by_name(found: dict[str, Any]) -> dict[str, list[str]]:
    return {f"{row['namespace']}/{row['name']}": row["verbs"] for row in found["results"]}


def test_effective_tells_what_roles_leave_of_the_grants(place: Place) -> None:
    home = place.home
    boss = home.user()
    organization = home.organization(boss)
    home.member(organization, place.user, OrganizationRole.MEMBER)
    given, shared, hidden = (home.repository(organization, is_private=True) for _ in range(3))
    home.team_member(given, place.user, Permission.WRITE)
    home.collaborator(shared, place.user, Permission.READ)
    everything = ["pull", "push", "delete_tag", "edit_description", "administer"]

    wide = effective(place, place.create(("*/*", ["administer"])), "?page_size=100")
    assert verbs_by_name(wide) == {
        str(place.one): everything,
        str(place.two): everything,
        str(place.public): everything,
        str(given): ["pull", "push"],
        str(shared): ["pull"],
    }
    assert (wide["public"], wide["private"], wide["is_usable"], wide["count"]) == (["pull"], [], True, 5)

    created = place.create((place.one, ["push"]), (f"{organization}/*", ["administer"]), address_ranges=[BEHIND])
    narrow = effective(place, created)
    assert verbs_by_name(narrow) == {str(place.one): ["push"], str(given): ["pull", "push"], str(shared): ["pull"]}
    assert (narrow["public"], narrow["address_ranges"]) == ([], [BEHIND])
    assert str(hidden) not in verbs_by_name(narrow)
    run(home, "delete from repository_teams where repository_id = :id", id=home.repository_id(given))
    assert str(given) not in verbs_by_name(effective(place, created))

    docker = effective(place, place.create(scopes=["repo:public_read"]))
    assert verbs_by_name(docker) == {str(place.public): ["pull"]}


def test_effective_comes_in_pages_of_a_few_statements(place: Place) -> None:
    created = place.create(("*/*", ["pull"]))
    url = f"{TOKENS}/{created['uuid']}/effective"
    found: list[str] = []
    page: str | None = f"{url}?page_size=2"
    while page:
        answer = place.hub.get(page).json()
        found += [row["name"] for row in answer["results"]]
        page = answer["next"]
    assert found == [place.one.name, place.two.name, place.public.name]
    assert place.hub.get(f"{url}?page=9").status_code == 404
    few = count(place.home, place.hub.headers["authorization"], f"{url}?page_size=100")
    for _ in range(20):
        place.home.repository(place.user.name)
    assert count(place.home, place.hub.headers["authorization"], f"{url}?page_size=100") == few <= 5


def test_effective_is_told_to_the_token_itself_and_to_nobody_else(place: Place) -> None:
    created = place.create((place.one, ["pull"]))
    url = f"{TOKENS}/{created['uuid']}/effective"
    own = place.as_token(created)
    assert own.get(url).json() == place.hub.get(url).json()
    assert own.get(f"{url}/").status_code == 200
    assert place.home.hub(place.user, place.create(scopes=["repo:admin"])["token"]).get(url).status_code == 403
    stranger = place.home.hub(place.home.user())
    assert (stranger.get(url).status_code, "not found" in stranger.get(url).text) == (404, True)
    place.hub.patch(f"{TOKENS}/{created['uuid']}", json={"is_active": False})
    assert place.hub.get(url).json()["is_usable"] is False


def test_a_site_administrators_token_tells_of_all_others(home: Home) -> None:
    admin = home.user(is_site_admin=True)
    token, _ = home.access_token(admin, "repo:write")
    found = home.hub(admin).get(f"{TOKENS}/{token.uuid}/effective").json()
    assert (found["public"], found["private"]) == (["pull", "push"], ["pull", "push"])


def test_the_registry_gives_what_is_granted(place: Place) -> None:
    created = place.create((place.one, ["pull"]), (place.two, ["push"]))
    carried = [
        actions_of(place.home, (place.user.name, created["token"]), name)
        for name in (place.one, place.two, place.public)
    ]
    assert carried == [["pull"], ["push"], []]


def test_users_names_are_bound_too(place: Place) -> None:
    created = place.create((f"{place.user.name}/*", ["pull"]))
    other: User = place.home.user()
    run(
        place.home,
        "update repositories set namespace_id = (select id from accounts where name = :name) where id = :id",
        name=other.name,
        id=place.home.repository_id(place.one),
    )
    moved = RepositoryName(other.name, place.one.name)
    place.home.collaborator(moved, place.user, Permission.READ)
    assert place.hub.get(place.url(moved)).status_code == 200
    assert place.as_token(created).get(place.url(moved)).status_code == 404


def test_tokens_above_and_below_and_what_is_held_are_found_by_index(place: Place) -> None:
    parent = place.create((place.one, ["pull"]), can_derive=True)
    place.create((place.one, ["pull"]), client=place.as_token(parent))

    async def verb(tx: Transaction) -> None:
        account = await accounts.access_user(tx, place.user.name)
        actor = Actor.of(account)
        found = await access_tokens.effective(tx, actor=actor, uuid=parent["uuid"], offset=0, limit=10)
        await access_token_rows.list_lineage_by_secret(tx, "none")
        await access_token_rows.list_derived(tx, found.token.id)

    plans = plans_of(place.home, verb, must_scan=True)
    for plan in plans:
        assert not any(plan.scans(table) for table in ("access_tokens", "parents", "children", "repositories")), plan
