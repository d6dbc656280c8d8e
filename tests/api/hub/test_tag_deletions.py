"""Deleting many tags at once, by a filter."""

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.core import tag_deletions
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.core.tag_deletions import LIMIT, TagFilter
from homeport.names import RepositoryName
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import TagMoment
from tests.api.hub.people import events, execute
from tests.api.hub.pushing import Owned
from tests.home import Home
from tests.plans import assert_by_index, plans_of


class Scene(Owned):
    """A repository with its owner's client of the Hub API."""

    def __init__(self, home: Home, *tags: str) -> None:
        super().__init__(home)
        if tags:
            self.tagged(*tags)
        self.hub = home.hub(self.owner)
        namespace, name = self.name
        self.url = f"/v2/namespaces/{namespace}/repositories/{name}/delete-tags"

    def delete(self, *, dry_run: bool = False, client: httpx.Client | None = None, **filter_: Any) -> httpx.Response:
        return (client or self.hub).post(self.url, json={"filter": filter_, "dry_run": dry_run})

    def deleted(self, **filter_: Any) -> list[str]:
        """What a dry run tells, which then is deleted, and nothing else."""
        before = self.names()
        told = self.delete(dry_run=True, **filter_)
        assert told.status_code == 200, told.text
        assert told.json()["dry_run"] is True
        assert self.names() == before
        done = self.delete(**filter_)
        assert done.json() == {**told.json(), "dry_run": False}
        names = [tag["name"] for tag in done.json()["tags"]]
        assert self.names() == sorted({*before} - {*names})
        return names

    def names(self) -> list[str]:
        listed: list[str] = self.client.get(f"/v2/{self.name}/tags/list").json()["tags"] or []
        return listed


def test_tags_are_deleted_by_their_names(home: Home) -> None:
    scene = Scene(home, "a", "b", "c")
    assert scene.deleted(names=["c", "a", "nothing", "a"]) == ["c", "a"]
    assert scene.deleted(names=[]) == []


def test_tags_are_deleted_by_a_pattern_for_the_whole_name_in_its_case(home: Home) -> None:
    scene = Scene(home, "1.0-rc1", "1.0-RC2", "1.0", "rc1", "2.0-rc1x", "a_b")
    assert scene.deleted(pattern="*-rc?") == ["1.0-rc1"]
    assert scene.deleted(pattern="[12].0-[Rr]*") == ["2.0-rc1x", "1.0-RC2"]
    assert scene.deleted(pattern="%") == []
    assert scene.deleted(pattern="*") == ["a_b", "rc1", "1.0"]


def test_the_newest_of_those_that_fit_are_kept(home: Home) -> None:
    scene = Scene(home, "rc1", "rc2", "x1", "rc3", "x2", "rc4", "x3")
    assert scene.deleted(pattern="rc*", keep_newest=2) == ["rc2", "rc1"]
    # Pushed again, it is the newest.
    scene.tagged("rc3")
    assert scene.deleted(pattern="rc*", keep_newest=1) == ["rc4"]
    assert scene.deleted(names=["x1", "x2", "rc3"], keep_newest=2) == ["x1"]
    assert scene.deleted(keep_newest=1) == ["x3", "x2"]
    assert scene.deleted(keep_newest=1_000_000) == []


def age(scene: Scene, tag: str, **ago: int) -> None:
    """Have a tag be pushed long ago; what counts tags by time is set right, too."""
    repository_id = scene.home.repository_id(scene.name)
    moment = datetime.now(UTC) - timedelta(**ago)
    execute(
        scene.home,
        "update tags set updated_at = :moment where repository_id = :id and name = :tag",
        id=repository_id,
        tag=tag,
        moment=moment,
    )


