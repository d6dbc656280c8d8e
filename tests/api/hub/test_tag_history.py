"""Where tags have been, and putting them back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from homeport.core import integrity
from homeport.core.services import Services
from homeport.jobs import tag_history as job
from homeport.names import RepositoryName
from homeport.storage.db import tag_history as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Permission
from tests.api.hub.people import events, execute, value
from tests.api.hub.pushing import PLATFORM, Owned, Pushed
from tests.api.registry.test_statements import count
from tests.home import Home, digest_of
from tests.plans import assert_by_index, plans_of

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Scene(Owned):
    """A repository whose tag `latest` has been on `old` and is on `new`."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.old = self.image("latest", layers=(b"old",))
        self.new = self.image("latest", layers=(b"new",))
        self.hub = home.hub(self.owner)
        namespace, name = self.name
        self.url = f"/v2/namespaces/{namespace}/repositories/{name}"

    def history(self, tag: str = "latest", client: httpx.Client | None = None, **query: Any) -> dict[str, Any]:
        answer = (client or self.home.anonymous).get(f"{self.url}/tags/{tag}/history", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def places(self, tag: str = "latest") -> list[str | None]:
        return [move["digest"] for move in self.history(tag, page_size=100)["results"]]

    def restore(self, digest: object, tag: str = "latest", client: httpx.Client | None = None) -> httpx.Response:
        return (client or self.hub).post(f"{self.url}/tags/{tag}/restore", json={"digest": digest})

    def delete(self, reference: str) -> None:
        assert self.client.delete(f"/v2/{self.name}/manifests/{reference}").status_code == 202

    def pulled(self, tag: str = "latest") -> str | None:
        answer = self.client.get(f"/v2/{self.name}/manifests/{tag}")
        return str(answer.headers["docker-content-digest"]) if answer.status_code == 200 else None

    def check(self) -> None:
        """Everything that is counted and compared is right."""

        async def verb(services: Services) -> list[str]:
            return [
                str(finding)
                async for finding in integrity.check(services, is_fast=True)
                if str(self.name) in finding.what
            ]

        assert self.home.run(verb) == []


def test_each_move_is_told_the_newest_first(home: Home) -> None:
    scene = Scene(home)
    before = datetime.now(UTC)
    scene.delete("latest")
    index = scene.index("latest", (scene.new, PLATFORM))
    page = scene.history()
    assert {key: page[key] for key in ("count", "next", "previous")} == {"count": 4, "next": None, "previous": None}
    moves = page["results"]
    assert [(move["digest"], move["media_type"], move["restorable"]) for move in moves] == [
        (index.digest, INDEX, True),
        (None, None, False),
        (scene.new.digest, CONFIG, True),
        (scene.old.digest, CONFIG, True),
    ]
    assert {move["actor"] for move in moves} == {scene.owner.name}
    assert [move["id"] for move in moves] == sorted((move["id"] for move in moves), reverse=True)
    times = [datetime.fromisoformat(move["timestamp"]) for move in moves]
    assert times == sorted(times, reverse=True)
    assert times[1] > before > times[2]


def test_a_push_of_the_same_digest_is_a_move_of_its_own(home: Home) -> None:
    scene = Scene(home)
    scene.image("latest", layers=(b"new",))
    assert scene.places() == [scene.new.digest, scene.new.digest, scene.old.digest]


def test_the_history_of_a_deleted_tag_is_told(home: Home) -> None:
    scene = Scene(home)
    scene.delete("latest")
    assert scene.places() == [None, scene.new.digest, scene.old.digest]


def test_what_was_moved_by_nobody_with_a_name_has_no_actor(home: Home) -> None:
    scene = Scene(home)
    execute(
        home,
        "update tag_moves set moved_by = null where repository_id = :id",
        id=home.repository_id(scene.name),
    )
    assert [move["actor"] for move in scene.history()["results"]] == [None, None]


def test_the_history_comes_in_pages(home: Home) -> None:
    scene = Scene(home)
    for number in range(5):
        scene.image("latest", layers=(f"{number}".encode(),))
    expected = scene.places()
    assert len(expected) == 7
    url, found = f"{scene.url}/tags/latest/history/?page_size=3", []
    while url:
        page = home.anonymous.get(url).json()
        assert page["count"] == 7
        found += [move["digest"] for move in page["results"]]
        url = page["next"]
    assert found == expected
    for number, status in ((1, 200), (3, 200), (4, 404), (10**12, 404)):
        query = {"page": number, "page_size": 3}
        assert home.anonymous.get(f"{scene.url}/tags/latest/history", params=query).status_code == status
    assert home.anonymous.get(f"{scene.url}/tags/latest/history", params={"page": "0"}).status_code == 400


def test_a_tag_that_never_was_has_no_history_and_is_not_restored(home: Home) -> None:
    scene = Scene(home)
    answer = home.anonymous.get(f"{scene.url}/tags/nothing/history")
    assert (answer.status_code, answer.json()["errinfo"]) == (404, {**scene.errinfo, "tag": "nothing"})
    assert "not found" in answer.text
    answer = scene.restore(scene.old.digest, "nothing")
    assert answer.status_code == 404
    assert "not found" in answer.text
    assert scene.pulled("nothing") is None


def test_a_tag_is_put_back(home: Home) -> None:
    scene = Scene(home)
    before = home.anonymous.get(f"{scene.url}/tags/latest").json()
    updated = home.anonymous.get(scene.url).json()["last_updated"]
    answer = scene.hub.post(f"{scene.url}/tags/latest/restore/", json={"digest": scene.old.digest})
    assert answer.status_code == 200
    shown = home.anonymous.get(f"{scene.url}/tags/latest").json()
    assert answer.json() == shown
    assert shown["digest"] == scene.pulled() == scene.old.digest
    assert shown["id"] == before["id"]
    assert shown["tag_last_pushed"] > before["tag_last_pushed"]
    assert home.anonymous.get(scene.url).json()["last_updated"] > updated
    assert scene.places() == [scene.old.digest, scene.new.digest, scene.old.digest]
    scene.check()


def test_a_deleted_tag_is_put_back_in_its_place_among_the_tags(home: Home) -> None:
    scene = Scene(home)
    scene.tagged("a", "z")
    scene.delete("latest")
    assert scene.restore(scene.new.digest).status_code == 200
    assert scene.pulled() == scene.new.digest
    for ordering, names in {
        "-name": ["a", "latest", "z"],
        "last_updated": ["latest", "z", "a"],
        "-version": ["a", "latest", "z"],
    }.items():
        page = home.anonymous.get(scene.path(), params={"ordering": ordering}).json()
        assert (page["count"], [tag["name"] for tag in page["results"]]) == (3, names)
    scene.check()


def test_a_tag_that_went_with_its_manifest_is_put_on_what_is_left(home: Home) -> None:
    scene = Scene(home)
    scene.delete(scene.new.digest)
    assert scene.places() == [None, scene.new.digest, scene.old.digest]
    assert [move["restorable"] for move in scene.history()["results"]] == [False, False, True]
    answer = scene.restore(scene.new.digest)
    assert answer.status_code == 404
    assert answer.json()["message"] == f"manifest {scene.new.digest} not found"
    assert scene.pulled() is None
    assert scene.restore(scene.old.digest).status_code == 200
    # Pushed again, it is there again.
    scene.image("other", layers=(b"new",))
    assert scene.restore(scene.new.digest).status_code == 200
    assert scene.pulled() == scene.new.digest
    scene.check()


def test_putting_a_tag_where_it_is_changes_nothing(home: Home) -> None:
    scene = Scene(home)
    assert scene.restore(scene.old.digest).status_code == 200
    before = (home.anonymous.get(scene.url).json(), scene.history(), len(events(home, scene.owner.name)))
    shown = home.anonymous.get(f"{scene.url}/tags/latest").json()
    answer = scene.restore(scene.old.digest)
    assert (answer.status_code, answer.json()) == (200, shown)
    assert (home.anonymous.get(scene.url).json(), scene.history(), len(events(home, scene.owner.name))) == before


def test_a_tag_is_put_nowhere_where_it_has_not_been(home: Home) -> None:
    scene = Scene(home)
    elsewhere = scene.image("other", layers=(b"elsewhere",))
    stranger = Scene(home).image("latest", layers=(b"of another repository",))
    for digest in (elsewhere.digest, stranger.digest, digest_of(b"nothing")):
        answer = scene.restore(digest)
        assert answer.status_code == 404
        assert answer.json()["message"] == f"{digest} not found in the history of the tag 'latest'"
    assert scene.pulled() == scene.new.digest


@pytest.mark.parametrize("body", [{}, {"digest": None}, {"digest": 1}, {"digest": ""}, {"digest": "latest"}])
def test_a_digest_that_is_none_names_its_field(home: Home, body: dict[str, Any]) -> None:
    scene = Scene(home)
    answer = scene.hub.post(f"{scene.url}/tags/latest/restore", json=body)
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, ["digest"])


