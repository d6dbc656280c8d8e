"""A SCIM token reaches one organization's users and groups, and nothing else; nothing else opens the SCIM door."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from homeport.core import plans, scim_tokens
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole, PlanName
from tests.conftest import DATABASES, NewHome
from tests.home import Home, unique
from tests.inviting import run, value
from tests.provisioning import Provisioned, email_of, ordered, person, set_active, the_error
from tests.scim import GROUP, PATCH_OP, ROOT, SEARCH_REQUEST, USER, new_token

NOT_FOUND = (404, None)


def number_of(home: Home, name: str) -> int:
    return value(home, int, "select id from accounts where name = :name", name=name)


def uuid_of(home: Home, name: str) -> str:
    return value(home, str, "select uuid from accounts where name = :name", name=name)


# Ids of others


def strangers(provider: Provisioned) -> dict[str, str]:
    """What could be taken for the id of a user, and is none of the organization's."""
    home = provider.home
    other = Provisioned.at(home)
    theirs = other.user(externalId="theirs")
    admin = home.user(is_site_admin=True)
    home.member(provider.organization, admin, OrganizationRole.EDITOR)
    member = provider.member()
    mine = provider.shown(member).json()
    provider.set(mine, externalId="mine")
    return {
        "user of another": theirs["id"],
        "owner of another": other.id_of(other.owner),
        "stranger": uuid_of(home, home.user().name),
        "site administrator": uuid_of(home, "admin"),
        "site administrator as a member": uuid_of(home, admin.name),
        "organization": uuid_of(home, provider.organization),
        "another organization": uuid_of(home, other.organization),
        "group of another": other.group()["id"],
        "group": provider.group()["id"],
        "number of a member": str(number_of(home, member.name)),
        "number of an admin": str(number_of(home, "admin")),
        "number": "1",
        "zero": "0",
        "minus": "-1",
        "name": member.name,
        "user name": mine["userName"],
        "external id": "mine",
        "external id of another": "theirs",
        "upper case": mine["id"].upper(),
        "without dashes": mine["id"].replace("-", ""),
        "with a space": f"{mine['id']}%20",
        "braces": f"%7B{mine['id']}%7D",
        "wild": "%25",
        "star": "*",
        "dots": "..%252f..",
        "nul": f"{mine['id']}%00",
        "sql": "%27%20or%20%271%27=%271",
        "me": "Me",
    }


def test_ids_of_others_are_not_found_by_any_method(provider: Provisioned) -> None:
    ids = strangers(provider)
    victims = [(table, value(provider.home, int, f"select count(*) from {table}")) for table in COUNTED]
    before = provider.state()
    body = {"schemas": [USER], "userName": f"{unique('stolen')}@x.example", "active": False}
    patch = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    found = {}
    for word, id_ in ids.items():
        for method, sent in (("GET", None), ("PUT", body), ("PATCH", patch), ("DELETE", None)):
            answer = provider.send(method, f"/Users/{id_}", sent)
            if the_error(answer) != NOT_FOUND:
                found[word, method] = answer.text
    assert {key for key in found if key[0] != "nul"} == set()
    assert all('"status":"400"' in text for text in found.values())
    assert provider.state() == before
    assert [(table, value(provider.home, int, f"select count(*) from {table}")) for table in COUNTED] == victims
    shut = "select count(*) from accounts where not is_active and uuid in ('{}')".format("', '".join(ids.values()))
    assert value(provider.home, int, shut) == 0


# Logins are written into the log a moment later: what providers do is there at once.
COUNTED = (
    "accounts",
    "organization_members",
    "team_members",
    "scim_users",
    "audit_events where actor = 'scim'",
    "access_tokens",
)


def test_groups_of_others_are_not_found_by_any_method(provider: Provisioned) -> None:
    home = provider.home
    other = Provisioned.at(home)
    theirs = other.group(None, other.user())
    user = provider.user()
    ids = [theirs["id"], other.group_named("owners")["id"], user["id"], uuid_of(home, other.organization), "owners"]
    ids.append(str(value(home, int, "select id from teams where uuid = :uuid", uuid=theirs["id"])))
    body = {"schemas": [GROUP], "displayName": "stolen", "members": [{"value": user["id"]}]}
    patch = {"schemas": [PATCH_OP], "Operations": [{"op": "add", "path": "members", "value": body["members"]}]}
    before = (provider.state(), other.state())
    for id_ in ids:
        for method, sent in (("GET", None), ("PUT", body), ("PATCH", patch), ("DELETE", None)):
            assert the_error(provider.send(method, f"/Groups/{id_}", sent)) == NOT_FOUND
    assert (provider.state(), other.state()) == before


