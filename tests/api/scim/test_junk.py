"""Whatever is sent, the answer is one of SCIM, never an error of the server; and what is refused leaves nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.api.http import Application, Message
from homeport.app import create_app
from homeport.core.services import Services
from tests.conftest import DATABASES, NewHome
from tests.home import HIGH_LIMITS, Home, unique
from tests.scim import DOCKER_USER, ERROR, GROUP, MEDIA_TYPE, PATCH_OP, ROOT, SEARCH_REQUEST, USER, IdentityProvider

EXAMPLES = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# RFC 7644 table 9, and what has no type of its own.
SCIM_TYPES: dict[int, set[str | None]] = {
    400: {
        *("invalidFilter", "tooMany", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue"),
        *("invalidVers", "sensitive"),
    },
    403: {None},
    404: {None},
    405: {None},
    409: {None, "uniqueness"},
    412: {None},
    413: {None},
    415: {None},
    501: {None},
}

NUMBERS = st.integers() | st.sampled_from([2**31, 2**63, 10**40, -1, 0, 1.5]) | st.floats(allow_nan=False)
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["\0", "\ud800", "", " ", "a@b.example", "x" * 256, "x" * 5000, "null", "true", "owner", "members", USER, "\u202e"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("schemas", "id", "externalId", "userName", "USERNAME", "name", "displayName", "active", "enabled", "emails"),
        *("groups", "members", "meta", "password", "roles", "filter", "sortBy", "sortOrder", "startIndex", "count"),
        *("attributes", "excludedAttributes", "cursor", "Operations", "operations", "op", "path", "value", "type"),
        *("primary", "$ref", "ref", "display", "givenName", "familyName", "formatted", "dockerRole", "dockerTeam"),
        *(USER, GROUP, DOCKER_USER, "urn:x", "", "__class__", "user_name", "DockerUser"),
    ]
)
OBJECTS = st.dictionaries(NAMES | TEXTS, VALUES | st.dictionaries(NAMES, VALUES, max_size=4), max_size=6)
SCHEMAS = st.sampled_from([[USER], [GROUP], [USER, DOCKER_USER], [PATCH_OP], [SEARCH_REQUEST], [], ["urn:x"], None, 1])
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "remove", "Add", "REPLACE", "move", None, 1])},
        optional={
            "path": st.sampled_from(
                [
                    *("userName", "active", "emails", 'emails[type eq "work"]', 'emails[type eq "work"].value', "name"),
                    *(
                        "name.givenName",
                        "externalId",
                        "displayName",
                        "members",
                        'members[value eq "x"]',
                        "members.value",
                    ),
                    *(f"{DOCKER_USER}:dockerRole", DOCKER_USER, f"{USER}:userName", "id", "meta", "groups", "schemas"),
                    *("", "x", "emails[", "emails[type eq", "a.b.c", "members[" + "(" * 40, "é", 1, None, "\0"),
                    "not (" * 60 + "a pr" + ")" * 60,
                ]
            ),
            "value": VALUES | OBJECTS | st.lists(OBJECTS, max_size=2),
        },
    ),
    max_size=3,
)
DOCUMENTS = st.one_of(
    OBJECTS,
    VALUES,
    st.builds(lambda document, schemas: {**document, "schemas": schemas}, OBJECTS, SCHEMAS),
    st.builds(lambda document: {"schemas": [USER], "userName": unique("junk"), **document}, OBJECTS),
    st.builds(lambda document: {"schemas": [GROUP], "displayName": unique("junk"), **document}, OBJECTS),
    st.builds(lambda operations: {"schemas": [PATCH_OP], "Operations": operations}, OPERATIONS),
    st.builds(lambda document: {"schemas": [SEARCH_REQUEST], **document}, OBJECTS),
)
RAW = [
    *(b"", b" ", b"null", b"[]", b"1", b'"x"', b"{", b"}", b"{]", b"nonsense", b"\xff\xfe", b"\xef\xbb\xbf{}"),
    *(b'{"userName": "\xff"}', rb'{"userName": "\ud800"}', rb'{"userName": "a\u0000b"}', b'{"userName": "a\nb"}'),
    *(b'{"userName": NaN}', b'{"userName": 1e999}', b'{"userName": ' + b"9" * 5000 + b"}", b'{"active": Infinity}'),
    *(b'{"userName": "a", "userName": "b"}', b'{"userName": "a", "USERNAME": "b"}', b"{'userName': 'a'}"),
    *(b"[" * 50_000, b'{"a":' * 50_000, b'{"emails":' + b"[" * 900 + b"]" * 900 + b"}", b'{"schemas":' * 200),
    b'{"schemas": ["' + USER.encode() + b'"], "userName": "deep", "name": ' + b'{"a":' * 400 + b"1" + b"}" * 401,
]
BODIES = st.one_of(
    st.sampled_from(RAW),
    st.binary(max_size=60),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
)
QUERY_TEXTS = st.sampled_from(
    [
        *("1", "0", "-1", "9" * 30, "1.5", "1e3", "0x10", "%EF%BC%91", "", "%00", "%ff", "%ED%A0%80", "true", "null"),
        *("userName", "emails", "emails.value", "name", "name.givenName", "members", "members.value", "id", "meta"),
        *("groups", "schemas", "ascending", "descending", "Descending", "sideways", "userName,id", ",,,", "*", "a.b.c"),
        *("emails%5Btype%20eq%20%22work%22%5D", f"{DOCKER_USER}:dockerRole", DOCKER_USER, USER, f"{USER}:id"),
        *("userName%20pr", "userName%20eq%20%22%5Cu0000%22", "id%20eq%201", "(", "not", "active%20eq%20null"),
        *(
            "meta.created%20gt%20%229999-12-31T23:59:59-14:00%22",
            "meta.created%20lt%20%220001-01-01T00:00:00%2B14:00%22",
        ),
    ]
)
QUERIES = st.one_of(
    st.binary(max_size=30),
    st.lists(
        st.builds(
            lambda name, value: f"{name}={value}".encode(),
            st.sampled_from(
                [
                    *("startIndex", "count", "sortBy", "sortOrder", "attributes", "excludedAttributes", "filter"),
                    *("cursor", "STARTINDEX", "x"),
                ]
            ),
            QUERY_TEXTS,
        ),
        max_size=3,
    ).map(b"&".join),
)
PATHS = st.sampled_from(
    [
        *("", "/", "/Users", "/Users/", "/users", "/Users/{user}", "/Users/{user}/", "/Users/{group}", "/Users/x"),
        *(
            "/Groups",
            "/Groups/{group}",
            "/Groups/{user}",
            "/Groups/%00",
            "/Users/%ED%A0%80",
            "/Users/%ff",
            "/Users/a%2Fb",
        ),
        *(
            "/.search",
            "/Users/.search",
            "/Groups/.search",
            "/Bulk",
            "/Me",
            "/Schemas",
            f"/Schemas/{USER}",
            "/Schemas/x",
        ),
        *(
            "/ResourceTypes",
            "/ResourceTypes/User",
            "/ResourceTypes/x",
            "/ServiceProviderConfig",
            "/x",
            "/Users/x/y",
            "//",
        ),
        "/Users/" + "x" * 3000,
    ]
)
MEDIA_TYPES = st.sampled_from(
    [MEDIA_TYPE, MEDIA_TYPE, "application/json", "application/scim+json; charset=utf-8", "text/xml", "text/plain", ""]
)
VERSIONS = st.sampled_from(["", "", "", "*", 'W/"1"', '"', "W/", "é", '"a", "b"', ",,,"])


class Place:
    """An organization with something in it."""

    def __init__(self, home: Home) -> None:
        self.provider = IdentityProvider.of(home)
        self.user = self.provider.user()
        self.group = self.provider.group(None, self.user)

        async def verb(services: Services) -> Application:
            return create_app(services)

        self.application = home.run(verb)

    def everything(self) -> Any:
        """All that the provider may see."""
        return [self.provider.get(path, count=200).json()["Resources"] for path in ("/Users", "/Groups")]


@pytest.fixture(scope="module", params=DATABASES)
def place(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Place]:
    """One that is asked without limits, in this process as well."""
    with new_home(request.param, **HIGH_LIMITS) as home:
        yield Place(home)


def send(
    place: Place, method: str, path: str, body: bytes, *, query: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """A request as a server would hand it to the application, whatever a client may send."""
    named = ROOT + path.format(user=place.user["id"], group=place.group["id"])
    given_headers = {
        "host": "hub.test",
        "authorization": f"Bearer {place.provider.secret}",
        "content-length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(named),
        "raw_path": named.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given_headers.items() if value],
        "client": ("192.0.2.9", 1),
        "server": ("hub.test", 80),
    }

    async def verb(services: Services) -> tuple[int, dict[str, str], bytes]:
        return await _ask(place.application, scope, body)

    return place.provider.home.run(verb)


async def _ask(app: Application, scope: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, collect)
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def check(status: int, headers: dict[str, str], content: bytes) -> None:
    """The answer is one of a working server, and an error is written as RFC 7644 §3.12 has it."""
    assert status in SCIM_TYPES or status < 400, (status, content)
    if status in (204, 304):
        assert content == b""
        return
    assert headers["content-type"] == MEDIA_TYPE
    answer = json.loads(content)
    if status < 400:
        assert answer["schemas"]
        return
    assert answer["schemas"] == [ERROR]
    assert answer["status"] == str(status)
    assert answer.get("scimType") in SCIM_TYPES[status], answer
    assert answer["detail"]
    if status == 404:
        assert "not found" in answer["detail"].lower()


@EXAMPLES
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "HEAD", "DELETE", "OPTIONS"]),
    path=PATHS,
    query=QUERIES,
    body=BODIES,
    content_type=MEDIA_TYPES,
    if_match=VERSIONS,
    if_none_match=VERSIONS,
)
def test_junk_is_never_an_error_of_the_server(
    place: Place,
    *,
    method: str,
    path: str,
    query: bytes,
    body: bytes,
    content_type: str,
    if_match: str,
    if_none_match: str,
) -> None:
    if method == "DELETE" and "{" in path:
        path = "/Users/x"  # it would take away what the others are about
    headers = {"content_type": content_type, "if_match": if_match, "if_none_match": if_none_match}
    status, answered, content = send(place, method, path, body, query=query, **headers)
    if method == "HEAD":
        assert content == b""
        assert status < 500 or status == 501
    else:
        check(status, answered, content)


@EXAMPLES
@given(
    route=st.sampled_from(
        [
            *(("POST", "/Users"), ("POST", "/Groups"), ("PUT", "/Users/{user}"), ("PUT", "/Groups/{group}")),
            *(
                ("PATCH", "/Users/{user}"),
                ("PATCH", "/Groups/{group}"),
                ("POST", "/.search"),
                ("POST", "/Users/.search"),
            ),
        ]
    ),
    body=BODIES,
)
def test_what_is_refused_leaves_nothing(place: Place, route: tuple[str, str], body: bytes) -> None:
    before = place.everything()
    answer = send(place, *route, body, content_type=MEDIA_TYPE)
    check(*answer)
    if answer[0] >= 400 or route[1].endswith(".search"):
        assert place.everything() == before


# Wrong in one way each

GOOD_USER: dict[str, Any] = {"schemas": [USER], "userName": "refused@example.com"}
GOOD_GROUP: dict[str, Any] = {"schemas": [GROUP], "displayName": "Refused"}


def each(name: str, *values: Any) -> list[dict[str, Any]]:
    """An attribute with each of these values."""
    return [{name: value} for value in values]


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        *((raw, "invalidSyntax") for raw in (b"", b"{", b"nonsense", b"\xff\xfe", b"{'userName': 'a'}", b"[" * 50_000)),
        *((raw, "invalidSyntax") for raw in (b"null", b"[]", b"1", b'"x"')),
        (b'{"schemas": ["' + USER.encode() + b'"], "userName": "\xff"}', "invalidSyntax"),
    ],
)
def test_what_is_no_object_in_json_is_invalid_syntax(place: Place, body: bytes, scim_type: str) -> None:
    for method, path in (
        *(("POST", "/Users"), ("POST", "/Groups"), ("PUT", "/Users/{user}"), ("PUT", "/Groups/{group}")),
        *(("PATCH", "/Users/{user}"), ("PATCH", "/Groups/{group}"), ("POST", "/Users/.search"), ("POST", "/.search")),
    ):
        before = place.everything()
        status, headers, content = send(place, method, path, body, content_type=MEDIA_TYPE)
        check(status, headers, content)
        assert (status, json.loads(content)["scimType"]) == (400, scim_type), (method, path, content)
        assert place.everything() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"userName": None},
        {"userName": ""},
        {"userName": "  "},
        *each("userName", 1, True, [], {}, ["a"], {"value": "a"}, "a\0b", "a\nb", "\ud800", "x" * 256),
        *each("active", 1.5, "perhaps", [], {}, 7),
        *each("externalId", 1, True, [], {}, "\0", "x" * 256),
        *each("name", "Jon", 1, [], {"givenName": 1}, {"familyName": []}, {"givenName": "\0"}),
        *each("displayName", 1, False, {}, "a\tb"),
        *each("emails", "a@b.example", 1, ["a@b.example"], [1], [[]], [{"value": 1}], [{"type": {}}]),
        *each("emails", [{"primary": "perhaps"}], [{"value": "\0"}], [{"value": "x" * 256}]),
        {"emails": [{"value": f"a{number}@b.example"} for number in range(100)]},
        *each(DOCKER_USER, "x", 1, [], {"dockerRole": "king"}, {"dockerRole": 1}, {"dockerTeam": []}),
        {DOCKER_USER: {"dockerTeam": "\0"}},
        {"schemas": None},
        *each("schemas", "x", 1, [1], {}, ["urn:x"], [GROUP]),
    ],
    ids=str,
)
def test_a_user_that_cannot_be_is_refused(place: Place, wrong: dict[str, Any]) -> None:
    before = place.everything()
    body = json.dumps({**GOOD_USER, **wrong}).encode()
    for method, path in (("POST", "/Users"), ("PUT", "/Users/{user}")):
        if method == "PUT" and wrong.get("userName", "x") in (None, ""):
            continue  # Docker's description asks for none there
        status, headers, content = send(place, method, path, body, content_type=MEDIA_TYPE)
        check(status, headers, content)
        assert status == 400, content
        assert json.loads(content)["scimType"] in ("invalidValue", "invalidSyntax"), content
        assert place.everything() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"displayName": None},
        *each("displayName", "", "  ", 1, True, [], {}, "\0", "a\nb", "\ud800", "x" * 256),
        *each("externalId", 1, [], {}, "\0", "x" * 256),
        *each("members", "x", 1, ["x"], [1], [[]], [{"value": 1}], [{"value": {}}]),
        *each("schemas", "x", 1, [USER], None),
    ],
    ids=str,
)
def test_a_group_that_cannot_be_is_refused(place: Place, wrong: dict[str, Any]) -> None:
    before = place.everything()
    body = json.dumps({**GOOD_GROUP, **wrong}).encode()
    for method, path in (("POST", "/Groups"), ("PUT", "/Groups/{group}")):
        status, headers, content = send(place, method, path, body, content_type=MEDIA_TYPE)
        check(status, headers, content)
        assert status == 400, content
        assert json.loads(content)["scimType"] in ("invalidValue", "invalidSyntax"), content
        assert place.everything() == before


@pytest.mark.parametrize(
    ("operation", "scim_types"),
    [
        ({"op": "move", "path": "userName", "value": "x"}, ("invalidSyntax", "invalidValue")),
        ({"path": "userName", "value": "x"}, ("invalidSyntax", "invalidValue")),
        ({"op": "remove"}, ("noTarget",)),
        ({"op": "replace", "path": "emails[", "value": "x"}, ("invalidPath",)),
        ({"op": "replace", "path": "userName", "value": 1}, ("invalidValue",)),
        ({"op": "replace", "path": "active", "value": "perhaps"}, ("invalidValue",)),
        ({"op": "replace", "path": "userName", "value": ""}, ("invalidValue",)),
        ({"op": "remove", "path": "userName"}, ("invalidValue", "mutability")),
        ({"op": "replace", "path": "id", "value": "x"}, ("mutability",)),
        ({"op": "add", "path": "groups", "value": [{"value": "x"}]}, ("mutability",)),
        ({"op": "replace", "path": "meta.created", "value": "2020-01-01T00:00:00Z"}, ("mutability",)),
        ({"op": "replace", "path": 'emails[type co "nowhere"].value', "value": "x"}, ("noTarget",)),
        ({"op": "replace", "path": "displayName", "value": "a\0b"}, ("invalidValue",)),
    ],
    ids=str,
)
def test_a_change_that_cannot_be_is_refused(
    place: Place, operation: dict[str, Any], scim_types: tuple[str, ...]
) -> None:
    """And so is what stands before it in the same request."""
    before = place.everything()
    good = {"op": "add", "path": "externalId", "value": "changed"}
    body = json.dumps({"schemas": [PATCH_OP], "Operations": [good, operation]}).encode()
    status, headers, content = send(place, "PATCH", "/Users/{user}", body, content_type=MEDIA_TYPE)
    check(status, headers, content)
    assert status == 400, content
    assert json.loads(content)["scimType"] in scim_types, content
    assert place.everything() == before


@pytest.mark.parametrize(
    "content_type", ["text/xml", "text/plain", "application/xml", "multipart/form-data; boundary=x"]
)
def test_other_media_types_are_refused(place: Place, content_type: str) -> None:
    before = place.everything()
    for method, path in (
        ("POST", "/Users"),
        ("PUT", "/Users/{user}"),
        ("PATCH", "/Users/{user}"),
        ("POST", "/.search"),
    ):
        answer = send(place, method, path, json.dumps(GOOD_USER).encode(), content_type=content_type)
        check(*answer)
        assert answer[0] == 415
    assert place.everything() == before


def test_a_body_has_a_size(place: Place) -> None:
    body = json.dumps({**GOOD_USER, "nickName": "x" * (8 * 1024 * 1024)}).encode()
    answer = send(place, "POST", "/Users", body, content_type=MEDIA_TYPE)
    check(*answer)
    assert answer[0] == 413


def test_a_name_that_is_there_twice_is_not_both(place: Place) -> None:
    """JSON leaves open which of two members of one name counts; nothing may be read as one here and the other there."""
    for second in ("userName", "USERNAME"):
        first, last = unique("first"), unique("last")
        body = f'{{"schemas": ["{USER}"], "userName": "{first}", "{second}": "{last}"}}'.encode()
        status, headers, content = send(place, "POST", "/Users", body, content_type=MEDIA_TYPE)
        check(status, headers, content)
        if status == 201:
            assert json.loads(content)["userName"] in (first, last)


def test_a_member_without_a_name_stands_for_nothing(place: Place) -> None:
    patch = json.dumps({"schemas": [PATCH_OP], "": [{"op": "remove", "path": "active"}]}).encode()
    answer = send(place, "PATCH", "/Users/{user}", patch, content_type=MEDIA_TYPE)
    check(*answer)
    assert answer[0] == 400
    user = place.provider.user()
    body = json.dumps({"schemas": [USER], "userName": user["userName"], "": True}).encode()
    status, _, content = send(place, "PUT", f"/Users/{user['id']}", body, content_type=MEDIA_TYPE)
    assert (status, json.loads(content)["active"]) == (200, False)


@pytest.mark.parametrize("name", ["startIndex", "count"])
def test_a_number_that_is_none_is_refused(place: Place, name: str) -> None:
    for text in ("x", "", "1.5", "true", "1e3"):
        answer = send(place, "GET", "/Users", b"", query=f"{name}={text}".encode())
        check(*answer)
        assert answer[0] == 400
        assert json.loads(answer[2])["scimType"] == "invalidValue"