def test_a_restored_tag_has_its_event_which_says_so(home: Home) -> None:
    scene = Scene(home)
    seen = len(events(home, scene.owner.name))
    scene.restore(scene.old.digest)
    assert events(home, scene.owner.name, after=seen) == [
        f"repo.tag.push {scene.name} digest={scene.old.digest} source=history tag=latest"
    ]
    told = scene.hub.get(f"/v2/auditlogs/{scene.owner.name}?action=repo.tag.push").json()["logs"]
    digests = [scene.old.digest, scene.new.digest, scene.old.digest]
    pushed = [
        f"pushed the tag latest with the digest {digest[:20]} to the repository {scene.name}" for digest in digests
    ]
    assert [log["action_description"] for log in told] == [f"{pushed[0]}, from its history", *pushed[1:]]


def test_webhooks_are_told_of_a_restored_tag(home: Home) -> None:
    scene = Scene(home)
    body = {"name": "to nobody", "hooks": [{"hook_url": "http://127.0.0.1/"}]}
    webhook = scene.hub.post(f"{scene.url}/webhooks", json=body).json()["id"]
    url = f"{scene.url}/webhooks/{webhook}/deliveries"
    scene.restore(scene.old.digest)
    scene.restore(scene.old.digest)
    (delivery,) = scene.hub.get(url).json()["results"]
    body = msgspec.json.decode(scene.hub.get(f"{url}/{delivery['id']}").json()["request_body"])
    assert (body["push_data"]["tag"], body["push_data"]["digest"]) == ("latest", scene.old.digest)
    assert body["push_data"]["pusher"] == scene.owner.name


