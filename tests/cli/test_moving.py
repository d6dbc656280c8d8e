"""A hub moves to another database and another store: every answer stays the same, and nothing is lost on the way."""

import contextlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from homeport.core.second_factors import STEP_S
from tests.buckets import S3Server
from tests.cli.places import Place, files_of, new_place
from tests.conftest import DATABASES
from tests.home import (
    ADMIN_PASSWORD,
    OCI_INDEX,
    OCI_MANIFEST,
    User,
    digest_of,
    image_manifest,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
)

__all__ = ["new_place"]

NewPlace = Callable[[str], Place]
TAGS = 1000
IMAGES = 10
MANY = "demo/many"
ADMIN = User("admin", ADMIN_PASSWORD)

# What the paths of the description are filled with. Those of `LISTED` are read out of a list.
FILLED = {
    **dict.fromkeys(("name", "org_name", "account", "namespace"), "demo"),
    "user": "demo-writer",
    "repository": "hello",
    "tag": "latest",
    "group_name": "platform",
    "mail_id": "1",
}
LISTED = {
    "uuid": ("/v2/access-tokens", "uuid"),
    "group_id": ("/v2/orgs/demo/groups", "id"),
    "webhook_id": ("/v2/namespaces/demo/repositories/hello/webhooks", "id"),
    "account_id": ("/v2/orgs/demo/members", "id"),
}
NOT_COMPARED = ("/v2/scim/", "/deliveries/", "/v2/orgs/{name}/access-tokens/{uuid}")
"""Another token than the owner's opens the first; the others have nothing that was made here."""

MORE = (
    *(f"/v2/repositories/{MANY}/tags?page={page}&page_size=100" for page in (1, 4, 10)),
    *(
        f"/v2/repositories/{MANY}/tags?page=2&page_size=100&ordering={order}"
        for order in ("name", "-name", "last_updated")
    ),
    "/v2/namespaces/demo/repositories/many/tags?name=v1&page_size=100",
    "/v2/search/repositories?query=demo&page_size=100",
    "/v2/search/repositories?query=tool",
    "/v2/auditlogs/demo?page_size=100",
    "/v2/auditlogs/demo-owner?page_size=100",
    "/v2/orgs/demo/members?page_size=100",
)


class Moved:
    """A seeded hub at an old place and at a new one, where it has moved."""

    def __init__(self, old: Place, new: Place) -> None:
        self.old = old
        self.new = new
        self.seeded: dict[str, Any] = {}
        self.bearers: dict[str, str] = {}
        self.refresh_token = ""
        self.pushed: dict[str, bytes] = {}

    def user(self, name: str) -> User:
        return User(name, self.seeded["passwords"][name])

    def fill(self, url: str) -> None:
        for user in (self.user("demo-owner"), self.user("demo-reader"), ADMIN):
            self.bearers[user.name] = bearer(url, user.name, user.password)
        hub = client(url, self.bearers["demo-owner"])
        made = {"name": "told", "webhooks": [{"name": "one", "hook_url": "https://hooks.example.com/in"}]}
        assert hub.post("/v2/namespaces/demo/repositories/hello/webhooks", json=made).status_code == 201
        assert hub.patch(
            "/v2/namespaces/demo/repositories/hello", json={"full_description": "# Ü \U0001f433"}
        ).is_success
        self.refresh_token = exchanged(url, self.user("demo-owner"), MANY, offline_token="true")["refresh_token"]
        self.push(registry(url, self.user("demo-owner"), MANY))

    def push(self, scope: httpx.Client) -> None:
        images = []
        for number in range(IMAGES):
            content = push_image(scope, MANY, f"v1.{number}", text=f"many {number}")
            images.append(content)
            self.pushed[f"v1.{number}"] = content
        index = index_manifest(*((image, {"os": "linux", "architecture": f"a{n}"}) for n, image in enumerate(images)))
        assert put_manifest(scope, MANY, "all", index, OCI_INDEX).status_code == 201
        self.pushed["all"] = index
        for number in range(IMAGES, TAGS):
            assert put_manifest(scope, MANY, f"v1.{number}", images[number % IMAGES]).status_code == 201
        self.pushed |= {f"v1.{number}": images[number % IMAGES] for number in range(IMAGES, TAGS)}
        assert len(self.pushed) == TAGS + 1


_clients: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


