"""Immutable tags on every path by which a tag could move or go, at both doors. A new path has to enter the table."""

import ast
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import httpx
import msgspec
import pytest

from homeport.api.registry.app import ROUTES as REGISTRY_ROUTES
from homeport.core import integrity, repositories
from homeport.core.access import OPERATOR
from homeport.core.immutable_tags import ImmutableTags
from homeport.core.repositories import Changes
from homeport.core.services import Services
from tests.api.hub.people import events
from tests.api.hub.pushing import PLATFORM, Owned
from tests.home import Home, digest_of, image_manifest, push_blob, put_manifest

SOURCE = Path(integrity.__file__).parents[1]
WRITERS = 8
LAYERS = LAYER, CHILD_LAYER = b"layer of the tag", b"layer of a child"


class Scene(Owned):
    """A repository with an image, `v1`, and an index over an index over an image, `v2`: both tags are immutable.
    The tag `free` is not; it points at the image of `v1`, too.
    """

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.former = self.image("v1", layers=(b"layer of a former image",))
        self.image_of_v1 = self.image("v1", layers=(LAYER,))
        self.free = self.image("free", layers=(LAYER,))
        assert self.free == self.image_of_v1
        self.child = self.image("temporary", layers=(CHILD_LAYER,))
        self.inner = self.index("temporary", (self.child, PLATFORM))
        self.outer = self.index("v2", (self.inner, PLATFORM))
        self.other = image_manifest(msgspec.json.encode(PLATFORM), LAYER, annotations={"is": "another"})
        self.hub = home.hub(self.owner)
        namespace, name = self.name
        self.url = f"/v2/namespaces/{namespace}/repositories/{name}"
        self.old_url = f"/v2/repositories/{namespace}/{name}"
        self.registry_url = f"/v2/{self.name}"
        assert self.client.delete(f"{self.registry_url}/manifests/temporary").status_code == 202
        self.set_rules("v.*")

    def set_rules(self, *rules: str, is_enabled: bool = True) -> None:
        body = {"immutable_tags": is_enabled, "immutable_tags_rules": rules}
        assert self.hub.patch(f"{self.url}/immutabletags", json=body).status_code == 200

    def push(self, reference: str, content: bytes | None = None, *tags: str) -> httpx.Response:
        query = "&".join(f"tag={tag}" for tag in tags)
        return put_manifest(self.client, self.name, f"{reference}?{query}", content or self.other)

    def content(self, digest: str) -> bytes:
        return self.client.get(f"{self.registry_url}/manifests/{digest}").content

    def delete(self, reference: str) -> httpx.Response:
        return self.client.delete(f"{self.registry_url}/manifests/{reference}")

    def bulk(self, *, dry_run: bool = False, **filter_: Any) -> httpx.Response:
        return self.hub.post(f"{self.url}/delete-tags", json={"filter": filter_, "dry_run": dry_run})

    def state(self) -> dict[str, Any]:
        """Every tag as the Hub shows it, with what it leads to; not when it was pulled, which this does itself."""
        shown = self.hub.get(f"{self.url}/tags?page_size=100").json()["results"]
        tags = {tag["name"]: {**tag, "tag_last_pulled": None} for tag in shown}
        for tag in tags.values():
            tag["images"] = [{**image, "last_pulled": None} for image in tag["images"]]
        digests = (self.image_of_v1, self.child, self.inner, self.outer)
        there = {what.digest: self.client.head(f"{self.registry_url}/manifests/{what.digest}") for what in digests}
        layers = {str(layer): self.client.head(f"{self.registry_url}/blobs/{digest_of(layer)}") for layer in LAYERS}
        return {**tags, **{what: answer.status_code for what, answer in {**there, **layers}.items()}}


class Attempt(NamedTuple):
    """Something that would move or take away what has to stay; `tag` is the one that the refusal names."""

    try_it: Callable[[Scene], httpx.Response]
    tag: str = "v1"


