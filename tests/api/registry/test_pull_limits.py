"""How many pulls a caller has, and the headers in which Docker's clients look for it."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import anyio.from_thread
import httpx
import pytest

from homeport.names import RepositoryName
from tests.api.registry.test_tokens import claims
from tests.conftest import DATABASES, NewHome
from tests.home import Home, User, digest_of, push_image, running_server, settings_of

ANONYMOUS, USER, WINDOW_S = 3, 4, 7200

_hosts = itertools.count(1)


def new_address() -> str:
    """An address that no other test pulls from."""
    return str(IPv4Address("198.18.0.0") + next(_hosts))


@pytest.fixture(scope="module", params=DATABASES)
def limited(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A server with small limits of pulls, behind a proxy: tests choose where they pull from."""
    variables = {
        "HOMEPORT_PULL_LIMIT_ANONYMOUS": str(ANONYMOUS),
        "HOMEPORT_PULL_LIMIT_USER": str(USER),
        "HOMEPORT_PULL_LIMIT_WINDOW": str(WINDOW_S),
        "HOMEPORT_TRUSTED_PROXIES": "127.0.0.1",
    }
    with new_home(request.param, **variables) as home:
        yield home


@pytest.fixture(scope="module")
def image(limited: Home) -> RepositoryName:
    """A public repository with an image `latest`."""
    name = limited.repository("admin")
    push_image(limited.registry(limited.admin, name), name, "latest")
    return name


def puller(home: Home, user: User | None, name: RepositoryName, address: str = "") -> httpx.Client:
    client = home.registry(user, name, actions="pull")
    client.headers["x-forwarded-for"] = address or new_address()
    return client


def left(answer: httpx.Response) -> int:
    assert answer.headers["x-ratelimit-remaining"] == answer.headers["ratelimit-remaining"]
    count, _, window = answer.headers["ratelimit-remaining"].partition(";w=")
    assert int(window) == WINDOW_S
    return int(count)


def limit_headers(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if "ratelimit" in name}


def test_a_pull_of_a_manifest_counts_and_nothing_else_does(limited: Home, image: RepositoryName) -> None:
    address = new_address()
    client = puller(limited, None, image, address)
    path = f"/v2/{image}/manifests/latest"
    seen = client.head(path)
    assert seen.headers["ratelimit-limit"] == seen.headers["x-ratelimit-limit"] == f"{ANONYMOUS};w={WINDOW_S}"
    assert seen.headers["docker-ratelimit-source"] == address
    assert left(seen) == left(client.head(path)) == ANONYMOUS
    first = client.get(path)
    assert (first.status_code, left(first)) == (200, ANONYMOUS - 1)
    blob = client.get(f"/v2/{image}/blobs/{first.json()['config']['digest']}")
    tags = client.get(f"/v2/{image}/tags/list")
    assert (blob.status_code, tags.status_code) == (200, 200)
    assert limit_headers(blob) == limit_headers(tags) == set()
    assert left(client.head(path)) == ANONYMOUS - 1
    by_digest = client.get(f"/v2/{image}/manifests/{digest_of(first.content)}")
    assert (by_digest.status_code, left(by_digest)) == (200, ANONYMOUS - 2)


def test_a_pull_that_finds_nothing_new_counts(limited: Home, image: RepositoryName) -> None:
    client = puller(limited, None, image)
    path = f"/v2/{image}/manifests/latest"
    etag = client.head(path).headers["etag"]
    answer = client.get(path, headers={"if-none-match": etag})
    assert (answer.status_code, left(answer)) == (304, ANONYMOUS - 1)


def test_beyond_the_limit_a_pull_is_refused_in_the_words_that_clients_look_for(
    limited: Home, image: RepositoryName
) -> None:
    client = puller(limited, None, image)
    path = f"/v2/{image}/manifests/latest"
    assert [left(client.get(path)) for _ in range(ANONYMOUS)] == [2, 1, 0]
    for _ in range(3):
        refused = client.get(path)
        assert refused.status_code == 429
        error = refused.json()["errors"][0]
        assert error["code"] == "TOOMANYREQUESTS"
        assert str(ANONYMOUS) in error["message"]
        wait_s = int(refused.headers["retry-after"])
        assert WINDOW_S - 60 < wait_s <= WINDOW_S
        assert abs(int(refused.headers["x-retry-after"]) - time.time() - wait_s) < 5
        assert left(refused) == 0
        assert refused.headers["docker-ratelimit-source"] == client.headers["x-forwarded-for"]
    seen = client.head(path)
    assert (seen.status_code, left(seen)) == (200, 0)
    blob = client.get(f"/v2/{image}/blobs/{digest_of(b'layer ')}")
    assert blob.status_code == 200


