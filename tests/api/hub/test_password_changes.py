"""Passwords that people change by themselves, and what ends with the old one."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from homeport.app import create_app
from homeport.core.services import Services
from homeport.jobs import mail_requests
from homeport.storage.db.database import utcnow
from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import CODE_LOGIN, LOGIN, enforce_sso, enrolled, events, half_logged_in, member_under_sso
from tests.conftest import DATABASES, NewHome
from tests.home import PASSWORD, Home, User, unique
from tests.inviting import mails_to, run, value, value_or_none
from tests.mailing import age_links, last_account_link, link_of, settle, settled_mails
from tests.web.test_invite_pages import checked, opened, post

CHANGE = "/v2/user/password"
REQUEST = "/v2/users/password-reset"
FORGOTTEN = "/account/password"
NEW = "another long enough password"
ACCEPTED = {"detail": "if there is such an account, a mail with a link for a new password is on its way"}


def change(client: httpx.Client, **fields: Any) -> httpx.Response:
    return client.post(CHANGE, json={"password": PASSWORD, "new_password": NEW, **fields})


def logs_in(home: Home, user: User, password: str) -> bool:
    answer = home.anonymous.post(LOGIN, json={"username": user.name, "password": password})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def address_of(user: User) -> str:
    return f"{user.name}@example.com"


def ask(home: Home, identifier: str) -> None:
    answer = home.anonymous.post(REQUEST, json={"identifier": identifier})
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)


def reset_mails(home: Home, user: User) -> list[str]:
    return [mail.body for mail in settled_mails(home, address_of(user)) if mail.subject == "Your password on Homeport"]


# Knowing the present one


def test_after_a_change_the_new_password_logs_in_and_the_old_one_does_not(home: Home) -> None:
    user = home.user()
    answer = change(home.hub(user))
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["token"]
    assert answer.headers["cache-control"] == "no-store"
    assert logs_in(home, user, NEW)
    assert not logs_in(home, user, PASSWORD)


def test_a_change_ends_what_the_old_password_opened_and_hands_out_a_session_to_go_on_with(home: Home) -> None:
    user = home.user()
    repository = home.repository(user.name, is_private=True)
    session, other, registry = home.hub(user), home.hub(user), home.registry(user, repository)
    login = home.anonymous.post(
        LOGIN, params={"refresh_token": "true"}, json={"username": user.name, "password": PASSWORD}
    )
    assert registry.get(f"/v2/{repository}/tags/list").status_code == 200
    token = change(session).json()["token"]
    for ended in (session, other):
        assert ended.get("/v2/user/").status_code == 401
    assert registry.get(f"/v2/{repository}/tags/list").status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": login.json()["refresh_token"], "service": "s"}
    assert home.anonymous.post("/token", data=form).status_code == 401
    assert home.client(authorization=f"Bearer {token}").get("/v2/access-tokens").status_code == 200


def test_personal_access_tokens_go_on_unless_they_are_to_be_deleted(home: Home) -> None:
    user = home.user()
    by_token = home.hub(user, home.access_token(user)[1])
    session = home.client(authorization=f"Bearer {change(home.hub(user)).json()['token']}")
    assert by_token.get("/v2/user/").status_code == 200
    answer = change(session, password=NEW, new_password=PASSWORD, delete_access_tokens=True)
    assert answer.status_code == 200
    assert by_token.get("/v2/user/").status_code == 401
    assert home.hub(user).get("/v2/access-tokens").json()["count"] == 0
    (deleted,) = events(home, user, "user.access_token.delete", count=1)
    assert deleted.words["token_label"] == "of a test"


def test_a_change_is_logged_and_told_to_the_user(home: Home) -> None:
    user = home.user()
    change(home.hub(user))
    (event,) = events(home, user, "user.password.change", count=1)
    assert (event.name, event.actor) == (user.name, user.name)
    assert event.words["ip_address"] == "127.0.0.1"
    assert PASSWORD not in event.data
    (mail,) = mails_to(home, address_of(user))
    assert mail.subject == "Your password on Homeport has been changed"
    assert user.name in mail.body


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"password": "a wrong password"}, "password"),
        ({"new_password": "short"}, "new_password"),
        ({"new_password": "x" * 1025}, "new_password"),
        ({"new_password": None}, "new_password"),
        ({"delete_access_tokens": "true"}, "delete_access_tokens"),
    ],
)
def test_what_is_wrong_with_a_change_is_named_and_nothing_changes(
    home: Home, fields: dict[str, Any], wrong: str
) -> None:
    user = home.user()
    client = home.hub(user)
    answer = change(client, **fields)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [wrong]
    assert client.get("/v2/user/").status_code == 200
    assert logs_in(home, user, PASSWORD)
    assert mails_to(home, address_of(user)) == []


def test_guesses_of_the_present_password_are_limited(home: Home) -> None:
    user = home.user()
    client = home.hub(user)
    for _ in range(10):
        assert change(client, password="a wrong password").status_code == 400
    answer = change(client)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_of_two_changes_at_once_one_counts(home: Home) -> None:
    user = home.user()
    clients = [home.hub(user) for _ in range(4)]
    new = [f"{NEW} {number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda pair: change(pair[0], new_password=pair[1]), zip(clients, new, strict=True)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 400, 401}
    assert logs_in(home, user, new[statuses.index(200)])
    events(home, user, "user.password.change", count=1)


def test_a_member_under_single_sign_on_changes_no_password(home: Home) -> None:
    user, organization = home.user(), home.organization(home.user())
    client = home.hub(user)
    home.member(organization, user, OrganizationRole.MEMBER)
    enforce_sso(home, organization)
    answer = change(client)
    assert answer.status_code == 403
    assert organization in answer.json()["message"]


def test_an_access_token_changes_no_password(home: Home) -> None:
    user = home.user()
    _, secret = home.access_token(user)
    assert change(home.hub(user, secret)).status_code == 403
    assert change(home.hub(user), password=secret).status_code == 400


# By mail


@pytest.mark.parametrize("how", ["name", "NAME", "address", "ADDRESS"])
def test_a_forgotten_password_is_reset_by_the_link_of_a_mail(home: Home, how: str) -> None:
    user = home.user()
    session = home.hub(user)
    by_token = home.hub(user, home.access_token(user)[1])
    identifier = user.name if how.lower() == "name" else address_of(user)
    ask(home, identifier.upper() if how.isupper() else identifier)
    link = last_account_link(home, address_of(user))
    assert (link.base, link.what) == (home.url, "password")
    page = opened(home, link.url)
    assert page.forms["reset"].fields["username"] == user.name
    done = checked(post(home, page, "reset", password=NEW))
    assert done.text.count("Password changed") == 1
    assert logs_in(home, user, NEW)
    assert not logs_in(home, user, PASSWORD)
    assert session.get("/v2/user/").status_code == 401
    assert by_token.get("/v2/user/").status_code == 200
    (event,) = events(home, user, "user.password.reset", count=1)
    assert event.actor == user.name
    (asked,) = events(home, user, "user.password.reset.request", count=1)
    assert (asked.actor, asked.words["ip_address"]) == ("", "127.0.0.1")
    assert mails_to(home, address_of(user))[-1].subject == "Your password on Homeport has been changed"


def test_a_reset_deletes_access_tokens_if_asked(home: Home) -> None:
    user = home.user()
    by_token = home.hub(user, home.access_token(user)[1])
    ask(home, user.name)
    page = opened(home, last_account_link(home, address_of(user)).url)
    assert post(home, page, "reset", password=NEW, delete_access_tokens="true").status_code == 200
    assert by_token.get("/v2/user/").status_code == 401


def test_an_account_without_a_password_gets_its_first_one(home: Home) -> None:
    user = home.user()
    run(home, "update accounts set password_hash = null where name = :name", name=user.name)
    assert not logs_in(home, user, PASSWORD)
    ask(home, user.name)
    page = opened(home, last_account_link(home, address_of(user)).url)
    assert post(home, page, "reset", password=NEW).status_code == 200
    assert logs_in(home, user, NEW)


def test_a_second_factor_outlives_a_reset(home: Home) -> None:
    account = enrolled(home)
    ask(home, account.user.name)
    page = opened(home, last_account_link(home, address_of(account.user)).url)
    assert post(home, page, "reset", password=NEW).status_code == 200
    half = half_logged_in(home, User(account.user.name, NEW))
    answer = home.anonymous.post(CODE_LOGIN, json={"login_2fa_token": half, "code": account.code})
    assert answer.status_code == 200


def test_a_link_works_once(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))
    page = opened(home, link.url)
    assert post(home, page, "reset", password=NEW).status_code == 200
    for answer in (post(home, page, "reset", password=PASSWORD), home.anonymous.get(link.url)):
        assert answer.status_code == 410
        assert "It has been used." in checked(answer).text
    assert logs_in(home, user, NEW)


def test_of_two_who_use_a_link_at_once_one_sets_the_password(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    page = opened(home, last_account_link(home, address_of(user)).url)
    new = [f"{NEW} {number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        statuses = [
            answer.status_code for answer in pool.map(lambda text: post(home, page, "reset", password=text), new)
        ]
    assert sorted(statuses) == [200, 410, 410, 410]
    assert logs_in(home, user, new[statuses.index(200)])
    events(home, user, "user.password.reset", count=1)


def test_looking_at_a_link_uses_nothing_up(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))
    for _ in range(3):
        page = opened(home, link.url)
    head = home.anonymous.head(link.url)
    assert (head.status_code, head.content) == (200, b"")
    answer = home.anonymous.get(f"/account/password/{link.id}/reset?token={link.token}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    short = post(home, page, "reset", password="short", delete_access_tokens="true")
    assert short.status_code == 400
    again = checked(short)
    assert "short" not in again.forms["reset"].fields.values()
    assert again.forms["reset"].fields["delete_access_tokens"] == "true"
    assert post(home, again, "reset", password=NEW).status_code == 200


def test_an_old_link_has_expired(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))
    age_links(home, address_of(user), seconds=3590)
    page = opened(home, link.url)
    age_links(home, address_of(user), seconds=11)
    for answer in (home.anonymous.get(link.url), post(home, page, "reset", password=NEW)):
        assert answer.status_code == 410
        assert "It has expired." in checked(answer).text
    assert logs_in(home, user, PASSWORD)


@pytest.mark.parametrize("deed", ["change", "deactivate", "second factor"])
def test_what_voids_sessions_voids_links_too(home: Home, deed: str) -> None:
    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))
    page = opened(home, link.url)
    if deed == "change":
        change(home.hub(user))
    elif deed == "deactivate":
        home.deactivate(user)
    else:
        enrolled(home, user)
    assert post(home, page, "reset", password="a third password").status_code == 410
    assert home.anonymous.get(link.url).status_code == 410


def test_a_link_that_is_not_whole_opens_nothing(home: Home) -> None:
    user, other = home.user(), home.user()
    ask(home, user.name)
    ask(home, other.name)
    link, foreign = last_account_link(home, address_of(user)), last_account_link(home, address_of(other))
    for url in (
        f"/account/password/{link.id}",
        f"/account/password/{link.id}?token=",
        f"/account/password/{link.id}?token={link.token[:-1]}",
        f"/account/password/{link.id}?token={foreign.token}",
        f"/account/email/{link.id}?token={link.token}",
        f"/account/password/no-such-link?token={link.token}",
        f"/account/password/%00?token={link.token}",
        "/account/nothing",
        "/account/",
    ):
        answer = home.anonymous.get(url)
        assert answer.status_code in (400, 404), url
        assert user.name not in checked(answer).text
    wrong = {"token": foreign.token, "password": NEW}
    assert home.anonymous.post(f"/account/password/{link.id}/reset", data=wrong).status_code == 404
    assert logs_in(home, user, PASSWORD)


def test_of_the_secret_only_a_digest_is_kept_and_the_log_has_none_of_it(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))
    opened(home, link.url)
    kept = value(home, str, "select secret_sha256 from confirmations where id = :id", id=link.id)
    assert kept == hashlib.sha256(link.token.encode()).hexdigest()
    log = (home.settings.data.parent / f"{home.settings.data.name}.log").read_text()
    assert link.id in log
    assert link.token not in log


def test_the_answer_does_not_tell_whom_there_is(home: Home) -> None:
    user, shut_out, organization = home.user(), home.user(), home.organization(home.user())
    home.deactivate(shut_out)
    under_sso, enforcing = member_under_sso(home)
    before = value(home, int, "select count(*) from mails")
    for identifier in (
        shut_out.name,
        address_of(shut_out),
        organization,
        unique("nobody"),
        f"{unique('x')}@example.com",
    ):
        ask(home, identifier)
    settle(home)
    assert value(home, int, "select count(*) from mails") == before
    ask(home, under_sso.name)
    ask(home, user.name)
    assert len(reset_mails(home, user)) == 1
    # Only who reads the mails of the address is told why not.
    (told,) = reset_mails(home, under_sso)
    assert enforcing in told
    assert "token=" not in told


def test_asking_does_the_same_work_whether_or_not_there_is_an_account(home: Home) -> None:
    """The request is one row; whom it means is looked at by a job."""
    statements = [asked_statements(home, name) for name in (home.user().name, unique("nobody"), "x@example.com")]
    assert statements[0] == statements[1] == statements[2]
    assert not any("accounts" in statement for statement in statements[0])


def asked_statements(home: Home, identifier: str) -> list[str]:

    async def verb(services: Services) -> list[str]:
        statements: list[str] = []
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            services.db.trace = statements.append
            answer = await client.post(REQUEST, json={"identifier": identifier})
            services.db.trace = None
        assert answer.status_code == 202
        return statements

    return home.run(verb)


def test_a_link_leads_to_this_site_whatever_host_a_request_names(home: Home) -> None:
    user = home.user()
    answer = home.anonymous.post(REQUEST, json={"identifier": user.name}, headers={"host": "evil.example"})
    assert answer.status_code == 202
    assert "evil" not in settled_mails(home, address_of(user))[-1].body
    assert last_account_link(home, address_of(user)).base == home.url


def test_a_user_is_not_mailed_again_within_a_minute_nor_too_often(home: Home) -> None:
    user = home.user()
    for _ in range(3):
        ask(home, user.name)
    assert len(reset_mails(home, user)) == 1
    for number in range(2, 14):
        age_links(home, address_of(user), seconds=61)
        ask(home, user.name)
        assert len(reset_mails(home, user)) == min(number, 10)


def test_an_older_link_works_until_the_password_is_set(home: Home) -> None:
    user = home.user()
    ask(home, user.name)
    age_links(home, address_of(user), seconds=61)
    ask(home, user.name)
    first, second = (link_of(mail) for mail in settled_mails(home, address_of(user)))
    assert post(home, opened(home, first.url), "reset", password=NEW).status_code == 200
    assert home.anonymous.get(second.url).status_code == 410


@pytest.mark.parametrize("identifier", ["", "x" * 255, "two\nlines"])
def test_what_can_be_nobody_is_refused(home: Home, identifier: str) -> None:
    answer = home.anonymous.post(REQUEST, json={"identifier": identifier})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["identifier"]
    assert checked(home.anonymous.post(FORGOTTEN, data={"identifier": identifier})).forms


def test_the_page_for_a_forgotten_password_sends_the_link(home: Home) -> None:
    user = home.user()
    page = opened(home, FORGOTTEN)
    assert set(page.forms) == {"password"}
    done = checked(post(home, page, "password", identifier=f" {user.name} "))
    nobody = checked(post(home, page, "password", identifier=unique("nobody")))
    assert done.text == nobody.text
    assert len(reset_mails(home, user)) == 1


def test_old_links_are_forgotten(home: Home) -> None:

    user = home.user()
    ask(home, user.name)
    link = last_account_link(home, address_of(user))

    async def in_29_days(services: Services) -> None:
        await mail_requests.drop_old(services, now=utcnow() + timedelta(days=29))

    async def in_32_days(services: Services) -> None:
        await mail_requests.drop_old(services, now=utcnow() + timedelta(days=32))

    for drop, is_kept in ((in_29_days, True), (in_32_days, False)):
        home.run(drop)
        found = value_or_none(home, str, "select id from confirmations where id = :id", id=link.id)
        assert (found is not None) == is_kept


# Settings


@pytest.fixture(scope="module", params=DATABASES)
def strict(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A site where people change nothing by themselves."""
    with new_home(request.param, HOMEPORT_SELF_SERVICE="false") as home:
        yield home


