"""What holds over all requests of a provider: the log tells each change and nothing else, and the directory is in step
with the members.
"""

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.home import Home, User, unique
from tests.inviting import value_or_none
from tests.logs import events
from tests.provisioning import Provisioned, email_of, ordered, set_active, verify
from tests.scim import GROUP, Json

# The log

Arrange = Callable[[Provisioned], Json]
Deed = Callable[[Provisioned, Json], Any]

COMPANY = ["org.team.create", "org.team.member.add"]
"""The first user makes the first team."""


def nothing(provider: Provisioned) -> Json:
    return {}


def a_user(provider: Provisioned) -> Json:
    return provider.user(externalId="e", name={"givenName": "Ann", "familyName": "Lee"})


def an_employee(provider: Provisioned) -> Json:
    return provider.user(f"{unique('e')}@{provider.domain()}")


def an_ordered_user(provider: Provisioned) -> Json:
    return provider.user(**ordered(role="editor", team="Eng"))


def an_inactive_user(provider: Provisioned) -> Json:
    return provider.user(active=False)


def a_member(provider: Provisioned) -> Json:
    shown: Json = provider.shown(provider.member()).json()
    return shown


def a_former_member(provider: Provisioned) -> Json:
    shown = a_member(provider)
    answer: Json = provider.set(shown, active=False).json()
    return answer


def an_owner(provider: Provisioned) -> Json:
    return provider.user(**ordered(role="owner"))


def a_stranger(provider: Provisioned) -> Json:
    return {"userName": email_of(provider.home, provider.person())}


def a_group(provider: Provisioned) -> Json:
    return provider.group(unique("group"), provider.user())


def the_owners(provider: Provisioned) -> Json:
    return provider.group_named("owners")


def patched(**fields: Any) -> Deed:
    return lambda provider, resource: provider.set(resource, **fields)


def replaced(**fields: Any) -> Deed:
    return lambda provider, resource: provider.replace(resource, **fields)


def deleted(provider: Provisioned, resource: Json) -> Any:
    return provider.delete(f"/{resource['meta']['resourceType']}s/{resource['id']}")


def with_another(provider: Provisioned, group: Json) -> Any:
    other = provider.home.user()
    provider.home.member(provider.organization, other, OrganizationRole.MEMBER)
    value = [{"value": provider.id_of(other)}]
    return provider.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": value})


def without_anybody(provider: Provisioned, group: Json) -> Any:
    return provider.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"})


def group_as_it_is(provider: Provisioned, group: Json) -> Any:
    return provider.put(f"/Groups/{group['id']}", group)


def new_user(provider: Provisioned, _: Json) -> Any:
    return provider.create(f"{unique('u')}@x.example")


def new_inactive_user(provider: Provisioned, _: Json) -> Any:
    return provider.create(f"{unique('u')}@x.example", active=False)


def new_owner(provider: Provisioned, _: Json) -> Any:
    return provider.create(f"{unique('u')}@x.example", **ordered(role="owner", team="Eng"))


def user_of_that_name(provider: Provisioned, resource: Json) -> Any:
    return provider.create(resource["userName"])


def new_group(provider: Provisioned, _: Json) -> Any:
    return provider.post("/Groups", {"schemas": [GROUP], "displayName": unique("g")})


def group_of_that_name(provider: Provisioned, group: Json) -> Any:
    return provider.post("/Groups", {"schemas": [GROUP], "displayName": group["displayName"].upper()})


def twice(deed: Deed) -> Deed:
    def both(provider: Provisioned, resource: Json) -> Any:
        deed(provider, resource)
        return deed(provider, resource)

    return both


MEMBER_ADD, MEMBER_OUT = "org.member.add", "org.member.remove"
TEAM_ADD, TEAM_OUT = "org.team.member.add", "org.team.member.remove"
ROLE = "org.member.role.change"
CREATED, UPDATED, DELETED = "scim.user.create", "scim.user.update", "scim.user.delete"
IN, OUT = "scim.user.activate", "scim.user.deactivate"