def test_who_may_push_may_restore_and_who_may_pull_may_read(home: Home) -> None:
    scene = Scene(home)
    writer, reader = home.user(), home.user()
    home.collaborator(scene.name, writer, Permission.WRITE)
    home.collaborator(scene.name, reader, Permission.READ)
    assert scene.hub.post(f"{scene.url}/privacy", json={"is_private": True}).status_code == 200
    expected = scene.history(client=scene.hub)
    assert scene.history(client=home.hub(reader)) == expected
    stranger = home.hub(home.user())
    assert stranger.get(f"{scene.url}/tags/latest/history").status_code == 404
    assert scene.restore(scene.old.digest, client=stranger).status_code == 404
    assert scene.restore(scene.old.digest, client=home.hub(reader)).status_code == 403
    assert scene.restore(scene.old.digest, client=home.anonymous).status_code == 401
    narrow = home.hub(scene.owner, home.access_token(scene.owner, "repo:read")[1])
    assert scene.restore(scene.old.digest, client=narrow).status_code == 403
    assert scene.history(client=narrow) == expected
    assert scene.restore(scene.old.digest, client=home.hub(writer)).status_code == 200
    moved = scene.history(client=narrow)["results"][0]
    assert (moved["digest"], moved["actor"]) == (scene.old.digest, writer.name)


def test_a_deleted_immutable_tag_is_restored_as_a_first_push_and_stays_then(home: Home) -> None:
    scene = Scene(home)
    scene.delete("latest")
    rules = {"immutable_tags": True, "immutable_tags_rules": ["latest"]}
    assert scene.hub.patch(f"{scene.url}/immutabletags", json=rules).status_code == 200
    assert scene.restore(scene.old.digest).status_code == 200
    assert scene.restore(scene.old.digest).status_code == 200
    refused = scene.restore(scene.new.digest)
    assert (refused.status_code, set(refused.json())) == (403, {"message", "errinfo"})
    assert scene.pulled() == scene.old.digest


def test_restores_and_pushes_at_the_same_moment_come_one_after_the_other(home: Home) -> None:
    scene = Scene(home)
    barrier = threading.Barrier(6)
    todo: list[Callable[[], object]] = [
        lambda: scene.restore(scene.old.digest),
        lambda: scene.restore(scene.new.digest),
        lambda: scene.manifest(msgspec.json.decode(scene.client.get(at(scene.old)).content), "latest"),
    ] * 2

    def at(pushed: Pushed) -> str:
        return f"/v2/{scene.name}/manifests/{pushed.digest}"

    def run(verb: Callable[[], object]) -> None:
        barrier.wait()
        verb()

    with ThreadPoolExecutor(len(todo)) as pool:
        list(pool.map(run, todo))
    assert scene.places()[0] == scene.pulled()
    scene.check()