def test_a_team_of_another_organization_is_not_joined_by_its_name(provider: Provisioned) -> None:
    other = Provisioned.at(provider.home)
    theirs = other.group(unique("Secret"), other.user())
    mine = provider.user(**ordered(team=theirs["displayName"]))
    assert other.get(f"/Groups/{theirs['id']}").json() == theirs
    (group,) = [group for group in mine["groups"] if group["display"] == theirs["displayName"]]
    assert group["value"] != theirs["id"]


@pytest.mark.parametrize("way", ["get", "search", "root search"])
def test_no_filter_finds_others(provider: Provisioned, way: str) -> None:
    home = provider.home
    other = Provisioned.at(home)
    theirs = other.user(externalId=unique("ext"), name={"givenName": unique("given")}, **ordered(role="editor"))
    team = other.group(unique("team"), theirs)
    admin = person(home, f"{unique('admin')}@x.example", is_site_admin=True)
    home.member(provider.organization, admin, OrganizationRole.OWNER)
    email = email_of(home, admin)
    for filter_ in (
        f'userName eq "{theirs["userName"]}"',
        f'id eq "{theirs["id"]}"',
        f'externalId eq "{theirs["externalId"]}"',
        f'name.givenName eq "{theirs["name"]["givenName"]}"',
        f'displayName eq "{theirs["displayName"]}"',
        f'emails.value eq "{theirs["userName"]}"',
        f'emails[value eq "{theirs["userName"]}"]',
        f'groups.value eq "{team["id"]}"',
        f'groups[display eq "{team["displayName"]}"]',
        f'displayName eq "{team["displayName"]}"',
        f'members.value eq "{theirs["id"]}"',
        f'meta.location ew "{theirs["id"]}"',
        f'urn:ietf:params:scim:schemas:extension:docker:2.0:User:dockerOrg eq "{other.organization}"',
        f'userName eq "{email}" or emails.value eq "{email}" or id eq "{uuid_of(home, admin.name)}"',
        f'members[value eq "{uuid_of(home, admin.name)}"]',
        f'not (userName co "@") and userName eq "{theirs["userName"]}"',
    ):
        if way == "get":
            answers = [provider.get(path, filter=filter_) for path in ("/Users", "/Groups")]
        else:
            body = {"schemas": [SEARCH_REQUEST], "filter": filter_}
            paths = ["/.search"] if way == "root search" else ["/Users/.search", "/Groups/.search"]
            answers = [provider.post(path, body) for path in paths]
        for answer in answers:
            assert answer.json().get("totalResults", 0) == 0, (filter_, answer.text)


def test_lists_hold_the_organization_alone_whatever_they_are_asked(provider: Provisioned) -> None:
    home = provider.home
    other = Provisioned.at(home)
    theirs = [other.user()["id"], other.id_of(other.owner), uuid_of(home, "admin")]
    home.member(provider.organization, home.admin, OrganizationRole.MEMBER)
    mine = {provider.user()["id"], provider.id_of(provider.owner)}
    for query in (
        {},
        {"filter": 'id pr or id ne "x"'},
        {"filter": 'not (id eq "x")'},
        {"sortBy": "userName", "sortOrder": "descending"},
        {"attributes": "id"},
        {"count": 200, "startIndex": 0},
    ):
        answer = provider.get("/Users", **query)
        assert {user["id"] for user in answer.json()["Resources"]} == mine, query
        assert not any(id_ in answer.text for id_ in theirs)
    found = provider.post("/.search", {"schemas": [SEARCH_REQUEST], "count": 200})
    assert not any(id_ in found.text for id_ in theirs)
    home.run(_remove(provider.organization, "admin"))


def _remove(organization: str, user: str) -> Callable[[Services], Any]:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """delete from organization_members where account_name = :user and organization_id =
                (select id from accounts where name = :organization)""",
                user=user,
                organization=organization,
            )

    return verb


