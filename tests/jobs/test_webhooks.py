"""Webhooks on their way: real receivers get what the worker of a real hub sends."""

import asyncio
import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
import msgspec
import pytest

from homeport.addresses import Networks
from homeport.app import open_services
from homeport.cli.serve import set_up
from homeport.core import outbound
from homeport.core.outbound import Outbound
from homeport.core.services import Services
from homeport.jobs import webhooks as job
from homeport.jobs.webhooks import Deliveries, drop_old, next_attempt
from homeport.names import RepositoryName
from homeport.settings import Settings, load
from homeport.storage.db import webhooks as webhook_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ClaimedTarget
from tests.api.hub.pushing import Owned
from tests.conftest import DATABASES, NewHome
from tests.home import (
    ADMIN_PASSWORD,
    HIGH_LIMITS,
    OCI_MANIFEST,
    Home,
    clean_environment,
    image_manifest,
    push_blob,
    put_manifest,
    unique,
    wait_until_ready,
)
from tests.inviting import run, value
from tests.postgres import free_port
from tests.receiving import Received, Receiver, Reply, until

ALLOWED = "127.0.0.2,127.0.0.3"
PUBLIC_URL = "https://hub.example.org"
DELIVERY_TYPES = {
    "id": str,
    "event": str,
    "tag": str,
    "hook_id": int,
    "hook_url": str,
    "status": str,
    "created_at": str,
    "attempts": int,
    "attempted_at": str,
    "duration_ms": int,
    "http_status": int,
    "error": str,
    "delivered_at": str,
    "next_attempt_at": type(None),
    "request_body": str,
    "response_body": str,
}