def test_a_site_may_keep_passwords_to_itself(strict: Home) -> None:
    user = strict.user()
    answers = [
        change(strict.hub(user)),
        strict.hub(user).post("/v2/user/email", json={"password": PASSWORD, "email": "new@example.com"}),
        strict.anonymous.post(REQUEST, json={"identifier": user.name}),
        strict.anonymous.get(FORGOTTEN),
        strict.anonymous.post(FORGOTTEN, data={"identifier": user.name}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert logs_in(strict, user, PASSWORD)
    assert settled_mails(strict, address_of(user)) == []


@pytest.fixture(scope="module", params=DATABASES)
def busy(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A site that takes three requests for mails from an address."""
    with new_home(request.param, HOMEPORT_MAIL_REQUESTS_PER_ADDRESS="3", HOMEPORT_SIGN_UP="true") as home:
        yield home


def test_who_asks_for_too_many_mails_is_told_to_come_back_later(busy: Home) -> None:
    ask(busy, busy.user().name)
    ask(busy, unique("nobody"))
    assert busy.anonymous.post(FORGOTTEN, data={"identifier": "nobody"}).status_code == 200
    user = busy.user()
    sign_up = {"username": unique("new"), "email": "new@example.com"}
    for answer in (
        busy.anonymous.post(REQUEST, json={"identifier": user.name}),
        busy.anonymous.post(FORGOTTEN, data={"identifier": user.name}),
        busy.hub(user).post("/v2/user/email", json={"password": PASSWORD, "email": "new@example.com"}),
        busy.anonymous.post("/v2/users/signup", json=sign_up),
        busy.anonymous.post("/account/sign-up", data=sign_up),
    ):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 3600
        assert int(answer.headers["x-retry-after"]) > time.time()
    assert settled_mails(busy, address_of(user)) == []
