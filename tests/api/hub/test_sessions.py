"""Logging out, and going on with a refresh token."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from homeport.core import authentication
from homeport.core.services import Services
from homeport.errors import NotAuthenticated
from homeport.jobs import sessions as session_jobs
from homeport.storage.db.database import utcnow
from tests.api.hub.logins import LOGIN, enforce_sso, enrolled, events, half_logged_in, log_in_by_code
from tests.home import Home, User
from tests.inviting import value

LOGOUT = "/v2/logout"
REFRESH = "/v2/auth/refresh"


def logged_in(home: Home, user: User, password: str = "") -> dict[str, str]:
    """The two tokens of a login."""
    body = {"username": user.name, "password": password or user.password}
    answer = home.anonymous.post(LOGIN, params={"refresh_token": "true"}, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def bearer(home: Home, token: str, scheme: str = "Bearer") -> httpx.Client:
    return home.client(authorization=f"{scheme} {token}")


def refreshed(home: Home, refresh_token: str) -> httpx.Response:
    return home.anonymous.post(REFRESH, json={"refresh_token": refresh_token})


def registry_tokens(home: Home, refresh_token: str, scope: str = "") -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "service": "s", "scope": scope}
    return home.anonymous.post("/token", data=form)


# Refreshing


def test_a_refresh_token_buys_another_bearer_token(home: Home) -> None:
    user = home.user()
    tokens = logged_in(home, user)
    answer = refreshed(home, tokens["refresh_token"])
    assert answer.status_code == 200
    assert list(answer.json()) == ["token", "refresh_token"]
    assert answer.json()["token"] != tokens["token"]
    assert answer.headers["cache-control"] == "no-store"
    assert bearer(home, answer.json()["token"]).get("/v2/access-tokens").status_code == 200
    assert refreshed(home, answer.json()["refresh_token"]).status_code == 200


def test_what_a_refresh_token_of_an_access_token_buys_is_no_more_than_that(home: Home) -> None:
    user = home.user()
    token, secret = home.access_token(user, "repo:read")
    tokens = logged_in(home, user, secret)
    client = bearer(home, refreshed(home, tokens["refresh_token"]).json()["token"])
    assert client.get("/v2/access-tokens").status_code == 403
    assert home.hub(user).delete(f"/v2/access-tokens/{token.uuid}").status_code == 202
    assert client.get("/v2/user/").status_code == 401
    assert refreshed(home, tokens["refresh_token"]).status_code == 401


@pytest.mark.parametrize("kind", ["nonsense", "", "bearer", "second factor"])
def test_no_other_token_refreshes(home: Home, kind: str) -> None:
    account = enrolled(home)
    user = home.user()
    other = {
        "nonsense": "nonsense",
        "": "",
        "bearer": logged_in(home, user)["token"],
        "second factor": half_logged_in(home, account.user),
    }
    answer = refreshed(home, other[kind])
    assert answer.status_code == 401
    assert list(answer.json()) == ["detail"]


def test_under_single_sign_on_a_passwords_refresh_token_is_refused(home: Home) -> None:
    user = home.user()
    tokens = logged_in(home, user)
    organization = home.organization(user)
    enforce_sso(home, organization)
    answer = refreshed(home, tokens["refresh_token"])
    assert answer.status_code == 401
    assert organization in answer.json()["detail"]


def test_a_body_without_a_refresh_token_is_told_so(home: Home) -> None:
    answer = home.anonymous.post(REFRESH, json={})
    assert answer.status_code == 400
    assert "refresh_token" in answer.json()["detail"]


# Logging out


@pytest.mark.parametrize("path", [LOGOUT, f"{LOGOUT}/"])
@pytest.mark.parametrize("scheme", ["Bearer", "JWT"])
def test_logging_out_ends_the_bearer_token(home: Home, path: str, scheme: str) -> None:
    user = home.user()
    client = bearer(home, logged_in(home, user)["token"], scheme)
    assert client.get("/v2/user/").status_code == 200
    answer = client.post(path)
    # One client compares these words.
    assert (answer.status_code, answer.json()) == (200, {"detail": "Logged out"})
    assert client.get("/v2/user/").status_code == 401
    assert client.post(path).status_code == 401
    (event,) = events(home, user, "user.logout", count=1)
    assert (event.name, event.actor) == (user.name, user.name)


def test_logging_out_ends_all_that_the_login_has_bought(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name, is_private=True)
    tokens = logged_in(home, user)
    renewed = bearer(home, refreshed(home, tokens["refresh_token"]).json()["token"])
    token = registry_tokens(home, tokens["refresh_token"], f"repository:{name}:pull").json()["access_token"]
    registry = bearer(home, token)
    assert renewed.get("/v2/user/").status_code == 200
    assert registry.get(f"/v2/{name}/tags/list").status_code == 200
    assert bearer(home, tokens["token"]).post(LOGOUT).status_code == 200
    assert renewed.get("/v2/user/").status_code == 401
    assert registry.get(f"/v2/{name}/tags/list").status_code == 401
    assert refreshed(home, tokens["refresh_token"]).status_code == 401
    assert registry_tokens(home, tokens["refresh_token"]).status_code == 401


def test_logging_out_with_a_refreshed_token_ends_the_login(home: Home) -> None:
    user = home.user()
    tokens = logged_in(home, user)
    renewed = bearer(home, refreshed(home, tokens["refresh_token"]).json()["token"])
    assert renewed.post(LOGOUT).status_code == 200
    assert bearer(home, tokens["token"]).get("/v2/user/").status_code == 401


def test_other_logins_of_the_user_go_on(home: Home) -> None:
    user, other = home.user(), home.user()
    first, second = logged_in(home, user), logged_in(home, user)
    clients = [
        bearer(home, second["token"]),
        home.hub(user),
        home.hub(user, home.access_token(user)[1]),
        home.hub(other),
    ]
    assert bearer(home, first["token"]).post(LOGOUT).status_code == 200
    assert [client.get("/v2/user/").status_code for client in clients] == [200] * 4
    assert refreshed(home, second["refresh_token"]).status_code == 200


def test_logging_out_of_an_access_tokens_login_leaves_the_token(home: Home) -> None:
    user = home.user()
    _, secret = home.access_token(user)
    client = bearer(home, logged_in(home, user, secret)["token"])
    assert client.post(LOGOUT).status_code == 200
    assert client.get("/v2/user/").status_code == 401
    assert home.hub(user, secret).get("/v2/user/").status_code == 200


def test_a_login_by_code_ends_as_well(home: Home) -> None:
    account = enrolled(home)
    half = half_logged_in(home, account.user)
    answer = log_in_by_code(home, half, account.code, refresh_token="true")
    client = bearer(home, answer.json()["token"])
    assert client.post(LOGOUT).status_code == 200
    assert client.get("/v2/user/").status_code == 401
    assert refreshed(home, answer.json()["refresh_token"]).status_code == 401
    assert account.client.get("/v2/user/").status_code == 200


def test_other_processes_hear_of_it(home: Home) -> None:
    """The services of this process are not those of the server."""
    user = home.user()
    token = logged_in(home, user)["token"]

    async def actor_of(services: Services) -> Any:
        return await services.authenticator.hub_actor(token, address="127.0.0.1")

    async def catch_up(services: Services) -> None:
        await services.authenticator.catch_up()

    assert home.run(actor_of).name == user.name
    assert bearer(home, token).post(LOGOUT).status_code == 200
    home.run(catch_up)
    with pytest.raises(NotAuthenticated):
        home.run(actor_of)


def test_who_cannot_hear_of_it_does_not_go_by_memory(home: Home) -> None:
    """A process that the database has been away for may have missed a revocation."""
    user = home.user()
    token = logged_in(home, user)["token"]

    async def verb(services: Services) -> None:
        authenticator = services.authenticator
        await authenticator.catch_up()
        await authenticator.hub_actor(token, address="127.0.0.1")
        await asyncio.to_thread(bearer(home, token).post, LOGOUT)
        await asyncio.sleep(1)
        with pytest.raises(NotAuthenticated):
            await authenticator.hub_actor(token, address="127.0.0.1")

    home.run(verb)


def test_who_hears_of_it_too_late_forgets_everything(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    user = home.user()
    token = logged_in(home, user)["token"]
    monkeypatch.setattr(authentication, "FORGOTTEN_AFTER_S", 0.05)

    async def verb(services: Services) -> None:
        authenticator = services.authenticator
        await authenticator.catch_up()
        await authenticator.hub_actor(token, address="127.0.0.1")
        await asyncio.to_thread(bearer(home, token).post, LOGOUT)
        async with services.db.write() as tx:
            await tx.run("update revocations set created_at = created_at - 60000000")
        await asyncio.sleep(0.1)
        await authenticator.catch_up()
        with pytest.raises(NotAuthenticated):
            await authenticator.hub_actor(token, address="127.0.0.1")

    home.run(verb)


def test_nobody_logs_out(home: Home) -> None:
    answer = home.anonymous.post(LOGOUT)
    assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized", "errinfo": {}})
    assert home.anonymous.get(LOGOUT).status_code == 405


def test_what_is_known_of_ended_logins_is_kept_as_long_as_their_tokens_may_live(home: Home) -> None:
    user = home.user()
    assert bearer(home, logged_in(home, user)["token"]).post(LOGOUT).status_code == 200
    own = "select count(*) from ended_sessions where account_id = (select id from accounts where name = :name)"

    async def in_a_year(services: Services) -> None:
        await session_jobs.drop_old(services, now=utcnow() + timedelta(days=365))

    async def later(services: Services) -> None:
        await session_jobs.drop_old(services, now=utcnow() + timedelta(days=401))

    home.run(in_a_year)
    assert value(home, int, own, name=user.name) == 1
    home.run(later)
    assert value(home, int, own, name=user.name) == 0
