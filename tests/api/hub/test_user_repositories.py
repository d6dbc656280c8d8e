"""Repositories by their user: the names in a namespace, what a user has starred, and comments, which are no more."""

from typing import Any

import httpx
import pytest

from homeport.core import repositories, stars
from homeport.core.access import Actor
from homeport.core.accounts import access_user
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, OrganizationRole, Permission
from tests.home import Home, User, push_image
from tests.plans import assert_by_index, plans_of


def names_of(client: httpx.Client, user: str) -> list[str]:
    answer = client.get(f"/v2/users/{user}/repositories")
    assert answer.status_code == 200, answer.text
    return [f"{entry['namespace']}/{entry['name']}" for entry in answer.json()]


def starred_by(client: httpx.Client, user: User, **parameters: int) -> dict[str, Any]:
    answer = client.get(f"/v2/users/{user.name}/repositories/starred", params=parameters)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def shown(page: dict[str, Any]) -> list[str]:
    return [f"{entry['namespace']}/{entry['name']}" for entry in page["results"]]


def star(client: httpx.Client, name: RepositoryName) -> None:
    assert client.post(f"/v2/repositories/{name}/stars", json={}).status_code == 200


# Names


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_names_of_a_namespace_are_a_plain_list_in_their_order(home: Home, slash: str) -> None:
    owner = home.user()
    made = [home.repository(owner.name, word) for word in ("b", "a", "c")]
    answer = home.anonymous.get(f"/v2/users/{owner.name}/repositories{slash}")
    expected = [{"namespace": name.namespace, "name": name.name} for name in sorted(made, key=lambda name: name.name)]
    assert answer.json() == expected


def test_a_private_name_is_in_the_list_of_those_who_may_pull_it(home: Home) -> None:
    owner, member, friend, stranger = (home.user(word) for word in ("owner", "member", "friend", "stranger"))
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.MEMBER)
    public = str(home.repository(organization, "a"))
    private = home.repository(organization, "b", is_private=True)
    home.collaborator(private, friend, Permission.READ)
    token = home.access_token(owner, "repo:public_read")[1]
    expected = {
        owner: [public, str(private)],
        friend: [public, str(private)],
        member: [public],
        stranger: [public],
    }
    assert {user: names_of(home.hub(user), organization) for user in expected} == expected
    assert names_of(home.anonymous, organization) == [public]
    assert names_of(home.hub(owner, token), organization) == [public]


def test_a_namespace_that_is_not_there_or_shut_has_no_names(home: Home) -> None:
    owner = home.user()
    home.repository(owner.name)
    home.deactivate(owner)
    assert names_of(home.anonymous, owner.name) == names_of(home.anonymous, "nobody-of-that-name") == []


def test_a_list_of_names_ends_at_its_limit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = home.user()
    made = [home.repository(owner.name, word) for word in ("a", "b", "c")]
    monkeypatch.setattr(repositories, "NAMES_LIMIT", 2)

    async def verb(services: Services) -> list[RepositoryName]:
        async with services.db.read() as tx:
            return await repositories.list_names(tx, actor=Actor(), namespace=owner.name)

    assert home.run(verb) == made[:2]


# Narrow tokens


def test_a_narrow_token_sees_of_names_and_stars_what_it_was_given(home: Home) -> None:
    owner = home.user("owner")
    given, other = (home.repository(owner.name, word, is_private=True) for word in ("a", "b"))
    client = home.hub(owner)
    for name in (given, other):
        star(client, name)
    body = {"token_label": "narrow", "grants": [{"repositories": str(given), "verbs": ["pull"]}]}
    made = client.post("/v2/access-tokens", json=body)
    assert made.status_code == 201, made.text
    narrow = home.hub(owner, made.json()["token"])
    assert names_of(client, owner.name) == [str(given), str(other)]
    assert names_of(narrow, owner.name) == [str(given)]
    page = starred_by(narrow, owner)
    assert (page["count"], shown(page)) == (1, [str(given)])


# Stars


def test_starred_repositories_come_in_pages_the_last_star_first(home: Home) -> None:
    fan, owner = home.user("fan"), home.user("owner")
    client = home.hub(fan)
    names = [home.repository(owner.name) for _ in range(3)]
    for name in (names[1], names[0], names[2]):
        star(client, name)
    page = starred_by(client, fan, page_size=2)
    assert (page["count"], shown(page)) == (3, [str(names[2]), str(names[0])])
    rest = client.get(page["next"]).json()
    assert (shown(rest), rest["next"]) == ([str(names[1])], None)
    assert client.get(rest["previous"]).json()["results"] == page["results"]
    assert client.delete(f"/v2/repositories/{names[0]}/stars").status_code == 204
    assert shown(starred_by(client, fan)) == [str(names[2]), str(names[1])]


