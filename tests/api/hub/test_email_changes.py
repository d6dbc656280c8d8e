"""Another e-mail address for one's own account, which counts once its mail has been answered."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.api.hub.logins import enforce_sso, events
from tests.home import PASSWORD, Home, User, unique
from tests.inviting import Inviting, mails_to, run, value
from tests.mailing import AccountLink, age_links, last_account_link, settled_mails
from tests.scim import IdentityProvider
from tests.web.test_invite_pages import checked, opened, post

EMAIL = "/v2/user/email"


def address_of(user: User) -> str:
    return f"{user.name}@example.com"


def an_address() -> str:
    return f"{unique('new')}@example.net"


def ask(client: httpx.Client, email: str, *, password: str = PASSWORD) -> None:
    answer = client.post(EMAIL, json={"email": email, "password": password})
    assert (answer.status_code, answer.json()) == (202, {"detail": "a mail is on its way to the new address"})


def present(home: Home, user: User) -> str:
    answer = home.hub(user).get(EMAIL)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["email"]
    found: str = answer.json()["email"]
    return found


def asked(home: Home, user: User, email: str) -> AccountLink:
    ask(home.hub(user), email)
    return last_account_link(home, email)


def test_a_new_address_counts_once_it_is_confirmed(home: Home) -> None:
    user, email = home.user(), an_address()
    session = home.hub(user)
    link = asked(home, user, email)
    assert (link.base, link.what) == (home.url, "email")
    assert present(home, user) == address_of(user)
    page = opened(home, link.url)
    assert user.name in page.text
    assert email in page.text
    assert checked(post(home, page, "confirm", password=PASSWORD)).text.count("Address changed") == 1
    assert present(home, user) == email
    assert session.get("/v2/user/").status_code == 200
    (note,) = mails_to(home, address_of(user))
    assert note.subject == "Your e-mail address on Homeport has been changed"
    assert email not in note.body
    (changed,) = events(home, user, "user.email.change", count=1)
    assert (changed.actor, changed.words["email"]) == (user.name, email)
    (asked_for,) = events(home, user, "user.email.change.request", count=1)
    assert asked_for.words["ip_address"] == "127.0.0.1"


def test_the_link_alone_does_not_do(home: Home) -> None:
    """Nobody makes an address that they were asked about somebody else's by a click."""
    user, email = home.user(), an_address()
    page = opened(home, asked(home, user, email).url)
    for wrong in ("a wrong password", "", home.access_token(user)[1]):
        answer = post(home, page, "confirm", password=wrong)
        assert answer.status_code == 400
        assert checked(answer).forms["confirm"].fields["password"] == ""
    assert present(home, user) == address_of(user)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200


def test_guesses_on_the_page_are_limited(home: Home) -> None:
    user, email = home.user(), an_address()
    page = opened(home, asked(home, user, email).url)
    for _ in range(10):
        assert post(home, page, "confirm", password="a wrong password").status_code == 400
    answer = post(home, page, "confirm", password=PASSWORD)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    checked(answer)


def test_a_link_works_once_and_not_for_ever(home: Home) -> None:
    user, email = home.user(), an_address()
    link = asked(home, user, email)
    page = opened(home, link.url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    for answer in (post(home, page, "confirm", password=PASSWORD), home.anonymous.get(link.url)):
        assert answer.status_code == 410
        assert "It has been used." in checked(answer).text
    other = an_address()
    link = asked(home, user, other)
    age_links(home, other, seconds=24 * 3600 + 1)
    assert "It has expired." in opened(home, link.url, 410).text
    assert present(home, user) == email


def test_a_changed_password_voids_the_link(home: Home) -> None:
    user, email = home.user(), an_address()
    link = asked(home, user, email)
    body = {"password": PASSWORD, "new_password": "another long enough password"}
    assert home.hub(user).post("/v2/user/password", json=body).status_code == 200
    assert home.anonymous.get(link.url).status_code == 410


def test_a_new_address_voids_links_that_went_to_the_old_one(home: Home) -> None:
    user, email = home.user(), an_address()
    assert home.anonymous.post("/v2/users/password-reset", json={"identifier": user.name}).status_code == 202
    reset = last_account_link(home, address_of(user))
    page = opened(home, asked(home, user, email).url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    assert home.anonymous.get(reset.url).status_code == 404


def test_whose_address_it_is_is_told_to_its_owner_alone(home: Home) -> None:
    user, owner = home.user(), home.user()
    ask(home.hub(user), address_of(owner).upper().replace("EXAMPLE.COM", "example.com"))
    taken = address_of(owner).upper().replace("EXAMPLE.COM", "example.com")
    (mail,) = settled_mails(home, taken)
    assert owner.name in mail.body
    assert user.name in mail.body
    assert "token=" not in mail.body
    assert present(home, owner) == address_of(owner)


def test_an_address_that_somebody_else_has_got_meanwhile_is_not_given_twice(home: Home) -> None:
    first, second, email = home.user(), home.user(), an_address()
    pages = []
    for user in (first, second):
        pages.append((user, opened(home, asked(home, user, email).url)))
        age_links(home, email, seconds=61)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda pair: post(home, pair[1], "confirm", password=PASSWORD), pages))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert value(home, int, "select count(*) from accounts where lower(email) = :email", email=email) == 1
    loser = next(user for user, answer in zip((first, second), answers, strict=True) if answer.status_code == 409)
    assert present(home, loser) == address_of(loser)


