"""Permissions as a property: a token never grants more than it carries."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from homeport.core import grants as grants_module
from homeport.core.access import (
    ALL_ACTIONS,
    READ_ACTIONS,
    Action,
    Actor,
    Ceiling,
    Grant,
    Scope,
    Target,
    allowed_actions,
)
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole, Permission, Repository

names = st.sampled_from([RepositoryName("acme", "app"), RepositoryName("acme", "other")])
actions = st.frozensets(st.sampled_from(Action))
grants = st.builds(
    Grant,
    actions=actions,
    repository=st.none() | names,
    repository_id=st.none() | st.integers(1, 2),
    namespace_id=st.none() | st.integers(10, 11),
    prefix=st.sampled_from(["", "a", "ap", "app", "apps", "o"]),
    is_public_only=st.booleans(),
)
layers = st.lists(st.lists(grants, max_size=3).map(tuple), max_size=3).map(tuple)
repositories = st.builds(
    Repository,
    id=st.integers(1, 2),
    namespace_id=st.just(10),
    namespace=st.just("acme"),
    name=st.just("app"),
    is_private=st.booleans(),
    role=st.none() | st.sampled_from(OrganizationRole),
    collaborator_permission=st.none() | st.sampled_from(Permission),
    team_permission=st.none() | st.sampled_from(Permission),
)
accounts = st.sampled_from([None, 10, 11])


@given(repositories, layers, accounts, st.booleans())
def test_a_token_never_grants_more_than_each_of_its_layers(
    repository: Repository, layers: tuple[tuple[Grant, ...], ...], account_id: int | None, is_admin: bool
) -> None:
    actor = Actor(account_id=account_id, is_site_admin=is_admin, ceiling=Ceiling(layers))
    without = Actor(account_id=account_id, is_site_admin=is_admin)
    allowed = allowed_actions(actor, repository)
    assert allowed <= allowed_actions(without, repository)
    for layer in layers:
        carried = frozenset[Action]().union(*(grant.actions for grant in layer))
        assert allowed <= carried


@given(repositories, layers, st.lists(grants, max_size=3), accounts)
def test_a_token_that_was_exchanged_allows_no_more_than_its_source(
    repository: Repository, layers: tuple[tuple[Grant, ...], ...], more: list[Grant], account_id: int | None
) -> None:
    source = Actor(account_id=account_id, ceiling=Ceiling(layers))
    exchanged = Actor(account_id=account_id, ceiling=Ceiling(layers).lowered(*more))
    assert allowed_actions(exchanged, repository) <= allowed_actions(source, repository)


@given(repositories)
def test_scopes_hold_those_after_them(repository: Repository) -> None:
    allowed = [
        allowed_actions(
            Actor(account_id=10, ceiling=Ceiling().lowered(*grants_module.scopes_layer([scope]))), repository
        )
        for scope in (Scope.ADMIN, Scope.WRITE, Scope.READ, Scope.PUBLIC_READ)
    ]
    for wider, narrower in pairwise(allowed):
        assert narrower <= wider


@given(repositories)
def test_strangers_pull_what_is_public_and_star_it_where_they_have_an_account(repository: Repository) -> None:
    bare = Repository(
        **{field: getattr(repository, field) for field in ("id", "namespace_id", "namespace", "name")},
        is_private=repository.is_private,
        role=None,
        collaborator_permission=None,
        team_permission=None,
    )
    for account_id, expected in ((None, READ_ACTIONS), (11, READ_ACTIONS | {Action.STAR})):
        allowed = allowed_actions(Actor(account_id=account_id), bare)
        assert allowed == (frozenset() if repository.is_private else expected)


@given(repositories.filter(lambda repository: repository.role is None))
def test_a_team_of_an_organization_that_one_has_left_gives_nothing(repository: Repository) -> None:
    fields = {field: getattr(repository, field) for field in repository.__struct_fields__}
    without = Repository(**fields | {"team_permission": None})
    actor = Actor(account_id=11)
    assert allowed_actions(actor, repository) == allowed_actions(actor, without)


def plainly_covers(grant: Grant, repository: Repository) -> bool:
    """The same as `Grant.covers`, one condition after the other."""
    conditions = [
        not (grant.is_public_only and repository.is_private),
        grant.repository in (None, RepositoryName(repository.namespace, repository.name)),
        grant.repository_id in (None, repository.id),
        grant.namespace_id in (None, repository.namespace_id),
        repository.name[: len(grant.prefix)] == grant.prefix,
    ]
    return all(conditions)


@given(layers, repositories, st.sampled_from(Action))
def test_a_token_allows_what_a_grant_of_each_layer_allows(
    layers: tuple[tuple[Grant, ...], ...], repository: Repository, action: Action
) -> None:
    expected = all(
        any(action in grant.actions and plainly_covers(grant, repository) for grant in layer) for layer in layers
    )
    assert (action in Ceiling(layers).allows(Target.of(repository))) == expected


def test_owners_may_all() -> None:
    assert [grant.actions for grant in grants_module.scopes_layer([Scope.ADMIN])] == [ALL_ACTIONS]