def client(url: str, token: str | None = None) -> httpx.Client:
    """A client that is closed when the test has ended."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    made = httpx.Client(base_url=url, headers=headers, timeout=60)
    _clients.append(made)
    return made


def bearer(url: str, name: str, secret: str) -> str:
    answer = httpx.post(f"{url}/v2/auth/token", json={"identifier": name, "secret": secret})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


def exchanged(url: str, user: User, *names: object, **more: str) -> dict[str, str]:
    scope = [f"repository:{name}:pull,push" for name in names]
    answer = httpx.get(f"{url}/token", params={"service": "x", "scope": scope, **more}, auth=(user.name, user.password))
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def registry(url: str, user: User, *names: object) -> httpx.Client:
    return client(url, exchanged(url, user, *names)["token"])


def paths(hub: httpx.Client) -> Iterator[str]:
    """Every GET of the description, with something in the place of its parameters."""
    filled = dict(FILLED)
    for name, (path, field) in LISTED.items():
        found = hub.get(path).json()
        filled[name] = str((found["results"] if isinstance(found, dict) else found)[0][field])
    description = hub.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        if "get" in methods and not any(word in path for word in NOT_COMPARED):
            yield path.format(**filled)
    yield from MORE


def answers(url: str, bearers: Mapping[str, str]) -> dict[tuple[str, str], tuple[int, str, str]]:
    """What everybody is told who asks for everything that can be read."""
    wanted = list(paths(client(url, bearers["demo-owner"])))
    found = {}
    for name, token in {**bearers, "nobody": None}.items():
        asking = client(url, token)
        for path in wanted:
            answer = asking.get(path)
            # Whoever asks is seen by that, some seconds later.
            text = re.sub(r'"last_seen_at":"[^"]*"', "", answer.text.replace(url, ""))
            assert answer.status_code < 500, (path, text)
            found[name, path] = (answer.status_code, answer.headers.get("content-type", ""), text)
    return found


def contents(url: str, user: User, pushed: Mapping[str, bytes]) -> dict[str, tuple[int, bytes | str]]:
    """Manifests by tag and by digest, their blobs, and the registry's list of tags."""
    found: dict[str, tuple[int, bytes | str]] = {}
    scope = registry(url, user, MANY)
    for tag in ("all", "v1.0", "v1.9", "v1.500", "v1.999"):
        for reference in (tag, digest_of(pushed[tag])):
            answer = scope.get(f"/v2/{MANY}/manifests/{reference}", headers={"accept": f"{OCI_MANIFEST}, {OCI_INDEX}"})
            found[reference] = (answer.status_code, answer.content)
            found[f"digest of {reference}"] = (0, answer.headers["docker-content-digest"])
    for page in ("", "?n=100&last=v1.5"):
        answer = scope.get(f"/v2/{MANY}/tags/list{page}")
        found[f"tags{page}"] = (answer.status_code, answer.content)
    for number in range(IMAGES):
        manifest = json.loads(pushed[f"v1.{number}"])
        for blob in (manifest["config"], *manifest["layers"]):
            content = scope.get(f"/v2/{MANY}/blobs/{blob['digest']}", follow_redirects=True)
            assert digest_of(content.content) == blob["digest"]
            found[blob["digest"]] = (content.status_code, content.content)
    return found


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str], s3_server: S3Server) -> Moved:
    """From SQLite and a folder to PostgreSQL and S3, with a part of the blobs ahead."""
    folder = tmp_path_factory.mktemp("moving")
    variables = {"HOMEPORT_DATABASE_URL": new_database("postgres"), **s3_server.variables()}
    moved = Moved(Place(folder / "old"), Place(folder / "new", **variables))
    moved.seeded = json.loads(moved.old.ok("seed", "--json", HOMEPORT_ADMIN_PASSWORD=ADMIN_PASSWORD))
    return moved


