"""What is written down of logins: in the log of the user, and beside the account."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from homeport.app import create_app
from homeport.core.services import Services
from tests.api.hub.logins import (
    EXCHANGE,
    LOGIN,
    WRITTEN_WITHIN_S,
    enrolled,
    events,
    member_under_sso,
    token_service,
)
from tests.home import PASSWORD, Home, User, push_image

ORIGIN = {"ip_address": "127.0.0.1"}
DESKTOP = "docker-desktop/4.29.0"


class Activity(msgspec.Struct, frozen=True):
    last_logged_in_at: datetime | None
    last_seen_at: datetime | None
    last_desktop_version: str


def activity_of(home: Home, user: User) -> Activity:
    async def verb(services: Services) -> Activity | None:
        async with services.db.read() as tx:
            return await tx.one(
                Activity,
                "select last_logged_in_at, last_seen_at, last_desktop_version from accounts where name = :name",
                name=user.name,
            )

    found = home.run(verb)
    assert found is not None
    return found


def seen(home: Home, user: User, *, since: datetime) -> Activity:
    """What is written of a user's activity, once they have been seen."""
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while time.monotonic() < deadline:
        activity = activity_of(home, user)
        if activity.last_seen_at is not None and activity.last_seen_at >= since:
            return activity
        time.sleep(0.1)
    raise AssertionError("nobody was seen")


def test_a_login_by_password_is_in_the_log_when_it_is_answered(home: Home) -> None:
    user = home.user()
    headers = {"user-agent": "tests of logins"}
    home.anonymous.post(LOGIN, json={"username": user.name.upper(), "password": PASSWORD}, headers=headers)
    home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": PASSWORD}, headers=headers)
    home.anonymous.get("/token", auth=(user.name, PASSWORD), headers=headers)
    found = events(home, user, "user.login", count=3)
    assert [event.words["door"] for event in found] == ["hub", "hub", "registry"]
    for event in found:
        assert event.name == event.actor == user.name
        expected = {**ORIGIN, "user_agent": "tests of logins", "method": "password", "door": event.words["door"]}
        assert event.words == expected


def test_failures_are_in_the_log_of_whom_they_were_aimed_at(home: Home) -> None:
    user = home.user()
    headers = {"user-agent": "guesser"}
    home.anonymous.post(LOGIN, json={"username": user.name, "password": "wrong"}, headers=headers)
    home.anonymous.get("/token", auth=(user.name, "wrong"), headers=headers)
    found = events(home, user, "user.login.failed", count=2)
    assert [event.words["door"] for event in found] == ["hub", "registry"]
    for event in found:
        assert event.words == {
            **ORIGIN,
            "user_agent": "guesser",
            "method": "password",
            "reason": "wrong password",
            "door": event.words["door"],
        }


def test_the_password_of_a_deactivated_account_is_a_failure_of_its_own(home: Home) -> None:
    user = home.user()
    home.deactivate(user)
    home.anonymous.post(LOGIN, json={"username": user.name, "password": PASSWORD})
    (event,) = events(home, user, "user.login.failed", count=1)
    assert event.words["reason"] == "deactivated"


def test_a_pipeline_is_told_of_once_an_hour(home: Home) -> None:
    user = home.user()
    token, secret = home.access_token(user)
    other, other_secret = home.access_token(user)
    for _ in range(3):
        token_service(home, user, secret)
        home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": secret})
    token_service(home, user, other_secret)
    found = events(home, user, "user.login", count=2)
    assert [event.words["access_token_id"] for event in found] == [token.uuid, other.uuid]
    assert all(event.words["method"] == "access token" for event in found)
    assert found[0].words["access_token_label"] == token.label


def test_a_pipeline_with_a_token_that_has_ended_is_told_of_once_an_hour(home: Home) -> None:
    user = home.user()
    token, secret = home.access_token(user)
    switched_off = {"is_active": False}
    assert home.hub(user).patch(f"/v2/access-tokens/{token.uuid}", json=switched_off).status_code == 200
    for _ in range(3):
        assert [answer.status_code for answer in token_service(home, user, secret)] == [401, 401]
        assert [answer.status_code for answer in token_service(home, user, secret + "x")] == [401, 401]
    found = events(home, user, "user.login.failed", count=2)
    assert [event.words["reason"] for event in found] == ["the access token has ended", "unknown access token"]
    assert all(event.words["method"] == "access token" for event in found)


