"""The Hub, the registry and the token service on hosts of their own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NewHome
from tests.home import ADMIN_PASSWORD, OCI_MANIFEST, PASSWORD, push_image, running_server, unique
from tests.inviting import Inviting, an_address, last_link

HUB, REGISTRY, TOKENS = "hub.example.com", "registry.example.com:8443", "auth.example.com"
OWN_HOSTS = {
    "HOMEPORT_PUBLIC_URL": f"https://{HUB}",
    "HOMEPORT_REGISTRY_URL": f"https://{REGISTRY}",
    "HOMEPORT_TOKEN_URL": f"https://{TOKENS}",
}


class Asked:
    """A server that is asked by names. What a host does not have need not fit the Hub's description."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url)

    def get(self, host: str, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers={"host": host, **headers})

    def token(self, scope: str) -> str:
        basic = httpx.BasicAuth("admin", ADMIN_PASSWORD)
        answer = self.client.get("/token", params={"scope": scope}, headers={"host": TOKENS}, auth=basic)
        return str(answer.json()["token"])

    def hub_token(self) -> str:
        login = {"username": "admin", "password": ADMIN_PASSWORD}
        answer = self.client.post("/v2/users/login", json=login, headers={"host": HUB})
        return str(answer.json()["token"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with running_server(tmp_path_factory.mktemp("hosts") / "hub", **OWN_HOSTS) as url:
        asked = Asked(url)
        with asked.client:
            yield asked


@pytest.fixture(scope="module")
def pushed(asked: Asked) -> str:
    """A repository with images, pushed through the registry's host with a token of the token service's."""
    name = "admin/here"
    token = asked.token(f"repository:{name}:pull,push")
    headers = {"host": REGISTRY, "authorization": f"Bearer {token}"}
    with httpx.Client(base_url=asked.url, headers=headers) as client:
        for tag in ("a", "b", "c"):
            push_image(client, name, tag)
    return name


def test_a_challenge_leads_to_the_token_service(asked: Asked, pushed: str) -> None:
    answer = asked.get(REGISTRY, f"/v2/{pushed}/tags/list")
    assert answer.status_code == 200  # it is public
    challenge = asked.get(REGISTRY, "/v2/").headers["www-authenticate"]
    assert challenge == f'Bearer realm="https://{TOKENS}/token",service="{REGISTRY}"'


def test_an_image_comes_back_from_the_registrys_host_alone(asked: Asked, pushed: str) -> None:
    path = f"/v2/{pushed}/manifests/a"
    found = asked.get(REGISTRY, path, accept=OCI_MANIFEST)
    assert (found.status_code, found.headers["content-type"]) == (200, OCI_MANIFEST)
    for host in (HUB, TOKENS, "elsewhere.example.com"):
        assert asked.get(host, path, accept=OCI_MANIFEST).status_code == 404


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("/v2/", {REGISTRY}),
        ("/v2/admin/here/tags/list", {REGISTRY}),
        ("/token", {TOKENS}),
        ("/token/", {TOKENS}),
        ("/v2/repositories/admin/here/tags", {HUB}),
        ("/v2/search/repositories?query=here", {HUB}),
        ("/v2/scim/2.0/ServiceProviderConfig", {HUB}),
        ("/account/password", {HUB}),
        ("/activate", {HUB}),
        ("/openapi.json", {HUB}),
        # Docker's engine asks the registry, other programs the Hub.
        ("/v1/_ping", {HUB, REGISTRY}),
        ("/v1/search?q=here", {HUB, REGISTRY}),
        ("/healthz", {HUB, REGISTRY, TOKENS}),
        ("/readyz", {HUB, REGISTRY, TOKENS}),
    ],
)
def test_each_path_is_at_its_host(asked: Asked, pushed: str, path: str, at: set[str]) -> None:
    found = {host for host in (HUB, REGISTRY, TOKENS) if asked.get(host, path).status_code != 404}
    assert found == at