PATHS: dict[str, list[Attempt]] = {
    "PUT manifests": [
        Attempt(lambda scene: scene.push("v1")),
        Attempt(lambda scene: scene.push("v2", scene.content(scene.image_of_v1.digest)), "v2"),
        Attempt(lambda scene: scene.push(digest_of(scene.other), None, "v1")),
        Attempt(lambda scene: scene.push(digest_of(scene.other), None, "new", "free", "v2"), "v2"),
        Attempt(lambda scene: scene.push("free", None, "v1")),
    ],
    "DELETE manifests": [
        Attempt(lambda scene: scene.delete("v1")),
        Attempt(lambda scene: scene.delete("v2"), "v2"),
        Attempt(lambda scene: scene.delete(scene.image_of_v1.digest)),
        Attempt(lambda scene: scene.delete(scene.outer.digest), "v2"),
        Attempt(lambda scene: scene.delete(scene.inner.digest), "v2"),
        Attempt(lambda scene: scene.delete(scene.child.digest), "v2"),
    ],
    "DELETE blobs": [
        Attempt(lambda scene: scene.client.delete(f"{scene.registry_url}/blobs/{digest_of(LAYER)}")),
        Attempt(lambda scene: scene.client.delete(f"{scene.registry_url}/blobs/{digest_of(CHILD_LAYER)}"), "v2"),
    ],
    "DELETE /v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}": [
        Attempt(lambda scene: scene.hub.delete(f"{scene.url}/tags/v1")),
        Attempt(lambda scene: scene.hub.delete(f"{scene.url}/tags/v2/"), "v2"),
    ],
    "DELETE /v2/repositories/{namespace}/{repository}/tags/{tag}": [
        Attempt(lambda scene: scene.hub.delete(f"{scene.old_url}/tags/v1/")),
    ],
    "POST /v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}/restore": [
        Attempt(lambda scene: scene.hub.post(f"{scene.url}/tags/v1/restore", json={"digest": scene.former.digest})),
    ],
    "POST /v2/namespaces/{namespace}/repositories/{repository}/delete-tags": [
        Attempt(lambda scene: scene.bulk(names=["v1"])),
        Attempt(lambda scene: scene.bulk(pattern="v2"), "v2"),
        Attempt(lambda scene: scene.bulk(pattern="v*", dry_run=True)),
    ],
}

# What cannot change a tag: it writes to something else. That of the whole repository is allowed, and tested below.
ELSEWHERE = {
    "POST uploads",
    "PATCH upload",
    "PUT upload",
    "DELETE upload",
    *(
        f"{method} {path}{tail}"
        for path in (
            "/v2/namespaces/{namespace}/repositories/{repository}",
            "/v2/repositories/{namespace}/{repository}",
        )
        for method, tail in (
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/privacy"),
            ("PATCH", "/categories"),
            ("POST", "/stars"),
            ("DELETE", "/stars"),
            ("POST", "/groups"),
            ("PATCH", "/groups/{group_id}"),
            ("DELETE", "/groups/{group_id}"),
            ("POST", "/collaborators"),
            ("DELETE", "/collaborators/{username}"),
        )
    ),
    "PATCH /v2/namespaces/{namespace}/repositories/{repository}/immutabletags",
    "POST /v2/namespaces/{namespace}/repositories/{repository}/immutabletags/verify",
}


def test_every_route_that_writes_to_a_repository_is_in_the_table_or_writes_elsewhere(home: Home) -> None:
    described = home.anonymous.get("/openapi.json").json()["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, methods in described.items()
        for method in methods
        if "{repository}" in path and method not in ("get", "head") and "/webhooks" not in path
    }
    routes |= {f"{method} {kind}" for kind, method in REGISTRY_ROUTES if method not in ("GET", "HEAD")}
    assert routes == PATHS.keys() | ELSEWHERE
    assert not PATHS.keys() & ELSEWHERE


def test_tags_come_move_and_go_by_one_way_each() -> None:
    """Whatever changes a tag, the table's paths and those to come, has to pass by the check of `core/tags.py`."""
    changing = re.compile(r"(insert into|update|delete from) (tags|manifests)\b")
    changes: dict[str, set[str]] = {}
    callers: set[str] = set()
    for path in sorted(SOURCE.rglob("*.py")):
        name, text = str(path.relative_to(SOURCE)), path.read_text()
        if "migrations" in name:
            continue
        for statement in changing.finditer(text):
            changes.setdefault(name, set()).add(" ".join(statement.groups()))
        if changes_tags(ast.parse(text)):
            callers.add(name)
    assert changes == {
        "storage/db/manifests.py": {"insert into manifests", "update manifests", "delete from manifests"},
        "storage/db/tags.py": {"insert into tags", "update tags", "delete from tags"},
    }
    assert callers == {"core/tags.py"}