@pytest.mark.parametrize(
    ("user_agent", "version"),
    [
        (DESKTOP, "4.29.0"),
        ("Docker-Desktop/4.30.1-rc1 (linux)", "4.30.1-rc1"),
        ("Mozilla/5.0 docker-desktop/4.31", "4.31"),
        ("docker/28.0 docker-desktop", ""),
        ("docker-desktop/" + "4" * 5000, "4" * 64),
    ],
)
def test_a_login_leaves_its_time_and_the_version_of_docker_desktop(home: Home, user_agent: str, version: str) -> None:
    user = home.user()
    assert activity_of(home, user) == Activity(None, None, "")
    began = datetime.now(UTC)
    body = {"username": user.name, "password": PASSWORD}
    assert home.anonymous.post(LOGIN, json=body, headers={"user-agent": user_agent}).status_code == 200
    activity = seen(home, user, since=began)
    assert activity.last_logged_in_at is not None
    assert began <= activity.last_logged_in_at <= datetime.now(UTC)
    assert activity.last_desktop_version == version


def test_a_login_without_docker_desktop_keeps_its_version(home: Home) -> None:
    user = home.user()
    body = {"username": user.name, "password": PASSWORD}
    for agent in (DESKTOP, "curl/8"):
        home.anonymous.post(LOGIN, json=body, headers={"user-agent": agent})
    assert seen(home, user, since=datetime.now(UTC) - timedelta(minutes=1)).last_desktop_version == "4.29.0"


def test_a_failed_login_is_no_sign_of_life(home: Home) -> None:
    user = home.user()
    home.anonymous.post(LOGIN, json={"username": user.name, "password": "wrong"}, headers={"user-agent": DESKTOP})
    events(home, user, "user.login.failed", count=1)
    assert activity_of(home, user) == Activity(None, None, "")


@pytest.mark.parametrize("door", ["hub", "registry"])
def test_whoever_uses_a_bearer_token_has_been_seen(home: Home, door: str) -> None:
    user = home.user()
    name = home.repository(user.name)
    client = home.registry(user, name) if door == "registry" else home.hub(user)
    first = seen(home, user, since=datetime.now(UTC) - timedelta(minutes=1))

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                "update accounts set last_seen_at = null, last_logged_in_at = null where name = :name", name=user.name
            )

    home.run(verb)
    began = datetime.now(UTC)
    if door == "registry":
        push_image(client, name, "latest")
    else:
        assert client.get("/v2/access-tokens").status_code == 200
    activity = seen(home, user, since=began)
    assert activity.last_logged_in_at is None
    assert first.last_seen_at is not None


def test_a_login_goes_on_while_the_log_cannot_be_written(home: Home) -> None:
    """Somebody holds the lock of the writer; SQLite has one writer, so there no login could write its event."""
    user = home.user()
    body = {"username": user.name, "password": PASSWORD}

    async def verb(services: Services) -> httpx.Response:
        async with services.db.write() as tx, httpx.AsyncClient(base_url=home.url, timeout=20) as client:
            await tx.run("update accounts set full_name = 'held' where name = :name", name=user.name)
            return await client.post(LOGIN, json=body)

    assert home.run(verb).status_code == 200
    events(home, user, "user.login", count=1)


def test_a_wrong_password_costs_the_same_statements_whosever_it_is(home: Home) -> None:
    names = [home.user().name, enrolled(home).user.name, member_under_sso(home)[0].name, "nobody-here"]

    async def verb(services: Services) -> list[list[str]]:
        counted = []
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for name in names:
                statements: list[str] = []
                services.db.trace = statements.append
                answer = await client.post(LOGIN, json={"username": name, "password": "wrong"})
                services.db.trace = None
                assert answer.status_code == 401
                counted.append(statements)
        return counted

    counted = home.run(verb)
    assert len(counted[0]) == 1
    assert all(statements == counted[0] for statements in counted)