def test_a_starred_repository_is_shown_as_in_the_list_of_its_namespace(home: Home) -> None:
    owner = home.user()
    name = home.repository(owner.name)
    client = home.hub(owner)
    push_image(home.registry(owner, name), name, "1.0")
    star(client, name)
    assert starred_by(client, owner)["results"] == client.get(f"/v2/repositories/{owner.name}").json()["results"]


def test_what_somebody_else_has_starred_is_shown_as_far_as_one_may_pull_it(home: Home) -> None:
    fan, friend, teammate, stranger = (home.user(word) for word in ("fan", "friend", "teammate", "stranger"))
    organization = home.organization(fan)
    public, private = home.repository(organization), home.repository(organization, is_private=True)
    home.collaborator(private, friend, Permission.READ)
    home.member(organization, teammate, OrganizationRole.MEMBER)
    home.team_member(private, teammate, Permission.READ)
    client = home.hub(fan)
    star(client, public)
    star(client, private)
    for user in (fan, friend, teammate):
        assert shown(starred_by(home.hub(user), fan)) == [str(private), str(public)]
    token = home.access_token(fan, "repo:public_read")[1]
    for client in (home.hub(stranger), home.anonymous, home.hub(fan, token)):
        page = starred_by(client, fan)
        assert (page["count"], shown(page)) == (1, [str(public)])
    assert starred_by(home.hub(friend), friend)["count"] == 0


def test_a_star_is_not_shown_any_more_to_whom_the_repository_was_shut(home: Home) -> None:
    fan, owner, gone = home.user("fan"), home.user("owner"), home.user("gone")
    turned, left = home.repository(owner.name), home.repository(gone.name)
    client = home.hub(fan)
    star(client, turned)
    star(client, left)
    assert home.hub(owner).post(f"/v2/repositories/{turned}/privacy", json={"is_private": True}).status_code == 200
    home.deactivate(gone)
    assert starred_by(client, fan) == {"count": 0, "next": None, "previous": None, "results": []}


def test_stars_of_who_is_not_there_or_shut_out_are_not_found(home: Home) -> None:
    gone = home.user()
    home.deactivate(gone)
    for name in (gone.name, "nobody-of-that-name"):
        answer = home.anonymous.get(f"/v2/users/{name}/repositories/starred")
        assert (answer.status_code, "not found" in answer.text) == (404, True)
    user = home.user()
    assert home.anonymous.get(f"/v2/users/{user.name}/repositories/starred?page=2").status_code == 404


def test_these_lists_are_served_by_indexes(home: Home) -> None:
    fan = home.user("fan")
    name = home.repository(fan.name)
    star(home.hub(fan), name)

    async def account(services: Services) -> Account:
        async with services.db.read() as tx:
            return await access_user(tx, fan.name)

    actor = Actor.of(home.run(account))

    async def starred(tx: Transaction) -> object:
        return await stars.list_starred(tx, actor=actor, user=fan.name, offset=0, limit=10)

    async def named(tx: Transaction) -> object:
        return await repositories.list_names(tx, actor=actor, namespace=fan.name)

    tables = ("repositories", "accounts", "repository_stars", "repository_collaborators")
    for verb in (starred, named):
        assert_by_index(plans_of(home, verb, must_scan=True), *tables)


# Comments


@pytest.mark.parametrize("path", ["/v2/repositories/{}/{}/comments", "/v2/namespaces/{}/repositories/{}/comments/"])
def test_nobody_has_commented_on_what_one_may_see(home: Home, path: str) -> None:
    owner = home.user()
    public, private = home.repository(owner.name), home.repository(owner.name, is_private=True)
    empty: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
    of_public, of_private = path.format(owner.name, public.name), path.format(owner.name, private.name)
    assert home.anonymous.get(f"{of_public}?page_size=100&page=1").json() == empty
    assert home.hub(owner).get(of_private).json() == empty
    assert home.anonymous.get(of_private).status_code == 404
    assert home.anonymous.get(f"{of_public}?page=2").status_code == 404