def test_what_was_pushed_before_a_time_is_deleted(home: Home) -> None:
    scene = Scene(home, "a", "b", "c", "d")
    for days, tag in enumerate(("d", "c", "b", "a")):
        age(scene, tag, days=10 * days)

    def before(days: int) -> str:
        return (datetime.now(UTC) - timedelta(days=days)).isoformat()

    assert scene.deleted(older_than=before(25)) == ["a"]
    assert scene.deleted(older_than=before(5), keep_newest=2) == ["b"]
    assert scene.deleted(older_than=before(5), pattern="d") == []
    # A time of another zone is the same moment.
    local = (datetime.now(UTC) - timedelta(days=5) + timedelta(hours=3)).replace(tzinfo=None).isoformat() + "+03:00"
    assert scene.deleted(older_than=local) == ["c"]


def test_a_time_is_compared_to_the_microsecond(home: Home) -> None:
    scene = Scene(home, "a", "b")
    shown = home.anonymous.get(scene.path("/b")).json()
    assert scene.deleted(older_than=shown["tag_last_pushed"]) == ["a"]


def test_the_answer_tells_each_tag_and_each_has_its_event(home: Home) -> None:
    scene = Scene(home, "a", "b")
    shown = {tag: home.anonymous.get(scene.path(f"/{tag}")).json() for tag in "ab"}
    seen = len(events(home, scene.owner.name))
    assert scene.delete(pattern="*").json() == {
        "dry_run": False,
        "tags": [
            {"name": tag, "digest": shown[tag]["digest"], "last_pushed": shown[tag]["tag_last_pushed"]} for tag in "ba"
        ],
        "immutable": [],
        "has_more": False,
    }
    assert events(home, scene.owner.name, after=seen) == [
        f"repo.tag.delete {scene.name} digest={shown[tag]['digest']} tag={tag}" for tag in "ba"
    ]
    # What they pointed at is still there.
    assert scene.client.get(f"/v2/{scene.name}/manifests/{shown['a']['digest']}").status_code == 200


def test_one_request_deletes_so_many_and_tells_that_there_are_more(home: Home) -> None:
    scene = Scene(home, *(f"t{number:03d}" for number in range(LIMIT + 30)), "other")
    told = scene.delete(dry_run=True, pattern="t*").json()
    assert (len(told["tags"]), told["has_more"]) == (LIMIT, True)
    first = scene.delete(pattern="t*").json()
    assert (len(first["tags"]), first["has_more"]) == (LIMIT, True)
    second = scene.delete(pattern="t*").json()
    assert (len(second["tags"]), second["has_more"]) == (30, False)
    assert scene.names() == ["other"]
    assert scene.delete(pattern="t*").json() == {
        "dry_run": False,
        "tags": [],
        "immutable": [],
        "has_more": False,
    }
    page = home.anonymous.get(scene.path(), params={"ordering": "version"}).json()
    assert (page["count"], len(page["results"])) == (1, 1)


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        {"names": None, "keep_newest": 0},
        {"names": ["a"] * 3 + [f"n{number}" for number in range(LIMIT + 1)]},
        {"names": "a"},
        {"pattern": "x" * 257},
        {"older_than": "2026-01-01"},
        {"older_than": "2026-01-01T00:00:00"},
        {"older_than": 0},
        {"keep_newest": -1, "pattern": "*"},
        {"keep_newest": "1", "pattern": "*"},
    ],
)
def test_a_filter_that_cannot_be_right_deletes_nothing(home: Home, filter_: dict[str, Any]) -> None:
    scene = Scene(home, "a")
    answer = scene.delete(**filter_)
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, ["filter"])
    assert scene.names() == ["a"]


def test_a_dry_run_is_no_text(home: Home) -> None:
    scene = Scene(home, "a")
    for body in ({"filter": {"pattern": "*"}, "dry_run": "false"}, {"dry_run": False}, {}):
        assert scene.hub.post(scene.url, json=body).status_code == 400
    assert scene.names() == ["a"]


def test_patterns_that_could_run_for_ever_do_not(home: Home) -> None:
    scene = Scene(home, "a" * 128)
    assert scene.delete(dry_run=True, pattern="*a" * 120 + "*b").json()["tags"] == []


