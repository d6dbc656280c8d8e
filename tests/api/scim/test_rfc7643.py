"""The samples of RFC 7643 §8: what they send is taken, what comes back has their shape."""

from typing import Any

import pytest

from tests.api.hub.people import verified_domain
from tests.home import Home, unique
from tests.scim import GROUP, USER, IdentityProvider, Json, sample

KEPT = {"schemas", "id", "externalId", "userName", "name", "displayName", "active", "emails", "groups", "meta"}
"""What this service answers of a user; the rest of the samples is taken and left aside."""

ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SERVER_CHOSEN = ("id", "groups", "meta")


@pytest.fixture
def provider(home: Home) -> IdentityProvider:
    return IdentityProvider.of(home)


def moved(resource: Any, provider: IdentityProvider) -> Any:
    """A sample whose addresses are in a domain of its own: addresses are unique in a hub."""
    domain = f"{unique('d')}.example.com"
    verified_domain(provider.home, provider.organization, domain)

    def in_domain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: in_domain(part) for name, part in value.items()}
        if isinstance(value, list):
            return [in_domain(part) for part in value]
        return value.replace("@example.com", f"@{domain}") if isinstance(value, str) else value

    return in_domain(resource)


def check_user(sent: Json, made: Json, provider: IdentityProvider) -> None:
    """What is kept is as it was sent, what the service chooses has the sample's shape, and nothing else is there."""
    assert made.keys() <= KEPT
    for name in KEPT & sent.keys() - set(SERVER_CHOSEN) - {"name"}:
        assert made[name] == (sent[name] if name != "schemas" else [USER]), name
    if "name" in sent:
        assert made["name"] == {name: sent["name"][name] for name in ("givenName", "familyName")}
    assert made["id"] != sent["id"]
    assert made["meta"].keys() == sent["meta"].keys()
    assert made["meta"]["resourceType"] == "User"
    assert made["meta"]["location"] == f"{provider.base_url}/Users/{made['id']}"
    assert made["meta"]["created"] <= made["meta"]["lastModified"]
    assert made["meta"]["version"].startswith('W/"')


@pytest.mark.parametrize(
    "name", ["rfc7643-8.1-minimal-user.json", "rfc7643-8.2-full-user.json", "rfc7643-8.3-enterprise-user.json"]
)
def test_a_user_of_the_rfc_is_made_read_replaced_and_found(provider: IdentityProvider, name: str) -> None:
    sent = moved(sample(name), provider)
    answer = provider.post("/Users", sent)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    check_user(sent, made, provider)
    path = f"/Users/{made['id']}"
    assert provider.get(path).json() == made
    found = provider.get("/Users", filter=f'userName eq "{sent["userName"].upper()}"').json()
    assert found["Resources"] == [made]
    assert "t1meMa$heen" not in provider.get("/Users").text
    replaced = provider.put(path, {**sent, "displayName": "Babs", "active": True})
    assert replaced.status_code == 200, replaced.text
    check_user({**sent, "displayName": "Babs"}, replaced.json(), provider)


def test_the_groups_of_a_user_are_not_theirs_to_say(provider: IdentityProvider) -> None:
    guides = provider.group("Tour Guides")
    sent = moved(sample("rfc7643-8.2-full-user.json"), provider)
    sent["groups"] = [{"value": guides["id"], "display": "Tour Guides"}]
    made = provider.post("/Users", sent).json()
    assert [group["display"] for group in made["groups"]] == ["company"]
    assert "members" not in provider.get(f"/Groups/{guides['id']}").json()


