"""Search at the Hub API: what is found, by whom, in which order, and how each of its doors tells it."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.api.hub.search import rounded
from homeport.core import accounts, search
from homeport.core.access import ANONYMOUS, Actor
from homeport.core.search import Search
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.search_tokens import QUERY_LENGTH_LIMIT, QUERY_WORDS_LIMIT, words_of
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Badge, OrganizationRole, Permission
from homeport.storage.db.search import Filter
from tests.api.hub.people import execute
from tests.api.hub.pushing import Owned
from tests.api.registry.test_statements import count
from tests.home import Home, User, unique
from tests.plans import plans_of

PATH = "/v2/search/repositories"


def word() -> str:
    """A word that nothing else holds, and that is no part of another one."""
    return f"{unique('q')}zest"


class Shelf:
    """A user with repositories to be found."""

    def __init__(self, home: Home, user: User | None = None) -> None:
        self.home = home
        self.user = user or home.user("owner")
        self.hub = home.hub(self.user)

    def repository(self, name: str, description: str = "", *, namespace: str = "", is_private: bool = False) -> str:
        namespace = namespace or self.user.name
        body = {"name": name, "description": description, "is_private": is_private}
        answer = self.hub.post(f"/v2/namespaces/{namespace}/repositories", json=body)
        assert answer.status_code == 201, answer.text
        return f"{namespace}/{name}"

    def path(self, name: str) -> str:
        return f"/v2/repositories/{name}"


@pytest.fixture
def shelf(home: Home) -> Shelf:
    return Shelf(home)


def found(client: httpx.Client, query: str, **parameters: str | int) -> list[str]:
    answer = client.get(PATH, params={"query": query, "page_size": 100, **parameters})
    assert answer.status_code == 200, answer.text
    names = [result["repo_name"] for result in answer.json()["results"]]
    assert answer.json()["count"] == len(names)
    return names


def popular(home: Home, name: str, *, stars: int = 0, pulls: int = 0) -> None:
    execute(
        home,
        """update repositories set star_count = :stars, pull_count = :pulls where name = :name
            and namespace_id = (select id from accounts where name = :namespace)""",
        stars=stars,
        pulls=pulls,
        namespace=name.partition("/")[0],
        name=name.partition("/")[2],
    )


def badge(home: Home, namespace: str, badge: str) -> None:
    execute(home, "update accounts set badge = :badge where name = :name", badge=badge, name=namespace)


# What is found


def test_a_repository_is_found_with_all_that_is_told_of_it(home: Home, shelf: Shelf) -> None:
    name = shelf.repository(word(), "What it does")
    popular(home, name, stars=3, pulls=1234)
    for path in (PATH, f"{PATH}/"):
        answer = home.anonymous.get(path, params={"query": name.partition("/")[2]})
        assert answer.json() == {
            "count": 1,
            "next": "",
            "previous": "",
            "results": [
                {
                    "repo_name": name,
                    "short_description": "What it does",
                    "star_count": 3,
                    "pull_count": 1234,
                    "repo_owner": "",
                    "is_automated": False,
                    "is_official": False,
                }
            ],
        }


def test_words_of_a_name_are_found_by_any_part(home: Home, shelf: Shelf) -> None:
    middle = word()
    name = shelf.repository(f"fast-{middle}er.v2")
    for query in (middle, f"{middle}er", f"FAST {middle[:-1]}", f"{middle[1:]} {middle}", f"v2 {middle}", name):
        assert name in found(home.anonymous, query), query
    for query in (f"{middle}s", f"{middle} slow", f"x{middle}"):
        assert name not in found(home.anonymous, query), query


def test_two_letters_find_beginnings_and_one_finds_a_word(home: Home, shelf: Shelf) -> None:
    mark = word()
    name = shelf.repository(f"golang-r-{mark}")
    for query in ("go", "r", "gol", "lan"):
        assert found(home.anonymous, f"{mark} {query}") == [name], query
    for query in ("ol", "g", "la"):
        assert found(home.anonymous, f"{mark} {query}") == [], query


def test_words_of_a_description_are_found_by_their_beginnings(home: Home, shelf: Shelf) -> None:
    mark = word()
    name = shelf.repository(unique("plain"), f"Über{mark}: die schnellste Prüfung (of 中文字 too)")
    for query in (f"uber{mark}", f"ÜBER{mark}", "schnell", "prufung", "文字"):
        assert name in found(home.anonymous, f"uber{mark} {query}"), query
    for query in ("nellste", "langsam"):
        assert name not in found(home.anonymous, f"uber{mark} {query}"), query


def test_a_namespace_is_found_by_its_name(home: Home) -> None:
    owner = Shelf(home, home.user(word()))
    names = {owner.repository(unique("one")), owner.repository(unique("two"))}
    assert set(found(home.anonymous, owner.user.name)) == names
    assert set(found(home.anonymous, f"{owner.user.name}/")) == names
    assert set(found(home.anonymous, f"{owner.user.name}/one")) == {name for name in names if "/one" in name}


def test_official_images_are_called_by_their_own_name(home: Home) -> None:
    admin = Shelf(home, home.admin)
    name = word()
    admin.repository(name, namespace="library")
    answer = home.anonymous.get(PATH, params={"query": name}).json()["results"]
    assert [(result["repo_name"], result["is_official"]) for result in answer] == [(name, True)]
    assert found(home.anonymous, f"library/{name}") == [name]


def test_without_words_everything_is_found_and_of_signs_nothing(home: Home, shelf: Shelf) -> None:
    shelf.repository(word())
    assert home.anonymous.get(PATH).json()["count"] > 0
    assert home.anonymous.get(PATH, params={"query": ""}).json()["count"] > 0
    for query in ("/", '"', "*", "~public", "-- '", "\0"):
        assert found(home.anonymous, query) == [], query


def test_what_changes_is_found_as_it_is_now(home: Home, shelf: Shelf) -> None:
    before, after = word(), word()
    name = shelf.repository(unique("plain"), before)
    assert found(home.anonymous, before) == [name]
    assert shelf.hub.patch(shelf.path(name), json={"description": after}).status_code == 200
    assert (found(home.anonymous, before), found(home.anonymous, after)) == ([], [name])
    assert shelf.hub.post(f"{shelf.path(name)}/privacy", json={"is_private": True}).status_code == 200
    assert (found(home.anonymous, after), found(shelf.hub, after)) == ([], [name])
    assert shelf.hub.post(f"{shelf.path(name)}/privacy", json={"is_private": False}).status_code == 200
    assert found(home.anonymous, after) == [name]
    assert shelf.hub.delete(shelf.path(name)).status_code == 202
    assert found(shelf.hub, after) == []
    again = shelf.repository(name.partition("/")[2], before)
    assert (found(home.anonymous, after), found(home.anonymous, before)) == ([], [again])


def test_the_first_push_makes_a_repository_that_is_found(home: Home) -> None:
    owned = Owned(home)
    owned.image("latest")
    assert found(home.hub(owned.owner), owned.name.name) == [str(owned.name)]


def test_of_who_is_shut_out_nothing_is_found(home: Home, shelf: Shelf) -> None:
    mark = word()
    name = shelf.repository(mark)
    assert found(home.hub(home.admin), mark) == [name]
    home.deactivate(shelf.user)
    assert (found(home.anonymous, mark), found(home.hub(home.admin), mark)) == ([], [])


# In which order


def test_names_come_before_words_and_words_before_descriptions(home: Home) -> None:
    mark = word()
    first, second = Shelf(home), Shelf(home)
    expected = [
        first.repository(mark),
        first.repository(f"{mark}-server"),
        first.repository(f"my-{mark}"),
        first.repository(f"my{mark}"),
        first.repository(unique("plain"), f"For {mark}"),
    ]
    # What is liked most stands last where it fits worst.
    for stars, name in enumerate(expected):
        popular(home, name, stars=10**stars, pulls=10**stars)
    assert found(home.anonymous, mark) == expected
    exact = second.repository(f"my-{mark}")
    assert found(home.anonymous, exact)[0] == exact
    assert found(home.anonymous, f"my-{mark}")[:2] == [expected[2], exact]


def test_marked_namespaces_come_first_then_stars_then_pulls(home: Home) -> None:
    mark = word()
    shelves = [Shelf(home) for _ in range(5)]
    names = [shelf.repository(mark) for shelf in shelves]
    plain, pulled, starred, verified, official = names
    badge(home, shelves[3].user.name, "verified_publisher")
    badge(home, shelves[4].user.name, "official")
    popular(home, plain, pulls=1)
    popular(home, pulled, pulls=2)
    popular(home, starred, stars=1)
    assert found(home.anonymous, mark) == [official, verified, starred, pulled, plain]
    assert found(home.anonymous, mark, is_official="true") == [official]
    assert found(home.anonymous, mark, is_official="0") == [verified, starred, pulled, plain]
    assert found(home.anonymous, mark, is_automated="true") == []
    assert found(home.anonymous, mark, is_automated="false") == found(home.anonymous, mark)


def test_equals_go_by_age_so_that_pages_are_the_whole(home: Home, shelf: Shelf) -> None:
    mark = word()
    names = [shelf.repository(f"{mark}-{number}") for number in range(7)]
    assert found(home.anonymous, mark) == names
    url, pages = f"{home.url}{PATH}/?query={mark}&page_size=3", []
    while url:
        answer = home.anonymous.get(url).json()
        assert answer["count"] == 7
        pages.append([result["repo_name"] for result in answer["results"]])
        previous, url = answer["previous"], answer["next"]
    assert pages == [names[:3], names[3:6], names[6:]]
    assert previous == f"{home.url}{PATH}?page=2&page_size=3&query={mark}"
    beyond = home.anonymous.get(PATH, params={"query": mark, "page_size": 3, "page": 4})
    assert (beyond.status_code, "not found" in beyond.text) == (404, True)
    assert home.anonymous.get(PATH, params={"query": word(), "page": 1}).json()["results"] == []


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"query": "x" * 256}, "query"),
        ({"query": " ".join("abcdefghijklmnopq")}, "query"),
        ({"query": "x", "page": "0"}, "page"),
        ({"query": "x", "page_size": "many"}, "page_size"),
        ({"query": "x", "is_official": "perhaps"}, "is_official"),
        ({"query": "x", "is_automated": "2"}, "is_automated"),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_field(home: Home, parameters: dict[str, str], field: str) -> None:
    answer = home.anonymous.get(PATH, params=parameters)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_the_longest_query_is_answered(home: Home) -> None:
    longest = " ".join(f"{letter}{'y' * 13}" for letter in "abcdefghijklmnop")
    assert len(longest) <= 255
    assert found(home.anonymous, longest) == []


# By whom

PRIVATE_TO = (Permission.READ, Permission.WRITE, Permission.ADMIN)


class Street:
    """Private and public repositories of a user and of an organization, and people with all that may open them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.mark = word()
        owner = home.user()
        organization, elsewhere = home.organization(owner), home.organization(home.user())
        self.names = [
            self._repository(namespace, is_private=is_private)
            for namespace in (owner.name, organization, elsewhere)
            for is_private in (False, True)
            for _ in range(2)
        ]
        private = [self.names[index] for index in (2, 6, 10)]
        people = {"stranger": home.user(), "owner": owner}
        for role in OrganizationRole:
            people[role] = home.user()
            home.member(organization, people[role], role)
        for permission in PRIVATE_TO:
            people[f"collaborator {permission}"] = home.user()
            for name in private:
                home.collaborator(name, people[f"collaborator {permission}"], permission)
            people[f"team {permission}"] = home.user()
            home.member(organization, people[f"team {permission}"], OrganizationRole.MEMBER)
            home.team_member(private[1], people[f"team {permission}"], permission)
        people["left"] = home.user()
        home.member(organization, people["left"], OrganizationRole.MEMBER)
        home.team_member(private[1], people["left"], Permission.ADMIN)
        # Whoever is in a team and no member any more cannot be by any verb; the rule says it all the same.
        execute(home, "delete from organization_members where account_name = :name", name=people["left"].name)
        self.clients = {who: home.hub(user) for who, user in people.items()}
        for scope in ("repo:admin", "repo:read", "repo:public_read"):
            self.clients[scope] = home.hub(owner, home.access_token(owner, scope)[1])
        self.clients["anonymous"] = home.anonymous
        self.clients["site administrator"] = home.hub(home.admin)

    def _repository(self, namespace: str, *, is_private: bool) -> RepositoryName:
        return self.home.repository(namespace, self.mark, is_private=is_private)