LOGGED: list[tuple[str, Arrange, Deed, list[str]]] = [
    ("a new user", nothing, new_user, [MEMBER_ADD, *COMPANY, CREATED]),
    ("a second one", a_user, new_user, [MEMBER_ADD, TEAM_ADD, CREATED]),
    ("a new user who is not let in", nothing, new_inactive_user, [MEMBER_ADD, *COMPANY, CREATED, OUT]),
    ("a new owner in a new team", nothing, new_owner, [MEMBER_ADD, TEAM_ADD, *COMPANY, CREATED]),
    ("a user that there is", a_user, user_of_that_name, []),
    ("a member who came otherwise", a_member, user_of_that_name, []),
    ("a stranger", a_stranger, user_of_that_name, ["org.team.create", "org.member.invite.send"]),
    ("a stranger, twice", a_stranger, twice(user_of_that_name), ["org.team.create", "org.member.invite.send"]),
    ("a text", a_user, patched(displayName="Other"), [UPDATED]),
    ("a text, twice", a_user, twice(patched(displayName="Other")), [UPDATED]),
    ("many texts", a_user, replaced(displayName="O", externalId="f", emails=[], name={"givenName": "B"}), [UPDATED]),
    ("what is so already", a_user, replaced(), []),
    ("what is so already, ordered", an_ordered_user, twice(replaced()), []),
    ("a team in another case", an_ordered_user, patched(**ordered(role="EDITOR", team="ENG")), []),
    ("a name", an_employee, patched(userName="renamed"), [UPDATED]),
    ("a name that is refused", a_user, patched(userName="x@unverified.example"), []),
    ("a role", a_user, patched(**ordered(role="editor")), [ROLE, UPDATED]),
    ("a role, twice", a_user, twice(patched(**ordered(role="editor"))), [ROLE, UPDATED]),
    ("an owner", a_user, patched(**ordered(role="owner")), [ROLE, TEAM_ADD, UPDATED]),
    ("no owner any more", an_owner, patched(**ordered(role="member")), [ROLE, TEAM_OUT, UPDATED]),
    ("a team", a_user, patched(**ordered(team="Eng")), ["org.team.create", TEAM_ADD, UPDATED]),
    ("a role of who is not in", a_former_member, twice(patched(**ordered(role="owner"))), []),
    ("an end", a_user, patched(active=False), [OUT]),
    ("an end, twice", a_user, twice(patched(active=False)), [OUT]),
    ("an end with a text", a_user, replaced(active=False, displayName="Gone"), [UPDATED, OUT]),
    ("an end of a membership", a_member, patched(active=False), [MEMBER_OUT, OUT]),
    ("an end of a membership, twice", a_member, twice(patched(active=False)), [MEMBER_OUT, OUT]),
    ("a return", an_inactive_user, patched(active=True), [IN]),
    ("a return, twice", an_inactive_user, twice(patched(active=True)), [IN]),
    ("an invite", a_former_member, patched(active=True), ["org.team.create", "org.member.invite.send"]),
    ("an invite, twice", a_former_member, twice(patched(active=True)), ["org.team.create", "org.member.invite.send"]),
    ("a deletion", a_user, deleted, [OUT, TEAM_OUT, MEMBER_OUT, DELETED]),
    ("a deletion of who is not in", an_inactive_user, deleted, [TEAM_OUT, MEMBER_OUT, DELETED]),
    ("a deletion of a member", a_member, deleted, [MEMBER_OUT, OUT, DELETED]),
    ("a deletion, twice", a_user, twice(deleted), [OUT, TEAM_OUT, MEMBER_OUT, DELETED]),
    ("a new group", nothing, new_group, ["org.team.create"]),
    ("a group that there is", a_group, group_of_that_name, []),
    ("a group's name", a_group, patched(displayName="Other"), ["org.team.update"]),
    ("a group's name, twice", a_group, twice(patched(displayName="Other")), ["org.team.update"]),
    ("a group as it is", a_group, group_as_it_is, []),
    ("a group's member", a_group, with_another, [MEMBER_ADD, TEAM_ADD]),  # the first is the arrangement's
    ("a group's members", a_group, without_anybody, [TEAM_OUT]),
    ("a group's members, twice", a_group, twice(without_anybody), [TEAM_OUT]),
    ("a group's end", a_group, deleted, ["org.team.delete"]),
    ("the owners team's end", the_owners, deleted, []),
    ("the owners team's members", the_owners, without_anybody, []),
]