def test_what_is_not_at_a_host_is_said_in_words_of_its_own(asked: Asked) -> None:
    assert asked.get(REGISTRY, "/v2/users/login").json()["errors"][0]["code"] in ("NAME_UNKNOWN", "NAME_INVALID")
    assert asked.get(TOKENS, "/v2/").json()["errors"][0]["code"] == "NAME_UNKNOWN"
    assert "message" in asked.get(HUB, "/v2/admin/here/tags/list").json()
    head = asked.client.head("/v2/", headers={"host": TOKENS})
    assert (head.status_code, head.content) == (404, b"")


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("REGISTRY.example.com:8443", "/v2/", 401),
        ("registry.example.com", "/v2/", 404),  # another port is another host
        ("auth.example.com:443", "/token", 200),
        ("Hub.Example.com:443", "/v2/repositories/admin/here/tags", 200),
        # What is nobody's is the Hub's: a name inside a cluster, an address.
        ("10.0.0.7:8000", "/v2/repositories/admin/here/tags", 200),
        ("10.0.0.7:8000", "/token", 404),
    ],
)
def test_a_host_is_known_in_any_spelling(asked: Asked, pushed: str, host: str, path: str, status: int) -> None:
    assert asked.get(host, path).status_code == status


def test_absolute_urls_go_to_the_host_that_they_belong_to(asked: Asked, pushed: str) -> None:
    hub = f"https://{HUB}/"
    authorization = f"Bearer {asked.hub_token()}"
    page = asked.get(HUB, f"/v2/repositories/{pushed}/tags?page_size=1", authorization=authorization).json()
    assert page["next"].startswith(hub)
    assert asked.get(HUB, "/openapi.json").json()["servers"] == [{"url": f"https://{HUB}"}]
    # The engine's search has been asked at the registry.
    for address in _urls(asked.get(REGISTRY, "/v1/search?q=here&n=1").json()):
        assert address.startswith(hub)
    code = asked.client.post("/oauth/device/code", data={"client_id": "x"}, headers={"host": HUB}).json()
    assert code["verification_uri"].startswith(hub)
    # The registry's own links are paths, which stay at its host.
    link = asked.get(REGISTRY, f"/v2/{pushed}/tags/list?n=1").headers["link"]
    assert link.startswith(f"</v2/{pushed}/")
    token = asked.token(f"repository:{pushed}:pull,push")
    headers = {"host": REGISTRY, "authorization": f"Bearer {token}"}
    begun = asked.client.post(f"/v2/{pushed}/blobs/uploads/", headers=headers)
    assert begun.headers["location"].startswith(f"/v2/{pushed}/blobs/uploads/")


def test_the_registry_takes_no_token_of_the_hubs(asked: Asked, pushed: str) -> None:
    assert asked.get(REGISTRY, "/v2/", authorization=f"Bearer {asked.hub_token()}").status_code == 401


def test_a_token_service_alone_leaves_the_registry_with_the_hub(tmp_path: Path) -> None:
    urls = {"HOMEPORT_PUBLIC_URL": f"https://{HUB}", "HOMEPORT_TOKEN_URL": f"https://{TOKENS}"}
    with running_server(tmp_path / "hub", **urls) as url, httpx.Client(base_url=url) as client:
        statuses = {
            (host, path): client.get(path, headers={"host": host}).status_code
            for host in (HUB, TOKENS)
            for path in ("/v2/", "/v2/search/repositories?query=x", "/token")
        }
        challenge = client.get("/v2/", headers={"host": HUB}).headers["www-authenticate"]
    assert statuses == {
        (HUB, "/v2/"): 401,
        (HUB, "/v2/search/repositories?query=x"): 200,
        (HUB, "/token"): 404,
        (TOKENS, "/v2/"): 404,
        (TOKENS, "/v2/search/repositories?query=x"): 404,
        (TOKENS, "/token"): 200,
    }
    assert challenge == f'Bearer realm="https://{TOKENS}/token",service="{HUB}"'


def test_who_starts_the_server_is_told_the_registrys_host(tmp_path: Path) -> None:
    with running_server(tmp_path / "hub", **OWN_HOSTS):
        shown = (tmp_path / "hub.log").read_text()
    assert f"docker login {REGISTRY} --username admin" in shown
    assert f"docker push {REGISTRY}/admin/busybox" in shown


def test_who_is_invited_comes_to_the_hub_and_is_told_the_registrys_host(new_home: NewHome) -> None:
    with new_home("sqlite", **OWN_HOSTS) as home:
        acme, address, name = Inviting.of(home), an_address(), unique("new-")
        acme.invite(address)
        link = last_link(home, address)
        assert link.url.startswith(f"https://{HUB}/invites/")
        form = {"token": link.token, "username": name, "full_name": "", "password": PASSWORD}
        with httpx.Client(base_url=home.url, headers={"host": HUB}) as client:
            page = client.post(f"/invites/{link.id}/join", data=form)
    assert page.status_code == 200, page.text
    assert f"docker login {REGISTRY} --username {name}" in page.text


def _urls(found: Any) -> set[str]:
    return set(re.findall(r"https?://[^\"' ]+", str(found)))