def test_whoever_may_see_a_repository_finds_it_and_nobody_else(home: Home) -> None:
    street = Street(home)
    answers, expected = {}, {}
    for who, client in street.clients.items():
        statuses = {str(name): client.get(f"/v2/repositories/{name}").status_code for name in street.names}
        assert set(statuses.values()) <= {200, 404}
        expected[who] = {name for name, status in statuses.items() if status == 200}
        # By one's own name each is found exactly if it is seen; by what all hold, all that are seen, and so many.
        by_name = {str(name) for name in street.names if str(name) in found(client, str(name))}
        everything = set(found(client, street.mark))
        answers[who] = (by_name, everything)
    assert answers == {who: (seen, seen) for who, seen in expected.items()}
    assert len({frozenset(seen) for seen in expected.values()}) >= 6
    assert len(expected["anonymous"]) == 6
    assert expected["repo:public_read"] == expected["left"] == expected["stranger"] == expected["anonymous"]
    assert len(expected["site administrator"]) == len(street.names)


# Whatever is asked

LETTERS = st.text(alphabet=st.sampled_from("ab1-_./ \"'*:&|!()~=#^%\\\0ÄßŒ中\u0131İ\u0301\ud7ff😀"), max_size=40)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=LETTERS | st.text(max_size=60) | st.sampled_from(["a OR b", "NEAR(a b)", "a AND", "tokens: a", "'a':*"]))
def test_no_query_is_anything_but_words(home: Home, query: str) -> None:
    for path, name in ((PATH, "query"), ("/v1/search", "q"), ("/api/search/v4", "query")):
        answer = home.anonymous.get(path, params={name: query.encode("utf-8", "replace")})
        assert answer.status_code in (200, 400), answer.text
        assert answer.status_code == 200 or list(answer.json()["fields"]) == [name]


