"""The second factor: switched on, asked for, used up, and switched off."""

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest

from homeport.core import accounts
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from tests.api.hub.logins import (
    CODE_LOGIN,
    EXCHANGE,
    INCORRECT,
    LOGIN,
    SECOND_FACTOR,
    away_from_a_boundary,
    code_of,
    enrol,
    enrolled,
    events,
    forget_codes,
    half_logged_in,
    log_in_by_code,
    sha256_of,
    stored_recovery_codes,
    token_service,
    wrong_code,
)
from tests.api.hub.test_authentication import claims_of
from tests.home import PASSWORD, Home, User, clean_environment

REQUIRED = "Require secondary authentication on MFA enabled account"
AT_ONCE = 8


def at_once(home: Home, path: str, bodies: list[dict[str, Any]], authorization: str = "") -> list[httpx.Response]:
    """Answers to requests that are sent at the same time."""
    headers = {"authorization": authorization} if authorization else {}
    with (
        httpx.Client(base_url=home.url, headers=headers, timeout=30) as client,
        ThreadPoolExecutor(len(bodies)) as pool,
    ):
        return list(pool.map(lambda body: client.post(path, json=body), bodies))


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


# Switching it on


def test_enrolling_shows_a_secret_and_changes_nothing_yet(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    answer = client.post(SECOND_FACTOR, json={"password": PASSWORD})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"secret", "otpauth_uri", "qr_code"}
    assert len(body["secret"]) == 32
    assert body["otpauth_uri"] == f"otpauth://totp/Homeport:{user.name}?secret={body['secret']}&issuer=Homeport"
    media_type, _, svg = body["qr_code"].partition(",")
    assert media_type == "data:image/svg+xml;charset=utf-8"
    assert ElementTree.fromstring(unquote(svg)).tag == "{http://www.w3.org/2000/svg}svg"
    assert client.get(SECOND_FACTOR).json() == {"enabled": False, "recovery_codes_left": 0}
    assert home.anonymous.post(LOGIN, json={"username": user.name, "password": PASSWORD}).status_code == 200


def test_a_first_code_switches_it_on_and_gives_recovery_codes(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    secret = enrol(home, client, user)
    answer = client.post(f"{SECOND_FACTOR}/confirm/", json={"code": code_of(secret)})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"recovery_codes", "token"}
    assert len(set(body["recovery_codes"])) == 10
    assert stored_recovery_codes(home, user) == {sha256_of(code) for code in body["recovery_codes"]}
    again = home.client(authorization=f"Bearer {body['token']}")
    assert again.get(f"{SECOND_FACTOR}/").json() == {"enabled": True, "recovery_codes_left": 10}


