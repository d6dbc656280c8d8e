"""The teams of an organization, which the Hub API calls groups."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from homeport.core import teams
from homeport.core.access import OPERATOR
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole, Permission
from tests.api.hub.people import events, execute, invite, many_members, person, value
from tests.api.registry.test_statements import count
from tests.home import Home, User, push_image, unique
from tests.plans import assert_by_index, plans_of

FIELDS = ["id", "uuid", "name", "description", "member_count", "role"]
MEMBER_FIELDS = [
    "id",
    "company",
    "date_joined",
    "full_name",
    "gravatar_email",
    "gravatar_url",
    "location",
    "profile_url",
    "type",
    "username",
]
NOT_FOUND = b'{"detail": "Not found"}'
TOKEN_NOT_ALLOWED = b'{"message":"token issued from personal access token is not allowed","errinfo":{}}'
HUB_TOOL = {"user-agent": "hub-tool/v0.4.6"}


class Scene:
    """An organization with an owner, an editor and a member, and a team `devs` that the member is in."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner, self.editor, self.member = home.user("owner"), home.user("editor"), home.user("member")
        self.organization = home.organization(self.owner)
        home.member(self.organization, self.editor, OrganizationRole.EDITOR)
        home.member(self.organization, self.member, OrganizationRole.MEMBER)
        self.as_owner, self.as_editor, self.as_member = (
            home.hub(user) for user in (self.owner, self.editor, self.member)
        )
        self.path = f"/v2/orgs/{self.organization}/groups"
        self.devs = f"{self.path}/devs"
        self.owners = f"{self.path}/owners"
        self.create("devs", description="who develops")
        self.add(self.devs, self.member)
        self._seen = len(events(home, self.organization))

    def create(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.as_owner.post(self.path, json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def add(self, group: str, user: User) -> None:
        answer = self.as_owner.post(f"{group}/members", json={"member": user.name})
        assert (answer.status_code, answer.content) == (200, b"{}")

    def role(self, user: User) -> str | None:
        answer = self.as_owner.get(f"/v2/orgs/{self.organization}/members", params={"search": user.name})
        return next((row["role"] for row in answer.json()["results"] if row["username"] == user.name), None)

    def events(self) -> list[str]:
        """What has been logged since the scene was set."""
        return events(self.home, self.organization, after=self._seen)

    def through_token(self, user: User) -> httpx.Client:
        return self.home.hub(user, self.home.access_token(user)[1])


@pytest.fixture
def scene(home: Home) -> Scene:
    return Scene(home)


def names(answer: httpx.Response, key: str = "name") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[key] for row in answer.json()["results"]]


# Who may


def requests(path: str, group: str = "devs") -> Iterator[tuple[str, str, Any]]:
    yield "GET", path, None
    yield "GET", f"{path}/{group}", None
    yield "GET", f"{path}/{group}/members", None
    yield "POST", path, {"name": "new-team"}
    yield "PUT", f"{path}/{group}", {"name": "renamed"}
    yield "PATCH", f"{path}/{group}", {"description": "changed"}
    yield "DELETE", f"{path}/{group}", None
    yield "POST", f"{path}/{group}/members", {"member": "admin"}
    yield "DELETE", f"{path}/{group}/members/admin", None


def test_members_read_and_owners_change(scene: Scene) -> None:
    before = scene.as_owner.get(scene.path).json()
    for number, (method, path, body) in enumerate(requests(scene.path)):
        for client in (scene.as_member, scene.as_editor):
            assert client.request(method, path, json=body).status_code == (200 if number < 3 else 403)
        through_token = scene.through_token(scene.owner).request(method, path, json=body)
        if number < 3:
            assert through_token.status_code == 200
        else:
            assert (through_token.status_code, through_token.content) == (403, TOKEN_NOT_ALLOWED)
    assert scene.as_owner.get(scene.path).json() == before
    assert scene.events() == []


def test_nobody_is_unauthorized_a_stranger_forbidden_and_an_unknown_organization_not_found(scene: Scene) -> None:
    stranger = scene.home.hub(scene.home.user())
    for method, path, body in requests(scene.path):
        nobody = scene.home.anonymous.request(method, path, json=body)
        assert (nobody.status_code, nobody.content) == (401, b'{"message":"unauthorized","errinfo":{}}')
        assert stranger.request(method, path, json=body).status_code == 403
    for method, path, body in requests("/v2/orgs/no-such-organization/groups"):
        unknown = scene.as_owner.request(method, path, json=body)
        assert (unknown.status_code, "not found" in unknown.json()["message"]) == (404, True)


def test_an_unknown_group_is_not_found_to_the_byte(scene: Scene) -> None:
    other = scene.home.organization(scene.owner)
    scene.as_owner.post(f"/v2/orgs/{other}/groups", json={"name": "elsewhere"})
    for group in ("nothing", "elsewhere", "x" * 300, "%00"):
        for method, path, body in requests(scene.path, group):
            if f"/{group}" in path:
                answer = scene.as_owner.request(method, path, json=body)
                if group == "%00":
                    assert answer.status_code == 400
                    continue
                assert (answer.status_code, answer.content) == (404, NOT_FOUND), (method, path)
                assert answer.headers["content-type"] == "application/json"


def test_site_administrators_may_all(scene: Scene) -> None:
    admin = scene.home.hub(scene.home.admin)
    assert admin.post(scene.path, json={"name": "by-admin"}).status_code == 201
    assert admin.delete(f"{scene.path}/by-admin").status_code == 204


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_work_with_and_without_a_slash(scene: Scene, slash: str) -> None:
    for method, path, body, status in (
        ("GET", scene.path, None, 200),
        ("GET", scene.devs, None, 200),
        ("GET", f"{scene.devs}/members", None, 200),
        ("POST", scene.path, {"name": "new-team"}, 201),
        ("PUT", scene.devs, {"name": "devs"}, 200),
        ("PATCH", scene.devs, {"description": "changed"}, 200),
        ("POST", f"{scene.devs}/members", {"member": scene.editor.name}, 200),
        ("DELETE", f"{scene.devs}/members/{scene.editor.name}", None, 204),
        ("DELETE", scene.devs, None, 204),
    ):
        assert scene.as_owner.request(method, path + slash, json=body).status_code == status, (method, path)


# Groups


def test_groups_are_a_page_with_every_field(scene: Scene) -> None:
    page = scene.as_member.get(scene.path).json()
    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], page["next"], page["previous"]) == (2, None, None)
    devs, owners = page["results"]
    assert list(devs) == FIELDS
    assert isinstance(devs["id"], int)
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", devs["uuid"])
    assert (devs["name"], devs["description"], devs["member_count"], devs["role"]) == (
        "devs",
        "who develops",
        1,
        "member",
    )
    assert (owners["name"], owners["member_count"], owners["role"]) == ("owners", 1, "owner")
    assert scene.as_member.get(scene.devs).json() == devs
    assert scene.as_member.get(scene.devs.upper().replace("/V2/ORGS", "/v2/orgs").replace("GROUPS", "groups")).json()


