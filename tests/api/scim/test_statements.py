"""What identity providers cost the database: as many statements with 100,000 users as with ten, each by an index."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from homeport.app import create_app
from homeport.core.services import Services
from homeport.storage.db import scim_groups, scim_users
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.scim_filters import All, Compare, Node, Order, Search, Some
from tests.conftest import DATABASES, NewHome
from tests.home import Home
from tests.plans import Plan, plans_of
from tests.scim import GROUP, PATCH_OP, ROOT, USER, IdentityProvider, Json

MANY = 100_000
FEW = 10
GROUPS = 500


class Place(msgspec.Struct, frozen=True):
    """An organization with its users, and a team that all of them are in."""

    provider: IdentityProvider
    size: int
    organization_id: int
    company: str

    @property
    def home(self) -> Home:
        return self.provider.home

    def user(self, number: int) -> str:
        """The id of a user, from 1 on."""
        return f"{self.organization_id}-{number}"

    def address(self, number: int) -> str:
        return f"m{self.user(number)}@example.com"

    def team(self, number: int) -> str:
        """The id of a team with few members."""
        return f"team-{self.organization_id}-{number}"


@pytest.fixture(scope="module", params=DATABASES)
def places(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[tuple[Place, Place]]:
    """Few users and many, in a database of their own."""
    with new_home(request.param) as home:
        yield _place(home, FEW), _place(home, MANY)


def _place(home: Home, size: int) -> Place:
    provider = IdentityProvider.of(home)
    company = provider.group("Everybody")

    async def verb(services: Services) -> int:
        async with services.db.write() as tx:
            find = "select id from accounts where name = :name"
            organization_id = await tx.value(int, find, name=provider.organization)
            team_id = await tx.value(int, "select id from teams where uuid = :uuid", uuid=company["id"])
            assert organization_id is not None
            for sql in FILL:
                await tx.run(
                    sql,
                    **_named(
                        sql, organization_id=organization_id, prefix=str(organization_id), team_id=team_id, size=size
                    ),
                )
        if not services.settings.is_sqlite:
            # What the server does by itself within a minute.
            async with services.db.write() as tx:
                await tx.run("analyze")
        return organization_id

    return Place(provider, size, home.run(verb), company["id"])


def _named(sql: str, **parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in {**parameters, "now": utcnow()}.items() if f":{name}" in sql}


_NUMBERS = "with recursive numbers(i) as (select 1 union all select i + 1 from numbers where i < :size)"
_ACCOUNT = "cast(:prefix as text) || '-' || i"
FILL = (
    f"""
    insert into accounts (uuid, name, kind, email, managing_organization_id, created_at)
    {_NUMBERS}
    select {_ACCOUNT}, 'm' || {_ACCOUNT}, 'user', 'M' || {_ACCOUNT} || '@example.com', :organization_id, :now
    from numbers
    """,
    """
    insert into organization_members (organization_id, account_id, account_name, role, created_at)
    select managing_organization_id, id, name, 'member', created_at from accounts
    where managing_organization_id = :organization_id
    """,
    """
    insert into scim_users (organization_id, account_id, user_name, user_name_key, display_name, display_name_key,
        external_id, created_at, updated_at)
    select managing_organization_id, id, email, lower(email), name, lower(name), 'X' || name, created_at, created_at
    from accounts where managing_organization_id = :organization_id
    """,
    """
    insert into scim_emails (organization_id, account_id, position, value, value_key, type, type_key, is_primary)
    select managing_organization_id, id, 0, email, lower(email), 'work', 'work', true
    from accounts where managing_organization_id = :organization_id
    """,
    """
    insert into team_members (team_id, account_id, account_name, created_at)
    select :team_id, id, name, created_at from accounts where managing_organization_id = :organization_id
    """,
    f"""
    insert into teams (uuid, organization_id, name, display_name, display_key, external_id, created_at, updated_at)
    {_NUMBERS}
    select 'team-' || {_ACCOUNT}, :organization_id, 'team' || i, 'Team ' || i, 'team ' || i, 'T' || i, :now, :now
    from numbers where i <= {GROUPS}
    """,
)


def count(place: Place, method: str, path: str, body: Any = None, status: int = 200) -> int:
    """The statements of one request."""

    async def verb(services: Services) -> int:
        statements: list[str] = []
        transport = httpx.ASGITransport(create_app(services))
        headers = {"authorization": f"Bearer {place.provider.secret}", "content-type": "application/scim+json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            # Once in a minute the token's last use is written down.
            assert (await client.get(f"{ROOT}/ServiceProviderConfig")).status_code == 200
            services.db.trace = statements.append
            answer = await client.request(method, ROOT + path, json=body)
            services.db.trace = None
        assert answer.status_code == status, answer.text[:500]
        return len(statements)

    return place.home.run(verb)


def counts(places: tuple[Place, Place], ask: Callable[[Place], int]) -> tuple[int, int]:
    few, many = (ask(place) for place in places)
    return few, many


READS: dict[str, Callable[[Place], str]] = {
    "one user": lambda place: f"/Users/{place.user(3)}",
    "the first page": lambda _: "/Users?count=200",
    "page 1,000": lambda place: f"/Users?count=100&startIndex={max(1, place.size - 99)}",
    "by userName": lambda place: f'/Users?filter=userName eq "m{place.user(7)}@EXAMPLE.com"',
    "by externalId": lambda place: f'/Users?filter=externalId eq "Xm{place.user(7)}"',
    "by id": lambda place: f'/Users?filter=id eq "{place.user(7)}"',
    "by address": lambda place: f'/Users?filter=emails.value eq "{place.address(7)}"',
    "by address and type": lambda place: f'/Users?filter=emails[type eq "work" and value eq "{place.address(7)}"]',
    "by displayName": lambda place: f'/Users?filter=displayName eq "M{place.user(7)}"',
    "in order": lambda _: "/Users?sortBy=userName&count=100&startIndex=5",
    "groups": lambda _: "/Groups?excludedAttributes=members&count=200",
    "one group": lambda place: f"/Groups/{place.company}?excludedAttributes=members",
    "one group by name": lambda _: '/Groups?filter=displayName eq "EVERYBODY"&excludedAttributes=members',
    "whether somebody is in a group": (
        lambda place: f'/Groups?filter=id eq "{place.company}" and members eq "{place.user(7)}"&attributes=id'
    ),
}


@pytest.mark.parametrize("what", READS)
def test_a_read_takes_as_many_statements_with_many_users_as_with_few(places: tuple[Place, Place], what: str) -> None:
    few, many = counts(places, lambda place: count(place, "GET", READS[what](place)))
    assert 0 < few == many <= 5
    path = READS[what](places[1]).partition("?")
    found = places[1].provider.client.get(ROOT + path[0], params=path[2] or None).json()
    assert found.get("Resources", found)


def test_page_1000_has_the_last_users(places: tuple[Place, Place]) -> None:
    large = places[1]
    page = large.provider.get("/Users", count=100, startIndex=MANY - 99).json()
    # Before them is the owner, who is in the directory too.
    assert page["totalResults"] == MANY + 1
    assert [user["id"] for user in page["Resources"]] == [large.user(number) for number in range(MANY - 100, MANY)]


def _member(place: Place, number: int) -> Json:
    operation = {"op": "add", "path": "members", "value": [{"value": place.user(number)}]}
    return {"schemas": [PATCH_OP], "Operations": [operation]}


def test_adding_a_member_takes_as_many_statements(places: tuple[Place, Place]) -> None:
    few, many = counts(places, lambda place: count(place, "PATCH", f"/Groups/{place.team(1)}", _member(place, 5)))
    assert 0 < few == many
    assert [place.provider.get(f"/Groups/{place.team(1)}").json()["members"][0]["value"] for place in places] == [
        place.user(5) for place in places
    ]


def test_adding_to_a_group_of_everybody_takes_as_many_statements(places: tuple[Place, Place]) -> None:
    few, many = counts(
        places, lambda place: count(place, "PATCH", f"/Groups/{place.company}?attributes=id", _member(place, 5))
    )
    assert 0 < few == many


def test_making_and_deleting_a_user_takes_as_many_statements(places: tuple[Place, Place]) -> None:
    few, many = counts(
        places,
        lambda place: count(
            place, "POST", "/Users", {"schemas": [USER], "userName": f"new@{place.organization_id}.example"}, 201
        ),
    )
    assert 0 < few == many
    few, many = counts(places, lambda place: count(place, "DELETE", f"/Users/{place.user(9)}", status=204))
    assert 0 < few == many


def test_making_and_deleting_a_group_takes_as_many_statements(places: tuple[Place, Place]) -> None:
    def body(place: Place) -> Json:
        members = [{"value": place.user(number)} for number in (1, 2, 3)]
        return {"schemas": [GROUP], "displayName": "Quite New", "members": members}

    few, many = counts(places, lambda place: count(place, "POST", "/Groups", body(place), 201))
    assert 0 < few == many
    few, many = counts(places, lambda place: count(place, "DELETE", f"/Groups/{place.team(3)}", status=204))
    assert 0 < few == many


# Indexes. SQLite has its own names for those of unique columns.

TABLES = ("scim_users", "s", "accounts", "a", "scim_emails", "e", "organization_members", "team_members", "m")
UUIDS = {"accounts_uuid_key", "teams_uuid_key", "sqlite_autoindex_accounts_1", "sqlite_autoindex_teams_1"}

Condition = Callable[[Place], Node]

USERS: dict[str, tuple[Condition, set[str]]] = {
    "id": (lambda place: Compare("id", "eq", place.user(7)), UUIDS),
    "userName": (lambda place: Compare("user_name", "eq", place.address(7)), {"scim_users_user_name_key"}),
    "externalId": (lambda place: Compare("external_id", "eq", f"Xm{place.user(7)}"), {"scim_users_external_id"}),
    "displayName": (lambda place: Compare("display_name", "eq", f"m{place.user(7)}"), {"scim_users_display_name_key"}),
    "emails.value": (lambda place: Compare("emails", "eq", place.address(7), "value"), {"scim_emails_value"}),
    "emails[type and value]": (
        lambda place: Some("emails", All((Compare("type", "eq", "work"), Compare("value", "eq", place.address(7))))),
        {"scim_emails_value"},
    ),
}
TEAMS: dict[str, tuple[Condition, set[str]]] = {
    "id": (lambda place: Compare("id", "eq", place.team(7)), UUIDS),
    "displayName": (lambda _: Compare("display_name", "eq", "team 7"), {"teams_display_key"}),
    "externalId": (lambda _: Compare("external_id", "eq", "T7"), {"teams_external_id"}),
    "members.value": (lambda place: Compare("members", "eq", place.user(7), "value"), UUIDS),
    "id and member": (
        lambda place: All((Compare("id", "eq", place.company), Compare("members", "eq", place.user(7), "value"))),
        UUIDS,
    ),
}


def _plans(place: Place, rows: Any, filter_: Node | None, order: Order | None = None) -> list[Plan]:
    search = Search(base_url="http://hub.test", filter=filter_, order=order, offset=0, limit=100)

    async def verb(tx: Transaction) -> None:
        found = await rows.list_page(tx, organization_id=place.organization_id, search=search)
        total = await rows.count(tx, organization_id=place.organization_id, search=search)
        assert filter_ is None or len(found) == total == 1

    return plans_of(place.home, verb)


@pytest.mark.parametrize("what", USERS)
def test_a_user_is_found_by_an_index(places: tuple[Place, Place], what: str) -> None:
    condition, indexes = USERS[what]
    plans = _plans(places[1], scim_users, condition(places[1]))
    assert all(indexes & set(plan.indexes()) for plan in plans), plans
    assert not any(plan.scans(table) for plan in plans for table in TABLES), plans


@pytest.mark.parametrize("what", TEAMS)
def test_a_group_is_found_by_an_index(places: tuple[Place, Place], what: str) -> None:
    condition, indexes = TEAMS[what]
    plans = _plans(places[1], scim_groups, condition(places[1]))
    assert all(indexes & set(plan.indexes()) for plan in plans), plans


@pytest.mark.parametrize("order", [None, Order("user_name"), Order("user_name", is_descending=True)])
def test_a_page_is_cut_out_of_what_is_in_order(places: tuple[Place, Place], order: Order | None) -> None:
    page = _plans(places[1], scim_users, None, order)[0]
    texts = [step.text for step in page.steps]
    if places[0].home.settings.is_sqlite:
        assert not page.sorts_list(), page
    else:
        assert "Sort" not in texts[texts.index("Limit") + 1], page
    assert not any(page.scans(table) for table in TABLES), page