@pytest.mark.parametrize(("arrange", "deed", "expected"), [row[1:] for row in LOGGED], ids=[row[0] for row in LOGGED])
def test_the_log_tells_each_change_and_nothing_else(
    provider: Provisioned, arrange: Arrange, deed: Deed, expected: list[str]
) -> None:
    resource = arrange(provider)
    before = len(provider.events())
    deed(provider, resource)
    found = events(provider.home, provider.organization)[before:]
    assert [event.action for event in found] == expected
    for event in found:
        assert event.actor == ("homeport" if event.action == MEMBER_ADD and deed is with_another else "scim")
        assert event.actor == "homeport" or '"ip_address":"127.0.0.1"' in event.data
        assert "dckr_scim" not in event.data


@pytest.mark.parametrize(
    "body",
    [
        {"userName": ""},
        {"userName": " "},
        {"userName": "a\nb"},
        {"userName": "x" * 256},
        {"userName": "u", "externalId": "\u0007"},
        {"userName": "u", "name": {"givenName": "\u202e"}},
        {"userName": "u", "displayName": "x" * 256},
        {"userName": "u", "emails": [{"value": "x" * 256}]},
        {"userName": "u", "emails": [{"value": f"{number}@x.example"} for number in range(21)]},
        {"userName": "u", "active": "perhaps"},
        {"userName": 1},
        {"userName": ["u"]},
        {"userName": {"value": "u"}},
        {"userName": "u", "emails": "u@x.example"},
        {},
    ],
    ids=str,
)
def test_what_cannot_be_right_is_refused_and_changes_nothing(provider: Provisioned, body: Json) -> None:
    made = provider.user()
    before = provider.state()
    schemas = made["schemas"]
    answer = provider.post("/Users", {"schemas": schemas, **body})
    assert answer.status_code == 400, answer.text
    if body and body != {"userName": ""}:
        put = provider.put(f"/Users/{made['id']}", {"schemas": schemas, "active": True, **body})
        assert put.status_code == 400, put.text
    assert provider.state() == before


# The directory

SEEDS = range(4)
STEPS = 40


