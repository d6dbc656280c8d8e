"""Clients of Docker Hub's API as their registries of packages have them, against a running hub.

They know one server, and come to ours by a proxy (`front.py`). What they return is compared with what was pushed.
"""

import base64
import contextlib
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.desk import Server, serving
from tests.e2e.front import HUB, LOGIN, REGISTRY, TOKENS, Front, running_front
from tests.e2e.working_day import hub_client, registry_client
from tests.home import ADMIN_PASSWORD, digest_of, push_image, unique

HERE = Path(__file__).parent
FETCHED = HERE.parents[1] / ".cache/e2e"
PYTHON = [str(FETCHED / "python/bin/python"), str(HERE / "clients/dockerhub_api_client.py")]
NODE = ["node", str(HERE / "clients/docker_hub_api_client.js")]

Start = Callable[..., "Client"]


class Refused(Exception):
    """What a client says of an answer that it does not like."""


class Client:
    """A program that takes a call a line and answers with what its library returned."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, *call: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hub-clients") / "hub", HOMEPORT_PUBLIC_URL=f"https://{HUB}") as found:
        yield found


@pytest.fixture
def front(tmp_path: Path, server: Server) -> Iterator[Front]:
    with running_front(tmp_path, urlsplit(server.url).port or 0) as found:
        yield found


@pytest.fixture
def start(tmp_path: Path, front: Front) -> Iterator[Start]:
    """Starts clients that reach nothing but the front."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "NODE_PATH": str(FETCHED / "node/node_modules"),
        **front.environment,
    }
    with contextlib.ExitStack() as stack:

        def run(command: list[str], *arguments: str) -> Client:
            whole, pipe = [*command, *arguments], subprocess.PIPE
            process = subprocess.Popen(whole, env=environment, stdin=pipe, stdout=pipe, text=True)
            stack.enter_context(process)
            stack.callback(process.terminate)
            return Client(process)

        yield run


@pytest.fixture(scope="module")
def hub(server: Server) -> Iterator[httpx.Client]:
    with hub_client(server.url, ADMIN_PASSWORD) as client:
        yield client


def push(server: Server, repository: str, *tags: str) -> bytes:
    """An image of its own under these tags; its manifest."""
    with registry_client(server.url, repository, "pull,push", ADMIN_PASSWORD) as client:
        return push_image(client, repository, *tags, text=unique("image"))


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


# dockerhub-api, from PyPI


def test_the_python_client_reads_repositories_and_tags(server: Server, front: Front, start: Start) -> None:
    manifest = push(server, "admin/python", "1.0", "latest")
    client = start(PYTHON, "admin", ADMIN_PASSWORD)

    def ask(method: str, **arguments: Any) -> Any:
        answer = client.ask("hub", method, arguments)
        assert answer["rate_limit"]["remaining"] < answer["rate_limit"]["limit"]
        return answer["data"]

    where = {"namespace": "admin", "repository": "python"}
    page = ask("get_repositories", namespace="admin", name="pyth", ordering="-last_updated", page_size=100)
    assert (page["count"], names(page["results"])) == (1, ["python"])
    shown = ask("get_repository", **where)
    assert (shown["repository_type"], shown["content_types"], shown["permissions"]["admin"]) == (
        "image",
        ["image"],
        True,
    )
    tags = ask("get_repository_tags", **where, page_size=1)
    assert (tags["count"], names(tags["results"])) == (2, ["latest"])
    assert tags["next"] == f"https://{HUB}/v2/namespaces/admin/repositories/python/tags?page=2&page_size=1"
    assert names(ask("get_repository_tags", **where, page=2, page_size=1)["results"]) == ["1.0"]
    tag = ask("get_repository_tag", **where, tag="1.0")
    layers = json.loads(manifest)["layers"]
    assert (tag["digest"], tag["full_size"]) == (digest_of(manifest), sum(layer["size"] for layer in layers))
    for name, is_there in (("1.0", True), ("2.0", False)):
        assert client.ask("hub", "check_repository_tag", {**where, "tag": name})["exists"] is is_there
    with pytest.raises(Refused, match=r"404.*tag '2\.0' not found"):
        ask("get_repository_tag", **where, tag="2.0")
    assert front.asked == {f"{HUB}:443"}


