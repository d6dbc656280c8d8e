"""Every route x who asks x public or private: the table that a new route has to enter."""

import httpx
import pytest
from litestar import Router
from litestar.types import ControllerRouterHandler

from homeport.api.hub import access_tokens, authentication, second_factor, tags
from homeport.api.registry.app import ROUTES
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, User, digest_of, push_image

PULL, PUSH, DELETE, CREATE = "pull", "push", "delete", "create"

WHO = {
    # who: what they may do to a private repository of the organization
    "anonymous": set(),
    "stranger": set(),
    "member": set(),
    "reader": {PULL},
    "writer": {PULL, PUSH},
    "admin": {PULL, PUSH, DELETE},
    "collaborator": {PULL, PUSH},
    "editor": {PULL, PUSH, DELETE},
    "owner": {PULL, PUSH, DELETE},
    "site administrator": {PULL, PUSH, DELETE},
    "token: read": {PULL},
    "token: write": {PULL, PUSH},
    "token: public": set(),
    "token: revoked": set(),
}

# One request for each route of the registry: method, path behind the name, body, what it takes.
REGISTRY = {
    ("manifests", "GET"): ("manifests/latest", PULL),
    ("manifests", "HEAD"): ("manifests/latest", PULL),
    ("manifests", "PUT"): ("manifests/new", PUSH),
    ("manifests", "DELETE"): ("manifests/doomed", DELETE),
    ("blobs", "GET"): ("blobs/{blob}", PULL),
    ("blobs", "HEAD"): ("blobs/{blob}", PULL),
    ("blobs", "DELETE"): ("blobs/{blob}", DELETE),
    ("uploads", "POST"): ("blobs/uploads/", PUSH),
    ("upload", "GET"): ("blobs/uploads/{upload}", PUSH),
    ("upload", "HEAD"): ("blobs/uploads/{upload}", PUSH),
    ("upload", "PATCH"): ("blobs/uploads/{upload}", PUSH),
    ("upload", "PUT"): ("blobs/uploads/{upload}?digest={blob}", PUSH),
    ("upload", "DELETE"): ("blobs/uploads/{upload}", PUSH),
    ("tags", "GET"): ("tags/list", PULL),
    ("tags", "HEAD"): ("tags/list", PULL),
    ("referrers", "GET"): ("referrers/{blob}", PULL),
    ("referrers", "HEAD"): ("referrers/{blob}", PULL),
}

HUB_REPOSITORY_PATHS = [
    "/v2/namespaces/{namespace}/repositories/{repository}/tags",
    "/v2/repositories/{namespace}/{repository}/tags",
    "/v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}",
    "/v2/repositories/{namespace}/{repository}/tags/{tag}",
    "/v2/repositories/{namespace}/{repository}/tags/{tag}/images",
]
HUB_OPEN_PATHS = ["/v2/users/login", "/v2/users/2fa-login", "/v2/auth/token"]
HUB_OWN_PATHS = [
    *("/v2/access-tokens", "/v2/access-tokens/{uuid}", "/v2/api_tokens", "/v2/api_tokens/{uuid}"),
    *("/v2/user/2fa", "/v2/user/2fa/confirm", "/v2/user/2fa/disable", "/v2/user/2fa/recovery-codes"),
]


class Scene:
    """An organization with one of each kind, and clients for them."""

    def __init__(self, home: Home, *, is_private: bool) -> None:
        self.home = home
        self.owner = home.user("owner")
        organization = home.organization(self.owner)
        self.name = home.repository(organization, is_private=is_private)
        self.users: dict[str, User | None] = {"anonymous": None, "owner": self.owner, "site administrator": home.admin}
        for who in ("stranger", "member", "reader", "writer", "admin", "collaborator", "editor"):
            self.users[who] = home.user()
        home.member(organization, self._user("member"), OrganizationRole.MEMBER)
        home.member(organization, self._user("editor"), OrganizationRole.EDITOR)
        for who, permission in (("reader", Permission.READ), ("writer", Permission.WRITE), ("admin", Permission.ADMIN)):
            home.team_member(self.name, self._user(who), permission)
        home.collaborator(self.name, self._user("collaborator"), Permission.WRITE)
        self.secrets = {
            "token: read": home.access_token(self.owner, "repo:read")[1],
            "token: write": home.access_token(self.owner, "repo:write")[1],
            "token: public": home.access_token(self.owner, "repo:public_read")[1],
        }
        push_image(home.registry(self.owner, self.name), self.name, "latest", "doomed", text="access")

    def _user(self, who: str) -> User:
        user = self.users[who]
        assert user is not None
        return user

    def registry(self, who: str) -> httpx.Client:
        """A client with a token for everything that they can get."""
        if who == "token: revoked":
            token, secret = self.home.access_token(self.owner)
            client = self.home.registry(self.owner, self.name, secret=secret)
            self.home.hub(self.owner).delete(f"/v2/access-tokens/{token.uuid}")
            return client
        user = self.owner if who in self.secrets else self.users[who]
        return self.home.registry(user, self.name, secret=self.secrets.get(who))

    def hub(self, who: str) -> httpx.Client:
        if who == "token: revoked":
            token, secret = self.home.access_token(self.owner)
            client = self.home.hub(self.owner, secret)
            self.home.hub(self.owner).delete(f"/v2/access-tokens/{token.uuid}")
            return client
        user = self.owner if who in self.secrets else self.users[who]
        return self.home.hub(user, self.secrets.get(who)) if user else self.home.anonymous