def test_the_last_secret_shown_is_the_one_that_counts(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    first = enrol(home, client, user)
    second = enrol(home, client, user)
    refused = client.post(f"{SECOND_FACTOR}/confirm", json={"code": code_of(first)})
    assert refused.status_code == 400
    assert client.post(f"{SECOND_FACTOR}/confirm", json={"code": code_of(second)}).status_code == 200


def test_the_code_that_confirmed_does_not_log_in(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    secret = enrol(home, client, user)
    code = code_of(secret)
    assert client.post(f"{SECOND_FACTOR}/confirm", json={"code": code}).status_code == 200
    assert log_in_by_code(home, half_logged_in(home, user), code).status_code == 401


def test_two_confirmations_at_once_make_one_set_of_recovery_codes(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    secret = enrol(home, client, user)
    bodies = [{"code": code_of(secret)}] * AT_ONCE
    answers = at_once(home, f"{SECOND_FACTOR}/confirm", bodies, client.headers["authorization"])
    confirmed = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(confirmed) == 1
    assert stored_recovery_codes(home, user) == {sha256_of(code) for code in confirmed[0]["recovery_codes"]}
    assert set(statuses(answers)) <= {200, 401, 409, 429}  # its own session ends with the one that came first


def test_what_a_password_had_bought_ends_when_it_is_switched_on(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    other = home.hub(user)
    bought = home.anonymous.get("/token", params={"offline_token": "true"}, auth=(user.name, PASSWORD)).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": bought["refresh_token"]}
    registry = home.client(authorization=f"Bearer {bought['token']}")
    assert home.anonymous.post("/token", data=refresh).status_code == 200
    assert other.get(SECOND_FACTOR).status_code == 200
    assert registry.get("/v2/").status_code == 200
    secret = enrol(home, client, user)
    assert client.post(f"{SECOND_FACTOR}/confirm", json={"code": code_of(secret)}).status_code == 200
    assert home.anonymous.post("/token", data=refresh).status_code == 401
    assert other.get(SECOND_FACTOR).status_code == 401
    assert client.get(SECOND_FACTOR).status_code == 401
    assert registry.get("/v2/").status_code == 401


def test_it_is_switched_on_once_and_off_once(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    nothing = client.post(f"{SECOND_FACTOR}/confirm", json={"code": "123456"})
    assert nothing.status_code == 409
    assert nothing.json()["message"] == "the second factor is not on"
    for path in (f"{SECOND_FACTOR}/disable", f"{SECOND_FACTOR}/recovery-codes"):
        answer = client.post(path, json={"password": PASSWORD, "code": "123456"})
        assert answer.status_code == 409, path
    who = enrolled(home, user)
    for path, body in ((SECOND_FACTOR, {"password": PASSWORD}), (f"{SECOND_FACTOR}/confirm", {"code": who.code})):
        answer = who.client.post(path, json=body)
        assert answer.status_code == 409, path
        assert answer.json()["message"] == "the second factor is on already"
    assert log_in_by_code(home, half_logged_in(home, user), who.code).status_code == 200


# Logging in


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_right_password_is_answered_with_the_way_to_the_second_half(home: Home, slash: str) -> None:
    who = enrolled(home)
    answer = home.anonymous.post(LOGIN + slash, json={"username": who.user.name, "password": PASSWORD})
    assert answer.status_code == 401
    body = answer.json()
    assert set(body) == {"detail", "login_2fa_token"}
    assert body["detail"] == REQUIRED
    claims = claims_of(body["login_2fa_token"])
    assert claims["exp"] - claims["iat"] == 300
    assert who.user.name not in str(claims)
    logged_in = home.anonymous.post(
        CODE_LOGIN + slash, json={"login_2fa_token": body["login_2fa_token"], "code": who.code}
    )
    assert logged_in.status_code == 200
    assert logged_in.headers["content-type"] == "application/json"
    assert set(logged_in.json()) == {"token"}
    claims = claims_of(logged_in.json()["token"])
    assert claims["https://hub.docker.com"]["username"] == who.user.name
    assert claims["exp"] - claims["iat"] == home.settings.login_token_lifetime
    client = home.client(authorization=f"Bearer {logged_in.json()['token']}")
    assert client.get(SECOND_FACTOR).json()["enabled"]


def test_an_exchange_of_a_right_password_carries_the_same_token(home: Home) -> None:
    who = enrolled(home)
    answer = home.anonymous.post(EXCHANGE, json={"identifier": who.user.name, "secret": PASSWORD})
    assert answer.status_code == 401
    body = answer.json()
    assert set(body) == {"message", "detail", "errinfo", "login_2fa_token"}
    assert body["message"] == body["detail"] == REQUIRED
    assert log_in_by_code(home, body["login_2fa_token"], who.code).status_code == 200


def test_a_refresh_token_comes_when_it_is_asked_for_and_buys_registry_tokens(home: Home) -> None:
    who = enrolled(home)
    answer = log_in_by_code(home, half_logged_in(home, who.user), who.code, refresh_token="true")
    assert set(answer.json()) == {"token", "refresh_token"}
    form = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    assert home.anonymous.post("/token", data=form).status_code == 200


def test_a_wrong_password_does_not_tell_that_there_is_a_second_factor(home: Home) -> None:
    name = enrolled(home).user.name
    answers = [
        home.anonymous.post(LOGIN, json={"username": username, "password": "wrong"})
        for username in (name, home.user().name, "nobody-here")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, INCORRECT)}
    answers = [
        home.anonymous.post(EXCHANGE, json={"identifier": username, "secret": "wrong"})
        for username in (name, home.user().name, "nobody-here")
    ]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1


@pytest.mark.parametrize("after_s", [-30, 0, 30])
def test_a_clock_may_be_one_step_off(home: Home, after_s: int) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)
    away_from_a_boundary()
    assert log_in_by_code(home, login_token, code_of(who.secret, after_s=after_s)).status_code == 200


@pytest.mark.parametrize("after_s", [-60, 60])
def test_a_clock_may_not_be_two_steps_off(home: Home, after_s: int) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)
    away_from_a_boundary()
    answer = log_in_by_code(home, login_token, code_of(who.secret, after_s=after_s))
    assert answer.status_code == 401
    assert answer.content == INCORRECT


def test_a_replayed_code_is_refused_and_so_is_every_earlier_one(home: Home) -> None:
    who = enrolled(home)
    away_from_a_boundary()
    earlier, now, later = (code_of(who.secret, after_s=seconds) for seconds in (-30, 0, 30))
    login_token = half_logged_in(home, who.user)
    assert log_in_by_code(home, login_token, now).status_code == 200
    for code in (now, earlier):
        for token in (login_token, half_logged_in(home, who.user)):
            answer = log_in_by_code(home, token, code)
            assert answer.status_code == 401
            assert answer.content == INCORRECT
    assert log_in_by_code(home, login_token, later).status_code == 200


def test_of_requests_with_one_code_at_once_one_is_let_in(home: Home) -> None:
    who = enrolled(home)
    body = {"login_2fa_token": half_logged_in(home, who.user), "code": who.code}
    assert statuses(at_once(home, CODE_LOGIN, [body] * AT_ONCE)) == {200: 1, 401: AT_ONCE - 1}


def test_of_requests_with_one_recovery_code_at_once_one_is_let_in(home: Home) -> None:
    who = enrolled(home)
    body = {"login_2fa_token": half_logged_in(home, who.user), "code": who.recovery_codes[0]}
    assert statuses(at_once(home, CODE_LOGIN, [body] * AT_ONCE)) == {200: 1, 401: AT_ONCE - 1}


def test_a_recovery_code_does_for_a_code_once(home: Home) -> None:
    who = enrolled(home)
    first, second = who.recovery_codes[:2]
    assert log_in_by_code(home, half_logged_in(home, who.user), first).status_code == 200
    again = log_in_by_code(home, half_logged_in(home, who.user), first)
    assert again.status_code == 401
    assert again.content == INCORRECT
    typed = second.upper().replace("-", " ")
    assert log_in_by_code(home, half_logged_in(home, who.user), typed).status_code == 200
    assert who.client.get(SECOND_FACTOR).json()["recovery_codes_left"] == 8


def test_a_recovery_code_of_somebody_else_is_no_good(home: Home) -> None:
    one, other = enrolled(home), enrolled(home)
    assert log_in_by_code(home, half_logged_in(home, one.user), other.recovery_codes[0]).status_code == 401
    assert log_in_by_code(home, half_logged_in(home, one.user), other.code).status_code == 401
    assert other.client.get(SECOND_FACTOR).json()["recovery_codes_left"] == 10


def test_the_token_of_the_first_half_opens_nothing_else(home: Home) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)
    client = home.client(authorization=f"Bearer {login_token}")
    assert client.get("/v2/access-tokens").status_code == 401
    assert client.get("/v2/").status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": login_token}
    assert home.anonymous.post("/token", data=form).status_code == 401


def test_no_other_token_does_for_that_of_the_first_half(home: Home) -> None:
    who = enrolled(home)
    bearer = who.client.headers["authorization"].partition(" ")[2]
    refresh = log_in_by_code(home, half_logged_in(home, who.user), who.code, refresh_token="true").json()
    forget_codes(home, who.user)
    for token in (bearer, refresh["token"], refresh["refresh_token"], "no", "", "\ud800"):
        body = {"login_2fa_token": token, "code": who.code}
        answer = home.anonymous.post(CODE_LOGIN, content=json.dumps(body))
        assert answer.status_code in (400, 401), token
        assert answer.status_code == 400 or answer.content == INCORRECT
    assert log_in_by_code(home, half_logged_in(home, who.user), who.code).status_code == 200


def test_the_first_half_ends_with_the_password(home: Home) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)

    async def verb(services: Services) -> None:
        password_hash = await accounts.hash_new_password("another long password")
        async with services.db.write() as tx:
            await accounts.reset_password(tx, actor=OPERATOR, name=who.user.name, password_hash=password_hash)

    home.run(verb)
    assert log_in_by_code(home, login_token, who.code).status_code == 401
    fresh = half_logged_in(home, User(who.user.name, "another long password"))
    assert log_in_by_code(home, fresh, who.code).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login_2fa_token": "x"}, "code"),
        ({"code": "123456"}, "login_2fa_token"),
        ({"login_2fa_token": "x", "code": 123456}, "code"),
    ],
)
def test_a_second_half_with_a_wrong_field_is_told_which(home: Home, body: dict[str, Any], field: str) -> None:
    answer = home.anonymous.post(CODE_LOGIN, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["detail"]


@pytest.mark.parametrize("code", ["", " ", "12345", "١٢٣٤٥٦", "1" * 100_000, "\u0000", "a-b-c"])
def test_a_code_of_any_shape_is_answered(home: Home, code: str) -> None:
    who = enrolled(home)
    assert log_in_by_code(home, half_logged_in(home, who.user), code).status_code == 401
    answer = who.client.post(f"{SECOND_FACTOR}/disable", json={"password": PASSWORD, "code": code})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"code"}


