"""Filters and orders as a property: what the database answers is what a plain evaluation in Python finds.

`evaluation.py` evaluates over the resources as they were answered; the filters of scim2-models are a second judge.
"""

import functools
import json
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scim2_models import Context, ScimFilter

from homeport.api.scim.models import SCIM_USER, Group, build_provider
from homeport.core import teams
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole
from tests.api.scim.evaluation import Attribute, Json, attributes_of, compares, is_present, ordered
from tests.home import Home
from tests.scim import DOCKER_USER, GROUP, SEARCH_REQUEST, USER, IdentityProvider

WORDS = [
    *(
        "Anna",
        "ANNA",
        "anna",
        "Straße",
        "STRASSE",
        "ẞtrasse",
        "ﬁnn",
        "finn",
        "\uff37\uff49\uff44\uff45",
        "wide",
        "İstanbul",
        "istanbul",
    ),
    *(
        "é",
        "e\u0301",
        "É",
        "a\u0323\u0302",
        "ñandú",
        "Ωmega",
        "ωMEGA",
        "ς",
        "Σ",
        "ǅ",
        "½",
        "Ⅷ",
        "日本",
        "🐳",
        "\U0001d518ni",
    ),
    *('say "hi"', "it's", "100%", "a_b", "a%b", "back\\slash", "\\", "%", "_", "(x)", "[y]", "a b", " lead", "tail "),
    *("null", "true", "pr", "eq", "not", "/", "O'Neil", "x" * 60),
]
KINDS = ("User", "Group")
EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


PROVIDER = build_provider()
MODELS: dict[str, Any] = {"User": SCIM_USER, "Group": Group}