def test_a_group_of_the_rfc_is_made_with_its_members(provider: IdentityProvider) -> None:
    sent = sample("rfc7643-8.4-group.json")
    people = [provider.user(displayName=member["display"]) for member in sent["members"]]
    for member, user in zip(sent["members"], people, strict=True):
        member |= {"value": user["id"], "$ref": user["meta"]["location"]}
    answer = provider.post("/Groups", sent)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made.keys() == sent.keys()
    assert (made["schemas"], made["displayName"]) == ([GROUP], "Tour Guides")
    wanted = [{"value": member["value"], "$ref": member["$ref"], "type": "User"} for member in sent["members"]]
    assert sorted(made["members"], key=str) == sorted(wanted, key=str)
    assert made["meta"].keys() == sent["meta"].keys()
    assert made["meta"]["location"] == f"{provider.base_url}/Groups/{made['id']}"
    for user in people:
        groups = provider.get(f"/Users/{user['id']}").json()["groups"]
        assert {(group["value"], group["$ref"], group["display"]) for group in groups} >= {
            (made["id"], made["meta"]["location"], "Tour Guides")
        }


def test_the_configuration_has_the_shape_of_the_rfc(provider: IdentityProvider) -> None:
    wanted, found = sample("rfc7643-8.5-service-provider-configuration.json"), provider.get("/ServiceProviderConfig")
    assert _types(found.json()) == _types(wanted)
    assert found.json()["schemas"] == wanted["schemas"]
    assert found.json()["authenticationSchemes"][0]["type"] == "oauthbearertoken"
    assert found.json()["meta"] == {
        "resourceType": "ServiceProviderConfig",
        "location": f"{provider.base_url}/ServiceProviderConfig",
    }


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(part) for name, part in value.items()}
    return [_types(part) for part in value] if isinstance(value, list) else type(value)


def test_the_resource_types_are_those_of_the_rfc(provider: IdentityProvider) -> None:
    found = {type_["id"]: type_ for type_ in provider.get("/ResourceTypes").json()["Resources"]}
    for wanted in sample("rfc7643-8.6-resource-types.json"):
        type_ = found.pop(wanted["id"])
        for name in ("schemas", "id", "name", "endpoint", "schema"):
            assert type_[name] == wanted[name]
        location = f"{provider.base_url}/ResourceTypes/{wanted['id']}"
        assert type_["meta"] == {"resourceType": "ResourceType", "location": location}
        assert provider.get(f"/ResourceTypes/{wanted['id']}").json() == type_
    assert not found


# Where Homeport says otherwise than RFC 7643 §8.7.1, and why.
DIFFERENCES: dict[str, Json] = {
    "User.active": {"required": True},  # every user has it
    "User.groups.value": {"caseExact": True},  # ids have a case
    "User.groups.$ref": {"caseExact": True, "referenceTypes": ["Group"]},  # RFC 7643 §2.3.7; groups are not nested
    "User.groups.type": {"canonicalValues": ["direct"]},
    "Group.displayName": {"required": True, "uniqueness": "server"},  # RFC 7643 §4.2 has it required
    "Group.members.value": {"caseExact": True},
    "Group.members.$ref": {"caseExact": True, "referenceTypes": ["User"]},
    "Group.members.type": {"canonicalValues": ["User"]},
}


def _flat(attributes: list[Json], prefix: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for attribute in attributes:
        path = f"{prefix}.{attribute['name']}"
        found[path] = {name: value for name, value in attribute.items() if name not in ("subAttributes", "description")}
        found |= _flat(attribute.get("subAttributes", []), path)
    return found


def test_the_schemas_are_those_of_the_rfc_but_for_what_is_listed(provider: IdentityProvider) -> None:
    for wanted in sample("rfc7643-8.7-schemas.json"):
        found = provider.get(f"/Schemas/{wanted['id']}").json()
        assert (found["schemas"], found["id"], found["name"]) == (wanted["schemas"], wanted["id"], wanted["name"])
        assert found["meta"] == {"resourceType": "Schema", "location": f"{provider.base_url}/Schemas/{wanted['id']}"}
        present, expected = _flat(found["attributes"], wanted["name"]), _flat(wanted["attributes"], wanted["name"])
        assert present.keys() == expected.keys()
        for path, attribute in expected.items():
            assert present[path].items() >= {**attribute, **DIFFERENCES.get(path, {})}.items(), path
