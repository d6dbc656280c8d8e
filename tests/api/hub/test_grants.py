"""What a token may see in lists and searches is what it may list one by one, whatever its grants: on both databases."""

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.core import repositories, search
from homeport.core.access import Action, Actor, Ceiling, Grant, allowed_actions
from homeport.core.repositories import RepositoryOrder
from homeport.core.search import Search
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, unique

NAMES = ("a", "api", "api-one", "api.two", "apiary", "b")


class Place(NamedTuple):
    """Two organizations and a user, each with private and public repositories, and who asks for them."""

    home: Home
    word: str
    namespaces: list[str]
    namespace_ids: list[int]
    names: list[RepositoryName]
    ids: list[int]
    actors: list[Actor]


@pytest.fixture(scope="module")
def place(home: Home) -> Place:
    word = unique("granted")
    owner, member, collaborator = home.user(), home.user(), home.user()
    namespaces = [home.organization(owner), home.organization(owner), collaborator.name]
    names = [
        home.repository(namespace, f"{name}-{word}-", is_private=bool(number % 2))
        for namespace in namespaces
        for number, name in enumerate(NAMES)
    ]
    home.member(namespaces[0], member, OrganizationRole.MEMBER)
    home.team_member(names[1], member, Permission.READ)
    home.collaborator(names[3], collaborator, Permission.WRITE)
    users = [owner.name, member.name, collaborator.name, home.user().name, "admin"]

    async def look(services: Services) -> tuple[list[int], list[Actor]]:
        async with services.db.read() as tx:
            accounts = [await account_rows.get(tx, name) for name in [*namespaces, *users]]
        found = [account for account in accounts if account is not None]
        return [account.id for account in found[:3]], [Actor.of(account) for account in [found[0], *found[3:]]]

    namespace_ids, actors = home.run(look)
    ids = [home.repository_id(name) for name in names]
    return Place(home, word, namespaces, namespace_ids, names, ids, [*actors, Actor()])


class Drawn(NamedTuple):
    """A grant with places instead of ids."""

    actions: frozenset[Action]
    repository: int | None
    namespace: int | None
    prefix: str
    is_public_only: bool

    def made_for(self, place: Place) -> Grant:
        namespace_id = None if self.namespace is None else place.namespace_ids[self.namespace]
        return Grant(
            self.actions,
            repository_id=None if self.repository is None else place.ids[self.repository],
            namespace_id=namespace_id,
            prefix="" if namespace_id is None or self.repository is not None else self.prefix,
            is_public_only=self.is_public_only,
        )


drawn = st.builds(
    Drawn,
    actions=st.sampled_from(
        [frozenset({Action.LIST}), frozenset({Action.LIST, Action.PULL}), frozenset({Action.PULL})]
    ),
    repository=st.none() | st.integers(0, 17),
    namespace=st.none() | st.integers(0, 2),
    prefix=st.sampled_from(["", "a", "api", "api-", "b", "c"]),
    is_public_only=st.booleans(),
)


def is_consistent(grant: Drawn) -> bool:
    """Whoever names a repository names its own namespace, if any."""
    return grant.repository is None or grant.namespace in (None, grant.repository // len(NAMES))


@given(
    st.integers(0, 5),
    st.lists(st.lists(drawn.filter(is_consistent), max_size=4), max_size=2),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_and_searches_show_what_may_be_listed_one_by_one(
    place: Place, who: int, layers: list[list[Drawn]]
) -> None:
    ceiling = Ceiling(tuple(tuple(grant.made_for(place) for grant in layer) for layer in layers))
    known = place.actors[who]
    actor = Actor(account_id=known.account_id, name=known.name, is_site_admin=known.is_site_admin, ceiling=ceiling)

    async def look(services: Services) -> Any:
        one_by_one, listed = set(), set()
        async with services.db.read(scan=True) as tx:
            for name in place.names:
                found = await repository_rows.get(tx, name, actor_id=actor.account_id)
                assert found is not None
                if Action.LIST in allowed_actions(actor, found):
                    one_by_one.add(str(name))
            for namespace in place.namespaces:
                page = await repositories.list_page(
                    tx, actor=actor, namespace=namespace, order=RepositoryOrder(), page=1, page_size=100
                )
                assert page.total == len(page.repositories)
                listed |= {f"{row.namespace}/{row.name}" for row in page.repositories}
            wanted = Search(text=place.word, words=[place.word])
            searched = await search.find(tx, actor=actor, search=wanted, offset=0, limit=100)
        return one_by_one, listed, {f"{row.namespace}/{row.name}" for row in searched.repositories}

    one_by_one, listed, searched = place.home.run(look)
    assert listed == one_by_one
    assert searched == one_by_one
