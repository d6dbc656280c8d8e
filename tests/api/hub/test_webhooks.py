"""Webhooks of a repository, as clients of Docker Hub make, list and delete them, and what is ours beyond that."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from homeport.core import webhook_deliveries, webhooks
from homeport.core.access import OPERATOR
from homeport.names import Digest
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import webhook_deliveries as delivery_rows
from homeport.storage.db import webhooks as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ClaimedTarget
from tests.api.hub.pushing import Owned
from tests.api.registry.test_statements import count
from tests.home import Home, unique
from tests.inviting import value
from tests.logs import logged
from tests.plans import assert_by_index, plans_of

URL = "https://ci.example.com/hook/T0pSecret?key=alsosecret"
GIVEN = "whsec_" + base64.b64encode(bytes(range(24))).decode()
UNDER = ("/v2/repositories/{}/{}/webhooks", "/v2/namespaces/{}/repositories/{}/webhooks")
HOOK_TYPES = {
    "id": int,
    "hook_url": str,
    "creator": str,
    "last_updater": str,
    "date_added": str,
    "created": str,
    "last_updated": str,
    "active": bool,
}
WEBHOOK_TYPES = {
    "id": int,
    "name": str,
    "active": bool,
    "expect_final_callback": bool,
    "creator": str,
    "last_updated": str,
    "last_updater": str,
    "created": str,
    "hooks": list,
    "webhooks": list,
}


class Hooked(Owned):
    """A repository with its owner at the Hub door."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.tagged("first")
        self.hub: httpx.Client = home.hub(self.owner)
        self.url = UNDER[0].format(*self.name)

    def made(self, *urls: str, **fields: Any) -> dict[str, Any]:
        body = {"name": unique("webhook"), "hooks": [{"hook_url": url} for url in urls], **fields}
        answer = self.hub.post(self.url, json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def log(self) -> list[tuple[str, dict[str, Any]]]:
        return [entry for entry in logged(self.home, self.owner.name) if "webhook" in entry[0]]


@pytest.fixture
def hooked(home: Home) -> Hooked:
    return Hooked(home)


def types_of(found: dict[str, Any]) -> dict[str, type]:
    return {name: type(item) for name, item in found.items()}


@pytest.mark.parametrize("under", UNDER)
@pytest.mark.parametrize("slash", ["", "/"])
def test_dockers_clients_make_one_in_two_calls(hooked: Hooked, under: str, slash: str) -> None:
    url = under.format(*hooked.name)
    made = hooked.hub.post(f"{url}{slash}", json={"name": "deploy", "expect_final_callback": False})
    assert made.status_code == 201
    assert types_of(made.json()) == {**WEBHOOK_TYPES, "secret": str}
    assert made.json()["hooks"] == []
    added = hooked.hub.post(f"{url}/{made.json()['id']}/hooks{slash}", json={"hook_url": URL})
    assert added.status_code == 201
    assert types_of(added.json()) == HOOK_TYPES
    assert (added.json()["hook_url"], added.json()["active"]) == (URL, True)
    page = hooked.hub.get(f"{url}{slash}").json()
    assert (page["count"], page["next"], page["previous"]) == (1, None, None)
    (found,) = page["results"]
    assert types_of(found) == WEBHOOK_TYPES
    assert found["hooks"] == found["webhooks"] == [added.json()]
    assert (found["name"], found["active"], found["expect_final_callback"]) == ("deploy", True, False)
    assert found["creator"] == found["last_updater"] == added.json()["creator"] == hooked.owner.name
    assert found["created"].endswith("Z")
    assert hooked.hub.get(f"{url}/{found['id']}{slash}").json() == found
    deleted = hooked.hub.delete(f"{url}/{found['id']}{slash}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert hooked.hub.get(url).json()["results"] == []


@pytest.mark.parametrize("key", ["hooks", "webhooks"])
def test_urls_may_come_with_the_name(hooked: Hooked, key: str) -> None:
    body = {"name": "deploy", "registry": "registry-1.docker.io", key: [{"name": "a", "hook_url": URL}]}
    made = hooked.hub.post(hooked.url, json=body).json()
    assert [hook["hook_url"] for hook in made["hooks"]] == [URL]


def test_a_secret_is_shown_once_when_it_is_made_here(hooked: Hooked) -> None:
    made = hooked.made()
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)) == 32
    assert hooked.made()["secret"] != made["secret"]
    answer = hooked.hub.post(hooked.url, json={"name": "x"})
    assert answer.headers["cache-control"] == "no-store"
    for later in (
        hooked.hub.get(hooked.url),
        hooked.hub.get(f"{hooked.url}/{made['id']}"),
        hooked.hub.patch(f"{hooked.url}/{made['id']}", json={"name": "renamed"}),
    ):
        assert later.status_code == 200
        assert "secret" not in later.text