# Limits


def test_too_many_wrong_codes_lock_the_second_half_and_all_else_that_takes_a_code(home: Home) -> None:
    who = enrolled(home)
    pat = home.access_token(who.user)[1]
    login_token = half_logged_in(home, who.user)
    wrong = wrong_code(who.secret)
    for _ in range(home.settings.login_attempts_per_account):
        assert log_in_by_code(home, login_token, wrong).status_code == 401
    for answer in (
        log_in_by_code(home, login_token, who.code),
        log_in_by_code(home, half_logged_in(home, who.user), who.recovery_codes[0]),
        who.client.post(f"{SECOND_FACTOR}/disable", json=who.proof),
        who.client.post(f"{SECOND_FACTOR}/recovery-codes", json=who.proof),
    ):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= home.settings.login_attempts_window
    assert who.client.get(SECOND_FACTOR).json() == {"enabled": True, "recovery_codes_left": 10}
    assert home.anonymous.post(LOGIN, json={"username": who.user.name, "password": pat}).status_code == 200


def test_wrong_codes_at_once_are_no_way_round_the_limit(home: Home) -> None:
    who = enrolled(home)
    limit = home.settings.login_attempts_per_account
    body = {"login_2fa_token": half_logged_in(home, who.user), "code": wrong_code(who.secret)}
    assert statuses(at_once(home, CODE_LOGIN, [body] * 3 * limit)) == {401: limit, 429: 2 * limit}