class Model:
    """Random deeds by all doors, and what has to hold after each."""

    def __init__(self, home: Home, seed: int) -> None:
        self.home = home
        self.choose = random.Random(seed)
        self.provider = Provisioned.at(home)
        self.other = Provisioned.at(home)
        self.domain = self.provider.domain()
        self.admin = home.hub(home.admin)
        self.users = [self.provider.person(self.domain) for _ in range(2)]
        self.users += [self.provider.person() for _ in range(2)]
        self.users.append(self.provider.person(self.domain, is_site_admin=True))
        self.made: list[Json] = []
        self.shut_out: set[str] = set()
        self.names: list[str] = []

    def step(self) -> str:
        deeds = [
            *[self.create] * 4,
            *[self.patch] * 5,
            self.replace,
            self.delete,
            self.add_by_hub,
            self.change_role,
            self.remove_by_hub,
            self.leave,
            self.accept,
            self.toggle_by_site,
            self.join_team,
            *[self.write_group] * 3,
            self.delete_group,
        ]
        deed = self.choose.choice(deeds)
        return f"{deed.__name__}: {deed()}"

    def check(self) -> None:
        """Users are the members who are no site administrators, and those whom the provider has shut out."""
        shown = {user["id"]: user for user in self.provider.get("/Users", count=200).json()["Resources"]}
        members = self._members()
        visible = {uuid for uuid, (_, is_admin) in members.items() if not is_admin}
        out = set(shown) - visible
        assert visible <= set(shown)
        assert out <= self.shut_out, "somebody is shown who neither is a member nor was shut out"
        assert all(shown[uuid]["active"] is False for uuid in out)
        names = [user["userName"].casefold() for user in shown.values()]
        assert len(names) == len(set(names))
        assert any(role == "owner" for role, _ in members.values())
        teams = self._teams(shown)
        for group in self.provider.get("/Groups", count=200).json()["Resources"]:
            assert {member["value"] for member in group.get("members", ())} == teams.pop(group["id"])
        assert teams == {}
        of_users = {uuid: {group["value"] for group in user.get("groups", ())} for uuid, user in shown.items()}
        for group in self.provider.get("/Groups", count=200).json()["Resources"]:
            ids = {member["value"] for member in group.get("members", ())}
            assert ids == {uuid for uuid, groups in of_users.items() if group["id"] in groups}
            if group["displayName"].lower() == "owners":
                assert ids == {uuid for uuid in visible if members[uuid][0] == "owner"}

    def _members(self) -> dict[str, tuple[str, bool]]:
        text = self._text(
            """select a.uuid || ' ' || m.role || ' ' || case when a.is_site_admin then '1' else '' end as entry
            from organization_members m join accounts a on a.id = m.account_id where m.organization_id =
            (select id from accounts where name = :name)"""
        )
        rows = [line.split(" ") for line in text]
        return {uuid: (role, bool(is_admin)) for uuid, role, is_admin in rows}

    def _teams(self, shown: dict[str, Json]) -> dict[str, set[str]]:
        text = self._text(
            """select t.uuid || ' ' || coalesce(a.uuid, '') as entry from teams t
            left join team_members m on m.team_id = t.id left join accounts a on a.id = m.account_id
            where t.organization_id = (select id from accounts where name = :name)"""
        )
        teams: dict[str, set[str]] = {}
        for line in text:
            team, uuid = line.split(" ")
            teams.setdefault(team, set()).update({uuid} & set(shown))
        return teams

    def _text(self, entries: str) -> list[str]:
        word = "group_concat" if self.home.settings.is_sqlite else "string_agg"
        found = value_or_none(
            self.home, str, f"select {word}(entry, ',') from ({entries}) as entries", name=self.provider.organization
        )
        return found.split(",") if found else []

    # Deeds

    def _user(self) -> User:
        return self.choose.choice([*self.users, self.provider.owner])

    def _resource(self) -> Json:
        found: list[Json] = self.provider.get("/Users", count=200).json()["Resources"]
        return self.choose.choice(found)

    def _group(self) -> Json:
        found: list[Json] = self.provider.get("/Groups", count=200).json()["Resources"]
        return self.choose.choice(found)

    def _note_end(self, resource: Json, answer: Any) -> int:
        if answer.status_code == 200 and not answer.json()["active"]:
            self.shut_out.add(resource["id"])
        return int(answer.status_code)

    def _orders(self) -> dict[str, Any]:
        role = self.choose.choice(["", "member", "editor", "owner"])
        return ordered(role=role, team=self.choose.choice(["", "", "Eng", "company", "owners"]))

    def create(self) -> int:
        name = self.choose.choice(
            [f"{unique('new')}@{self.domain}", unique("new"), email_of(self.home, self._user()), *self.names[-5:]]
        )
        answer = self.provider.create(name, active=self.choose.random() < 0.8, **self._orders())
        if answer.status_code == 201:
            self.names.append(name)
            self.users.append(User(self.provider.account_of(answer.json())))
            self._note_end(answer.json(), type("Answer", (), {"status_code": 200, "json": answer.json}))
        return answer.status_code

    def patch(self) -> int:
        resource = self._resource()
        fields: Json = self.choose.choice(
            [
                {"active": False},
                {"active": False},
                {"active": True},
                {"active": True},
                {"displayName": unique("d")},
                {"userName": f"{unique('renamed')}@{self.domain}"},
                {"userName": unique("renamed")},
                self._orders() or {"externalId": "x"},
            ]
        )
        return self._note_end(resource, self.provider.set(resource, **fields))

    def replace(self) -> int:
        resource = self._resource()
        fields = {**self._orders(), "displayName": unique("d"), "active": self.choose.random() < 0.7}
        return self._note_end(resource, self.provider.replace(resource, **fields))

    def delete(self) -> int:
        return self.provider.delete(f"/Users/{self._resource()['id']}").status_code

    def add_by_hub(self) -> str:
        role = self.choose.choice(list(OrganizationRole))
        try:
            self.home.member(self.provider.organization, self._user(), role)
        except Exception as error:
            return type(error).__name__
        return "added"

    def change_role(self) -> int:
        url = f"/v2/orgs/{self.provider.organization}/members/{self._user().name}"
        role = self.choose.choice(["owner", "editor", "member"])
        return self.admin.put(url, json={"role": role}).status_code

    def remove_by_hub(self) -> int:
        url = f"/v2/orgs/{self.provider.organization}/members/{self._user().name}"
        return self.admin.delete(url).status_code

    def leave(self) -> int:
        user = self.choose.choice(self.users[:4])
        client = self._client(user)
        url = f"/v2/orgs/{self.provider.organization}/members/{user.name}"
        return client.delete(url).status_code if client else 0

    def accept(self) -> int:
        user = self.choose.choice(self.users[:4])
        client = self._client(user)
        invites = client.get("/v2/user/invites").json()["data"] if client else []
        return client.post(f"/v2/invites/{invites[0]['id']}/accept").status_code if client and invites else 0

    def toggle_by_site(self) -> str:
        user = self.choose.choice(self.users)
        set_active(self.home, user, is_active=self.choose.random() < 0.6)
        return user.name

    def join_team(self) -> int:
        group = self._group()
        url = f"/v2/orgs/{self.provider.organization}/groups/{group['displayName']}/members"
        return self.admin.post(url, json={"member": self._user().name}).status_code

    def write_group(self) -> int:
        found: list[Json] = self.provider.get("/Users", count=200).json()["Resources"]
        some = [{"value": user["id"]} for user in found if self.choose.random() < 0.5]
        some.append({"value": self.other.id_of(self.other.owner)})
        if self.choose.random() < 0.3:
            body = {"schemas": [GROUP], "displayName": unique("Group"), "members": some}
            return self.provider.post("/Groups", body).status_code
        op = self.choose.choice(["add", "replace"])
        path = f"/Groups/{self._group()['id']}"
        return self.provider.patch(path, {"op": op, "path": "members", "value": some}).status_code

    def delete_group(self) -> int:
        return self.provider.delete(f"/Groups/{self._group()['id']}").status_code

    def _client(self, user: User) -> httpx.Client | None:
        credentials = {"identifier": user.name, "secret": user.password}
        answer = self.home.anonymous.post("/v2/auth/token", json=credentials)
        if answer.status_code != 200:
            return None
        return self.home.client(authorization=f"Bearer {answer.json()['access_token']}")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_directory_is_in_step_with_the_members_whatever_happens(home: Home, seed: int) -> None:
    model = Model(home, seed)
    model.check()
    steps = []
    for _ in range(STEPS):
        steps.append(model.step())
        try:
            model.check()
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *steps])) from error


def test_a_verified_domain_reaches_no_member_of_others_through_the_model(home: Home) -> None:
    """The organizations of the model stay apart: the other one has its owner, and nobody else."""
    model = Model(home, 99)
    verify(home, model.other.organization, f"{unique('d')}.example")
    for _ in range(STEPS):
        model.step()
    assert model.other.names() == [email_of(home, model.other.owner)]
    assert len(model.other.get("/Groups").json()["Resources"]) == 1
