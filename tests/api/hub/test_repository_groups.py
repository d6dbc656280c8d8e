"""What groups (teams) may do to a repository."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from homeport.core import repository_teams
from homeport.core.access import OPERATOR
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole
from tests.api.hub.people import events
from tests.api.registry.test_statements import count
from tests.home import Home, unique
from tests.plans import assert_by_index, plans_of


class Scene:
    """An organization with a private repository, and a member who is in one of its teams."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner, self.member = home.user("owner"), home.user("member")
        self.organization = home.organization(self.owner)
        home.member(self.organization, self.member, OrganizationRole.MEMBER)
        self.name = home.repository(self.organization, is_private=True)
        self.hub, self.as_member = home.hub(self.owner), home.hub(self.member)
        self.team = unique("team")
        self.group_id = self.group(self.team)
        url = f"/v2/orgs/{self.organization}/groups/{self.team}/members"
        assert self.hub.post(url, json={"member": self.member.name}).status_code == 200
        self.path = f"/v2/repositories/{self.name}/groups"
        self._seen = len(events(home, self.organization))

    def group(self, name: str) -> int:
        made = self.hub.post(f"/v2/orgs/{self.organization}/groups", json={"name": name})
        assert made.status_code == 201, made.text
        id_ = made.json()["id"]
        assert isinstance(id_, int)
        return id_

    def events(self) -> list[str]:
        found = events(self.home, self.organization, after=self._seen)
        self._seen += len(found)
        return found

    def assign(self, permission: str, **more: Any) -> httpx.Response:
        return self.hub.post(self.path, json={"group_id": self.group_id, "permission": permission, **more})

    def seen(self) -> str:
        """What the member may do."""
        answer = self.as_member.get(f"/v2/repositories/{self.name}")
        if answer.status_code == 404:
            return ""
        return "".join(word[0] for word, allowed in answer.json()["permissions"].items() if allowed)


def paths(scene: Scene, tail: str = "") -> list[str]:
    namespace, name = scene.name
    both = (f"/v2/repositories/{scene.name}/groups", f"/v2/namespaces/{namespace}/repositories/{name}/groups")
    return [f"{path}{tail}{slash}" for path in both for slash in ("", "/")]


def test_a_group_is_given_a_permission_another_one_and_none(home: Home) -> None:
    scene = Scene(home)
    assert scene.seen() == ""
    for path, one in zip(paths(scene), paths(scene, f"/{scene.group_id}"), strict=True):
        # Clients send the name along, under each of these names.
        names = {"group_name": scene.team, "groupid": scene.group_id, "groupname": scene.team}
        answer = scene.hub.post(path, json={"group_id": scene.group_id, "permission": "read", **names})
        given = {"group_name": scene.team, "permission": "read", "group_id": scene.group_id}
        assert (answer.status_code, answer.json()) == (200, given)
        assert scene.seen() == "r"
        assert scene.hub.get(path).json() == {"count": 1, "next": None, "previous": None, "results": [given]}
        assert scene.hub.get(one).json() == given
        for permission, allowed in (("admin", "rwa"), ("write", "rw")):
            answer = scene.hub.patch(one, json={"permission": permission, "group_name": scene.team})
            assert (answer.status_code, answer.json()) == (200, {**given, "permission": permission})
            assert scene.seen() == allowed
        removed = scene.hub.delete(one)
        assert (removed.status_code, removed.content) == (204, b"")
        assert scene.seen() == ""
        assert scene.hub.get(path).json()["count"] == 0
        about = f"repository={scene.name} team={scene.team}"
        assert scene.events() == [
            *(
                f"org.team.grant {scene.organization} permission={permission} {about}"
                for permission in ("read", "admin", "write")
            ),
            f"org.team.revoke {scene.organization} permission=write {about}",
        ]


def test_what_a_group_has_already_is_changed_and_not_given_again(home: Home) -> None:
    scene = Scene(home)
    assert scene.assign("write").status_code == 200
    scene.events()
    for permission in ("write", "read"):
        answer = scene.assign(permission)
        message = f"team {scene.team} has a permission on {scene.name} already"
        assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert scene.seen() == "rw"
    same = scene.hub.patch(f"{scene.path}/{scene.group_id}", json={"permission": "write"})
    assert (same.status_code, same.json()["permission"]) == (200, "write")
    assert scene.events() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"permission": "read"}, "group_id"),
        ({"group_id": 1}, "permission"),
        ({"group_id": "1", "permission": "read"}, "group_id"),
        ({"group_id": 1, "permission": "owner"}, "permission"),
        ({"group_id": 2**70, "permission": "read"}, "group_id"),
    ],
)
def test_what_cannot_be_right_is_a_bad_request(home: Home, body: dict[str, Any], field: str) -> None:
    scene = Scene(home)
    answer = scene.hub.post(scene.path, json=body)
    assert answer.status_code == 400
    assert field in answer.text or body.get("group_id") == 2**70