def test_a_secret_that_a_client_brings_is_not_shown_at_all(hooked: Hooked) -> None:
    made = hooked.made(secret=GIVEN)
    assert "secret" not in made
    assert value(hooked.home, str, "select secret from webhooks where id = :id", id=made["id"]) == GIVEN
    other = "whsec_" + base64.b64encode(bytes(64)).decode()
    changed = hooked.hub.patch(f"{hooked.url}/{made['id']}", json={"secret": other})
    assert (changed.status_code, "secret" in changed.json()) == (200, False)
    assert value(hooked.home, str, "select secret from webhooks where id = :id", id=made["id"]) == other


WRONG = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": "a" * 256}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": None}, "name"),
    ({"name": 1}, "name"),
    ({"name": "a", "active": "true"}, "active"),
    ({"name": "a", "expect_final_callback": 0}, "expect_final_callback"),
    ({"name": "a", "secret": ""}, "secret"),
    ({"name": "a", "secret": "whsec_short"}, "secret"),
    ({"name": "a", "secret": GIVEN.removeprefix("whsec_")}, "secret"),
    ({"name": "a", "secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, "secret"),
    ({"name": "a", "secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, "secret"),
    ({"name": "a", "secret": "whsec_" + "\u00e9" * 44}, "secret"),
    ({"name": "a", "hooks": [{"hook_url": "ftp://example.com/"}]}, "hook_url"),
    ({"name": "a", "hooks": [{"hook_url": "https://user:hunter2@example.com/"}]}, "hook_url"),
    ({"name": "a", "hooks": [{"hook_url": "https://example.com/" + "a" * 2048}]}, "hook_url"),
    ({"name": "a", "hooks": [{"hook_url": ""}]}, "hook_url"),
    ({"name": "a", "hooks": [{}]}, "hook_url"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_what_cannot_be_right_is_refused_with_the_name_of_the_field(
    hooked: Hooked, body: dict[str, Any], field: str
) -> None:
    answer = hooked.hub.post(hooked.url, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["message"]
    assert "hunter2" not in answer.text
    assert hooked.hub.get(hooked.url).json()["count"] == 0
    assert hooked.log() == []


@pytest.mark.parametrize("body", [{"hook_url": "//example.com"}, {"hook_url": None}, {}, {"url": URL}])
def test_a_url_that_is_none_is_not_added(hooked: Hooked, body: dict[str, Any]) -> None:
    made = hooked.made()
    answer = hooked.hub.post(f"{hooked.url}/{made['id']}/hooks", json=body)
    assert (answer.status_code, "hook_url" in answer.json()["message"]) == (400, True)


def test_a_url_that_is_there_already_is_not_added_again(hooked: Hooked) -> None:
    made = hooked.made(URL)
    again = hooked.hub.post(f"{hooked.url}/{made['id']}/hooks", json={"hook_url": URL})
    assert (again.status_code, again.json()) == (201, made["hooks"][0])
    assert len(hooked.hub.get(f"{hooked.url}/{made['id']}").json()["hooks"]) == 1
    assert len(hooked.log()) == 1


def test_a_repository_has_so_many_webhooks_and_a_webhook_so_many_urls(hooked: Hooked) -> None:
    def make(number: int) -> int:
        return hooked.hub.post(hooked.url, json={"name": f"w{number}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(make, range(webhooks.WEBHOOKS_LIMIT + 5)))
    assert sorted(statuses) == [201] * webhooks.WEBHOOKS_LIMIT + [409] * 5
    assert hooked.hub.get(hooked.url).json()["count"] == webhooks.WEBHOOKS_LIMIT
    url = f"{hooked.url}/{hooked.hub.get(hooked.url).json()['results'][0]['id']}/hooks"

    def add(number: int) -> int:
        return hooked.hub.post(url, json={"hook_url": f"https://ci.example.com/{number}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(add, range(webhooks.TARGETS_LIMIT + 3)))
    assert sorted(statuses) == [201] * webhooks.TARGETS_LIMIT + [409] * 3
    other = Hooked(hooked.home)
    many = [{"hook_url": f"https://ci.example.com/{number}"} for number in range(webhooks.TARGETS_LIMIT + 1)]
    answer = other.hub.post(other.url, json={"name": "many", "hooks": many})
    assert (answer.status_code, "10 URLs" in answer.json()["message"]) == (409, True)


def test_a_webhook_is_renamed_and_switched_off_and_on(hooked: Hooked) -> None:
    made = hooked.made(URL)
    url = f"{hooked.url}/{made['id']}"
    off = hooked.hub.patch(url, json={"name": "other", "active": False}).json()
    assert (off["name"], off["active"], off["hooks"][0]["active"]) == ("other", False, False)
    assert hooked.hub.get(url).json() == off
    assert off["last_updated"] > made["last_updated"]
    on = hooked.hub.patch(url, json={**off, "active": True, "id": 7, "expect_final_callback": True}).json()
    assert (on["id"], on["active"], on["expect_final_callback"]) == (made["id"], True, True)
    assert hooked.hub.patch(url, json=on).json() == on
    assert hooked.hub.patch(url, json={}).json() == on
    assert hooked.hub.patch(url, json={"name": ""}).status_code == 400


def test_a_webhook_can_be_made_switched_off(hooked: Hooked) -> None:
    made = hooked.made(URL, active=False)
    assert made["active"] is False
    hooked.tagged("a")
    assert hooked.hub.get(f"{hooked.url}/{made['id']}/deliveries").json()["count"] == 0


def test_each_change_is_in_the_log_without_what_must_stay_secret(hooked: Hooked) -> None:
    made = hooked.made(URL, "https://other.example:8443/", name="deploy", secret=GIVEN)
    url = f"{hooked.url}/{made['id']}"
    hooked.hub.post(f"{url}/hooks", json={"hook_url": "http://third.example/T0pSecret"})
    hooked.hub.patch(url, json={"name": "ship", "secret": GIVEN, "active": True})
    hooked.hub.patch(url, json={"name": "ship"})
    hooked.hub.delete(url)
    hooked.hub.delete(url)
    assert hooked.log() == [
        ("repo.webhook.create", {"webhook": "deploy", "hosts": "ci.example.com, other.example:8443"}),
        ("repo.webhook.update", {"webhook": "deploy", "hosts": "third.example"}),
        ("repo.webhook.update", {"webhook": "deploy", "fields": "name, secret"}),
        ("repo.webhook.delete", {"webhook": "ship"}),
    ]
    found = hooked.hub.get(f"/v2/auditlogs/{hooked.owner.name}", params={"page_size": 100})
    assert "ecret?" not in found.text
    assert GIVEN not in found.text
    described = [log["action_description"] for log in found.json()["logs"] if "webhook" in log["action"]]
    assert described[-1] == (
        f"created the webhook deploy to ci.example.com, other.example:8443 of the repository {hooked.name}"
    )


@pytest.mark.parametrize("id_", ["0", "999999999", "-1", str(2**62), str(2**63), str(10**30)])
def test_a_webhook_that_is_not_there_is_not_found(hooked: Hooked, id_: str) -> None:
    url = f"{hooked.url}/{id_}"
    answers = [
        hooked.hub.get(url),
        hooked.hub.patch(url, json={"name": "x"}),
        hooked.hub.delete(url),
        hooked.hub.post(f"{url}/hooks", json={"hook_url": URL}),
        hooked.hub.get(f"{url}/deliveries"),
        hooked.hub.get(f"{url}/deliveries/none"),
        hooked.hub.post(f"{url}/deliveries/none/redeliver"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert all("not found" in answer.json()["message"] for answer in answers)


def test_a_webhook_of_another_repository_is_not_found(hooked: Hooked) -> None:
    other = Hooked(hooked.home)
    made = other.made(URL)
    url = f"{hooked.url}/{made['id']}"
    assert hooked.hub.get(url).status_code == hooked.hub.delete(url).status_code == 404
    assert other.hub.get(f"{other.url}/{made['id']}").status_code == 200


# What is delivered; nobody is reached here. tests/jobs/test_webhooks.py has receivers.


def test_a_push_of_tags_is_delivered_once_for_each_tag_and_url(hooked: Hooked) -> None:
    made = hooked.made("http://127.0.0.1/a", "http://127.0.0.1/b")
    other = hooked.made("http://127.0.0.1/c")
    digest = hooked.image("main").digest
    answer = hooked.client.put(
        f"/v2/{hooked.name}/manifests/{digest}",
        params={"tag": ["a", "b", "a"]},
        content=hooked.client.get(f"/v2/{hooked.name}/manifests/main").content,
        headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
    )
    assert answer.status_code == 201, answer.text
    url = f"{hooked.url}/{made['id']}/deliveries"
    found = hooked.hub.get(url).json()
    told = [(entry["tag"], entry["hook_url"][-1]) for entry in found["results"]]
    assert told == [(tag, path) for tag in ("b", "a", "main") for path in ("b", "a")]
    assert found["count"] == 6
    assert len({entry["id"] for entry in found["results"]}) == 6
    assert hooked.hub.get(f"{hooked.url}/{other['id']}/deliveries").json()["count"] == 3


def test_a_push_by_digest_alone_and_a_refused_push_are_not_delivered(hooked: Hooked) -> None:
    made = hooked.made("http://127.0.0.1/")
    hooked.image("a")
    url = f"{hooked.url}/{made['id']}/deliveries"
    content = hooked.client.get(f"/v2/{hooked.name}/manifests/a")
    headers = {"content-type": content.headers["content-type"]}
    digest = content.headers["docker-content-digest"]
    by_digest = hooked.client.put(f"/v2/{hooked.name}/manifests/{digest}", content=content.content, headers=headers)
    refused = hooked.client.put(f"/v2/{hooked.name}/manifests/b", content=b"{}", headers=headers)
    assert (by_digest.status_code, refused.status_code) == (201, 400)
    assert [entry["tag"] for entry in hooked.hub.get(url).json()["results"]] == ["a"]


def test_deliveries_come_in_pages(hooked: Hooked) -> None:
    made = hooked.made("http://127.0.0.1/")
    tags = [f"t{number}" for number in range(25)]
    hooked.tagged(*tags)
    url = f"{hooked.url}/{made['id']}/deliveries/"
    found: list[str] = []
    following: str | None = f"{hooked.home.url}{url}?page_size=10"
    while following:
        page = hooked.hub.get(following).json()
        assert page["count"] == 25
        found += [entry["tag"] for entry in page["results"]]
        following = page["next"]
    assert found == tags[::-1]
    assert hooked.hub.get(url, params={"page": 4}).status_code == 404


def test_lists_cost_the_same_with_one_entry_and_with_many(hooked: Hooked) -> None:
    made = hooked.made("http://127.0.0.1/")
    hooked.tagged("a")
    authorization = hooked.hub.headers["authorization"]
    paths = [hooked.url, f"{hooked.url}/{made['id']}/deliveries"]
    few = [count(hooked.home, authorization, path) for path in paths]
    for number in range(10):
        hooked.made(*(f"http://127.0.0.1/{number}/{other}" for other in range(3)))
    hooked.tagged(*(f"t{number}" for number in range(20)))
    assert [count(hooked.home, authorization, path) for path in paths] == few
    assert max(few) <= 4


def test_a_push_costs_one_statement_where_there_is_no_webhook_and_four_more_for_however_many(hooked: Hooked) -> None:
    digest = Digest(hooked.image("a").digest)

    def statements(*tags: str) -> int:
        async def verb(services: Any) -> int:
            async with services.db.write() as tx:
                repository = await repository_rows.get(tx, hooked.name, actor_id=None)
                assert repository is not None
                traced: list[str] = []
                services.db.trace = traced.append
                await webhook_deliveries.post_push(
                    tx, settings=services.settings, actor=OPERATOR, repository=repository, tags=tags, digest=digest
                )
                services.db.trace = None
            return len(traced)

        return hooked.home.run(verb)

    assert (statements(), statements("a")) == (0, 1)
    hooked.made("http://127.0.0.1/")
    one = statements("a")
    for _ in range(5):
        hooked.made("http://127.0.0.1/a", "http://127.0.0.1/b")
    assert statements("a", "b", "c") == one == 5


@pytest.fixture
def planned(hooked: Hooked) -> Hooked:
    hooked.made("http://127.0.0.1/")
    hooked.tagged("a")
    return hooked


def test_lists_and_the_job_go_by_indexes(planned: Hooked) -> None:
    home, now = planned.home, utcnow()
    repository_id = home.repository_id(planned.name)
    target_id = value(home, int, "select max(id) from webhook_targets")
    webhook_id = value(home, int, "select max(id) from webhooks")
    page = {"offset": 10, "limit": 10}

    async def lists(tx: Transaction) -> None:
        await rows.list_page(tx, repository_id=repository_id, **page)
        await rows.count(tx, repository_id)
        await delivery_rows.list_page(tx, webhook_id=webhook_id, **page)
        await delivery_rows.count(tx, webhook_id)

    tables = ("webhooks", "webhook_targets", "webhook_deliveries", "webhook_events")
    assert_by_index(plans_of(home, lists, must_scan=True), *tables)

    async def work(tx: Transaction) -> None:
        await rows.list_told_targets(tx, repository_id)
        await rows.list_targets(tx, [webhook_id])
        await rows.wake(tx, [target_id], now=now)
        await rows.is_any_due(tx, now=now)
        claimed = await rows.claim(tx, now=now, until=now)
        target = ClaimedTarget(target_id, now) if claimed is None else claimed
        await delivery_rows.get_due(tx, target, now=now)
        await rows.release(tx, target)
        await rows.set_due(tx, target.id, not_before=now)
        await delivery_rows.give_up(tx, webhook_id, error="")
        await rows.rest(tx, webhook_id)
        await delivery_rows.delete_old(tx, before=now, limit=10)
        await delivery_rows.get(tx, webhook_id=webhook_id, uuid="none")
        await rows.delete(tx, webhook_id)

    assert_by_index(plans_of(home, work, must_scan=True), *tables)
