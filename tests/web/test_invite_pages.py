"""The pages behind the link of an invite, used as a browser would: forms are found in the page and posted."""

import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from html.parser import HTMLParser
from typing import NamedTuple

import httpx
import pytest

from homeport.storage.db.database import from_microseconds
from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import enrolled, wrong_code
from tests.home import PASSWORD, Home, User, unique
from tests.inviting import Inviting, age, an_address, expire, last_link, run, value

VOID = {"meta", "input", "br", "link"}


class Form(NamedTuple):
    action: str
    fields: dict[str, str]
    button: str


class Page(HTMLParser):
    """What a browser, and somebody who listens to one, takes from a page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.url = answer.url
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.forms: dict[str, Form] = {}
        self.labels: set[str] = set()
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._form: Form | None = None
        self.feed(answer.text)
        assert not self._open, "a tag was left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if id_ := found.get("id"):
            self.ids.append(id_)
        if tag == "label":
            self.labels.add(found["for"] or "")
        elif tag == "form":
            assert found["method"] == "post"
            self._form = Form(found["action"] or "", {}, "")
            self.forms[self._form.action.rpartition("/")[2]] = self._form
        elif tag == "input":
            assert self._form is not None
            is_off = found["type"] == "checkbox" and "checked" not in found
            self._form.fields[found["name"] or ""] = "" if is_off else found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def opened(home: Home, url: str, status: int = 200) -> Page:
    answer = home.anonymous.get(url)
    assert answer.status_code == status, answer.text
    return checked(answer)


def checked(answer: httpx.Response) -> Page:
    """The page of an answer, which has to be as safe and as accessible as all of them."""
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "deny"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])
    assert "set-cookie" not in headers
    page = Page(answer)
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == 1
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.ids) == len(set(page.ids))
    assert not page.all("script")
    for field in page.all("input"):
        assert field["type"] == "hidden" or field["id"] in page.labels
        for id_ in (field.get("aria-describedby") or "").split():
            assert id_ in page.ids
    assert "on Homeport" not in page.text
    return page


def post(home: Home, page: Page, name: str, **fields: str) -> httpx.Response:
    form = page.forms[name]
    assert set(fields) <= set(form.fields)
    return home.anonymous.post(form.action, data={**form.fields, **fields})


@pytest.fixture
def acme(home: Home) -> Inviting:
    return Inviting.of(home)


def sign_up(home: Home, page: Page, name: str, **fields: str) -> httpx.Response:
    return post(home, page, "join", **{"username": name, "full_name": "", "password": PASSWORD, **fields})


def test_the_page_says_who_invites_to_what_until_when(acme: Inviting) -> None:
    address, team = an_address(), acme.team()
    invite = acme.invite(address, role="editor", team=team)
    page = opened(acme.home, last_link(acme.home, address).url)
    until = value(acme.home, int, "select expires_at from invites where id = :id", id=invite["id"])
    until_text = from_microseconds(until).strftime("%Y-%m-%d %H:%M UTC")
    for word in (acme.owner.name, acme.organization, team, "editor", address, until_text):
        assert word in page.text
    assert set(page.forms) == {"join", "decline"}


def test_looking_at_the_page_changes_nothing(acme: Inviting) -> None:
    address = an_address()
    invite = acme.invite(address)
    url = last_link(acme.home, address).url
    for _ in range(3):
        opened(acme.home, url)
        opened(acme.home, url.replace("?", "/?"))
    head = acme.home.anonymous.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert acme.pending() == [invite]


def test_a_new_user_signs_up_and_joins(acme: Inviting) -> None:
    home, address, team, name = acme.home, an_address(), acme.team(), unique("new-")
    acme.invite(address, role="editor", team=team)
    url = last_link(home, address).url
    answer = sign_up(home, opened(home, url), name.upper(), full_name="Ann O'Neil <b>")
    assert answer.status_code == 200, answer.text
    page = checked(answer)
    assert f"Welcome to {acme.organization}" in page.text
    assert f"docker login {home.url.partition('://')[2]} --username {name}" in page.text
    assert acme.role_of(name) is OrganizationRole.EDITOR
    assert acme.teams_of(name) == team
    assert value(home, str, "select email from accounts where name = :name", name=name) == address
    assert value(home, str, "select full_name from accounts where name = :name", name=name) == "Ann O'Neil <b>"
    assert home.hub(User(name)).get("/v2/user/invites").status_code == 200
    assert acme.pending() == []
    assert acme.events()[-2:] == [("org.member.add", acme.organization, name), ("org.team.member.add", name, name)]
    assert "has been used" in opened(home, url, 410).text
    again = sign_up(home, page_of(home, address), unique("other"))
    assert again.status_code == 410


def page_of(home: Home, address: str) -> Page:
    """A page with all the forms that there are, whichever the server would show."""
    link = last_link(home, address)
    page = Page(httpx.Response(200, text="", request=httpx.Request("GET", link.url)))
    for name, fields in (
        ("join", ("username", "full_name", "password")),
        ("accept", ("username", "password", "code")),
        ("decline", ()),
    ):
        page.forms[name] = Form(f"/invites/{link.id}/{name}", {"token": link.token, **dict.fromkeys(fields, "")}, "")
    return page


def test_a_user_signs_in_and_accepts(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    acme.invite(user.name)
    url = last_link(home, f"{user.name}@example.com").url
    page = opened(home, url)
    assert set(page.forms) == {"accept", "decline"}
    # A button that is pressed twice.
    for _ in range(2):
        answer = post(home, page, "accept", username=f" {user.name.title()} ", password=user.password)
        assert answer.status_code == 200, answer.text
        assert f"Welcome to {acme.organization}" in checked(answer).text
    assert acme.role_of(user.name) is OrganizationRole.MEMBER
    assert [event for event, _, _ in acme.events()].count("org.member.add") == 1
    opened(home, url, 410)


def test_a_wrong_password_joins_nobody_and_is_not_shown_again(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    answer = post(home, page, "accept", username=user.name, password="the wrong password")
    assert answer.status_code == 403
    assert "the wrong password" not in answer.text
    again = checked(answer)
    assert "The user name, the password or the code is wrong." in again.text
    assert any(attributes.get("role") == "alert" for attributes in again.all("p"))
    assert again.forms["accept"].fields["username"] == user.name
    assert acme.role_of(user.name) is None
    assert post(home, again, "accept", password=user.password).status_code == 200


def test_a_second_factor_is_asked_for_and_taken_in_the_same_form(acme: Inviting) -> None:
    home, account = acme.home, enrolled(acme.home)
    user = account.user
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    signed_in = {"username": user.name, "password": user.password}
    missing = post(home, page, "accept", **signed_in)
    assert missing.status_code == 403
    asked = checked(missing)
    assert "second factor" in asked.text
    (wrong,) = [attributes for attributes in asked.all("input") if attributes.get("aria-invalid")]
    assert wrong["id"] == "code"
    refused = post(home, asked, "accept", **signed_in, code=wrong_code(account.secret))
    assert refused.status_code == 403
    assert checked(refused).forms["accept"].fields["code"] == ""
    assert post(home, asked, "accept", username=user.name, password="a wrong one", code=account.code).status_code == 403
    assert acme.role_of(user.name) is None
    assert post(home, asked, "accept", **signed_in, code=account.code).status_code == 200
    assert acme.role_of(user.name) is OrganizationRole.MEMBER


def test_guesses_are_limited(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    for _ in range(10):
        assert post(home, page, "accept", username=user.name, password="a wrong password").status_code == 403
    answer = post(home, page, "accept", username=user.name, password=user.password)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "too many" in checked(answer).text.lower()
    assert acme.role_of(user.name) is None


def test_an_invite_is_accepted_by_its_own_account_only(acme: Inviting) -> None:
    home, user, other = acme.home, acme.home.user(), acme.home.user()
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    for wrong in (other, acme.owner, home.admin):
        answer = post(home, page, "accept", username=wrong.name, password=wrong.password)
        assert answer.status_code == 403
        assert "another account" in checked(answer).text
    assert acme.role_of(other.name) is None
    # Nor does a new account take the place of the one that is invited.
    answer = sign_up(home, page_of(home, f"{user.name}@example.com"), unique("taker"))
    assert answer.status_code == 403
    assert len(acme.pending()) == 1


def test_the_address_of_an_account_that_is_not_it_does_not_do(acme: Inviting) -> None:
    home, user, address = acme.home, acme.home.user(), an_address()
    acme.invite(address)
    page = page_of(home, address)
    answer = post(home, page, "accept", username=user.name, password=user.password)
    assert answer.status_code == 403
    assert acme.role_of(user.name) is None


def test_an_access_token_is_no_password_here(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    _, secret = home.access_token(user)
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    assert post(home, page, "accept", username=user.name, password=secret).status_code == 403
    assert acme.role_of(user.name) is None


def test_who_got_an_account_after_the_invite_signs_in(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    url = last_link(home, address).url
    assert set(opened(home, url).forms) == {"join", "decline"}
    user = home.user()
    run(home, "update accounts set email = :email where name = :name", email=address.upper(), name=user.name)
    page = opened(home, url)
    assert set(page.forms) == {"accept", "decline"}
    assert post(home, page, "accept", username=user.name, password=user.password).status_code == 200
    assert acme.role_of(user.name) is OrganizationRole.MEMBER


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"username": "Ünal"}, "username", "lower-case"),
        ({"username": "orgs"}, "username", "reserved"),
        ({"username": ""}, "username", "2 to 30"),
        ({"password": "short"}, "password", "8 to"),
        ({"full_name": "a\r\nBcc: eve@example.com"}, "full_name", "control characters"),
        ({"full_name": "x" * 256}, "full_name", "255"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(
    acme: Inviting, fields: dict[str, str], field: str, words: str
) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    answer = sign_up(home, opened(home, last_link(home, address).url), **{"name": unique("new"), **renamed(fields)})
    assert answer.status_code == 400
    page = checked(answer)
    (wrong,) = [attributes for attributes in page.all("input") if attributes.get("aria-invalid")]
    assert wrong["id"] == field
    assert f"{field}-wrong" in (wrong["aria-describedby"] or "")
    assert words in page.text
    assert page.forms["join"].fields["password"] == ""
    assert len(acme.pending()) == 1
    assert sign_up(home, page, unique("new")).status_code == 200


def renamed(fields: dict[str, str]) -> dict[str, str]:
    return {"name" if name == "username" else name: text for name, text in fields.items()}


def test_a_name_that_is_taken_can_be_chosen_anew(acme: Inviting) -> None:
    home, address, taken = acme.home, an_address(), acme.home.user()
    acme.invite(address)
    answer = sign_up(home, opened(home, last_link(home, address).url), taken.name)
    assert answer.status_code == 409
    assert "already in use" in checked(answer).text
    assert acme.role_of(taken.name) is None
    name = unique("new")
    assert sign_up(home, checked(answer), name).status_code == 200
    assert acme.role_of(name) is OrganizationRole.MEMBER


def test_two_who_sign_up_at_once_are_one_account(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    page = opened(home, last_link(home, address).url)
    names = [unique("twin") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: sign_up(home, page, name), names))
    assert sorted(answer.status_code for answer in answers)[0] == 200
    assert [answer.status_code for answer in answers].count(200) == 1
    assert all(answer.status_code in (200, 403, 409, 410) for answer in answers)
    assert [event for event, _, _ in acme.events()].count("org.member.add") == 1
    assert [acme.role_of(name) for name in names].count(OrganizationRole.MEMBER) == 1
    assert value(home, int, "select count(*) from accounts where email = :email", email=address) == 1


def test_two_who_accept_at_once_are_one_member(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda _: post(home, page, "accept", username=user.name, password=user.password),
                range(4),
            )
        )
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [event for event, _, _ in acme.events()].count("org.member.add") == 1


def test_anyone_with_the_link_may_decline(acme: Inviting) -> None:
    home, user = acme.home, acme.home.user()
    acme.invite(user.name)
    url = last_link(home, f"{user.name}@example.com").url
    page = opened(home, url)
    for _ in range(2):
        answer = post(home, page, "decline")
        assert answer.status_code == 200
        assert "Invite declined" in checked(answer).text
    assert "declined" in opened(home, url, 410).text
    assert post(home, page, "accept", username=user.name, password=user.password).status_code == 410
    assert acme.role_of(user.name) is None
    assert acme.events()[-1] == ("org.member.invite.decline", acme.organization, user.name)


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_link_that_has_ended_says_why(acme: Inviting, end: str) -> None:
    home, user = acme.home, acme.home.user()
    invite = acme.invite(user.name)
    page = opened(home, last_link(home, f"{user.name}@example.com").url)
    if end == "expired":
        expire(home, invite["id"])
    else:
        acme.client.delete(f"/v2/invites/{invite['id']}")
    assert (
        f"This invite has {'expired' if end == 'expired' else 'been cancelled'}"
        in opened(home, str(page.url), 410).text
    )
    for name in ("accept", "decline"):
        fields = {"username": user.name, "password": user.password} if name == "accept" else {}
        assert post(home, page, name, **fields).status_code == 410
    assert sign_up(home, page_of(home, f"{user.name}@example.com"), unique("new")).status_code == 410
    assert acme.role_of(user.name) is None


def test_a_link_that_is_not_right_opens_nothing(acme: Inviting) -> None:
    home, address, other = acme.home, an_address(), an_address()
    acme.invite(address)
    acme.invite(other)
    link, foreign = last_link(home, address), last_link(home, other)
    for url in (
        f"/invites/{link.id}",
        f"/invites/{link.id}?token=",
        f"/invites/{link.id}?token={link.token[:-1]}",
        f"/invites/{link.id}?token={foreign.token}",
        f"/invites/{foreign.id}?token={link.token}",
        f"/invites/no-such-invite?token={link.token}",
        f"/invites/%00?token={link.token}",
        f"/invites/{link.id}/nothing?token={link.token}",
    ):
        answer = home.anonymous.get(url)
        assert answer.status_code in (400, 404), url
        assert acme.organization not in checked(answer).text
    for name in ("join", "decline"):
        wrong = {"token": foreign.token, "username": unique("new"), "password": PASSWORD}
        assert home.anonymous.post(f"/invites/{link.id}/{name}", data=wrong).status_code == 404
    assert len(acme.pending()) == 2


def test_a_link_that_was_sent_again_has_replaced_the_old_one(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    invite = acme.invite(address)
    old = opened(home, last_link(home, address).url)
    age(home, invite["id"], seconds=61)
    assert acme.client.patch(f"/v2/invites/{invite['id']}/resend").status_code == 204
    assert sign_up(home, old, unique("new")).status_code == 404
    assert sign_up(home, opened(home, last_link(home, address).url), unique("new")).status_code == 200


def test_what_is_shown_is_escaped(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    evil = '"><script>alert(1)</script>'
    answer = sign_up(home, opened(home, last_link(home, address).url), evil, full_name=evil, password="short")
    assert "<script" not in answer.text
    assert evil.lower() in unescape(answer.text).lower()
    assert checked(answer).forms["join"].fields["full_name"] == evil


@pytest.mark.parametrize(
    ("content", "status"), [(b"\xff=1", 400), (b"&".join(b"a=1" for _ in range(50)), 400), (b"x" * 70_000, 413)]
)
def test_what_is_no_form_of_ours_is_refused(acme: Inviting, content: bytes, status: int) -> None:
    answer = acme.home.anonymous.post(
        "/invites/some-invite/accept",
        content=content,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == status
    checked(answer)


@pytest.mark.parametrize("verb", ["accept", "join", "decline"])
def test_a_link_alone_does_no_deed(acme: Inviting, verb: str) -> None:
    address = an_address()
    acme.invite(address)
    link = last_link(acme.home, address)
    answer = acme.home.anonymous.get(f"/invites/{link.id}/{verb}?token={link.token}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert len(acme.pending()) == 1


def test_the_log_does_not_hold_the_secret(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    link = last_link(home, address)
    page = opened(home, link.url)
    post(home, page, "decline")
    log = (home.settings.data.parent / f"{home.settings.data.name}.log").read_text()
    assert f"/invites/{link.id}" in log
    assert link.token not in log
