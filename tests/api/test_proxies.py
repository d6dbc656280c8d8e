"""Where a request comes from, as the limits, the log and absolute URLs see it."""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.home import ADMIN_PASSWORD, running_server

LIMIT = 1000
FORGED = {
    "x-forwarded-for": "203.0.113.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example.com",
    "x-real-ip": "203.0.113.1",
    "forwarded": "for=203.0.113.1;proto=https;host=evil.example.com",
}

_marks = itertools.count(1)


@contextlib.contextmanager
def server(tmp_path: Path, trusted: str) -> Iterator[tuple[httpx.Client, Path]]:
    """A client of a server with trusted proxies, and the server's log."""
    variables = {"HOMEPORT_RATE_LIMIT_ANONYMOUS": str(LIMIT)}
    if trusted:
        variables["HOMEPORT_TRUSTED_PROXIES"] = trusted
    with running_server(tmp_path / "hub", **variables) as url, httpx.Client(base_url=url) as client:
        yield client, tmp_path / "hub.log"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A server that trusts this machine, and two networks behind it."""
    with server(tmp_path_factory.mktemp("proxied"), "127.0.0.1, 10.0.0.0/8, 2001:db8:aaaa::/48") as found:
        yield found


def logged_address(client: httpx.Client, log: Path, headers: Any = None) -> str:
    """The address in the log line of a request."""
    path = f"/nowhere/{next(_marks)}"
    client.get(path, headers=headers)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("{") and json.loads(line).get("path") == path:
                return str(json.loads(line)["address"])
        time.sleep(0.02)
    raise AssertionError("no log line")


def realm(client: httpx.Client, headers: Any = None) -> str:
    """What absolute URLs begin with."""
    challenge = client.get("/v2/", headers=headers).headers["www-authenticate"]
    found = re.search(r'realm="(.*)/token"', challenge)
    assert found
    return found[1]


@pytest.mark.parametrize("trusted", ["", "192.0.2.1,10.0.0.0/8"])
def test_a_forged_forwarded_address_changes_nothing(tmp_path: Path, trusted: str) -> None:
    with server(tmp_path, trusted) as (client, log):
        left = [
            int(client.get("/nowhere", headers=headers).headers["x-ratelimit-remaining"])
            for headers in (
                {},
                FORGED,
                {"x-forwarded-for": "203.0.113.2"},
                {"x-forwarded-for": "203.0.113.3, 10.0.0.1"},
            )
        ]
        assert left == [LIMIT - 1, LIMIT - 2, LIMIT - 3, LIMIT - 4]
        assert logged_address(client, log, FORGED) == "127.0.0.1"
        assert realm(client, FORGED) == str(client.base_url).rstrip("/")


def test_a_trusted_proxy_says_who_asks(proxied: tuple[httpx.Client, Path]) -> None:
    client, log = proxied
    assert logged_address(client, log) == "127.0.0.1"
    assert logged_address(client, log, {"x-forwarded-for": "203.0.113.5"}) == "203.0.113.5"
    assert logged_address(client, log, {"x-forwarded-for": "203.0.113.5, 10.1.1.1,10.2.2.2"}) == "203.0.113.5"
    assert logged_address(client, log, {"x-forwarded-for": "2001:DB8::5, 2001:db8:aaaa::1"}) == "2001:db8::5"
    assert logged_address(client, log, {"x-forwarded-for": "::ffff:203.0.113.5"}) == "203.0.113.5"
    repeated = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "10.1.1.1")]
    assert logged_address(client, log, repeated) == "203.0.113.5"


def test_what_a_client_forges_before_a_trusted_proxy_changes_nothing(proxied: tuple[httpx.Client, Path]) -> None:
    client, log = proxied
    left = []
    for forged in ("203.0.113.200", "10.9.9.9", "nonsense", "127.0.0.1, 203.0.113.201"):
        headers = {"x-forwarded-for": f"{forged}, 203.0.113.6, 10.1.1.1"}
        assert logged_address(client, log, headers) == "203.0.113.6"
        left.append(int(client.get("/nowhere", headers=headers).headers["x-ratelimit-remaining"]))
    assert left == [LIMIT - 2, LIMIT - 4, LIMIT - 6, LIMIT - 8]
    repeated = [("x-forwarded-for", "203.0.113.202"), ("x-forwarded-for", "203.0.113.6")]
    assert logged_address(client, log, repeated) == "203.0.113.6"


@pytest.mark.parametrize("said", ["unknown", "", ",", "203.0.113.7,", "<script>", "203.0.113.7 10.0.0.1", "_hidden"])
def test_what_is_no_address_leaves_the_proxys_own(proxied: tuple[httpx.Client, Path], said: str) -> None:
    client, log = proxied
    assert logged_address(client, log, {"x-forwarded-for": said}) == "127.0.0.1"


def test_a_trusted_proxy_says_by_what_url_it_was_asked(proxied: tuple[httpx.Client, Path]) -> None:
    client, _ = proxied
    own = str(client.base_url).rstrip("/")
    host = own.removeprefix("http://")
    said = {"x-forwarded-proto": "https", "x-forwarded-host": "hub.example.com"}
    assert realm(client, said) == "https://hub.example.com"
    assert realm(client, {"x-forwarded-proto": "HTTPS"}) == f"https://{host}"
    assert realm(client, {"x-forwarded-host": "hub.example.com:8443"}) == "http://hub.example.com:8443"
    assert realm(client, {"x-forwarded-host": "[2001:db8::1]:8443"}) == "http://[2001:db8::1]:8443"
    forged = {"x-forwarded-proto": "http, https", "x-forwarded-host": "evil.example.com, hub.example.com"}
    assert realm(client, forged) == "https://hub.example.com"


@pytest.mark.parametrize(
    "said", ["", "a/b", 'a"b', "a b", "user@host", "a:b", "a:123456", "x" * 300, "[::1", "javascript:alert(1)"]
)
def test_what_is_no_scheme_and_no_host_is_left_out(proxied: tuple[httpx.Client, Path], said: str) -> None:
    client, _ = proxied
    assert realm(client, {"x-forwarded-proto": said, "x-forwarded-host": said}) == str(client.base_url).rstrip("/")


def test_what_is_kept_of_a_request_holds_the_clients_address(proxied: tuple[httpx.Client, Path]) -> None:
    client, _ = proxied
    login = client.post("/v2/auth/token", json={"identifier": "admin", "secret": ADMIN_PASSWORD})
    headers = {"authorization": f"Bearer {login.json()['access_token']}", "x-forwarded-for": "203.0.113.10, 10.1.1.1"}
    made = client.post("/v2/access-tokens", json={"token_label": "x", "scopes": ["repo:read"]}, headers=headers)
    assert made.json()["creator_ip"] == "203.0.113.10"


def test_forwarded_is_not_read(proxied: tuple[httpx.Client, Path]) -> None:
    client, log = proxied
    headers = {"forwarded": FORGED["forwarded"]}
    assert logged_address(client, log, headers) == "127.0.0.1"
    assert realm(client, headers) == str(client.base_url).rstrip("/")


def test_where_one_socket_takes_both_ipv4_is_ipv4(tmp_path: Path) -> None:
    variables = {"HOMEPORT_HOST": "::", "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1"}
    with running_server(tmp_path / "hub", **variables) as url, httpx.Client(base_url=url) as client:
        assert logged_address(client, tmp_path / "hub.log") == "127.0.0.1"
        headers = {"x-forwarded-for": "203.0.113.8"}
        assert logged_address(client, tmp_path / "hub.log", headers) == "203.0.113.8"