class Directory:
    """The users and groups of an organization, in the order of a list that nothing is said of."""

    def __init__(self, provider: IdentityProvider) -> None:
        schemas = provider.get("/Schemas").json()["Resources"]
        self.provider = provider
        self.attributes = {"User": attributes_of(schemas, USER, DOCKER_USER), "Group": attributes_of(schemas, GROUP)}
        self.resources = {kind: _all_of(provider, f"/{kind}s", self.attributes[kind]) for kind in KINDS}
        with PROVIDER:
            self._models = {
                kind: [
                    MODELS[kind].model_validate(resource, scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
                    for resource in self.resources[kind]
                ]
                for kind in KINDS
            }

    def ask(self, path: str, **query: Any) -> list[str]:
        """The ids that a search finds, by GET or, where it is long, by POST."""
        asked = {"count": 200, "attributes": "id", **query}
        if len(str(query)) < 1000:
            answer = self.provider.get(path, **asked)
        else:
            body = {"schemas": [SEARCH_REQUEST], **asked, "attributes": ["id"]}
            answer = self.provider.post(f"{path}/.search", body)
        assert answer.status_code == 200, (query, answer.text)
        return [resource["id"] for resource in answer.json()["Resources"]]

    def matching(self, kind: str, text: str) -> list[str]:
        """The ids of those whom the filter of scim2-models lets through."""
        bound: Any = ScimFilter.__class_getitem__(MODELS[kind])
        with PROVIDER:
            filter_ = bound(text)
            return [model.id for model in self._models[kind] if filter_.match(model)]


@pytest.fixture(scope="module")
def directory(home: Home) -> Directory:
    provider = IdentityProvider.of(home)
    _fill(provider, random.Random(7644))
    made = Directory(provider)
    assert len(made.resources["User"]) > 40
    assert len(made.resources["Group"]) > 15
    return made


def _all_of(provider: IdentityProvider, path: str, attributes: Sequence[Attribute]) -> list[Json]:
    """Resources with what is shown on request alone, too."""
    names = [f"{each.schema}:{each.name}" if each.is_extension else each.name for each in attributes]
    answer = provider.get(path, attributes=",".join(dict.fromkeys(names)), count=200).json()
    assert answer["totalResults"] == len(answer["Resources"])
    return answer["Resources"]  # type: ignore[no-any-return]


def _fill(provider: IdentityProvider, chance: random.Random) -> None:
    """Users and groups of all kinds; the same in every run."""
    users = [provider.user(f"{word} {number}", **_user_fields(chance)) for number, word in enumerate(WORDS)]
    users += [provider.user(f"User{number}@Filters.Example.COM", **_user_fields(chance)) for number in range(5)]
    for number, word in enumerate(chance.sample(WORDS, 14)):
        some = chance.sample(users, chance.choice([0, 1, 2, 5]))
        group = provider.group(f"{word}{number}", *some)
        if chance.random() < 0.5:
            external = {"op": "add", "path": "externalId", "value": chance.choice(["g1", "G1", "\uff471"])}
            assert provider.patch(f"/Groups/{group['id']}", external).status_code == 200
    _fill_from_the_hub(provider, chance.choice(users))


def _user_fields(chance: random.Random) -> dict[str, Any]:
    def maybe(name: str, value: Any) -> dict[str, Any]:
        return {name: value} if chance.random() < 0.6 else {}

    def word() -> str:
        return chance.choice([*WORDS, ""])

    emails = [
        {
            **maybe("value", chance.choice("aAbBé\uff21") + f"{chance.randrange(10**6)}@x.example"),
            **maybe("display", word()),
            **maybe("type", chance.choice(["work", "Work", "home", "WORK%", ""])),
        }
        for _ in range(chance.randrange(4))
    ]
    if emails and chance.random() < 0.7:
        emails = [{**email, **maybe("primary", False)} for email in emails]
        chance.choice(emails)["primary"] = True
    extension = {**maybe("dockerRole", chance.choice(["member", "Editor"])), **maybe("dockerTeam", f"Crew {word()}")}
    return {
        **maybe("externalId", chance.choice(["AbC", "abc", "ABC", "1", "\uff41bc", ""])),
        **maybe("name", {**maybe("givenName", word()), **maybe("familyName", word())}),
        **maybe("displayName", word()),
        **maybe("emails", emails),
        **maybe("active", chance.random() < 0.5),
        **maybe(DOCKER_USER, extension),
    }


def _fill_from_the_hub(provider: IdentityProvider, user: dict[str, Any]) -> None:
    """What is there without the provider: a member of the Hub's, a team of the Hub's, and a group it has renamed."""
    home, organization = provider.home, provider.organization
    member = home.user("Member".lower())
    home.member(organization, member, OrganizationRole.EDITOR)
    renamed = provider.group("To Be Renamed", user)

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            shared: dict[str, Any] = {"actor": OPERATOR, "organization": organization}
            plans = services.settings.plans
            await teams.create_team(tx, name="Hub_Team", plans=plans, **shared)
            await teams.add_member(tx, team="Hub_Team", user=member.name, plans=plans, **shared)
            await teams.update_team(tx, team="To-Be-Renamed", name="Renamed-There", **shared)

    home.run(verb)
    assert provider.get(f"/Groups/{renamed['id']}").json()["displayName"] == "Renamed-There"


# Random filters


class Filter(msgspec.Struct, frozen=True):
    """A filter as it is written, and what it means."""

    text: str
    holds: Callable[[Json], bool]


def any_case(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, text, text.lower(), text.upper(), text.title()])


def literal(value: Any, *, is_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=is_ascii)


@st.composite
def texts_like(draw: st.DrawFn, known: Sequence[str]) -> str:
    """A text that is in a resource, or much like one, or any other."""
    text = draw(st.sampled_from([*known, *WORDS]) if known else st.sampled_from(WORDS))
    change = draw(st.sampled_from(["", "", "cut", "case", "form", "any"]))
    if change == "cut":
        begin, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        return text[begin:end]
    if change == "case":
        return draw(any_case(text)).swapcase()
    if change == "form":
        return unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])), text)
    if change == "any":
        return draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4))
    return text