def settings_file(place: Place) -> Path:
    """The settings of a place, as its operator writes them down."""
    path = place.data.parent / f"{place.data.name}.toml"
    values = {name.removeprefix("HOMEPORT_").lower(): value for name, value in place.variables.items()}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"data": str(place.data), **values}.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_every_answer_is_the_same_at_the_new_place(moved: Moved) -> None:
    old, new = moved.old, moved.new
    with old.serving() as url:
        moved.fill(url)
        pulled = contents(url, moved.user("demo-owner"), moved.pushed)
        old.ok("move", "--settings", settings_file(new), "--ahead")
    # Pulls are counted by now. Reading changes nothing more than when somebody was there last.
    with old.serving() as url:
        answers(url, moved.bearers)
        time.sleep(3)
        before = answers(url, moved.bearers)
    assert {status for status, _, _ in before.values()} >= {200, 401, 403, 404}
    done = old.answer("move", "--settings", settings_file(new))
    assert done["errors"] == 0
    assert new.ok("fsck") == "0 errors, 0 warnings\n"
    with new.serving() as url:
        after = answers(url, moved.bearers)
        assert {key: value for key, value in after.items() if before[key] != value} == {}
        assert after.keys() == before.keys()
        assert contents(url, moved.user("demo-owner"), moved.pushed) == pulled
        logins(moved, url)
        push_image(registry(url, moved.user("demo-owner"), MANY), MANY, "at-the-new-place", text="new")
    assert new.ok("fsck") == "0 errors, 0 warnings\n"
    refused(moved)


def logins(moved: Moved, url: str) -> None:
    """Passwords, access tokens, refresh tokens and second factors are what they were."""
    for name in moved.seeded["passwords"]:
        answer = httpx.post(f"{url}/v2/users/login", json={"username": name, "password": moved.user(name).password})
        assert answer.status_code == (401 if name in moved.seeded["second_factors"] else 200)
        if name in moved.seeded["second_factors"]:
            # The next one: that of now may be the one that the second factor was set up with.
            code = pyotp.TOTP(moved.seeded["second_factors"][name]).at(int(time.time()) + STEP_S)
            second = {"login_2fa_token": answer.json()["login_2fa_token"], "code": code}
            assert httpx.post(f"{url}/v2/users/2fa-login", json=second).status_code == 200
    for token in moved.seeded["access_tokens"]:
        assert bearer(url, token["user"], token["secret"])
    refreshed = {"grant_type": "refresh_token", "refresh_token": moved.refresh_token, "service": "x", "client_id": "t"}
    assert httpx.post(f"{url}/token", data=refreshed).status_code == 200


def refused(moved: Moved) -> None:
    """The old place says where the hub went, and to whom it would be lost."""
    for command in (("serve",), ("worker",), ("export", moved.old.data / "x")):
        said = moved.old.refuses(*command)
        assert f"has moved to {moved.new.variables['HOMEPORT_DATABASE_URL'].replace('postgres@', '')} and s3://" in said
        assert "homeport move --undo" in said
    assert "has moved to" in moved.old.refuses("move", "--settings", settings_file(moved.new))


@pytest.mark.parametrize("kind", DATABASES)
def test_a_server_that_still_runs_takes_no_writes_once_the_hub_has_moved_and_does_again_when_that_is_undone(
    new_place: NewPlace, kind: str
) -> None:
    """From each database to the other."""
    old, new = new_place(kind), new_place({"sqlite": "postgres", "postgres": "sqlite"}[kind])
    with old.serving() as url:
        scope = registry(url, ADMIN, "admin/app")
        push_image(scope, "admin/app", "before", text="before")
        acknowledged: list[str] = []
        refused = threading.Event()

        def push() -> None:
            while not refused.is_set():
                tag = f"tag{len(acknowledged)}"
                status = put_manifest(scope, "admin/app", tag, content).status_code
                assert status in (201, 503)
                acknowledged.append(tag) if status == 201 else refused.set()

        content = image_manifest(b"{}", f"layer of {kind}".encode())
        push_blob(scope, "admin/app", b"{}")
        push_blob(scope, "admin/app", f"layer of {kind}".encode())
        pushing = threading.Thread(target=push)
        pushing.start()
        try:
            done = old.answer("move", "--settings", settings_file(new))
        finally:
            refused.wait(30)
            refused.set()
            pushing.join()
        assert done["errors"] == 0
        answer = put_manifest(scope, "admin/app", "late", content)
        assert answer.status_code == 503
        assert "this hub has moved to" in answer.text
        assert scope.get("/v2/admin/app/manifests/before").status_code == 200
        with new.serving() as other:
            tags = registry(other, ADMIN, "admin/app").get("/v2/admin/app/tags/list").json()["tags"]
        assert set(tags) == {"before", *acknowledged}
        assert acknowledged
        assert old.answer("move", "--undo")["left"]
        assert put_manifest(scope, "admin/app", "again", content).status_code == 201