class Described:
    """A repository that gets one description after the other."""

    def __init__(self, home: Home) -> None:
        self.shelf = Shelf(home)
        self.mark = word()
        self.name = self.shelf.repository(self.mark)
        self.path = self.shelf.path(self.name)


@pytest.fixture
def described(home: Home) -> Described:
    return Described(home)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=90))
def test_a_description_is_found_by_each_of_its_words(home: Home, described: Described, description: str) -> None:
    words = words_of(description)[: QUERY_WORDS_LIMIT - 1]
    query = " ".join([described.mark, *words])
    answer = described.shelf.hub.patch(described.path, json={"description": description})
    assert answer.status_code == 200, answer.text
    if len(query) <= QUERY_LENGTH_LIMIT:
        assert found(home.anonymous, query) == [described.name]


# Among many


def searching(home: Home, query: str, **fields: Any) -> Callable[[Transaction], Awaitable[search.Found]]:
    text, words = search.parse_query(query, field="query")

    async def verb(tx: Transaction) -> search.Found:
        wanted = Search(text=text, words=words, **fields)
        return await search.find(tx, actor=ANONYMOUS, search=wanted, offset=0, limit=100, with_platforms=True)

    return verb


def test_of_more_than_are_looked_at_the_best_are_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LIMIT", 3)
    mark = word()
    shelf, marked = Shelf(home), Shelf(home)
    badge(home, marked.user.name, "verified_publisher")
    plain = [shelf.repository(f"{unique('plain')}-{mark}") for _ in range(5)]
    exact, starred, pulled = (Shelf(home).repository(name) for name in (mark, f"a-{mark}", f"b-{mark}"))
    of_marked = marked.repository(f"c-{mark}")
    popular(home, starred, stars=10**6)
    popular(home, pulled, pulls=10**6)
    verb = searching(home, mark)

    async def run(services: Services) -> search.Found:
        async with services.db.read(scan=True) as tx:
            return await verb(tx)

    answer = home.run(run)
    names = [f"{repository.namespace}/{repository.name}" for repository in answer.repositories]
    assert names[:4] == [exact, of_marked, starred, pulled]
    assert set(names[4:]) <= set(plain)
    assert answer.total == len(names) <= 7