@st.composite
def moments_like(draw: st.DrawFn, known: Sequence[str]) -> str:
    """A time of a resource, or just before or after, in any zone."""
    moment = datetime.fromisoformat(draw(st.sampled_from(known)))
    moment += timedelta(microseconds=draw(st.sampled_from([0, 0, 1, -1, 10**6, -(10**9)])))
    zone = draw(st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]))
    text = moment.astimezone(zone).isoformat()
    return text.replace("+00:00", "Z") if draw(st.booleans()) else text


def known_values(attribute: Attribute, resources: Sequence[Json]) -> list[Any]:
    found = [value for resource in resources for value in attribute.entries(resource)]
    return list(dict.fromkeys(value for value in found if isinstance(value, str)))


@st.composite
def paths(draw: st.DrawFn, attribute: Attribute) -> str:
    """The name of an attribute in any case, by itself or with its schema."""
    name = draw(any_case(attribute.path))
    is_qualified = attribute.schema and (attribute.is_extension or draw(st.booleans()))
    return f"{draw(any_case(attribute.schema))}:{name}" if is_qualified else name


@st.composite
def conditions(draw: st.DrawFn, attributes: Sequence[Attribute], resources: Sequence[Json]) -> Filter:
    """One comparison, one test of presence, or one selection of values."""
    attribute = draw(st.sampled_from(attributes))
    path = draw(paths(attribute))
    if attribute.parts and attribute.is_many and draw(st.booleans()):
        return draw(selections(attribute, path, resources))
    if draw(st.integers(0, 4)) == 0:
        return Filter(f"{path} {draw(any_case('pr'))}", lambda resource: is_present(attribute, resource))
    operator, value = draw(comparisons(attribute, resources))
    written = literal(value, is_ascii=draw(st.booleans()))
    text = f"{path} {draw(any_case(operator))} {written}"
    return Filter(text, lambda resource: compares(attribute, operator, value, resource))


@st.composite
def comparisons(draw: st.DrawFn, attribute: Attribute, resources: Sequence[Json]) -> tuple[str, Any]:
    if (attribute.type == "complex" and not attribute.is_many) or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(["eq", "ne"])), None
    operator = draw(st.sampled_from(attribute.operators))
    if attribute.type == "boolean":
        return operator, draw(st.booleans())
    standing = msgspec.structs.replace(attribute, part="value") if attribute.type == "complex" else attribute
    known = known_values(standing, resources)
    return operator, draw(moments_like(known) if attribute.type == "dateTime" else texts_like(known))


@st.composite
def selections(draw: st.DrawFn, attribute: Attribute, path: str, resources: Sequence[Json]) -> Filter:
    """`emails[type eq "work"]`, and the form that Microsoft Entra writes: `emails[type eq "work"].value eq "x"`."""
    entries = [entry for resource in resources for entry in attribute.entries(resource)]
    inner = draw(expressions(attribute.parts, entries, depth=1))
    text = f"{path}[{inner.text}]"
    if draw(st.booleans()):
        return Filter(text, lambda resource: any(inner.holds(entry) for entry in attribute.entries(resource)))
    part = draw(st.sampled_from(attribute.parts))
    operator, value = draw(comparisons(part, entries))
    both = f"{text}.{draw(any_case(part.name))} {operator} {literal(value, is_ascii=False)}"
    return Filter(
        both,
        lambda resource: any(
            inner.holds(entry) and compares(part, operator, value, entry) for entry in attribute.entries(resource)
        ),
    )


@st.composite
def expressions(draw: st.DrawFn, attributes: Sequence[Attribute], resources: Sequence[Json], depth: int = 2) -> Filter:
    """Conditions between `or`, `and` and `not`: `and` binds stronger than `or`, and parentheses are kept."""
    alternatives = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        terms = [
            draw(_terms(attributes, resources, depth))
            for _ in range(draw(st.sampled_from([1, 1, 2, 3] if depth else [1])))
        ]
        alternatives.append(terms)
    text = f" {draw(any_case('or'))} ".join(
        f" {draw(any_case('and'))} ".join(term.text for term in terms) for terms in alternatives
    )
    return Filter(text, lambda resource: any(all(term.holds(resource) for term in terms) for terms in alternatives))


