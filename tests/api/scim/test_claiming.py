"""Whom an identity provider gets when it asks for a user: a new account, one that it may claim, or an invite."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.home import Home, User, unique
from tests.inviting import last_link, mails_to, run, value
from tests.provisioning import (
    Holdings,
    Provisioned,
    email_of,
    is_managed_by,
    ordered,
    person,
    set_active,
    the_error,
    verify,
    with_password,
)
from tests.scim import Json

TAKEN = (409, "uniqueness")


def accounts(home: Home) -> int:
    return value(home, int, "select count(*) from accounts")


def accept(provider: Provisioned, user: User) -> None:
    """Join by the one invite there is."""
    client = provider.home.hub(user)
    invites = client.get("/v2/user/invites").json()["data"]
    assert len(invites) == 1
    assert client.post(f"/v2/invites/{invites[0]['id']}/accept").status_code == 204


# A new account


def test_who_is_made_is_managed_and_has_no_password_and_is_in_the_first_team(provider: Provisioned) -> None:
    made = provider.create(f"{unique('new')}@somewhere.example", name={"givenName": "Ann", "familyName": "Lee"})
    assert made.status_code == 201
    user = User(provider.account_of(made.json()))
    assert is_managed_by(provider.home, user, provider.organization)
    password = "select count(*) from accounts where name = :name and password_hash is null and full_name = 'Ann Lee'"
    assert value(provider.home, int, password, name=user.name) == 1
    assert provider.role_of(user) is OrganizationRole.MEMBER
    assert provider.inviting.teams_of(user.name) == "company"
    for secret in ("", "None", "null", user.password):
        answer = provider.home.anonymous.post("/v2/auth/token", json={"identifier": user.name, "secret": secret})
        assert answer.status_code in (400, 401)


@pytest.mark.parametrize(
    ("user_name", "pattern"),
    [
        ("Jon.Snow.{}@x.example", r"jon-snow-{}"),
        ("jon_snow+{}@x.example", r"jon-snow-{}"),
        ("scim@{}.example", r"scim\d+|scim-[0-9a-f]{{8}}"),
        ("users@{}.example", r"users\d+|users-[0-9a-f]{{8}}"),
        ("admin@{}.example", r"admin\d+|admin-[0-9a-f]{{8}}"),
        ("library@{}.example", r"library\d+|library-[0-9a-f]{{8}}"),
        ("a@{}.example", r"a\d+|a-[0-9a-f]{{8}}"),
        ("---@{}.example", r"user\d*|user-[0-9a-f]{{8}}"),
        ("\u7528\u6237 {}", r"{}"),
        ("\u7528\u6237\u7528\u6237@{}", r"user\d*|user-[0-9a-f]{{8}}"),
        ("\uff41\uff44\uff4d\uff49\uff4e@{}", r"admin\d+|admin-[0-9a-f]{{8}}"),
        ("{}" + "x" * 100, r"{}x{{8,30}}"),
    ],
)
def test_the_name_of_a_new_account_is_made_from_the_user_name_and_free(
    provider: Provisioned, user_name: str, pattern: str
) -> None:
    word = unique("n")
    before = value(provider.home, str, "select uuid from accounts where name = 'admin'")
    made = provider.create(user_name.format(word))
    assert made.status_code == 201, made.text
    name = provider.account_of(made.json())
    assert re.fullmatch(pattern.format(word), name), name
    assert made.json()["userName"] == user_name.format(word)
    assert made.json()["id"] != before


def test_twenty_of_one_name_are_all_made(provider: Provisioned) -> None:
    word = unique("twin")
    names = {provider.account_of(provider.user(f"{word}@d{number}.example")) for number in range(25)}
    assert len(names) == 25
    assert all(name.startswith(word) for name in names)


def test_the_name_of_an_account_is_no_user_name_of_it(provider: Provisioned) -> None:
    """Accounts are known by their address alone: a name that somebody has is no word for them."""
    victim = provider.person()
    for user_name in (victim.name, victim.name.upper()):
        made = provider.create(user_name)
        if made.status_code == 201:
            assert made.json()["id"] != provider.id_of(victim)
    assert provider.role_of(victim) is None
    assert not is_managed_by(provider.home, victim, provider.organization)
    assert mails_to(provider.home, email_of(provider.home, victim)) == []


@pytest.mark.parametrize("external_id", ["1", "0", "{id}", "{number}", "{name}", "{email}"])
def test_an_external_id_means_nobody(provider: Provisioned, external_id: str) -> None:
    home = provider.home
    victim = person(home, f"{unique('v')}@{provider.domain()}")
    text = external_id.format(
        id=provider.id_of(victim),
        number=value(home, int, "select id from accounts where name = :name", name=victim.name),
        name=victim.name,
        email=email_of(home, victim),
    )
    made = provider.user(externalId=text)
    assert made["externalId"] == text
    assert made["id"] != provider.id_of(victim)
    assert provider.role_of(victim) is None
    again = provider.user(externalId=text)  # nor is it taken
    assert again["id"] != made["id"]


# Claiming


@pytest.mark.parametrize("by", ["userName", "emails", "primary"])
def test_who_has_an_address_in_a_verified_domain_and_is_in_no_organization_is_claimed(
    provider: Provisioned, by: str
) -> None:
    domain = provider.domain()
    user = provider.person(domain)
    holdings = Holdings(provider.home, user)
    email = email_of(provider.home, user)
    if by == "userName":
        made = provider.create(email.upper())
    elif by == "emails":
        made = provider.create(unique("somebody"), emails=[{"value": email}])
    else:
        others = {"value": f"{unique('other')}@elsewhere.example"}
        made = provider.create(unique("somebody"), emails=[others, {"value": email, "primary": True}])
    assert made.status_code == 201, made.text
    assert made.json()["id"] == provider.id_of(user)
    assert is_managed_by(provider.home, user, provider.organization)
    assert provider.role_of(user) is OrganizationRole.MEMBER
    assert set(holdings.all().values()) == {200}, "claiming shuts nobody out"
    assert mails_to(provider.home, email) == []
    assert email_of(provider.home, user) == email


def test_a_member_who_was_there_before_is_claimed_by_the_first_change(provider: Provisioned) -> None:
    user = provider.person(provider.domain())
    provider.home.member(provider.organization, user, OrganizationRole.MEMBER)
    holdings = Holdings(provider.home, user)
    path = f"/Users/{provider.id_of(user)}"
    assert provider.get(path).json()["active"] is True
    assert not is_managed_by(provider.home, user, provider.organization), "reading claims nobody"
    assert provider.patch(path, {"op": "replace", "path": "active", "value": False}).json()["active"] is False
    assert is_managed_by(provider.home, user, provider.organization)
    assert set(holdings.all().values()) == {401}


@pytest.mark.parametrize("is_elsewhere", [True, False], ids=["in another organization", "of another domain"])
def test_a_member_who_was_there_before_and_cannot_be_claimed_is_taken_out_alone(
    provider: Provisioned, *, is_elsewhere: bool
) -> None:
    user = provider.person(provider.domain()) if is_elsewhere else provider.home.user()
    if is_elsewhere:
        provider.home.member(provider.home.organization(provider.home.user()), user, OrganizationRole.MEMBER)
    provider.home.member(provider.organization, user, OrganizationRole.MEMBER)
    holdings = Holdings(provider.home, user)
    path = f"/Users/{provider.id_of(user)}"
    assert provider.patch(path, {"op": "replace", "path": "active", "value": False}).json()["active"] is False
    assert not is_managed_by(provider.home, user, provider.organization)
    assert set(holdings.all().values()) == {200}


def in_another_organization(provider: Provisioned) -> User:
    user = provider.person(provider.domain())
    provider.home.member(provider.home.organization(provider.home.user()), user, OrganizationRole.MEMBER)
    return user


def managed_by_another(provider: Provisioned) -> User:
    """Made by another provider under a domain of ours, and in no organization any more."""
    other = Provisioned.at(provider.home)
    _, user = other.employee(provider.domain())
    assert other.hub.delete(f"/v2/orgs/{other.organization}/members/{user.name}").status_code == 204
    return user


def of_an_unverified_domain(provider: Provisioned) -> User:
    domain = f"{unique('claimed')}.example"
    assert provider.hub.post(f"/v2/orgs/{provider.organization}/domains", json={"domain": domain}).status_code == 201
    return provider.person(domain)


def of_no_domain_of_ours(provider: Provisioned) -> User:
    provider.domain()
    return provider.person()


def of_a_domain_of_another(provider: Provisioned) -> User:
    other = Provisioned.at(provider.home)
    return provider.person(other.domain())


def of_a_domain_below(provider: Provisioned) -> User:
    return provider.person(f"sub.{provider.domain()}")


def of_a_domain_that_ends_alike(provider: Provisioned) -> User:
    return provider.person(f"not{provider.domain()}")


def of_a_domain_that_was_ours(provider: Provisioned) -> User:
    domain = provider.domain()
    assert provider.hub.delete(f"/v2/orgs/{provider.organization}/domains/{domain}").status_code == 204
    verify(provider.home, Provisioned.at(provider.home).organization, domain)
    return provider.person(domain)


@pytest.mark.parametrize(
    "who",
    [
        in_another_organization,
        managed_by_another,
        of_an_unverified_domain,
        of_no_domain_of_ours,
        of_a_domain_of_another,
        of_a_domain_below,
        of_a_domain_that_ends_alike,
        of_a_domain_that_was_ours,
    ],
)
@pytest.mark.parametrize("by", ["userName", "emails"])
def test_everybody_else_who_is_known_is_invited_and_appears_when_they_have_accepted(
    provider: Provisioned, who: Callable[[Provisioned], User], by: str
) -> None:
    home = provider.home
    user = who(provider)
    holdings = Holdings(home, user)
    email = email_of(home, user)
    mails = len(mails_to(home, email))
    asked: dict[str, Any] = {"user_name": email} if by == "userName" else {"user_name": unique("somebody")}
    if by == "emails":
        asked["emails"] = [{"value": email, "type": "work", "primary": True}]
    uuid = provider.id_of(user)

    for _ in range(2):  # asked twice, invited once
        answer = provider.create(**asked)
        assert the_error(answer) == TAKEN
        assert uuid not in answer.text
        assert provider.shown(user).status_code == 404
        assert email not in provider.names()
        assert len(mails_to(home, email)) == mails + 1
        assert provider.role_of(user) is None
    sent = [data for action, data in provider.events() if action == "org.member.invite.send"]
    assert [data["role"] for data in sent] == ["member"]
    assert set(holdings.all().values()) == {200}

    accept(provider, user)
    assert provider.role_of(user) is OrganizationRole.MEMBER
    assert provider.inviting.teams_of(user.name) == "company"
    shown = provider.shown(user).json()
    assert (shown["userName"], shown["active"]) == (email, True)
    assert not is_managed_by(home, user, provider.organization)
    assert the_error(provider.create(**asked)) == TAKEN  # now they are there
    assert len(mails_to(home, email)) == mails + 1


def test_an_invite_of_a_provider_works_by_its_link_and_can_be_declined(provider: Provisioned) -> None:
    user = provider.person()
    email = email_of(provider.home, user)
    assert the_error(provider.create(email)) == TAKEN
    link = last_link(provider.home, email)
    page = provider.home.anonymous.get(f"/invites/{link.id}", params={"token": link.token})
    assert page.status_code == 200
    declined = provider.home.hub(user).post(f"/v2/invites/{link.id}/decline")
    assert declined.status_code == 204
    assert provider.role_of(user) is None
    assert provider.shown(user).status_code == 404


def test_who_is_to_be_an_owner_is_invited_as_one(provider: Provisioned) -> None:
    user = provider.person()
    answer = provider.create(email_of(provider.home, user), **ordered(role="owner"))
    assert the_error(answer) == TAKEN
    accept(provider, user)
    assert provider.role_of(user) is OrganizationRole.OWNER
    assert provider.shown(user).json()["active"] is True


def test_who_is_known_and_is_not_to_be_let_in_is_not_invited(provider: Provisioned) -> None:
    user = provider.person()
    before = provider.state()
    assert the_error(provider.create(email_of(provider.home, user), active=False)) == TAKEN
    assert mails_to(provider.home, email_of(provider.home, user)) == []
    assert provider.state() == before


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_nobody_is_put_into_the_owners_team_by_its_name(provider: Provisioned, *, known: bool) -> None:
    email = email_of(provider.home, provider.person()) if known else f"{unique('new')}@x.example"
    count, before = accounts(provider.home), provider.state()
    for team in ("owners", "OWNERS", "\uff4fwners"):
        answer = provider.create(email, **ordered(team=team))
        assert the_error(answer) == (400, "invalidValue"), answer.text
    assert provider.state() == before
    assert accounts(provider.home) == count
    assert mails_to(provider.home, email) == []


@pytest.mark.parametrize("word", ["editor", "EDITOR", "owner", "member"])
def test_a_role_that_is_ordered_is_given(provider: Provisioned, word: str) -> None:
    made = provider.user(**ordered(role=word))
    user = User(provider.account_of(made))
    assert provider.role_of(user) is OrganizationRole(word.lower())
    teams = (provider.inviting.teams_of(user.name) or "").split(",")
    assert ("owners" in teams) is (word == "owner")


@pytest.mark.parametrize("word", ["admin", "site administrator", "root", "0", "member,owner"])
def test_there_are_no_other_roles(provider: Provisioned, word: str) -> None:
    count, before = accounts(provider.home), provider.state()
    answer = provider.create(f"{unique('new')}@x.example", **ordered(role=word))
    assert the_error(answer) == (400, "invalidValue")
    assert (accounts(provider.home), provider.state()) == (count, before)


# Nobody


def test_an_account_that_the_site_has_shut_is_neither_claimed_nor_invited(provider: Provisioned) -> None:
    user = provider.person(provider.domain())
    set_active(provider.home, user, is_active=False)
    email, before = email_of(provider.home, user), provider.state()
    assert the_error(provider.create(email)) == TAKEN
    assert provider.state() == before
    assert mails_to(provider.home, email) == []
    assert not is_managed_by(provider.home, user, provider.organization)


@pytest.mark.parametrize("is_member", [False, True], ids=["stranger", "member"])
def test_a_site_administrator_is_neither_claimed_nor_invited_nor_seen(
    provider: Provisioned, *, is_member: bool
) -> None:
    home = provider.home
    admin = provider.person(provider.domain(), is_site_admin=True)
    if is_member:
        home.member(provider.organization, admin, OrganizationRole.EDITOR)
    email, before = email_of(home, admin), provider.state()
    for fields in ({"user_name": email}, {"user_name": unique("x"), "emails": [{"value": email.upper()}]}):
        assert the_error(provider.create(**fields)) == TAKEN
    assert provider.state() == before
    assert mails_to(home, email) == []
    assert not is_managed_by(home, admin, provider.organization)
    assert provider.shown(admin).status_code == 404


def test_a_member_who_came_without_the_provider_is_there_already(provider: Provisioned) -> None:
    user = provider.member(domain=provider.domain())
    email, before = email_of(provider.home, user), provider.state()
    assert the_error(provider.create(email)) == TAKEN
    assert provider.state() == before
    assert mails_to(provider.home, email) == []
    assert provider.names(f'userName eq "{email}"') == [email]


@pytest.mark.parametrize(
    "twin",
    [
        str.upper,
        str.title,
        lambda text: text.replace("k", "\u212a"),  # Kelvin
        lambda text: text.replace("k", "\uff4b"),  # full width
        lambda text: text.replace("fi", "\ufb01"),  # a ligature
        lambda text: text.replace("ss", "\u00df"),
    ],
)
def test_user_names_that_differ_in_case_or_form_alone_are_one(
    provider: Provisioned, twin: Callable[[str], str]
) -> None:
    for name in (f"{unique('kfiss')}@x.example", unique("kfiss")):
        made = provider.user(name)
        assert the_error(provider.create(twin(name))) == TAKEN
        assert provider.names(f'userName eq "{twin(name)}"') == [name]
        other = provider.user()
        assert the_error(provider.set(other, userName=twin(name))) in (TAKEN, (400, "mutability"))
        provider.delete(f"/Users/{made['id']}")


@pytest.mark.parametrize("twin", ["\u212aim{}@{}", "\uff2bim{}@{}", "kim{}@\uff43{}"])
def test_a_twin_of_an_address_is_not_that_address(provider: Provisioned, twin: str) -> None:
    """Mail goes to ASCII addresses: a name that only looks like one claims and asks nobody."""
    domain, word = provider.domain(), unique("")
    victim = person(provider.home, f"kim{word}@{domain}")
    made = provider.create(twin.format(word, domain.removeprefix("c") if "\uff43" in twin else domain))
    assert made.status_code == 201
    assert made.json()["id"] != provider.id_of(victim)
    assert not is_managed_by(provider.home, victim, provider.organization)
    assert provider.role_of(victim) is None
    assert email_of(provider.home, User(provider.account_of(made.json()))) == ""


def test_a_member_who_comes_later_gets_a_user_name_that_is_free(provider: Provisioned) -> None:
    """A provider may have given their name to somebody else."""
    home, domain = provider.home, f"{unique('d')}.example"
    later = provider.person(domain)
    email = email_of(home, later)
    twin = email.replace("p", "\uff50", 1)
    first = provider.user(twin)
    home.member(provider.organization, later, OrganizationRole.MEMBER)
    assert provider.names(f'userName eq "{email}"') == [twin]
    shown = provider.shown(later).json()
    assert (shown["userName"], shown["id"]) == (later.name, provider.id_of(later))
    provider.delete(f"/Users/{first['id']}")
    other = provider.person(domain)
    provider.user(other.name)
    provider.user(email_of(home, other).replace("p", "\uff50", 1))
    home.member(provider.organization, other, OrganizationRole.MEMBER)
    assert provider.shown(other).json()["userName"] == provider.id_of(other)


# Two at once


def at_once(*requests: Callable[[], httpx.Response]) -> list[httpx.Response]:
    barrier = threading.Barrier(len(requests))

    def one(request: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def test_of_two_that_make_one_user_at_once_one_does(provider: Provisioned) -> None:
    for _ in range(5):
        name = f"{unique('twin')}@x.example"
        answers = at_once(partial(provider.create, name), partial(provider.create, name.upper()))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        assert len(provider.names(f'userName eq "{name}"')) == 1


def test_of_two_organizations_that_make_one_user_at_once_one_does_and_the_other_invites(
    provider: Provisioned,
) -> None:
    other = Provisioned.at(provider.home)
    for _ in range(5):
        name = f"{unique('twin')}@x.example"
        answers = at_once(partial(provider.create, name), partial(other.create, name))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        winner, loser = (provider, other) if answers[0].status_code == 201 else (other, provider)
        assert the_error(loser.create(name)) == TAKEN
        (user,) = winner.get("/Users", filter=f'userName eq "{name}"').json()["Resources"]
        account = with_password(provider.home, winner.account_of(user))
        assert is_managed_by(provider.home, account, winner.organization)
        accept(loser, account)
        assert loser.shown(account).json()["userName"] == name
        assert is_managed_by(provider.home, account, winner.organization)


# Coming back


def test_who_was_deleted_and_is_made_anew_is_the_same_account_and_revives_nothing(provider: Provisioned) -> None:
    made, user = provider.employee()
    holdings = Holdings(provider.home, user)
    assert set(holdings.all().values()) == {200}
    assert provider.delete(f"/Users/{made['id']}").status_code == 204
    assert set(holdings.all().values()) == {401}
    again = provider.user(made["userName"])
    assert again["id"] == made["id"]
    assert is_managed_by(provider.home, user, provider.organization)
    assert set(holdings.old().values()) == {401}
    assert set(holdings.new().values()) == {200}


def test_another_provider_cannot_revive_who_was_deleted(provider: Provisioned) -> None:
    domain = f"{unique('d')}.example"
    made, user = provider.employee(domain)
    provider.delete(f"/Users/{made['id']}")
    other = Provisioned.at(provider.home)
    verify(provider.home, other.organization, domain)
    before = other.state()
    assert the_error(other.create(made["userName"])) == TAKEN
    assert other.state() == before
    assert mails_to(provider.home, made["userName"]) == []
    assert value(provider.home, int, "select count(*) from accounts where name = :n and is_active", n=user.name) == 0


def shut_before(provider: Provisioned, made: Json, user: User) -> None:
    set_active(provider.home, user, is_active=False)


def shut_before_and_removed_by_an_owner(provider: Provisioned, made: Json, user: User) -> None:
    set_active(provider.home, user, is_active=False)
    assert provider.hub.delete(f"/v2/orgs/{provider.organization}/members/{user.name}").status_code == 204


def removed_by_an_owner_and_shut(provider: Provisioned, made: Json, user: User) -> None:
    assert provider.hub.delete(f"/v2/orgs/{provider.organization}/members/{user.name}").status_code == 204
    set_active(provider.home, user, is_active=False)


def shut_before_and_deleted(provider: Provisioned, made: Json, user: User) -> None:
    set_active(provider.home, user, is_active=False)
    assert provider.delete(f"/Users/{made['id']}").status_code == 204


def deleted_and_shut(provider: Provisioned, made: Json, user: User) -> None:
    assert provider.delete(f"/Users/{made['id']}").status_code == 204
    set_active(provider.home, user, is_active=False)


def deactivated_and_shut(provider: Provisioned, made: Json, user: User) -> None:
    assert provider.set(made, active=False).status_code == 200
    set_active(provider.home, user, is_active=False)


def deactivated_shut_and_deleted(provider: Provisioned, made: Json, user: User) -> None:
    deactivated_and_shut(provider, made, user)
    assert provider.delete(f"/Users/{made['id']}").status_code == 204


def deleted_opened_and_shut(provider: Provisioned, made: Json, user: User) -> None:
    assert provider.delete(f"/Users/{made['id']}").status_code == 204
    set_active(provider.home, user, is_active=True)
    set_active(provider.home, user, is_active=False)


@pytest.mark.parametrize(
    "way",
    [
        shut_before,
        shut_before_and_removed_by_an_owner,
        removed_by_an_owner_and_shut,
        shut_before_and_deleted,
        deleted_and_shut,
        deactivated_and_shut,
        deactivated_shut_and_deleted,
        deleted_opened_and_shut,
    ],
)
def test_no_provider_opens_what_the_site_has_shut(
    provider: Provisioned, way: Callable[[Provisioned, Json, User], None]
) -> None:
    verify(provider.home, provider.organization, domain := f"{unique('d')}.example")
    made, user = provider.employee(domain)
    holdings = Holdings(provider.home, user)
    way(provider, made, user)
    attempts = [
        provider.create(made["userName"]),
        provider.create(unique("x"), emails=[{"value": made["userName"]}]),
        provider.put(f"/Users/{made['id']}", {**made, "active": True}),
        provider.set(made, active=True),
        provider.patch(f"/Users/{made['id']}", {"op": "Replace", "path": "active", "value": "True"}),
    ]
    assert {answer.status_code for answer in attempts} <= {403, 404, 409}
    assert not holdings.all_are(200)
    assert set(holdings.all().values()) == {401}
    assert mails_to(provider.home, made["userName"]) == []
    # The site alone does.
    set_active(provider.home, user, is_active=True)
    assert set(holdings.new().values()) == {200}


def test_who_was_removed_by_an_owner_comes_back_by_the_provider(provider: Provisioned) -> None:
    made, user = provider.employee()
    provider.hub.delete(f"/v2/orgs/{provider.organization}/members/{user.name}")
    assert provider.shown(user).status_code == 404
    assert made["userName"] not in provider.names()
    again = provider.create(made["userName"])
    assert (again.status_code, again.json()["id"]) == (201, made["id"])


def test_a_member_of_others_who_has_left_is_invited_again(provider: Provisioned) -> None:
    home, user = provider.home, provider.member()
    assert home.hub(user).delete(f"/v2/orgs/{provider.organization}/members/{user.name}").status_code == 204
    assert provider.shown(user).status_code == 404
    assert the_error(provider.create(email_of(home, user))) == TAKEN
    accept(provider, user)
    assert provider.shown(user).json()["active"] is True


# Invites that were meant for others


@pytest.mark.parametrize("way", ["userName", "emails", "both"])
def test_a_managed_account_takes_no_address_outside_of_verified_domains(provider: Provisioned, way: str) -> None:
    """Invites go by address: who could take any could take any invite."""
    home = provider.home
    inviting = Provisioned.at(home).inviting
    victim = f"{unique('victim')}@victims.example"
    invite = inviting._replace(client=home.hub(inviting.owner)).invite(victim)
    domain = provider.domain()
    for user_name in (f"{unique('spy')}@{domain}", unique("spy")):
        made = provider.user(user_name)
        spy = with_password(home, provider.account_of(made))
        wanted: Json = {"emails": [{"value": victim, "primary": True}]} if way != "userName" else {}
        wanted |= {"userName": victim} if way != "emails" else {}
        for answer in (provider.replace(made, **wanted), provider.set(made, **wanted)):
            if way != "emails":
                assert the_error(answer) == (400, "mutability")
        assert email_of(home, spy).lower() != victim
        client = home.hub(spy)
        assert client.get("/v2/user/invites").json()["data"] == []
        assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 404
    assert inviting.role_of(spy.name) is None


def test_a_managed_account_takes_an_address_in_a_verified_domain(provider: Provisioned) -> None:
    domain = provider.domain()
    made, user = provider.employee(domain)
    new = f"{unique('renamed')}@{domain.upper()}"
    answer = provider.set(made, userName=new)
    assert (answer.status_code, answer.json()["userName"]) == (200, new)
    assert email_of(provider.home, user) == new
    assert provider.names(f'userName eq "{made["userName"]}"') == []


def test_a_managed_account_takes_nobody_elses_address(provider: Provisioned) -> None:
    domain = provider.domain()
    made, user = provider.employee(domain)
    victim = provider.person(domain)
    before = provider.state()
    assert the_error(provider.set(made, userName=email_of(provider.home, victim).upper())) == TAKEN
    assert provider.state() == before
    assert email_of(provider.home, user) == made["userName"]


def test_the_address_of_a_member_of_others_is_not_the_providers_to_change(provider: Provisioned) -> None:
    domain = provider.domain()
    user = provider.member()
    shown = provider.shown(user).json()
    email, before = email_of(provider.home, user), provider.state()
    assert the_error(provider.set(shown, userName=f"{unique('x')}@{domain}")) == (400, "mutability")
    assert the_error(provider.set(shown, userName=unique("other"))) == (400, "mutability")
    assert provider.state() == before
    full_name = "select full_name from accounts where name = :name"
    named = provider.set(shown, name={"givenName": "Another"}, emails=[{"value": f"{unique('x')}@{domain}"}])
    assert named.status_code == 200
    assert email_of(provider.home, user) == email
    assert value(provider.home, str, full_name, name=user.name) == ""


def test_an_account_without_an_address_may_have_one_of_a_verified_domain(provider: Provisioned) -> None:
    domain = provider.domain()
    made = provider.user(unique("plain"))
    user = User(provider.account_of(made))
    assert email_of(provider.home, user) == ""
    address = f"{unique('plain')}@{domain}"
    assert provider.set(made, emails=[{"value": address}]).status_code == 200
    assert email_of(provider.home, user) == address
    victim = provider.person(domain)
    other = provider.user(unique("plain"))
    assert provider.set(other, emails=[{"value": email_of(provider.home, victim)}]).status_code == 200
    assert email_of(provider.home, User(provider.account_of(other))) == ""


def test_the_address_of_somebody_who_is_shut_out_stays_theirs(provider: Provisioned) -> None:
    made, _ = provider.employee(provider.domain())
    provider.delete(f"/Users/{made['id']}")
    other = provider.user()
    run(provider.home, "update accounts set is_active = true where uuid = :uuid", uuid=other["id"])
    assert the_error(provider.set(other, userName=made["userName"])) in (TAKEN, (400, "mutability"))