@pytest.fixture(params=[True, False], ids=["private", "public"])
def scene(request: pytest.FixtureRequest, home: Home) -> Scene:
    return Scene(home, is_private=request.param)


def allowed(who: str, scene: Scene, request: pytest.FixtureRequest) -> set[str]:
    granted = set(WHO[who])
    is_public = "public" in request.node.callspec.id.split("-")
    if is_public and who != "token: revoked":
        granted |= {PULL}
    return granted


def test_every_route_of_the_registry_is_in_the_table() -> None:
    assert set(REGISTRY) == set(ROUTES)


def test_every_route_of_the_hub_is_in_the_table() -> None:
    handlers: list[ControllerRouterHandler] = [
        *authentication.handlers,
        access_tokens.router,
        second_factor.router,
        *tags.handlers,
    ]
    routers = (Router("/", route_handlers=handlers),)
    paths = {route.path for router in routers for route in router.routes}
    plain = {path.replace(":str", "") for path in paths}
    assert plain == {*HUB_REPOSITORY_PATHS, *HUB_OPEN_PATHS, *HUB_OWN_PATHS}


@pytest.mark.parametrize("who", WHO)
def test_the_registry(request: pytest.FixtureRequest, scene: Scene, who: str) -> None:
    client, name = scene.registry(who), scene.name
    may = allowed(who, scene, request)
    blob = digest_of(b"layer access")
    for (_, method), (template, action) in REGISTRY.items():
        path = f"/v2/{name}/{template.format(blob=blob, upload='0' * 32)}"
        answer = client.request(method, path, content=b"{}" if method == "PUT" else None)
        if action in may:
            # Let in: whatever the answer is about, it is not about who asks.
            assert answer.status_code not in (401, 403), (who, method, path, answer.text)
        else:
            assert answer.status_code in (401, 403, 404), (who, method, path, answer.text)
            if who in ("anonymous", "token: revoked"):
                assert answer.status_code == 401
                assert "www-authenticate" in answer.headers
    still_there = scene.registry("owner").get(f"/v2/{name}/tags/list").json()["tags"]
    assert ("doomed" in still_there) == (DELETE not in may)
    assert "new" not in still_there


@pytest.mark.parametrize("who", WHO)
def test_the_tags_of_the_hub(request: pytest.FixtureRequest, scene: Scene, who: str) -> None:
    client, name = scene.hub(who), scene.name
    may = allowed(who, scene, request)
    for template in HUB_REPOSITORY_PATHS:
        path = template.format(namespace=name.namespace, repository=name.name, tag="latest")
        for method in ("GET",) if path.endswith("/images") else ("GET", "HEAD"):
            answer = client.request(method, path)
            if who == "token: revoked":
                assert answer.status_code == 401
            else:
                assert answer.status_code == (200 if PULL in may else 404), (who, path)


@pytest.mark.parametrize("who", WHO)
def test_the_tokens_of_the_hub_are_ones_own(scene: Scene, who: str) -> None:
    other, _ = scene.home.access_token(scene.home.user())
    client = scene.hub(who)
    listed = client.get("/v2/access-tokens")
    foreign = client.get(f"/v2/access-tokens/{other.uuid}")
    if who in ("anonymous", "token: revoked"):
        assert (listed.status_code, foreign.status_code) == (401, 401)
    elif who.startswith("token"):
        assert (listed.status_code, foreign.status_code) == (403, 403)
    else:
        assert (listed.status_code, foreign.status_code) == (200, 404)
        assert all(token["uuid"] != other.uuid for token in listed.json()["results"])


def test_a_child_of_another_repository_is_not_found(home: Home) -> None:
    user = home.user()
    first, second = home.repository(user.name), home.repository(user.name)
    client = home.registry(user, first, second)
    content = push_image(client, first, "only-here", text="child")
    assert client.get(f"/v2/{second}/manifests/{digest_of(content)}").status_code == 404
    assert client.get(f"/v2/{second}/manifests/only-here").status_code == 404
    assert client.get(f"/v2/{second}/blobs/{digest_of(b'layer child')}").status_code == 404
    tags_url = "/v2/repositories/{}/tags/only-here"
    assert home.anonymous.get(tags_url.format(RepositoryName(*second))).status_code == 404