def test_groups_are_listed_by_name_whatever_its_case(scene: Scene) -> None:
    for name in ("Zeta", "alpha", "Beta", "_under"):
        scene.create(name)
    assert names(scene.as_member.get(scene.path)) == ["_under", "alpha", "Beta", "devs", "owners", "Zeta"]
    collected: list[str] = []
    url = f"{scene.path}?page_size=4"
    while url:
        answer = scene.as_member.get(url)
        assert answer.json()["count"] == 6
        collected += names(answer)
        url = answer.json()["next"]
    assert collected == ["_under", "alpha", "Beta", "devs", "owners", "Zeta"]
    beyond = scene.as_member.get(f"{scene.path}?page_size=4&page=3")
    assert (beyond.status_code, "not found" in beyond.text) == (404, True)


def test_groups_of_a_user_and_with_a_text_in_their_names(scene: Scene) -> None:
    scene.create("devs-of_2")
    scene.create("ops")
    scene.add(f"{scene.path}/ops", scene.member)
    other = scene.home.organization(scene.owner)
    scene.as_owner.post(f"/v2/orgs/{other}/groups", json={"name": "elsewhere"})
    scene.as_owner.post(f"/v2/orgs/{other}/groups/elsewhere/members", json={"member": scene.member.name})

    def listed(**parameters: str) -> list[str]:
        answer = scene.as_member.get(scene.path, params=parameters)
        assert answer.json()["count"] == len(answer.json()["results"])
        return names(answer)

    assert listed(search="DEV") == ["devs", "devs-of_2"]
    assert listed(search="f_") == ["devs-of_2"]
    assert listed(search="%") == listed(search="e_s") == []
    assert listed(username=scene.member.name) == listed(username=scene.member.name.upper()) == ["devs", "ops"]
    assert listed(username=scene.member.name, search="op") == ["ops"]
    assert listed(username=scene.editor.name) == listed(username="nobody") == []
    assert len(listed(username="", search="")) == 4