def test_what_is_read_only_is_not_written(provider: Provisioned) -> None:
    other = Provisioned.at(provider.home)
    theirs, secret_team = other.user(), provider.group_named("owners")
    made = provider.create(
        f"{unique('u')}@x.example",
        id=theirs["id"],
        groups=[{"value": secret_team["id"], "display": "owners"}],
        meta={"resourceType": "Group", "created": "2001-01-01T00:00:00Z", "version": "x", "location": "https://x/"},
        password="chosen by the provider",
        is_site_admin=True,
    )
    assert made.status_code == 201
    resource = made.json()
    assert resource["id"] != theirs["id"]
    assert [group["display"] for group in resource["groups"]] == ["company"]
    assert resource["meta"]["resourceType"] == "User"
    assert not resource["meta"]["created"].startswith("2001")
    account = provider.account_of(resource)
    has_none = "select count(*) from accounts where name = :n and password_hash is null and not is_site_admin"
    assert value(provider.home, int, has_none, n=account) == 1

    before = provider.state()
    put = provider.replace(resource, id=theirs["id"], groups=[{"value": secret_team["id"]}], meta={"version": "x"})
    assert put.status_code in (200, 400)
    assert provider.state() == before
    path = f"/Users/{resource['id']}"
    for operation in (
        {"op": "replace", "path": "id", "value": theirs["id"]},
        {"op": "replace", "path": "groups", "value": [{"value": secret_team["id"]}]},
        {"op": "add", "path": "groups", "value": [{"value": secret_team["id"]}]},
        {"op": "remove", "path": "groups"},
        {"op": "replace", "path": "meta.version", "value": "x"},
        {"op": "replace", "path": "meta.location", "value": "https://x/"},
        {"op": "replace", "path": "schemas", "value": []},
        {"op": "add", "path": f"{'urn:ietf:params:scim:schemas:extension:docker:2.0:User'}:dockerOrg", "value": "x"},
    ):
        answer = provider.patch(path, operation)
        assert answer.status_code in (200, 400), answer.text
        assert provider.get(path).json() == resource, operation
    assert provider.state() == before


def test_one_forbidden_operation_of_a_patch_undoes_the_others(provider: Provisioned) -> None:
    resource = provider.user()
    before = provider.state()
    answer = provider.patch(
        f"/Users/{resource['id']}",
        {"op": "replace", "path": "displayName", "value": "changed"},
        {"op": "replace", "path": "active", "value": False},
        {"op": "replace", "path": "id", "value": "x"},
    )
    assert the_error(answer) == (400, "mutability")
    assert provider.state() == before


# Tokens


def test_a_token_opens_nothing_but_the_scim_door(provider: Provisioned) -> None:
    home = provider.home
    repository = home.repository(provider.organization, is_private=True)
    secret, organization, owner = provider.secret, provider.organization, provider.owner.name
    for scheme in ("Bearer", "JWT"):
        client = home.client(authorization=f"{scheme} {secret}")
        for path in (
            f"/v2/orgs/{organization}/members",
            f"/v2/orgs/{organization}/settings",
            f"/v2/orgs/{organization}/scim/token",
            f"/v2/auditlogs/{organization}",
            "/v2/access-tokens",
            "/v2/user/invites",
            "/v2/user/2fa",
            "/v2/mails",
            "/v2/",
            f"/v2/{repository}/tags/list",
        ):
            assert client.get(path).status_code == 401, path
        assert client.get(f"/v2/repositories/{repository}/tags").status_code in (401, 404)
    anonymous = home.anonymous
    for name in (owner, organization, "scim", "admin", secret):
        assert anonymous.get("/token", params={"service": "x"}, auth=(name, secret)).status_code in (400, 401)
        for answer in (
            anonymous.post("/v2/auth/token", json={"identifier": name, "secret": secret}),
            anonymous.post("/v2/users/login", json={"username": name, "password": secret}),
            anonymous.post("/v2/users/2fa-login", json={"login_2fa_token": secret, "code": "000000"}),
            anonymous.post("/token", data={"grant_type": "password", "username": name, "password": secret}),
            anonymous.post("/token", data={"grant_type": "refresh_token", "refresh_token": secret}),
        ):
            assert answer.status_code in (400, 401), answer.text