@st.composite
def _terms(draw: st.DrawFn, attributes: Sequence[Attribute], resources: Sequence[Json], depth: int) -> Filter:
    kind = draw(st.sampled_from(["plain", "plain", "not", "parentheses"])) if depth else "plain"
    if kind == "plain":
        return draw(conditions(attributes, resources))
    inner = draw(expressions(attributes, resources, depth - 1))
    if kind == "parentheses":
        return Filter(f"({inner.text})", inner.holds)
    space = draw(st.sampled_from(["", " "]))
    return Filter(f"{draw(any_case('not'))}{space}({inner.text})", lambda resource: not inner.holds(resource))


# The property


@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_finds_what_a_plain_evaluation_finds(directory: Directory, kind: str, data: st.DataObject) -> None:
    resources = directory.resources[kind]
    filter_ = data.draw(expressions(directory.attributes[kind], resources))
    found = directory.ask(f"/{kind}s", filter=filter_.text)
    assert found == [resource["id"] for resource in resources if filter_.holds(resource)], filter_.text
    assert found == directory.matching(kind, filter_.text), filter_.text


@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_a_search_is_a_piece_of_the_order(directory: Directory, kind: str, data: st.DataObject) -> None:
    resources, attributes = directory.resources[kind], directory.attributes[kind]
    filter_ = data.draw(st.none() | conditions(attributes, resources))
    attribute = data.draw(st.sampled_from([each for each in attributes if _is_sortable(each)]))
    is_descending = data.draw(st.booleans())
    start, count = data.draw(st.integers(-1, len(resources) + 2)), data.draw(st.integers(0, 70))
    found = directory.ask(
        f"/{kind}s",
        **({"filter": filter_.text} if filter_ else {}),
        sortBy=data.draw(paths(attribute)),
        sortOrder="descending" if is_descending else "ascending",
        startIndex=start,
        count=count,
    )
    kept = [resource for resource in resources if filter_ is None or filter_.holds(resource)]
    expected = ordered(kept, attribute, is_descending=is_descending and not _is_the_same_for_all(attribute))
    first = max(start, 1) - 1
    assert found == [resource["id"] for resource in expected[first : first + count]]


def _is_sortable(attribute: Attribute) -> bool:
    return attribute.type != "complex" or any(part.name == "value" for part in attribute.parts)


def _is_the_same_for_all(attribute: Attribute) -> bool:
    """Nothing is sorted by these: a list stays as it is, whatever the order."""
    return attribute.path in ("schemas", "meta.resourceType", "dockerOrg")


@pytest.mark.parametrize("kind", KINDS)
def test_every_attribute_that_is_returned_can_be_filtered_by(directory: Directory, kind: str) -> None:
    """By itself, so that a new attribute without a column fails here whatever the random filters meet."""
    resources = directory.resources[kind]
    for attribute in directory.attributes[kind]:
        path = f"{attribute.schema}:{attribute.path}" if attribute.is_extension else attribute.path
        for filter_ in _plain_filters(attribute, path, resources):
            expected = [resource["id"] for resource in resources if filter_.holds(resource)]
            assert directory.ask(f"/{kind}s", filter=filter_.text) == expected, filter_.text


def _plain_filters(attribute: Attribute, path: str, resources: Sequence[Json]) -> Iterator[Filter]:
    yield Filter(f"{path} pr", lambda resource: is_present(attribute, resource))
    for operator in ("eq", "ne"):
        yield Filter(f"{path} {operator} null", functools.partial(compares, attribute, operator, None))
    values: list[Any] = [True, False] if attribute.type == "boolean" else known_values(attribute, resources)[:2]
    assert values or attribute.type == "complex", path
    for operator in attribute.operators:
        for value in values:
            written = f"{path} {operator} {literal(value, is_ascii=False)}"
            yield Filter(written, functools.partial(compares, attribute, operator, value))