def test_the_python_client_makes_repositories_tokens_and_groups(hub: httpx.Client, start: Start) -> None:
    client = start(PYTHON, "admin", ADMIN_PASSWORD)

    def ask(method: str, **arguments: Any) -> Any:
        return client.ask("hub", method, arguments)["data"]

    made = ask("create_repository", namespace="admin", name="made", description="By a client", is_private=True)
    assert made == {
        key: value for key, value in hub.get("/v2/repositories/admin/made").json().items() if value is not None
    }
    with pytest.raises(Refused, match="409"):
        ask("create_repository", namespace="admin", name="made")
    token = ask("create_access_token", token_label="of the client", scopes=["repo:read"])
    assert token["token"].startswith("dckr_pat_")
    assert ask("login", username="admin", password=token["token"])["token"]
    assert [found["uuid"] for found in ask("get_access_tokens")["results"]] == [token["uuid"]]
    ask("update_access_token", uuid=token["uuid"], is_active=False)
    assert hub.get(f"/v2/access-tokens/{token['uuid']}").json()["is_active"] is False
    with pytest.raises(Refused, match="401"):
        ask("login", username="admin", password=token["token"])
    assert client.ask("hub", "delete_access_token", {"uuid": token["uuid"]})["status_code"] == 202
    assert hub.get("/v2/access-tokens").json()["count"] == 0


def test_the_python_client_manages_an_organization(server: Server, hub: httpx.Client, start: Start) -> None:
    server.command("org", "create", "acme", "--owner", "admin")
    client = start(PYTHON, "admin", ADMIN_PASSWORD)

    def ask(method: str, **arguments: Any) -> Any:
        return client.ask("hub", method, arguments)["data"]

    group = ask("create_group", org="acme", name="developers", description="They develop")
    assert group["id"] == hub.get("/v2/orgs/acme/groups/developers").json()["id"]
    ask("add_group_member", org="acme", group_name="developers", member="admin")
    members = ask("get_group_members", org="acme", group_name="developers")
    assert [member["username"] for member in members["results"]] == ["admin"]
    assert [member["role"] for member in ask("get_org_members", org="acme")["results"]] == ["Owner"]
    ask("create_repository", namespace="acme", name="app")
    where = {"namespace": "acme", "repository": "app"}
    ask("assign_repository_group", **where, group_id=group["id"], permission="write")
    assert hub.get(f"/v2/repositories/acme/app/groups/{group['id']}").json()["permission"] == "write"
    events = [event["action"] for event in ask("get_audit_logs", account="acme")["logs"]]
    assert events[:2] == ["org.team.grant", "repo.create"]
    assert {"org.team.create", "org.team.member.add", "org.create"} <= set(events)
    ask("delete_group", org="acme", group_name="developers")
    assert hub.get("/v2/orgs/acme/groups/developers").status_code == 404


def test_the_python_client_reads_the_registry_with_tokens_of_its_own(
    server: Server, front: Front, start: Start
) -> None:
    manifest = push(server, "admin/registry", "1.0", "latest")
    client = start(PYTHON, "admin", ADMIN_PASSWORD)

    def ask(method: str, **arguments: Any) -> Any:
        return client.ask("registry", method, {"repo": "admin/registry", **arguments})["data"]

    assert ask("list_tags")["tags"] == ["1.0", "latest"]
    assert ask("get_manifest", reference="1.0") == json.loads(manifest)
    assert ask("resolve_digest", reference="latest")["digest"] == digest_of(manifest)
    assert json.loads(ask("get_config", reference="1.0"))["architecture"] == "amd64"
    assert front.asked == {f"{REGISTRY}:443", f"{TOKENS}:443"}


# docker-hub-api, from npm


def test_the_node_client_works_through_the_paths_of_old(
    server: Server, hub: httpx.Client, front: Front, start: Start
) -> None:
    client = start(NODE)
    manifest = push(server, "admin/node", "1.0", "2.0", "latest")
    with pytest.raises(Refused, match="Incorrect authentication credentials"):
        client.ask("login", ["admin", "wrong"])
    assert set(client.ask("login", ["admin", ADMIN_PASSWORD])) == {"token"}
    assert client.ask("loggedInUser", []) == hub.get("/v2/user").json()
    assert client.ask("user", ["admin"])["username"] == "admin"
    assert {"namespace": "admin", "name": "node"} in client.ask("repositories", ["admin"])

    tags = client.ask("tags", ["admin", "node", {"page": 1, "perPage": 2}])
    assert [(tag["name"], tag["digest"]) for tag in tags] == [(name, digest_of(manifest)) for name in ("latest", "2.0")]
    client.ask("deleteTag", ["admin", "node", "2.0"])
    assert names(client.ask("tags", ["admin", "node"])) == ["latest", "1.0"]

    descriptions = {"short": "What it does", "full": "# What it does"}
    client.ask("setRepositoryDescription", ["admin", "node", descriptions])
    shown = hub.get("/v2/repositories/admin/node").json()
    assert (shown["description"], shown["full_description"]) == tuple(descriptions.values())
    assert client.ask("repository", ["admin", "node"]) == shown

    client.ask("starRepository", ["admin", "node"])
    assert names(client.ask("repositoriesStarred", ["admin"])) == ["node"]
    client.ask("unstarRepository", ["admin", "node"])
    assert client.ask("repositoriesStarred", ["admin"]) == []
    assert client.ask("comments", ["admin", "node"]) == []
    assert client.ask("registrySettings", [])["private_repo_limit"] == 9999
    assert front.asked == {f"{HUB}:443"}