def test_no_other_token_opens_the_scim_door(provider: Provisioned) -> None:
    home = provider.home
    _, access_token = home.access_token(provider.owner)
    _, of_admin = home.access_token(home.admin)
    bearers = [
        home.hub(provider.owner).headers["authorization"],
        home.hub(home.admin).headers["authorization"],
        home.hub(provider.owner, access_token).headers["authorization"],
        home.registry(provider.owner).headers["authorization"],
        f"Bearer {access_token}",
        f"Bearer {of_admin}",
        f"Bearer {provider.owner.password}",
        f"Basic {provider.secret}",
        provider.secret,
        f"Bearer {provider.secret}x",
        f"Bearer {provider.secret[:-1]}",
        f"Bearer {provider.secret.swapcase()}",
        f"Bearer {provider.secret.removeprefix('dckr_scim_')}",
        "Bearer dckr_scim_",
        "Bearer",
        "Bearer \u00e9".encode("latin-1").decode("latin-1"),
        f"Bearer {'x' * 5000}",
    ]
    before = provider.state()
    for bearer in bearers:
        for method, path in (
            ("GET", "/Users"),
            ("GET", "/ServiceProviderConfig"),
            ("GET", "/Schemas"),
            ("POST", "/Users"),
            ("DELETE", f"/Users/{provider.id_of(provider.owner)}"),
            ("GET", "/nowhere"),
        ):
            answer = httpx.request(
                method, f"{home.url}{ROOT}{path}", headers={b"authorization": bearer.encode("latin-1")}
            )
            assert answer.status_code == 401, (bearer, path, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["status"] == "401"
    assert provider.state() == before
    basic = httpx.get(f"{home.url}{ROOT}/Users", auth=(provider.owner.name, provider.owner.password))
    assert basic.status_code == 401
    in_query = httpx.get(f"{home.url}{ROOT}/Users", params={"access_token": provider.secret})
    assert in_query.status_code == 401


def rotate(provider: Provisioned) -> str:
    async def verb(services: Services) -> str:
        async with services.db.write() as tx:
            return (await scim_tokens.rotate_token(tx, actor=OPERATOR, organization=provider.organization)).secret

    return provider.home.run(verb)


def revoke(provider: Provisioned) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await scim_tokens.revoke_token(tx, actor=OPERATOR, organization=provider.organization)

    provider.home.run(verb)


def test_a_token_that_is_rotated_or_revoked_ends_at_once(provider: Provisioned) -> None:
    """Also where another process did it."""
    assert provider.get("/Users").status_code == 200
    secret = rotate(provider)
    assert provider.get("/Users").status_code == 401
    again = Provisioned(provider.home, provider.organization, provider.owner, secret)
    assert again.get("/Users").status_code == 200
    revoke(provider)
    for former in (provider, again):
        assert former.get("/Users").status_code == 401
        assert former.create(f"{unique('u')}@x.example").status_code == 401
    assert Provisioned(
        provider.home, provider.organization, provider.owner, new_token(provider.home, provider.organization)
    ).names() == [email_of(provider.home, provider.owner)]


def test_the_token_of_an_organization_that_is_shut_opens_nothing(provider: Provisioned) -> None:
    set_it = "update accounts set is_active = {} where name = :name"
    run(provider.home, set_it.format("false"), name=provider.organization)
    assert provider.get("/Users").status_code == 401
    assert provider.create(f"{unique('u')}@x.example").status_code == 401
    run(provider.home, set_it.format("true"), name=provider.organization)
    assert provider.get("/Users").status_code == 200


def test_the_token_outlives_who_made_it(provider: Provisioned) -> None:
    home = provider.home
    made = provider.user(**ordered(role="owner"))
    set_active(home, provider.owner, is_active=False)
    assert provider.set(made, displayName="Still there").status_code == 200
    user = provider.person()
    assert the_error(provider.create(email_of(home, user))) == (409, "uniqueness")


# Limits


LIMIT_ANONYMOUS, LIMIT_USER = 5, 8


@pytest.fixture(scope="module", params=DATABASES)
def limited(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A hub behind a proxy that says where a request comes from, with low limits, and a plan that holds little."""
    team = {"members": 3, "teams": 2}
    variables = {
        "HOMEPORT_PLANS": msgspec.json.encode({"team": team, "personal": {"features": []}}).decode(),
        "HOMEPORT_RATE_LIMIT_ANONYMOUS": str(LIMIT_ANONYMOUS),
        "HOMEPORT_RATE_LIMIT_USER": str(LIMIT_USER),
        "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1",
    }
    with new_home(request.param, **variables) as home:
        yield home


def test_who_guesses_tokens_is_stopped_and_the_provider_at_the_same_address_is_not(limited: Home) -> None:
    provider = Provisioned.at(limited)
    headers = {"x-forwarded-for": "198.18.7.7"}
    url = f"{limited.url}{ROOT}/Users"
    statuses = []
    for number in range(LIMIT_ANONYMOUS + 2):
        guess = {**headers, "authorization": f"Bearer dckr_scim_{number}"}
        statuses.append(httpx.get(url, headers=guess))
    assert [answer.status_code for answer in statuses] == [401] * LIMIT_ANONYMOUS + [429] * 2
    refused = statuses[-1]
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["status"] == "429"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    right = {**headers, "authorization": f"Bearer {provider.secret}"}
    answers = [httpx.get(url, headers=right) for _ in range(LIMIT_USER + 1)]
    assert [answer.status_code for answer in answers] == [200] * LIMIT_USER + [429]
    # Its own limit is the organization's, wherever it asks from.
    elsewhere = httpx.get(url, headers={**right, "x-forwarded-for": "198.18.7.8"})
    assert elsewhere.status_code == 429
    another = Provisioned.at(limited)
    assert httpx.get(url, headers={**headers, "authorization": f"Bearer {another.secret}"}).status_code == 200


def give(home: Home, name: str, plan: PlanName) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await plans.set_plan(tx, actor=OPERATOR, name=name, plan=plan)

    home.run(verb)


def test_no_request_goes_beyond_the_plan(limited: Home) -> None:
    """Three members and two teams, the owner and the owners among them."""
    place = Provisioned.at(limited)
    give(limited, place.organization, PlanName.TEAM)
    first = place.user()  # and the team `company`
    assert the_error(place.create(f"{unique('u')}@x.example", **ordered(team="third"))) == (403, None)
    assert the_error(place.post("/Groups", {"schemas": [GROUP], "displayName": "third"})) == (403, None)
    assert the_error(place.set(first, **ordered(team="third"))) == (403, None)
    assert place.get(f"/Users/{first['id']}").json()["meta"]["version"] == first["meta"]["version"]

    place = Provisioned.at(limited)
    give(limited, place.organization, PlanName.TEAM)
    user, _ = place.user(), place.user()
    full = place.create(f"{unique('u')}@x.example")
    assert the_error(full) == (403, None)
    members = """select count(*) from organization_members where organization_id =
        (select id from accounts where name = :name)"""
    assert value(limited, int, members, name=place.organization) == 3
    place.set(user, active=False)  # keeps the seat: the account is a member still
    assert the_error(place.create(f"{unique('u')}@x.example")) == (403, None)


def test_who_is_let_in_again_by_an_invite_needs_room(limited: Home) -> None:
    place = Provisioned.at(limited)
    give(limited, place.organization, PlanName.TEAM)
    member = place.member()
    shown = place.shown(member).json()
    place.set(shown, active=False)
    for _ in range(2):
        place.member()
    assert the_error(place.set(shown, active=True)) == (409, "uniqueness")
    client = limited.hub(member)
    (invite,) = client.get("/v2/user/invites").json()["data"]
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 403
    assert place.role_of(member) is None


def test_a_token_is_made_under_a_plan_that_holds_scim_alone(limited: Home) -> None:
    owner = limited.user()
    organization = limited.organization(owner)
    give(limited, organization, PlanName.PERSONAL)
    answer = limited.hub(owner).post(f"/v2/orgs/{organization}/scim/token")
    assert answer.status_code == 403
    assert "does not include scim" in answer.text


# Secrets


@pytest.mark.parametrize("kind", DATABASES)
def test_no_secret_is_in_any_line_or_event(kind: str, new_home: NewHome) -> None:
    with new_home(kind) as home:
        provider = Provisioned.at(home)
        user = provider.person()
        former = provider.secret
        provider.create(email_of(home, user))
        made = provider.user()
        provider.set(made, active=False)
        provider.send("POST", "/Users", b"{")
        provider.send("PATCH", f"/Users/{made['id']}", b'{"Operations": 1}')
        provider.send("GET", f"/Users/{former}")
        httpx.get(f"{home.url}{ROOT}/Users", headers={"authorization": f"Bearer {former}x"})
        secret = rotate(provider)
        revoke(provider)
        log = (home.settings.data.parent / f"{home.settings.data.name}.log").read_text()
        rows = "select coalesce({}(data || name || actor, ' '), '') from audit_events"
        word = "group_concat" if home.settings.is_sqlite else "string_agg"
        events = value(home, str, rows.format(word))
        assert "scim.token.rotate" in value(home, str, f"select {word}(action, ' ') from audit_events")
        kept = f"select {word}(secret_sha256 || created_by, ' ') from scim_tokens"
        revived = new_token(home, provider.organization)
        texts = (log.replace(f"/Users/{former}", ""), events, value(home, str, kept))
        for text in texts:
            for one in (former, secret, revived):
                assert one not in text
                assert one.removeprefix("dckr_scim_") not in text
