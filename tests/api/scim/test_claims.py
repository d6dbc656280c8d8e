"""What the service says of itself is what it does: every claim of its schemas, types and configuration is tried."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.api.hub.people import execute, many_members
from tests.home import Home, unique
from tests.scim import DOCKER_USER, GROUP, PATCH_OP, ROOT, USER, IdentityProvider, Json

ENDPOINTS = {USER: "/Users", GROUP: "/Groups", DOCKER_USER: "/Users"}


class Claim(msgspec.Struct, frozen=True):
    """An attribute as a schema describes it, with the attribute that it is a part of."""

    schema: str
    attribute: Json
    parent: Json | None = None

    @property
    def endpoint(self) -> str:
        return ENDPOINTS[self.schema]

    @property
    def name(self) -> str:
        return str(self.attribute["name"])

    @property
    def path(self) -> str:
        names = f"{self.parent['name']}.{self.name}" if self.parent else self.name
        return f"{self.schema}:{names}" if self.schema == DOCKER_USER else names

    @property
    def is_written(self) -> bool:
        return bool(self.attribute["mutability"] == "readWrite")

    def within(self, value: Any) -> Json:
        """A body that has this value, with what else it needs."""
        if self.parent is None:
            return {self.schema: {self.name: value}} if self.schema == DOCKER_USER else {self.name: value}
        entry = {self.name: value}
        if self.path.startswith("emails.") and self.name != "value":
            entry["value"] = f"{unique('mail')}@{unique('d')}.example.com"
        return {self.parent["name"]: [entry] if self.parent["multiValued"] else entry}

    def found(self, resource: Json) -> Any:
        """The value that a resource has, or None."""
        if self.parent is None:
            return (resource.get(DOCKER_USER, {}) if self.schema == DOCKER_USER else resource).get(self.name)
        value = resource.get(self.parent["name"])
        entry = (value or [{}])[0] if self.parent["multiValued"] else value or {}
        return entry.get(self.name)


class Walk:
    """The published schemas, and a provider that tries them."""

    def __init__(self, home: Home) -> None:
        self.provider = IdentityProvider.of(home)
        self.claims = list(self._claims())
        self.members = [self.provider.user() for _ in range(2)]

    def _claims(self) -> Iterator[Claim]:
        for schema in self.provider.get("/Schemas").json()["Resources"]:
            for attribute in schema["attributes"]:
                yield Claim(schema["id"], attribute)
                for part in attribute.get("subAttributes", []):
                    yield Claim(schema["id"], part, attribute)

    def simple(self, test: Callable[[Claim], object] = bool) -> list[Claim]:
        """The attributes without parts that pass a test; there are some."""
        found = [claim for claim in self.claims if claim.attribute["type"] != "complex" and test(claim)]
        assert found
        return found

    def value(self, claim: Claim, number: int = 0) -> Any:
        """A value for an attribute; numbers 0 and 1 give different ones."""
        if claim.attribute["type"] == "boolean":
            return not number
        if claim.path == "members.value":
            return self.members[number]["id"]
        if claim.name == "dockerRole":
            return ("editor", "member")[number]
        if claim.path == "emails.value":
            return f"{unique('mail')}@{unique('d')}.example.com"
        return unique(f"Value{number}-")

    def body(self, claim: Claim, fields: Json) -> Json:
        if claim.endpoint == "/Groups":
            return {"schemas": [GROUP], "displayName": unique("Group"), **fields}
        return {"schemas": [USER], "userName": f"{unique('user')}@{unique('d')}.example.com", "active": True, **fields}

    def make(self, claim: Claim, value: Any) -> Json:
        made = self.provider.post(claim.endpoint, self.body(claim, claim.within(value)))
        assert made.status_code == 201, (claim.path, made.text)
        return made.json()  # type: ignore[no-any-return]

    def patch(self, claim: Claim, resource: Json, op: str, value: Any = None) -> httpx.Response:
        """Change an attribute; one of many values is changed with all the others."""
        is_entry = claim.parent is not None and claim.parent["multiValued"]
        operation: Json = {"op": op, "path": claim.parent["name"] if is_entry and claim.parent else claim.path}
        if op != "remove":
            operation["value"] = claim.within(value)[claim.parent["name"]] if is_entry and claim.parent else value
        return self.provider.patch(f"{claim.endpoint}/{resource['id']}", operation)


@pytest.fixture(scope="module")
def walk(home: Home) -> Walk:
    return Walk(home)


def test_what_can_be_written_is_made_replaced_and_changed(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.is_written):
        first, second = walk.value(claim), walk.value(claim, 1)
        made = walk.make(claim, first)
        assert claim.found(made) == first, claim.path
        path = f"{claim.endpoint}/{made['id']}"
        kept = {"userName": made["userName"]} if claim.endpoint == "/Users" else {"displayName": made["displayName"]}
        if claim.path == "userName":
            second = first.swapcase()  # another address is for the domains of the organization to allow
        replaced = walk.provider.put(path, walk.body(claim, {**kept, **claim.within(second)}))
        assert (replaced.status_code, claim.found(replaced.json())) == (200, second), (claim.path, replaced.text)
        patched = walk.patch(claim, made, "replace", first)
        assert (patched.status_code, claim.found(patched.json())) == (200, first), (claim.path, patched.text)
        assert claim.found(walk.provider.get(path).json()) == first, claim.path


def test_what_is_read_only_is_ignored_or_refused(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.attribute["mutability"] == "readOnly"):
        plain = walk.make(claim, "mine")
        assert claim.found(plain) != "mine", claim.path
        path = f"{claim.endpoint}/{plain['id']}"
        replaced = walk.provider.put(path, walk.body(claim, {"userName": plain["userName"], **claim.within("mine")}))
        assert replaced.status_code == 200, claim.path
        assert claim.found(replaced.json()) == claim.found(plain), claim.path
        refused = walk.patch(claim, plain, "add", "mine")
        assert (refused.status_code, refused.json()["scimType"]) == (400, "mutability"), claim.path


def test_what_is_immutable_stays_what_it_was(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.attribute["mutability"] == "immutable"):
        group = walk.provider.group(None, walk.members[0])
        path = f'members[value eq "{walk.members[0]["id"]}"].{claim.name}'
        value = {"value": walk.members[1]["id"], "$ref": walk.members[1]["meta"]["location"], "type": "Group"}
        refused = walk.provider.patch(
            f"/Groups/{group['id']}", {"op": "replace", "path": path, "value": value[claim.name]}
        )
        assert (refused.status_code, refused.json()["scimType"]) == (400, "mutability"), claim.path
        assert walk.provider.get(f"/Groups/{group['id']}").json() == group


def test_what_is_required_has_to_be_there(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.attribute["required"]):
        body = walk.body(claim, {})
        made = walk.provider.post(claim.endpoint, body).json()
        removed = walk.patch(claim, made, "remove")
        assert (removed.status_code, removed.json()["scimType"]) == (400, "mutability"), claim.path
        for value in (None, ""):
            if claim.attribute["type"] == "boolean":
                continue  # Docker's description has users made without `active`: they are let in
            refused = walk.provider.post(claim.endpoint, {**body, claim.name: value})
            assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidValue"), claim.path


def test_what_is_not_required_can_be_absent(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.is_written and not claim.attribute["required"]):
        made = walk.make(claim, walk.value(claim))
        removed = walk.patch(claim, made, "remove")
        assert (removed.status_code, claim.found(removed.json())) == (200, None), (claim.path, removed.text)
        assert claim.found(walk.provider.get(f"{claim.endpoint}/{made['id']}").json()) is None, claim.path


WRONG: dict[str, list[Any]] = {
    "string": [5, True, {"value": "x"}, ["x"]],
    "boolean": ["maybe", 5, {"value": True}, [True]],
    "reference": [5, {"value": "x"}],
    "complex": ["text", 5],
}


def test_values_of_another_type_are_refused(walk: Walk) -> None:
    for claim in walk.claims:
        if claim.attribute["mutability"] == "readOnly":
            continue
        for value in WRONG[claim.attribute["type"]]:
            refused = walk.provider.post(claim.endpoint, walk.body(claim, claim.within(value)))
            told = (refused.status_code, refused.json().get("scimType"))
            assert told == (400, "invalidValue"), (claim.path, value, refused.text)


def test_case_matters_to_searches_where_it_is_said_to(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.attribute["type"] in ("string", "reference")):
        if claim.attribute["returned"] == "request":
            continue  # the same for all
        made = walk.make(claim, walk.value(claim)) if claim.is_written else walk.provider.user()
        if claim.endpoint == "/Groups" and claim.parent:
            made = walk.provider.group(None, walk.members[0])
        resource = walk.provider.get(f"{claim.endpoint}/{made['id']}").json()
        value = str(claim.found(resource))
        for text, is_found in ((value, True), (value.swapcase(), not claim.attribute["caseExact"])):
            condition = f'{claim.path} eq "{text}" and id eq "{made["id"]}"'
            found = walk.provider.get(claim.endpoint, filter=condition).json()["totalResults"]
            assert found == int(is_found), condition


def test_values_are_unique_where_it_is_said(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.is_written and claim.attribute["type"] == "string"):
        value = walk.value(claim)
        walk.make(claim, value)
        second = walk.provider.post(claim.endpoint, walk.body(claim, claim.within(value)))
        if claim.attribute["uniqueness"] == "none":
            assert second.status_code == 201, (claim.path, second.text)
        else:
            assert claim.attribute["uniqueness"] == "server"
            assert (second.status_code, second.json()["scimType"]) == (409, "uniqueness"), claim.path


def test_attributes_are_answered_when_it_is_said(walk: Walk) -> None:
    for claim in walk.simple():
        made = walk.make(claim, walk.value(claim)) if claim.is_written else walk.provider.user()
        if claim.endpoint == "/Groups" and claim.parent:
            made = walk.provider.group(None, walk.members[0])
        path = f"{claim.endpoint}/{made['id']}"
        default = claim.found(walk.provider.get(path).json())
        asked = walk.provider.get(path, attributes=claim.path).json()
        assert claim.found(asked) is not None, claim.path
        # What is asked for is there, and nothing else but the id (and what a part is a part of).
        head = claim.parent["name"] if claim.parent else claim.name
        assert asked.keys() <= {"schemas", "id", DOCKER_USER if claim.schema == DOCKER_USER else head}, claim.path
        assert claim.found(walk.provider.get(path, attributes="id").json()) is None, claim.path
        assert claim.found(walk.provider.get(path, excludedAttributes=claim.path).json()) is None, claim.path
        if claim.attribute["returned"] == "request":
            assert default is None, claim.path
        else:
            assert (claim.attribute["returned"], default is None) == ("default", False), claim.path


def test_each_canonical_value_is_taken(walk: Walk) -> None:
    for claim in walk.simple(lambda claim: claim.is_written and "canonicalValues" in claim.attribute):
        for value in claim.attribute["canonicalValues"]:
            assert claim.found(walk.make(claim, value)) == value


def test_every_attribute_can_be_searched_and_sorted_by(walk: Walk) -> None:
    for claim in walk.simple():
        value = "true" if claim.attribute["type"] == "boolean" else '"x"'
        for test in ("pr", f"eq {value}", f"ne {value}"):
            answer = walk.provider.get(claim.endpoint, filter=f"{claim.path} {test}")
            assert answer.status_code == 200, (claim.path, answer.text)
        answer = walk.provider.get(claim.endpoint, sortBy=claim.path)
        assert answer.status_code == 200, (claim.path, answer.text)


def test_each_resource_type_is_where_it_says_with_the_schemas_that_it_names(walk: Walk) -> None:
    schemas = {schema["id"] for schema in walk.provider.get("/Schemas").json()["Resources"]}
    named = set()
    for type_ in walk.provider.get("/ResourceTypes").json()["Resources"]:
        assert ENDPOINTS[type_["schema"]] == type_["endpoint"]
        listed = walk.provider.get(type_["endpoint"]).json()["Resources"]
        assert {resource["meta"]["resourceType"] for resource in listed} == {type_["name"]}
        extensions = type_.get("schemaExtensions", [])
        # None is required: all resources of this test are made without.
        assert not any(extension["required"] for extension in extensions)
        named |= {type_["schema"], *(extension["schema"] for extension in extensions)}
    assert named == schemas


class TestConfiguration:
    @pytest.fixture
    def configuration(self, walk: Walk) -> Json:
        return walk.provider.get("/ServiceProviderConfig").json()  # type: ignore[no-any-return]

    def test_what_is_supported_is_and_what_is_not_is_not(self, walk: Walk, configuration: Json) -> None:
        user = walk.provider.user(displayName="Zoe")
        path = f"/Users/{user['id']}"
        told = {name: configuration[name]["supported"] for name in ("patch", "bulk", "filter", "sort", "etag")}
        patch = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": "displayName", "value": "Ann"}]}
        done = {
            "patch": walk.provider.send("PATCH", path, patch).status_code == 200,
            "bulk": walk.provider.post("/Bulk", {"Operations": []}).status_code != 501,
            "filter": walk.provider.get("/Users", filter='displayName eq "ann"').json()["totalResults"] == 1,
            "sort": walk.provider.get("/Users", sortBy="userName").status_code == 200,
            "etag": walk.provider.send("GET", path, headers={"if-none-match": user["meta"]["version"]}).is_success,
        }
        assert told == done

    def test_passwords_are_not_changed(self, walk: Walk, configuration: Json) -> None:
        assert configuration["changePassword"] == {"supported": False}
        password = "a password from elsewhere"
        user = walk.provider.user(password=password)
        operation = {"op": "replace", "path": "password", "value": password}
        assert walk.provider.patch(f"/Users/{user['id']}", operation).status_code == 200
        credentials = {"identifier": user["displayName"], "secret": password}
        assert walk.provider.home.anonymous.post("/v2/auth/token", json=credentials).status_code == 401

    def test_no_answer_has_more_resources_than_it_says(self, walk: Walk, configuration: Json) -> None:
        limit = configuration["filter"]["maxResults"]
        provider = IdentityProvider.of(walk.provider.home)
        many_members(provider.home, provider.organization, limit + 1)
        execute(
            provider.home,
            """
            insert into scim_users (organization_id, account_id, user_name, user_name_key, created_at, updated_at)
            select m.organization_id, m.account_id, a.name, a.name, a.created_at, a.created_at
            from organization_members m join accounts a on a.id = m.account_id
            where m.organization_id = (select id from accounts where name = :name)
            on conflict do nothing
            """,
            name=provider.organization,
        )
        for query in ({}, {"count": limit + 1}, {"count": 10**9}):
            listed = provider.get("/Users", **query).json()
            assert (listed["itemsPerPage"], len(listed["Resources"])) == (limit, limit)
            assert listed["totalResults"] == limit + 2

    def test_the_token_is_sent_as_the_scheme_says(self, walk: Walk, configuration: Json) -> None:
        assert [scheme["type"] for scheme in configuration["authenticationSchemes"]] == ["oauthbearertoken"]
        refused = walk.provider.home.client().get(f"{ROOT}/Users")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="SCIM"')

    def test_the_documentation_is_there(self, walk: Walk, configuration: Json) -> None:
        page = walk.provider.home.client().get(configuration["documentationUri"])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
