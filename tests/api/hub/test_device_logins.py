"""Logins of programs that a person approves on a page (RFC 8628), from both sides."""

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from homeport.core import device_logins
from homeport.core.services import Services
from homeport.jobs import sessions
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import device_logins as device_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import away_from_a_boundary, enforce_sso, enrolled, member_under_sso
from tests.api.hub.people import events
from tests.conftest import DATABASES, NewHome
from tests.home import PASSWORD, Home, User
from tests.inviting import run, value
from tests.mailing import settle
from tests.plans import assert_by_index, plans_of

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
AGENT = "docker-cli:28_0_1:linux-amd64"


class Program:
    """A program that signs in, as Docker's command line client does."""

    def __init__(self, home: Home, client_id: str = "docker-cli") -> None:
        self.home = home
        self.client_id = client_id
        self.client = home.client(**{"user-agent": AGENT})
        asked = {"client_id": client_id, "audience": "https://hub.docker.com", "scope": "openid offline_access"}
        answer = self.client.post("/oauth/device/code", data=asked)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        self.begun: dict[str, Any] = answer.json()

    @property
    def user_code(self) -> str:
        code: str = self.begun["user_code"]
        return code

    def poll(self, **changed: str) -> httpx.Response:
        form = {"grant_type": GRANT, "client_id": self.client_id, "device_code": self.begun["device_code"]}
        return self.client.post("/oauth/token", data={**form, **changed})

    def refused(self, **changed: str) -> str:
        """Why it is not let in."""
        answer = self.poll(**changed)
        assert answer.status_code == 403, answer.text
        body = answer.json()
        assert set(body) == {"error", "error_description"}
        assert body["error_description"]
        error: str = body["error"]
        return error

    def tokens(self) -> dict[str, Any]:
        answer = self.poll()
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait(self, seconds: int) -> None:
        """Have it be longer ago by so much that it has asked, and that it has begun."""
        run(
            self.home,
            """update device_logins set polled_at = polled_at - :by, created_at = created_at - :by,
            expires_at = expires_at - :by where user_code_sha256 = :code""",
            by=seconds * 1_000_000,
            code=device_logins._digest_of(self.user_code.replace("-", "")),
        )

    def approve(self, user: User, **changed: str) -> httpx.Response:
        form = {"user_code": self.user_code, "username": user.name, "password": user.password, "code": ""}
        return self.home.anonymous.post("/activate/allow", data={**form, **changed})

    def let_in(self, user: User, **changed: str) -> None:
        answer = self.approve(user, **changed)
        assert (answer.status_code, "Signed in" in answer.text) == (200, True), answer.text


def bearer(home: Home, tokens: dict[str, Any]) -> httpx.Client:
    return home.client(authorization=f"{tokens['token_type']} {tokens['access_token']}")


