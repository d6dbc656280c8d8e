"""New accounts for whoever comes: none before the link of a mail has shown whose address it is."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.hub.logins import LOGIN, events
from tests.conftest import DATABASES, NewHome
from tests.home import PASSWORD, Home, User, unique
from tests.inviting import mails_to, value_or_none
from tests.mailing import AccountLink, age_links, last_account_link, link_of, settled_mails
from tests.web.test_invite_pages import Page, checked, opened, post

SIGN_UP = "/v2/users/signup"
PAGE = "/account/sign-up"
ACCEPTED = (202, {"detail": "a mail is on its way"})


@pytest.fixture(scope="module", params=DATABASES)
def open_home(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[Home]:
    """A site that lets people sign up."""
    with new_home(request.param, HOMEPORT_SIGN_UP="true") as home:
        yield home


def an_address() -> str:
    return f"{unique('somebody')}@example.com"


def ask(home: Home, name: str, email: str, **fields: object) -> httpx.Response:
    return home.anonymous.post(SIGN_UP, json={"username": name, "email": email, **fields})


def asked(home: Home, name: str, email: str, **fields: object) -> AccountLink:
    answer = ask(home, name, email, **fields)
    assert (answer.status_code, answer.json()) == ACCEPTED
    return last_account_link(home, email)


def create(home: Home, page: Page, **fields: str) -> httpx.Response:
    return post(home, page, "create", **{"password": PASSWORD, **fields})


def exists(home: Home, name: str) -> bool:
    return home.anonymous.head(f"/v2/users/{name}").status_code == 200


def test_an_account_is_made_by_the_link_of_a_mail(open_home: Home) -> None:
    home, name, email = open_home, unique("new-"), an_address()
    link = asked(home, name, email, full_name="Ann Other")
    assert (link.base, link.what) == (home.url, "sign-up")
    assert not exists(home, name)
    login = home.anonymous.post(LOGIN, json={"username": name, "password": PASSWORD})
    assert login.status_code == 401
    page = opened(home, link.url)
    assert email in page.text
    assert page.forms["create"].fields["username"] == name
    done = checked(create(home, page))
    assert f"docker login {home.url.partition('://')[2]} --username {name}" in done.text
    client = home.hub(User(name))
    assert client.get("/v2/user/").json()["full_name"] == "Ann Other"
    assert client.get("/v2/user/email").json() == {"email": email}
    (made,) = events(home, User(name), "user.create", count=1)
    assert (made.actor, made.words["ip_address"]) == (name, "127.0.0.1")


def test_the_page_asks_for_the_link_as_the_api_does(open_home: Home) -> None:
    home, name, email = open_home, unique("new"), an_address()
    page = opened(home, PAGE)
    done = post(home, page, "sign-up", username=f" {name.upper()} ", email=f" {email} ", full_name="Ann")
    assert done.status_code == 200
    assert email in checked(done).text
    assert create(home, opened(home, last_account_link(home, email).url)).status_code == 200
    assert exists(home, name)


def test_a_name_that_is_taken_is_said_at_once(open_home: Home) -> None:
    home, email = open_home, an_address()
    user, organization = home.user(), home.organization(home.user())
    for name in (user.name, organization, "admin"):
        answer = ask(home, name, email)
        assert answer.status_code == 409
        assert name in answer.json()["message"]
    taken = post(home, opened(home, PAGE), "sign-up", username=user.name, email=email)
    assert taken.status_code == 409
    assert checked(taken).forms["sign-up"].fields["email"] == email
    assert settled_mails(home, email) == []


def test_an_address_that_is_taken_is_said_to_its_owner_alone(open_home: Home) -> None:
    home, owner = open_home, open_home.user()
    email = f"{owner.name}@example.com"
    answers = [ask(home, unique("new"), email), ask(home, unique("new"), an_address())]
    assert [(answer.status_code, answer.json()) for answer in answers] == [ACCEPTED, ACCEPTED]
    (mail,) = settled_mails(home, email)
    assert owner.name in mail.body
    assert "token=" not in mail.body


def test_what_a_mail_says_is_not_for_the_stranger_to_choose(open_home: Home) -> None:
    home, email = open_home, an_address()
    asked(home, unique("new"), email, full_name="Buy at https://evil.example")
    (mail,) = mails_to(home, email)
    assert "evil" not in mail.body + mail.subject


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"username": "No Name"}, ""),
        ({"username": "x"}, ""),
        ({"username": "login"}, ""),
        ({"username": "signup"}, ""),
        ({"username": "users"}, ""),
        ({"email": "nowhere"}, "email"),
        ({"full_name": "two\nlines"}, "full_name"),
        ({"username": None}, "username"),
    ],
)
def test_what_cannot_be_is_refused(open_home: Home, fields: dict[str, object], wrong: str) -> None:
    body = {"username": unique("new"), "email": an_address(), **fields}
    answer = open_home.anonymous.post(SIGN_UP, json=body)
    assert answer.status_code == 400
    assert list(answer.json().get("fields", {})) == ([wrong] if wrong else [])


def test_of_two_with_one_name_the_second_chooses_another(open_home: Home) -> None:
    home, name = open_home, unique("new")
    first, second = (opened(home, asked(home, name, an_address()).url) for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda page: create(home, page).status_code, (first, second)))
    assert sorted(statuses) == [200, 409]
    late = (first, second)[statuses.index(409)]
    answer = create(home, late)
    assert answer.status_code == 409
    assert name in checked(answer).text
    other = unique("new")
    assert create(home, checked(answer), username=other).status_code == 200
    assert exists(home, other)


def test_of_two_links_for_one_address_one_makes_an_account(open_home: Home) -> None:
    home, email, names = open_home, an_address(), [unique("new"), unique("new")]
    first = asked(home, names[0], email)
    age_links(home, email, seconds=61)
    second = asked(home, names[1], email)
    assert create(home, opened(home, first.url)).status_code == 200
    assert create(home, opened(home, second.url)).status_code == 409
    assert [exists(home, name) for name in names] == [True, False]


def test_a_link_works_once_and_not_for_ever(open_home: Home) -> None:
    home, name, email = open_home, unique("new"), an_address()
    link = asked(home, name, email)
    page = opened(home, link.url)
    assert create(home, page).status_code == 200
    for answer in (create(home, page, username=unique("new")), home.anonymous.get(link.url)):
        assert answer.status_code == 410
        assert "It has been used." in checked(answer).text
    email = an_address()
    link = asked(home, unique("new"), email)
    age_links(home, email, seconds=24 * 3600 + 1)
    assert "It has expired." in opened(home, link.url, 410).text


def test_a_password_that_cannot_be_uses_no_link_up(open_home: Home) -> None:
    home, name, email = open_home, unique("new"), an_address()
    page = opened(home, asked(home, name, email).url)
    for wrong in ({"password": "short"}, {"username": "No Name"}, {"full_name": "x" * 256}):
        answer = create(home, page, **wrong)
        assert answer.status_code == 400
        checked(answer)
    assert value_or_none(home, str, "select name from accounts where email = :email", email=email) is None
    assert create(home, page).status_code == 200


def test_a_link_that_is_not_whole_opens_nothing(open_home: Home) -> None:
    home = open_home
    link = asked(home, unique("new"), an_address())
    foreign = asked(home, unique("new"), an_address())
    for url in (
        f"{PAGE}/{link.id}",
        f"{PAGE}/{link.id}?token={foreign.token}",
        f"/account/password/{link.id}?token={link.token}",
        f"{PAGE}/{link.id}/create",
    ):
        assert home.anonymous.get(url).status_code in (404, 405)
    form = {"token": foreign.token, "username": unique("new"), "password": PASSWORD}
    assert home.anonymous.post(f"{PAGE}/{link.id}/create", data=form).status_code == 404


def test_an_address_is_not_mailed_again_within_a_minute_nor_too_often(open_home: Home) -> None:
    home, email = open_home, an_address()
    for _ in range(3):
        assert ask(home, unique("new"), email).status_code == 202
    assert len(settled_mails(home, email)) == 1
    for number in range(2, 13):
        age_links(home, email, seconds=61)
        assert ask(home, unique("new"), email).status_code == 202
        assert len(settled_mails(home, email)) == min(number, 10)
    assert link_of(settled_mails(home, email)[0])


def test_nobody_signs_up_where_the_site_does_not_allow_it(home: Home) -> None:
    email = an_address()
    answers = [
        ask(home, unique("new"), email),
        home.anonymous.get(PAGE),
        home.anonymous.post(PAGE, data={"username": unique("new"), "email": email}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert "nobody can sign up here" in answers[0].json()["message"]
    assert settled_mails(home, email) == []