def test_too_many_wrong_codes_lock_the_confirmation(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    secret = enrol(home, client, user)
    for _ in range(home.settings.login_attempts_per_account):
        answer = client.post(f"{SECOND_FACTOR}/confirm", json={"code": wrong_code(secret)})
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {"code"}
    assert client.post(f"{SECOND_FACTOR}/confirm", json={"code": code_of(secret)}).status_code == 429
    assert not client.get(SECOND_FACTOR).json()["enabled"]


def test_a_stolen_session_cannot_guess_the_password(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    for _ in range(home.settings.login_attempts_per_account):
        answer = client.post(SECOND_FACTOR, json={"password": "wrong"})
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {"password"}
    assert client.post(SECOND_FACTOR, json={"password": PASSWORD}).status_code == 429
    events(home, user, "user.login.failed", count=home.settings.login_attempts_per_account)


def test_right_codes_do_not_count_against_their_owner(home: Home) -> None:
    who = enrolled(home)
    for _ in range(home.settings.login_attempts_per_account + 1):
        assert log_in_by_code(home, half_logged_in(home, who.user), who.code).status_code == 200
        forget_codes(home, who.user)


# Switching it off, and new recovery codes


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", ""), ("DELETE", "/"), ("POST", "/disable"), ("POST", "/disable/")]
)
@pytest.mark.parametrize("by", ["code", "recovery code"])
def test_it_is_switched_off_with_password_and_code(home: Home, method: str, path: str, by: str) -> None:
    who = enrolled(home)
    code = who.code if by == "code" else who.recovery_codes[3]
    url = SECOND_FACTOR + path
    for body, field in (
        ({"password": "wrong", "code": code}, "password"),
        ({"password": PASSWORD, "code": wrong_code(who.secret)}, "code"),
        ({"password": PASSWORD}, "code"),
        ({"code": code}, "password"),
    ):
        refused = who.client.request(method, url, json=body)
        assert refused.status_code == 400
        assert set(refused.json()["fields"]) == {field}
    assert who.client.get(SECOND_FACTOR).json()["enabled"]
    answer = who.client.request(method, url, json={"password": PASSWORD, "code": code})
    assert answer.status_code == 204
    assert answer.content == b""
    assert who.client.get(SECOND_FACTOR).json() == {"enabled": False, "recovery_codes_left": 0}
    logged_in = home.anonymous.post(LOGIN, json={"username": who.user.name, "password": PASSWORD})
    assert logged_in.status_code == 200


def test_a_first_half_is_worth_nothing_when_it_has_been_switched_off(home: Home) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)
    assert who.client.post(f"{SECOND_FACTOR}/disable", json=who.proof).status_code == 204
    for code in (code_of(who.secret, after_s=30), who.recovery_codes[0]):
        assert log_in_by_code(home, login_token, code).status_code == 401