def refresh(home: Home, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": "docker-cli", "refresh_token": token}
    return home.anonymous.post("/oauth/token", data=form)


def revoke(home: Home, token: str) -> httpx.Response:
    return home.anonymous.post("/oauth/revoke", data={"client_id": "docker-cli", "token": token})


# From the beginning to the end


def test_a_program_signs_in_as_dockers_command_line_client_does(home: Home) -> None:
    user = home.user()
    program = Program(home)
    begun = program.begun
    assert re.fullmatch(r"[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", program.user_code)
    assert len(begun["device_code"]) >= 40
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    assert begun["verification_uri"] == f"{home.url}/activate"
    assert begun["verification_uri_complete"] == f"{home.url}/activate?user_code={program.user_code}"
    assert program.refused() == "authorization_pending"
    program.let_in(user)
    tokens = program.tokens()
    assert set(tokens) == {"access_token", "id_token", "refresh_token", "scope", "expires_in", "token_type"}
    assert (tokens["scope"], tokens["expires_in"]) == ("openid offline_access", 24 * 3600)
    client = bearer(home, tokens)
    assert client.get("/v2/user/").json()["username"] == user.name
    made = client.post("/v2/access-tokens/desktop-generate")
    assert made.status_code == 201
    assert set(made.json()) == {"data"}
    secret = made.json()["data"]["token"]
    assert home.registry(user, f"{user.name}/app", secret=secret).get("/v2/").status_code == 200
    assert revoke(home, tokens["refresh_token"]).status_code == 200
    assert client.get("/v2/user/").status_code == 401
    assert home.hub(user, secret).get("/v2/user/").status_code == 200


def test_tokens_are_those_of_a_login(home: Home) -> None:
    user = home.user()
    program = Program(home)
    program.let_in(user)
    tokens = program.tokens()
    assert bearer(home, tokens).patch("/v2/user", json={"company": "Acme"}).status_code == 200
    other = home.anonymous.post("/v2/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert other.status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "docker"}
    assert home.anonymous.post("/token", data=form).status_code == 200


def test_tokens_name_an_algorithm_that_dockers_command_line_client_takes(home: Home) -> None:
    program = Program(home)
    program.let_in(home.user())
    tokens = program.tokens()
    for token in (tokens["access_token"], tokens["id_token"]):
        header = token.partition(".")[0]
        assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] in {"HS256", "RS256"}


def test_what_says_who_has_signed_in_opens_nothing(home: Home) -> None:
    user = home.user()
    program = Program(home, client_id="https://hub.docker.com")
    program.let_in(user)
    token = program.tokens()["id_token"]
    client = home.client(authorization=f"Bearer {token}")
    assert client.get("/v2/user").status_code == 401
    assert client.get(f"/v2/{user.name}/app/tags/list").status_code == 401
    assert refresh(home, token).status_code == 403
    assert revoke(home, token).status_code == 200


def test_a_device_code_buys_tokens_once(home: Home) -> None:
    program = Program(home)
    program.let_in(home.user())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: program.poll().status_code, range(8)))
    assert sorted(answers) == [200] + [403] * 7
    assert program.refused() == "invalid_grant"


def test_an_approval_is_one_persons(home: Home) -> None:
    program = Program(home)
    program.let_in(home.user())
    assert program.approve(home.user()).status_code == 404


def test_a_program_that_is_turned_away_is_told_so(home: Home) -> None:
    program = Program(home)
    answer = home.anonymous.post("/activate/deny", data={"user_code": program.user_code})
    assert (answer.status_code, "Turned away" in answer.text) == (200, True)
    assert program.refused() == program.refused() == "access_denied"
    assert program.approve(home.user()).status_code == 404


# Time


def test_who_asks_too_often_is_told_to_slow_down_and_has_to(home: Home) -> None:
    user = home.user()
    program = Program(home)
    assert program.refused() == "authorization_pending"
    assert program.refused() == "slow_down"
    program.wait(4)
    assert program.refused() == "slow_down"
    program.wait(8)
    assert program.refused() == "authorization_pending"
    program.let_in(user)
    assert program.tokens()["access_token"]


def test_who_keeps_to_the_interval_is_never_told_to_slow_down(home: Home) -> None:
    program = Program(home)
    for seconds in (5, 3, 7, 5):
        assert program.refused() == "authorization_pending"
        program.wait(seconds)


def test_codes_expire(home: Home) -> None:
    user = home.user()
    program, approved = Program(home), Program(home)
    approved.let_in(user)
    for late in (program, approved):
        late.wait(899)
    assert program.refused() == "authorization_pending"
    for late in (program, approved):
        late.wait(2)
        assert late.refused() == "expired_token"
    assert program.approve(user).status_code == 404


def test_logins_that_have_expired_are_dropped_an_hour_later(home: Home) -> None:
    kept, dropped = Program(home), Program(home)
    kept.wait(900 + 3_500)
    dropped.wait(900 + 3_700)

    async def drop(services: Services) -> None:
        await sessions.drop_old(services, now=utcnow())

    home.run(drop)
    assert kept.refused() == "expired_token"
    assert dropped.refused() == "invalid_grant"


# What is wrong


def test_a_device_code_is_the_programs_own(home: Home) -> None:
    program = Program(home)
    program.let_in(home.user())
    assert program.refused(client_id="another") == "invalid_grant"
    assert program.refused(device_code=program.user_code) == "invalid_grant"
    assert program.refused(device_code="") == "invalid_grant"
    assert program.tokens()["access_token"]