def test_a_pull_that_fails_does_not_count(limited: Home, image: RepositoryName) -> None:
    secret = limited.repository(limited.user().name, is_private=True)
    client = puller(limited, None, image)
    nobody = limited.client(**{"x-forwarded-for": client.headers["x-forwarded-for"]})
    missing = client.get(f"/v2/{image}/manifests/none")
    assert (missing.status_code, left(missing)) == (404, ANONYMOUS)
    for denied in (
        nobody.get(f"/v2/{secret}/manifests/latest"),
        client.get(f"/v2/{secret}/manifests/latest"),
        nobody.get(f"/v2/{image}/manifests/latest", headers={"authorization": "Bearer wrong"}),
    ):
        assert denied.status_code == 401
        assert limit_headers(denied) == {"docker-ratelimit-source"}
        assert denied.headers["docker-ratelimit-source"] == client.headers["x-forwarded-for"]
    assert left(client.head(f"/v2/{image}/manifests/latest")) == ANONYMOUS


def test_pushes_are_not_pulls(limited: Home, image: RepositoryName) -> None:
    user = limited.user()
    name = limited.repository(user.name)
    client = limited.registry(user, name)
    for number in range(USER + 1):
        push_image(client, name, f"v{number}")
    assert left(client.head(f"/v2/{name}/manifests/v0")) == USER


def test_an_account_has_its_own_limit_wherever_it_pulls_from(limited: Home, image: RepositoryName) -> None:
    user, other, address = limited.user(), limited.user(), new_address()
    path = f"/v2/{image}/manifests/latest"
    for count in range(USER):
        answer = puller(limited, user, image, address if count % 2 else "").get(path)
        assert answer.headers["ratelimit-limit"] == f"{USER};w={WINDOW_S}"
        assert answer.headers["docker-ratelimit-source"] == user.name
        assert left(answer) == USER - 1 - count
    assert puller(limited, user, image).get(path).status_code == 429
    assert left(puller(limited, other, image, address).get(path)) == USER - 1
    assert left(puller(limited, None, image, address).get(path)) == ANONYMOUS - 1


def test_pulls_of_one_ipv6_network_count_as_one(limited: Home, image: RepositoryName) -> None:
    path = f"/v2/{image}/manifests/latest"
    addresses = ["2001:db8:7:7::1", "2001:db8:7:7:8000::", "2001:db8:7:8::1"]
    assert [left(puller(limited, None, image, address).get(path)) for address in addresses] == [2, 1, 2]


def test_of_pulls_that_come_at_once_no_more_are_let_through(limited: Home, image: RepositoryName) -> None:
    client = puller(limited, None, image)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: client.get(f"/v2/{image}/manifests/latest"), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * ANONYMOUS + [429] * (20 - ANONYMOUS)


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_a_token_tells_the_limit(limited: Home, image: RepositoryName, is_signed_in: bool) -> None:
    client = puller(limited, limited.admin if is_signed_in else None, image)
    access = claims(client.headers["authorization"].removeprefix("Bearer "))["access"]
    assert isinstance(access, list)
    limit = USER if is_signed_in else ANONYMOUS
    assert [entry["parameters"] for entry in access] == [
        {"pull_limit": str(limit), "pull_limit_interval": str(WINDOW_S)}
    ]


def test_without_a_limit_there_are_no_headers(home: Home) -> None:
    name = home.repository("admin")
    client = home.registry(home.admin, name)
    push_image(client, name, "latest")
    for answer in (
        client.get(f"/v2/{name}/manifests/latest"),
        home.registry(None, name).get(f"/v2/{name}/manifests/latest"),
        home.anonymous.get(f"/v2/{name}-not/manifests/latest"),
    ):
        assert limit_headers(answer) == set()
    access = claims(client.headers["authorization"].removeprefix("Bearer "))["access"]
    assert isinstance(access, list)
    assert "parameters" not in access[0]


def test_who_has_no_limit_sees_none_where_others_have_one(
    tmp_path: Path, portal: anyio.from_thread.BlockingPortal
) -> None:
    data = tmp_path / "hub"
    with (
        running_server(data, HOMEPORT_PULL_LIMIT_ANONYMOUS="1") as url,
        contextlib.closing(Home(url, settings_of(data), portal)) as home,
    ):
        name = home.repository("admin")
        client = home.registry(home.admin, name)
        push_image(client, name, "latest")
        answers = [client.get(f"/v2/{name}/manifests/latest") for _ in range(3)]
        assert [(answer.status_code, limit_headers(answer)) for answer in answers] == [(200, set())] * 3
        nobody = home.registry(None, name)
        assert [nobody.get(f"/v2/{name}/manifests/latest").status_code for _ in range(2)] == [200, 429]
