"""An identity provider for tests. Every answer that it gets is held against `samples/scim`.

`contract.json` there is what Docker's published description says of SCIM, `deviations.json` where the RFCs say
otherwise or Homeport says more, and `extensions.json` what is beyond the description. Types are those of
`tests/contract.py`. An answer that is narrowed by `attributes` or `excludedAttributes` need not have all fields.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from jsonschema.validators import Draft202012Validator

from homeport.core import scim_tokens
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from tests.contract import Contract
from tests.home import Home, User, unique

ROOT = "/v2/scim/2.0"
MEDIA_TYPE = "application/scim+json"
SAMPLES = Path(__file__).parent / "samples" / "scim"

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
DOCKER_USER = "urn:ietf:params:scim:schemas:extension:docker:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

Json = dict[str, Any]


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def _contract() -> Contract:
    published, more = sample("contract.json"), sample("extensions.json")
    return Contract({key: {**published[key], **more[key]} for key in published}, sample("deviations.json"))


CONTRACT = _contract()


@functools.cache
def _validator(type_: str, *, is_narrowed: bool) -> Any:
    schema = CONTRACT.schema(type_)
    return Draft202012Validator(_without_required(schema) if is_narrowed else schema)


def _without_required(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_required(value) for key, value in schema.items() if key != "required" or value is True}
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema


def check_answer(response: httpx.Response) -> None:
    """Raises AssertionError if an answer of the SCIM door has another shape than its sample."""
    content, request = response.read(), response.request
    path = request.url.path.removeprefix(ROOT).rstrip("/") or "/"
    method = "GET" if request.method == "HEAD" else request.method
    where = f"{request.method} {path} answers {response.status_code}: {content[:600]!r}"
    answers = CONTRACT.answers[CONTRACT.operation(method, path) or "GET /Users"]
    type_ = answers.get(str(response.status_code), "error" if response.status_code >= 400 else None)
    if type_ is None or request.method == "HEAD":
        assert not content, where
        return
    assert response.headers["content-type"] == MEDIA_TYPE, where
    assert type_ == "error" or response.is_success, where
    words = f"{request.url.query.decode()} {request.read().decode(errors='replace') if 'search' in path else ''}"
    is_narrowed = "attributes" in words.lower()
    problems = [error.message for error in _validator(type_, is_narrowed=is_narrowed).iter_errors(response.json())]
    assert not problems, f"{where} {problems}"


class IdentityProvider:
    """What speaks for one organization with its SCIM token; paths begin at the door, as `/Users`."""

    def __init__(self, home: Home, organization: str, owner: User, secret: str) -> None:
        self.home = home
        self.organization = organization
        self.owner = owner
        self.secret = secret
        self.base_url = home.url + ROOT
        self.client = home.client(authorization=f"Bearer {secret}")
        self.client.event_hooks["response"].append(check_answer)

    @classmethod
    def of(cls, home: Home) -> "IdentityProvider":
        """One with a new organization."""
        owner = home.user("owner")
        organization = home.organization(owner)
        return cls(home, organization, owner, new_token(home, organization))

    def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        """Send a request; bytes are sent as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        sent = {"content-type": MEDIA_TYPE, **(headers or {})} if content is not None else headers
        return self.client.request(method, ROOT + path, content=content, headers=sent, params=query or None)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.send("GET", path, **query)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.send("POST", path, body)

    def put(self, path: str, body: Any) -> httpx.Response:
        return self.send("PUT", path, body)

    def patch(self, path: str, *operations: Json) -> httpx.Response:
        return self.send("PATCH", path, {"schemas": [PATCH_OP], "Operations": list(operations)})

    def delete(self, path: str) -> httpx.Response:
        return self.send("DELETE", path)

    def user(self, user_name: str | None = None, **fields: Any) -> Json:
        """A new user."""
        name = user_name or f"{unique('user')}@{unique('d')}.example.com"
        made = self.post("/Users", {"schemas": [USER], "userName": name, **fields})
        assert made.status_code == 201, made.text
        return made.json()  # type: ignore[no-any-return]

    def group(self, display_name: str | None = None, *members: Json) -> Json:
        """A new group of users."""
        body = {
            "schemas": [GROUP],
            "displayName": display_name or unique("group"),
            "members": [{"value": member["id"]} for member in members],
        }
        made = self.post("/Groups", body)
        assert made.status_code == 201, made.text
        return made.json()  # type: ignore[no-any-return]


def new_token(home: Home, organization: str) -> str:
    """The secret of a new SCIM token."""

    async def verb(services: Services) -> str:
        async with services.db.write() as tx:
            created = await scim_tokens.create_token(
                tx, actor=OPERATOR, organization=organization, plans=services.settings.plans
            )
        return created.secret

    return home.run(verb)