@pytest.mark.parametrize("scope", ["repo:write", "repo:read", "repo:public_read"])
def test_who_does_not_administer_the_repository_is_not_told_either(home: Home, scope: str) -> None:
    scene = Scene(home, "a")
    clients = [home.hub(scene.owner, home.access_token(scene.owner, scope)[1]), home.hub(home.user())]
    for client in clients:
        for dry_run in (True, False):
            assert scene.delete(dry_run=dry_run, client=client, pattern="*").status_code == 403
    assert scene.names() == ["a"]


def test_a_tag_that_is_moved_meanwhile_stays(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was chosen for what it was; the push comes between the choice and the deletion."""
    scene = Scene(home, "moved", "gone", "a")
    repository_id = home.repository_id(scene.name)

    async def lock_after_a_push(tx: Transaction, repository: Any) -> None:
        for name in ("moved", "gone"):
            tag = await tag_rows.get(tx, repository_id=repository_id, name=name)
            assert tag is not None
            if name == "gone":
                await tag_rows.delete(tx, tag, actor_id=None)
            else:
                await tag_rows.put(
                    tx,
                    repository_id=repository_id,
                    name=name,
                    previous=tag,
                    manifest_id=tag.manifest_id,
                    digest=tag.digest,
                    actor_id=None,
                )

    monkeypatch.setattr(tag_deletions, "lock_repository", lock_after_a_push)

    async def verb(services: Services) -> list[str]:
        found = await tag_deletions.delete_matching(
            services, actor=OPERATOR, name=scene.name, filter_=TagFilter(pattern="*"), is_dry_run=False
        )
        return [tag.name for tag in found.tags]

    assert home.run(verb) == ["a"]
    assert scene.names() == ["moved"]


def test_tags_are_found_by_indexes(home: Home) -> None:
    scene = Scene(home, "a", "b")
    repository_id = home.repository_id(RepositoryName(*scene.name))

    async def verb(tx: Transaction) -> None:
        if not home.settings.is_sqlite:
            # It sorts two rows because it likes to.
            await tx.run_many("set local enable_sort = off", [{}])
        for before in (None, datetime.now(UTC)):
            await tag_rows.list_moments(tx, repository_id=repository_id, before=before, limit=10)
        await tag_rows.list_named(tx, repository_id=repository_id, names=["a", "b"])
        await tag_rows.list_moments_of(tx, repository_id=repository_id, names=["a", "b"])

    plans = plans_of(home, verb, must_scan=True)
    assert_by_index(plans, "tags", "manifests", "accounts")
    for plan in plans[:2]:
        assert not any("TEMP B-TREE" in step.text or "Sort" in step.text for step in plan.steps)


moments = st.integers(0, 30)
tags_of = st.dictionaries(st.text("ab1", min_size=1, max_size=3), moments, max_size=12)
filters = st.builds(
    TagFilter,
    names=st.none() | st.frozensets(st.text("ab1", min_size=1, max_size=3), max_size=8),
    pattern=st.none() | st.text("ab*?[]!", max_size=4),
    older_than=st.none() | moments.map(lambda number: datetime(2026, 1, 1 + number, tzinfo=UTC)),
    keep_newest=st.integers(0, 4),
)


@given(tags_of, filters, st.integers(1, 5))
def test_a_filter_chooses_what_it_says_however_the_tags_are_sliced(
    tags: dict[str, int], filter_: TagFilter, size: int
) -> None:
    newest_first = [
        TagMoment(number, name, datetime(2026, 1, 1 + moment, tzinfo=UTC))
        for number, (name, moment) in enumerate(sorted(tags.items(), key=lambda item: -item[1]))
    ]
    fitting = [
        tag
        for tag in newest_first
        if (filter_.names is None or tag.name in filter_.names)
        and (filter_.pattern is None or fnmatchcase(tag.name, filter_.pattern))
    ]
    rest = fitting[filter_.keep_newest :]
    expected = [tag for tag in rest if filter_.older_than is None or tag.updated_at < filter_.older_than]
    chosen: list[TagMoment] = []
    kept = 0
    for start in range(0, len(newest_first), size):
        more, kept = filter_.choose(newest_first[start : start + size], kept=kept)
        chosen += more
    assert chosen == expected