def test_the_history_costs_the_same_however_long_it_is(home: Home) -> None:
    scene = Scene(home)
    path = f"{scene.url}/tags/latest/history?page_size=100"
    short = count(home, scene.hub.headers["authorization"], path)
    for number in range(20):
        scene.image("latest", layers=(f"{number}".encode(),))
    assert count(home, scene.hub.headers["authorization"], path) == short <= 4


def test_moves_are_found_by_indexes(home: Home) -> None:
    scene = Scene(home)
    repository_id = home.repository_id(RepositoryName(*scene.name))

    async def verb(tx: Transaction) -> None:
        await rows.count(tx, repository_id=repository_id, name="latest")
        await rows.list_page(tx, repository_id=repository_id, name="latest", offset=0, limit=10)
        await rows.has_been_at(tx, repository_id=repository_id, name="latest", digest=scene.old.digest)
        await rows.list_after(tx, 0, limit=10)
        await rows.delete_all(tx, [1, 2])

    plans = plans_of(home, verb, must_scan=True)
    assert_by_index(plans, "tag_moves", "newer", "manifests", "accounts")
    assert not plans[1].sorts_list()


# What is kept of it, and for how long


def age(scene: Scene, tag: str, *days: float) -> None:
    """Have the moves of a tag, the newest first, be so many days old."""
    repository_id = scene.home.repository_id(scene.name)
    moves = scene.history(tag, client=scene.hub, page_size=100)["results"]
    assert len(moves) == len(days)
    for move, ago in zip(moves, days, strict=True):
        execute(
            scene.home,
            "update tag_moves set moved_at = :moment where id = :id and repository_id = :repository_id",
            id=move["id"],
            repository_id=repository_id,
            moment=utcnow() - timedelta(days=ago),
        )


def drop(scene: Scene, *, days: int) -> int:
    """Run the job, and count what has gone of the scene's own."""

    def counted() -> int:
        sql = "select count(*) from tag_moves where repository_id = :id"
        return value(scene.home, sql, id=scene.home.repository_id(scene.name))

    async def verb(services: Services) -> int:
        settings = msgspec.structs.replace(services.settings, tag_history_days=days)
        return await job.drop_old(msgspec.structs.replace(services, settings=settings), now=utcnow())

    before = counted()
    dropped = scene.home.run(verb)
    gone = before - counted()
    assert dropped >= gone
    return gone


def test_a_place_is_forgotten_so_long_after_the_tag_has_left_it(home: Home) -> None:
    scene = Scene(home)
    third = scene.image("latest", layers=(b"third",))
    age(scene, "latest", 50, 100, 500)
    # It was left for the second 100 days ago, and that one for the third 50 days ago.
    assert drop(scene, days=101) == 0
    assert drop(scene, days=90) == 1
    assert scene.places() == [third.digest, scene.new.digest]
    assert scene.restore(scene.old.digest).status_code == 404
    assert drop(scene, days=90) == 0
    assert drop(scene, days=49) == 1
    # Where it is it stays, however long it has been there.
    age(scene, "latest", 5000)
    assert drop(scene, days=1) == 0
    assert scene.places() == [third.digest]
    scene.check()


def test_a_deleted_tag_is_forgotten_with_its_deletion(home: Home) -> None:
    scene = Scene(home)
    scene.delete("latest")
    scene.image("again", layers=(b"old",))
    scene.delete("again")
    scene.image("again", layers=(b"new",))
    age(scene, "latest", 20, 30, 40)
    age(scene, "again", 20, 30, 40)
    assert drop(scene, days=31) == 0
    assert drop(scene, days=25) == 2
    assert scene.places("latest") == [None, scene.new.digest]
    assert scene.places("again") == [scene.new.digest, None]
    assert drop(scene, days=19) == 3
    assert home.anonymous.get(f"{scene.url}/tags/latest/history").status_code == 404
    assert scene.places("again") == [scene.new.digest]
    scene.check()


def test_all_is_kept_without_a_number_of_days(home: Home) -> None:
    scene = Scene(home)
    age(scene, "latest", 10_000, 20_000)
    assert drop(scene, days=0) == 0


def test_moves_are_dropped_in_batches_of_those_that_are_old(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "BATCH", 3)
    scene = Scene(home)
    for number in range(8):
        scene.image("latest", layers=(f"{number}".encode(),))
    age(scene, "latest", *range(100, 110))
    for other in range(4):
        scene.image(f"young{other}", layers=(b"old",))
    assert drop(scene, days=50) == 9
    assert len(scene.places()) == 1
    scene.check()
