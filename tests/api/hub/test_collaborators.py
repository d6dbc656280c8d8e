"""Collaborators of a repository, and where one may make repositories."""

from typing import Any

import httpx

from homeport.core import collaborators
from homeport.core.access import OPERATOR
from homeport.names import RepositoryName
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole, Permission
from tests.api.hub.people import events, execute
from tests.api.registry.test_statements import count
from tests.home import Home
from tests.plans import assert_by_index, plans_of


class Scene:
    """A user's private repository."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner, self.guest = home.user("owner"), home.user("guest")
        self.hub = home.hub(self.owner)
        self.name = home.repository(self.owner.name, is_private=True)
        self.path = f"/v2/repositories/{self.name}/collaborators"

    def paths(self, tail: str = "") -> list[str]:
        namespace, name = self.name
        both = (self.path, f"/v2/namespaces/{namespace}/repositories/{name}/collaborators")
        return [f"{path}{tail}{slash}" for path in both for slash in ("", "/")]


def permissions(client: httpx.Client, name: RepositoryName) -> str:
    answer = client.get(f"/v2/repositories/{name}")
    allowed: dict[str, Any] = answer.json().get("permissions", {})
    return "".join(word[0] for word, may in allowed.items() if may)


def test_a_collaborator_may_write_until_they_are_one_no_more(home: Home) -> None:
    scene = Scene(home)
    as_guest = home.hub(scene.guest)
    seen = len(events(home, scene.owner.name))
    for path, one in zip(scene.paths(), scene.paths(f"/{scene.guest.name}"), strict=True):
        assert permissions(as_guest, scene.name) == ""
        for name in (scene.guest.name, scene.guest.name.upper()):
            answer = scene.hub.post(path, json={"user": name})
            assert (answer.status_code, answer.json()) == (200, {"user": scene.guest.name})
        assert permissions(as_guest, scene.name) == "rw"
        listed = scene.hub.get(path).json()
        assert listed == {"count": 1, "next": None, "previous": None, "results": [{"user": scene.guest.name}]}
        assert scene.hub.get(f"/v2/repositories/{scene.name}").json()["collaborator_count"] == 1
        removed = scene.hub.delete(one)
        assert (removed.status_code, removed.content) == (204, b"")
        assert scene.hub.delete(one).status_code == 404
    about = f"{scene.name} {{}}user={scene.guest.name}"
    assert events(home, scene.owner.name, after=seen) == [
        f"repo.collaborator.add {about.format('permission=write ')}",
        f"repo.collaborator.remove {about.format('')}",
    ] * len(scene.paths())


def test_who_has_a_permission_keeps_it(home: Home) -> None:
    scene = Scene(home)
    home.collaborator(scene.name, scene.guest, Permission.ADMIN)
    seen = len(events(home, scene.owner.name))
    assert scene.hub.post(scene.path, json={"user": scene.guest.name}).status_code == 200
    assert permissions(home.hub(scene.guest), scene.name) == "rwa"
    assert events(home, scene.owner.name, after=seen) == []


def test_a_user_that_is_not_there_is_not_found(home: Home) -> None:
    scene = Scene(home)
    organization = home.organization(scene.owner)
    for name in ("nobody-at-all", organization, ""):
        answer = scene.hub.post(scene.path, json={"user": name})
        assert answer.status_code == 404
        assert "not found" in answer.json()["message"]
    for body in ({}, {"user": 1}, {"user": None}):
        assert list(scene.hub.post(scene.path, json=body).json()["errinfo"]) == ["user"]
    assert scene.hub.delete(f"{scene.path}/{scene.guest.name}").status_code == 404
    assert scene.hub.get(scene.path).json()["count"] == 0


def test_pages_of_collaborators_are_all_of_them_at_the_same_cost_and_by_an_index(home: Home) -> None:
    scene = Scene(home)
    users = [home.user().name for _ in range(5)]
    for name in users:
        assert scene.hub.post(scene.path, json={"user": name}).status_code == 200
    url: str | None = f"{scene.path}?page_size=2"
    found: list[str] = []
    while url:
        page = scene.hub.get(url).json()
        found += [entry["user"] for entry in page["results"]]
        url = page["next"]
    assert found == users
    assert scene.hub.get(f"{scene.path}?page_size=2&page=4").status_code == 404
    authorization = scene.hub.headers["authorization"]
    counts = [count(home, authorization, f"{scene.path}?page_size={size}") for size in (1, 100)]
    assert counts[0] == counts[1] <= 4

    async def verb(tx: Transaction) -> None:
        await collaborators.list_page(tx, actor=OPERATOR, name=scene.name, page=1, page_size=2)
        await collaborators.remove_collaborator(tx, actor=OPERATOR, name=scene.name, user=users[0])

    assert_by_index(plans_of(home, verb, must_scan=True), "repositories", "repository_collaborators", "accounts")


def test_one_may_make_repositories_in_ones_own_namespace_and_where_one_owns_or_edits(home: Home) -> None:
    user, owner = home.user(), home.user()
    owned, edited, joined, shut = home.organization(user), *(home.organization(owner) for _ in range(3))
    home.member(edited, user, OrganizationRole.EDITOR)
    home.member(joined, user, OrganizationRole.MEMBER)
    home.member(shut, user, OrganizationRole.OWNER)
    execute(home, "update accounts set is_active = false where name = :name", name=shut)

    def namespaces(secret: str | None = None) -> list[str]:
        answer = home.hub(user, secret).get("/v2/repositories/namespaces/")
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["namespaces"]
        return found

    assert namespaces() == sorted([user.name, owned, edited])
    assert namespaces(home.access_token(user, "repo:write")[1]) == sorted([user.name, owned, edited])
    assert namespaces(home.access_token(user, "repo:read")[1]) == []
    assert home.anonymous.get("/v2/repositories/namespaces").status_code == 401