def test_a_new_group_is_answered_and_logged(scene: Scene) -> None:
    made = scene.create("Release_Team-1", description="ships")
    assert list(made) == FIELDS
    assert (made["name"], made["description"], made["member_count"], made["role"]) == (
        "Release_Team-1",
        "ships",
        0,
        "member",
    )
    assert scene.as_owner.get(f"{scene.path}/release_team-1").json() == made
    assert scene.create("plain")["description"] == scene.create("null", description=None)["description"] == ""
    assert scene.events()[0] == f"org.team.create {scene.organization} team=Release_Team-1"


@pytest.mark.parametrize("name", ["devs", "DEVS", "Owners"])
def test_names_are_unique_in_an_organization_whatever_their_case(scene: Scene, name: str) -> None:
    scene.create("other")
    for answer in (
        scene.as_owner.post(scene.path, json={"name": name}),
        scene.as_owner.put(f"{scene.path}/other", json={"name": name}),
        scene.as_owner.patch(f"{scene.path}/other", json={"name": name}),
    ):
        assert answer.status_code == 400
        assert answer.json()["message"] == f"team {name} already exists"
    elsewhere = scene.home.organization(scene.owner)
    assert scene.as_owner.post(f"/v2/orgs/{elsewhere}/groups", json={"name": "devs"}).status_code == 201


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        *(
            ({"name": name}, "name")
            for name in ("", "ab", "x" * 31, "a b c", "team.one", "t/e/a/m", "täam", "abc\n", 1)
        ),
        ({"name": "fine", "description": "x" * 256}, "description"),
        ({"name": "fine", "description": 1}, "description"),
    ],
)
def test_a_wrong_field_is_named(scene: Scene, fields: dict[str, Any], wrong: str) -> None:
    for method, path in (("POST", scene.path), ("PUT", scene.devs), ("PATCH", scene.devs)):
        answer = scene.as_owner.request(method, path, json=fields)
        assert answer.status_code == 400
        assert list(answer.json()) == ["message", "detail", "errinfo"]
        assert list(answer.json()["errinfo"]) == [wrong]
        assert wrong in answer.json()["message"]
    assert scene.as_owner.get(scene.path).json()["count"] == 2


@pytest.mark.parametrize("name", ["abc", "x" * 30, "---", "A_1-b"])
def test_names_that_are_fine(scene: Scene, name: str) -> None:
    assert scene.create(name)["name"] == name


def test_replacing_needs_a_name_and_drops_the_description_that_is_not_sent(scene: Scene) -> None:
    missing = scene.as_owner.put(scene.devs, json={"description": "x"})
    assert (missing.status_code, list(missing.json()["errinfo"])) == (400, ["name"])
    replaced = scene.as_owner.put(scene.devs, json={"name": "devs"}).json()
    assert (replaced["name"], replaced["description"], replaced["member_count"]) == ("devs", "", 1)
    assert scene.as_owner.put(scene.devs, json={"name": "devs"}).status_code == 200
    assert scene.events() == [f"org.team.update {scene.organization} team=devs"]


def test_patching_changes_what_is_sent_and_nothing_that_is_read_only(scene: Scene) -> None:
    before = scene.as_owner.get(scene.devs).json()
    assert scene.as_owner.patch(scene.devs, json={}).json() == before
    whole = {
        "id": 0,
        "uuid": "",
        "member_count": 0,
        "role": "owner",
        "extra": [1],
        "description": "new",
        "name": "devs",
    }
    assert scene.as_owner.patch(scene.devs, json=whole).json() == {**before, "description": "new"}
    assert scene.as_owner.patch(scene.devs, json={"name": "DEVS"}).json()["name"] == "DEVS"
    assert scene.as_owner.patch(scene.devs, json={"description": None}).json()["description"] == "new"
    assert scene.as_owner.get(scene.devs).json() == {**before, "description": "new", "name": "DEVS"}
    assert scene.events() == [
        f"org.team.update {scene.organization} team=devs",
        f"org.team.update {scene.organization} new_name=DEVS team=devs",
    ]


