"""What an organization sets: images, registries, policies."""

from typing import Any

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.home import Home, User
from tests.logs import events, logged

PATHS = ["", "/registry-access-management", "/policies"]
UNRESTRICTED = {
    "restricted_images": {"enabled": False, "allow_official_images": True, "allow_verified_publishers": True}
}
RESTRICTED = {"restricted_images": {"enabled": True, "allow_official_images": False, "allow_verified_publishers": True}}
OURS = {"address": "registry.example.com:5000", "friendly_name": "Ours", "allowed": True}
OTHER = {"address": "https://Other.example.com", "friendly_name": "", "allowed": False}


class Scene:
    """An organization with its owner."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.name = home.organization(self.owner)
        self.url = f"/v2/orgs/{self.name}/settings"
        self.client = home.hub(self.owner)

    def log(self) -> list[tuple[str, dict[str, Any]]]:
        """What was written since the organization was made."""
        return [event for event in logged(self.home, self.name) if event[0] != "org.create"]


@pytest.fixture
def scene(home: Home) -> Scene:
    return Scene(home)


def registry_access(*registries: dict[str, Any], enabled: bool = True, docker_hub: bool = True) -> dict[str, Any]:
    return {
        "enabled": enabled,
        "standard_registries": [{"id": "DockerHub", "allowed": docker_hub}],
        "custom_registries": list(registries),
    }


# Who may


@pytest.mark.parametrize("path", PATHS)
def test_owners_and_site_administrators_read_and_change_settings_and_nobody_else(home: Home, path: str) -> None:
    scene = Scene(home)
    url = scene.url + path
    method = "PATCH" if path == "/policies" else "PUT"
    body = scene.client.get(url).json()
    users: dict[str, User] = {who: home.user() for who in ("stranger", "member", "editor")}
    home.member(scene.name, users["member"], OrganizationRole.MEMBER)
    home.member(scene.name, users["editor"], OrganizationRole.EDITOR)

    def statuses(client: httpx.Client) -> tuple[int, int]:
        return client.get(url).status_code, client.request(method, url, json=body).status_code

    assert statuses(scene.client) == (200, 200)
    assert statuses(home.hub(home.admin)) == (200, 200)
    assert statuses(home.anonymous) == (401, 401)
    for user in users.values():
        assert statuses(home.hub(user)) == (403, 403)
    by_token = home.hub(scene.owner, home.access_token(scene.owner)[1])
    assert statuses(by_token) == (403, 403)
    refusal = by_token.get(url).json()
    assert refusal == {"message": "token issued from personal access token is not allowed", "errinfo": {}}


@pytest.mark.parametrize("path", PATHS)
def test_settings_of_an_organization_that_is_not_there_are_not_found(home: Home, path: str) -> None:
    for name in ("nothing-here", home.user().name):
        answer = home.hub(home.admin).get(f"/v2/orgs/{name}/settings{path}")
        assert answer.status_code == 404
        assert "not found" in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_paths_take_a_slash_at_their_end(scene: Scene, path: str) -> None:
    plain = scene.client.get(scene.url + path)
    assert plain.status_code == 200
    assert scene.client.get(f"{scene.url}{path}/").json() == plain.json()


# Restricted images


def test_images_are_not_restricted_at_first(scene: Scene) -> None:
    assert scene.client.get(scene.url).json() == UNRESTRICTED


def test_restricted_images_are_replaced_and_read_back(scene: Scene) -> None:
    answer = scene.client.put(scene.url, json=RESTRICTED | {"unknown": 1})
    assert (answer.status_code, answer.json()) == (200, RESTRICTED)
    assert answer.headers["content-type"] == "application/json"
    assert scene.client.get(scene.url).json() == RESTRICTED
    scene.client.put(scene.url, json=UNRESTRICTED)
    assert scene.client.get(scene.url).json() == UNRESTRICTED


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "restricted_images"),
        ({"restricted_images": {"enabled": True, "allow_official_images": True}}, "restricted_images"),
        ({"restricted_images": RESTRICTED["restricted_images"] | {"enabled": "yes"}}, "restricted_images"),
        ({"restricted_images": None}, "restricted_images"),
    ],
)
def test_all_three_booleans_are_required(scene: Scene, body: Any, field: str) -> None:
    answer = scene.client.put(scene.url, json=body)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert scene.client.get(scene.url).json() == UNRESTRICTED


def test_the_log_says_which_settings_have_changed_and_nothing_when_none_has(scene: Scene) -> None:
    scene.client.put(scene.url, json=RESTRICTED)
    scene.client.put(scene.url, json=RESTRICTED)
    changed = {"restricted_images.enabled": "true", "restricted_images.allow_official_images": "false"}
    assert scene.log() == [("org.settings.update", changed)]
    event = events(scene.home, scene.name)[-1]
    assert (event.name, event.actor) == (scene.name, scene.owner.name)


def test_one_section_of_the_settings_leaves_the_others_alone(scene: Scene) -> None:
    scene.client.put(scene.url, json=RESTRICTED)
    scene.client.put(scene.url + PATHS[1], json=registry_access(OURS))
    scene.client.patch(scene.url + PATHS[2], json={"insights": True})
    scene.client.put(scene.url + PATHS[1], json=registry_access(OURS, docker_hub=False))
    assert scene.client.get(scene.url).json() == RESTRICTED
    assert scene.client.get(scene.url + PATHS[1]).json() == registry_access(OURS, docker_hub=False)
    assert scene.client.get(scene.url + PATHS[2]).json()["insights"] is True
    scene.client.put(scene.url, json=UNRESTRICTED)
    assert scene.client.get(scene.url + PATHS[1]).json() == registry_access(OURS, docker_hub=False)


def test_settings_of_one_organization_are_not_those_of_another(home: Home) -> None:
    first, second = Scene(home), Scene(home)
    first.client.put(first.url, json=RESTRICTED)
    assert second.client.get(second.url).json() == UNRESTRICTED


# Registry access


def test_registries_are_open_at_first(scene: Scene) -> None:
    assert scene.client.get(scene.url + PATHS[1]).json() == registry_access(enabled=False)


def test_registry_access_comes_back_as_it_was_sent(scene: Scene) -> None:
    sent = registry_access(OTHER, OURS, docker_hub=False)
    assert scene.client.put(scene.url + PATHS[1], json=sent).json() == sent
    assert scene.client.get(scene.url + PATHS[1]).json() == sent


def test_each_change_of_registry_access_is_in_the_log(scene: Scene) -> None:
    url = scene.url + PATHS[1]
    scene.client.put(url, json=registry_access(OURS, OTHER))
    scene.client.put(url, json=registry_access(OTHER, OURS))
    changed = OURS | {"address": "REGISTRY.example.com:5000", "allowed": False}
    new = {"address": "new.example.com", "friendly_name": "New", "allowed": True}
    scene.client.put(url, json=registry_access(changed, new, enabled=False, docker_hub=False))

    def told(registry: dict[str, Any]) -> dict[str, str]:
        return {
            "registry": registry["address"],
            "friendly_name": registry["friendly_name"],
            "allowed": str(registry["allowed"]).lower(),
        }

    assert scene.log() == [
        ("org.registry_access.enabled", {}),
        ("org.registry_access.registry_added", told(OURS)),
        ("org.registry_access.registry_added", told(OTHER)),
        ("org.registry_access.disabled", {}),
        ("org.registry_access.registry_updated", {"registry": "DockerHub", "allowed": "false"}),
        ("org.registry_access.registry_updated", told(changed)),
        ("org.registry_access.registry_added", told(new)),
        ("org.registry_access.registry_removed", told(OTHER)),
    ]


@pytest.mark.parametrize(
    "address",
    ["localhost", "a.example.com:65535", "http://a.example.com/", "10.0.0.1:5000", "[fd00::1]:5000", "A-b.de"],
)
def test_addresses_of_registries(scene: Scene, address: str) -> None:
    sent = registry_access(OURS | {"address": address})
    assert scene.client.put(scene.url + PATHS[1], json=sent).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        *("", "a b", "a.example.com:0", "a.example.com:65536", "a.example.com/path", "ftp://a.example.com", "-a.com"),
        *("user@a.example.com", "a.example.com:", "é.example.com", "a..b", "a\n", "*.example.com"),
        *("a" * 64 + ".com", ".".join(["a" * 60] * 5)),
    ],
)
def test_what_is_no_address_is_refused(scene: Scene, address: str) -> None:
    answer = scene.client.put(scene.url + PATHS[1], json=registry_access(OURS, OURS | {"address": address}))
    assert answer.status_code == 400, answer.text
    (problem,) = answer.json()["fields"]["custom_registries"]
    assert problem.startswith("1: address ")


@pytest.mark.parametrize("twin", ["registry.example.com:5000", "https://REGISTRY.example.com:5000/"])
def test_a_registry_can_be_named_once_only_however_it_is_written(scene: Scene, twin: str) -> None:
    answer = scene.client.put(scene.url + PATHS[1], json=registry_access(OURS, OURS | {"address": twin}))
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"custom_registries": [f"1: address {twin} is there already."]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"standard_registries": []}, "standard_registries"),
        ({"standard_registries": [{"id": "DockerHub", "allowed": True}] * 2}, "standard_registries"),
        ({"standard_registries": [{"id": "Elsewhere", "allowed": True}]}, "standard_registries"),
        ({"custom_registries": [{"address": "a.example.com", "allowed": True}]}, "custom_registries"),
        ({"custom_registries": [OURS | {"friendly_name": "x" * 256}]}, "custom_registries"),
        ({"custom_registries": [OURS | {"address": f"r{n}.example.com"} for n in range(101)]}, "custom_registries"),
        ({"enabled": None}, "enabled"),
    ],
)
def test_what_is_wrong_with_registry_access_is_named(scene: Scene, changes: dict[str, Any], field: str) -> None:
    answer = scene.client.put(scene.url + PATHS[1], json=registry_access() | changes)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_a_hundred_registries_have_room(scene: Scene) -> None:
    sent = registry_access(*(OURS | {"address": f"r{number}.example.com"} for number in range(100)))
    assert scene.client.put(scene.url + PATHS[1], json=sent).json() == sent


# Policies


def test_policies_are_changed_one_by_one(scene: Scene) -> None:
    url = scene.url + PATHS[2]
    off = {"sso_enforced": False, "insights": False, "audit_pulls": False}
    assert scene.client.get(url).json() == off
    assert scene.client.patch(url, json={"audit_pulls": True}).json() == off | {"audit_pulls": True}
    assert scene.client.patch(url, json={"insights": True}).json() == off | {"audit_pulls": True, "insights": True}
    assert scene.client.patch(url, json={}).json() == off | {"audit_pulls": True, "insights": True}
    assert scene.client.patch(url, json={"audit_pulls": False}).json() == off | {"insights": True}
    assert scene.client.patch(url, json={"insights": 1}).json()["fields"].keys() == {"insights"}


def test_the_log_tells_of_policies_and_of_single_sign_on_apart(scene: Scene) -> None:
    url = scene.url + PATHS[2]
    for _ in range(2):
        assert scene.client.patch(url, json={"insights": True, "audit_pulls": True}).status_code == 200
    admin = scene.home.hub(scene.home.admin)
    for _ in range(2):
        assert admin.patch(url, json={"sso_enforced": True}).json()["sso_enforced"] is True
    assert admin.patch(url, json={"sso_enforced": False, "insights": False}).json()["sso_enforced"] is False
    assert scene.log() == [
        ("org.settings.update", {"insights": "true", "audit_pulls": "true"}),
        ("enterprise.sso.connection.enforcement_toggle", {"enforced": "true"}),
        ("org.settings.update", {"insights": "false"}),
        ("enterprise.sso.connection.enforcement_toggle", {"enforced": "false"}),
    ]


# Badges


def test_the_site_administrator_marks_a_namespace_and_nobody_else(home: Home) -> None:
    scene = Scene(home)
    url = f"/v2/namespaces/{scene.name}/badge"
    body = {"badge": "verified_publisher"}
    admin = home.hub(home.admin)
    assert home.anonymous.put(url, json=body).status_code == 401
    assert scene.client.put(url, json=body).status_code == 403
    assert home.hub(home.admin, home.access_token(home.admin)[1]).put(url, json=body).status_code == 403
    for _ in range(2):
        assert admin.put(f"{url}/", json=body).json() == body
    assert admin.put(url, json={"badge": "none"}).json() == {"badge": "none"}
    assert scene.log() == [
        ("user.badge.change", {"badge": "verified_publisher", "former_badge": "none"}),
        ("user.badge.change", {"badge": "none", "former_badge": "verified_publisher"}),
    ]
    assert list(admin.put(url, json={"badge": "golden"}).json()["fields"]) == ["badge"]
    unknown = admin.put("/v2/namespaces/nothing-here/badge", json=body)
    assert (unknown.status_code, "not found" in unknown.text) == (404, True)
