"""Who is signed in, what accounts show of themselves, and the organizations of a user."""

from typing import Any

import httpx
import pytest

from homeport.core import profiles
from homeport.core.access import OPERATOR, Actor
from homeport.core.accounts import access_user
from homeport.core.services import Services
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, OrganizationRole, Permission
from tests.api.hub.people import account_id, events, execute
from tests.home import Home, User, unique
from tests.plans import assert_by_index, plans_of

# Field → type, as Docker's clients decode them; what they do not know they may refuse.
PUBLIC_USER: dict[str, type] = {
    "id": str,
    "company": str,
    "date_joined": str,
    "full_name": str,
    "gravatar_email": str,
    "gravatar_url": str,
    "location": str,
    "profile_url": str,
    "type": str,
    "username": str,
    "uuid": str,
}
SIGNED_IN_USER = {**PUBLIC_USER, "is_staff": bool, "is_admin": bool}
ORGANIZATION: dict[str, type] = {
    "id": str,
    "uuid": str,
    "orgname": str,
    "full_name": str,
    "location": str,
    "company": str,
    "profile_url": str,
    "gravatar_email": str,
    "gravatar_url": str,
    "date_joined": str,
    "type": str,
    "badge": str,
    "is_active": bool,
}
OWN_ORGANIZATION: dict[str, type] = {
    **ORGANIZATION,
    "user_role": str,
    "user_groups": list,
    "org_groups_count": int,
    "plan_name": str,
    "parent_name": type(None),
}
OWN_LISTS = ["/v2/user/orgs", "/v2/user/orgs/", "/v2/orgs", "/v2/orgs/"]


def typed(body: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in body.items()}


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    return body


# The signed-in user


@pytest.mark.parametrize("path", ["/v2/user", "/v2/user/"])
def test_a_user_sees_who_they_are(home: Home, path: str) -> None:
    user = home.user()
    body = ok(home.hub(user).get(path))
    assert typed(body) == SIGNED_IN_USER
    assert (body["username"], body["type"]) == (user.name, "User")
    assert (body["is_admin"], body["is_staff"]) == (False, False)
    assert body["id"] == body["uuid"].replace("-", "")
    assert len(body["id"]) == 32
    assert body["date_joined"].endswith("Z")


def test_a_site_administrator_is_told_so(home: Home) -> None:
    body = ok(home.hub(home.admin).get("/v2/user/"))
    assert (body["is_admin"], body["is_staff"]) == (True, True)


def test_a_personal_access_token_reads_who_it_is_of_and_changes_nothing(home: Home) -> None:
    user = home.user()
    by_token = home.hub(user, home.access_token(user, "repo:public_read")[1])
    assert ok(by_token.get("/v2/user/"))["username"] == user.name
    refused = by_token.patch("/v2/user/", json={"company": "Acme"})
    assert (refused.status_code, refused.json()) == (
        403,
        {"message": "token issued from personal access token is not allowed", "errinfo": {}},
    )
    assert ok(by_token.get("/v2/user/"))["company"] == ""


def test_nobody_is_nobody(home: Home) -> None:
    answer = home.anonymous.get("/v2/user/")
    assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized", "errinfo": {}})
    assert home.anonymous.head("/v2/user/").status_code == 401