@pytest.fixture(scope="module", params=DATABASES)
def telling(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A hub that may reach receivers on two addresses of this machine."""
    variables = {"HOMEPORT_WEBHOOK_ALLOWED_NETWORKS": ALLOWED, "HOMEPORT_PUBLIC_URL": PUBLIC_URL}
    with new_home(request.param, **variables) as home:
        yield home


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver("127.0.0.2").running() as running:
        yield running


class Hooked(Owned):
    """A repository with a webhook, by its owner."""

    def __init__(self, home: Home, *urls: str, **fields: Any) -> None:
        super().__init__(home)
        self.tagged("first")
        self.hub = home.hub(self.owner)
        self.under = f"/v2/repositories/{self.name}/webhooks"
        body = {"name": "ci", "hooks": [{"hook_url": url} for url in urls], **fields}
        made = self.hub.post(self.under, json=body)
        assert made.status_code == 201, made.text
        self.secret: str = made.json().get("secret", "")
        self.id: int = made.json()["id"]
        self.url = f"{self.under}/{self.id}"

    def log(self) -> list[dict[str, Any]]:
        """The deliveries, the newest first."""
        found: list[dict[str, Any]] = self.hub.get(f"{self.url}/deliveries?page_size=100").json()["results"]
        return found

    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = self.hub.get(f"{self.url}/deliveries/{self.log()[0]['id']}").json()
        return found

    def wait(self, status: str, count: int = 1) -> list[dict[str, Any]]:
        """The deliveries that have come to this."""

        def found() -> list[dict[str, Any]]:
            entries = [entry for entry in self.log() if entry["status"] == status]
            return entries if len(entries) >= count else []

        entries: list[dict[str, Any]] = until(found)
        return entries

    def attempted(self, attempts: int) -> dict[str, Any]:
        found: dict[str, Any] = until(lambda: next((e for e in self.log() if e["attempts"] >= attempts), None))
        return found

    def turn_clock(self, past: timedelta) -> None:
        """Have what waits of this webhook wait for so much longer already."""
        moved = int(past.total_seconds() * 1_000_000)
        run(
            self.home,
            """update webhook_deliveries set due_at = due_at - :past, due_since = due_since - :past
            where webhook_id = :id""",
            id=self.id,
            past=moved,
        )
        run(
            self.home,
            """update webhook_targets set due_at = due_at - :past, claimed_until = claimed_until - :past
            where webhook_id = :id""",
            id=self.id,
            past=moved,
        )


def is_signed(secret: str, received: Received) -> bool:
    """As the specification has it, without a line of ours: HMAC-SHA256 with the decoded secret over id, time, body."""
    key = base64.standard_b64decode(secret[len("whsec_") :])
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in (received.headers["webhook-id"], ".", received.headers["webhook-timestamp"], "."):
        mac.update(part.encode("ascii"))
    mac.update(received.body)
    version, _, given = received.headers["webhook-signature"].partition(",")
    return version == "v1" and base64.standard_b64decode(given) == mac.digest()


def test_a_push_comes_as_dockers_payload_with_the_digest(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, f"{receiver.url}/hook?key=value")
    assert telling.hub(hooked.owner).post(f"/v2/repositories/{hooked.name}/stars/").is_success
    before = int(time.time())
    digest = hooked.image("1.0").digest
    (received,) = receiver.wait(1)
    (entry,) = hooked.wait("delivered")
    body = received.json
    namespace, name = hooked.name
    assert before <= body["push_data"].pop("pushed_at") <= time.time()
    assert type(body["repository"].pop("date_created")) is int
    api = f"{PUBLIC_URL}/v2/repositories/{namespace}/{name}/"
    assert body == {
        "callback_url": f"{api}webhooks/{hooked.id}/deliveries/{entry['id']}/",
        "push_data": {"pusher": hooked.owner.name, "tag": "1.0", "digest": digest, "images": []},
        "repository": {
            "comment_count": 0,
            "description": "",
            "dockerfile": "",
            "full_description": "",
            "is_official": False,
            "is_private": False,
            "is_trusted": False,
            "name": name,
            "namespace": namespace,
            "owner": namespace,
            "repo_name": f"{namespace}/{name}",
            "repo_url": api,
            "star_count": 1,
            "status": "Active",
        },
    }
    assert received.path == "/hook?key=value"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Homeport/")
    assert received.headers["webhook-id"] == entry["id"]
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 30
    assert is_signed(hooked.secret, received)
    assert not is_signed(hooked.secret, received._replace(body=received.body + b" "))


def test_the_example_of_the_operators_page_knows_what_is_genuine(telling: Home, receiver: Receiver) -> None:
    page = (Path(__file__).parents[2] / "docs/operations/webhooks.md").read_text()
    example: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], example)
    is_genuine = example["is_genuine"]
    hooked = Hooked(telling, receiver.url)
    hooked.tagged("a")
    (received,) = receiver.wait(1)
    assert is_genuine(hooked.secret, received.headers, received.body)
    assert not is_genuine(hooked.secret, received.headers, received.body + b" ")
    assert not is_genuine("whsec_" + base64.b64encode(bytes(32)).decode(), received.headers, received.body)
    old = {**received.headers, "webhook-timestamp": str(int(time.time()) - 301)}
    assert not is_genuine(hooked.secret, old, received.body)


def test_the_log_tells_of_a_delivery(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(202, body=b"taken \xff\x00 along")
    hooked.tagged("a")
    (listed,) = hooked.wait("delivered")
    found = hooked.last()
    assert {name: type(item) for name, item in found.items()} == DELIVERY_TYPES
    assert listed == {name: item for name, item in found.items() if not name.endswith("_body")}
    assert (found["event"], found["tag"], found["hook_url"]) == ("push", "a", receiver.url)
    assert (found["attempts"], found["http_status"], found["error"]) == (1, 202, "")
    assert found["request_body"] == receiver.requests[0].body.decode()
    assert found["response_body"] == "taken \ufffd\ufffd along"
    assert found["created_at"] <= found["attempted_at"] <= found["delivered_at"]


def test_the_badge_and_the_privacy_of_a_repository_are_told(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    run(telling, "update repositories set is_private = true, description = 'A', full_description = 'B'")
    run(telling, "update accounts set badge = 'official' where name = :name", name=hooked.owner.name)
    hooked.tagged("a")
    repository = receiver.wait(1)[0].json["repository"]
    told = {name: repository[name] for name in ("is_official", "is_private", "description", "full_description")}
    assert told == {"is_official": True, "is_private": True, "description": "A", "full_description": "B"}


def test_each_tag_of_a_push_comes_by_itself_and_in_order(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, f"{receiver.url}/")
    hooked.image("main")
    content = hooked.client.get(f"/v2/{hooked.name}/manifests/main")
    url = f"/v2/{hooked.name}/manifests/{content.headers['docker-content-digest']}"
    headers = {"content-type": OCI_MANIFEST}
    pushed = hooked.client.put(url, params={"tag": ["b", "a"]}, content=content.content, headers=headers)
    assert pushed.status_code == 201
    receiver.wait(3)
    assert receiver.tags == ["main", "b", "a"]
    assert len({received.headers["webhook-id"] for received in receiver.requests}) == 3
    assert len({received.json["push_data"]["digest"] for received in receiver.requests}) == 1


def test_what_no_receiver_takes_is_sent_again_under_the_same_id(telling: Home) -> None:
    port = free_port()
    hooked = Hooked(telling, f"http://127.0.0.2:{port}/")
    hooked.tagged("a")
    first = hooked.attempted(1)
    assert (first["status"], first["http_status"], first["error"]) == ("pending", None, "Connection refused")
    assert first["next_attempt_at"] > first["attempted_at"]
    with Receiver("127.0.0.2", port).running() as receiver:
        receiver.reply = lambda _received: Reply(200 if len(receiver.requests) else 503, body=b"busy")
        hooked.turn_clock(timedelta(seconds=30))
        second = hooked.attempted(2)
        assert (second["status"], second["http_status"]) == ("pending", 503)
        assert second["error"] == "the receiver answered 503"
        time.sleep(1.1)  # another second, so another signature
        hooked.turn_clock(timedelta(minutes=2))
        (third,) = hooked.wait("delivered")
    assert (third["attempts"], third["http_status"], third["error"]) == (3, 200, "")
    one, other = receiver.requests
    assert one.headers["webhook-id"] == other.headers["webhook-id"] == third["id"]
    assert one.body == other.body
    assert one.headers["webhook-signature"] != other.headers["webhook-signature"]
    assert is_signed(hooked.secret, one)
    assert is_signed(hooked.secret, other)


def test_what_has_failed_for_a_day_is_given_up(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(500)
    hooked.tagged("a")
    hooked.attempted(1)
    hooked.turn_clock(timedelta(hours=25))
    (given_up,) = hooked.wait("failed")
    assert (given_up["attempts"], given_up["next_attempt_at"], given_up["delivered_at"]) == (2, None, None)
    hooked.turn_clock(timedelta(days=2))
    time.sleep(1.2)
    assert len(receiver.requests) == 2


def test_attempts_come_less_and_less_often_for_a_day() -> None:
    since = now = utcnow()
    waits = []
    while (due := next_attempt(since, now)) is not None:
        waits.append(due - now)
        now = due
    assert waits[0] == timedelta(seconds=10)
    assert waits == sorted(waits)
    assert max(waits) == timedelta(hours=4)
    assert timedelta(days=1) <= now - since <= timedelta(days=1, hours=4)
    assert 10 < len(waits) < 25


# Addresses


def test_a_forbidden_address_is_not_reached(telling: Home) -> None:
    with Receiver("127.0.0.1").running() as inner:
        urls = [f"http://{host}:{inner.port}/" for host in ("127.0.0.1", "localhost", "2130706433", "[::1]", "0")]
        hooked = Hooked(telling, *urls, "http://169.254.169.254/latest/meta-data/")
        hooked.tagged("a")
        until(lambda: all(entry["attempts"] for entry in hooked.log()))
        assert {entry["error"] for entry in hooked.log()} == {"the URL leads to an address that is not allowed"}
        assert inner.connections == 0


def test_a_redirect_to_a_forbidden_address_is_not_followed(telling: Home, receiver: Receiver) -> None:
    with Receiver("127.0.0.1").running() as inner:
        receiver.reply = lambda _received: Reply(307, {"location": f"{inner.url}/next"})
        hooked = Hooked(telling, receiver.url)
        hooked.tagged("a")
        assert hooked.attempted(1)["error"] == "the URL leads to an address that is not allowed"
        assert inner.connections == 0
    assert len(receiver.requests) == 1


def test_a_redirect_to_another_host_goes_without_a_signature(telling: Home, receiver: Receiver) -> None:
    with Receiver("127.0.0.3").running() as other:
        receiver.reply = lambda _received: Reply(307, {"location": f"{other.url}/next"})
        hooked = Hooked(telling, receiver.url)
        hooked.tagged("a")
        hooked.wait("delivered")
        assert other.requests[0].body == receiver.requests[0].body
        assert "webhook-signature" not in other.requests[0].headers
    assert is_signed(hooked.secret, receiver.requests[0])


# Fairness


def test_receivers_that_never_answer_hold_up_nobody_else(telling: Home, receiver: Receiver) -> None:
    ended = threading.Event()
    with ExitStack() as stack:
        stack.callback(ended.set)
        slow = stack.enter_context(Receiver("127.0.0.3").running())
        slow.reply = lambda _received: Reply(until=ended)
        held = Hooked(telling, *(f"{slow.url}/{number}" for number in range(job.CONCURRENCY // 2)))
        held.tagged(*(f"t{number}" for number in range(20)))
        slow.wait(job.CONCURRENCY // 2)
        quick = Hooked(telling, receiver.url)
        begun = time.monotonic()
        quick.tagged("a")
        receiver.wait(1)
        assert time.monotonic() - begun < 4
        # Each of the slow ones has got one request, and waits for its answer.
        assert len({received.path for received in slow.requests}) == len(slow.requests)
        held.hub.delete(held.url)


def test_more_slow_receivers_than_turns_hold_up_others_for_a_turn(
    alone: "Alone", portal: anyio.from_thread.BlockingPortal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "CONCURRENCY", 2)
    monkeypatch.setitem(outbound._TIMEOUTS, "read", 0.4)
    ended = threading.Event()
    with Receiver("127.0.0.3").running() as slow:
        slow.reply = lambda _received: Reply(until=ended)
        for number in range(6):
            portal.call(alone.told, f"{slow.url}/{number}", 5)
        portal.call(alone.told, f"{receiver.url}/", 1)
        deliveries = alone.deliveries()
        begun = time.monotonic()
        while not receiver.requests:
            portal.call(deliveries.begin_due)
            time.sleep(0.02)
            assert time.monotonic() - begun < 5
        # Each before it has had one turn, and none has had two.
        assert sorted(received.path for received in slow.requests[:6]) == [f"/{number}" for number in range(6)]
        portal.call(deliveries.end)
        ended.set()


def test_a_huge_answer_is_cut(telling: Home, receiver: Receiver) -> None:
    receiver.reply = lambda _received: Reply(200, is_endless=True)
    hooked = Hooked(telling, receiver.url)
    hooked.tagged("a")
    hooked.wait("delivered")
    assert len(hooked.last()["response_body"]) == outbound.EXCERPT_SIZE_LIMIT


def test_much_that_is_due_at_once_comes_once_and_in_order(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    tags = [f"t{number}" for number in range(60)]
    hooked.tagged(*tags)
    receiver.wait(60)
    hooked.wait("delivered", 60)
    assert receiver.tags == tags


# Redelivery, switching off, deleting


def test_what_was_delivered_is_delivered_again_when_somebody_says_so(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    hooked.tagged("a")
    (entry,) = hooked.wait("delivered")
    again = hooked.hub.post(f"{hooked.url}/deliveries/{entry['id']}/redeliver/")
    assert (again.status_code, again.json()["status"], again.json()["delivered_at"]) == (202, "pending", None)
    receiver.wait(2)
    (later,) = hooked.wait("delivered")
    assert (later["id"], later["attempts"]) == (entry["id"], 2)
    one, other = receiver.requests
    assert (one.body, one.headers["webhook-id"]) == (other.body, other.headers["webhook-id"])
    assert is_signed(hooked.secret, other)


def test_what_was_given_up_is_tried_for_another_day(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(500)
    hooked.tagged("a")
    hooked.attempted(1)
    hooked.turn_clock(timedelta(hours=25))
    (entry,) = hooked.wait("failed")
    assert hooked.hub.post(f"{hooked.url}/deliveries/{entry['id']}/redeliver").status_code == 202
    found = hooked.attempted(3)
    assert (found["status"], found["next_attempt_at"] is None) == ("pending", False)


def test_a_new_push_and_a_redelivery_do_not_wait_for_what_has_failed(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(500)
    hooked.tagged("a")
    hooked.attempted(1)
    # Its next attempt is far away now.
    far = 3600 * 1_000_000
    run(telling, "update webhook_deliveries set due_at = due_at + :far where webhook_id = :id", id=hooked.id, far=far)
    until(lambda: value(telling, int, "select count(*) from webhook_targets where claimed_until is not null") == 0)
    run(telling, "update webhook_targets set due_at = due_at + :far where webhook_id = :id", id=hooked.id, far=far)
    receiver.reply = lambda _received: Reply()
    hooked.tagged("b")
    hooked.wait("delivered")
    assert receiver.tags == ["a", "b"]
    waiting = hooked.log()[1]
    assert (waiting["tag"], waiting["status"]) == ("a", "pending")
    hooked.hub.post(f"{hooked.url}/deliveries/{waiting['id']}/redeliver")
    hooked.wait("delivered", 2)
    assert receiver.tags == ["a", "b", "a"]


def test_a_webhook_that_is_off_gives_up_and_delivers_nothing(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(500)
    hooked.tagged("a")
    hooked.attempted(1)
    assert hooked.hub.patch(hooked.url, json={"active": False}).status_code == 200
    (entry,) = hooked.wait("failed")
    assert entry["error"] == "the webhook was switched off"
    hooked.tagged("b")
    refused = hooked.hub.post(f"{hooked.url}/deliveries/{entry['id']}/redeliver")
    assert (refused.status_code, "not active" in refused.json()["message"]) == (409, True)
    assert hooked.hub.patch(hooked.url, json={"active": True}).status_code == 200
    receiver.reply = lambda _received: Reply()
    hooked.tagged("c")
    hooked.wait("delivered")
    assert receiver.tags == ["a", "c"]


def test_a_deleted_webhook_delivers_nothing_more(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    receiver.reply = lambda _received: Reply(after_s=0.5)
    hooked.tagged(*(f"t{number}" for number in range(10)))
    receiver.wait(1)
    assert hooked.hub.delete(hooked.url).status_code == 204
    time.sleep(1.5)
    assert len(receiver.requests) <= 2


def test_another_secret_signs_from_the_next_attempt_on(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, receiver.url)
    other = "whsec_" + base64.b64encode(b"k" * 24).decode()
    hooked.hub.patch(hooked.url, json={"secret": other})
    hooked.tagged("a")
    (received,) = receiver.wait(1)
    assert is_signed(other, received)
    assert not is_signed(hooked.secret, received)


def test_the_servers_log_holds_no_secret_and_no_url(telling: Home, receiver: Receiver) -> None:
    hooked = Hooked(telling, f"{receiver.url}/T0pSecret?key=alsosecret")
    hooked.tagged("a")
    (entry,) = hooked.wait("delivered")
    data = telling.settings.data
    text = (data.parent / f"{data.name}.log").read_text()
    assert entry["id"] in text
    for secret in (hooked.secret, "T0pSecret", "alsosecret"):
        assert secret not in text


# The job by itself: its clock turned by hand, several of it, and its death


class Alone:
    """The services of a hub without a server, with a repository that has webhooks."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def told(self, url: str, count: int, prefix: str = "t") -> None:
        """A webhook of a repository of its own, with pushes on their way."""
        now = utcnow()
        async with self.services.db.write() as tx:
            name = unique("repo")
            await tx.run(
                """insert into repositories (namespace_id, name, created_at, updated_at)
                select id, :name, :now, :now from accounts where name = 'admin'""",
                name=name,
                now=now,
            )
            repository_id = await tx.value(int, "select id from repositories where name = :name", name=name)
            webhook_id = await tx.value(
                int,
                """insert into webhooks (repository_id, name, secret, created_at, updated_at)
                values (:repository_id, 'ci', :secret, :now, :now) returning id""",
                repository_id=repository_id,
                secret="whsec_" + base64.b64encode(bytes(32)).decode(),
                now=now,
            )
            target_id = await tx.value(
                int,
                """insert into webhook_targets (webhook_id, url, created_at, due_at)
                values (:webhook_id, :url, :now, :now) returning id""",
                webhook_id=webhook_id,
                url=url,
                now=now,
            )
            for number in range(count):
                event = f"{name}-{number}"
                payload = {
                    "push_data": {"tag": f"{prefix}{number}"},
                    "repository": {"repo_url": f"http://x/{RepositoryName('admin', name)}/"},
                }
                await tx.run(
                    """insert into webhook_events (id, repository_id, tag, payload, created_at)
                    values (:event, :repository_id, :tag, :payload, :now)""",
                    event=event,
                    repository_id=repository_id,
                    tag=f"{prefix}{number}",
                    payload=msgspec.json.encode(payload).decode(),
                    now=now,
                )
                await tx.run(
                    """insert into webhook_deliveries
                        (uuid, webhook_id, target_id, event_id, created_at, due_since, due_at)
                    values (:event, :webhook_id, :target_id, :event, :now, :now, :now)""",
                    event=event,
                    webhook_id=webhook_id,
                    target_id=target_id,
                    now=now,
                )

    async def pushed(self, tx: Transaction, event: str) -> None:
        """One more push to the only repository that has a webhook, in a transaction that goes on."""
        now = utcnow()
        await tx.run(
            """insert into webhook_events (id, repository_id, tag, payload, created_at)
            select :event, repository_id, tag, payload, :now from webhook_events limit 1""",
            event=event,
            now=now,
        )
        target = await tx.value(int, "select id from webhook_targets")
        assert target is not None
        await tx.run(
            """insert into webhook_deliveries (uuid, webhook_id, target_id, event_id, created_at, due_since, due_at)
            select cast(:event as text), webhook_id, id, cast(:event as text),
                cast(:now as bigint), cast(:now as bigint), cast(:now as bigint) from webhook_targets""",
            event=event,
            now=now,
        )
        await webhook_rows.wake(tx, [target], now=now)

    def deliveries(self, **options: Any) -> Deliveries:
        return Deliveries(self.services, Outbound(Networks(ALLOWED.split(",")), **options))

    async def count(self, condition: str) -> int:
        async with self.services.db.read() as tx:
            return await tx.value(int, f"select count(*) from webhook_deliveries where {condition}") or 0

    async def expire_claims(self) -> None:
        async with self.services.db.write() as tx:
            await tx.run("update webhook_targets set claimed_until = 1 where claimed_until is not null")


@pytest.fixture
def alone(empty_settings: Settings, portal: anyio.from_thread.BlockingPortal) -> Iterator[Alone]:
    with opened(empty_settings, portal) as services:
        yield Alone(services)


@contextmanager
def opened(settings: Settings, portal: anyio.from_thread.BlockingPortal) -> Iterator[Services]:
    portal.call(set_up, settings)
    with portal.wrap_async_context_manager(open_services(settings)) as services:
        yield services


def drive(portal: anyio.from_thread.BlockingPortal, *all_deliveries: Deliveries, done: Any) -> None:
    """Have workers look for what is due, as they do twice a second, until something is so."""

    async def begin() -> None:
        await asyncio.gather(*(deliveries.begin_due() for deliveries in all_deliveries))

    def look() -> Any:
        portal.call(begin)
        return done()

    until(look, within_s=30)
    for deliveries in all_deliveries:
        portal.call(deliveries.end)


def test_several_workers_never_send_anything_twice_nor_to_one_target_at_the_same_moment(
    empty_settings: Settings, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    lock, present, most = threading.Lock(), dict[str, int](), list[int]()

    def reply(received: Received) -> Reply:
        with lock:
            present[received.path] = present.get(received.path, 0) + 1
            most.append(present[received.path])
        time.sleep(0.005)
        with lock:
            present[received.path] -= 1
        return Reply()

    receiver.reply = reply
    with ExitStack() as stack:
        places = [Alone(stack.enter_context(opened(empty_settings, portal))) for _ in range(3)]
        for number in range(12):
            portal.call(places[0].told, f"{receiver.url}/{number}", 12)
        workers = [place.deliveries() for place in places]
        drive(portal, *workers, done=lambda: portal.call(places[0].count, "delivered_at is null") == 0)
    assert max(most) == 1
    ids = [received.headers["webhook-id"] for received in receiver.requests]
    assert len(ids) == len(set(ids)) == 144
    for number in range(12):
        tags = [received.tag for received in receiver.requests if received.path == f"/{number}"]
        assert tags == [f"t{count}" for count in range(12)]


def test_of_those_who_claim_a_target_at_the_same_moment_one_gets_it(
    alone: Alone, portal: anyio.from_thread.BlockingPortal
) -> None:
    portal.call(alone.told, "http://127.0.0.2/", 1)

    async def claim() -> ClaimedTarget | None:
        now = utcnow()
        async with alone.services.db.write() as tx:
            found = await webhook_rows.claim(tx, now=now, until=now + job.CLAIM)
            await asyncio.sleep(0.1)  # time for the others to come and wait for it
        return found

    async def claim_at_once() -> list[ClaimedTarget | None]:
        return await asyncio.gather(*(claim() for _ in range(5)))

    assert len([found for found in portal.call(claim_at_once) if found is not None]) == 1


def test_a_turn_that_has_lost_its_claim_sends_nothing_more(
    alone: Alone, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    former_goes_on, later_goes_on = threading.Event(), threading.Event()
    receiver.reply = lambda _received: Reply(until=former_goes_on)
    portal.call(alone.told, f"{receiver.url}/", 4)
    former, later, third = (alone.deliveries() for _ in range(3))
    portal.call(former.begin_due)
    receiver.wait(1)
    portal.call(alone.expire_claims)
    receiver.reply = lambda received: Reply(until=later_goes_on if received.tag == "t1" else None)
    portal.call(later.begin_due)
    receiver.wait(3)
    # Both have sent the first one, as the first turn seemed dead. The second one goes on, and the first one ends.
    former_goes_on.set()
    until(lambda: not former._turns)
    portal.call(third.begin_due)
    assert not third._turns  # nor has it given away what is another's
    assert receiver.tags == ["t0", "t0", "t1"]
    later_goes_on.set()
    drive(portal, later, done=lambda: portal.call(alone.count, "delivered_at is null") == 0)
    assert receiver.tags == ["t0", "t0", "t1", "t2", "t3"]


def test_what_is_pushed_but_not_durable_when_a_turn_ends_is_not_forgotten(
    alone: Alone, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    goes_on = threading.Event()
    receiver.reply = lambda _received: Reply(until=goes_on)
    portal.call(alone.told, f"{receiver.url}/", 1)
    deliveries = alone.deliveries()
    portal.call(deliveries.begin_due)
    receiver.wait(1)

    async def push_slowly() -> None:
        async with alone.services.db.write() as tx:
            await alone.pushed(tx, "late")
            goes_on.set()
            await asyncio.sleep(1)

    portal.call(push_slowly)
    drive(portal, deliveries, done=lambda: portal.call(alone.count, "delivered_at is null") == 0)
    assert len(receiver.requests) == 2


def test_a_push_while_a_turn_ends_is_not_forgotten(
    alone: Alone, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    """Whatever comes between the last look and the release of a target is due afterwards."""

    async def push(number: int) -> None:
        async with alone.services.db.write() as tx:
            await alone.pushed(tx, f"late-{number}")
            await asyncio.sleep(0.003 * (number % 3))

    portal.call(alone.told, f"{receiver.url}/", 1)
    deliveries = alone.deliveries()

    async def churn() -> None:
        async def look() -> None:
            while not is_over.is_set():
                await deliveries.begin_due()
                await asyncio.sleep(0.002)

        is_over = asyncio.Event()
        looking = asyncio.create_task(look())
        for number in range(60):
            await push(number)
            await asyncio.sleep(0.001 * (number % 7))
        is_over.set()
        await looking

    portal.call(churn)
    drive(portal, deliveries, done=lambda: portal.call(alone.count, "delivered_at is null") == 0)
    assert len(receiver.requests) == 61


def test_a_name_that_changes_its_meaning_between_attempts_is_refused(
    alone: Alone, portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    answers = ["127.0.0.2", "127.0.0.1"]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return [answers.pop(0)]

    portal.call(alone.told, f"http://rebinding.example:{receiver.port}/", 2)
    with Receiver("127.0.0.1", receiver.port).running() as inner:
        deliveries = alone.deliveries(resolve=resolve)
        drive(portal, deliveries, done=lambda: portal.call(alone.count, "attempts = 1") == 2)
        assert (receiver.tags, inner.connections) == (["t0"], 0)
    assert portal.call(alone.count, "error = 'the URL leads to an address that is not allowed'") == 1


def test_old_pushes_are_forgotten_with_their_deliveries(
    alone: Alone, portal: anyio.from_thread.BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "BATCH", 3)
    portal.call(alone.told, "http://127.0.0.1/", 7)

    async def drop(days: float) -> int:
        return await drop_old(alone.services, now=utcnow() + timedelta(days=days))

    assert (portal.call(drop, 29.9), portal.call(alone.count, "true")) == (0, 7)
    assert (portal.call(drop, 30.1), portal.call(alone.count, "true")) == (7, 0)
    deliveries = alone.deliveries()
    portal.call(deliveries.begin_due)
    until(lambda: not deliveries._turns)
    portal.call(deliveries.begin_due)
    assert not deliveries._turns  # nothing is due any more


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path, new_database: Any) -> tuple[Path, dict[str, str]]:
    url = new_database(request.param)
    variables = {"HOMEPORT_DATABASE_URL": url} if url else {}
    return tmp_path / "hub", {"HOMEPORT_WEBHOOK_ALLOWED_NETWORKS": ALLOWED, **variables}


@contextmanager
def killed_server(data: Path, variables: dict[str, str]) -> Iterator[str]:
    """A server with two workers that is killed with both at the end of the block."""
    port = free_port()
    environment = clean_environment(**{"HOMEPORT_ADMIN_PASSWORD": ADMIN_PASSWORD, **HIGH_LIMITS, **variables})
    command = [sys.executable, "-m", "homeport", "serve", "--port", str(port), "--data", str(data), "--workers", "2"]
    data.mkdir(exist_ok=True)
    with open(data.parent / "log", "ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)


def test_what_a_killed_server_was_sending_is_sent_by_the_next_one(
    place: tuple[Path, dict[str, str]], portal: anyio.from_thread.BlockingPortal, receiver: Receiver
) -> None:
    data, variables = place
    never = threading.Event()
    receiver.reply = lambda _received: Reply(until=never)
    with killed_server(data, variables) as url, httpx.Client(base_url=url) as client:
        identity = {"identifier": "admin", "secret": ADMIN_PASSWORD}
        token = client.post("/v2/auth/token", json=identity).json()["access_token"]
        scope = {"service": "test", "scope": "repository:admin/app:pull,push"}
        pushing = client.get("/token", params=scope, auth=("admin", ADMIN_PASSWORD)).json()["token"]
        client.headers["authorization"] = f"Bearer {pushing}"
        for blob in (b"{}", b"layer"):
            push_blob(client, "admin/app", blob)
        content = image_manifest(b"{}", b"layer")
        assert put_manifest(client, "admin/app", "zero", content).status_code == 201
        client.headers["authorization"] = f"Bearer {token}"
        body = {"name": "ci", "hooks": [{"hook_url": receiver.url}]}
        secret = client.post("/v2/repositories/admin/app/webhooks", json=body).json()["secret"]
        client.headers["authorization"] = f"Bearer {pushing}"
        for tag in ("one", "two"):
            assert put_manifest(client, "admin/app", tag, content).status_code == 201
        receiver.wait(1)
    never.set()
    receiver.reply = lambda _received: Reply()
    settings = load(variables, data=data)
    with killed_server(data, variables), opened(settings, portal) as services:
        time.sleep(1.5)
        assert receiver.tags == ["one"]  # its claim holds
        portal.call(Alone(services).expire_claims)
        receiver.wait(3)
    assert receiver.tags == ["one", "one", "two"]
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[1].headers["webhook-id"]
    assert all(is_signed(secret, received) for received in receiver.requests)
