"""How often a caller may ask the Hub door, and how it says so."""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest

from homeport.core.services import Services
from tests.conftest import DATABASES, NewHome
from tests.home import PASSWORD, Home, User, running_server

ANONYMOUS, USER, WINDOW_S = 5, 8, 3600
ATTEMPTS = 3
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")

_hosts = itertools.count(1)


def new_address() -> str:
    """An address that no other test asks from."""
    return str(IPv4Address("198.18.0.0") + next(_hosts))


@pytest.fixture(scope="module", params=DATABASES)
def limited(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A server with small limits, behind a proxy: tests choose where they ask from."""
    variables = {
        "HOMEPORT_RATE_LIMIT_ANONYMOUS": str(ANONYMOUS),
        "HOMEPORT_RATE_LIMIT_USER": str(USER),
        "HOMEPORT_RATE_LIMIT_WINDOW": str(WINDOW_S),
        "HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS": str(ATTEMPTS),
        "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1",
    }
    with new_home(request.param, **variables) as home:
        yield home


def client_at(home: Home, address: str = "", **headers: str) -> httpx.Client:
    return home.client(**{"x-forwarded-for": address or new_address()}, **headers)


def bearer(home: Home, user: User, secret: str = "") -> str:
    credentials = {"identifier": user.name, "secret": secret or user.password}
    answer = client_at(home).post("/v2/auth/token", json=credentials)
    assert answer.status_code == 200, answer.text
    return f"Bearer {answer.json()['access_token']}"


def left(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


@pytest.mark.parametrize(
    ("method", "path", "authorization", "status"),
    [
        ("GET", "/openapi.json", "", 200),
        ("GET", "/v2/access-tokens", "", 401),
        ("GET", "/v2/access-tokens", "Bearer none", 401),
        ("GET", "/v2/access-tokens", "Basic eDp5", 401),
        ("POST", "/v2/users/login", "", 400),
        ("POST", "/v2/auth/token/", "", 400),
        ("GET", "/v2/namespaces/no/repositories/no/tags", "", 404),
        ("HEAD", "/v2/namespaces/no/repositories/no/tags", "", 404),
        ("GET", "/v2/namespaces/a%2Fb/repositories/no/tags", "", 404),
        ("GET", "/v2/users/nowhere/at/all", "", 404),
        ("GET", "/nowhere", "Bearer none", 404),
        ("DELETE", "/v2/users/login", "", 405),
    ],
)
def test_every_answer_says_how_many_requests_are_left(
    limited: Home, method: str, path: str, authorization: str, status: int
) -> None:
    client = client_at(limited, authorization=authorization) if authorization else client_at(limited)
    began = int(time.time())
    answers = [client.request(method, path) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    assert [answer.headers["x-ratelimit-limit"] for answer in answers] == [str(ANONYMOUS)] * 2
    assert [left(answer) for answer in answers] == [ANONYMOUS - 1, ANONYMOUS - 2]
    assert began <= int(answers[0].headers["x-ratelimit-reset"]) - WINDOW_S <= time.time()
    assert answers[0].headers["x-ratelimit-reset"] == answers[1].headers["x-ratelimit-reset"]


def test_a_failure_of_ours_has_the_headers_too(limited: Home) -> None:
    async def rename(services: Services, old: str, new: str) -> None:
        async with services.db.write() as tx:
            await tx.run(f"alter table {old} rename to {new}")

    limited.run(lambda services: rename(services, "repositories", "away"))
    try:
        url = f"{limited.url}/v2/namespaces/no/repositories/no/tags"
        answer = httpx.get(url, headers={"x-forwarded-for": new_address()})
    finally:
        limited.run(lambda services: rename(services, "away", "repositories"))
    assert answer.status_code == 500
    assert left(answer) == ANONYMOUS - 1
    assert answer.headers["x-frame-options"] == "deny"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_who_asks_too_often_is_told_when_to_come_back(limited: Home, method: str) -> None:
    client = client_at(limited)
    allowed = [client.request(method, "/v2/users/login") for _ in range(ANONYMOUS)]
    assert 429 not in [answer.status_code for answer in allowed]
    assert left(allowed[-1]) == 0
    refused = [
        client.request(method, path, content=b"x") for path in ("/v2/users/login", "/nowhere", "/v2/users/x%2Fy")
    ]
    for answer in refused:
        assert answer.status_code == 429
        assert answer.content == (b"" if method == "HEAD" else b'{"detail":"Rate limit exceeded","error":false}')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-retry-after"] == allowed[0].headers["x-ratelimit-reset"]
        wait_s = int(answer.headers["x-retry-after"]) - time.time()
        assert abs(int(answer.headers["retry-after"]) - wait_s) <= 2
        assert [answer.headers[name] for name in HEADERS] == [str(ANONYMOUS), "0", answer.headers["x-retry-after"]]


def test_an_account_counts_wherever_it_asks_from_and_whatever_it_comes_with(limited: Home) -> None:
    user = limited.user()
    _, secret = limited.access_token(user)
    address = new_address()
    by_password, by_token = bearer(limited, user), bearer(limited, user, secret)
    for count, authorization in enumerate([by_password, by_token] * (USER // 2), 1):
        answer = client_at(limited, address if count % 2 else "", authorization=authorization).get("/v2/access-tokens")
        assert answer.status_code in (200, 403)
        assert answer.headers["x-ratelimit-limit"] == str(USER)
        assert left(answer) == USER - count
    assert client_at(limited, authorization=by_token).get("/v2/access-tokens").status_code == 429
    assert client_at(limited, authorization=by_password).get("/nowhere").status_code == 429
    # The address has lost nothing by that, nor has another account at it.
    assert left(client_at(limited, address).get("/nowhere")) == ANONYMOUS - 1
    other = client_at(limited, address, authorization=bearer(limited, limited.user())).get("/v2/access-tokens")
    assert (other.status_code, left(other)) == (200, USER - 1)


def test_the_site_administrator_counts_as_a_user(limited: Home) -> None:
    answer = client_at(limited, authorization=bearer(limited, limited.admin)).get("/v2/access-tokens")
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (200, str(USER))


def test_tokens_are_guessed_as_seldom_as_asked(limited: Home) -> None:
    address = new_address()
    right = bearer(limited, limited.user())
    for guess in range(ANONYMOUS):
        answer = client_at(limited, address, authorization=f"Bearer guess{guess}").get("/v2/access-tokens")
        assert (answer.status_code, left(answer)) == (401, ANONYMOUS - 1 - guess)
    assert client_at(limited, address, authorization="Bearer more").get("/v2/access-tokens").status_code == 429
    assert client_at(limited, address, authorization=right).get("/v2/access-tokens").status_code == 200


@pytest.mark.parametrize("path", ["/v2/users/login", "/v2/users/login/", "/v2/auth/token", "/v2/auth/token/"])
def test_logins_count_by_address_whoever_is_signed_in(limited: Home, path: str) -> None:
    client = client_at(limited, authorization=bearer(limited, limited.user()))
    assert [left(client.post(path, json={})) for _ in range(2)] == [ANONYMOUS - 1, ANONYMOUS - 2]


def test_addresses_of_one_ipv6_network_count_as_one(limited: Home) -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:DB8:1:2:0:0:0:9"]
    assert [left(client_at(limited, address).get("/nowhere")) for address in addresses] == [4, 3, 2]
    assert left(client_at(limited, "2001:db8:1:3::1").get("/nowhere")) == 4


def test_an_ipv4_address_is_the_same_however_it_is_written(limited: Home) -> None:
    address = new_address()
    assert [left(client_at(limited, text).get("/nowhere")) for text in (address, f"::ffff:{address}")] == [4, 3]


def test_of_requests_that_come_at_once_no_more_are_let_in(limited: Home) -> None:
    client = client_at(limited)
    with ThreadPoolExecutor(15) as threads:
        answers = list(threads.map(lambda _: client.get("/nowhere"), range(30)))
    assert sorted(answer.status_code for answer in answers) == [404] * ANONYMOUS + [429] * (30 - ANONYMOUS)
    assert sorted(left(answer) for answer in answers if answer.status_code == 404) == list(range(ANONYMOUS))


def test_at_the_end_of_the_window_the_caller_has_all_again(tmp_path: Path) -> None:
    variables = {"HOMEPORT_RATE_LIMIT_ANONYMOUS": "2", "HOMEPORT_RATE_LIMIT_WINDOW": "3"}
    with running_server(tmp_path / "hub", **variables) as url, httpx.Client(base_url=url) as client:
        answers = [client.get("/nowhere") for _ in range(20)]
        assert [answer.status_code for answer in answers] == [404] * 2 + [429] * 18
        time.sleep(max(0.0, int(answers[-1].headers["x-retry-after"]) - time.time()))
        assert [client.get("/nowhere").status_code for _ in range(3)] == [404, 404, 429]


def test_a_limit_of_nothing_is_no_limit(tmp_path: Path) -> None:
    variables = {"HOMEPORT_RATE_LIMIT_ANONYMOUS": "0", "HOMEPORT_RATE_LIMIT_USER": "1"}
    with running_server(tmp_path / "hub", **variables) as url, httpx.Client(base_url=url) as client:
        answers = [client.get("/nowhere") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {404}
        assert not any("ratelimit" in name for answer in answers for name in answer.headers)


def test_failed_logins_are_refused_alike_at_every_door(limited: Home) -> None:
    name = limited.user().name
    doors: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
        "login": lambda client, secret: client.post("/v2/users/login", json={"username": name, "password": secret}),
        "exchange": lambda client, secret: client.post("/v2/auth/token", json={"identifier": name, "secret": secret}),
        "token": lambda client, secret: client.get("/token", auth=(name, secret)),
        "form": lambda client, secret: client.post(
            "/token", data={"grant_type": "password", "username": name, "password": secret}
        ),
    }
    for number, (door, log_in) in enumerate(doors.items(), 16):
        # All addresses of a network count as one.
        clients = [client_at(limited, f"2001:db8:{number:x}:0:{host:x}::1") for host in range(ATTEMPTS + 1)]
        wrong = [log_in(client, "dckr_pat_wrong").status_code for client in clients[:ATTEMPTS]]
        assert wrong == [401] * ATTEMPTS, door
        answer = log_in(clients[-1], PASSWORD)
        assert answer.status_code == 429, door
        wait_s = int(answer.headers["retry-after"])
        assert 0 < wait_s <= limited.settings.login_attempts_window
        assert abs(int(answer.headers["x-retry-after"]) - time.time() - wait_s) < 5
        assert answer.headers["content-type"] == "application/json"
        text = "too many failed login attempts for username or IP address"
        if door in ("login", "exchange"):
            assert text in answer.json()["detail"]
            assert left(answer) == ANONYMOUS - ATTEMPTS - 1
        else:
            assert answer.json()["errors"][0] == {"code": "TOOMANYREQUESTS", "message": text, "detail": None}
        assert log_in(client_at(limited, f"2001:db8:{number:x}:1::1"), PASSWORD).status_code == 200, door


def test_logins_as_an_organization_count_for_the_address(limited: Home) -> None:
    """Each costs a hash: as many as anybody likes would keep everybody else waiting."""
    name = limited.organization(limited.user())
    client = client_at(limited)
    body = {"username": name, "password": "wrong"}
    answers = [client.post("/v2/users/login", json=body).status_code for _ in range(ATTEMPTS + 1)]
    assert answers == [401] * ATTEMPTS + [429]
