"""The pages for people, as a browser shows them: whole on a phone, by keyboard, without anything from elsewhere."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import anyio.from_thread
import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from homeport.api.hub.device_logins import DEVICE_CODE_GRANT
from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import enrolled
from tests.home import PASSWORD, Home, User, running_server, settings_of, unique
from tests.inviting import Inviting, an_address, expire, link_in
from tests.mailing import last_account_link

# Without the last ones Chromium asks for things at other hosts as soon as it starts.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (320, 768, 1500)
PHONE, DESK = WIDTHS[0], WIDTHS[-1]

# Of a page whose status says that something is wrong, which is no fault of the page.
STATUS_COMPLAINT = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d .*")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, portal: anyio.from_thread.BlockingPortal) -> Iterator[Home]:
    data = tmp_path_factory.mktemp("browser") / "hub"
    with running_server(data, HOMEPORT_SIGN_UP="true") as url:
        found = Home(url, settings_of(data), portal)
        yield found
        found.close()


@pytest.fixture(scope="module")
def url(home: Home) -> str:
    return home.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program is not None
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield found
        found.close()


class Watched:
    """A page with what it asked for, and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def is_fine(self, url: str, title: str) -> None:
        """Check what holds for every page of the site at `url`; `title` is what its heading says."""
        width = self.page.evaluate("window.innerWidth")
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.page.locator("h1").all_inner_texts() == [title]
        assert title in self.page.title()
        assert [request for request in self.asked if not request.startswith(f"{url}/")] == []
        assert [text for text in self.complaints if not STATUS_COMPLAINT.fullmatch(text)] == []


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page()
    page.set_default_timeout(5_000)
    yield Watched(page)
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_reference_fits_and_asks_for_nothing_else(watched: Watched, url: str, width: int) -> None:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{url}/reference")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert [request for request in watched.asked if not request.endswith("/favicon.ico")] == [f"{url}/reference"]
    assert watched.complaints == []


