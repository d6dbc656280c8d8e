"""Versions: who says which one they have changes no other, and each change that shows makes another."""

from collections.abc import Callable

import pytest

from homeport.storage.db.records import OrganizationRole
from tests.home import User, unique
from tests.provisioning import Provisioned, ordered, set_active
from tests.scim import PATCH_OP, Json

STALE = 'W/"0.0"'


def version_of(provider: Provisioned, resource: Json) -> str:
    path = f"/{resource['meta']['resourceType']}s/{resource['id']}"
    answer = provider.get(path)
    version: str = answer.json()["meta"]["version"]
    assert answer.headers["etag"] == version
    return version


def writes(provider: Provisioned, resource: Json) -> list[tuple[str, Json | None]]:
    """A request of each kind that would change a resource."""
    changed = {"displayName": unique("other")}
    operation = {"op": "replace", "path": "displayName", "value": unique("third")}
    patch: Json = {"schemas": [PATCH_OP], "Operations": [operation]}
    shut: Json = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    more = [("PATCH", shut)] if "userName" in resource else []
    return [("PUT", {**resource, **changed}), ("PATCH", patch), *more, ("DELETE", None)]


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_a_stale_version_is_refused_and_changes_nothing(provider: Provisioned, kind: str) -> None:
    resource = provider.user() if kind == "Users" else provider.group(None, provider.user())
    path = f"/{kind}/{resource['id']}"
    before = resource["meta"]["version"]
    assert provider.set(resource, displayName=unique("first")).status_code == 200
    assert version_of(provider, resource) != before
    state = provider.state()
    for stale in (before, STALE, '"never"', f"{STALE}, {before}"):
        for method, body in writes(provider, resource):
            answer = provider.send(method, path, body, headers={"if-match": stale})
            assert answer.status_code == 412, (method, stale, answer.text)
            assert provider.state() == state
    for present in ("*", version_of(provider, resource)):
        answer = provider.send("PUT", path, resource, headers={"if-none-match": present})
        assert answer.status_code == 412
        assert provider.state() == state


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_the_present_version_is_taken(provider: Provisioned, kind: str) -> None:
    resource = provider.user() if kind == "Users" else provider.group()
    path = f"/{kind}/{resource['id']}"
    for method, body in writes(provider, resource):
        version = version_of(provider, resource)
        for match in (f"{STALE}, {version}", "*"):
            answer = provider.send(method, path, body, headers={"if-match": match})
            assert answer.status_code in (200, 204), (method, match, answer.text)
            if method == "DELETE":
                break


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_who_has_the_present_version_is_told_so(provider: Provisioned, kind: str) -> None:
    resource = provider.user() if kind == "Users" else provider.group()
    path = f"/{kind}/{resource['id']}"
    answer = provider.client.get(f"/v2/scim/2.0{path}", headers={"if-none-match": resource["meta"]["version"]})
    assert (answer.status_code, answer.content) == (304, b"")
    provider.set(resource, displayName=unique("new"))
    again = provider.client.get(f"/v2/scim/2.0{path}", headers={"if-none-match": resource["meta"]["version"]})
    assert again.status_code == 200


def hub_role(provider: Provisioned, user: User, resource: Json) -> None:
    role = {"role": "editor" if provider.role_of(user) is OrganizationRole.MEMBER else "member"}
    answer = provider.hub.put(f"/v2/orgs/{provider.organization}/members/{user.name}", json=role)
    assert answer.status_code == 200


def hub_owner(provider: Provisioned, user: User, resource: Json) -> None:
    answer = provider.hub.put(f"/v2/orgs/{provider.organization}/members/{user.name}", json={"role": "owner"})
    assert answer.status_code == 200


def shut_by_site(provider: Provisioned, user: User, resource: Json) -> None:
    set_active(provider.home, user, is_active=False)


def hub_team_renamed(provider: Provisioned, user: User, resource: Json) -> None:
    url = f"/v2/orgs/{provider.organization}/groups/company"
    assert provider.hub.patch(url, json={"name": unique("renamed")}).status_code == 200


def hub_team_left(provider: Provisioned, user: User, resource: Json) -> None:
    url = f"/v2/orgs/{provider.organization}/groups/company/members/{user.name}"
    assert provider.hub.delete(url).status_code == 204


def hub_team_deleted(provider: Provisioned, user: User, resource: Json) -> None:
    assert provider.hub.delete(f"/v2/orgs/{provider.organization}/groups/company").status_code == 204


