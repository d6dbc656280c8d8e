"""Whatever is sent, the answer is one of a working server."""

import json
from typing import Any
from urllib.parse import unquote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.api.http import Application, Message
from homeport.app import create_app
from homeport.core.services import Services
from tests.home import Home

ROUTES = [
    "/v2/users/login",
    "/v2/auth/token",
    "/v2/access-tokens",
    "/v2/access-tokens/{}",
    "/v2/api_tokens",
    "/v2/api_tokens/{}",
    "/v2/namespaces/{}/repositories/{}/tags",
    "/v2/namespaces/{}/repositories/{}/tags/{}",
    "/v2/repositories/{}/{}/tags",
    "/v2/repositories/{}/{}/tags/{}",
    "/v2/repositories/{}/{}/tags/{}/images",
    "/v2/repositories",
    "/v2/repositories/{}",
    "/v2/repositories/library",
    "/v2/namespaces/{}/repositories/{}",
    "/v2/repositories/{}/{}",
    "/v2/repositories/{}/{}/privacy",
    "/v2/repositories/{}/{}/categories",
    "/v2/repositories/{}/{}/stars",
    "/v2/repositories/{}/{}/groups",
    "/v2/repositories/{}/{}/groups/{}",
    "/v2/namespaces/{}/repositories/{}/delete-tags",
    "/v2/namespaces/{}/repositories/{}/tags/x/restore",
    "/v2/namespaces/{}/repositories/{}/immutabletags",
    "/v2/namespaces/{}/repositories/{}/immutabletags/verify",
    "/v2/orgs/{}/members",
    "/v2/orgs/library/members",
    "/v2/orgs/library/members/{}",
    "/v2/orgs/{}/groups",
    "/v2/orgs/library/groups",
    "/v2/orgs/library/groups/{}",
    "/v2/orgs/library/groups/owners/members",
    "/v2/orgs/library/groups/{}/members/{}",
    "/v2/search/{}",
    "/v2/search/repositories",
    "/v1/search",
    "/api/search/v4",
    "/v2/orgs/{}/settings",
    "/v2/orgs/{}/settings/registry-access-management",
    "/v2/orgs/{}/settings/policies",
    "/v2/orgs/{}/domains",
    "/v2/orgs/{}/domains/{}",
    "/v2/orgs/{}/domains/{}/verify",
    "/v2/namespaces/{}/badge",
    "/v2/user",
    "/v2/user/orgs",
    "/v2/user/email",
    "/v2/user/password",
    "/v2/users/{}",
    "/v2/users/{}/orgs",
    "/v2/users/signup",
    "/v2/users/password-reset",
    "/v2/auth/refresh",
    "/v2/orgs",
    "/v2/orgs/{}",
    "/account/password",
    "/account/password/{}",
    "/account/password/{}/reset",
    "/account/email/{}/confirm",
    "/account/sign-up/{}/create",
]
SEGMENTS = st.one_of(
    st.sampled_from(["library", "%00", "%ff", "%2F", "..", "%2e%2e", "%ED%A0%80", "%0a", "a" * 300, ""]),
    st.text(st.characters(codec="ascii", categories=("L", "N"))),
)
NUMBERS = st.integers() | st.sampled_from([2**63, 10**40]) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text() | st.sampled_from(["\0", "dckr_pat_\0", "dckr_pat_" + "x" * 27, "repo:read", "9999-12-31T23:59:59Z"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        *("username", "password", "identifier", "secret", "token_label", "scopes", "expires_at", "is_active"),
        *("domain", "badge", "restricted_images", "enabled", "standard_registries", "custom_registries", "insights"),
        *("role", "name", "description", "member"),
        *("namespace", "full_description", "is_private", "status", "group_id", "permission", "filter", "dry_run"),
        *("email", "full_name", "company", "profile_url", "new_password", "refresh_token"),
    ]
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(FIELDS, VALUES).map(lambda body: json.dumps(body).encode()),
    VALUES.map(lambda body: json.dumps(body).encode()),
    st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, rb'{"username":"\ud800"}', b" " * (1024 * 1024 + 1)]),
)
QUERIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"page=%00", b"name=%ff", b"page=" + b"9" * 5000, b"a=1&" * 300, b"page_size=%EF%BC%91"]),
    st.builds(
        lambda name, value: f"{name}={value}".encode(),
        st.sampled_from(
            ["page", "page_size", "ordering", "name", "refresh_token", "search", "role", "type", "invites", "username"]
        ),
        st.integers() | st.text(st.characters(codec="ascii"), max_size=10),
    ),
)
AUTHORIZATIONS = st.one_of(
    st.none(), st.just(b"mine"), st.binary(max_size=30), st.binary(max_size=30).map(lambda token: b"Bearer " + token)
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]),
    route=st.sampled_from(ROUTES),
    segments=st.lists(SEGMENTS, min_size=3, max_size=3),
    slash=st.sampled_from(["", "/"]),
    query=QUERIES,
    body=BODIES,
    authorization=AUTHORIZATIONS,
)
def test_junk_is_never_an_error_of_the_server(
    home: Home,
    *,
    method: str,
    route: str,
    segments: list[str],
    slash: str,
    query: bytes,
    body: bytes,
    authorization: bytes | None,
) -> None:
    if authorization == b"mine":
        authorization = _admin(home)
    headers = [(b"host", b"hub.test"), (b"content-length", str(len(body)).encode())]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    path = route.format(*segments) + slash
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query,
        "headers": headers,
        "client": ("192.0.2.9", 1),
        "server": ("hub.test", 80),
    }
    status, answer = _send(home, scope, body)
    assert status < 500
    if method == "HEAD":
        assert answer == b""
    elif status == 404:
        assert b"not found" in answer.lower()


_bearers: dict[str, bytes] = {}


def _admin(home: Home) -> bytes:
    if home.url not in _bearers:
        _bearers[home.url] = home.hub(home.admin).headers["authorization"].encode()
    return _bearers[home.url]


_applications: dict[str, Application] = {}


def _send(home: Home, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """A request as a server hands it over: HTTP clients would not send all of this."""
    started: list[int] = []
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message["status"])
        else:
            chunks.append(message.get("body", b""))

    async def verb(services: Services) -> None:
        if home.url not in _applications:
            _applications[home.url] = create_app(services)
        await _applications[home.url](scope, receive, send)

    home.run(verb)
    return started[0], b"".join(chunks)