@EXAMPLES
@given(data=st.data())
def test_a_search_of_everything_has_users_and_then_groups(directory: Directory, data: st.DataObject) -> None:
    """RFC 7644 §3.4.2.1: what a resource cannot have it has no value of."""
    attributes = data.draw(st.sampled_from([directory.attributes["User"], directory.attributes["Group"]]))
    everything = [resource for kind in KINDS for resource in directory.resources[kind]]
    known = [each for each in attributes if not each.schema or each.name in ("id", "externalId", "meta", "displayName")]
    filter_ = data.draw(
        expressions([msgspec.structs.replace(each, schema="") for each in known if not each.is_extension], everything)
    )
    start, count = data.draw(st.integers(1, len(everything) + 2)), data.draw(st.integers(0, 100))
    found = directory.ask("", filter=filter_.text, startIndex=start, count=count)
    matching = [resource["id"] for resource in everything if filter_.holds(resource)]
    assert found == matching[start - 1 : start - 1 + count]


# The grammar's edges


def errors_of(directory: Directory, filter_: str) -> httpx.Response:
    return directory.provider.post("/Users/.search", {"schemas": [SEARCH_REQUEST], "filter": filter_})


@pytest.mark.parametrize(
    "filter_",
    [
        *("", " ", "()", "userName", "userName eq", 'eq "x"', "userName xx 1", "userName eq x", "pr", "not pr"),
        *('userName eq "x', 'userName eq "x\\"', "userName eq 'x'", 'userName eq "\\q"', 'userName eq "\\u12"'),
        *('userName eq "a" and', 'or userName eq "a"', 'userName eq "a" userName eq "b"', "not userName pr"),
        *("(userName pr", "userName pr)", "((userName pr)", "emails[type pr", "emails type pr]", "emails[]"),
        *('userName eq "line\nend"', 'userName eq "\t"', 'userName eq "a\0"', "user Name pr", "userName.x pr"),
        *("userName eq 01", "userName eq 1e999", "userName eq +1", "userName eq True1", "userName eq nul"),
        *(
            'emails[emails[type eq "a"]]',
            'userName[value eq "a"]',
            'name[givenName eq "a"]',
            'emails.type[value eq "a"]',
        ),
        *(
            "urn:nothing:userName pr",
            f"{USER}: pr",
            f"{DOCKER_USER}:userName pr",
            "dockerRole pr",
            f"{GROUP}:members pr",
        ),
        *("nothing pr", 'nothing eq "x"', "members pr", "emails.nothing pr", "emails[nothing pr]", "meta.nothing pr"),
        *(
            'password gt "x"',
            'password co "x"',
            "accountId pr",
            "s.user_name pr",
            'userName eq "x"; drop table accounts',
        ),
    ],
)
def test_what_is_no_filter_is_refused_as_one(directory: Directory, filter_: str) -> None:
    answer = errors_of(directory, filter_)
    assert (answer.status_code, answer.json().get("scimType")) == (400, "invalidFilter"), answer.text


@pytest.mark.parametrize(
    "filter_",
    [
        *("userName eq 1", "userName eq true", "userName co 1", "userName sw true", "externalId gt 1", "id ew 1.5"),
        *('active eq "perhaps"', "active eq 1", "active gt true", "active co true", 'active sw "t"', "active le false"),
        *("meta.created gt 5", "meta.created eq true", 'meta.created gt "yesterday"', 'meta.created gt ""'),
        *('meta.created co "20"', "emails.value eq 1", "emails[value eq 1]", "emails[primary gt true]"),
        *("emails.primary eq 0", "groups.$ref eq 1", 'emails.primary co "t"', "schemas eq 1", "meta.resourceType co 1"),
    ],
)
def test_a_value_of_another_type_is_refused(directory: Directory, filter_: str) -> None:
    answer = errors_of(directory, filter_)
    assert (answer.status_code, answer.json().get("scimType")) == (400, "invalidFilter"), answer.text


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800", "\udfff x"], ids=["nul", "nul inside", "high", "low"])
def test_a_text_that_nothing_can_have_is_refused(directory: Directory, value: str) -> None:
    for path in ("userName", "externalId", "emails.value", "meta.location", "meta.resourceType", "groups.$ref"):
        for operator in ("eq", "ne", "co", "gt"):
            answer = errors_of(directory, f"{path} {operator} {json.dumps(value)}")
            assert (answer.status_code, answer.json().get("scimType")) == (400, "invalidFilter"), (path, operator)


