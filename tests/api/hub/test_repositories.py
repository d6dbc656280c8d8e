"""Repositories at the Hub API: listed, made, shown, changed, starred and deleted."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from homeport.core import accounts, repositories
from homeport.core.access import OPERATOR, Actor
from homeport.core.categories import CATEGORIES
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole, Permission, PlanName
from homeport.storage.db.repositories import Ordering
from homeport.storage.db.repository_types import SHOWN_LIMIT
from tests.api.hub.people import events, execute, value
from tests.api.hub.pushing import PLATFORM, Owned
from tests.api.registry.test_statements import count
from tests.conftest import DATABASES, NewHome
from tests.home import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Home,
    digest_of,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
    unique,
)
from tests.plans import assert_by_index, plans_of

NOT_THERE = {"message": "object not found", "detail": "Object not found"}


class Shelf:
    """A user with a namespace and a client of the Hub API."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.hub = home.hub(self.owner)
        self.path = f"/v2/namespaces/{self.owner.name}/repositories"
        self._seen = len(events(home, self.owner.name))

    def events(self) -> list[str]:
        """What is new in the owner's log since the last time."""
        found = events(self.home, self.owner.name, after=self._seen)
        self._seen += len(found)
        return found

    def create(self, name: str = "", **fields: Any) -> dict[str, Any]:
        answer = self.hub.post(self.path, json={"name": name or unique("repo"), **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def name(self, repository: str) -> RepositoryName:
        return RepositoryName(self.owner.name, repository)

    def names(self, client: httpx.Client | None = None, **query: str) -> list[str]:
        answer = (client or self.hub).get(self.path, params={"page_size": "100", **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["count"] == len(page["results"])
        return [entry["name"] for entry in page["results"]]


def both(namespace: str, name: str, tail: str = "") -> list[str]:
    """The paths of a repository, with a slash at the end and without."""
    paths = (f"/v2/namespaces/{namespace}/repositories/{name}{tail}", f"/v2/repositories/{namespace}/{name}{tail}")
    return [f"{path}{slash}" for path in paths for slash in ("", "/")]


# Making


def test_a_new_repository_is_shown_as_docker_hub_shows_it(home: Home) -> None:
    shelf = Shelf(home)
    made = shelf.create("app", description="What it does", full_description="# More", registry="docker.io")
    assert made == {
        "user": shelf.owner.name,
        "name": "app",
        "namespace": shelf.owner.name,
        "repository_type": None,
        "status": 1,
        "status_description": "active",
        "description": "What it does",
        "is_private": False,
        "is_automated": False,
        "star_count": 0,
        "pull_count": 0,
        "last_updated": made["date_registered"],
        "last_modified": None,
        "date_registered": made["date_registered"],
        "collaborator_count": 0,
        "affiliation": None,
        "hub_user": None,
        "has_starred": False,
        "full_description": "# More",
        "permissions": {"read": True, "write": True, "admin": True},
        "media_types": [],
        "content_types": [],
        "categories": [],
        "immutable_tags_settings": {"enabled": False, "rules": []},
        "storage_size": 0,
        "source": None,
    }
    for path in both(shelf.owner.name, "app"):
        assert shelf.hub.get(path).json() == made
        head = shelf.hub.head(path)
        assert (head.status_code, head.content) == (200, b"")
    assert shelf.events() == [f"repo.create {shelf.owner.name}/app privacy=public"]


def test_a_repository_is_made_by_each_path_with_a_slash_and_without(home: Home) -> None:
    shelf = Shelf(home)
    namespace = shelf.owner.name
    for path in (shelf.path, f"/v2/repositories/{namespace}", "/v2/repositories"):
        for slash in ("", "/"):
            name = unique("repo")
            body = {"name": name, "namespace": namespace, "is_private": True, "registry": "", "user": namespace}
            answer = shelf.hub.post(path + slash, json=body)
            assert answer.status_code == 201, answer.text
            assert (answer.json()["name"], answer.json()["is_private"]) == (name, True)
            assert home.anonymous.get(f"/v2/repositories/{namespace}/{name}").status_code == 404


def test_the_namespace_may_be_left_out_where_the_path_has_it(home: Home) -> None:
    shelf = Shelf(home)
    other = shelf.hub.post(shelf.path, json={"name": "app", "namespace": "library"})
    assert (other.status_code, other.json()["errinfo"]) == (400, {"namespace": "Must be the namespace of the path."})
    missing = shelf.hub.post("/v2/repositories/", json={"name": "app"})
    assert (missing.status_code, missing.json()["errinfo"]) == (400, {"namespace": "This field is required."})
    assert shelf.names() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a"}, "name"),
        ({"name": "A1"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "-ab"}, "name"),
        ({"name": "a" * 255}, "name"),
        ({"name": "app", "description": "x" * 101}, "description"),
        ({"name": "app", "full_description": "x" * 25_001}, "full_description"),
        ({"name": "app", "is_private": "true"}, "is_private"),
        ({"name": "app", "is_private": 1}, "is_private"),
    ],
)
def test_what_cannot_be_right_is_said_of_its_field(home: Home, body: dict[str, Any], field: str) -> None:
    shelf = Shelf(home)
    answer = shelf.hub.post(shelf.path, json=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message", "detail", "errinfo"}
    assert list(answer.json()["errinfo"]) == [field]
    assert field in answer.json()["message"]
    assert shelf.names() == []


def test_texts_may_be_as_long_as_they_may(home: Home) -> None:
    made = Shelf(home).create("app", description="é" * 100, full_description="é" * 25_000)
    assert (len(made["description"]), len(made["full_description"])) == (100, 25_000)


def test_a_name_that_is_taken_is_a_conflict(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app", description="first")
    answer = shelf.hub.post(shelf.path, json={"name": "app", "description": "second"})
    assert (answer.status_code, answer.json()["message"]) == (409, f"repository {shelf.owner.name}/app already exists")
    assert shelf.hub.get(f"{shelf.path}/app").json()["description"] == "first"


def test_of_many_who_make_the_same_repository_one_has_made_it(home: Home) -> None:
    shelf = Shelf(home)
    barrier = threading.Barrier(8)

    def make(_: int) -> int:
        barrier.wait()
        return shelf.hub.post(shelf.path, json={"name": "app"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(8))) == [201, *[409] * 7]
    assert shelf.events() == [f"repo.create {shelf.owner.name}/app privacy=public"]


def test_editors_make_repositories_and_members_do_not(home: Home) -> None:
    owner, editor, member = home.user(), home.user(), home.user()
    organization = home.organization(owner)
    home.member(organization, editor, OrganizationRole.EDITOR)
    home.member(organization, member, OrganizationRole.MEMBER)
    path = f"/v2/namespaces/{organization}/repositories"
    answers = [home.hub(user).post(path, json={"name": unique("repo")}) for user in (owner, editor, member)]
    assert [answer.status_code for answer in answers] == [201, 201, 403]


@pytest.mark.parametrize(("scope", "status"), [("repo:admin", 201), ("repo:write", 201), ("repo:read", 403)])
def test_a_token_makes_what_its_scope_lets_it(home: Home, scope: str, status: int) -> None:
    shelf = Shelf(home)
    client = home.hub(shelf.owner, home.access_token(shelf.owner, scope)[1])
    answer = client.post(shelf.path, json={"name": "app"})
    assert answer.status_code == status
    assert (status == 201) == ("token issued from personal access token is not allowed" not in answer.text)


@pytest.fixture(scope="module", params=DATABASES)
def limited(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """Where there is one private repository to an account, and texts are short."""
    table = {name: {"private_repositories": 1} for name in PlanName}
    variables = {
        "HOMEPORT_PLANS": msgspec.json.encode(table).decode(),
        "HOMEPORT_FULL_DESCRIPTION_LIMIT": "10",
    }
    with new_home(request.param, **variables) as running:
        yield running


def test_private_repositories_are_limited_by_the_plan_however_they_come_to_be(limited: Home) -> None:
    shelf = Shelf(limited)
    shelf.create("first", is_private=True)
    shelf.create("second")
    answers = [
        shelf.hub.post(shelf.path, json={"name": "third", "is_private": True}),
        shelf.hub.patch(f"{shelf.path}/second", json={"is_private": True}),
        shelf.hub.post(f"{shelf.path}/second/privacy", json={"is_private": True}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert all("private repositories" in answer.json()["message"] for answer in answers)
    # What is private already may stay so, and make room.
    assert shelf.hub.patch(f"{shelf.path}/first", json={"is_private": True, "description": "x"}).status_code == 200
    assert shelf.hub.patch(f"{shelf.path}/first", json={"is_private": False}).status_code == 200
    assert shelf.hub.patch(f"{shelf.path}/second", json={"is_private": True}).status_code == 200


def test_the_full_description_is_as_long_as_the_settings_say(limited: Home) -> None:
    shelf = Shelf(limited)
    shelf.create("app", full_description="x" * 10)
    for answer in (
        shelf.hub.post(shelf.path, json={"name": "other", "full_description": "x" * 11}),
        shelf.hub.patch(f"{shelf.path}/app", json={"full_description": "x" * 11}),
    ):
        assert (answer.status_code, answer.json()["errinfo"]) == (400, {"full_description": "At most 10 characters."})


# Listing


def test_a_list_shows_what_each_repository_shows_but_for_what_is_only_of_one(home: Home) -> None:
    shelf = Shelf(home)
    made = shelf.create("app", description="What it does")
    for path in (shelf.path, f"/v2/repositories/{shelf.owner.name}"):
        for slash in ("", "/"):
            page = shelf.hub.get(path + slash).json()
            (entry,) = page.pop("results")
            assert page == {"count": 1, "next": None, "previous": None}
            assert entry == {**{key: made[key] for key in entry}, "affiliation": ""}
            assert "full_description" not in entry


def test_a_namespace_that_is_not_there_has_no_repositories(home: Home) -> None:
    path = f"/v2/namespaces/{unique('nowhere')}/repositories"
    answer = home.anonymous.get(path)
    assert (answer.status_code, answer.json()) == (200, {"count": 0, "next": None, "previous": None, "results": []})
    assert home.anonymous.get(path, params={"page": 2}).status_code == 404


def test_a_namespace_that_was_shut_has_no_repositories(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    home.deactivate(shelf.owner)
    assert shelf.names(home.anonymous) == []
    assert home.anonymous.get(f"{shelf.path}/app").status_code == 404


ORDERS = {
    "name": ["a", "b", "c"],
    "-name": ["c", "b", "a"],
    "last_updated": ["b", "a", "c"],
    "-last_updated": ["c", "a", "b"],
    "pull_count": ["b", "c", "a"],
    "-pull_count": ["a", "c", "b"],
}


def test_lists_come_in_six_orders_and_the_newest_first_by_default(home: Home) -> None:
    shelf = Shelf(home)
    for name, pulls in (("c", 2), ("a", 3), ("b", 1)):
        shelf.create(f"{name}{name}")
        execute(
            home,
            """update repositories set pull_count = :pulls, name = :name
            where namespace_id = (select id from accounts where name = :namespace) and name = :full""",
            pulls=pulls,
            name=name,
            namespace=shelf.owner.name,
            full=name * 2,
        )
    assert {word: shelf.names(ordering=word) for word in ORDERS} == ORDERS
    assert shelf.names() == shelf.names(ordering="") == ORDERS["last_updated"]


def test_an_unknown_ordering_is_a_value_error(home: Home) -> None:
    answer = home.anonymous.get("/v2/namespaces/library/repositories", params={"ordering": "size"})
    text = "Invalid ordering value. Must be one of: name, -name, last_updated, -last_updated, pull_count, -pull_count"
    assert (answer.status_code, answer.json()) == (
        400,
        {"fields": {"ordering": [text]}, "text": "Invalid ordering value"},
    )


def test_pages_together_are_all_repositories_in_each_order(home: Home) -> None:
    shelf = Shelf(home)
    everything = {shelf.create()["name"] for _ in range(7)}
    execute(
        home,
        """update repositories set updated_at = 1, pull_count = 0
        where namespace_id = (select id from accounts where name = :name)""",
        name=shelf.owner.name,
    )
    for word in ORDERS:
        url: str | None = f"{shelf.path}?page_size=3&ordering={word}"
        seen = []
        while url:
            page = shelf.hub.get(url).json()
            assert page["count"] == 7
            seen += [entry["name"] for entry in page["results"]]
            url = page["next"]
        assert len(seen) == 7
        assert set(seen) == everything
    assert shelf.hub.get(shelf.path, params={"page": 4, "page_size": 3}).status_code == 404
    assert shelf.hub.get(shelf.path, params={"page": "9" * 30}).status_code == 404


def test_a_part_of_the_name_narrows_the_list(home: Home) -> None:
    shelf = Shelf(home)
    for name in ("web-app", "app_x", "other"):
        shelf.create(name)
    assert shelf.names(name="APP", ordering="name") == ["app_x", "web-app"]
    assert shelf.names(name="%") == []
    assert shelf.names(name="_") == ["app_x"]


def test_types_narrow_the_list_to_what_holds_any_of_them(home: Home) -> None:
    shelf = Shelf(home)
    registry = home.registry(shelf.owner, shelf.name("image"), shelf.name("chart"))
    push_image(registry, shelf.name("image"), "1", text=unique("x"))
    config = b"{}"
    push_blob(registry, shelf.name("chart"), config)
    chart = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.cncf.helm.config.v1+json",
                "digest": digest_of(config),
                "size": len(config),
            },
            "layers": [],
        }
    )
    assert put_manifest(registry, shelf.name("chart"), "1", chart).status_code == 201
    shelf.create("empty")
    assert shelf.names(content_types="image") == ["image"]
    assert shelf.names(content_types="helm,model", ordering="name") == ["chart"]
    assert shelf.names(content_types="helm,image", ordering="name") == ["chart", "image"]
    assert shelf.names(media_types=OCI_CONFIG) == ["image"]
    assert shelf.names(media_types=OCI_CONFIG, content_types="helm") == []
    assert shelf.names(media_types=",", ordering="name") == ["chart", "empty", "image"]


def test_a_list_holds_just_what_one_may_see(home: Home) -> None:
    """For each who asks: a repository is in the list if and only if it is shown by itself."""
    owner = home.user("owner")
    organization = home.organization(owner)
    people = {name: home.user() for name in ("stranger", "editor", "member", "team", "collaborator", "left")}
    for name, role in (("editor", "editor"), ("member", "member"), ("team", "member"), ("left", "member")):
        home.member(organization, people[name], OrganizationRole(role))
    repositories_ = [home.repository(organization, is_private=is_private) for is_private in (True, True, True, False)]
    home.team_member(repositories_[0], people["team"], Permission.READ)
    home.team_member(repositories_[0], people["left"], Permission.READ)
    home.collaborator(repositories_[1], people["collaborator"], Permission.READ)
    # Out of the organization, and by an old mistake still in its team.
    execute(
        home,
        "delete from organization_members where account_id = (select id from accounts where name = :name)",
        name=people["left"].name,
    )
    clients = {name: home.hub(user) for name, user in people.items()}
    clients |= {"owner": home.hub(owner), "anonymous": home.anonymous, "site": home.hub(home.admin)}
    for scope in ("admin", "write", "read", "public_read"):
        clients[scope] = home.hub(owner, home.access_token(owner, f"repo:{scope}")[1])
    path = f"/v2/namespaces/{organization}/repositories"
    seen = {}
    for who, client in clients.items():
        listed = [entry["name"] for entry in client.get(path, params={"ordering": "name"}).json()["results"]]
        shown = [name.name for name in repositories_ if client.get(f"{path}/{name.name}").status_code == 200]
        assert sorted(listed) == sorted(shown), who
        seen[who] = len(listed)
    assert seen == {
        **dict.fromkeys(("owner", "site", "editor", "admin", "write", "read"), 4),
        **dict.fromkeys(("team", "collaborator"), 2),
        **dict.fromkeys(("anonymous", "stranger", "member", "left", "public_read"), 1),
    }


# Showing


def test_permissions_are_those_of_the_caller(home: Home) -> None:
    owner, reader, writer, stranger = (home.user() for _ in range(4))
    organization = home.organization(owner)
    name = home.repository(organization)
    home.collaborator(name, reader, Permission.READ)
    home.collaborator(name, writer, Permission.WRITE)
    path = f"/v2/repositories/{name}/"

    def seen(client: httpx.Client) -> str:
        info = client.get(path).json()
        assert info["collaborator_count"] == 2
        return "".join(word[0] for word, allowed in info["permissions"].items() if allowed)

    by_token = home.hub(owner, home.access_token(owner, "repo:write")[1])
    clients = [home.hub(user) for user in (owner, reader, writer, stranger)]
    assert [seen(client) for client in (*clients, home.anonymous, by_token)] == ["rwa", "r", "rw", "r", "r", "rw"]


def test_a_repository_that_is_not_there_and_one_that_is_not_shown_are_the_same(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("hidden", is_private=True)
    stranger = home.hub(home.user())
    for name in ("hidden", "nothing"):
        for path in both(shelf.owner.name, name):
            for client in (stranger, home.anonymous):
                answer = client.get(path)
                errinfo = {"namespace": shelf.owner.name, "repository": name}
                assert (answer.status_code, answer.json()) == (404, {**NOT_THERE, "errinfo": errinfo})
            changes = [
                stranger.patch(path, json={"description": "x"}),
                stranger.delete(path),
                stranger.post(f"{path.rstrip('/')}/stars", json={}),
                stranger.get(f"{path.rstrip('/')}/groups"),
            ]
            assert [answer.status_code for answer in changes] == [404] * 4


def test_what_is_in_a_repository_is_told(home: Home) -> None:
    repository = Owned(home)
    path = f"/v2/repositories/{repository.name}/"

    def told() -> tuple[str | None, list[str], list[str]]:
        info = home.anonymous.get(path).json()
        return info["repository_type"], info["content_types"], info["media_types"]

    helm = "application/vnd.cncf.helm.config.v1+json"
    plugin = "application/vnd.docker.plugin.v1+json"
    image = repository.image("1.0")
    assert told() == ("image", ["image"], [OCI_CONFIG])
    repository.index("multi", (image, PLATFORM))
    repository.image("2.0", layers=[b"two"])
    assert told() == ("image", ["image"], [OCI_CONFIG, OCI_INDEX])
    chart = repository.image("chart", config_type=helm)
    added = repository.image("plugin", config_type=plugin)
    assert told() == ("image", ["helm", "image", "plugin"], [helm, plugin, OCI_CONFIG, OCI_INDEX])
    for pushed in (chart, added):
        assert repository.client.delete(f"/v2/{repository.name}/manifests/{pushed.digest}").status_code == 202
    # The second image is still there.
    assert repository.client.delete(f"/v2/{repository.name}/manifests/{image.digest}").status_code == 202
    assert told() == ("image", ["image"], [OCI_CONFIG, OCI_INDEX])


def test_a_repository_of_plugins_alone_is_one_of_plugins(home: Home) -> None:
    repository = Owned(home)
    repository.image("1.0", config_type="application/vnd.docker.plugin.v1+json")
    assert home.anonymous.get(f"/v2/repositories/{repository.name}/").json()["repository_type"] == "plugin"


def test_types_without_number_and_of_any_length_break_nothing(home: Home) -> None:
    repository = Owned(home)
    for number in range(SHOWN_LIMIT + 3):
        repository.image(f"t{number}", config_type=f"application/vnd.example.{number:03d}")
    pushed = repository.image("long", config_type="a" * 100_000)
    path = f"/v2/repositories/{repository.name}/"
    info = home.anonymous.get(path).json()
    expected = ["a" * 255, *(f"application/vnd.example.{number:03d}" for number in range(SHOWN_LIMIT - 1))]
    assert info["media_types"] == expected
    assert info["content_types"] == ["unrecognized"]
    assert repository.client.delete(f"/v2/{repository.name}/manifests/{pushed.digest}").status_code == 202
    assert home.anonymous.get(path).json()["media_types"][0] == "application/vnd.example.000"


def test_the_size_is_of_distinct_blobs_and_manifests(home: Home) -> None:
    repository = Owned(home)
    path = f"/v2/repositories/{repository.name}/"

    def size() -> int:
        found = home.anonymous.get(path).json()["storage_size"]
        assert isinstance(found, int)
        return found

    config = len(msgspec.json.encode(PLATFORM))
    first = repository.image("1.0", layers=[b"shared", b"first"])
    expected = config + len(b"shared") + len(b"first") + first.size
    assert size() == expected
    repository.image("1.0", layers=[b"shared", b"first"])
    repository.image("again", layers=[b"shared", b"first"])
    assert size() == expected
    second = repository.image("2.0", layers=[b"shared", b"second one"])
    expected += len(b"second one") + second.size
    assert size() == expected
    listed = home.anonymous.get(f"/v2/repositories/{repository.name.namespace}/").json()["results"]
    assert [entry["storage_size"] for entry in listed] == [expected]
    assert repository.client.delete(f"/v2/{repository.name}/manifests/2.0").status_code == 202
    assert size() == expected
    assert repository.client.delete(f"/v2/{repository.name}/manifests/{second.digest}").status_code == 202
    expected -= second.size
    assert size() == expected
    blob = f"/v2/{repository.name}/blobs/{digest_of(b'second one')}"
    assert repository.client.delete(blob).status_code == 202
    assert size() == expected - len(b"second one")
    # What came for no manifest yet counts with the next one.
    push_blob(repository.client, repository.name, b"second one")
    assert size() == expected - len(b"second one")
    repository.image("1.0", layers=[b"shared", b"first"])
    assert size() == expected


def test_a_push_and_a_delete_are_updates(home: Home) -> None:
    shelf = Shelf(home)
    made = shelf.create("app")
    moments = [made["last_updated"]]

    def now() -> None:
        info = shelf.hub.get(f"{shelf.path}/app").json()
        assert (info["date_registered"], info["last_modified"]) == (made["date_registered"], None)
        moments.append(info["last_updated"])

    registry = home.registry(shelf.owner, shelf.name("app"))
    content = push_image(registry, shelf.name("app"), "1.0", text=unique("x"))
    now()
    assert put_manifest(registry, shelf.name("app"), "1.0", content).status_code == 201
    now()
    for reference in ("1.0", digest_of(content)):
        assert registry.delete(f"/v2/{shelf.name('app')}/manifests/{reference}").status_code == 202
        now()
    assert moments == sorted(set(moments))


# Changing


def test_what_is_given_is_changed_and_the_rest_stays(home: Home) -> None:
    shelf = Shelf(home)
    made = shelf.create("app", description="old", full_description="old and long")
    shelf.events()
    for number, path in enumerate(both(shelf.owner.name, "app")):
        answer = shelf.hub.patch(path, json={"full_description": f"new {number}", "registry": "docker.io"})
        assert answer.status_code == 200
        changed = answer.json()
        assert changed["last_modified"] > made["date_registered"]
        expected = {"full_description": f"new {number}", "last_modified": changed["last_modified"]}
        assert changed == {**made, **expected}
        assert shelf.hub.get(path).json() == changed
    emptied = shelf.hub.patch(f"{shelf.path}/app", json={"description": "", "full_description": None, "status": 0})
    assert [emptied.json()[key] for key in ("description", "full_description", "status", "status_description")] == [
        "",
        "new 3",
        0,
        "inactive",
    ]
    name = f"{shelf.owner.name}/app"
    assert shelf.events() == [
        *[f"repo.update {name} fields=full description"] * 4,
        f"repo.update {name} fields=description, status",
    ]


def test_what_is_so_already_is_no_change(home: Home) -> None:
    shelf = Shelf(home)
    made = shelf.create("app", description="as it is")
    shelf.events()
    for answer in (
        shelf.hub.patch(f"{shelf.path}/app", json={}),
        shelf.hub.patch(f"{shelf.path}/app", json={"description": "as it is", "status": 1, "is_private": False}),
        shelf.hub.post(f"{shelf.path}/app/privacy", json={"is_private": False}),
        shelf.hub.patch(f"{shelf.path}/app/categories", json=[]),
    ):
        assert (answer.status_code, answer.json()) == (200, made)
    assert shelf.events() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"description": "x" * 101}, "description"),
        ({"full_description": "x" * 25_001}, "full_description"),
        ({"status": 2}, "status"),
        ({"status": "1"}, "status"),
        ({"status": True}, "status"),
        ({"is_private": "false"}, "is_private"),
        ({"description": 1}, "description"),
    ],
)
def test_a_change_that_cannot_be_right_is_said_of_its_field(home: Home, body: dict[str, Any], field: str) -> None:
    shelf = Shelf(home)
    made = shelf.create("app")
    answer = shelf.hub.patch(f"{shelf.path}/app", json={"full_description": "new", **body})
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, [field])
    assert shelf.hub.get(f"{shelf.path}/app").json() == made


def test_privacy_is_changed_by_its_own_path_and_holds_at_once(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    registry = home.registry(shelf.owner, shelf.name("app"))
    push_image(registry, shelf.name("app"), "1.0", text=unique("x"))
    nobody = home.registry(None, shelf.name("app"))
    manifest = f"/v2/{shelf.name('app')}/manifests/1.0"
    assert nobody.get(manifest).status_code == 200
    shelf.events()
    for path in both(shelf.owner.name, "app", "/privacy"):
        for is_private in (True, False):
            answer = shelf.hub.post(path, json={"is_private": is_private})
            assert (answer.status_code, answer.json()["is_private"]) == (200, is_private)
            status = home.anonymous.get(f"/v2/repositories/{shelf.name('app')}/").status_code
            assert (status, nobody.get(manifest).status_code) == ((404, 404) if is_private else (200, 200))
    name = shelf.name("app")
    assert (
        shelf.events()
        == [
            f"repo.change_privacy {name} privacy=private",
            f"repo.change_privacy {name} privacy=public",
        ]
        * 4
    )
    assert shelf.hub.post(f"{shelf.path}/app/privacy", json={"is_private": None}).status_code == 400


def test_categories_are_of_a_list_and_at_most_three(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    known = home.anonymous.get("/v2/categories").json()
    assert known == [{"name": category.name, "slug": category.slug} for category in CATEGORIES]
    path = f"{shelf.path}/app/categories"
    chosen = [known[2], known[0], known[2], known[1]]
    shelf.events()
    assert shelf.hub.patch(path, json=chosen).json()["categories"] == [known[2], known[0], known[1]]
    for wrong in (known[:4], [{"slug": "cooking"}], [{"slug": known[0]["name"]}], ["security"], {"slug": "security"}):
        assert shelf.hub.patch(path, json=wrong).status_code == 400
    (entry,) = shelf.hub.get(shelf.path).json()["results"]
    assert entry["categories"] == [known[2], known[0], known[1]]
    assert shelf.hub.patch(path, json=[]).json()["categories"] == []
    slugs = ", ".join(category["slug"] for category in (known[2], known[0], known[1]))
    assert shelf.events() == [
        f"repo.category.updated {shelf.name('app')} categories={slugs}",
        f"repo.category.updated {shelf.name('app')} categories=none",
    ]


def test_changes_at_the_same_time_are_all_there_afterwards(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    shelf.events()
    bodies = [{"description": "one"}, {"full_description": "two"}, {"status": 0}, {"is_private": True}] * 2
    barrier = threading.Barrier(len(bodies))

    def change(body: dict[str, Any]) -> int:
        barrier.wait()
        return shelf.hub.patch(f"{shelf.path}/app", json=body).status_code

    with ThreadPoolExecutor(len(bodies)) as pool:
        assert set(pool.map(change, bodies)) == {200}
    info = shelf.hub.get(f"{shelf.path}/app").json()
    assert [info[key] for key in ("description", "full_description", "status", "is_private")] == ["one", "two", 0, True]
    assert len(shelf.events()) == 4


def test_who_writes_changes_nothing_of_a_repository(home: Home) -> None:
    owner, writer = home.user(), home.user()
    name = home.repository(owner.name)
    home.collaborator(name, writer, Permission.WRITE)
    path = f"/v2/repositories/{name}/"
    by_token = home.hub(owner, home.access_token(owner, "repo:write")[1])
    for client, text in ((home.hub(writer), "requested access"), (by_token, "token issued from personal access token")):
        answer = client.patch(path, json={"description": "x"})
        assert answer.status_code == 403
        assert text in answer.json()["message"]
    assert home.hub(owner, home.access_token(owner)[1]).patch(path, json={"description": "x"}).status_code == 200


# Stars


def test_a_star_counts_once_and_stands_in_the_users_own_log(home: Home) -> None:
    shelf, fan = Shelf(home), home.user("fan")
    shelf.create("app")
    shelf.events()
    as_fan = home.hub(fan)
    before = len(events(home, fan.name))

    def seen(client: httpx.Client) -> tuple[int, bool]:
        info = client.get(f"{shelf.path}/app").json()
        return info["star_count"], info["has_starred"]

    for path in both(shelf.owner.name, "app", "/stars"):
        for _ in range(2):
            answer = as_fan.post(path, json={})
            assert (answer.status_code, answer.json()) == (200, {})
            assert (seen(as_fan), seen(shelf.hub), seen(home.anonymous)) == ((1, True), (1, False), (1, False))
        assert shelf.hub.get(shelf.path).json()["results"][0]["star_count"] == 1
        for _ in range(2):
            assert as_fan.delete(path).status_code == 204
            assert (seen(as_fan), seen(shelf.hub)) == ((0, False), (0, False))
    name = shelf.name("app")
    assert events(home, fan.name, after=before) == [f"user.star.add {name}", f"user.star.remove {name}"] * 4
    assert shelf.events() == []


def test_stars_given_at_the_same_time_are_all_counted(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    clients = [home.hub(home.user()) for _ in range(6)]

    def star(client: httpx.Client) -> int:
        return client.post(f"{shelf.path}/app/stars").status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(star, clients * 2)) == {200}
    assert shelf.hub.get(f"{shelf.path}/app").json()["star_count"] == 6


# Deleting


def test_a_deleted_repository_is_gone_with_all_that_was_in_it(home: Home) -> None:
    owner, member = home.user(), home.user()
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.MEMBER)
    as_owner = home.hub(owner)
    for path in both(organization, "app"):
        name = RepositoryName(organization, "app")
        registry = home.registry(owner, name)
        content = push_image(registry, name, "1.0", "latest", text=unique("x"))
        assert registry.post(f"/v2/{name}/blobs/uploads/").status_code == 202
        home.team_member(name, member, Permission.WRITE)
        home.collaborator(name, home.user(), Permission.READ)
        assert as_owner.post(f"/v2/repositories/{name}/stars").status_code == 200
        before = len(events(home, organization))
        id_ = home.repository_id(name)
        answer = as_owner.delete(path)
        assert (answer.status_code, answer.content) == (202, b"")
        assert events(home, organization, after=before) == [f"repo.delete {name}"]
        for table in (
            *("manifests", "manifest_references", "tags", "tag_moves", "tag_stretches", "uploads"),
            *("repository_blobs", "repository_teams", "repository_collaborators", "repository_stars"),
            "repository_types",
        ):
            assert value(home, f"select count(*) from {table} where repository_id = :id", id=id_) == 0, table
        for gone in (
            as_owner.get(path),
            as_owner.delete(path),
            as_owner.get(f"/v2/repositories/{name}/tags"),
        ):
            assert (gone.status_code, gone.json()["message"]) == (404, "object not found")
        assert registry.get(f"/v2/{name}/manifests/{digest_of(content)}").status_code == 404
        # Its name is free, and what is made under it is new.
        assert as_owner.post(f"/v2/repositories/{organization}/", json={"name": "app"}).status_code == 201
        info = as_owner.get(path).json()
        assert (info["star_count"], info["storage_size"], info["collaborator_count"]) == (0, 0, 0)
        assert home.hub(member).get(path).json()["permissions"]["write"] is False
        assert as_owner.delete(path).status_code == 202


def test_other_repositories_keep_what_they_share_with_a_deleted_one(home: Home) -> None:
    shelf = Shelf(home)
    first, second = shelf.name("first"), shelf.name("second")
    registry = home.registry(shelf.owner, first, second)
    content = push_image(registry, first, "1.0", text="shared")
    layer = digest_of(b"layer shared")
    push_image(registry, second, "1.0", text="shared")
    assert shelf.hub.delete(f"{shelf.path}/first").status_code == 202
    assert registry.get(f"/v2/{second}/manifests/1.0").content == content
    assert registry.get(f"/v2/{second}/blobs/{layer}").content == b"layer shared"


def test_a_token_for_a_deleted_repository_opens_no_later_one_of_its_name(home: Home) -> None:
    shelf = Shelf(home)
    name = shelf.name("app")
    shelf.create("app")
    old = home.registry(shelf.owner, name)
    content = push_image(old, name, "1.0", text=unique("x"))
    assert shelf.hub.delete(f"{shelf.path}/app").status_code == 202
    # Neither does it make the next one.
    assert put_manifest(old, name, "1.0", content).status_code == 403
    for is_private in (True, False):
        shelf.create("app", is_private=is_private)
        assert old.get(f"/v2/{name}/tags/list").status_code == 404
        assert put_manifest(old, name, "1.0", content).status_code == 403
        assert old.post(f"/v2/{name}/blobs/uploads/").status_code == 403
        assert old.delete(f"/v2/{name}/manifests/1.0").status_code in (403, 404)
        assert shelf.hub.delete(f"{shelf.path}/app").status_code == 202
    shelf.create("app")
    assert home.registry(shelf.owner, name).get(f"/v2/{name}/tags/list").status_code == 200


def test_a_name_stays_with_its_owner(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    assert shelf.hub.delete(f"{shelf.path}/app").status_code == 202
    stranger = home.user()
    assert home.hub(stranger).post(shelf.path, json={"name": "app"}).status_code == 403
    assert home.registry(stranger, shelf.name("app")).post(f"/v2/{shelf.name('app')}/blobs/uploads/").status_code == 401


def test_who_writes_deletes_no_repository(home: Home) -> None:
    owner, writer = home.user(), home.user()
    name = home.repository(owner.name)
    home.collaborator(name, writer, Permission.WRITE)
    path = f"/v2/repositories/{name}/"
    assert home.hub(writer).delete(path).status_code == 403
    assert home.hub(owner, home.access_token(owner, "repo:write")[1]).delete(path).status_code == 403
    assert home.hub(owner).get(path).status_code == 200


def test_a_push_while_its_repository_is_deleted_is_whole_or_not_at_all(home: Home) -> None:
    shelf = Shelf(home)
    name = shelf.name("app")
    for _ in range(5):
        shelf.create("app")
        registry = home.registry(shelf.owner, name)
        push_image(registry, name, "old", text=unique("x"))
        barrier = threading.Barrier(4)

        def push(number: int, registry: httpx.Client = registry, barrier: threading.Barrier = barrier) -> set[int]:
            statuses = set()
            barrier.wait()
            for tag in range(5):
                text = f"{number} {tag}"
                content = msgspec.json.encode(
                    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": {"text": text}}
                )
                statuses.add(put_manifest(registry, name, f"t{number}-{tag}", content, OCI_INDEX).status_code)
                statuses.add(registry.post(f"/v2/{name}/blobs/uploads/").status_code)
            return statuses

        with ThreadPoolExecutor(4) as pool:
            pushes = [pool.submit(push, number) for number in range(3)]
            barrier.wait()
            assert shelf.hub.delete(f"{shelf.path}/app").status_code == 202
            statuses = set().union(*(done.result() for done in pushes))
        # Before it, after it with a token that opens it no more, or caught in between.
        assert statuses <= {201, 202, 403, 404, 503}
        assert shelf.hub.get(f"{shelf.path}/app").status_code == 404


def test_deleting_twice_at_once_deletes_once(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    shelf.events()
    barrier = threading.Barrier(4)

    def delete(_: int) -> int:
        barrier.wait()
        return shelf.hub.delete(f"{shelf.path}/app").status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(delete, range(4))) == [202, 404, 404, 404]
    assert shelf.events() == [f"repo.delete {shelf.name('app')}"]


# What it costs


@pytest.mark.parametrize("query", ["", "&name=r", "&content_types=image&media_types=x", "&ordering=name"])
def test_a_list_costs_the_same_statements_whatever_its_length(home: Home, query: str) -> None:
    shelf = Shelf(home)
    for _ in range(12):
        shelf.create()
    authorization = shelf.hub.headers["authorization"]
    counts = [count(home, authorization, f"{shelf.path}?page_size={size}{query}") for size in (1, 100)]
    assert counts[0] == counts[1] <= 4


def test_a_repository_costs_a_few_statements(home: Home) -> None:
    shelf = Shelf(home)
    shelf.create("app")
    assert count(home, shelf.hub.headers["authorization"], f"{shelf.path}/app") <= 3


@pytest.mark.parametrize("ordering", list(Ordering))
def test_lists_are_read_by_an_index_in_each_order(home: Home, ordering: Ordering) -> None:
    owner, member = home.user(), home.user()
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.MEMBER)
    for _ in range(3):
        home.repository(organization)

    async def actors(services: Services) -> list[Actor]:
        async with services.db.read() as tx:
            return [Actor.of(await accounts.access_user(tx, user.name)) for user in (owner, member)]

    for actor in (*home.run(actors), Actor()):
        for is_descending in (True, False):
            order = repositories.RepositoryOrder(ordering, is_descending=is_descending)

            async def verb(tx: Transaction, actor: Actor = actor, order: repositories.RepositoryOrder = order) -> None:
                await repositories.list_page(
                    tx, actor=actor, namespace=organization, order=order, page=1, page_size=2, content_types=["image"]
                )
                await repositories.list_page(tx, actor=actor, namespace=organization, order=order, page=1, page_size=2)

            tables = ("repositories", "accounts", "repository_types", "repository_teams", "repository_collaborators")
            assert_by_index(plans_of(home, verb, must_scan=True), *tables)


def test_a_repository_is_read_and_deleted_by_indexes(home: Home) -> None:
    name = home.repository("admin")

    async def verb(tx: Transaction) -> None:
        await repositories.get_repository(tx, actor=OPERATOR, name=name)
        await repositories.delete_repository(tx, actor=OPERATOR, name=name)

    tables = ("repositories", "accounts", "repository_stars", "repository_collaborators")
    assert_by_index(plans_of(home, verb, must_scan=True), *tables)


def test_an_index_that_is_empty_still_makes_an_image_of_its_repository(home: Home) -> None:
    shelf = Shelf(home)
    registry = home.registry(shelf.owner, shelf.name("app"))
    assert put_manifest(registry, shelf.name("app"), "1.0", index_manifest(), OCI_INDEX).status_code == 201
    info = shelf.hub.get(f"{shelf.path}/app").json()
    assert (info["repository_type"], info["content_types"]) == ("image", ["image"])
