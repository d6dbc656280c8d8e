"""Teams as an identity provider sees and changes them: the owners team, who can be in one, limits, and many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, User, unique
from tests.inviting import value
from tests.provisioning import Provisioned, ordered, set_active, the_error
from tests.scim import GROUP, Json

TAKEN = (409, "uniqueness")


def members(provider: Provisioned, group: Json) -> set[str]:
    shown = provider.get(f"/Groups/{group['id']}").json()
    return {member["value"] for member in shown.get("members", ())}


def team_members(provider: Provisioned, name: str) -> list[str]:
    """Who is in a team, as a site administrator sees it."""
    admin = provider.home.hub(provider.home.admin)
    found = admin.get(f"/v2/orgs/{provider.organization}/groups/{name}/members").json()["results"]
    return sorted(member["username"] for member in found)


def refs(*users: Json) -> list[Json]:
    return [{"value": user["id"]} for user in users]


# Who can be a member


def outsiders(provider: Provisioned) -> dict[str, str]:
    """Ids that are no users of the organization."""
    home = provider.home
    other = Provisioned.at(home)
    number = "select id from accounts where name = :name"
    stranger = home.user()
    admin = home.user(is_site_admin=True)
    home.member(provider.organization, admin, OrganizationRole.MEMBER)
    gone = provider.user()
    provider.delete(f"/Users/{gone['id']}")
    member = provider.member()
    return {
        "stranger": provider.id_of(stranger),
        "user of another organization": other.user()["id"],
        "owner of another organization": provider.id_of(other.owner),
        "site administrator": provider.id_of(home.admin),
        "site administrator who is a member": provider.id_of(admin),
        "another organization": value(home, str, "select uuid from accounts where name = :n", n=other.organization),
        "this organization": value(home, str, "select uuid from accounts where name = :n", n=provider.organization),
        "group of another organization": other.group()["id"],
        "who was deleted": gone["id"],
        "number of a member": str(value(home, int, number, name=member.name)),
        "name of a member": member.name,
        "address of a member": provider.shown(member).json()["userName"],
        "id in upper case": provider.id_of(member).upper(),
        "nothing": "",
        "sql": "' or 1=1 --",
        "long": "x" * 100_000,
    }


@pytest.mark.parametrize("team", ["new", "owners"])
def test_ids_that_are_no_users_are_left_out_and_never_added(provider: Provisioned, team: str) -> None:
    ids = outsiders(provider)
    wrong = [{"value": id_} for id_ in ids.values()]
    user = provider.user()
    if team == "owners":
        group = provider.group_named("owners")
        kept = [{"value": provider.id_of(provider.owner)}]
    else:
        made = provider.post("/Groups", {"schemas": [GROUP], "displayName": unique("g"), "members": wrong})
        assert made.status_code == 201, made.text
        group, kept = made.json(), []
        assert "members" not in group
    path = f"/Groups/{group['id']}"
    for answer in (
        provider.put(path, {**group, "members": [*wrong, *kept, *refs(user)]}),
        provider.patch(path, {"op": "add", "path": "members", "value": wrong}),
        provider.patch(path, {"op": "add", "value": {"members": wrong}}),
        provider.patch(path, {"op": "replace", "path": "members", "value": [*wrong, *kept, *refs(user)]}),
        *(provider.patch(path, {"op": "add", "path": "members", "value": [one]}) for one in wrong),
    ):
        assert answer.status_code == 200, answer.text
        assert members(provider, group) == {user["id"], *(one["value"] for one in kept)}
    teams = "select count(*) from team_members m join teams t on t.id = m.team_id where t.uuid = :uuid"
    assert value(provider.home, int, teams, uuid=group["id"]) == 1 + len(kept)


def test_a_member_who_is_given_twice_is_in_once(provider: Provisioned) -> None:
    user = provider.user()
    group = provider.group(None, user, user)
    assert [member["value"] for member in group["members"]] == [user["id"]]
    added = provider.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": refs(user, user)})
    assert [member["value"] for member in added.json()["members"]] == [user["id"]]


def test_a_site_administrator_in_a_team_is_not_seen_and_not_removed(provider: Provisioned) -> None:
    home = provider.home
    admin = home.user(is_site_admin=True)
    home.member(provider.organization, admin, OrganizationRole.OWNER)
    private = home.repository(provider.organization, is_private=True)
    home.team_member(private, admin, Permission.ADMIN)
    teams = (provider.inviting.teams_of(admin.name) or "").split(",")
    (name,) = set(teams) - {"owners"}
    user = provider.user()
    for group in (provider.group_named(name), provider.group_named("owners")):
        path = f"/Groups/{group['id']}"
        uuid = provider.id_of(admin)
        assert uuid not in provider.get(path).text
        for answer in (
            provider.put(path, {**group, "members": refs(user)}),
            provider.patch(path, {"op": "remove", "path": f'members[value eq "{uuid}"]'}),
            provider.patch(path, {"op": "remove", "path": "members", "value": [{"value": uuid}]}),
            provider.put(path, {**group, "members": []}),
        ):
            assert answer.status_code in (200, 400)
            assert uuid not in answer.text
            assert admin.name in team_members(provider, group["displayName"])
        assert provider.get("/Groups", filter=f'members.value eq "{uuid}"').json()["totalResults"] == 0
    assert provider.role_of(admin) is OrganizationRole.OWNER
    assert team_members(provider, "owners") == [admin.name], "another owner is there: the visible ones may go"


def test_who_is_shut_by_the_site_stays_in_their_teams(provider: Provisioned) -> None:
    resource, user = provider.employee()
    group = provider.group(None, resource)
    set_active(provider.home, user, is_active=False)
    assert members(provider, group) == {resource["id"]}
    assert provider.set(group, displayName=unique("other")).status_code == 200
    assert members(provider, group) == {resource["id"]}


# The owners team


def test_who_is_put_into_the_owners_team_is_an_owner_and_who_is_taken_out_is_none(provider: Provisioned) -> None:
    group = provider.group_named("owners")
    path = f"/Groups/{group['id']}"
    resource = provider.user()
    user = User(provider.account_of(resource))
    before = len(provider.events())
    assert provider.patch(path, {"op": "add", "path": "members", "value": refs(resource)}).status_code == 200
    assert provider.role_of(user) is OrganizationRole.OWNER
    one = f'members[value eq "{resource["id"]}"]'
    assert provider.patch(path, {"op": "remove", "path": one}).status_code == 200
    assert provider.role_of(user) is OrganizationRole.MEMBER
    assert [action for action, _ in provider.events()[before:]] == [
        "org.member.role.change",
        "org.team.member.add",
        "org.member.role.change",
        "org.team.member.remove",
    ]


@pytest.mark.parametrize("name", ["owners", "Owners", "OWNERS", "\uff4f\uff57\uff4e\uff45\uff52\uff53", "owner\u017f"])
def test_there_is_one_owners_team(provider: Provisioned, name: str) -> None:
    """Also by names that differ in case or form."""
    user = provider.user()
    before = provider.state()
    body = {"schemas": [GROUP], "displayName": name, "members": refs(user)}
    assert the_error(provider.post("/Groups", body)) == TAKEN
    assert provider.state() == before
    group = provider.group()
    before = provider.state()
    assert the_error(provider.set(group, displayName=name)) == TAKEN
    assert provider.state() == before


@pytest.mark.parametrize("name", [" owners ", "owners.", "owners\u00e9", "\u043ewners", "owners-1", "own ers"])
def test_a_group_that_is_only_called_alike_makes_no_owners(provider: Provisioned, name: str) -> None:
    resource = provider.user()
    group = provider.group(name, resource)
    assert group["displayName"] == name
    assert provider.role_of(User(provider.account_of(resource))) is OrganizationRole.MEMBER
    assert team_members(provider, "owners") == [provider.owner.name]
    if " " not in name:
        again = provider.user(**ordered(team=name))
        assert members(provider, group) == {resource["id"], again["id"]}
        assert provider.role_of(User(provider.account_of(again))) is OrganizationRole.MEMBER


def test_the_owners_team_is_neither_deleted_nor_renamed(provider: Provisioned) -> None:
    group = provider.group_named("owners")
    before = provider.state()
    assert the_error(provider.delete(f"/Groups/{group['id']}")) == (400, "mutability")
    assert the_error(provider.set(group, displayName="bosses")) == (400, "mutability")
    assert provider.state() == before
    written = provider.set(group, displayName="Owners", externalId="o")
    assert (written.status_code, written.json()["displayName"]) == (200, "Owners")
    assert team_members(provider, "owners") == [provider.owner.name]
    resource = provider.user(**ordered(role="owner"))
    assert members(provider, group) == {resource["id"], provider.id_of(provider.owner)}


def test_a_refused_change_of_owners_leaves_all_as_it_was(provider: Provisioned) -> None:
    """Some may go and one may not: none goes."""
    second = provider.user(**ordered(role="owner"))
    third = provider.user()
    group = provider.group_named("owners")
    before = provider.state()
    answer = provider.put(f"/Groups/{group['id']}", {**group, "displayName": "Owners", "members": []})
    assert the_error(answer) == (400, "mutability")
    assert provider.state() == before
    swapped = provider.put(f"/Groups/{group['id']}", {**group, "members": refs(third)})
    assert swapped.status_code == 200
    assert members(provider, group) == {third["id"]}
    assert provider.role_of(User(provider.account_of(second))) is OrganizationRole.MEMBER


# Teams that owners make


def test_groups_are_the_teams_of_the_organization_however_they_came(provider: Provisioned) -> None:
    url = f"/v2/orgs/{provider.organization}/groups"
    name = unique("Team")
    assert provider.hub.post(url, json={"name": name, "description": "Ours"}).status_code == 201
    group = provider.group_named(name.upper())
    user = provider.user()
    provider.set(group, members=refs(user), externalId="ext")
    assert team_members(provider, name) == [provider.account_of(user)]
    shown = provider.hub.get(f"{url}/{name}").json()
    assert (shown["name"], shown["description"]) == (name, "Ours")
    provider.set(group, displayName="R & D")
    assert provider.hub.get(f"{url}/{name}").status_code == 404
    assert provider.hub.get(f"{url}/R-D").json()["id"] == shown["id"]
    renamed = unique("renamed")
    provider.hub.patch(f"{url}/R-D", json={"name": renamed})
    assert provider.get(f"/Groups/{group['id']}").json()["displayName"] == renamed


def test_deleting_a_group_keeps_its_members(provider: Provisioned) -> None:
    user = provider.user()
    group = provider.group(None, user)
    assert provider.delete(f"/Groups/{group['id']}").status_code == 204
    assert provider.get(f"/Groups/{group['id']}").status_code == 404
    assert provider.get(f"/Users/{user['id']}").json()["active"] is True


def test_a_group_of_a_name_that_was_deleted_is_another_one(provider: Provisioned) -> None:
    home = provider.home
    name = unique("team")
    group = provider.group(name, provider.user())
    private = home.repository(provider.organization, is_private=True)
    grant = """insert into repository_teams (repository_id, team_id, permission, created_at)
        select r.id, t.id, 'read', 1 from repositories r, teams t where r.name = :name and t.uuid = :uuid"""
    home.run(lambda services: _run(services, grant, name=private.name, uuid=group["id"]))
    provider.delete(f"/Groups/{group['id']}")
    resource = provider.user()
    again = provider.group(name, resource)
    assert again["id"] != group["id"]
    grants = "select count(*) from repository_teams t join repositories r on r.id = t.repository_id where r.name = :n"
    assert value(home, int, grants, n=private.name) == 0


async def _run(services: object, sql: str, **parameters: str) -> None:
    async with services.db.write() as tx:  # type: ignore[attr-defined]
        await tx.run(sql, **parameters)


def test_a_patch_changes_the_members_that_it_names_and_no_others(provider: Provisioned) -> None:
    kept, gone, new = (provider.user() for _ in range(3))

    def after(*operations: Json) -> set[str]:
        group = provider.group(None, kept, gone)
        answer = provider.patch(f"/Groups/{group['id']}", *operations)
        assert answer.status_code == 200, answer.text
        found = members(provider, group)
        assert {member["value"] for member in answer.json().get("members", ())} == found
        return found

    add = {"op": "add", "path": "members", "value": refs(new)}
    without_path = {"op": "add", "value": {"members": refs(new), "displayName": unique("renamed")}}
    remove = {"op": "remove", "path": f'members[value eq "{gone["id"]}"]'}
    remove_values = {"op": "remove", "path": "members", "value": refs(gone, new)}
    every = {"op": "remove", "path": "members"}
    only = {"op": "replace", "path": "members", "value": refs(new)}
    long = {"op": "remove", "path": f'{GROUP}:members[value eq "{gone["id"]}"]'}
    ids = {user["id"] for user in (kept, gone)}
    assert after(add, remove) == after(remove, without_path) == after(long, add) == {kept["id"], new["id"]}
    assert after(add, remove_values) == after(remove_values) == {kept["id"]}
    assert after(add, every) == after(every) == set()
    assert after(every, add) == after(remove, only) == {new["id"]}
    assert after(add, {**remove, "path": f'members[value eq "{new["id"]}"]'}) == ids
    assert after({"op": "replace", "path": "displayName", "value": unique("d")}) == ids


# Many at once


def test_members_who_are_added_at_once_are_all_there(provider: Provisioned) -> None:
    users = [provider.user() for _ in range(12)]
    gone, coming = users[:4], users[4:]
    group = provider.group(None, *gone)
    path = f"/Groups/{group['id']}"
    requests = [{"op": "add", "path": "members", "value": refs(user)} for user in coming]
    requests += [{"op": "remove", "path": f'members[value eq "{user["id"]}"]'} for user in gone]
    barrier = threading.Barrier(len(requests))

    def one(operation: Json) -> int:
        barrier.wait()
        return provider.patch(path, operation).status_code

    with ThreadPoolExecutor(len(requests)) as pool:
        assert set(pool.map(one, requests)) == {200}
    assert members(provider, group) == {user["id"] for user in coming}


def test_of_two_that_make_one_group_at_once_one_does(provider: Provisioned) -> None:
    for _ in range(5):
        name = unique("Twin ")
        barrier = threading.Barrier(2)

        def one(name: str, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return provider.post("/Groups", {"schemas": [GROUP], "displayName": name}).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(one, (name, name.upper()))) == [201, 409]


def test_two_users_of_one_new_team_at_once_share_it(provider: Provisioned) -> None:
    team = unique("team")
    barrier = threading.Barrier(4)

    def one(_: int) -> int:
        barrier.wait()
        return provider.create(f"{unique('u')}@x.example", **ordered(team=team)).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [201] * 4
    assert len(members(provider, provider.group_named(team))) == 4


def test_homes_of_teams_are_apart(home: Home) -> None:
    """Teams of one name in two organizations are two."""
    one, other = Provisioned.at(home), Provisioned.at(home)
    name = unique("same")
    mine, theirs = one.group(name, one.user()), other.group(name)
    assert mine["id"] != theirs["id"]
    assert members(other, theirs) == set()
    for answer in (
        other.get(f"/Groups/{mine['id']}"),
        other.set(mine, displayName="stolen"),
        other.put(f"/Groups/{mine['id']}", {**mine, "members": []}),
        other.delete(f"/Groups/{mine['id']}"),
    ):
        assert the_error(answer) == (404, None)
    assert one.get(f"/Groups/{mine['id']}").json() == mine