def test_filters_hold_for_what_has_been_opened_too(home: Home) -> None:
    mark, friend = word(), home.user()
    names = []
    for mark_of_namespace in ("official", "verified_publisher", ""):
        owner = home.user()
        badge(home, owner.name, mark_of_namespace)
        names.append(home.repository(owner.name, mark, is_private=True))
        home.collaborator(names[-1], friend, Permission.READ)

    async def run(services: Services) -> list[set[str]]:
        found = []
        async with services.db.read(scan=True) as tx:
            actor = Actor.of(await accounts.access_user(tx, friend.name))
            for badges in ([], [Badge.OFFICIAL], [Badge.OFFICIAL, Badge.VERIFIED_PUBLISHER], [Badge.NONE]):
                wanted = Search(text=mark, words=[mark], filter_=Filter(badges=badges))
                answer = await search.find(tx, actor=actor, search=wanted, offset=0, limit=9)
                found.append({f"{one.namespace}/{one.name}" for one in answer.repositories})
        return found

    official, verified, plain = map(str, names)
    assert home.run(run) == [{official, verified, plain}, {official}, {official, verified}, {plain}]


def test_a_search_costs_the_same_for_one_and_for_many(home: Home, shelf: Shelf) -> None:
    mark = word()
    shelf.repository(mark)
    for path in (f"{PATH}?query={mark}", f"/api/search/v4?query={mark}"):
        few = count(home, shelf.hub.headers["authorization"], path)
        for _ in range(20):
            shelf.repository(f"{mark}-{unique('more')}")
        assert count(home, shelf.hub.headers["authorization"], path) == few <= 6


