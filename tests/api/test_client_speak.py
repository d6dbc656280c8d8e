"""What strict clients of Docker Hub rely on, at every route: slashes, types of content, times, links to the next page.

The shapes themselves are held by `tests/contract.py`, who gets what by the access matrix.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.api.scene import Caller, Place
from tests.api.test_access_matrix import (
    HUB,
    INVITED,
    RUN_SITE,
    SLASHES,
    Row,
    a_collaborator,
    a_delivery,
    a_domain,
    a_group,
    a_tag,
    a_token,
    an_assigned_group,
    an_invite,
    an_organization_token,
    ask,
    values_for,
)
from tests.home import Home, push_image, unique

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DATE = re.compile(r"\d{4}-\d\d-\d\d")

# What is no JSON, and says so.
TEXTS = {"/v2/orgs/{org_name}/members/export": "text/csv"}

# Texts that people write, which may be called like a date.
FREE_TEXTS = {"token_label", "label", "name", "description", "full_description"}


@pytest.fixture(scope="module")
def place(home: Home) -> Place:
    return Place(home, is_private=False)


@pytest.fixture(scope="module")
def times(home: Home) -> set[str]:
    """The names of fields that hold times, as the reference shows them."""
    found = set()
    for path, operations in home.anonymous.get("/openapi.json").json()["paths"].items():
        if not path.startswith("/v2/scim/"):
            for operation in operations.values():
                for response in operation["responses"].values():
                    example = response.get("content", {}).get("application/json", {}).get("example")
                    found |= {name for name, text in fields_of(example) if RFC3339.fullmatch(str(text))}
    assert {"last_updated", "created_at", "date_joined", "tag_last_pulled", "timestamp"} <= found
    return found


def fields_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within a value, with the name of the field that holds it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from fields_of(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from fields_of(item, name)
    else:
        yield name, value


def caller_of(row: Row, place: Place) -> Caller:
    """Somebody who is let in, with a login of their own."""
    user = place.owner
    if row.rule is INVITED:
        user = place.invitee
    elif row.rule is RUN_SITE:
        user = place.home.admin
    return Caller(user, place.home.hub(user), place.registry)


def success(row: Row, place: Place, slash: str) -> httpx.Response:
    caller = caller_of(row, place)
    answer = ask(row._replace(path=f"{row.path}{slash}"), caller, values_for(row, place, caller))
    place.forget_invitee()
    assert answer.status_code == row.success, answer.text
    return answer


SPOKEN = [row for row in SLASHES if row in HUB and not row.note]


@pytest.mark.parametrize("row", SPOKEN, ids=str)
def test_a_client_is_answered_the_same_with_a_slash_and_without(place: Place, times: set[str], row: Row) -> None:
    """The same status, no redirect, JSON, and times that can be parsed, or null."""
    answers = [success(row, place, slash) for slash in ("", "/")]
    kinds = [answer.headers.get("content-type", "").partition(";")[0] for answer in answers]
    assert kinds[0] == kinds[1]
    for answer in answers:
        assert "location" not in answer.headers
        if row.method == "HEAD" or not answer.content:
            assert not answer.content
            continue
        assert kinds[0] == TEXTS.get(row.path, "application/json")
        if kinds[0] == "application/json":
            for name, value in fields_of(answer.json()):
                if name in times:
                    assert value is None or RFC3339.fullmatch(value), (name, value)
                elif name not in FREE_TEXTS and DATE.match(str(value)):
                    assert RFC3339.fullmatch(value), (name, value)
                assert value not in ("true", "false", "null", "None"), (name, value)


REFUSING = [row for row in SPOKEN if row.rule.nobody == 401 and not row.rule.is_key_elsewhere]


@pytest.mark.parametrize("row", REFUSING, ids=str)
def test_what_is_refused_is_refused_in_json_that_says_why(place: Place, row: Row) -> None:
    """Docker's clients read `message`, then `detail`: one of them is a text, and nothing there is nested deeper."""
    for slash in ("", "/"):
        client = place.home.client(authorization="Bearer none")
        caller = Caller(place.owner, client, client)
        answer = ask(row._replace(path=f"{row.path}{slash}"), caller, values_for(row, place, place.caller))
        place.forget_invitee()
        assert answer.status_code == 401
        if row.method != "HEAD":
            assert answer.headers["content-type"] == "application/json"
            body = answer.json()
            assert any(isinstance(body.get(key), str) and body[key] for key in ("message", "detail"))


# Pages


def a_repository(place: Place) -> None:
    place.home.repository(place.organization)