def test_the_node_client_makes_and_deletes_what_belongs_to_a_repository(
    server: Server, hub: httpx.Client, start: Start
) -> None:
    server.command(
        "user", "create", "friend", "--email", "friend@example.com", "--password-stdin", stdin="long enough pw"
    )
    client = start(NODE)
    client.ask("login", ["admin", ADMIN_PASSWORD])
    made = client.ask("createRepository", ["admin", "new", {"is_private": True, "description": "New"}])
    assert (made["name"], made["is_private"], made["description"]) == ("new", True, "New")
    path = "/v2/repositories/admin/new"
    client.ask("addCollaborator", ["admin", "new", "friend"])
    assert client.ask("collaborators", ["admin", "new"]) == [{"user": "friend"}]
    client.ask("deleteCollaborator", ["admin", "new", "friend"])
    assert hub.get(f"{path}/collaborators").json()["count"] == 0
    webhook = client.ask("createWebhook", ["admin", "new", "deploy"])
    client.ask("createWebhookHook", ["admin", "new", webhook["id"], "https://ci.example.com/"])
    shown = hub.get(f"{path}/webhooks").json()["results"][0]
    assert (shown["name"], shown["hooks"][0]["hook_url"]) == ("deploy", "https://ci.example.com/")
    client.ask("deleteWebhook", ["admin", "new", webhook["id"]])
    assert hub.get(f"{path}/webhooks").json()["count"] == 0
    client.ask("deleteRepository", ["admin", "new"])
    assert hub.get(path).status_code == 404


# docker, by its login in the browser


def docker_version() -> tuple[int, int]:
    told = subprocess.run(["docker", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    assert found is not None, told
    return int(found[1]), int(found[2])


@pytest.mark.skipif(docker_version() < (27, 2), reason="docker signs in by the browser from 27.2 on")
def test_docker_logs_in_by_the_browser_and_out(tmp_path: Path, server: Server, hub: httpx.Client, front: Front) -> None:
    # It opens a browser if there is one: `BROWSER` names a program that does nothing.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "DOCKER_HOST": f"unix://{tmp_path}/no-engine",
        "BROWSER": "true",
        **front.environment,
    }
    with at_terminal(["docker", "login"], environment) as terminal:
        [code] = re.findall(r"[B-Z]{4}-[B-Z]{4}", terminal.read_until("Waiting for authentication"))
        form = {"user_code": code, "username": "admin", "password": ADMIN_PASSWORD, "code": ""}
        assert httpx.post(f"{server.url}/activate/allow", data=form).status_code == 200
        terminal.read_until("Login Succeeded")
    assert front.asked == {f"{name}:443" for name in (LOGIN, HUB, REGISTRY)}
    auths = json.loads((tmp_path / "docker/config.json").read_text())["auths"]
    kept = {name: base64.b64decode(entry["auth"]).decode() for name, entry in auths.items()}
    name, _, secret = kept["https://index.docker.io/v1/"].partition(":")
    assert (name, secret[:9]) == ("admin", "dckr_pat_")
    tokens = hub.get("/v2/access-tokens").json()["results"]
    assert [token["generated_by"] for token in tokens] == ["auto"]
    bearer = {"authorization": f"Bearer {kept['https://index.docker.io/v1/access-token'].partition(':')[2]}"}
    assert httpx.get(f"{server.url}/v2/user", headers=bearer).json()["username"] == "admin"
    done = subprocess.run(
        ["docker", "logout"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert httpx.get(f"{server.url}/v2/user", headers=bearer).status_code == 401
    hub.delete(f"/v2/access-tokens/{tokens[0]['uuid']}").raise_for_status()


class Terminal:
    """What somebody sees who sits before a program."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._seen = ""

    def read_until(self, words: str, *, within_s: float = 30) -> str:
        """All that was shown, when these words are among it."""
        deadline = time.monotonic() + within_s
        while words not in self._seen:
            assert time.monotonic() < deadline, self._seen
            if select.select([self._end], [], [], 0.2)[0]:
                self._seen += os.read(self._end, 4096).decode(errors="replace")
        return self._seen


@contextlib.contextmanager
def at_terminal(command: list[str], environment: dict[str, str]) -> Iterator[Terminal]:
    """A program that has a terminal, and nothing typed in it."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            yield Terminal(ours)
            process.terminate()
    finally:
        os.close(ours)
        os.close(theirs)


def test_whoever_goes_by_the_front_reaches_nothing_else(front: Front) -> None:
    """What the tests above rest upon."""
    with httpx.Client(proxy=front.environment["HTTPS_PROXY"]) as client:
        with pytest.raises(httpx.ProxyError, match="403"):
            client.get("https://hub.example.com/")
        assert client.get("http://hub.example.com/").status_code == 403
    assert front.asked == {"hub.example.com:443", "http://hub.example.com/"}