@pytest.mark.parametrize(
    ("point", "source", "target"),
    [
        ("copied-blob:4", "sqlite", "postgres"),
        ("rows-loaded", "sqlite", "postgres"),
        ("hub-left", "sqlite", "postgres"),
        ("hub-left", "postgres", "sqlite"),
    ],
)
def test_a_move_that_was_killed_leaves_one_hub_at_most_and_goes_on(
    new_place: NewPlace, point: str, source: str, target: str
) -> None:
    old, new = new_place(source), new_place(target)
    old.ok("seed")
    file = settings_file(new)
    assert old.run("move", "--settings", file, HOMEPORT_FAULT_POINT=point).returncode == -9
    assert "on its way" in new.refuses("user", "list")
    if point == "hub-left":
        assert "has moved to" in old.refuses("user", "list")
    else:
        old.ok("user", "create", "late", "--email", "late@example.com", "--password-stdin", stdin="a good password\n")
    there = files_of(new.data / "blobs")
    assert old.answer("move", "--settings", file)["errors"] == 0
    assert len(files_of(new.data / "blobs").items() & there.items()) >= 4
    assert ("late" in new.ok("user", "list")) == (point != "hub-left")
    assert new.ok("fsck") == "0 errors, 0 warnings\n"
    assert "has moved to" in old.refuses("user", "list")


def test_the_blobs_stay_where_only_the_database_moves(new_place: NewPlace, new_database: Callable[[str], str]) -> None:
    old = new_place("sqlite")
    old.ok("seed")
    blobs = files_of(old.data / "blobs")
    url = new_database("postgres")
    assert old.answer("move", "--to", url)["errors"] == 0
    assert files_of(old.data / "blobs") == blobs
    assert Place(old.data, HOMEPORT_DATABASE_URL=url).ok("fsck") == "0 errors, 0 warnings\n"


def test_what_went_ahead_and_is_no_more_is_garbage_at_the_new_place(new_place: NewPlace) -> None:
    old, new = new_place("sqlite"), new_place("postgres")
    file = settings_file(new)
    with old.serving() as url:
        scope = registry(url, ADMIN, "admin/app")
        push_image(scope, "admin/app", "kept", text="kept")
        digest = push_blob(scope, "admin/app", b"pushed by mistake")
        old.ok("move", "--settings", file, "--ahead")
        push_blob(scope, "admin/app", b"pushed since")
    sqlite = sqlite3.connect(old.data / "homeport.db")
    sqlite.execute("delete from repository_blobs where blob_id = (select id from blobs where digest = ?)", (digest,))
    sqlite.execute("delete from blobs where digest = ?", (digest,))
    sqlite.commit()
    sqlite.close()
    assert old.answer("move", "--settings", file)["errors"] == 0
    assert new.ok("fsck") == "0 errors, 0 warnings\n"
    hexes = [name.rpartition("-")[2] for name in files_of(new.data / "blobs")]
    assert digest.partition(":")[2] in hexes
    assert digest_of(b"pushed since").partition(":")[2] in hexes


def test_a_hub_with_a_missing_blob_stays_unless_it_may_go_without(new_place: NewPlace) -> None:
    old, new = new_place("sqlite"), new_place("sqlite")
    old.ok("seed")
    missing = sorted(path for path in (old.data / "blobs").rglob("*") if path.is_file())[0]
    os.unlink(missing)
    file = settings_file(new)
    assert missing.name.rpartition("-")[2] in old.refuses("move", "--settings", file)
    old.ok("user", "list")
    assert old.run("move", "--settings", file, "--incomplete").returncode == 1
    assert missing.name.rpartition("-")[2] in new.refuses("fsck")


def test_a_hub_that_a_newer_version_has_migrated_is_moved_by_that_version(new_place: NewPlace) -> None:
    old, new = new_place("sqlite"), new_place("sqlite")
    old.ok("migrate")
    with contextlib.closing(sqlite3.connect(old.data / "homeport.db")) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    assert "of a newer Homeport" in old.refuses("move", "--settings", settings_file(new))
    old.ok("user", "list")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "say where to"),
        (("--to", "mysql://db"), 2, "postgresql://"),
        (("--to", "s3://bucket-of-nobody"), 1, "name another one"),
        (("--undo",), 1, "has not moved"),
    ],
    ids=["nowhere", "unknown", "same-database", "undo"],
)
def test_moves_that_cannot_be(new_place: NewPlace, arguments: tuple[str, ...], status: int, words: str) -> None:
    place = new_place("sqlite")
    place.ok("migrate")
    done = place.run("move", *arguments)
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr
