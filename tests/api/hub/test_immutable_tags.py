"""Which tags are immutable: how a repository is told, what a rule may be, and what it fits."""

import re
from typing import Any

import httpx
import pytest

from homeport.core import immutable_tags
from homeport.core.immutable_tags import RULE_LENGTH_LIMIT, RULES_LIMIT, VERIFIED_LIMIT
from homeport.names import RepositoryName
from homeport.storage.db import tags as tag_rows
from homeport.storage.db.database import Transaction
from tests.api.hub.people import events, execute
from tests.api.hub.pushing import Owned
from tests.home import Home, digest_of
from tests.plans import assert_by_index, plans_of

OFF = {"enabled": False, "rules": []}


class Scene(Owned):
    """A repository with its owner's client of the Hub API."""

    def __init__(self, home: Home, *tags: str) -> None:
        super().__init__(home)
        self.tagged(*(tags or ("latest",)))
        self.hub = home.hub(self.owner)
        namespace, name = self.name
        self.url = f"/v2/namespaces/{namespace}/repositories/{name}"
        self.old_url = f"/v2/repositories/{namespace}/{name}"

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.home.anonymous.get(self.url).json()["immutable_tags_settings"]
        return found

    def change(self, **body: Any) -> httpx.Response:
        return self.hub.patch(f"{self.url}/immutabletags", json=body)

    def fitting(self, regex: str) -> list[str]:
        answer = self.hub.post(f"{self.url}/immutabletags/verify", json={"regex": regex})
        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["tags"]
        tags: list[str] = answer.json()["tags"]
        return tags

    def updates(self) -> list[str]:
        """What the audit log says of changed settings."""
        prefix = f"repo.immutable.tags.updated {self.name} "
        return [text.removeprefix(prefix) for text in events(self.home, self.owner.name) if text.startswith(prefix)]


def test_a_repository_begins_without_immutable_tags(home: Home) -> None:
    assert Scene(home).settings() == OFF


def test_settings_are_shown_as_they_were_sent(home: Home) -> None:
    scene = Scene(home)
    for slash in ("", "/"):
        for is_enabled, rules in ((True, ["v.*", "latest"]), (True, []), (False, ["v.*"]), (False, [])):
            body = {"immutable_tags": is_enabled, "immutable_tags_rules": rules}
            answer = scene.hub.patch(f"{scene.url}/immutabletags{slash}", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["immutable_tags_settings"] == {"enabled": is_enabled, "rules": rules}
            assert answer.json() == scene.hub.get(scene.url).json()
            assert scene.settings() == {"enabled": is_enabled, "rules": rules}


def test_some_clients_send_the_words_in_which_settings_are_shown(home: Home) -> None:
    scene = Scene(home)
    assert scene.change(enabled=True, rules=["a", "b"]).status_code == 200
    assert scene.settings() == {"enabled": True, "rules": ["a", "b"]}
    # Docker's words come first where there are both.
    assert scene.change(enabled=True, rules=["a"], immutable_tags=False, immutable_tags_rules=["c"]).status_code == 200
    assert scene.settings() == {"enabled": False, "rules": ["c"]}


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (["v.*", "latest"], ["v.*", "latest"]),
        ("v.*,latest", ["v.*", "latest"]),
        (" v.* , latest ,", ["v.*", "latest"]),
        ("v[0-9]{1,3},v[0-9]{2,},x{3}", ["v[0-9]{1,3}", "v[0-9]{2,}", "x{3}"]),
        ("v*", ["v*"]),
        ("", []),
        ([], []),
        (None, []),
        (["a", "b", "a"], ["a", "b"]),
    ],
)
def test_each_way_to_send_rules_is_taken_on_each_route(home: Home, rules: Any, kept: list[str]) -> None:
    scene = Scene(home)
    body = {"immutable_tags": True, "immutable_tags_rules": rules}
    for url in (f"{scene.old_url}/", scene.old_url, scene.url, f"{scene.url}/immutabletags"):
        scene.change(immutable_tags=False, immutable_tags_rules=["something else"])
        answer = scene.hub.patch(url, json=body)
        assert answer.status_code == 200, answer.text
        assert scene.settings() == {"enabled": True, "rules": kept}


def test_a_change_of_a_repository_leaves_its_rules_alone_unless_it_names_immutable_tags(home: Home) -> None:
    scene = Scene(home)
    scene.change(immutable_tags=True, immutable_tags_rules=["v.*"])
    for body in (
        {"description": "other"},
        {"immutable_tags_rules": ["x"]},
        {"immutable_tags": None, "immutable_tags_rules": "x", "registry": "docker"},
        {},
    ):
        for url in (scene.url, scene.old_url):
            assert scene.hub.patch(url, json=body).status_code == 200
            assert scene.settings() == {"enabled": True, "rules": ["v.*"]}
    # Without rules beside it, the rules go.
    assert scene.hub.patch(scene.old_url, json={"immutable_tags": True}).status_code == 200
    assert scene.settings() == {"enabled": True, "rules": []}
    scene.hub.patch(scene.old_url, json={"immutable_tags": False, "immutable_tags_rules": ["v.*"]})
    assert scene.hub.patch(scene.url, json={"immutable_tags": False}).status_code == 200
    assert scene.settings() == OFF


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "immutable_tags"),
        ({"immutable_tags_rules": ["v.*"]}, "immutable_tags"),
        ({"immutable_tags": "true"}, "immutable_tags"),
        ({"immutable_tags": 1}, "immutable_tags"),
        ({"immutable_tags": True, "immutable_tags_rules": [1]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": {"v": 1}}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": [""]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": ["ok", "*"]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": "ok,(a"}, "immutable_tags_rules"),
        ({"immutable_tags": False, "immutable_tags_rules": ["("]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": ["x" * (RULE_LENGTH_LIMIT + 1)]}, "immutable_tags_rules"),
        # What RE2 does not have: it would have to backtrack.
        ({"immutable_tags": True, "immutable_tags_rules": [r"(a)\1"]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": ["(?=a)a"]}, "immutable_tags_rules"),
        # Short to write, and large to have.
        ({"immutable_tags": True, "immutable_tags_rules": ["((a{10}){10}){11}"]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": [r"\pL{100}"]}, "immutable_tags_rules"),
        ({"immutable_tags": True, "immutable_tags_rules": ["(?:[ab].){900}"]}, "immutable_tags_rules"),
        (
            {"immutable_tags": True, "immutable_tags_rules": [f"r{number}" for number in range(RULES_LIMIT + 1)]},
            "immutable_tags_rules",
        ),
    ],
)
def test_settings_that_cannot_be_right_change_nothing(home: Home, body: dict[str, Any], field: str) -> None:
    scene = Scene(home)
    scene.change(immutable_tags=True, immutable_tags_rules=["v.*"])
    answer = scene.hub.patch(f"{scene.url}/immutabletags", json=body)
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, [field])
    assert set(answer.json()) == {"message", "detail", "errinfo"}
    if "immutable_tags" in body:
        assert scene.hub.patch(scene.old_url, json=body).status_code == 400
    assert scene.settings() == {"enabled": True, "rules": ["v.*"]}
    assert len(scene.updates()) == 1


def test_as_many_rules_as_long_as_may_be_are_kept(home: Home) -> None:
    scene = Scene(home, "x" * 100)
    rules = [f"{number:0>{RULE_LENGTH_LIMIT}}" for number in range(RULES_LIMIT)]
    assert scene.change(immutable_tags=True, immutable_tags_rules=rules).status_code == 200
    assert scene.settings() == {"enabled": True, "rules": rules}
    scene.image("x" * 100, layers=(b"another",))


def test_a_change_is_in_the_audit_log_and_what_changes_nothing_is_not(home: Home) -> None:
    scene = Scene(home)
    scene.change(immutable_tags=False, immutable_tags_rules=[])
    assert scene.updates() == []
    modified = scene.hub.get(scene.url).json()["last_modified"]
    for body in (
        {"immutable_tags": True, "immutable_tags_rules": ["v.*", "[a]{2}"]},
        {"immutable_tags": True, "immutable_tags_rules": "v.*,[a]{2}"},
        {"immutable_tags": True},
        {"immutable_tags": False},
    ):
        assert scene.change(**body).status_code == 200
    assert scene.updates() == [f"immutable_tags={tags}" for tags in ("v.*, [a]{2}", "all", "none")]
    told = scene.hub.get(f"/v2/auditlogs/{scene.owner.name}?action=repo.immutable.tags.updated").json()["logs"]
    assert [log["action_description"] for log in told] == [
        f"changed the immutable tags of the repository {scene.name} to {tags}"
        for tags in ("none", "all", "v.*, [a]{2}")
    ]
    assert scene.hub.get(scene.url).json()["last_modified"] != modified


def test_a_rule_is_for_the_whole_name_in_its_case(home: Home) -> None:
    scene = Scene(
        home, "latest", "v", "vv", "v1.0", "V1.0", "v1.0-rc1", "prod-", "prod-1", "prod---", "xlatest", "v1_0"
    )
    assert scene.fitting("latest") == ["latest"]
    assert scene.fitting("v.*") == ["v", "v1.0", "v1.0-rc1", "v1_0", "vv"]
    # An expression, not a glob.
    assert scene.fitting("v*") == ["v", "vv"]
    assert scene.fitting("prod-*") == ["prod-", "prod---"]
    assert scene.fitting("v1.0") == ["v1.0", "v1_0"]
    assert scene.fitting(r"^v1\.0$") == ["v1.0"]
    assert scene.fitting("(?i)v.*0") == ["V1.0", "v1.0", "v1_0"]
    assert scene.fitting("a|latest|v") == ["latest", "v"]
    assert scene.fitting(r"\Qv1.0") == ["v1.0"]
    assert scene.fitting("nothing") == []
    assert len(scene.fitting(".*")) == 11


@pytest.mark.parametrize("regex", ["", "*", "(a", "x" * 256, r"(a)\1", "((a{10}){10}){11}"])
def test_a_rule_that_is_none_is_not_verified(home: Home, regex: str) -> None:
    scene = Scene(home)
    answer = scene.hub.post(f"{scene.url}/immutabletags/verify", json={"regex": regex})
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, ["regex"])


@pytest.mark.parametrize("body", [{}, {"regex": None}, {"regex": ["v"]}])
def test_what_is_verified_is_a_text(home: Home, body: dict[str, Any]) -> None:
    scene = Scene(home)
    answer = scene.hub.post(f"{scene.url}/immutabletags/verify/", json=body)
    assert (answer.status_code, list(answer.json()["errinfo"])) == (400, ["regex"])


def many_tags(scene: Scene, count: int) -> None:
    """Tags that no push has made: a thousand pushes would take a minute."""
    execute(
        scene.home,
        """
        with recursive numbers (number) as (
            select cast(1 as bigint) union all select number + 1 from numbers where number < :count
        )
        insert into tags (repository_id, name, version_key, manifest_id, created_at, updated_at)
        select tags.repository_id, 'n' || (1000000 + number), 'n' || number, tags.manifest_id, number, number
        from numbers join tags on tags.repository_id = :id and tags.name = 'latest'
        """,
        count=count,
        id=scene.home.repository_id(scene.name),
    )


def test_so_many_tags_are_told_and_all_are_looked_at(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(home, "latest", "zz")
    many_tags(scene, VERIFIED_LIMIT + 1500)
    told = scene.fitting("n.*")
    assert told == [f"n{1000001 + number}" for number in range(VERIFIED_LIMIT)]
    assert scene.fitting("zz|n100000[12]") == ["n1000001", "n1000002", "zz"]


def test_odd_rules_end_soon() -> None:
    """What takes a backtracking engine until the end of days."""
    for rule in ("(a|a)*b", "(a*)*b", "(a|aa)+b", ".*.*.*.*.*.*b"):
        assert immutable_tags._fitting([rule], ["a" * 128] * 100) == []


@pytest.mark.parametrize("scope", ["repo:write", "repo:read"])
def test_who_does_not_administer_the_repository_may_not(home: Home, scope: str) -> None:
    scene = Scene(home)
    clients = [home.hub(scene.owner, home.access_token(scene.owner, scope)[1]), home.hub(home.user())]
    for client in clients:
        for url in (scene.url, scene.old_url, f"{scene.url}/immutabletags"):
            assert client.patch(url, json={"immutable_tags": True}).status_code == 403
        assert client.post(f"{scene.url}/immutabletags/verify", json={"regex": "v"}).status_code == 403
    assert home.anonymous.patch(f"{scene.url}/immutabletags", json={"immutable_tags": True}).status_code == 401
    assert scene.settings() == OFF


def test_what_leads_to_content_is_found_by_indexes(home: Home) -> None:
    scene = Scene(home)
    repository_id = home.repository_id(RepositoryName(*scene.name))

    async def verb(tx: Transaction) -> None:
        found = await tag_rows.list_names_above(
            tx, repository_id=repository_id, digest=digest_of(b"layer"), after="", limit=10
        )
        assert found == ["latest"]

    assert_by_index(plans_of(home, verb, must_scan=True), "tags", "manifests", "manifest_references")


def test_the_reference_says_the_limits(home: Home) -> None:
    text = home.anonymous.get("/openapi.json").text
    assert re.search(f"at most {RULES_LIMIT} of {RULE_LENGTH_LIMIT} characters", text)
    assert f"the first {VERIFIED_LIMIT:,}" in text