@pytest.mark.parametrize("limit", [1, 2000], ids=["common", "rare"])
def test_a_search_goes_by_indexes(home: Home, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(search, "LIMIT", limit)
    mark = word()
    for number in range(3):
        shelf.repository(f"{mark}-{number}")
    plans = plans_of(home, searching(home, mark), must_scan=True)
    assert len(plans) == (4 if limit == 2000 else 8)
    for plan in plans:
        for table in ("repositories", "repository_search", "accounts", "tags", "manifests"):
            assert not plan.scans(table), plan


# As engines ask


def engine(client: httpx.Client, query: str, **parameters: str | int) -> dict[str, Any]:
    answer = client.get("/v1/search", params={"q": query, **parameters})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_engine_finds_out_that_it_may_search_here(home: Home) -> None:
    for path in ("/v1/_ping", "/v1/_ping/"):
        assert home.anonymous.get(path).json() == {"standalone": True}


def test_an_engine_is_told_what_it_shows(home: Home, shelf: Shelf) -> None:
    mark = word()
    name = shelf.repository(mark, "What it does")
    popular(home, name, stars=2)
    # An engine says so of any registry.
    client = home.client(**{"x-docker-token": "true"})
    assert engine(client, mark, n=25) == {
        "query": mark,
        "num_results": 1,
        "num_pages": 1,
        "page": 1,
        "page_size": 25,
        "results": [
            {
                "name": name,
                "description": "What it does",
                "star_count": 2,
                "is_official": False,
                "is_automated": False,
                "is_trusted": False,
            }
        ],
    }


def test_pages_of_an_engine(home: Home, shelf: Shelf) -> None:
    mark = word()
    names = [shelf.repository(f"{mark}-{number}") for number in range(5)]
    pages = [engine(home.anonymous, mark, n=2, page=page) for page in (1, 2, 3, 4)]
    assert [[result["name"] for result in page["results"]] for page in pages] == [names[:2], names[2:4], names[4:], []]
    assert {(page["num_results"], page["num_pages"], page["page_size"]) for page in pages} == {(5, 3, 2)}
    assert engine(home.anonymous, mark, n=1000)["page_size"] == 100
    assert engine(home.anonymous, mark, n=0)["page_size"] == engine(home.anonymous, mark)["page_size"] == 25
    for query in ("", "/", "  "):
        assert engine(home.anonymous, query)["results"] == []
    for parameters in ({"n": "many"}, {"page": "-1"}, {"q": "x" * 256}):
        answer = home.anonymous.get("/v1/search", params={"q": mark, **parameters})
        assert (answer.status_code, list(answer.json()["fields"])) == (400, list(parameters))


def test_what_appliances_ask_finds_official_images(home: Home) -> None:
    name = word()
    Shelf(home, home.admin).repository(name, namespace="library")
    answer = engine(home.anonymous, f"library/{name}")["results"]
    assert [(result["name"], result["is_official"]) for result in answer] == [(name, True)]
    assert engine(home.anonymous, "library/")["num_results"] >= 1


def basic(user: User, secret: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user.name}:{secret or user.password}".encode()).decode()


def test_who_has_logged_in_finds_what_is_their_own(home: Home, shelf: Shelf) -> None:
    mark = word()
    name = shelf.repository(mark, is_private=True)
    user, (_, secret) = shelf.user, home.access_token(shelf.user, "repo:read")
    searching_token = home.anonymous.get(
        "/token", params={"service": "test", "scope": "registry:catalog:search"}, auth=(user.name, user.password)
    ).json()["token"]
    other_token = home.registry(user, RepositoryName(user.name, mark)).headers["authorization"]
    nobodys = home.anonymous.get("/token", params={"scope": "registry:catalog:search"}).json()["token"]
    public_only = home.access_token(user, "repo:public_read")[1]
    seen = {
        basic(user): [name],
        basic(user, secret): [name],
        shelf.hub.headers["authorization"]: [name],
        f"Bearer {searching_token}": [name],
        other_token: [],
        f"Bearer {nobodys}": [],
        basic(user, public_only): [],
        basic(home.user()): [],
    }
    answers = {
        header: [result["name"] for result in engine(home.client(authorization=header), mark)["results"]]
        for header in seen
    }
    assert answers == seen
    for header in (basic(user, "wrong"), "Bearer nonsense", "Digest x", "Basic ???"):
        answer = home.client(authorization=header).get("/v1/search", params={"q": mark})
        assert answer.status_code == 401
    # A token to search with opens nothing else.
    opened = home.client(authorization=f"Bearer {searching_token}").get(f"/v2/{name}/tags/list")
    assert opened.status_code == 401
    assert home.client(authorization=f"Bearer {searching_token}").get("/v2/user/invites").status_code == 401


# As the newer pages ask

CATALOGS = ("/api/search/v4", "/api/search/v3/catalog/search")


def catalog(client: httpx.Client, query: str, path: str = CATALOGS[0], **parameters: str | int) -> list[str]:
    answer = client.get(path, params={"query": query, **parameters})
    assert answer.status_code == 200, answer.text
    return [result["name"] for result in answer.json()["results"]]


class Shop(Owned):
    """A repository in an index of two platforms."""

    def __init__(self, home: Home, *, architectures: tuple[str, ...] = ("amd64", "arm64")) -> None:
        super().__init__(home)
        children = [self.image(f"of-{name}", config={"os": "linux", "architecture": name}) for name in architectures]
        platforms = [{"os": "linux", "architecture": name} for name in architectures]
        self.index("latest", *zip(children, platforms, strict=True))


@pytest.mark.parametrize("path", CATALOGS)
def test_the_catalogue_tells_more_of_what_it_finds(home: Home, path: str) -> None:
    shop = Shop(home)
    hub, name = home.hub(shop.owner), str(shop.name)
    assert hub.patch(f"/v2/repositories/{name}/categories", json=[{"slug": "security"}]).status_code == 200
    assert hub.patch(f"/v2/repositories/{name}", json={"description": "What it does"}).status_code == 200
    popular(home, name, stars=4, pulls=765_432)
    badge(home, shop.owner.name, "open_source")
    answer = home.anonymous.get(path, params={"query": name}).json()
    assert list(answer) == ["total", "results"]
    (result,) = answer["results"]
    shown = hub.get(f"/v2/repositories/{name}").json()
    assert result == {
        "id": name,
        "name": name,
        "slug": name,
        "type": "image",
        "publisher": {"id": result["publisher"]["id"], "name": shop.owner.name},
        "created_at": shown["date_registered"],
        "updated_at": shown["last_updated"],
        "short_description": "What it does",
        "badge": "open_source",
        "star_count": 4,
        "pull_count": "500K+",
        "operating_systems": [{"name": "linux", "label": "Linux"}],
        "architectures": [{"name": "amd64", "label": "x86-64"}, {"name": "arm64", "label": "ARM 64"}],
        "logo_url": None,
        "extension_reviewed": False,
        "archived": False,
        "categories": [{"slug": "security", "name": "Security"}],
    }


def test_organizations_are_told_by_their_full_names_and_people_are_not(home: Home, shelf: Shelf) -> None:
    organization = home.organization(shelf.user)
    names = [shelf.user.name, organization]
    for name in names:
        execute(home, "update accounts set full_name = 'Shop & Sons' where name = :name", name=name)
    shelf.repository(mark := word())
    shelf.repository(mark, namespace=organization)
    results = home.anonymous.get(CATALOGS[0], params={"query": mark}).json()["results"]
    assert [result["publisher"]["name"] for result in results] == [shelf.user.name, "Shop & Sons"]
    assert len({result["publisher"]["id"] for result in results}) == 2


def test_platforms_are_those_of_the_tag_that_was_moved_last(home: Home) -> None:
    shop = Shop(home)
    shop.image("newer", config={"os": "windows", "architecture": "amd64"})
    (result,) = home.anonymous.get(CATALOGS[0], params={"query": str(shop.name)}).json()["results"]
    assert [found["name"] for found in result["operating_systems"]] == ["windows"]
    assert [found["name"] for found in result["architectures"]] == ["amd64"]
    empty = home.repository("admin", word())
    (result,) = home.anonymous.get(CATALOGS[0], params={"query": str(empty)}).json()["results"]
    assert (result["operating_systems"], result["architectures"], result["type"]) == ([], [], "image")


def test_the_catalogue_is_narrowed(home: Home) -> None:
    shop = Shop(home)
    name, mark = str(shop.name), shop.name.name
    badge(home, shop.owner.name, "verified_publisher")
    hub = home.hub(shop.owner)
    assert hub.patch(f"/v2/repositories/{name}/categories", json=[{"slug": "security"}]).status_code == 200
    fits: dict[str, list[str]] = {
        "architectures": ["arm64", "s390x,amd64", ""],
        "operating_systems": ["linux", "windows,linux"],
        "badges": ["verified_publisher", "official,verified_publisher", "none,verified_publisher"],
        "images": ["verified_publisher"],
        "categories": ["security", "databases-and-storage,security", "no such one,security"],
        "type": ["image", "image,plugin", "image,plugin,model", "image,extension"],
        "extension_reviewed": ["false"],
        "custom_boosted_results": ["true"],
    }
    fails: dict[str, list[str]] = {
        "architectures": ["s390x", "amd"],
        "operating_systems": ["windows", "LINUX"],
        "badges": ["official", "none", "open_source,none", "hardened"],
        "images": ["official"],
        "categories": ["databases-and-storage", "no such one", '"'],
        "type": ["plugin", "plugin,model", "extension"],
        "extension_reviewed": ["true"],
    }
    for parameter, values in fits.items():
        for value in values:
            assert catalog(home.anonymous, mark, **{parameter: value}) == [name], (parameter, value)
    for parameter, values in fails.items():
        for value in values:
            assert catalog(home.anonymous, mark, **{parameter: value}) == [], (parameter, value)


def test_kinds_of_content(home: Home) -> None:
    kinds = {
        "plugin": "application/vnd.docker.plugin.v1+json",
        "model": "application/vnd.docker.ai.model.config.v0.1+json",
        "image": "application/vnd.cncf.helm.config.v1+json",
    }
    for kind, config_type in kinds.items():
        owned = Owned(home)
        owned.image("latest", config_type=config_type)
        name = str(owned.name)
        (result,) = home.anonymous.get(CATALOGS[0], params={"query": name}).json()["results"]
        assert result["type"] == kind
        assert [other for other in kinds if catalog(home.anonymous, name, type=other) == [name]] == [kind]


def test_the_catalogue_is_sorted_and_cut(home: Home, shelf: Shelf) -> None:
    mark = word()
    names = [shelf.repository(f"{mark}-{number}") for number in range(4)]
    for pulls, name in zip((3, 1, 2, 2), names, strict=True):
        popular(home, name, pulls=pulls)
    first, second, third, fourth = names
    asked: list[tuple[dict[str, str | int], list[str]]] = [
        ({}, [first, third, fourth, second]),
        ({"sort": "pull_count"}, [first, fourth, third, second]),
        ({"sort": "pull_count", "order": "asc"}, [second, third, fourth, first]),
        ({"sort": "updated_at"}, [fourth, third, second, first]),
        ({"sort": "updated_at", "order": "asc"}, names),
        ({"from": 1, "size": 2}, [third, fourth]),
        ({"from": 4}, []),
        ({"from": 10**15}, []),
        ({"size": 0}, []),
        ({"size": 500}, [first, third, fourth, second]),
    ]
    for parameters, expected in asked:
        answer = home.anonymous.get(CATALOGS[0], params={"query": mark, **parameters}).json()
        assert ([result["name"] for result in answer["results"]], answer["total"]) == (expected, 4), parameters
    for wrong in ({"sort": "name"}, {"order": "up"}, {"from": "-1"}, {"size": "many"}, {"extension_reviewed": "no"}):
        answer = home.anonymous.get(CATALOGS[0], params={"query": mark, **wrong})
        assert (answer.status_code, list(answer.json()["fields"])) == (400, list(wrong))


@pytest.mark.parametrize(
    ("count_", "text"),
    [
        *((0, "0"), (99, "99"), (100, "100+"), (499, "100+"), (500, "500+"), (999, "500+"), (1000, "1K+")),
        *((49_999, "10K+"), (765_432, "500K+"), (10**6, "1M+"), (123_456_789, "100M+"), (5 * 10**9, "5B+")),
        (10**13, "10000B+"),
    ],
)
def test_counts_of_pulls_are_rounded_down(count_: int, text: str) -> None:
    assert rounded(count_) == text
