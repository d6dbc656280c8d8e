"""Each scope of an organization's access token opens what it is for, what those below it open, and nothing else."""

from collections.abc import Iterator

import pytest

from homeport.core import grants
from homeport.core.grants import Resource
from tests.api.scene import Caller, Place
from tests.api.test_access_matrix import ANY, HUB, SCOPE, Row, ask, told, values_for
from tests.home import Home, User

# The contract's table: a scope, and the one below it.
BELOW = {
    "scope-repository-edit": "scope-repository-read",
    "scope-repository-admin": "scope-repository-edit",
    "scope-tag-admin": "scope-tag-read",
    "scope-webhook-edit": "scope-webhook-read",
    "scope-webhook-admin": "scope-webhook-edit",
    "scope-repo-group-edit": "scope-repo-group-read",
    "scope-repo-group-admin": "scope-repo-group-edit",
    "scope-image-push": "scope-image-pull",
    "scope-image-delete": "scope-image-push",
    "repo-push": "scope-image-push",
    "image-push": "scope-image-push",
    "scope-member-edit": "scope-member-read",
    "scope-invite-edit": "scope-invite-read",
    "scope-group-edit": "scope-group-read",
    "scope-ram-write": "scope-ram-read",
}

ONE = "/v2/namespaces/{namespace}/repositories/{repository}"
ORG = "/v2/orgs/{org_name}"

OPENED = {
    "scope-activity-read": ["GET /v2/auditlogs/{account}", "GET /v2/auditlogs/{account}/actions"],
    "scope-ram-read": ["GET /v2/orgs/{name}/settings/registry-access-management"],
    "scope-ram-write": ["PUT /v2/orgs/{name}/settings/registry-access-management"],
    "scope-member-read": [f"GET {ORG}/members", f"GET {ORG}/members/export"],
    "scope-member-edit": [f"PUT {ORG}/members/{{username}}", f"DELETE {ORG}/members/{{username}}"],
    "scope-group-read": [
        *(f"GET {ORG}/groups{path}" for path in ("", "/{group_name}", "/{group_name}/members")),
    ],
    "scope-group-edit": [
        f"POST {ORG}/groups",
        *(f"{method} {ORG}/groups/{{group_name}}" for method in ("PUT", "PATCH", "DELETE")),
        f"POST {ORG}/groups/{{group_name}}/members",
        f"DELETE {ORG}/groups/{{group_name}}/members/{{username}}",
    ],
    "scope-invite-read": [f"GET {ORG}/invites"],
    "scope-invite-edit": [
        "POST /v2/invites/bulk",
        "DELETE /v2/invites/{invite_id}",
        "PATCH /v2/invites/{invite_id}/resend",
    ],
    "scope-repository-create": ["POST /v2/namespaces/{namespace}/repositories"],
    "scope-repository-read": [f"GET {ONE}", f"HEAD {ONE}"],
    "scope-repository-edit": [
        f"PATCH {ONE}",
        f"POST {ONE}/privacy",
        f"PATCH {ONE}/categories",
        f"POST {ONE}/stars",
        f"DELETE {ONE}/stars",
    ],
    "scope-repository-admin": [f"DELETE {ONE}"],
    "scope-tag-read": [
        *(f"{method} {ONE}/tags{path}" for method in ("GET", "HEAD") for path in ("", "/{tag}")),
        f"GET {ONE}/tags/{{tag}}/history",
    ],
    "scope-image-push": [f"POST {ONE}/tags/{{tag}}/restore"],
    "scope-repository-settings-admin": [f"PATCH {ONE}/immutabletags", f"POST {ONE}/immutabletags/verify"],
    "scope-tag-admin": [f"DELETE {ONE}/tags/{{tag}}", f"POST {ONE}/delete-tags"],
    "scope-webhook-read": [
        f"GET {ONE}/webhooks{path}"
        for path in ("", "/{webhook_id}", "/{webhook_id}/deliveries", "/{webhook_id}/deliveries/{delivery_id}")
    ],
    "scope-webhook-edit": [
        f"POST {ONE}/webhooks",
        f"PATCH {ONE}/webhooks/{{webhook_id}}",
        f"POST {ONE}/webhooks/{{webhook_id}}/hooks",
        f"POST {ONE}/webhooks/{{webhook_id}}/deliveries/{{delivery_id}}/redeliver",
    ],
    "scope-webhook-admin": [f"DELETE {ONE}/webhooks/{{webhook_id}}"],
    "scope-repo-group-read": [f"GET {ONE}/groups", f"GET {ONE}/groups/{{group_id}}"],
    "scope-repo-group-edit": [f"POST {ONE}/groups", f"PATCH {ONE}/groups/{{group_id}}"],
    "scope-repo-group-admin": [f"DELETE {ONE}/groups/{{group_id}}"],
}
OPENED_BY = {route: scope for scope, routes in OPENED.items() for route in routes}

ALL_SCOPES = sorted(grants.REPOSITORY_SCOPES | grants.ORGANIZATION_SCOPES)
ROWS = [row for row in HUB if row.opened_by == SCOPE]


def held_by(scope: str) -> Iterator[str]:
    """A scope with those that it holds."""
    held: str | None = scope
    while held:
        yield held
        held = BELOW.get(held)


@pytest.fixture(scope="module")
def place(home: Home) -> Place:
    return Place(home, is_private=True)


@pytest.fixture(scope="module")
def callers(home: Home, place: Place) -> dict[str, Caller]:
    """By scope whoever has this one alone."""
    callers = {}
    for scope in ALL_SCOPES:
        resources = [
            Resource(type_, path, [scope])
            for type_, path, scopes in (
                ("TYPE_REPO", f"{place.organization}/*", grants.REPOSITORY_SCOPES),
                ("TYPE_ORG", place.organization, grants.ORGANIZATION_SCOPES),
            )
            if scope in scopes
        ]
        secret = home.organization_token(place.organization, place.owner, *resources)[1]
        user = User(place.organization, secret)
        callers[scope] = Caller(user, home.hub(user), home.client())
    return callers


def test_the_reference_says_by_which_scope_an_operation_is_opened(home: Home) -> None:
    paths = home.anonymous.get("/openapi.json").json()["paths"]
    described = {
        f"{method.upper()} {path}": operation["x-organization-scope"]
        for path, operations in paths.items()
        if not path.startswith("/v2/scim/")
        for method, operation in operations.items()
        if operation["x-organization-scope"]
    }
    by_any = {f"{row.method} {row.path}": "any scope" for row in HUB if row.opened_by == ANY}
    assert described == OPENED_BY | by_any
    assert {f"{row.method} {row.path}" for row in ROWS} == set(OPENED_BY)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_scope_opens_what_it_is_for_and_nothing_else(place: Place, callers: dict[str, Caller], row: Row) -> None:
    needed = OPENED_BY[f"{row.method} {row.path}"]
    opening = {scope for scope in ALL_SCOPES if needed in held_by(scope)}
    values = values_for(row, place, place.caller)
    answers = {scope: told(ask(row, callers[scope], values)) for scope in ALL_SCOPES if scope not in opening}
    assert {answer for answer in answers.values() if answer not in ("403", "404")} == set()
    for scope in opening:
        caller = callers[scope]
        assert (scope, told(ask(row, caller, values_for(row, place, caller)))) == (scope, str(row.success))