@pytest.mark.parametrize(
    ("path", "form", "error"),
    [
        ("/oauth/device/code", {}, "invalid_request"),
        ("/oauth/device/code", {"client_id": ""}, "invalid_request"),
        ("/oauth/device/code", {"client_id": "x" * 256}, "invalid_request"),
        ("/oauth/token", {}, "invalid_request"),
        ("/oauth/token", {"grant_type": GRANT}, "invalid_request"),
        ("/oauth/token", {"grant_type": "password", "client_id": "cli"}, "unsupported_grant_type"),
        ("/oauth/revoke", {}, "invalid_request"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(home: Home, path: str, form: dict[str, str], error: str) -> None:
    for slash in ("", "/"):
        answer = home.anonymous.post(f"{path}{slash}", data=form)
        assert answer.status_code == 400
        assert answer.json()["error"] == error
        assert answer.json()["error_description"]


@pytest.mark.parametrize("body", [b"\xff=1", b"&".join(b"a=1" for _ in range(100)), b'{"client_id": "cli"}'])
def test_what_is_no_form_is_refused(home: Home, body: bytes) -> None:
    answer = home.anonymous.post("/oauth/device/code", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_refresh_token_that_is_no_good_is_refused(home: Home) -> None:
    user = home.user()
    program = Program(home)
    program.let_in(user)
    tokens = program.tokens()
    bought = refresh(home, tokens["refresh_token"])
    assert bought.status_code == 200
    assert bought.json()["refresh_token"] == tokens["refresh_token"]
    assert bearer(home, bought.json()).get("/v2/user").json()["username"] == user.name
    assert revoke(home, tokens["refresh_token"]).status_code == 200
    assert bearer(home, bought.json()).get("/v2/user").status_code == 401
    for token in (tokens["refresh_token"], tokens["access_token"], "", "none"):
        answer = refresh(home, token)
        assert (answer.status_code, answer.json()["error"]) == (403, "invalid_grant")
        assert revoke(home, token).status_code == 200


# Who may approve


def test_approving_takes_the_right_password(home: Home) -> None:
    user = home.user()
    program = Program(home)
    answer = program.approve(user, password="a wrong password")
    assert (answer.status_code, "password or the code is wrong" in answer.text) == (403, True)
    assert program.refused() == "authorization_pending"
    program.let_in(user)


def test_approving_takes_the_second_factor_too(home: Home) -> None:
    away_from_a_boundary()
    person = enrolled(home)
    program = Program(home)
    answer = program.approve(person.user)
    assert (answer.status_code, "second factor" in answer.text) == (403, True)
    assert program.refused() == "authorization_pending"
    program.let_in(person.user, code=person.code)
    assert program.tokens()["access_token"]


def test_an_access_token_approves_nothing(home: Home) -> None:
    user = home.user()
    program = Program(home)
    answer = program.approve(user, password=home.access_token(user)[1])
    assert (answer.status_code, "access token" in answer.text) == (403, True)
    assert program.refused() == "authorization_pending"


def test_members_under_enforced_single_sign_on_let_no_program_in(home: Home) -> None:
    member, organization = member_under_sso(home)
    program = Program(home)
    answer = program.approve(member)
    assert (answer.status_code, organization in answer.text) == (403, True)
    assert program.refused() == "authorization_pending"


def test_single_sign_on_that_is_enforced_after_an_approval_counts(home: Home) -> None:
    owner, member = home.user("owner"), home.user("member")
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.MEMBER)
    program = Program(home)
    program.let_in(member)
    enforce_sso(home, organization)
    assert program.refused() == program.refused() == "access_denied"


def test_an_approval_ends_with_the_password_and_the_account(home: Home) -> None:
    changed, shut = home.user(), home.user()
    programs = {user: Program(home) for user in (changed, shut)}
    for user, program in programs.items():
        program.let_in(user)
    body = {"password": PASSWORD, "new_password": "another long password"}
    assert home.hub(changed).post("/v2/user/password", json=body).status_code == 200
    home.deactivate(shut)
    assert [program.refused() for program in programs.values()] == ["access_denied"] * 2


# What is kept of it


def test_an_approval_and_the_login_stand_in_the_users_log(home: Home) -> None:
    user = home.user()
    program = Program(home)
    program.let_in(user)
    program.tokens()
    settle(home)
    found = home.hub(user).get(f"/v2/auditlogs/{user.name}").json()["logs"]
    [approval] = [event for event in found if event["action"] == "user.device.approve"]
    assert approval["actor"] == user.name
    assert approval["data"]["client_id"] == "docker-cli"
    assert approval["data"]["device_address"] == "127.0.0.1"
    assert approval["data"]["device_user_agent"] == AGENT
    assert approval["action_description"] == f"let a program sign in as {user.name} from 127.0.0.1"
    methods = [event["data"]["method"] for event in found if event["action"] == "user.login"]
    assert methods.count("device code") == 1


def test_codes_are_not_kept(home: Home) -> None:
    program = Program(home)
    columns = "device_code_sha256 || ' ' || user_code_sha256 || ' ' || client_id || ' ' || address || ' ' || user_agent"
    newest = f"select {columns} from device_logins order by id desc limit 1"
    kept = value(home, str, newest)
    assert program.begun["device_code"] not in kept
    for code in (program.user_code, program.user_code.replace("-", "")):
        assert code not in kept


# Tokens that programs keep


def test_a_program_gets_one_of_five_tokens_and_the_oldest_ends(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    by_hand = home.access_token(user)[0].uuid
    secrets = [client.post("/v2/access-tokens/desktop-generate").json()["data"]["token"] for _ in range(7)]
    assert len(set(secrets)) == 7
    works = []
    for secret in secrets:
        body = {"username": user.name, "password": secret}
        works.append(home.anonymous.post("/v2/users/login", json=body).status_code)
    assert works == [401, 401, 200, 200, 200, 200, 200]
    found = client.get("/v2/access-tokens?page_size=100").json()["results"]
    assert {token["uuid"] for token in found if token["generated_by"] == "manual"} == {by_hand}
    generated = [token for token in found if token["generated_by"] == "auto"]
    assert [(token["scopes"], token["token"]) for token in generated] == [(["repo:admin"], "")] * 5
    told = [line.split()[0] for line in events(home, user.name)]
    assert told.count("user.access_token.create") == 1 + 7
    assert told.count("user.access_token.delete") == 2


def test_tokens_of_programs_are_five_however_many_ask_at_once(home: Home) -> None:
    client = home.hub(home.user())
    with ThreadPoolExecutor(8) as pool:
        path = "/v2/access-tokens/desktop-generate"
        assert set(pool.map(lambda _: client.post(path).status_code, range(12))) == {201}
    assert client.get("/v2/access-tokens").json()["count"] == 5


def test_codes_and_tokens_of_programs_are_found_by_indexes(home: Home) -> None:
    user = home.user()
    code = Program(home).begun
    client = home.hub(user)
    assert client.post("/v2/access-tokens/desktop-generate").status_code == 201

    async def found(tx: Transaction) -> None:
        await device_logins.access(tx, user_code=code["user_code"])
        await device_logins.poll(tx, device_code=code["device_code"], client_id="docker-cli")
        await token_rows.list_generated(tx, account_id=1, generated_by="auto")
        await device_rows.delete_old(tx, before=utcnow(), limit=1)

    plans = plans_of(home, found, must_scan=True)
    assert_by_index(plans, "device_logins", "access_tokens")


# Guessing


@pytest.fixture(scope="module", params=DATABASES)
def strict(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    with new_home(request.param, HOMEPORT_LOGIN_ATTEMPTS_PER_ADDRESS="5") as running:
        yield running


def test_an_address_may_try_few_codes_and_then_hears_nothing_of_any(strict: Home) -> None:
    user = strict.user()
    program = Program(strict)
    client = strict.anonymous
    for path in ("/activate", "/activate/allow", "/activate/deny", "/activate", "/activate"):
        assert client.post(path, data={"user_code": "BBBB-BBBB"}).status_code == 404
    form = {"user_code": program.user_code, "username": user.name, "password": user.password}
    for path in ("/activate", "/activate/allow", "/activate/deny"):
        for code in (program.user_code, "BBBB-BBBB"):
            answer = client.post(path, data={**form, "user_code": code})
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            assert AGENT not in answer.text
    assert program.refused() == "authorization_pending"
