"""Audit logs: what is written, by whom it is read, and how it is found."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from homeport.core import accounts, audit, audit_log, manifests, orgs, repositories
from homeport.core.access import OPERATOR, Actor
from homeport.core.audit import AuditAction, Event
from homeport.core.audit_actions import ACTIONS, CATALOGUE, sentence
from homeport.core.pulls import PullLog
from homeport.core.services import Services
from homeport.errors import AccountExists, DatabaseUnavailable, ValueUnstorable
from homeport.jobs import audit as retention
from homeport.names import Digest, RepositoryName, TagName
from homeport.storage.db import audit as audit_rows
from homeport.storage.db.audit import Filter, NewEvent
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import (
    OCI_MANIFEST,
    Home,
    digest_of,
    hash_of,
    image_manifest,
    push_blob,
    push_image,
    put_manifest,
    unique,
)
from tests.plans import plans_of

SAMPLES = Path(__file__).parents[2] / "samples" / "docker_hub"
FOLDED_WITHIN_S = 20
FIELDS = {"account", "action", "name", "actor", "data", "timestamp", "action_description"}

Log = list[dict[str, Any]]


class Place:
    """An organization with its owner, who reads its log."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.name = home.organization(self.owner)
        self.client = home.hub(self.owner)

    def log(self, **parameters: object) -> Log:
        return read(self.client, self.name, **parameters)

    def repository(self) -> RepositoryName:
        return RepositoryName(self.name, unique("repo"))


@pytest.fixture
def place(home: Home) -> Place:
    return Place(home)


def read(client: httpx.Client, account: str, **parameters: Any) -> Log:
    """A log, with `from_` for `from`."""
    answer = client.get(
        f"/v2/auditlogs/{account}", params={name.rstrip("_"): str(value) for name, value in parameters.items()}
    )
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["logs"]
    logs: Log = answer.json()["logs"]
    for event in logs:
        assert set(event) == FIELDS
        assert event["account"] == account
        assert all(isinstance(value, str) for value in event["data"].values())
        assert datetime.fromisoformat(event["timestamp"]).tzinfo is UTC
    return logs


def what(log: Log) -> list[tuple[str, str]]:
    """Actions with their names, the oldest first."""
    return [(event["action"], event["name"]) for event in reversed(log)]


def own(event: dict[str, Any]) -> dict[str, str]:
    """The data of an event without where it came from."""
    origin = ("ip_address", "user_agent", "access_token_id", "access_token_label", "access_token_type")
    return {key: value for key, value in event["data"].items() if key not in origin}


def account_id(home: Home, name: str) -> int:
    async def verb(services: Services) -> int:
        async with services.db.read() as tx:
            found = await tx.value(int, "select id from accounts where name = :name", name=name)
        assert found is not None
        return found

    return home.run(verb)


def run_sql(home: Home, sql: str, **parameters: Any) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(sql, **parameters)

    home.run(verb)


def insert(home: Home, events: list[NewEvent]) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await audit_rows.insert_all(tx, events)

    home.run(verb)


def event_at(account: int, at: datetime, *, name: str = "x", action: str = "repo.update", actor: str = "x") -> NewEvent:
    return NewEvent(account_id=account, action=action, name=name, actor=actor, data="{}", created_at=at)


# What is written