def test_the_case_of_ones_own_address_may_change(home: Home) -> None:
    user = home.user()
    email = address_of(user).replace("user", "User")
    page = opened(home, asked(home, user, email).url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    assert present(home, user) == email


@pytest.mark.parametrize("email", ["", "nowhere", "a@b@c", "two\n@example.com", f"{'x' * 250}@example.com", 7, None])
def test_what_is_no_address_is_refused(home: Home, email: object) -> None:
    answer = home.hub(home.user()).post(EMAIL, json={"email": email, "password": PASSWORD})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["email"]


def test_the_present_address_is_no_new_one_and_a_wrong_password_asks_for_none(home: Home) -> None:
    user, email = home.user(), an_address()
    client = home.hub(user)
    same = client.post(EMAIL, json={"email": address_of(user), "password": PASSWORD})
    assert (same.status_code, list(same.json()["fields"])) == (400, ["email"])
    wrong = client.post(EMAIL, json={"email": email, "password": "a wrong password"})
    assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["password"])
    assert settled_mails(home, email) == []


def test_an_address_is_not_mailed_again_within_a_minute_nor_too_often(home: Home) -> None:
    user, email = home.user(), an_address()
    client = home.hub(user)
    for _ in range(3):
        ask(client, email)
    assert len(settled_mails(home, email)) == 1
    for number in range(2, 13):
        age_links(home, email, seconds=61)
        ask(client, email)
        assert len(settled_mails(home, email)) == min(number, 10)


def test_members_under_single_sign_on_change_no_address(home: Home) -> None:
    user, email = home.user(), an_address()
    organization = home.organization(home.user())
    client, link = home.hub(user), asked(home, user, email)
    page = opened(home, link.url)
    home.member(organization, user, OrganizationRole.MEMBER)
    enforce_sso(home, organization)
    answer = client.post(EMAIL, json={"email": an_address(), "password": PASSWORD})
    assert answer.status_code == 403
    assert organization in answer.json()["message"]
    assert post(home, page, "confirm", password=PASSWORD).status_code == 403
    assert organization in opened(home, link.url, 403).text


def test_an_access_token_neither_sees_nor_changes_the_address(home: Home) -> None:
    user = home.user()
    by_token = home.hub(user, home.access_token(user)[1])
    assert by_token.get(EMAIL).status_code == 403
    assert by_token.post(EMAIL, json={"email": an_address(), "password": PASSWORD}).status_code == 403


def test_invites_for_an_address_are_for_who_has_it_now(home: Home) -> None:
    acme, user, email = Inviting.of(home), home.user(), an_address()
    invite = acme.invite(email)
    assert home.hub(user).get("/v2/user/invites").json()["data"] == []
    # The invite's mail came first: another one may follow at once.
    page = opened(home, asked(home, user, email).url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    assert [found["id"] for found in home.hub(user).get("/v2/user/invites").json()["data"]] == [invite["id"]]


def test_of_an_account_that_an_identity_provider_manages_only_the_password_is_its_users_to_change(home: Home) -> None:
    user, email = home.user(), an_address()
    organization = home.organization(home.user())
    client, link = home.hub(user), asked(home, user, email)
    page = opened(home, link.url)
    run(
        home,
        """
        update accounts set managing_organization_id = (select id from accounts where name = :organization)
        where name = :name
        """,
        name=user.name,
        organization=organization,
    )
    assert client.post(EMAIL, json={"email": an_address(), "password": PASSWORD}).status_code == 403
    assert post(home, page, "confirm", password=PASSWORD).status_code == 403
    assert client.patch("/v2/user/", json={"full_name": "Ann Other"}).status_code == 403
    assert client.patch("/v2/user/", json={"company": "Acme", "full_name": ""}).status_code == 200
    body = {"password": PASSWORD, "new_password": "another long enough password"}
    assert client.post("/v2/user/password", json=body).status_code == 200


def test_identity_providers_see_the_new_address(home: Home) -> None:
    provider, user, email = IdentityProvider.of(home), home.user(), an_address()
    home.member(provider.organization, user, OrganizationRole.MEMBER)
    (before,) = provider.get("/Users", filter=f'userName eq "{address_of(user)}"').json()["Resources"]
    page = opened(home, asked(home, user, email).url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    after = provider.get(f"/Users/{before['id']}").json()
    assert (after["userName"], [found["value"] for found in after["emails"]]) == (email, [email])
    assert after["meta"]["version"] != before["meta"]["version"]
    assert provider.get("/Users", filter=f'userName eq "{email}"').json()["totalResults"] == 1


def test_a_user_name_that_somebody_has_stays_theirs(home: Home) -> None:
    provider, user, email = IdentityProvider.of(home), home.user(), an_address()
    home.member(provider.organization, user, OrganizationRole.MEMBER)
    taken = provider.user(email)
    run(home, "update accounts set email = null where uuid = :uuid", uuid=taken["id"])
    page = opened(home, asked(home, user, email).url)
    assert post(home, page, "confirm", password=PASSWORD).status_code == 200
    (found,) = provider.get("/Users", filter=f'userName eq "{email}"').json()["Resources"]
    assert found["id"] == taken["id"]


def test_an_address_that_a_provider_changes_voids_links_that_went_to_the_old_one(home: Home) -> None:
    provider, domain = IdentityProvider.of(home), f"{unique('d')}.example.com"
    home.hub(provider.owner).post(f"/v2/orgs/{provider.organization}/domains", json={"domain": domain})
    home.hub(home.admin).post(f"/v2/orgs/{provider.organization}/domains/{domain}/verify")
    former, email = f"former@{domain}", f"present@{domain}"
    made = provider.user(former)
    assert home.anonymous.post("/v2/users/password-reset", json={"identifier": former}).status_code == 202
    link = last_account_link(home, former)
    assert home.anonymous.get(link.url).status_code == 200
    renamed = provider.patch(f"/Users/{made['id']}", {"op": "replace", "path": "userName", "value": email})
    assert (renamed.status_code, renamed.json()["userName"]) == (200, email)
    assert home.anonymous.get(link.url).status_code in (404, 410)