def hub_team_joined(provider: Provisioned, user: User, resource: Json) -> None:
    url, name = f"/v2/orgs/{provider.organization}/groups", unique("team")
    assert provider.hub.post(url, json={"name": name}).status_code == 201
    assert provider.hub.post(f"{url}/{name}/members", json={"member": user.name}).status_code == 200


def hub_team_swapped(provider: Provisioned, user: User, resource: Json) -> None:
    """As many teams as before."""
    hub_team_left(provider, user, resource)
    hub_team_joined(provider, user, resource)


def group_put(provider: Provisioned, user: User, resource: Json) -> None:
    provider.group(None, resource)


def group_renamed(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(provider.group_named("company"), displayName=unique("Other "))


def patched_role(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(resource, **ordered(role="editor"))


def patched_external_id(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(resource, externalId=unique("id"))


def patched_emails(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(resource, emails=[])


def deactivated(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(resource, active=False)


def renamed_in_case(provider: Provisioned, user: User, resource: Json) -> None:
    provider.set(resource, userName=resource["userName"].upper())


@pytest.mark.parametrize(
    "change",
    [
        hub_role,
        hub_owner,
        shut_by_site,
        hub_team_renamed,
        hub_team_left,
        hub_team_deleted,
        hub_team_joined,
        hub_team_swapped,
        group_put,
        group_renamed,
        patched_role,
        patched_external_id,
        patched_emails,
        deactivated,
        renamed_in_case,
    ],
)
def test_each_change_that_shows_of_a_user_makes_another_version(
    provider: Provisioned, change: Callable[[Provisioned, User, Json], None]
) -> None:
    made = provider.user(**ordered(role="member", team="company"))
    before = provider.get(f"/Users/{made['id']}").json()
    change(provider, User(provider.account_of(made)), made)
    after = provider.get(f"/Users/{made['id']}").json()
    old, new = before["meta"].pop("version"), after["meta"].pop("version")
    before["meta"].pop("lastModified")
    after["meta"].pop("lastModified")
    assert before != after, "the change is one that shows"
    assert old != new
    answer = provider.send("PUT", f"/Users/{made['id']}", before, headers={"if-match": old})
    assert answer.status_code == 412


def member_left(provider: Provisioned, group: Json, user: User) -> None:
    url = f"/v2/orgs/{provider.organization}/groups/{group['displayName']}/members/{user.name}"
    assert provider.hub.delete(url).status_code == 204


def member_came(provider: Provisioned, group: Json, user: User) -> None:
    other = provider.member()
    url = f"/v2/orgs/{provider.organization}/groups/{group['displayName']}/members"
    assert provider.hub.post(url, json={"member": other.name}).status_code == 200


def member_swapped(provider: Provisioned, group: Json, user: User) -> None:
    member_left(provider, group, user)
    member_came(provider, group, user)


def member_removed(provider: Provisioned, group: Json, user: User) -> None:
    assert provider.hub.delete(f"/v2/orgs/{provider.organization}/members/{user.name}").status_code == 204


def member_deleted(provider: Provisioned, group: Json, user: User) -> None:
    assert provider.delete(f"/Users/{provider.id_of(user)}").status_code == 204


def renamed_by_owner(provider: Provisioned, group: Json, user: User) -> None:
    url = f"/v2/orgs/{provider.organization}/groups/{group['displayName']}"
    assert provider.hub.patch(url, json={"name": unique("renamed")}).status_code == 200


@pytest.mark.parametrize(
    "change", [member_left, member_came, member_swapped, member_removed, member_deleted, renamed_by_owner]
)
def test_each_change_that_shows_of_a_group_makes_another_version(
    provider: Provisioned, change: Callable[[Provisioned, Json, User], None]
) -> None:
    made = provider.user()
    group = provider.group(None, made, provider.user())
    change(provider, group, User(provider.account_of(made)))
    after = provider.get(f"/Groups/{group['id']}").json()
    assert (after["displayName"], after.get("members")) != (group["displayName"], group["members"])
    assert after["meta"]["version"] != group["meta"]["version"]
    answer = provider.send("PUT", f"/Groups/{group['id']}", group, headers={"if-match": group["meta"]["version"]})
    assert answer.status_code == 412


def test_what_changes_nothing_makes_no_other_version(provider: Provisioned) -> None:
    member = provider.user()
    for resource in (provider.user(**ordered(role="member")), provider.group(None, member)):
        path = f"/{resource['meta']['resourceType']}s/{resource['id']}"
        shown = provider.get(path).json()
        for _ in range(2):
            assert provider.put(path, shown).json() == shown
            assert provider.set(resource, displayName=shown["displayName"]).json() == shown
        assert version_of(provider, resource) == shown["meta"]["version"]