def test_escapes_stand_for_their_characters(directory: Directory) -> None:
    user = directory.provider.user('q" b\\ s/ é 🐳 esc')
    try:
        for written in (
            r"q\" b\\ s/ é 🐳 esc",
            r"q\" b\\ s\/ \u00e9 \ud83d\udc33 esc",
            r"\u0071\u0022 B\\ S/ É 🐳 ESC",
        ):
            assert directory.ask("/Users", filter=f'userName eq "{written}"') == [user["id"]]
    finally:
        assert directory.provider.delete(f"/Users/{user['id']}").status_code == 204


def test_white_space_is_free_between_words(directory: Directory) -> None:
    everybody = [user["id"] for user in directory.resources["User"]]
    for text in ("  userName   pr  ", "userName\tpr", "not(userName eq null)", "( userName pr )", "userName\npr"):
        assert directory.ask("/Users", filter=text) == everybody


@pytest.mark.parametrize(
    "filter_",
    [
        " or ".join(["userName pr"] * 201),
        "userName pr and " * 200 + "userName pr",
        'userName eq "' + "x" * 8200 + '"',
        "(" * 5000 + "userName pr" + ")" * 5000,
        "not (" * 100 + "userName pr" + ")" * 100,
        "not (" * 1000 + "userName pr" + ")" * 1000,
        "userName eq " + "9" * 5000,
        "((" * 2000,
    ],
    ids=["or", "and", "long", "parentheses", "not", "deep not", "number", "open"],
)
def test_a_filter_has_a_size(directory: Directory, filter_: str) -> None:
    answer = errors_of(directory, filter_)
    assert (answer.status_code, answer.json().get("scimType")) == (400, "invalidFilter"), answer.text


@pytest.mark.parametrize(
    "filter_",
    [
        " or ".join(["userName pr"] * 200),
        " and ".join(["meta.version pr"] * 200),
        " or ".join(['emails[type eq "work" and value co "x"]'] * 50),
        " and ".join(['not (groups.display eq "x")'] * 200),
        "not (" * 30 + "userName pr" + ")" * 30,
        "(" * 300 + "userName pr" + ")" * 300,
        " or ".join(["meta.version gt null"] * 199) + " or userName pr",
    ],
    ids=["or", "and", "selections", "not in", "nots", "parentheses", "versions"],
)
def test_a_filter_of_the_largest_size_is_answered(directory: Directory, filter_: str) -> None:
    answer = errors_of(directory, filter_)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "sort_by", ["nothing", "name", "meta", "members", 'emails[type eq "work"]', "emails.nothing", "x y"]
)
def test_what_cannot_be_sorted_by_is_refused(directory: Directory, sort_by: str) -> None:
    answer = directory.provider.get("/Users", sortBy=sort_by)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidPath")


def test_a_number_beyond_all_pages_is_an_empty_page(directory: Directory) -> None:
    total = len(directory.resources["User"])
    for start in (total + 1, 2**31, 2**53, 2**63, 10**30):
        answer = directory.provider.get("/Users", startIndex=start)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["Resources"], answer.json()["totalResults"]) == ([], total)


def test_users_of_other_organizations_are_not_found(directory: Directory) -> None:
    other = IdentityProvider.of(directory.provider.home)
    user = other.user(displayName="Somebody Else")
    for filter_ in (f'id eq "{user["id"]}"', 'displayName eq "somebody else"', f'not (id ne "{user["id"]}")'):
        assert directory.ask("/Users", filter=filter_) == []
        assert [found["id"] for found in other.get("/Users", filter=filter_).json()["Resources"]] == [user["id"]]