def test_a_profile_is_changed_field_by_field(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    before = ok(client.get("/v2/user/"))
    given = {"full_name": "Ann Ö. Neil", "location": "Oslo", "company": "Acme", "profile_url": "https://ann.example"}
    body = ok(client.patch("/v2/user/", json=given))
    assert body == {**before, **given}
    body = ok(client.patch("/v2/user", json={"location": "", "company": None, "username": "other", "is_admin": True}))
    assert body == {**before, **given, "location": ""}
    assert ok(client.get("/v2/user/")) == body
    assert ok(home.anonymous.get(f"/v2/users/{user.name}/"))["company"] == "Acme"


def test_a_change_of_a_profile_is_logged_once(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    for _ in range(2):
        ok(client.patch("/v2/user/", json={"company": "Acme", "location": "Oslo"}))
    found = [event for event in events(home, user.name) if event.startswith("user.update")]
    assert found == [f"user.update {user.name} fields=location, company"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", "x" * 256),
        ("company", "two\nlines"),
        ("location", "\x00"),
        ("profile_url", "javascript:alert(1)"),
        ("profile_url", "ann.example"),
        ("profile_url", "https://" + "x" * 250),
        ("company", 7),
    ],
)
def test_what_cannot_stand_in_a_profile_is_named(home: Home, field: str, value: object) -> None:
    client = home.hub(home.user())
    answer = client.patch("/v2/user/", json={"full_name": "Ann", field: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert ok(client.get("/v2/user/"))["full_name"] == ""


# Others


@pytest.mark.parametrize("slash", ["", "/"])
def test_anybody_sees_the_profile_of_a_user(home: Home, slash: str) -> None:
    user = home.user()
    execute(home, "update accounts set gravatar_email = 'a@example.com' where name = :name", name=user.name)
    path = f"/v2/users/{user.name}{slash}"
    for client in (home.anonymous, home.hub(home.user()), home.hub(user)):
        body = ok(client.get(path))
        assert typed(body) == PUBLIC_USER
        assert body["username"] == user.name
        assert "example.com" not in client.get(path).text
    head = home.anonymous.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert ok(home.anonymous.get(f"/v2/users/{user.name.upper()}"))["username"] == user.name


def test_who_is_not_there_or_shut_out_is_not_found(home: Home) -> None:
    user = home.user()
    home.deactivate(user)
    for name in (user.name, unique("nobody")):
        for kind in ("users", "orgs"):
            answer = home.anonymous.get(f"/v2/{kind}/{name}/")
            assert answer.status_code == 404
            assert "not found" in answer.json()["message"]
            assert home.anonymous.head(f"/v2/{kind}/{name}/").status_code == 404


def test_a_bearer_token_that_is_no_good_is_not_taken_for_nobody(home: Home) -> None:
    client = home.client(authorization="Bearer nonsense")
    assert client.get("/v2/users/admin").status_code == 401
    assert client.get("/v2/orgs/library").status_code == 401


@pytest.mark.parametrize("slash", ["", "/"])
def test_anybody_sees_the_profile_of_an_organization(home: Home, slash: str) -> None:
    organization = home.organization(home.user())
    body = ok(home.anonymous.get(f"/v2/orgs/{organization}{slash}"))
    assert typed(body) == ORGANIZATION
    assert (body["orgname"], body["type"], body["is_active"]) == (organization, "Organization", True)
    assert body["badge"] == ""
    assert ok(home.anonymous.get("/v2/orgs/library"))["badge"] == "official"


def test_an_owner_changes_what_an_organization_shows(home: Home) -> None:
    owner, member = home.user(), home.user()
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.EDITOR)
    path, client = f"/v2/orgs/{organization}", home.hub(owner)
    before = ok(client.get(path))
    assert home.hub(member).patch(path, json={"company": "Mine"}).status_code == 403
    given = {"full_name": "Acme & Co.", "profile_url": "https://acme.example"}
    for _ in range(2):
        assert ok(client.patch(path, json={**given, "orgname": "other"})) == {**before, **given}
    assert ok(home.anonymous.get(path)) == {**before, **given}
    wrong = client.patch(path, json={"profile_url": "javascript:alert(1)"})
    assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["profile_url"])
    told = [event for event in events(home, organization) if event.startswith("org.settings.update")]
    assert told == [
        f"org.settings.update {organization} profile.full_name=Acme & Co. profile.profile_url=https://acme.example"
    ]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_name_of_the_other_kind_of_account_leads_there(home: Home, slash: str) -> None:
    user = home.user()
    organization = home.organization(user)
    for path, elsewhere in (
        (f"/v2/users/{organization}", f"/v2/orgs/{organization}"),
        (f"/v2/orgs/{user.name}", f"/v2/users/{user.name}"),
    ):
        for method in ("GET", "HEAD"):
            answer = home.anonymous.request(method, f"{path}{slash}")
            assert (answer.status_code, answer.headers["location"]) == (308, elsewhere)
            assert answer.content == b""
        ok(home.anonymous.get(path, follow_redirects=True))


# Organizations of a user


class Crew:
    """A user in three organizations, in each as something else."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.user, self.boss = home.user(), home.user("boss")
        self.organizations = [home.organization(self.user), home.organization(self.boss), home.organization(self.boss)]
        home.member(self.organizations[1], self.user, OrganizationRole.EDITOR)
        home.member(self.organizations[2], self.user, OrganizationRole.MEMBER)
        self.repository = home.repository(self.organizations[2])
        home.team_member(self.repository, self.user, Permission.READ)
        self.client = home.hub(self.user)


@pytest.mark.parametrize("path", OWN_LISTS)
def test_a_user_sees_their_organizations_and_what_they_are_there(home: Home, path: str) -> None:
    crew = Crew(home)
    body = ok(crew.client.get(path))
    assert list(body) == ["count", "next", "previous", "results"]
    assert (body["count"], body["next"], body["previous"]) == (3, None, None)
    for found in body["results"]:
        assert typed(found) == OWN_ORGANIZATION
    shown = [(found["orgname"], found["user_role"], found["org_groups_count"]) for found in body["results"]]
    assert shown == [
        (crew.organizations[0], "Owner", 1),
        (crew.organizations[1], "Editor", 1),
        (crew.organizations[2], "Member", 2),
    ]
    assert body["results"][0]["user_groups"] == ["owners"]
    assert body["results"][1]["user_groups"] == []
    assert [name[:4] for name in body["results"][2]["user_groups"]] == ["team"]
    assert body["results"][0]["plan_name"] == "business"


def test_a_personal_access_token_lists_the_organizations_of_its_user(home: Home) -> None:
    crew = Crew(home)
    by_token = home.hub(crew.user, home.access_token(crew.user, "repo:read")[1])
    assert ok(by_token.get("/v2/user/orgs/")) == ok(crew.client.get("/v2/user/orgs/"))


@pytest.mark.parametrize("path", OWN_LISTS)
def test_pages_of_organizations_are_the_list(home: Home, path: str) -> None:
    crew = Crew(home)
    url: str | None = f"{path}?page_size=2"
    names = []
    while url:
        body = ok(crew.client.get(url))
        assert body["count"] == 3
        names += [found["orgname"] for found in body["results"]]
        url = body["next"]
        assert url is None or url.startswith(home.url)
    assert names == crew.organizations
    beyond = crew.client.get(path, params={"page": 3, "page_size": 2})
    assert beyond.status_code == 404
    assert "not found" in beyond.text
    assert ok(home.hub(home.user()).get(path, params={"page": 1}))["results"] == []


def names_seen(client: httpx.Client, user: User) -> list[str]:
    body = ok(client.get(f"/v2/users/{user.name}/orgs/"))
    assert body["count"] == len(body["results"])
    return [found["orgname"] for found in body["results"]]


def test_of_others_a_user_sees_the_organizations_that_they_share(home: Home) -> None:
    crew = Crew(home)
    assert names_seen(crew.client, crew.user) == crew.organizations
    assert names_seen(home.hub(home.admin), crew.user) == crew.organizations
    assert names_seen(home.hub(crew.boss), crew.user) == crew.organizations[1:]
    assert names_seen(home.hub(home.user()), crew.user) == []
    assert home.anonymous.get(f"/v2/users/{crew.user.name}/orgs").status_code == 401
    for name in (unique("nobody"), crew.organizations[0]):
        assert crew.client.get(f"/v2/users/{name}/orgs").status_code == 404


def test_a_member_who_has_left_sees_the_organization_no_more(home: Home) -> None:
    crew = Crew(home)
    gone = crew.organizations[2]
    assert crew.client.delete(f"/v2/orgs/{gone}/members/{crew.user.name}").status_code == 204
    assert [found["orgname"] for found in ok(crew.client.get("/v2/user/orgs"))["results"]] == crew.organizations[:2]


def test_lists_of_organizations_are_served_by_an_index(home: Home) -> None:
    crew = Crew(home)
    id_ = account_id(home, crew.user.name)
    execute(
        home,
        """
        insert into accounts (uuid, name, kind, created_at)
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 400)
        select 'many-' || cast(:id as bigint) || '-' || n, 'many-' || cast(:id as bigint) || '-' || n,
            'organization', 0 from numbers
        """,
        id=id_,
    )
    execute(
        home,
        """
        insert into organization_members (organization_id, account_id, account_name, role, created_at)
        select id, cast(:id as bigint), cast(:name as text), 'member', 0 from accounts where name like :pattern
        """,
        id=id_,
        name=crew.user.name,
        pattern=f"many-{id_}-%",
    )
    if home.settings.database_url:
        execute(home, "analyze")  # on SQLite it would change the plans of other tests

    async def account(services: Services) -> Account:
        async with services.db.read() as tx:
            return await access_user(tx, crew.user.name)

    actor, boss = Actor.of(home.run(account)), Actor(account_id=account_id(home, crew.boss.name), name=crew.boss.name)

    async def reads(tx: Transaction) -> None:
        await profiles.own_profile(tx, actor=actor)
        await profiles.list_own_organizations(tx, actor=actor, offset=40, limit=10)
        await profiles.list_organizations_of(tx, actor=OPERATOR, user=crew.user.name, offset=40, limit=10)

    async def shared(tx: Transaction) -> None:
        await profiles.list_organizations_of(tx, actor=boss, user=crew.user.name, offset=0, limit=10)

    tables = ("accounts", "organization_members", "team_members", "teams")
    assert_by_index(plans_of(home, reads, must_scan=True), *tables)
    # What two users share is few: it may be sorted.
    for plan in plans_of(home, shared, must_scan=True):
        assert not any(plan.scans(table) for table in tables), plan