def changes_tags(module: ast.Module) -> bool:
    """Whether a module calls the statements by which a tag comes, moves or goes, or takes them by their names."""
    imports = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    names = {
        alias.asname or alias.name
        for node in imports
        for alias in node.names
        if (node.module, alias.name) == ("homeport.storage.db", "tags")
    }
    by_name = any(
        node.module == "homeport.storage.db.tags" and {alias.name for alias in node.names} & {"put", "delete"}
        for node in imports
    )
    return by_name or any(
        isinstance(node, ast.Attribute)
        and node.attr in ("put", "delete")
        and isinstance(node.value, ast.Name)
        and node.value.id in names
        for node in ast.walk(module)
    )


@pytest.mark.parametrize("path", PATHS)
def test_an_immutable_tag_stays_as_it_is_on_every_path(home: Home, path: str) -> None:
    scene = Scene(home)
    before, seen = scene.state(), len(events(home, scene.owner.name))
    for attempt in PATHS[path]:
        answer = attempt.try_it(scene)
        if path.endswith("/delete-tags"):
            assert answer.status_code == 200
            assert answer.json()["tags"] == []
            assert attempt.tag in [tag["name"] for tag in answer.json()["immutable"]]
        else:
            assert answer.status_code == 403, answer.text
            assert f"'{attempt.tag}'" in _refusal(path, answer)
            assert "immutable" in _refusal(path, answer)
        assert scene.state() == before
    assert events(home, scene.owner.name, after=seen) == []


@pytest.mark.parametrize("path", PATHS)
def test_without_the_rule_each_path_does_what_it_says(home: Home, path: str) -> None:
    """Otherwise something else than the rule might have kept the tag."""
    for attempt in PATHS[path]:
        scene = Scene(home)
        scene.set_rules("v", "v[12].", ".v[12]", "V[12]", "fre")
        before = scene.state()
        answer = attempt.try_it(scene)
        assert answer.status_code < 300, answer.text
        is_dry_run = '"dry_run":true' in answer.text
        assert (scene.state() == before) is is_dry_run


def _refusal(path: str, answer: httpx.Response) -> str:
    """What the door says, in the shape of the door."""
    body = answer.json()
    if "/v2/" in path:
        assert set(body) == {"message", "errinfo"}
        message: str = body["message"]
        return message
    (error,) = body["errors"]
    assert error["code"] == "DENIED"
    assert "www-authenticate" not in answer.headers
    text: str = error["message"]
    return text


def test_without_rules_every_tag_is_immutable_and_switched_off_none_is(home: Home) -> None:
    scene = Scene(home)
    scene.set_rules()
    before = scene.state()
    for tag in ("free", "v1", "v2"):
        assert scene.push(tag).status_code == 403
        assert scene.delete(tag).status_code == 403
    assert scene.state() == before
    scene.set_rules("v.*", is_enabled=False)
    assert scene.push("v1").status_code == 201
    assert scene.delete("v1").status_code == 202


def test_what_is_mutable_moves_and_goes_beside_immutable_tags(home: Home) -> None:
    scene = Scene(home)
    assert scene.push("free").status_code == 201
    assert scene.push("new").status_code == 201
    assert scene.bulk(names=["new", "v1"]).json()["tags"][0]["name"] == "new"
    assert scene.hub.delete(f"{scene.url}/tags/free").status_code == 204
    # Nothing leads to it any more.
    assert scene.delete(digest_of(scene.other)).status_code == 202
    before = scene.state()
    push_blob(scene.client, scene.name, b"in nothing")
    assert scene.client.delete(f"{scene.registry_url}/blobs/{digest_of(b'in nothing')}").status_code == 202
    assert scene.state() == before


def test_an_immutable_tag_comes_by_its_first_push_and_may_be_pushed_again_as_it_is(home: Home) -> None:
    """A client that has lost the answer sends the same push again."""
    scene = Scene(home)
    digest = digest_of(scene.other)
    for _ in range(2):
        assert scene.push("v3").status_code == 201
        assert scene.push(digest, None, "v3", "v4", "free").status_code == 201
    assert scene.push("v3", scene.content(scene.outer.digest)).status_code == 400
    assert scene.push("v3", scene.content(scene.image_of_v1.digest)).status_code == 403
    shown = {tag: scene.hub.get(f"{scene.url}/tags/{tag}").json()["digest"] for tag in ("v3", "v4", "free")}
    assert shown == dict.fromkeys(("v3", "v4", "free"), digest)


