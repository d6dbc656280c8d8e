import base64
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from homeport.core import passwords
from homeport.core.activity import Door, Visit
from homeport.core.services import Services
from homeport.errors import NotAuthenticated
from tests.home import PASSWORD, Home, User, unique

LOGIN = "/v2/users/login"
EXCHANGE = "/v2/auth/token"


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_password_buys_a_bearer_token(home: Home, method: str, slash: str) -> None:
    name = home.user().name
    answer = home.anonymous.request(method, LOGIN + slash, json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"token"}
    claims = claims_of(answer.json()["token"])
    assert claims["https://hub.docker.com"]["username"] == name
    assert claims["exp"] - claims["iat"] == home.settings.login_token_lifetime
    assert claims["iat"] <= time.time()


def test_a_refresh_token_comes_when_it_is_asked_for(home: Home) -> None:
    body = {"username": home.user().name, "password": PASSWORD}
    answer = home.anonymous.post(LOGIN, params={"refresh_token": "true"}, json=body)
    assert set(answer.json()) == {"token", "refresh_token"}


def test_an_exchanged_token_lives_ten_minutes(home: Home) -> None:
    body = {"identifier": home.user().name, "secret": PASSWORD}
    answer = home.anonymous.post(EXCHANGE, json=body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token"}
    claims = claims_of(answer.json()["access_token"])
    assert claims["exp"] - claims["iat"] == 600


def test_an_access_token_does_for_a_password(home: Home) -> None:
    name = home.user().name
    owner = home.hub(User(name))
    created = owner.post("/v2/access-tokens", json={"token_label": "ci", "scopes": ["repo:read"]})
    for path, body in (
        (LOGIN, {"username": name, "password": created.json()["token"]}),
        (EXCHANGE, {"identifier": name, "secret": created.json()["token"]}),
    ):
        assert home.anonymous.post(path, json=body).status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(home: Home) -> None:
    name = home.user().name
    answers = [
        home.anonymous.post(LOGIN, json={"username": username, "password": "wrong"})
        for username in (name, "nobody-here")
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.content == b'{"detail":"Incorrect authentication credentials"}'


def test_a_wrong_secret_is_refused_with_a_message(home: Home) -> None:
    answer = home.anonymous.post(EXCHANGE, json={"identifier": home.user().name, "secret": "wrong"})
    assert answer.status_code == 401
    text = "incorrect username or password"
    assert answer.json() == {"message": text, "detail": text, "errinfo": {}}


def test_an_organization_cannot_log_in(home: Home) -> None:
    name = home.organization(home.user())
    answer = home.anonymous.post(LOGIN, json={"username": name, "password": PASSWORD})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Cannot log into an organization account"}


def test_too_many_wrong_passwords_lock_the_name(home: Home) -> None:
    name = home.user().name
    body = {"username": name, "password": "wrong"}
    for _ in range(home.settings.login_attempts_per_account):
        assert home.anonymous.post(LOGIN, json=body).status_code == 401
    for path, right in (
        (LOGIN, {"username": name, "password": PASSWORD}),
        (EXCHANGE, {"identifier": name, "secret": PASSWORD}),
    ):
        answer = home.anonymous.post(path, json=right)
        assert answer.status_code == 429
        wait_s = int(answer.headers["retry-after"])
        assert 0 < wait_s <= home.settings.login_attempts_window
        assert abs(int(answer.headers["x-retry-after"]) - time.time() - wait_s) < 5
        assert "too many failed login attempts" in answer.json()["detail"]


def test_of_an_endless_name_the_count_keeps_only_the_beginning(home: Home) -> None:
    """Ten megabytes of names would stay in memory for as long as failures count."""
    beginning = unique("x").ljust(64, "x")
    for number in range(home.settings.login_attempts_per_account):
        body = {"username": f"{beginning}{number}" + 1000 * "y", "password": "wrong"}
        assert home.anonymous.post(LOGIN, json=body).status_code == 401
    body = {"username": beginning, "password": "wrong"}
    assert home.anonymous.post(LOGIN, json=body).status_code == 429


def test_guesses_at_once_are_no_more_than_guesses_one_by_one(home: Home) -> None:
    name = home.user().name
    limit = home.settings.login_attempts_per_account

    def guess(number: int) -> int:
        body = {"username": name, "password": f"guess {number}"}
        return httpx.post(f"{home.url}{LOGIN}", json=body, timeout=30).status_code

    with ThreadPoolExecutor(3 * limit) as pool:
        statuses = Counter(pool.map(guess, range(3 * limit)))
    assert set(statuses) == {401, 429}
    assert statuses[401] < limit + passwords.THREADS  # the last ones may be at work together


@pytest.mark.parametrize(("secret", "hashes"), [("wrong", 1), ("dckr_pat_" + "x" * 27, 0)])
def test_an_unknown_name_costs_the_same_hash_as_a_known_one(
    home: Home, monkeypatch: pytest.MonkeyPatch, secret: str, hashes: int
) -> None:
    verify, verified = passwords._verify, []

    def counted(password: str, password_hash: str) -> bool:
        verified.append(password_hash.rpartition("$")[0].rpartition("$")[0])  # the parameters, without salt and hash
        return verify(password, password_hash)

    monkeypatch.setattr(passwords, "_verify", counted)
    shut = home.user()
    home.deactivate(shut)
    for name in (home.user().name, home.organization(home.user()), shut.name, unique("nobody")):

        async def log_in(services: Services, name: str = name) -> None:
            with pytest.raises(NotAuthenticated):
                await services.logins.log_in(name, secret, Visit(Door.HUB, "127.0.0.1", ""))

        home.run(log_in)
    assert len(verified) == 4 * hashes
    assert len(set(verified)) == hashes


def test_a_login_is_not_stopped_by_the_token_that_has_expired(home: Home) -> None:
    body = {"username": home.user().name, "password": PASSWORD}
    answer = home.client(authorization="Bearer stale").post(LOGIN, json=body)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "odd"])
def test_a_body_is_json_whatever_its_content_type_says(home: Home, content_type: str) -> None:
    content = json.dumps({"username": home.user().name, "password": PASSWORD}).encode()
    answer = home.anonymous.post(LOGIN, content=content, headers={"content-type": content_type})
    assert answer.status_code == 200


@pytest.mark.parametrize("content", [b"", b"no", b"[]", b"null", b'"\xff"', b"[" * 100_000, rb'{"username":"\ud800"}'])
def test_a_login_that_cannot_be_read_is_told_so_in_plain_text(home: Home, content: bytes) -> None:
    answer = home.anonymous.post(LOGIN, content=content)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("malformed request: ")
    assert content or answer.text == "malformed request: EOF"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"username": "a"}, "password"), ({"username": 1, "password": "b"}, "username")],
)
def test_a_login_with_a_wrong_field_is_told_which(home: Home, body: dict[str, Any], field: str) -> None:
    answer = home.anonymous.post(LOGIN, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["detail"]


def test_a_body_beyond_the_limit_is_not_read(home: Home) -> None:
    for path in (LOGIN, EXCHANGE):
        answer = home.anonymous.post(path, content=b" " * (1024 * 1024 + 1))
        assert answer.status_code == 413