def granted(scene: Scene, team: str) -> tuple[RepositoryName, httpx.Client]:
    """A private repository that a team may read, and a registry client of the member."""
    name = scene.home.repository(scene.organization, is_private=True)
    push_image(scene.home.registry(scene.owner, name), name, "latest", text="group")
    execute(
        scene.home,
        """
        insert into repository_teams (repository_id, team_id, permission, created_at)
        values (:repository_id, (select id from teams where name = :team and organization_id =
            (select id from accounts where name = :organization)), :permission, 0)
        """,
        repository_id=scene.home.repository_id(name),
        team=team,
        organization=scene.organization,
        permission=Permission.READ,
    )
    return name, scene.home.registry(scene.member, name)


def test_a_renamed_group_keeps_its_id_its_members_and_its_permissions(scene: Scene) -> None:
    name, registry = granted(scene, "devs")
    before = scene.as_owner.get(scene.devs).json()
    renamed = scene.as_owner.patch(scene.devs, json={"name": "makers"}).json()
    assert renamed == {**before, "name": "makers"}
    assert scene.as_owner.get(scene.devs).content == NOT_FOUND
    assert names(scene.as_owner.get(f"{scene.path}/makers/members"), "username") == [scene.member.name]
    assert registry.get(f"/v2/{name}/manifests/latest").status_code == 200


def test_a_deleted_group_takes_its_permissions_with_it_and_leaves_members_and_invites(scene: Scene) -> None:
    name, registry = granted(scene, "devs")
    invite(scene.home, scene.organization, "anna@guests.example", team="devs")
    assert registry.get(f"/v2/{name}/manifests/latest").status_code == 200
    answer = scene.as_owner.delete(scene.devs)
    assert (answer.status_code, answer.content) == (204, b"")
    assert scene.as_owner.delete(scene.devs).content == NOT_FOUND
    assert registry.get(f"/v2/{name}/manifests/latest").status_code == 404
    assert scene.role(scene.member) == "Member"
    members = f"/v2/orgs/{scene.organization}/members?type=invitee"
    (invitee,) = scene.as_owner.get(members).json()["results"]
    assert (invitee["email"], invitee["groups"]) == ("anna@guests.example", [])
    assert f"org.team.delete {scene.organization} team=devs" in scene.events()


def test_a_deleted_and_recreated_name_is_another_team(scene: Scene) -> None:
    name, registry = granted(scene, "devs")
    assert registry.get(f"/v2/{name}/manifests/latest").status_code == 200
    former = scene.as_owner.get(scene.devs).json()
    scene.as_owner.delete(scene.devs)
    scene.create("devs")
    found = scene.as_owner.get(scene.devs).json()
    assert (found["member_count"], found["id"] == former["id"], found["uuid"] == former["uuid"]) == (0, False, False)
    scene.add(scene.devs, scene.member)
    assert registry.get(f"/v2/{name}/manifests/latest").status_code == 404


