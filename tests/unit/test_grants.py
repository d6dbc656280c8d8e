"""What tokens are given, as properties: patterns mean what they say, and what is no wider allows no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.addresses import Networks, parse_address
from homeport.core import grants
from homeport.core.access import Ceiling, OrganizationAction, Scope, Target
from homeport.core.grants import ORGANIZATION_SCOPES, REPOSITORY_SCOPES, TYPE_ORG, TYPE_REPO, Given, Pattern, Verb
from homeport.names import RepositoryName

NAMESPACES = {"acme": 10, "ann": 11}
REPOSITORIES = {
    RepositoryName(namespace, name): 100 * id_ + number
    for namespace, id_ in NAMESPACES.items()
    for number, name in enumerate(("web", "web-api", "web-ui", "db"))
}

words = st.lists(st.sampled_from(Verb), min_size=1, max_size=3)
paths = st.sampled_from(
    [
        *map(str, REPOSITORIES),
        *(f"{namespace}/{rest}" for namespace in NAMESPACES for rest in ("*", "web*", "web-*", "d*")),
        "*/*",
        "*/*/public",
    ]
)


def bound(path: str, verbs: list[Verb]) -> Given:
    """As `bind_grants` binds it."""
    pattern = Pattern.parse(path)
    assert pattern is not None
    repository = pattern.repository
    return Given(
        path=path,
        words=[*map(str, verbs)],
        namespace_id=NAMESPACES.get(pattern.namespace),
        repository_id=REPOSITORIES[repository] if repository else None,
    )


givens = st.lists(st.builds(bound, paths, words), min_size=1, max_size=3)
targets = st.builds(
    lambda name, is_private: Target(name, NAMESPACES[name.namespace], REPOSITORIES[name], is_private),
    st.sampled_from(list(REPOSITORIES)),
    st.booleans(),
)


def plainly_means(path: str, target: Target) -> bool:
    """What a pattern means, by its text and nothing else."""
    if path == "*/*/public":
        return not target.is_private
    if path == "*/*":
        return True
    return str(target.name) == path or (path.endswith("*") and str(target.name).startswith(path[:-1]))


@given(givens, targets)
def test_grants_allow_what_their_patterns_and_verbs_say(given: list[Given], target: Target) -> None:
    allowed = Ceiling().lowered(*grants.narrow_layer(given)).allows(target)
    expected = {
        action
        for one in given
        if plainly_means(one.path, target)
        for verb in one.words
        for action in grants.VERB_ACTIONS[Verb(verb)]
    }
    assert allowed == expected


@given(st.builds(bound, paths, words), givens, targets)
def test_what_is_within_a_token_allows_no_more_than_that(child: Given, parent: list[Given], target: Target) -> None:
    ceiling = Ceiling().lowered(*grants.narrow_layer(parent))
    if grants.are_within([child], ceiling):
        assert Ceiling().lowered(*grants.narrow_layer([child])).allows(target) <= ceiling.allows(target)


@given(givens, targets)
def test_a_token_is_within_itself(given: list[Given], target: Target) -> None:
    assert grants.are_within(given, Ceiling().lowered(*grants.narrow_layer(given)))


@given(givens, givens, targets)
def test_a_derived_token_never_allows_more_than_those_above_it(
    child: list[Given], parent: list[Given], target: Target
) -> None:
    outer = Ceiling(organization_actions=frozenset({OrganizationAction.LEAVE})).lowered(*grants.narrow_layer(parent))
    own = Ceiling().lowered(*grants.narrow_layer(child))
    both = own.within(outer)
    assert both.allows(target) == own.allows(target) & outer.allows(target)
    assert both.organization_actions == outer.organization_actions


@given(st.sampled_from(Scope), targets)
def test_scopes_are_presets_of_grants(scope: Scope, target: Target) -> None:
    path, verbs = grants.SCOPE_PRESETS[scope]
    by_grant = Ceiling().lowered(*grants.narrow_layer([bound(path, list(verbs))]))
    assert Ceiling().lowered(*grants.scopes_layer([scope])).allows(target) == by_grant.allows(target)


NO_PATTERNS = [
    *(
        "",
        "*",
        "acme",
        "acme/",
        "/web",
        "acme/*web",
        "acme/w*b",
        "acme/**",
        "acme/a/*",
        "acme*/web",
        "Acme/web",
        "*/web",
    ),
    *("acme/web/public", "*/*/private", "acme/-*", "acme/we b*", f"acme/{'a' * 260}", f"acme/{'a' * 254}*"),
]


@pytest.mark.parametrize("text", NO_PATTERNS)
def test_what_is_no_pattern_is_none(text: str) -> None:
    assert Pattern.parse(text) is None


def test_a_grant_without_the_id_that_it_needs_is_for_nothing() -> None:
    everything = [*REPOSITORY_SCOPES, *ORGANIZATION_SCOPES]
    for path in ("acme/web", "acme/*", "acme/web*", "no pattern"):
        for type_ in (TYPE_REPO, TYPE_ORG):
            ceiling = grants.organization_ceiling([Given(path, everything, type=type_)])
            for name, id_ in REPOSITORIES.items():
                target = Target(name, NAMESPACES[name.namespace], id_, is_private=True)
                assert ceiling.allows(target) == frozenset()


def test_no_scope_says_who_owns_an_organization() -> None:
    given = [Given("acme", sorted(ORGANIZATION_SCOPES), type=TYPE_ORG, namespace_id=10)]
    held = grants.organization_ceiling(given).organization_actions
    assert set(OrganizationAction) - held == {OrganizationAction.MANAGE, OrganizationAction.LEAVE}


networks = st.sampled_from(
    [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "2001:db8:1::/48",
        "::ffff:10.1.0.0/112",
    ]
)
addresses = st.sampled_from(["10.1.2.3", "10.1.9.9", "10.2.0.1", "192.0.2.1", "2001:db8:1::1", "2001:db8:2::1", "::1"])


@given(st.lists(networks, max_size=3), st.lists(networks, max_size=3), addresses)
def test_ranges_within_others_hold_no_address_that_those_do_not(inner: list[str], outer: list[str], text: str) -> None:
    found = parse_address(text)
    assert found is not None
    if Networks(outer).holds_all_of(Networks(inner)):
        assert found not in Networks(inner) or found in Networks(outer)