def a_star(place: Place) -> None:
    name = place.home.repository(place.organization)
    assert place.hub.post(f"/v2/repositories/{name}/stars").status_code == 200


def a_webhook_more(place: Place) -> None:
    made = place.hub.post(f"/v2/repositories/{place.repository}/webhooks", json={"name": unique("webhook")})
    assert made.status_code == 201, made.text


def a_member(place: Place) -> None:
    place.home.member(place.organization, place.home.user(), OrganizationRole.MEMBER)


def an_owner(place: Place) -> None:
    place.home.member(place.organization, place.home.user(), OrganizationRole.OWNER)


def an_organization(place: Place) -> None:
    place.home.organization(place.owner)


def a_move(place: Place) -> None:
    push_image(place.registry, place.repository, place.values["tag"], text=unique("moved"))


def by(fresh: Callable[[Place, Caller], object]) -> Callable[[Place], object]:
    return lambda place: fresh(place, place.caller)


Make = Callable[[Place], object]

# Each list that is paged, and what makes it longer. A list that is always empty has none.
LISTS: dict[str, Make | None] = {
    "/v2/access-tokens": by(a_token),
    "/v2/api_tokens": by(a_token),
    "/v2/access-tokens/{uuid}/effective": a_repository,
    "/v2/orgs/{name}/access-tokens": by(an_organization_token),
    "/v2/orgs/{name}/domains": by(a_domain),
    "/v2/orgs/{org_name}/members": a_member,
    "/v2/orgs/{org_name}/groups": by(a_group),
    "/v2/orgs/{org_name}/groups/owners/members": an_owner,
    "/v2/user/orgs": an_organization,
    "/v2/users/{user}/orgs": an_organization,
    "/v2/orgs": an_organization,
    "/v2/users/{user}/repositories/starred": a_star,
    "/v2/search/repositories?query={org_name}": a_repository,
    "/v2/mails": by(an_invite),
    "/v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}/history": a_move,
    **{
        path: make
        for start, one in (
            ("/v2/namespaces/{namespace}/repositories", "/v2/namespaces/{namespace}/repositories/{repository}"),
            ("/v2/repositories/{namespace}", "/v2/repositories/{namespace}/{repository}"),
        )
        for path, make in (
            (start, a_repository),
            (f"{one}/collaborators", by(a_collaborator)),
            (f"{one}/comments", None),
            (f"{one}/groups", by(an_assigned_group)),
            (f"{one}/tags", by(a_tag)),
            (f"{one}/webhooks", a_webhook_more),
            (f"{one}/webhooks/{{webhook_id}}/deliveries", by(a_tag)),
        )
    },
}
WITHOUT_LINKS = {"/v2/auditlogs/{account}"}


def test_every_list_that_is_paged_is_walked(home: Home) -> None:
    description = home.anonymous.get("/openapi.json").json()
    paged = {
        path
        for path, operations in description["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["name"] == "page_size"
    }
    walked = {path.partition("?")[0].replace("/owners/", "/{group_name}/") for path in LISTS}
    assert walked == paged - WITHOUT_LINKS


@pytest.mark.parametrize("path", LISTS)
def test_the_links_of_a_list_are_followed_as_they_are_to_its_end_and_back(home: Home, path: str) -> None:
    place = Place(home, is_private=False)
    values = {**place.values, "webhook_id": ""}
    if "{webhook_id}" in path:
        values |= a_delivery(place, place.caller)
    if "{uuid}" in path:
        values |= a_token(place, place.caller)
    if make := LISTS[path]:
        for _ in range(4):
            make(place)
    client = home.hub(home.admin) if path == "/v2/mails" else place.hub
    filled = path.format(**values)
    separator = "&" if "?" in filled else "?"
    whole = client.get(f"{filled}{separator}page_size=100").json()["results"]
    assert len(whole) >= 4 or make is None
    pages = list(itertools.islice(pages_from(client, f"{filled}{separator}page_size=2&z=kept"), 50))
    found = [entry for page in pages for entry in page["results"]]
    # The outbox is that of the whole site: it may go on behind its first hundred, by ids and not by numbers of pages.
    assert found == whole
    if path != "/v2/mails":
        assert not pages[-1]["next"]
        assert all("z=kept" in (page["next"] or "z=kept") for page in pages)
        assert {page["count"] for page in pages} == {len(whole)}
        for before, page in itertools.pairwise(pages):
            assert client.get(page["previous"]).json()["results"] == before["results"]


def pages_from(client: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    """The pages from a URL on, each by the link in the one before it, untouched."""
    link: str | None = url
    while link:
        answer = client.get(link)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page
        link = page["next"]