def test_new_recovery_codes_replace_the_old_ones(home: Home) -> None:
    who = enrolled(home)
    for body in ({**who.proof, "password": "wrong"}, {**who.proof, "code": wrong_code(who.secret)}):
        assert who.client.post(f"{SECOND_FACTOR}/recovery-codes", json=body).status_code == 400
    answer = who.client.post(f"{SECOND_FACTOR}/recovery-codes", json=who.proof)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    codes = answer.json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert stored_recovery_codes(home, who.user) == {sha256_of(code) for code in codes}
    assert log_in_by_code(home, half_logged_in(home, who.user), who.recovery_codes[0]).status_code == 401
    assert log_in_by_code(home, half_logged_in(home, who.user), codes[0]).status_code == 200


def test_it_can_be_switched_on_again_with_another_secret(home: Home) -> None:
    who = enrolled(home)
    assert who.client.post(f"{SECOND_FACTOR}/disable", json=who.proof).status_code == 204
    again = enrolled(home, who.user)
    assert again.secret != who.secret
    assert log_in_by_code(home, half_logged_in(home, who.user), who.code).status_code == 401
    assert log_in_by_code(home, half_logged_in(home, who.user), again.code).status_code == 200


# Whose business it is

ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("POST", "", {"password": PASSWORD}),
    ("POST", "/confirm", {"code": "123456"}),
    ("POST", "/recovery-codes", {"password": PASSWORD, "code": "123456"}),
    ("POST", "/disable", {"password": PASSWORD, "code": "123456"}),
    ("DELETE", "", {"password": PASSWORD, "code": "123456"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("sends_body", [True, False])
def test_it_takes_a_session_of_a_password(
    home: Home, method: str, path: str, body: dict[str, Any] | None, sends_body: bool
) -> None:
    user = home.user()
    sent = body if sends_body else None
    assert home.anonymous.request(method, SECOND_FACTOR + path, json=sent).status_code == 401
    by_token = home.hub(user, home.access_token(user)[1])
    answer = by_token.request(method, SECOND_FACTOR + path, json=sent)
    assert answer.status_code == 403
    text = "token issued from personal access token is not allowed"
    assert answer.json() == {"message": text, "errinfo": {}}


def test_access_tokens_are_never_asked_for_a_code(home: Home) -> None:
    user = home.user()
    before = home.access_token(user)[1]
    by_token = home.hub(user, before)
    who = enrolled(home, user)
    for secret in (before, home.access_token(user)[1]):
        assert home.anonymous.post(LOGIN, json={"username": user.name, "password": secret}).status_code == 200
        assert home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": secret}).status_code == 200
        assert [answer.status_code for answer in token_service(home, user, secret)] == [200, 200]
    assert by_token.get("/v2/user/2fa").status_code == 403  # known still, and not let in here
    assert who.client.get("/v2/access-tokens").status_code == 200


def test_the_registry_refuses_the_password_and_says_why(home: Home) -> None:
    who = enrolled(home)
    for answer in token_service(home, who.user):
        assert answer.status_code == 401
        body = answer.json()
        assert body["details"] == "your account has a second factor: log in with a personal access token"
        assert "login_2fa_token" not in body
    for answer in token_service(home, who.user, "wrong"):
        assert answer.status_code == 401
        assert answer.json()["details"] == "incorrect username or password"


def test_an_operator_switches_it_off_for_who_is_locked_out(home: Home) -> None:
    who = enrolled(home)
    settings = home.settings
    environment = {"HOMEPORT_DATABASE_URL": settings.database_url} if settings.database_url else {}
    command = [sys.executable, "-m", "homeport", "user", "disable-second-factor", who.user.name, "--json"]

    def run() -> Any:
        done = subprocess.run(
            [*command, "--data", str(settings.data)],
            env=clean_environment(**environment),
            capture_output=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    assert run() == {"name": who.user.name, "was_on": True}
    assert home.anonymous.post(LOGIN, json={"username": who.user.name, "password": PASSWORD}).status_code == 200
    assert who.client.get(SECOND_FACTOR).json() == {"enabled": False, "recovery_codes_left": 0}
    assert run() == {"name": who.user.name, "was_on": False}
    (event,) = events(home, who.user, "user.second_factor.disable", count=1)
    assert event.actor == "homeport"


# What is written down


def test_the_log_has_what_happened(home: Home) -> None:
    who = enrolled(home)
    agent = {"user-agent": "docker-desktop/4.29.0"}
    login_token = half_logged_in(home, who.user)
    for code in (who.code, wrong_code(who.secret), who.recovery_codes[0]):
        body = {"login_2fa_token": login_token, "code": code}
        home.anonymous.post(CODE_LOGIN, json=body, headers=agent)
    forget_codes(home, who.user)
    who.client.post(f"{SECOND_FACTOR}/recovery-codes", json=who.proof)
    forget_codes(home, who.user)
    who.client.post(f"{SECOND_FACTOR}/disable", json=who.proof)
    (failed,) = events(home, who.user, "user.login.failed", count=1)
    origin = {"door": "hub", "ip_address": "127.0.0.1", "user_agent": agent["user-agent"]}
    assert failed.words == {**origin, "method": "second factor", "reason": "wrong code"}
    # The first is that of the exchange that `enrolled` began with.
    by_password, by_code, by_recovery_code = events(home, who.user, "user.login", count=3)
    assert by_password.words["method"] == "password"
    assert by_code.words == {**origin, "method": "second factor"}
    assert by_recovery_code.words == {**origin, "method": "recovery code"}
    for action in ("second_factor.enable", "recovery_code.use", "recovery_code.renew", "second_factor.disable"):
        (event,) = events(home, who.user, f"user.{action}", count=1)
        assert event.name == who.user.name
        assert event.actor == who.user.name
        assert event.words["ip_address"] == "127.0.0.1"


def test_a_refused_password_at_the_registry_is_a_failure_in_the_log(home: Home) -> None:
    who = enrolled(home)
    token_service(home, who.user)
    # Once an hour: an engine that has the password stored tries it at every pull.
    (event,) = events(home, who.user, "user.login.failed", count=1)
    assert event.words["door"] == "registry"
    assert event.words["reason"].startswith("your account has a second factor")


def test_half_a_login_is_no_login(home: Home) -> None:
    who = enrolled(home)
    half_logged_in(home, who.user)
    time.sleep(2.5)  # whatever was gathered is written by then
    assert len(events(home, who.user, "user.login", count=1)) == 1