def test_the_owners_team_can_be_neither_deleted_nor_renamed_but_described(scene: Scene) -> None:
    for answer in (
        scene.as_owner.delete(scene.owners),
        scene.as_owner.delete(f"{scene.path}/OWNERS"),
        scene.as_owner.put(scene.owners, json={"name": "bosses"}),
        scene.as_owner.put(scene.owners, json={"name": "Owners"}),
        scene.as_owner.patch(f"{scene.path}/OWNERS", json={"name": "bosses", "description": "x"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["message"] == "the team owners can be neither deleted nor renamed"
    assert scene.as_owner.patch(scene.owners, json={"description": "in charge"}).json()["description"] == "in charge"
    replaced = scene.as_owner.put(scene.owners, json={"name": "owners", "description": "all of it"}).json()
    assert (replaced["name"], replaced["description"], replaced["role"]) == ("owners", "all of it", "owner")


def test_of_concurrent_groups_of_one_name_there_is_one(scene: Scene) -> None:
    scene.create("first")
    scene.create("second")
    barrier = threading.Barrier(4)

    def ask(request: tuple[str, str]) -> int:
        barrier.wait()
        return scene.as_owner.request(*request, json={"name": "same"}).status_code

    asked = [
        ("POST", scene.path),
        ("POST", scene.path),
        ("PATCH", f"{scene.path}/first"),
        ("PUT", f"{scene.path}/second"),
    ]
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(ask, asked))
    assert sorted(statuses)[1:] == [400, 400, 400]
    assert [name.lower() for name in names(scene.as_owner.get(scene.path))].count("same") == 1


# Members of a group


def test_members_of_a_group_are_a_page_by_name(scene: Scene) -> None:
    scene.add(scene.devs, scene.editor)
    page = scene.as_member.get(f"{scene.devs}/members").json()
    assert list(page) == ["count", "next", "previous", "results"]
    assert [row["username"] for row in page["results"]] == [scene.editor.name, scene.member.name]
    assert all(list(row) == MEMBER_FIELDS for row in page["results"])
    assert re.fullmatch("[0-9a-f]{32}", page["results"][0]["id"])
    assert page["results"][0]["type"] == "User"
    as_owner = scene.as_owner.get(f"{scene.devs}/members", params={"page_size": 1, "page": 2}).json()
    assert [list(row) for row in as_owner["results"]] == [[*MEMBER_FIELDS, "email"]]
    assert as_owner["results"][0]["email"] == f"{scene.member.name}@example.com"
    assert (as_owner["count"], as_owner["next"]) == (2, None)
    assert scene.as_owner.get(f"{scene.devs}/members?page=3&page_size=1").status_code == 404


def test_only_owners_see_and_search_addresses_and_not_through_a_token(scene: Scene) -> None:
    found = person(scene.home, full_name="Ada Lovelace", email=f"countess@analytical.{unique('example')}")
    scene.home.member(scene.organization, found, OrganizationRole.MEMBER)
    scene.add(scene.devs, found)
    members = f"{scene.devs}/members"
    for client in (scene.as_owner, scene.as_member, scene.through_token(scene.owner)):
        for text in ("LOVE", found.name):
            assert names(client.get(members, params={"search": text}), "username") == [found.name]
        assert client.get(members, params={"search": "nothing like it"}).json()["count"] == 0
    for client, emails in (
        (scene.as_owner, [found.name]),
        (scene.home.hub(scene.home.admin), [found.name]),
        (scene.as_member, []),
        (scene.as_editor, []),
        (scene.through_token(scene.owner), []),
    ):
        answer = client.get(members, params={"search": "SS@analytical"})
        assert names(answer, "username") == emails
        assert ("@" in client.get(members).text) == bool(emails)


def test_the_older_command_line_client_gets_a_bare_array(scene: Scene) -> None:
    everybody = sorted([*many_members(scene.home, scene.organization, 120, team="devs"), scene.member.name])
    members = f"{scene.devs}/members"
    for slash in ("", "/"):
        bare = scene.as_member.get(members + slash, headers=HUB_TOOL).json()
        assert [row["username"] for row in bare] == everybody
    assert {"username", "full_name"} <= set(bare[0])
    for parameters in ({"page": "1"}, {"page_size": "5"}):
        assert scene.as_member.get(members, headers=HUB_TOOL, params=parameters).json()["count"] == 121
    for agent in ("hub-tools/1", "curl/8 hub-tool/1", "docker-hub-cli"):
        assert scene.as_member.get(members, headers={"user-agent": agent}).json()["count"] == 121


def test_adding_twice_is_the_same_as_once(scene: Scene) -> None:
    for _ in range(2):
        scene.add(scene.devs, scene.editor)
    assert scene.as_owner.get(scene.devs).json()["member_count"] == 2
    assert scene.role(scene.editor) == "Editor"
    assert scene.events() == [f"org.team.member.add {scene.editor.name} team=devs"]


@pytest.mark.parametrize("team", ["devs", "owners"])
def test_owners_cannot_make_a_stranger_a_member_who_has_not_agreed(scene: Scene, team: str) -> None:
    stranger = scene.home.user()
    policies = f"/v2/orgs/{scene.organization}/settings/policies"
    answer = scene.as_owner.post(f"{scene.path}/{team}/members", json={"member": stranger.name})
    assert (answer.status_code, "not found" in answer.json()["message"]) == (404, True)
    assert scene.role(stranger) is None
    assert scene.events() == []
    # Or anybody could be shut out by an organization that they have never heard of.
    assert scene.as_owner.patch(policies, json={"sso_enforced": True}).status_code == 200
    assert scene.home.hub(stranger).get("/v2/user/2fa").status_code == 200


def test_a_site_administrator_makes_a_stranger_a_member_by_a_team(scene: Scene) -> None:
    stranger = scene.home.user()
    answer = scene.home.hub(scene.home.admin).post(f"{scene.devs}/members", json={"member": stranger.name})
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert scene.role(stranger) == "Member"
    assert scene.events() == [
        f"org.member.add {scene.organization} role=member user={stranger.name}",
        f"org.team.member.add {stranger.name} team=devs",
    ]


def test_who_does_not_exist_cannot_be_added(scene: Scene) -> None:
    for name in ("nobody-at-all", scene.organization):
        answer = scene.as_owner.post(f"{scene.devs}/members", json={"member": name})
        assert (answer.status_code, "not found" in answer.json()["message"]) == (404, True)
    missing = scene.as_owner.post(f"{scene.devs}/members", json={"user": "x"})
    assert (missing.status_code, list(missing.json()["errinfo"])) == (400, ["member"])
    assert scene.as_owner.post(f"{scene.devs}/members").status_code == 400


def test_who_is_removed_from_a_group_stays_in_the_organization(scene: Scene) -> None:
    path = f"{scene.devs}/members/{scene.member.name}"
    answer = scene.as_owner.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert scene.role(scene.member) == "Member"
    for gone in (path, f"{scene.devs}/members/{scene.editor.name}", f"{scene.devs}/members/nobody"):
        again = scene.as_owner.delete(gone)
        assert (again.status_code, "not found" in again.json()["message"]) == (404, True)
    assert scene.events() == [f"org.team.member.remove {scene.member.name} team=devs"]


def test_the_owners_team_makes_owners_and_unmakes_them(scene: Scene) -> None:
    scene.add(scene.owners, scene.member)
    assert scene.role(scene.member) == "Owner"
    assert scene.as_member.delete(f"{scene.owners}/members/{scene.owner.name}").status_code == 204
    assert scene.as_owner.get(scene.path).status_code == 200
    assert scene.as_owner.post(scene.path, json={"name": "no-more"}).status_code == 403
    last = scene.as_member.delete(f"{scene.owners}/members/{scene.member.name}")
    assert (last.status_code, "at least one owner" in last.json()["message"]) == (400, True)
    assert names(scene.as_member.get(f"{scene.owners}/members"), "username") == [scene.member.name]
    assert scene.events() == [
        f"org.member.role.change {scene.organization} role=owner user={scene.member.name}",
        f"org.team.member.add {scene.member.name} team=owners",
        f"org.member.role.change {scene.organization} role=member user={scene.owner.name}",
        f"org.team.member.remove {scene.owner.name} team=owners",
    ]


# What it costs


@pytest.mark.parametrize("path", ["", "?username=admin&search=t", "/owners/members", "/owners/members?search=a"])
def test_a_page_costs_the_same_with_few_and_with_many(home: Home, path: str) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    client = home.hub(owner)
    groups = f"/v2/orgs/{organization}/groups"
    few = count(home, client.headers["authorization"], groups + path)
    many_members(home, organization, 60, team="owners")
    for number in range(12):
        client.post(groups, json={"name": f"team-{number}"})
    assert few == count(home, client.headers["authorization"], groups + path) <= 4


def test_groups_and_their_members_are_found_by_index(home: Home) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    many_members(home, organization, 3000, team="owners")
    id_ = value(home, "select id from accounts where name = :name", name=organization)
    execute(
        home,
        """
        insert into teams (uuid, organization_id, name, created_at)
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 5000)
        select 'plan-' || cast(:id as bigint) || '-' || n, cast(:id as bigint), 'team-' || n, 0 from numbers
        """,
        id=id_,
    )

    if home.settings.database_url:
        execute(home, "analyze")  # on SQLite it would change the plans of other tests

    async def reads(tx: Any) -> None:
        where: dict[str, Any] = {"actor": OPERATOR, "organization": organization}
        await teams.list_page(tx, **where, page=3, page_size=10)
        await teams.get_team(tx, **where, name="TEAM-7")
        await teams.list_members(tx, **where, team="owners", page=40, page_size=25)

    async def reads_of_user(tx: Any) -> None:
        await teams.list_page(tx, actor=OPERATOR, organization=organization, user=owner.name, page=1, page_size=10)

    tables = ("accounts", "organization_members", "team_members", "teams")
    assert_by_index(plans_of(home, reads, must_scan=True), *tables)
    # The teams of one user are few: they may be sorted.
    for plan in plans_of(home, reads_of_user, must_scan=True):
        assert not any(plan.scans(table) for table in tables), plan