def test_the_reference_is_walked_by_keyboard(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/reference")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.get_by_role("link", name="List tags").first.click()
    assert page.url.endswith("#listTags")
    assert page.locator("#listTags h3").is_visible()
    answer = page.locator("#listTags details").first
    answer.locator("summary").focus()
    page.keyboard.press("Enter")
    assert answer.get_attribute("open") is not None
    assert answer.get_by_text("results").is_visible()


# Invites


@pytest.fixture
def acme(home: Home) -> Inviting:
    return Inviting.of(home)


def link_to(home: Home, address: str) -> str:
    """The link in the newest mail to an address, as the site administrator finds it in the outbox."""
    admin = home.hub(home.admin)
    mail = next(mail for mail in admin.get("/v2/mails").json()["results"] if mail["recipient"] == address)
    return link_in(admin.get(f"/v2/mails/{mail['id']}").json()["body"]).url


def members_of(acme: Inviting) -> dict[str, str]:
    found = acme.client.get(f"/v2/orgs/{acme.organization}/members").json()["results"]
    return {member["username"]: member["role"] for member in found}


def open_invite(watched: Watched, acme: Inviting, address: str, width: int) -> Page:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(link_to(acme.home, address))
    watched.is_fine(acme.home.url, f"Join {acme.organization}")
    return page


def sign_in(page: Page, user: User, *, password: str = "", code: str = "") -> None:
    page.get_by_label("User name").fill(user.name)
    page.get_by_label("Password").fill(password or user.password)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in and accept").click()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_signs_up_by_the_link_of_an_invite(watched: Watched, acme: Inviting, width: int) -> None:
    address, name, team = an_address(), unique("newcomer"), acme.team()
    acme.invite(address, role="editor", team=team)
    page = open_invite(watched, acme, address, width)
    for word in (address, team, "editor", acme.owner.name):
        assert page.get_by_text(word).first.is_visible()
    page.get_by_label("User name").fill(name)
    page.get_by_label("Full name").fill("Nora Newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make an account and accept").click()
    watched.is_fine(acme.home.url, f"Welcome to {acme.organization}")
    assert page.get_by_text(f"--username {name}").is_visible()
    assert members_of(acme)[name] == "Editor"
    assert acme.home.hub(User(name)).get("/v2/access-tokens").status_code == 200


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_user_signs_in_with_a_code_and_accepts(watched: Watched, acme: Inviting, width: int) -> None:
    account = enrolled(acme.home)
    acme.invite(account.user.name)
    page = open_invite(watched, acme, f"{account.user.name}@example.com", width)
    sign_in(page, account.user)
    watched.is_fine(acme.home.url, f"Join {acme.organization}")
    assert page.locator("#code-wrong").is_visible()
    assert page.locator(":focus").get_attribute("name") == "password"
    assert page.get_by_label("User name").input_value() == account.user.name
    sign_in(page, account.user, code=account.code)
    watched.is_fine(acme.home.url, f"Welcome to {acme.organization}")
    assert members_of(acme)[account.user.name] == "Member"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_declines(watched: Watched, acme: Inviting, width: int) -> None:
    address = an_address()
    acme.invite(address)
    page = open_invite(watched, acme, address, width)
    page.get_by_role("button", name="Decline").click()
    watched.is_fine(acme.home.url, "Invite declined")
    assert acme.pending() == []
    assert list(members_of(acme)) == [acme.owner.name]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_after_a_wrong_password_the_field_to_mend_is_at_hand(watched: Watched, acme: Inviting, width: int) -> None:
    user = acme.home.user()
    acme.invite(user.name)
    page = open_invite(watched, acme, f"{user.name}@example.com", width)
    sign_in(page, user, password="a wrong password")
    watched.is_fine(acme.home.url, f"Join {acme.organization}")
    assert page.title().startswith("Error: ")
    alert = page.get_by_role("alert")
    assert alert.inner_text() == "The user name, the password or the code is wrong."
    focused = page.locator(":focus")
    assert (focused.get_attribute("name"), focused.input_value()) == ("password", "")
    assert alert.get_attribute("id") in (focused.get_attribute("aria-describedby") or "").split()
    for element in (alert, focused):
        box = element.bounding_box()
        assert box is not None
        assert 0 <= box["y"] <= 800 - box["height"]
    assert user.name not in members_of(acme)
    # The user name stands there still, so the rest goes by keyboard.
    page.keyboard.type(user.password)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    watched.is_fine(acme.home.url, f"Welcome to {acme.organization}")
    assert members_of(acme)[user.name] == "Member"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_name_that_cannot_be_is_said_at_its_field(watched: Watched, acme: Inviting, width: int) -> None:
    address = an_address()
    acme.invite(address)
    page = open_invite(watched, acme, address, width)
    page.get_by_label("User name").fill("No Name")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make an account and accept").click()
    watched.is_fine(acme.home.url, f"Join {acme.organization}")
    focused = page.locator(":focus")
    assert (focused.get_attribute("name"), focused.get_attribute("aria-invalid")) == ("username", "true")
    assert page.locator("#username-wrong").is_visible()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_link_that_works_no_more_says_why(watched: Watched, acme: Inviting, width: int) -> None:
    page, address = watched.page, an_address()
    invite = acme.invite(address)
    link = link_to(acme.home, address)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{link}x")
    watched.is_fine(acme.home.url, "Invite not found")
    expire(acme.home, invite["id"])
    page.goto(link)
    watched.is_fine(acme.home.url, "This invite has expired")

    user = acme.home.user()
    acme.invite(user.name)
    link = link_to(acme.home, f"{user.name}@example.com")
    page.goto(link)
    sign_in(page, user)
    page.goto(link)
    watched.is_fine(acme.home.url, "This invite has been used")
    assert acme.role_of(user.name) is OrganizationRole.MEMBER


def test_the_page_of_an_invite_is_walked_by_keyboard(watched: Watched, acme: Inviting) -> None:
    address = an_address()
    acme.invite(address)
    page = open_invite(watched, acme, address, PHONE)
    walked = []
    for _ in range(5):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        walked.append(focused.get_attribute("name") or focused.inner_text())
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    assert walked == ["username", "full_name", "password", "Make an account and accept", "Decline"]


# One's own account


NEW_PASSWORD = "another long enough password"


def open_page(watched: Watched, home: Home, url: str, title: str, width: int) -> Page:
    page = watched.page
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    watched.is_fine(home.url, title)
    return page


def focused_name(page: Page) -> str | None:
    return page.locator(":focus").get_attribute("name")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_resets_a_forgotten_password(watched: Watched, home: Home, width: int) -> None:
    user = home.user()
    page = open_page(watched, home, f"{home.url}/account/password", "Forgotten password", width)
    page.get_by_label("User name or e-mail address").fill(f"{user.name}@example.com")
    page.get_by_role("button", name="Send the link").click()
    watched.is_fine(home.url, "Look at your mails")
    link = last_account_link(home, f"{user.name}@example.com")
    open_page(watched, home, link.url, "New password", width)
    page.get_by_label("New password").fill("short")
    page.get_by_label("Delete my personal access tokens, too").check()
    page.get_by_role("button", name="Set the password").click()
    watched.is_fine(home.url, "New password")
    assert page.title().startswith("Error: ")
    assert page.get_by_role("alert").is_visible()
    assert focused_name(page) == "password"
    assert page.get_by_label("Delete my personal access tokens, too").is_checked()
    page.keyboard.type(NEW_PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    watched.is_fine(home.url, "Password changed")
    assert home.hub(User(user.name, NEW_PASSWORD)).get("/v2/user/").status_code == 200
    open_page(watched, home, link.url, "This link does not work any more", width)
    open_page(watched, home, f"{link.url}x", "Link not found", width)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_confirms_a_new_address(watched: Watched, home: Home, width: int) -> None:
    user, email = home.user(), an_address()
    asked = home.hub(user).post("/v2/user/email", json={"email": email, "password": user.password})
    assert asked.status_code == 202
    page = open_page(watched, home, last_account_link(home, email).url, "New e-mail address", width)
    assert page.get_by_text(email).is_visible()
    page.get_by_label("Password").fill("a wrong password")
    page.get_by_role("button", name="Confirm the address").click()
    watched.is_fine(home.url, "New e-mail address")
    assert page.locator("#password-wrong").is_visible()
    assert focused_name(page) == "password"
    page.get_by_label("Password").fill(user.password)
    page.get_by_role("button", name="Confirm the address").click()
    watched.is_fine(home.url, "Address changed")
    assert home.hub(user).get("/v2/user/email").json() == {"email": email}


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_makes_an_account(watched: Watched, home: Home, width: int) -> None:
    email, name = an_address(), unique("newcomer")
    page = open_page(watched, home, f"{home.url}/account/sign-up", "Make an account", width)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Full name").fill("Nora Newcomer")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send the link").click()
    watched.is_fine(home.url, "Make an account")
    assert "admin" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("E-mail address").input_value() == email
    page.get_by_label("User name").fill(name)
    page.get_by_role("button", name="Send the link").click()
    watched.is_fine(home.url, "Look at your mails")
    open_page(watched, home, last_account_link(home, email).url, "Make an account", width)
    assert page.get_by_label("User name").input_value() == name
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    watched.is_fine(home.url, "Welcome to Homeport")
    assert page.get_by_text(f"--username {name}").is_visible()
    assert home.hub(User(name)).get("/v2/user/").json()["full_name"] == "Nora Newcomer"


# Programs that sign in


def program_of(home: Home) -> dict[str, Any]:
    """The codes of a program that has begun to sign in."""
    begun: dict[str, Any] = home.anonymous.post("/oauth/device/code", data={"client_id": "docker-cli"}).json()
    return begun


def asked_for_tokens(home: Home, begun: dict[str, Any]) -> httpx.Response:
    form = {"grant_type": DEVICE_CODE_GRANT, "client_id": "docker-cli", "device_code": begun["device_code"]}
    return home.anonymous.post("/oauth/token", data=form)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_lets_a_program_in(watched: Watched, home: Home, width: int) -> None:
    account, begun = enrolled(home), program_of(home)
    page = open_page(watched, home, begun["verification_uri_complete"], "Sign in a program", width)
    assert page.get_by_label("Code").input_value() == begun["user_code"]
    page.get_by_role("button", name="Go on").click()
    watched.is_fine(home.url, "Sign in a program")
    for word in (begun["user_code"], "127.0.0.1", "python-httpx"):
        assert page.get_by_text(word).first.is_visible()
    page.get_by_label("User name").fill(account.user.name)
    page.get_by_label("Password").fill(account.user.password)
    page.get_by_role("button", name="Sign in and let it in").click()
    watched.is_fine(home.url, "Sign in a program")
    assert page.title().startswith("Error: ")
    assert page.locator("#code-wrong").is_visible()
    assert (focused_name(page), page.locator(":focus").input_value()) == ("password", "")
    assert asked_for_tokens(home, begun).json()["error"] == "authorization_pending"
    page.keyboard.type(account.user.password)
    page.get_by_label("Second factor").fill(account.code)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    watched.is_fine(home.url, "Signed in")
    tokens = asked_for_tokens(home, begun).json()
    assert home.client(authorization=f"Bearer {tokens['access_token']}").get("/v2/user").status_code == 200


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_person_turns_a_program_away(watched: Watched, home: Home, width: int) -> None:
    begun = program_of(home)
    page = open_page(watched, home, begun["verification_uri"], "Sign in a program", width)
    page.get_by_label("Code").fill("BBBB-BBBB")
    page.get_by_role("button", name="Go on").click()
    watched.is_fine(home.url, "Sign in a program")
    assert "not found" in page.get_by_role("alert").inner_text()
    assert focused_name(page) == "user_code"
    page.get_by_label("Code").fill(begun["user_code"].replace("-", " ").lower())
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Turn it away").click()
    watched.is_fine(home.url, "Turned away")
    assert asked_for_tokens(home, begun).json()["error"] == "access_denied"


def test_the_page_of_a_program_is_walked_by_keyboard(watched: Watched, home: Home) -> None:
    page = open_page(watched, home, program_of(home)["verification_uri_complete"], "Sign in a program", PHONE)
    page.keyboard.press("Tab")
    assert focused_name(page) == "user_code"
    with page.expect_navigation():
        page.keyboard.press("Enter")
    walked = []
    for _ in range(5):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        walked.append(focused.get_attribute("name") or focused.inner_text())
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    assert walked == ["username", "password", "code", "Sign in and let it in", "Turn it away"]


def test_the_page_for_a_new_password_is_walked_by_keyboard(watched: Watched, home: Home) -> None:
    user = home.user()
    asked = home.anonymous.post("/v2/users/password-reset", json={"identifier": user.name})
    assert asked.status_code == 202
    url = last_account_link(home, f"{user.name}@example.com").url
    page = open_page(watched, home, url, "New password", PHONE)
    walked = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        walked.append(focused.get_attribute("name") or focused.inner_text())
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    assert walked == ["username", "password", "delete_access_tokens", "Set the password"]