def test_a_group_that_is_not_there_is_not_found(home: Home) -> None:
    scene, other = Scene(home), Scene(home)
    free = scene.group(unique("team"))
    assert scene.assign("read").status_code == 200
    for id_ in (other.group_id, 2**62, 0):
        answer = scene.hub.post(scene.path, json={"group_id": id_, "permission": "read"})
        assert (answer.status_code, answer.json()["message"]) == (404, f"team {id_} not found")
    for id_ in (other.group_id, free, 2**62):
        one = f"{scene.path}/{id_}"
        answers = [scene.hub.get(one), scene.hub.patch(one, json={"permission": "read"}), scene.hub.delete(one)]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert all("not found" in answer.json()["detail"] for answer in answers)
    assert scene.hub.get(f"{scene.path}/none").status_code == 404
    assert scene.hub.get(scene.path).json()["count"] == 1


def test_a_repository_of_a_user_has_no_groups(home: Home) -> None:
    owner = home.user()
    name = home.repository(owner.name)
    hub, path = home.hub(owner), f"/v2/repositories/{name}/groups"
    assert hub.get(path).json()["count"] == 0
    scene = Scene(home)
    assert hub.post(path, json={"group_id": scene.group_id, "permission": "read"}).status_code == 404


def test_editors_and_who_administers_the_repository_assign_groups(home: Home) -> None:
    scene = Scene(home)
    assert scene.as_member.get(scene.path).status_code == 404
    assert scene.assign("write").status_code == 200
    for answer in (
        scene.as_member.get(scene.path),
        scene.as_member.patch(f"{scene.path}/{scene.group_id}", json={"permission": "admin"}),
    ):
        assert answer.status_code == 403
    scene.hub.patch(f"{scene.path}/{scene.group_id}", json={"permission": "admin"})
    assert scene.as_member.get(scene.path).json()["count"] == 1
    editor = home.user()
    home.member(scene.organization, editor, OrganizationRole.EDITOR)
    assert home.hub(editor).delete(f"{scene.path}/{scene.group_id}").status_code == 204


@pytest.mark.parametrize(("scope", "status"), [("repo:admin", 200), ("repo:write", 403), ("repo:read", 403)])
def test_a_token_assigns_groups_with_the_scope_of_administration(home: Home, scope: str, status: int) -> None:
    scene = Scene(home)
    client = home.hub(scene.owner, home.access_token(scene.owner, scope)[1])
    answer = client.post(scene.path, json={"group_id": scene.group_id, "permission": "read"})
    assert answer.status_code == status
    assert (status == 403) == ("token issued from personal access token is not allowed" in answer.text)


def test_a_group_given_by_many_at_once_is_given_once(home: Home) -> None:
    scene = Scene(home)
    barrier = threading.Barrier(6)

    def assign(_: int) -> int:
        barrier.wait()
        return scene.assign("read").status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(assign, range(6))) == [200, *[400] * 5]
    assert len(scene.events()) == 1


def test_pages_of_groups_are_all_of_them_at_the_same_cost_and_by_an_index(home: Home) -> None:
    scene = Scene(home)
    ids = [scene.group_id, *(scene.group(unique("team")) for _ in range(6))]
    for id_ in ids:
        assert scene.hub.post(scene.path, json={"group_id": id_, "permission": "read"}).status_code == 200
    url: str | None = f"{scene.path}?page_size=3"
    seen = []
    while url:
        page = scene.hub.get(url).json()
        assert page["count"] == 7
        seen += [entry["group_id"] for entry in page["results"]]
        url = page["next"]
    assert seen == sorted(ids)
    assert scene.hub.get(f"{scene.path}?page_size=3&page=4").status_code == 404
    counts = [count(home, scene.hub.headers["authorization"], f"{scene.path}?page_size={size}") for size in (1, 100)]
    assert counts[0] == counts[1] <= 4

    async def verb(tx: Transaction) -> None:
        await repository_teams.list_page(tx, actor=OPERATOR, name=scene.name, page=1, page_size=2)
        await repository_teams.get_team(tx, actor=OPERATOR, name=scene.name, team_id=scene.group_id)
        await repository_teams.remove_team(tx, actor=OPERATOR, name=scene.name, team_id=scene.group_id)

    assert_by_index(plans_of(home, verb, must_scan=True), "repositories", "repository_teams", "teams")