def test_a_first_push_makes_the_repository_and_moves_the_tag(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    digest = digest_of(push_image(client, name, "latest"))
    created, pushed = reversed(place.log(name=name))
    assert (created["action"], own(created)) == ("repo.create", {"privacy": "public"})
    assert created["action_description"] == f"created the public repository {name}"
    assert (pushed["action"], own(pushed)) == ("repo.tag.push", {"digest": digest, "tag": "latest"})
    short = digest[: len("sha256:") + 13]
    assert pushed["action_description"] == f"pushed the tag latest with the digest {short} to the repository {name}"
    assert pushed["actor"] == place.owner.name


def test_each_tag_of_a_push_is_an_event_and_the_same_push_again_is_one_too(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    content = push_image(client, name)
    assert place.log(name=name, action="repo.tag.push") == []
    url = f"/v2/{name}/manifests/{digest_of(content)}?tag=a&tag=b&tag=a"
    for _ in range(2):
        assert client.put(url, content=content, headers={"content-type": OCI_MANIFEST}).status_code == 201
    pushed = place.log(name=name, action="repo.tag.push")
    assert [event["data"]["tag"] for event in pushed] == ["b", "a", "b", "a"]


def test_the_events_of_a_push_are_one_statement(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    content = push_image(client, name)

    async def verb(services: Services) -> list[str]:
        async with services.db.read() as tx:
            owner = Actor.of(await accounts.access_user(tx, place.owner.name))
        statements: list[str] = []
        services.db.trace = statements.append
        await manifests.push(
            services,
            actor=owner,
            name=name,
            reference=Digest(digest_of(content)),
            tags=[TagName(f"t{number}") for number in range(20)],
            content=content,
            content_type=OCI_MANIFEST,
        )
        services.db.trace = None
        return statements

    assert sum("into audit_events" in statement for statement in place.home.run(verb)) == 1
    assert len(place.log(name=name, action="repo.tag.push")) == 20


def test_deleting_a_tag_and_a_manifest_with_its_tags(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    digest = digest_of(push_image(client, name, "a", "b", "c"))
    assert client.delete(f"/v2/{name}/manifests/a").status_code == 202
    (event,) = place.log(name=name, action="repo.tag.delete")
    assert own(event) == {"digest": digest, "tag": "a"}
    assert event["action_description"].startswith("deleted the tag a with the digest sha256:")
    assert client.delete(f"/v2/{name}/manifests/{digest}").status_code == 202
    deleted = place.log(name=name, action="repo.tag.delete")
    assert sorted(event["data"]["tag"] for event in deleted) == ["a", "b", "c"]
    assert {event["data"]["digest"] for event in deleted} == {digest}
    (gone,) = place.log(name=name, action="repo.manifest.delete")
    assert own(gone) == {"digest": digest}
    assert client.delete(f"/v2/{name}/manifests/{digest}").status_code == 404
    assert len(place.log(name=name, action="repo.manifest.delete")) == 1


def test_deleting_a_blob(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    digest = push_blob(client, name, b"soon gone")
    assert client.delete(f"/v2/{name}/blobs/{digest}").status_code == 202
    (event,) = place.log(action="repo.blob.delete")
    assert (event["name"], own(event)) == (str(name), {"digest": digest})


def test_a_repository_and_its_collaborators(place: Place) -> None:
    name = place.home.repository(place.name, is_private=True)
    user = place.home.user()
    for permission in (Permission.READ, Permission.READ, Permission.WRITE):
        place.home.collaborator(name, user, permission)
    created, *given = reversed(place.log(name=name))
    assert (created["action"], own(created), created["actor"]) == ("repo.create", {"privacy": "private"}, "homeport")
    assert [(event["action"], own(event)) for event in given] == [
        ("repo.collaborator.add", {"user": user.name, "permission": permission}) for permission in ("read", "write")
    ]
    sentence_ = f"gave {user.name} the permission write on the repository {name}"
    assert given[-1]["action_description"] == sentence_


def test_making_a_repository_that_is_there_is_no_event(place: Place) -> None:
    name = place.home.repository(place.name)

    async def verb(services: Services) -> bool:
        async with services.db.write() as tx:
            return await repositories.create_repository(
                tx, actor=OPERATOR, plans=services.settings.plans, name=name, is_private=True
            )

    assert place.home.run(verb) is False
    assert what(place.log(name=name)) == [("repo.create", str(name))]


def test_organizations_members_and_teams(place: Place) -> None:
    home, member = place.home, place.home.user()
    home.member(place.name, member, OrganizationRole.MEMBER)
    home.member(place.name, member, OrganizationRole.MEMBER)
    home.member(place.name, member, OrganizationRole.EDITOR)
    name = home.repository(place.name)
    home.team_member(name, home.user(), Permission.WRITE)
    found = [action for action, _ in what(place.log())]
    assert found == [
        "org.create",
        "org.member.add",
        "org.member.role.change",
        "repo.create",
        "org.team.create",
        "org.member.add",
        "org.team.member.add",
        "org.team.grant",
    ]
    texts = {event["action"]: event["action_description"] for event in place.log()}
    assert (
        texts["org.member.role.change"]
        == f"changed the role of {member.name} in the organization {place.name} to editor"
    )
    assert texts["org.team.grant"].endswith(f"the permission write on the repository {name}")
    assert all("{" not in text and "[" not in text for text in texts.values())


def test_what_becomes_of_a_user_stands_in_their_own_log(home: Home) -> None:
    user = home.user()

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            for is_active in (False, False, True):
                await accounts.set_active(tx, actor=OPERATOR, name=user.name, is_active=is_active)
            await accounts.reset_password(tx, actor=OPERATOR, name=user.name, password_hash=hash_of(user.password))

    home.run(verb)
    log = read(home.hub(user), user.name)
    assert [event for event in what(log) if not event[0].startswith("user.login")] == [
        ("user.create", user.name),
        ("user.deactivate", user.name),
        ("user.activate", user.name),
        ("user.password.reset", user.name),
    ]


def test_access_tokens_made_changed_and_deleted(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    body = {"token_label": "CI", "scopes": ["repo:read", "repo:write"], "expires_at": "2099-01-31T12:00:00Z"}
    token = client.post("/v2/access-tokens", json=body, headers={"user-agent": "of a test/1"}).json()
    url = f"/v2/access-tokens/{token['uuid']}"
    for change in ({"is_active": True}, {"token_label": "CI 2"}, {"is_active": False}, {}):
        assert client.patch(url, json=change).status_code == 200
    assert client.delete(url).status_code == 202
    assert client.delete(url).status_code == 404
    log = [event for event in reversed(read(client, user.name)) if event["action"].startswith("user.access_token.")]
    subject = {"token_id": token["uuid"]}
    assert [(event["action"].rpartition(".")[2], own(event)) for event in log] == [
        (
            "create",
            {**subject, "token_label": "CI", "scopes": "repo:read repo:write", "expires_at": "2099-01-31T12:00:00Z"},
        ),
        ("update", {**subject, "token_label": "CI 2", "is_active": "true"}),
        ("update", {**subject, "token_label": "CI 2", "is_active": "false"}),
        ("delete", {**subject, "token_label": "CI 2"}),
    ]
    assert {event["name"] for event in log} == {user.name}
    assert log[0]["data"]["ip_address"] == "127.0.0.1"
    assert log[0]["data"]["user_agent"] == "of a test/1"
    assert log[0]["action_description"] == f'created the personal access token "CI" of {user.name}'
    assert token["token"] not in json.dumps(log)


def test_a_push_says_from_where_and_with_which_token(place: Place) -> None:
    name = place.repository()
    token, secret = place.home.access_token(place.owner)
    client = place.home.registry(place.owner, name, secret=secret)
    client.headers["user-agent"] = "docker/99"
    push_image(client, name, "latest")
    for event in place.log(name=name):
        assert (
            event["data"].items()
            >= {
                "ip_address": "127.0.0.1",
                "user_agent": "docker/99",
                "access_token_id": token.uuid,
                "access_token_label": "of a test",
                "access_token_type": "TYPE_UNSPECIFIED",
            }.items()
        )
        assert event["actor"] == f'{place.owner.name} - access token "of a test"'


def test_a_push_to_ones_own_namespace_stands_in_ones_own_log(home: Home) -> None:
    user = home.user()
    name = RepositoryName(user.name, unique("repo"))
    push_image(home.registry(user, name), name, "v1")
    assert what(read(home.hub(user), user.name, name=name)) == [
        ("repo.create", str(name)),
        ("repo.tag.push", str(name)),
    ]


def test_a_push_that_fails_leaves_no_event(place: Place) -> None:
    name = place.repository()
    client = place.home.registry(place.owner, name)
    refused = put_manifest(client, name, "latest", image_manifest(b"{}", b"never pushed"))
    assert refused.status_code in (400, 404), refused.text
    assert place.log(name=name) == []


def test_a_deed_that_is_rolled_back_leaves_no_event(place: Place) -> None:
    name = place.repository()

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            assert await repositories.create_repository(
                tx, actor=OPERATOR, plans=services.settings.plans, name=name, is_private=False
            )
            await orgs.create_organization(tx, actor=OPERATOR, name=place.name, owner=place.owner.name)

    with pytest.raises(AccountExists):
        place.home.run(verb)
    assert place.log(name=name) == []


def test_an_account_does_not_see_what_happened_to_another_one_of_its_name(place: Place) -> None:
    home, name = place.home, place.name
    home.repository(name)
    assert place.log()
    run_sql(home, "delete from accounts where id = :id", id=account_id(home, name))
    assert place.client.get(f"/v2/auditlogs/{name}").status_code == 404

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await orgs.create_organization(tx, actor=OPERATOR, name=name, owner=place.owner.name)

    home.run(verb)
    assert what(place.log()) == [("org.create", name)]


# Pulls


def audit_pulls(home: Home, organization: str, *, is_on: bool) -> None:
    run_sql(
        home,
        """
        insert into organization_settings (organization_id, audits_pulls) values (:id, :is_on)
        on conflict (organization_id) do update set audits_pulls = excluded.audits_pulls
        """,
        id=account_id(home, organization),
        is_on=is_on,
    )


def folded(reading: Callable[[], Log], count: int) -> Log:
    """A log that holds so many events after a while."""
    deadline = time.monotonic() + FOLDED_WITHIN_S
    while len(log := reading()) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(log) == count
    return log


def test_pulls_are_audited_while_the_organization_wants_that(place: Place) -> None:
    home, name = place.home, place.repository()
    reader = home.user()
    token, secret = home.access_token(reader)
    pusher = home.registry(place.owner, name)
    digest = digest_of(push_image(pusher, name, "latest"))
    nobody = home.registry(None, name, actions="pull")
    holder = home.registry(reader, name, actions="pull", secret=secret)
    holder.headers["user-agent"] = "puller/1"
    url = f"/v2/{name}/manifests"
    assert holder.get(f"{url}/latest").status_code == 200
    audit_pulls(home, place.name, is_on=True)
    started = datetime.now(UTC)
    assert holder.get(f"{url}/latest").status_code == 200
    assert holder.head(f"{url}/latest").status_code == 200
    assert holder.get(f"{url}/none").status_code == 404
    assert nobody.get(f"{url}/{digest}").status_code == 200
    ended = datetime.now(UTC)
    audit_pulls(home, place.name, is_on=False)
    assert nobody.get(f"{url}/{digest}").status_code == 200
    by_digest, by_tag = folded(lambda: place.log(action="repo.pull"), 2)
    assert by_tag["data"] == {
        "digest": digest,
        "tag": "latest",
        "ip_address": "127.0.0.1",
        "user_agent": "puller/1",
        "access_token_id": token.uuid,
        "access_token_label": token.label,
        "access_token_type": "TYPE_UNSPECIFIED",
    }
    assert (by_tag["name"], by_tag["actor"]) == (str(name), f'{reader.name} - access token "of a test"')
    assert own(by_digest) == {"digest": digest}
    assert by_digest["actor"] == ""
    assert by_digest["data"]["ip_address"] == "127.0.0.1"
    short = digest[: len("sha256:") + 13]
    assert by_digest["action_description"] == f"pulled the digest {short} from the repository {name}"
    assert by_tag["action_description"] == f"pulled the tag latest with the digest {short} from the repository {name}"
    # The time of the pull, not of the moment at which it was written.
    for event in (by_tag, by_digest):
        assert started <= datetime.fromisoformat(event["timestamp"]) <= ended
    # What was pulled after it had been switched off would have come with the next fold.
    time.sleep(2.2)
    assert len(place.log(action="repo.pull")) == 2


def test_a_fold_that_is_cancelled_writes_no_pull_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    home, name = place.home, place.repository()
    push_image(home.registry(place.owner, name), name, "latest")
    audit_pulls(home, place.name, is_on=True)
    pulls = PullLog()
    insert_all = audit_rows.insert_all

    async def verb(services: Services) -> None:
        reached = anyio.Event()

        async def slow(tx: Transaction, events: list[NewEvent]) -> None:
            await insert_all(tx, events)
            reached.set()
            await anyio.sleep(0.1)

        monkeypatch.setattr(audit_rows, "insert_all", slow)
        reference = TagName("latest")
        async with services.db.read() as tx:
            found = await manifests.access_manifest(tx, actor=OPERATOR, name=name, reference=reference)
        pulls.pulled(*found, reference, actor=OPERATOR, address="", user_agent="")
        folding = asyncio.create_task(pulls.fold(services.db))
        await reached.wait()
        folding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await folding
        await pulls.fold(services.db)

    home.run(verb)
    assert len(place.log(action="repo.pull")) == 1


def test_pulls_that_could_not_be_written_are_written_later_and_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, name = place.home, place.repository()
    push_image(home.registry(place.owner, name), name, "latest")
    audit_pulls(home, place.name, is_on=True)
    monkeypatch.setattr("homeport.core.pulls.EVENTS_PER_TRANSACTION", 2)
    monkeypatch.setattr("homeport.core.pulls.EVENTS_LIMIT", 5)
    pulls = PullLog()
    insert_all, calls = audit_rows.insert_all, 0

    async def failing(tx: Transaction, events: list[NewEvent]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DatabaseUnavailable("gone")
        await insert_all(tx, events)

    monkeypatch.setattr(audit_rows, "insert_all", failing)

    async def verb(services: Services) -> None:
        reference = TagName("latest")
        async with services.db.read() as tx:
            found = await manifests.access_manifest(tx, actor=OPERATOR, name=name, reference=reference)
        for number in range(7):
            pulls.pulled(*found, reference, actor=OPERATOR, address="", user_agent=f"agent {number}")
        with pytest.raises(DatabaseUnavailable):
            await pulls.fold(services.db)
        await pulls.fold(services.db)
        await pulls.fold(services.db)

    home.run(verb)
    written = [event["data"]["user_agent"] for event in place.log(action="repo.pull")]
    assert written == [f"agent {number}" for number in (4, 3, 2, 1, 0)]  # the last two were beyond the limit


# Finding


THE_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
"""Which the tests call 2020-01-01: events that are too old are not shown."""


def on_the_day(text: str) -> str:
    days = {"2020-01-01": THE_DAY, "2020-01-02": THE_DAY + timedelta(days=1)}
    for told, day in days.items():
        text = text.replace(told, f"{day:%Y-%m-%d}")
    return text


@pytest.fixture
def filled(place: Place) -> Place:
    """A log that holds, beside its own beginning, events of one day that differ in one thing each."""
    id_ = account_id(place.home, place.name)
    start = THE_DAY
    events = [
        event_at(id_, start, name="acme/a", action="repo.tag.push", actor="ann"),
        event_at(id_, start + timedelta(microseconds=1), name="acme/b", action="repo.tag.push", actor="ann"),
        event_at(id_, start + timedelta(hours=1), name="acme/a", action="repo.tag.delete", actor="ann"),
        event_at(id_, start + timedelta(hours=2), name="acme/a", action="repo.tag.push", actor="bob"),
    ]
    for label in ("CI", 'a "quoted" \\ one'):
        data = msgspec.json.encode({"access_token_label": label, "tag": "access_token_label"}).decode()
        event = event_at(id_, start + timedelta(hours=3), name="acme/c", action="repo.tag.push", actor="ann")
        events.append(msgspec.structs.replace(event, data=data))
    insert(place.home, events)
    return place


def brief(log: Log) -> list[str]:
    return [f"{event['name'][-1]} {event['action'].rpartition('.')[2]} {event['actor'][:3]}" for event in log]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["c push ann", "c push ann", "a push bob", "a delete ann", "b push ann", "a push ann"]),
        ({"action": "repo.tag.delete"}, ["a delete ann"]),
        ({"action": "tag.delete"}, []),
        ({"action": "repo.tag"}, []),
        ({"name": "acme/b"}, ["b push ann"]),
        ({"name": "b"}, []),
        ({"name": "acme/%"}, []),
        ({"actor": "bob"}, ["a push bob"]),
        ({"actor": "bo"}, []),
        ({"actor": "ann", "name": "acme/a"}, ["a delete ann", "a push ann"]),
        ({"actor": "ann", "name": "acme/a", "action": "repo.tag.push"}, ["a push ann"]),
        ({"actor": 'ann - access token "CI"'}, ["c push ann"]),
        ({"actor": 'ann - access token "a "quoted" \\ one"'}, ["c push ann"]),
        ({"actor": 'ann - access token "other"'}, []),
        ({"actor": 'bob - access token "CI"'}, []),
        ({"actor": "", "name": "", "action": "", "from_": "", "page_size": 2}, ["c push ann", "c push ann"]),
        ({"from_": "2020-01-01T01:00:00Z"}, ["c push ann", "c push ann", "a push bob", "a delete ann"]),
        ({"to": "2020-01-01T00:00:00.000001Z"}, ["a push ann"]),
        ({"from_": "2020-01-01T00:00:00.000001+00:00", "to": "2020-01-01T01:00:00Z"}, ["b push ann"]),
        ({"from_": "2020-01-01T03:00:00+02:00", "name": "acme/a"}, ["a push bob", "a delete ann"]),
        ({"from_": "2020-01-02T00:00:00Z"}, []),
        ({"to": "0001-01-01T00:00:00+14:00"}, []),
        ({"page": 2, "page_size": 4}, ["b push ann", "a push ann"]),
        ({"page": 4, "page_size": 2}, []),
        ({"page": 10**30}, []),
        ({"unknown": "parameter", "name": "acme/b"}, ["b push ann"]),
    ],
)
def test_filters_compare_whole_texts_and_all_have_to_hold(
    filled: Place, filters: dict[str, Any], found: list[str]
) -> None:
    until = {"to": "2020-01-02T00:00:00Z"}
    asked = {name: on_the_day(str(value)) for name, value in {**until, **filters}.items()}
    assert brief(filled.log(**asked)) == found


def test_a_page_holds_25_unless_it_is_asked_for_up_to_100(place: Place) -> None:
    id_ = account_id(place.home, place.name)
    moment = THE_DAY
    insert(place.home, [event_at(id_, moment, name=str(number)) for number in range(120)])
    until = {"to": on_the_day("2020-01-02T00:00:00Z")}
    assert len(place.log(**until)) == 25
    assert len(place.log(page_size=1000, **until)) == 100
    pages = [place.log(page=page, page_size=50, **until) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [50, 50, 20, 0]
    # What happened in one moment stands in the order in which it was written, the newest first.
    assert [int(event["name"]) for page in pages for event in page] == list(range(119, -1, -1))


@pytest.mark.parametrize("parameter", ["page", "page_size", "from", "to"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "2020-01-01", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z", "1\0"])
def test_what_cannot_be_is_told_with_the_name_of_the_parameter(place: Place, parameter: str, value: str) -> None:
    answer = place.client.get(f"/v2/auditlogs/{place.name}", params={parameter: value})
    assert_status(answer, 400, 3)
    assert parameter in answer.json()["message"]


def test_a_text_that_no_row_can_hold(place: Place) -> None:
    assert_status(place.client.get(f"/v2/auditlogs/{place.name}", params={"name": "a\0"}), 400, 3)


# Who reads


def assert_status(answer: httpx.Response, status: int, code: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body == {"code": code, "message": body["message"], "details": [], "detail": body["message"]}
    assert body["message"]


PATHS = ("/v2/auditlogs/{}", "/v2/auditlogs/{}/", "/v2/auditlogs/{}/actions", "/v2/auditlogs/{}/actions/")


@pytest.mark.parametrize("path", PATHS)
def test_who_reads_the_log_of_an_organization(place: Place, path: str) -> None:
    home, url = place.home, path.format(place.name)
    member, editor, stranger = (home.user() for _ in range(3))
    home.member(place.name, member, OrganizationRole.MEMBER)
    home.member(place.name, editor, OrganizationRole.EDITOR)
    for reader in (place.owner, home.admin):
        assert home.hub(reader).get(url).status_code == 200
        assert home.hub(reader).get(path.format(place.name.upper())).status_code == 200
        _, secret = home.access_token(reader)
        refused = home.hub(reader, secret).get(url)
        assert_status(refused, 403, 7)
        assert refused.json()["message"] == "token issued from personal access token is not allowed"
    for other in (member, editor, stranger):
        assert_status(home.hub(other).get(url), 403, 7)
    assert_status(home.anonymous.get(url, params={"page": "x"}), 401, 16)
    assert_status(home.client(authorization="Bearer nonsense").get(url), 401, 16)


@pytest.mark.parametrize("path", PATHS)
def test_who_reads_the_log_of_a_user(home: Home, path: str) -> None:
    user, stranger = home.user(), home.user()
    url = path.format(user.name)
    for reader in (user, home.admin):
        assert home.hub(reader).get(url).status_code == 200
    _, secret = home.access_token(user)
    assert_status(home.hub(user, secret).get(url), 403, 7)
    assert_status(home.hub(stranger).get(url), 403, 7)
    assert_status(home.anonymous.get(url), 401, 16)


@pytest.mark.parametrize("path", PATHS)
def test_an_account_that_is_not_there_is_not_found(home: Home, path: str) -> None:
    for name in (unique("nobody"), "a\0b"):
        url = path.format(name.replace("\0", "%00"))
        answer = home.hub(home.user()).get(url)
        assert answer.status_code in (400, 404)
    answer = home.hub(home.user()).get(path.format("nobody-at-all"))
    assert_status(answer, 404, 5)
    assert "not found" in answer.json()["message"]


def test_who_is_an_owner_no_longer_reads_no_more(place: Place) -> None:
    place.home.member(place.name, place.home.user(), OrganizationRole.OWNER)
    place.home.member(place.name, place.owner, OrganizationRole.MEMBER)
    assert_status(place.client.get(f"/v2/auditlogs/{place.name}"), 403, 7)


# The catalogue


def test_the_catalogue_has_all_that_is_written_and_words_for_it() -> None:
    assert {action for action in AuditAction if action not in ACTIONS} == set()
    assert {name for name, action in ACTIONS.items() if action.sentence} == set(AuditAction)


def test_the_catalogue_has_all_of_dockers_actions_with_their_labels() -> None:
    docker = json.loads((SAMPLES / "audit_actions.json").read_text())
    assert [*docker, "user", "scim"] == list(CATALOGUE)
    for name, group in docker.items():
        ours = {action.name: action.label for action in CATALOGUE[name].actions}
        assert CATALOGUE[name].label == group["label"]
        assert {action: ours.get(action) for action in group["actions"]} == group["actions"]


def test_the_catalogue_is_served_whole(place: Place) -> None:
    answer = place.client.get(f"/v2/auditlogs/{place.name}/actions")
    assert list(answer.json()) == ["actions"]
    served = answer.json()["actions"]
    assert set(served) == {"repo", "org", "billing", "enterprise", "offload", "oidc", "user", "scim"}
    names = []
    for group, told in served.items():
        assert set(told) == {"actions", "label"}
        for action in told["actions"]:
            assert set(action) == {"name", "description", "label"}
            assert all(action.values())
            names.append(f"{group}.{action['name']}")
    assert sorted(names) == sorted(ACTIONS)
    assert len(set(names)) == len(names)
    teams = {action["name"]: action["label"] for action in served["org"]["actions"]}
    assert [teams[f"team.{verb}"] for verb in ("create", "update", "delete")] == [
        "Team Created",
        "Team Updated",
        "Team Deleted",
    ]


@pytest.mark.parametrize("action", list(AuditAction))
def test_an_event_without_data_still_makes_a_sentence(action: AuditAction) -> None:
    text = sentence(action, "acme/app", {})
    assert "acme/app" in text or action in (AuditAction.ORG_TEAM_GRANT, AuditAction.ORG_TEAM_REVOKE)
    assert not set("[]{}") & set(text)


def test_what_stands_in_the_data_is_never_read_as_words_of_ours() -> None:
    assert sentence("repo.tag.delete", "a/b", {"tag": "[{name}]", "digest": ""}) == (
        "deleted the tag [{name}] from the repository a/b"
    )
    assert sentence("later.action", "a/b", {}) == "later.action a/b"


# Keeping


def test_an_event_is_shown_to_the_day_that_it_is_kept(place: Place) -> None:
    """Whether or not it is still there: on PostgreSQL it goes with its whole month."""
    id_ = account_id(place.home, place.name)
    oldest = datetime.now(UTC) - timedelta(days=90)
    insert(
        place.home,
        [
            event_at(id_, oldest - timedelta(minutes=1), name="too old"),
            event_at(id_, oldest + timedelta(minutes=1), name="kept"),
        ],
    )
    assert [event["name"] for event in place.log(action="repo.update")] == ["kept"]
    since = (oldest - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert [event["name"] for event in place.log(**{"action": "repo.update", "from": since})] == ["kept"]


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_events_that_are_too_old_are_dropped_in_batches(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    home = place.home
    monkeypatch.setattr(retention, "BATCH", 7)
    id_ = account_id(home, place.name)
    now = datetime.now(UTC)
    old = [event_at(id_, now - timedelta(days=90, seconds=number + 1)) for number in range(30)]
    kept = [event_at(id_, now - timedelta(days=90) + timedelta(seconds=1), name="kept")]
    insert(home, old + kept)
    sizes: list[int] = []

    async def verb(services: Services) -> list[int]:
        def counted(sql: str) -> None:
            sizes.append("delete from audit_events" in sql)

        for_ever = msgspec.structs.replace(services.settings, audit_retention_days=0)
        assert await retention.drop_old(msgspec.structs.replace(services, settings=for_ever), now=now) == 0
        services.db.trace = counted
        dropped: list[int] = []

        async def process() -> None:
            dropped.append(await retention.drop_old(services, now=now))

        async with anyio.create_task_group() as group:
            group.start_soon(process)
            group.start_soon(process)
        services.db.trace = None
        return dropped

    assert sum(home.run(verb)) >= 30  # the filled logs of other tests go, too
    assert sum(sizes) >= 5
    assert [event["name"] for event in place.log(action="repo.update")] == ["kept"]


# Size

EVENTS = 60_000
REPOSITORIES = 500


@pytest.fixture(scope="module")
def large(home: Home) -> Iterator[int]:
    """The id of an account, of its own, that a lot has happened in."""
    id_ = 10**12
    newest = datetime.now(UTC)

    async def fill(services: Services) -> None:
        async with services.db.write() as tx:
            for account in (id_, id_ + 1):
                await tx.run(
                    """
                    with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < :events)
                    insert into audit_events (account_id, action, name, actor, data, created_at)
                    select cast(:account as bigint), case when n % 100 = 0 then 'repo.create' else 'repo.tag.push' end,
                        'acme/r' || (n % :repositories), 'u' || (n % 50), '{"tag":"latest"}',
                        cast(:newest as bigint) - n
                    from numbers
                    """,
                    account=account,
                    events=EVENTS // 2,
                    repositories=REPOSITORIES,
                    newest=newest,
                )
        if not services.settings.is_sqlite:  # which keeps no statistics, nor does any hub of ours
            async with services.db.read() as tx:
                await tx.run("vacuum analyze audit_events")

    home.run(fill)
    yield id_
    run_sql(home, "delete from audit_events where account_id >= :id", id=id_)


LATELY = {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("conditions", "column"),
    [
        ({}, "account"),
        (LATELY, "account"),
        ({"action": "repo.create"}, "action"),
        ({"action": "repo.create", **LATELY}, "action"),
        ({"name": "acme/r7"}, "name"),
        ({"actor": "u7"}, "actor"),
        ({"name": "acme/r7", **LATELY}, "name"),
        ({"actor": "u7", "name": "acme/r7"}, "name"),
        ({"action": "repo.tag.push", "name": "acme/r7"}, "name"),
        ({"action": "repo.tag.push", "actor": "u7"}, "actor"),
        ({"action": "repo.tag.push", "actor": "u7", "name": "acme/r7", **LATELY}, "name"),
        ({"actor": "u7", "data_part": '"access_token_label":"CI"'}, "actor"),
    ],
)
@pytest.mark.parametrize("offset", [0, 20_000])
def test_a_page_is_found_by_an_index(
    home: Home, large: int, conditions: dict[str, Any], column: str, offset: int
) -> None:
    filters = Filter(**conditions)

    async def verb(tx: Transaction) -> None:
        places = await audit_rows.find_page(tx, account_id=large, conditions=filters, offset=offset, limit=100)
        await audit_rows.list_at(tx, places or [audit_rows.Place(1, LATELY["since"])])

    plan, fetching = plans_of(home, verb)
    assert not plan.scans("audit_events")
    assert plan.indexes() == [f"audit_events_{column}"]
    assert not fetching.scans("audit_events")
    # PostgreSQL may like the stretch of time that a page covers more than the ids.
    assert fetching.indexes()[0] in ("pkey", *(() if home.settings.is_sqlite else ("audit_events_created",)))
    # What is skipped is walked over in the index alone, unless another column has to be looked at.
    has_one_filter = sum(field not in LATELY for field in conditions) <= 1
    assert plan.is_index_only(f"audit_events_{column}") or not has_one_filter


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_what_is_too_old_is_found_by_an_index(home: Home, large: int) -> None:
    async def verb(tx: Transaction) -> None:
        await audit_rows.delete_older(tx, before=datetime.now(UTC), limit=100)

    (plan,) = plans_of(home, verb)
    assert not plan.scans("audit_events")
    assert sorted(plan.indexes()) == ["audit_events_created", "pkey"]


def test_a_page_takes_as_many_statements_whatever_its_size(place: Place) -> None:
    id_ = account_id(place.home, place.name)
    insert(place.home, [event_at(id_, datetime.now(UTC)) for _ in range(100)])

    async def verb(services: Services) -> list[int]:
        async with services.db.read() as tx:
            owner = Actor.of(await accounts.access_user(tx, place.owner.name))
        counts = []
        for limit in (1, 100):
            statements: list[str] = []
            services.db.trace = statements.append
            async with services.db.read(scan=True) as tx:
                plans = services.settings.plans
                found = await audit_log.list_events(
                    tx, actor=owner, plans=plans, retention_days=90, account=place.name, limit=limit
                )
                assert len(found) == limit
            services.db.trace = None
            counts.append(len(statements))
        return counts

    assert place.home.run(verb) == [4, 4]


def test_an_event_of_several_is_written_with_the_others_or_not_at_all(place: Place) -> None:
    id_ = account_id(place.home, place.name)

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            events = [
                Event(action=AuditAction.REPO_UPDATE, account_id=id_, name=name, data={"text": name})
                for name in ("fine", "not\0fine")
            ]
            await audit.record_all(tx, OPERATOR, events)

    with pytest.raises(ValueUnstorable):
        place.home.run(verb)
    assert place.log(action="repo.update") == []
