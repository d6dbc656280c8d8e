"""Single sign-on enforced: members' passwords are refused, their access tokens work."""

import pytest

from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import (
    EXCHANGE,
    INCORRECT,
    LOGIN,
    enforce_sso,
    enrolled,
    events,
    half_logged_in,
    log_in_by_code,
    member_under_sso,
    token_service,
)
from tests.home import PASSWORD, Home, User


def why(organization: str) -> str:
    return f"the organization {organization} enforces single sign-on: log in with a personal access token"


@pytest.mark.parametrize("role", OrganizationRole)
def test_a_members_password_is_refused_with_the_reason(home: Home, role: OrganizationRole) -> None:
    user = home.user()
    organization = home.organization(home.user())
    home.member(organization, user, role)
    enforce_sso(home, organization)
    login = home.anonymous.post(LOGIN, json={"username": user.name, "password": PASSWORD})
    assert login.status_code == 401
    assert login.json() == {"detail": why(organization)}
    exchange = home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": PASSWORD})
    assert exchange.status_code == 401
    assert exchange.json() == {"message": why(organization), "detail": why(organization), "errinfo": {}}
    for answer in token_service(home, user):
        assert answer.status_code == 401
        assert answer.json()["details"] == why(organization)


def test_a_wrong_password_does_not_tell_of_it(home: Home) -> None:
    user, _ = member_under_sso(home)
    login = home.anonymous.post(LOGIN, json={"username": user.name, "password": "wrong"})
    assert (login.status_code, login.content) == (401, INCORRECT)
    exchange = home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": "wrong"})
    assert exchange.json()["message"] == "incorrect username or password"
    for answer in token_service(home, user, "wrong"):
        assert answer.json()["details"] == "incorrect username or password"


def test_access_tokens_of_members_work(home: Home) -> None:
    user, _ = member_under_sso(home)
    pat = home.access_token(user)[1]
    assert home.anonymous.post(LOGIN, json={"username": user.name, "password": pat}).status_code == 200
    assert home.anonymous.post(EXCHANGE, json={"identifier": user.name, "secret": pat}).status_code == 200
    assert [answer.status_code for answer in token_service(home, user, pat)] == [200, 200]


def test_who_is_no_member_keeps_the_password(home: Home) -> None:
    member_under_sso(home)
    outsider = home.user()
    relaxed = home.organization(outsider)
    for user in (outsider, home.user()):
        assert home.anonymous.post(LOGIN, json={"username": user.name, "password": PASSWORD}).status_code == 200
    assert relaxed


def test_a_site_administrator_is_never_locked_out(home: Home) -> None:
    organization = home.organization(home.user())
    home.member(organization, home.admin, OrganizationRole.MEMBER)
    enforce_sso(home, organization)
    body = {"username": home.admin.name, "password": home.admin.password}
    assert home.anonymous.post(LOGIN, json=body).status_code == 200
    assert [answer.status_code for answer in token_service(home, home.admin)] == [200, 200]


def test_refresh_tokens_that_a_password_bought_end_and_those_of_access_tokens_do_not(home: Home) -> None:
    user = home.user()
    pat = home.access_token(user)[1]
    organization = home.organization(home.user())
    home.member(organization, user, OrganizationRole.MEMBER)

    def bought(secret: str) -> dict[str, str]:
        answer = home.anonymous.get("/token", params={"offline_token": "true"}, auth=(user.name, secret))
        return {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}

    by_password, by_token = bought(PASSWORD), bought(pat)
    assert home.anonymous.post("/token", data=by_password).status_code == 200
    enforce_sso(home, organization)
    refused = home.anonymous.post("/token", data=by_password)
    assert refused.status_code == 401
    assert refused.json()["details"] == why(organization)
    assert home.anonymous.post("/token", data=by_token).status_code == 200


def test_no_code_is_asked_for_where_the_password_is_refused_anyway(home: Home) -> None:
    who = enrolled(home)
    login_token = half_logged_in(home, who.user)
    organization = home.organization(home.user())
    home.member(organization, who.user, OrganizationRole.MEMBER)
    enforce_sso(home, organization)
    answer = home.anonymous.post(LOGIN, json={"username": who.user.name, "password": PASSWORD})
    assert answer.json() == {"detail": why(organization)}
    late = log_in_by_code(home, login_token, who.code)
    assert late.status_code == 401
    assert late.json() == {"detail": why(organization)}


def test_a_refused_password_is_a_failure_in_the_log(home: Home) -> None:
    user, organization = member_under_sso(home)
    home.anonymous.post(LOGIN, json={"username": user.name, "password": PASSWORD})
    (event,) = events(home, User(user.name), "user.login.failed", count=1)
    assert event.words["method"] == "password"
    assert event.words["reason"] == why(organization)
