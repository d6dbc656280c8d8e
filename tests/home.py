"""A running Homeport for tests: the real server as a process of its own, and the verbs to arrange things with."""

import contextlib
import functools
import hashlib
import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio.from_thread
import httpx
import msgspec

from homeport.app import open_services
from homeport.core import (
    access_tokens,
    accounts,
    collaborators,
    members,
    org_access_tokens,
    orgs,
    passwords,
    repositories,
    teams,
)
from homeport.core.access import OPERATOR, Actor
from homeport.core.grants import Resource
from homeport.core.services import Services
from homeport.names import RepositoryName
from homeport.settings import Settings, load
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.records import AccessToken, OrganizationRole, Permission
from tests.contract import check_answer
from tests.postgres import free_port

T = TypeVar("T")
PASSWORD = "a long enough password"
ADMIN_PASSWORD = "the password of the tests"
READY_WITHIN_S = 60

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

# Nobody speaks TLS here, and each client would load the world's certificates anew.
_TLS = httpx.create_ssl_context()

_numbers = itertools.count(1)


def unique(word: str) -> str:
    """A name that nothing else has in this run."""
    return f"{word}{next(_numbers)}"


@functools.cache
def hash_of(password: str) -> str:
    """The hash of a password, computed once: most users of the tests have the same one."""
    return passwords._hasher.hash(password)


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
    return {**kept, **variables}


# Limits so high that no test meets them by chance, and still there, with their headers.
HIGH_LIMITS = {
    "HOMEPORT_RATE_LIMIT_ANONYMOUS": "1000000",
    "HOMEPORT_RATE_LIMIT_USER": "1000000",
    "HOMEPORT_MAIL_REQUESTS_PER_ADDRESS": "1000000",
}