def test_a_bulk_deletion_leaves_immutable_tags_says_so_and_comes_to_its_end(home: Home) -> None:
    scene = Scene(home)
    for number in range(3):
        scene.push(f"x{number}")
    scene.push(digest_of(scene.other), None, *(f"v3.{number}" for number in range(100)))
    scene.push("x3")
    told = scene.bulk(pattern="*", dry_run=True)
    assert [tag["name"] for tag in told.json()["tags"]] == ["x3", "x2", "x1", "x0", "free"]
    assert len(told.json()["immutable"]) == 100
    assert told.json()["has_more"] is False
    assert scene.bulk(pattern="*").json() == {**told.json(), "dry_run": False}
    again = scene.bulk(pattern="*").json()
    assert (again["tags"], again["has_more"], again["immutable"]) == ([], False, told.json()["immutable"])
    # They count among the newest that are kept.
    scene.push("x0")
    scene.push("v9")
    kept = scene.bulk(names=["x0", "v9"], keep_newest=1).json()
    assert ([tag["name"] for tag in kept["tags"]], kept["immutable"]) == (["x0"], [])


def test_a_whole_repository_may_be_deleted_with_its_immutable_tags(home: Home) -> None:
    scene = Scene(home)
    assert scene.hub.delete(scene.url).status_code == 202
    assert scene.client.get(f"{scene.registry_url}/manifests/v1").status_code == 404
    # Another one of the name has none of its rules.
    again = home.registry(scene.owner, scene.name)
    push_blob(again, scene.name, msgspec.json.encode(PLATFORM))
    push_blob(again, scene.name, LAYER)
    assert put_manifest(again, scene.name, "v1", scene.other).status_code == 201
    assert scene.hub.get(scene.url).json()["immutable_tags_settings"] == {"enabled": False, "rules": []}


def test_of_pushes_at_the_same_moment_one_has_a_new_immutable_tag(home: Home) -> None:
    scene = Scene(home)
    config = msgspec.json.encode(PLATFORM)
    for round_ in range(5):
        contents = [image_manifest(config, LAYER, annotations={"is": f"{round_}.{n}"}) for n in range(WRITERS)]
        barrier = threading.Barrier(WRITERS)

        def push(content: bytes, tag: str = f"v3.{round_}", barrier: threading.Barrier = barrier) -> int:
            client = httpx.Client(base_url=home.url, headers=scene.client.headers)
            with client:
                barrier.wait()
                return put_manifest(client, scene.name, tag, content).status_code

        with ThreadPoolExecutor(WRITERS) as pool:
            statuses = list(pool.map(push, contents))
        assert sorted(statuses) == [201, *[403] * (WRITERS - 1)]
        shown = scene.hub.get(f"{scene.url}/tags/v3.{round_}").json()
        assert shown["digest"] == digest_of(contents[statuses.index(201)])


@pytest.mark.parametrize("attempt", ["push", "delete", "delete by digest", "bulk"])
def test_rules_that_come_while_a_request_waits_for_the_lock_count(home: Home, attempt: str) -> None:
    scene = Scene(home)
    scene.set_rules("v.*", is_enabled=False)
    before = scene.state()
    tries: dict[str, Callable[[], httpx.Response]] = {
        "push": lambda: scene.push("v1"),
        "delete": lambda: scene.hub.delete(f"{scene.url}/tags/v1"),
        "delete by digest": lambda: scene.delete(scene.child.digest),
        "bulk": lambda: scene.bulk(pattern="v*"),
    }

    async def verb(services: Services) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await anyio.to_thread.run_sync(tries[attempt]))

        async with anyio.create_task_group() as group, services.db.write() as tx:
            changes = Changes(immutable_tags=ImmutableTags(is_enabled=True, rules=["v.*"]))
            await repositories.update_repository(
                tx, actor=OPERATOR, name=scene.name, changes=changes, settings=services.settings
            )
            group.start_soon(ask)
            # By now it has read what it may read without the lock, and waits.
            await anyio.sleep(0.5)
            assert not answers
        return answers[0]

    answer = home.run(verb)
    if attempt == "bulk":
        assert answer.status_code == 200
        assert answer.json()["tags"] == []
        assert [tag["name"] for tag in answer.json()["immutable"]] == ["v2", "v1"]
    else:
        assert answer.status_code == 403
    assert scene.state() == before


def test_everything_is_in_order_afterwards(home: Home) -> None:
    scene = Scene(home)
    for path, attempts in PATHS.items():
        for attempt in attempts:
            assert attempt.try_it(scene).status_code in (200, 403), path

    async def verb(services: Services) -> list[str]:
        findings = [finding async for finding in integrity.check(services, is_fast=True)]
        return [str(finding) for finding in findings if str(scene.name) in finding.what]

    assert home.run(verb) == []