@contextlib.contextmanager
def running_server(data: Path, **variables: str) -> Iterator[str]:
    """`homeport serve` on a free port; its URL. It is drained at the end."""
    port = free_port()
    environment = clean_environment(**{"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, **HIGH_LIMITS, **variables})
    command = [sys.executable, "-m", "homeport", "serve", "--port", str(port), "--data", str(data)]
    data.mkdir(parents=True, exist_ok=True)
    with open(data.parent / f"{data.name}.log", "ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")


class User(msgspec.Struct, frozen=True):
    name: str
    password: str = PASSWORD


class Home:
    """A server, and the services of the same Homeport in this process."""

    def __init__(self, url: str, settings: Settings, portal: anyio.from_thread.BlockingPortal) -> None:
        self.url = url
        self.settings = settings
        self._portal = portal
        self._opened = portal.wrap_async_context_manager(open_services(settings))
        self.services = self._opened.__enter__()
        # No job reads revocations here: they go by what they remember all the same, as a server does that has the job.
        self.services.authenticator._caught_up_at = math.inf
        self._clients: list[httpx.Client] = []
        self.anonymous = self.client()
        self.admin = User("admin", ADMIN_PASSWORD)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._opened.__exit__(None, None, None)

    def run(self, verb: Callable[[Services], Awaitable[T]]) -> T:
        """Run a coroutine over the services."""
        return self._portal.call(verb, self.services)

    # Arranging

    def user(self, word: str = "user", *, password: str = PASSWORD, is_site_admin: bool = False) -> User:
        name = unique(word)

        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await accounts.create_user(
                    tx,
                    actor=OPERATOR,
                    name=name,
                    email=f"{name}@example.com",
                    password_hash=hash_of(password),
                    is_site_admin=is_site_admin,
                )

        self.run(verb)
        return User(name, password)

    def organization(self, owner: User, word: str = "org") -> str:
        name = unique(word)

        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await orgs.create_organization(tx, actor=OPERATOR, name=name, owner=owner.name)

        self.run(verb)
        return name

    def member(self, organization: str, user: User, role: OrganizationRole) -> None:
        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await members.add_member(
                    tx,
                    actor=OPERATOR,
                    organization=organization,
                    user=user.name,
                    role=role,
                    plans=services.settings.plans,
                )

        self.run(verb)

    def team_member(self, name: RepositoryName, user: User, permission: Permission) -> None:
        """Put a user into a new team that has a permission on a repository."""
        team = unique("team")

        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                organization = name.namespace
                await teams.create_team(
                    tx, actor=OPERATOR, organization=organization, name=team, plans=services.settings.plans
                )
                await teams.add_member(
                    tx,
                    actor=OPERATOR,
                    organization=organization,
                    team=team,
                    user=user.name,
                    plans=services.settings.plans,
                )
                await teams.grant(
                    tx,
                    actor=OPERATOR,
                    organization=organization,
                    team=team,
                    repository=name.name,
                    permission=permission,
                )

        self.run(verb)

    def collaborator(self, name: RepositoryName, user: User, permission: Permission) -> None:
        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await collaborators.add_collaborator(
                    tx, actor=OPERATOR, name=name, user=user.name, permission=permission
                )

        self.run(verb)

    def repository(self, namespace: str, word: str = "repo", *, is_private: bool = False) -> RepositoryName:
        name = RepositoryName(namespace, unique(word))

        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await repositories.create_repository(
                    tx, actor=OPERATOR, name=name, is_private=is_private, plans=services.settings.plans
                )

        self.run(verb)
        return name

    def repository_id(self, name: RepositoryName) -> int:
        async def verb(services: Services) -> int:
            async with services.db.read() as tx:
                found = await repository_rows.get(tx, name, actor_id=None)
                assert found is not None
                return found.id

        return self.run(verb)

    def access_token(self, user: User, *scopes: str) -> tuple[AccessToken, str]:
        """A personal access token with its secret."""

        async def verb(services: Services) -> tuple[AccessToken, str]:
            async with services.db.write() as tx:
                actor = Actor.of(await accounts.access_user(tx, user.name))
                created = await access_tokens.create_token(
                    tx,
                    actor=actor,
                    wanted=access_tokens.Wanted(label="of a test", scopes=list(scopes or ("repo:admin",))),
                    plans=services.settings.plans,
                )
            return created.token, created.secret

        return self.run(verb)

    def organization_token(self, organization: str, owner: User, *resources: Resource) -> tuple[AccessToken, str]:
        """An access token of an organization with its secret."""

        async def verb(services: Services) -> tuple[AccessToken, str]:
            async with services.db.write() as tx:
                created = await org_access_tokens.create_token(
                    tx,
                    actor=Actor.of(await accounts.access_user(tx, owner.name)),
                    organization=organization,
                    label="of a test",
                    resources=resources,
                    plans=services.settings.plans,
                )
            return created.token, created.secret

        return self.run(verb)

    def deactivate(self, user: User) -> None:
        """What an operator's command does: in another process than the server's."""

        async def verb(services: Services) -> None:
            async with services.db.write() as tx:
                await accounts.set_active(tx, actor=OPERATOR, name=user.name, is_active=False)

        self.run(verb)

    # Clients

    def client(self, **headers: str) -> httpx.Client:
        """A client with these headers, closed with the rest."""
        hooks = {"response": [check_answer]}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=30, event_hooks=hooks, verify=_TLS)
        self._clients.append(made)
        return made

    def hub(self, user: User, secret: str | None = None) -> httpx.Client:
        """A client of the Hub API that has exchanged a password, or a personal access token, for a bearer token."""
        credentials = {"identifier": user.name, "secret": secret or user.password}
        answer = self.anonymous.post("/v2/auth/token", json=credentials)
        assert answer.status_code == 200, answer.text
        return self.client(authorization=f"Bearer {answer.json()['access_token']}")

    def registry(
        self, user: User | None, *names: object, actions: str = "pull,push,delete", secret: str | None = None
    ) -> httpx.Client:
        """A client of the registry with a token for repositories."""
        scopes = [f"repository:{name}:{actions}" for name in names]
        auth = (user.name, secret or user.password) if user else None
        answer = self.anonymous.get("/token", params={"service": "test", "scope": scopes}, auth=auth)
        assert answer.status_code == 200, answer.text
        return self.client(authorization=f"Bearer {answer.json()['token']}")


def push_blob(client: httpx.Client, name: object, content: bytes, algorithm: str = "sha256") -> str:
    """Push a blob in two requests; its digest."""
    digest = digest_of(content, algorithm)
    begun = client.post(f"/v2/{name}/blobs/uploads/")
    assert begun.status_code == 202, begun.text
    ended = client.put(begun.headers["location"], params={"digest": digest}, content=content)
    assert ended.status_code == 201, ended.text
    return digest


def image_manifest(config: bytes, *layers: bytes, **fields: Any) -> bytes:
    """A manifest of an OCI image with these contents."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": OCI_LAYER, "digest": digest_of(layer), "size": len(layer)} for layer in layers],
            **fields,
        }
    )


def index_manifest(*children: tuple[bytes, dict[str, str]], **fields: Any) -> bytes:
    """An index over manifests with their platforms."""
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": digest_of(content),
                    "size": len(content),
                    **({"platform": platform} if platform else {}),
                }
                for content, platform in children
            ],
            **fields,
        }
    )


def push_image(client: httpx.Client, name: object, *tags: str, text: str = "", **fields: Any) -> bytes:
    """Push an image of one layer under tags; its manifest."""
    config = msgspec.json.encode(
        {
            "os": "linux",
            "architecture": "amd64",
            "history": [{"created_by": f"COPY {text}"}, {"created_by": "CMD true", "empty_layer": True}],
        }
    )
    layer = f"layer {text}".encode()
    push_blob(client, name, config)
    push_blob(client, name, layer)
    content = image_manifest(config, layer, **fields)
    for reference in tags or (digest_of(content),):
        assert put_manifest(client, name, reference, content).status_code == 201
    return content


def put_manifest(
    client: httpx.Client, name: object, reference: str, content: bytes, media_type: str = OCI_MANIFEST
) -> httpx.Response:
    return client.put(f"/v2/{name}/manifests/{reference}", content=content, headers={"content-type": media_type})


def settings_of(data: Path, database_url: str = "") -> Settings:
    return load({}, data=data, database_url=database_url or None)
