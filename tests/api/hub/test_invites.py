"""Invites, as owners send them and as those who are invited answer by the API."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from homeport.app import create_app
from homeport.core.invites import PENDING_LIMIT
from homeport.core.services import Services
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import invites as rows
from homeport.storage.db import mails as mail_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import OrganizationRole
from tests.home import Home, unique
from tests.inviting import Inviting, age, an_address, expire, last_link, mails_to, run, value
from tests.plans import plans_of

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def acme(home: Home) -> Inviting:
    return Inviting.of(home)


def statuses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [invitee["status"] for invitee in answer.json()["invitees"]]


# Inviting


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_invite_is_made_listed_and_mailed(acme: Inviting, slash: str) -> None:
    address = an_address()
    team = acme.team()
    answer = acme.client.post(
        f"/v2/invites/bulk{slash}",
        json={"org": acme.organization, "team": team, "role": "Editor", "invitees": [address]},
        headers={"X-Analytics-Client-Feature": "web"},
    )
    assert answer.status_code == 202
    (invitee,) = answer.json()["invitees"]
    assert (invitee["invitee"], invitee["status"]) == (address, "invited")
    invite = invitee["invite"]
    assert str(UUID(invite["id"])) == invite["id"]
    assert TIME.fullmatch(invite["created_at"])
    assert {key: invite[key] for key in ("inviter_username", "invitee", "org", "team", "role")} == {
        "inviter_username": acme.owner.name,
        "invitee": address,
        "org": acme.organization,
        "team": team,
        "role": "editor",
    }
    assert acme.client.get(f"/v2/orgs/{acme.organization}/invites{slash}").json() == {"data": [invite]}
    (mail,) = mails_to(acme.home, address)
    link = last_link(acme.home, address)
    assert link.url.startswith(f"{acme.home.url}/invites/{invite['id']}?")
    assert len(link.token) == 43
    for word in (acme.owner.name, acme.organization, f"an editor, in the team {team}"):
        assert word in mail.body
    assert acme.events()[-1] == ("org.member.invite.send", acme.organization, acme.owner.name)


def test_the_secret_of_a_link_is_kept_as_a_hash_only(acme: Inviting) -> None:
    address = an_address()
    acme.invite(address)
    token = last_link(acme.home, address).token
    kept = value(acme.home, str, "select secret_sha256 from invites where email = :address", address=address)
    assert token not in kept
    assert re.fullmatch(r"[0-9a-f]{64}", kept)
    assert token not in acme.client.get(f"/v2/orgs/{acme.organization}/invites").text


def test_each_invitee_has_a_status_of_their_own(acme: Inviting) -> None:
    home = acme.home
    known, member, gone = home.user(), home.user(), home.user()
    home.member(acme.organization, member, OrganizationRole.MEMBER)
    home.deactivate(gone)
    waiting, fresh = an_address(), an_address()
    acme.invite(waiting)
    answer = acme.bulk(
        fresh,
        known.name,
        f"{known.name}@example.com",
        fresh.upper(),
        member.name,
        f"{member.name}@Example.com",
        waiting.title(),
        gone.name,
        f"{gone.name}@example.com",
        acme.organization,
        "nobody-of-that-name",
        "not an address@example.com",
        "a@b@example.com",
        f" {an_address()} ",
        "",
        "a\nb@example.com",
        "nul\0@example.com",
    )
    assert statuses(answer) == [
        "invited",
        "invited",
        "duplicate",
        "duplicate",
        "existing_org_member",
        "duplicate",
        "already_invited",
        *["invalid_email_or_docker_id"] * 6,
        "invited",
        *["invalid_email_or_docker_id"] * 3,
    ]
    for invitee in answer.json()["invitees"]:
        assert ("invite" in invitee) == (invitee["status"] == "invited")
    assert len(acme.pending()) == 4
    # A user is written to at the address of the account.
    assert len(mails_to(home, f"{known.name}@example.com")) == 1


def test_a_user_who_is_invited_by_address_is_not_invited_again_by_name(acme: Inviting) -> None:
    user = acme.home.user()
    acme.invite(f"{user.name}@example.com")
    assert statuses(acme.bulk(user.name)) == ["already_invited"]


def test_an_empty_team_is_none_and_the_role_is_member_by_default(acme: Inviting) -> None:
    invite = acme.invite(an_address(), team="", role="")
    assert (invite["team"], invite["role"]) == ("", "member")
    assert acme.invite(an_address(), team=None, role=None)["role"] == "member"


def test_an_invite_into_the_team_of_owners_is_one_for_an_owner(acme: Inviting) -> None:
    assert acme.invite(an_address(), team="owners", role="member")["role"] == "owner"


def test_a_dry_run_tells_and_changes_nothing(acme: Inviting) -> None:
    expired = an_address()
    expire(acme.home, acme.invite(expired)["id"])
    before = acme.pending(), acme.events(), len(mails_to(acme.home, expired))
    fresh = an_address()
    answer = acme.bulk(fresh, expired, "nobody-of-that-name", dry_run=True)
    assert statuses(answer) == ["invited", "invited", "invalid_email_or_docker_id"]
    assert "invite" not in answer.json()["invitees"][0]
    assert (acme.pending(), acme.events(), len(mails_to(acme.home, expired))) == before
    assert mails_to(acme.home, fresh) == []
    assert value(acme.home, str, "select status from invites where email = :email", email=expired) == "pending"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"team": "no-such-team"}, "team"),
        ({"role": "distributor_member"}, "role"),
        ({"invitees": []}, "invitees"),
        ({"invitees": ["x"] * 1001}, "invitees"),
        ({"invitees": "bob"}, "invitees"),
        ({"invitees": [1]}, "invitees"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"org": 7}, "org"),
    ],
)
def test_what_cannot_be_is_named(acme: Inviting, fields: dict[str, Any], field: str) -> None:
    body = {"org": acme.organization, "invitees": [an_address()], **fields}
    answer = acme.client.post("/v2/invites/bulk", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["message"]
    assert field in answer.json()["errinfo"]
    assert acme.pending() == []


@pytest.mark.parametrize("missing", ["org", "invitees"])
def test_what_is_missing_is_named(acme: Inviting, missing: str) -> None:
    body = {"org": acme.organization, "invitees": ["x"]}
    del body[missing]
    answer = acme.client.post("/v2/invites/bulk", json=body)
    assert (answer.status_code, missing in answer.json()["errinfo"]) == (400, True)


def test_an_unknown_organization_is_not_found(acme: Inviting) -> None:
    answer = acme.client.post("/v2/invites/bulk", json={"org": "no-such-org", "invitees": [an_address()]})
    assert (answer.status_code, "not found" in answer.text) == (404, True)
    assert acme.client.get("/v2/orgs/no-such-org/invites").status_code == 404


def bulk_of(services: Services, acme: Inviting, count: int, statements: list[str]) -> Any:
    async def verb() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(services))
        headers = {"authorization": acme.client.headers["authorization"]}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            await client.get(f"/v2/orgs/{acme.organization}/invites")
            services.db.trace = statements.append
            body = {"org": acme.organization, "invitees": [an_address() for _ in range(count)]}
            answer = await client.post("/v2/invites/bulk", json=body)
            services.db.trace = None
            return answer

    return verb()


def test_a_bulk_of_a_thousand_takes_as_many_statements_as_one(acme: Inviting) -> None:
    counts = []
    for count in (1, 1000):
        statements: list[str] = []

        async def verb(services: Services, count: int = count, statements: list[str] = statements) -> Any:
            return await bulk_of(services, acme, count, statements)

        answer = acme.home.run(verb)
        assert set(statuses(answer)) == {"invited"}
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 16
    assert len(acme.pending()) == 1001


def test_an_organization_has_no_more_pending_invites_than_one_list_shows(acme: Inviting) -> None:
    for number in range(PENDING_LIMIT // 1000):
        guests = [an_address() for _ in range(1000)]
        answer = acme.bulk(*guests)
        assert answer.status_code == 202, number
    full = acme.bulk(an_address(), an_address())
    assert full.status_code == 409
    assert str(PENDING_LIMIT) in full.json()["message"]
    found = acme.pending()
    assert len(found) == PENDING_LIMIT
    assert [invite["invitee"] for invite in found[-1000:]] == guests
    # Who is known already takes no place.
    assert statuses(acme.bulk(guests[0])) == ["already_invited"]
    assert acme.client.delete(f"/v2/invites/{found[0]['id']}").status_code == 204
    assert statuses(acme.bulk(an_address())) == ["invited"]


def test_nobody_is_flooded_with_mails(acme: Inviting) -> None:
    address = an_address()
    for _ in range(10):
        invite = acme.invite(address)
        acme.client.delete(f"/v2/invites/{invite['id']}")
    assert statuses(acme.bulk(address, an_address())) == ["too_many_mails", "invited"]
    other = Inviting.of(acme.home)
    assert statuses(other.bulk(address.upper())) == ["too_many_mails"]
    assert len(mails_to(acme.home, address)) == 10


# Cancelling, sending again


@pytest.mark.parametrize("slash", ["", "/"])
def test_cancelling_twice_is_no_error_and_ends_the_invite(acme: Inviting, slash: str) -> None:
    address = an_address()
    kept, cancelled = acme.invite(an_address()), acme.invite(address)
    url = f"/v2/invites/{cancelled['id']}{slash}"
    for _ in range(2):
        answer = acme.client.delete(url)
        assert (answer.status_code, answer.content) == (204, b"")
    assert acme.pending() == [kept]
    assert [event for event, _, _ in acme.events()].count("org.member.invite.cancel") == 1
    assert acme.home.anonymous.get(last_link(acme.home, address).url).status_code == 410
    assert statuses(acme.bulk(address)) == ["invited"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_sending_again_makes_a_new_link_and_a_new_end(acme: Inviting, slash: str) -> None:
    home, address = acme.home, an_address()
    invite = acme.invite(address)
    age(home, invite["id"], seconds=61)
    old = last_link(home, address)
    until = value(home, int, "select expires_at from invites where id = :id", id=invite["id"])
    answer = acme.client.patch(f"/v2/invites/{invite['id']}/resend{slash}")
    assert (answer.status_code, answer.content) == (204, b"")
    new = last_link(home, address)
    assert (new.id, len(mails_to(home, address))) == (old.id, 2)
    assert home.anonymous.get(old.url).status_code == 404
    assert home.anonymous.get(new.url).status_code == 200
    assert value(home, int, "select expires_at from invites where id = :id", id=invite["id"]) >= until + 61_000_000
    assert acme.pending() == [invite]


def test_an_invite_is_sent_again_once_a_minute_at_most(acme: Inviting) -> None:
    address = an_address()
    url = f"/v2/invites/{acme.invite(address)['id']}/resend"
    answer = acme.client.patch(url)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert len(mails_to(acme.home, address)) == 1


def test_an_expired_invite_is_off_the_list_and_comes_back_when_it_is_sent_again(acme: Inviting) -> None:
    address = an_address()
    invite = acme.invite(address)
    expire(acme.home, invite["id"])
    assert acme.pending() == []
    assert acme.home.anonymous.get(last_link(acme.home, address).url).status_code == 410
    assert acme.client.patch(f"/v2/invites/{invite['id']}/resend").status_code == 204
    assert acme.pending() == [invite]
    assert acme.home.anonymous.get(last_link(acme.home, address).url).status_code == 200


def test_who_let_an_invite_expire_can_be_invited_anew(acme: Inviting) -> None:
    address = an_address()
    first = acme.invite(address)
    expire(acme.home, first["id"])
    second = acme.invite(address)
    assert acme.pending() == [second]
    assert acme.client.patch(f"/v2/invites/{first['id']}/resend").status_code == 404
    assert acme.client.delete(f"/v2/invites/{first['id']}").status_code == 204
    assert acme.pending() == [second]


def test_what_is_cancelled_is_not_sent_again(acme: Inviting) -> None:
    address = an_address()
    invite = acme.invite(address)
    age(acme.home, invite["id"], seconds=61)
    acme.client.delete(f"/v2/invites/{invite['id']}")
    assert acme.client.patch(f"/v2/invites/{invite['id']}/resend").status_code == 404
    assert len(mails_to(acme.home, address)) == 1


# Who may


def test_only_owners_and_site_administrators_manage_invites(acme: Inviting) -> None:
    home = acme.home
    member, editor = home.user(), home.user()
    home.member(acme.organization, member, OrganizationRole.MEMBER)
    home.member(acme.organization, editor, OrganizationRole.EDITOR)
    _, secret = home.access_token(acme.owner)
    invite = acme.invite(an_address())

    def asked(client: httpx.Client) -> list[int]:
        return [
            client.get(f"/v2/orgs/{acme.organization}/invites").status_code,
            client.post(
                "/v2/invites/bulk", json={"org": acme.organization, "invitees": ["x"], "dry_run": True}
            ).status_code,
            client.patch(f"/v2/invites/{invite['id']}/resend").status_code,
            client.delete(f"/v2/invites/{invite['id']}").status_code,
        ]

    for user in (member, editor):
        assert asked(home.hub(user)) == [403, 403, 403, 403]
    assert asked(home.anonymous) == [401, 401, 401, 401]
    assert asked(home.hub(acme.owner, secret)) == [403, 403, 403, 403]
    # To strangers the organization exists, its invites do not.
    assert asked(home.hub(home.user())) == [403, 403, 404, 404]
    assert asked(Inviting.of(home).client) == [403, 403, 404, 404]
    assert acme.pending() == [invite]
    age(home, invite["id"], seconds=61)
    assert asked(home.hub(home.admin)) == [200, 202, 204, 204]
    assert acme.pending() == []


@pytest.mark.parametrize("id_", ["no-such-invite", "00000000-0000-4000-8000-000000000000", "%20"])
def test_an_unknown_invite_is_not_found(acme: Inviting, id_: str) -> None:
    for answer in (
        acme.client.delete(f"/v2/invites/{id_}"),
        acme.client.patch(f"/v2/invites/{id_}/resend"),
        acme.client.post(f"/v2/invites/{id_}/accept"),
        acme.client.post(f"/v2/invites/{id_}/decline"),
    ):
        assert answer.status_code == 404
        assert "not found" in answer.text


# Answering


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("is_by_name", [True, False])
def test_a_user_sees_and_accepts_an_invite(acme: Inviting, slash: str, is_by_name: bool) -> None:
    home, user, team = acme.home, acme.home.user(), acme.team()
    invite = acme.invite(user.name if is_by_name else f"{user.name}@EXAMPLE.com", role="editor", team=team)
    client = home.hub(user)
    assert client.get(f"/v2/user/invites{slash}").json() == {"data": [invite]}
    for _ in range(2):
        answer = client.post(f"/v2/invites/{invite['id']}/accept{slash}")
        assert (answer.status_code, answer.content) == (204, b"")
    assert acme.role_of(user.name) is OrganizationRole.EDITOR
    assert acme.teams_of(user.name) == team
    assert client.get("/v2/user/invites").json() == {"data": []}
    assert acme.pending() == []
    assert acme.events()[-2:] == [
        ("org.member.add", acme.organization, user.name),
        ("org.team.member.add", user.name, user.name),
    ]
    assert client.post(f"/v2/invites/{invite['id']}/decline").status_code == 409
    assert acme.client.delete(f"/v2/invites/{invite['id']}").status_code == 404


def test_an_invite_for_an_owner_makes_one(acme: Inviting) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name, role="owner")
    assert acme.home.hub(user).post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    assert acme.role_of(user.name) is OrganizationRole.OWNER
    assert acme.teams_of(user.name) == "owners"


def test_an_account_that_was_made_after_its_address_was_invited_sees_the_invite(acme: Inviting) -> None:
    name = unique("late")
    invite = acme.invite(f"{name}@example.com")
    user = acme.home.user(name)
    run(acme.home, "update accounts set email = :email where name = :name", email=f"{name}@example.com", name=user.name)
    client = acme.home.hub(user)
    assert client.get("/v2/user/invites").json() == {"data": [invite]}
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    assert acme.role_of(user.name) is OrganizationRole.MEMBER


@pytest.mark.parametrize("verb", ["accept", "decline"])
def test_an_invite_is_nobody_elses(acme: Inviting, verb: str) -> None:
    home, user, other = acme.home, acme.home.user(), acme.home.user()
    invite = acme.invite(user.name)
    for client in (home.hub(other), acme.client, home.hub(home.admin)):
        assert client.get("/v2/user/invites").json() == {"data": []}
        answer = client.post(f"/v2/invites/{invite['id']}/{verb}")
        assert (answer.status_code, "not found" in answer.text) == (404, True)
    assert home.anonymous.post(f"/v2/invites/{invite['id']}/{verb}").status_code == 401
    _, secret = home.access_token(user)
    assert home.hub(user, secret).post(f"/v2/invites/{invite['id']}/{verb}").status_code == 403
    assert home.hub(user, secret).get("/v2/user/invites").status_code == 403
    assert acme.pending() == [invite]
    assert acme.role_of(other.name) is None


def test_declining_twice_is_no_error_and_ends_the_invite(acme: Inviting) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name)
    client = acme.home.hub(user)
    for _ in range(2):
        assert client.post(f"/v2/invites/{invite['id']}/decline").status_code == 204
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 409
    assert acme.role_of(user.name) is None
    assert acme.pending() == []
    assert acme.events()[-1] == ("org.member.invite.decline", acme.organization, user.name)
    assert [event for event, _, _ in acme.events()].count("org.member.invite.decline") == 1


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_an_invite_that_has_ended_cannot_be_accepted(acme: Inviting, end: str) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name)
    if end == "expired":
        expire(acme.home, invite["id"])
    else:
        acme.client.delete(f"/v2/invites/{invite['id']}")
    client = acme.home.hub(user)
    assert client.get("/v2/user/invites").json() == {"data": []}
    answer = client.post(f"/v2/invites/{invite['id']}/accept")
    assert (answer.status_code, end in answer.json()["message"]) == (409, True)
    assert acme.role_of(user.name) is None


def test_who_became_a_member_meanwhile_keeps_the_role(acme: Inviting) -> None:
    user, team = acme.home.user(), acme.team()
    invite = acme.invite(user.name, role="member", team=team)
    acme.home.member(acme.organization, user, OrganizationRole.EDITOR)
    assert acme.home.hub(user).post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    assert acme.role_of(user.name) is OrganizationRole.EDITOR
    assert acme.teams_of(user.name) == team


def test_who_left_again_does_not_come_back_by_the_same_invite(acme: Inviting) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name)
    client = acme.home.hub(user)
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    run(
        acme.home,
        "delete from organization_members where account_id = (select id from accounts where name = :name)",
        name=user.name,
    )
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 409
    assert acme.role_of(user.name) is None


def test_an_invite_whose_team_is_gone_joins_without_it(acme: Inviting) -> None:
    user, team = acme.home.user(), acme.team()
    invite = acme.invite(user.name, team=team)
    run(acme.home, "delete from teams where name = :name", name=team)
    assert acme.pending() == [{**invite, "team": ""}]
    assert acme.home.hub(user).post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    assert (acme.role_of(user.name), acme.teams_of(user.name)) == (OrganizationRole.MEMBER, None)


def test_an_invite_does_not_outlive_its_organization(acme: Inviting) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name)
    run(acme.home, "update accounts set is_active = false where name = :name", name=acme.organization)
    client = acme.home.hub(user)
    assert client.get("/v2/user/invites").json() == {"data": []}
    assert client.post(f"/v2/invites/{invite['id']}/accept").status_code == 404
    assert acme.client.delete(f"/v2/invites/{invite['id']}").status_code == 404


def test_two_who_accept_at_once_are_one_member(acme: Inviting) -> None:
    user = acme.home.user()
    invite = acme.invite(user.name)
    client = acme.home.hub(user)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(f"/v2/invites/{invite['id']}/accept"), range(8)))
    assert {answer.status_code for answer in answers} == {204}
    assert [event for event, _, _ in acme.events()].count("org.member.add") == 1


def test_two_who_invite_the_same_person_at_once_send_one_invite(acme: Inviting) -> None:
    address = an_address()
    with ThreadPoolExecutor(4) as pool:
        found = [statuses(answer)[0] for answer in pool.map(lambda _: acme.bulk(address), range(4))]
    assert sorted(found) == ["already_invited"] * 3 + ["invited"]
    assert len(mails_to(acme.home, address)) == 1


# The outbox


def test_the_site_administrator_reads_the_outbox(acme: Inviting) -> None:
    home, address = acme.home, an_address()
    acme.invite(address)
    acme.invite(an_address())
    admin = home.hub(home.admin)
    first = admin.get("/v2/mails", params={"page_size": 1}).json()
    assert len(first["results"]) == 1
    assert "body" not in first["results"][0]
    second = admin.get(first["next"]).json()
    (mail,) = second["results"]
    assert (mail["recipient"], mail["attempts"], mail["sent_at"], mail["last_error"]) == (address, 0, None, "")
    for slash in ("", "/"):
        whole = admin.get(f"/v2/mails/{mail['id']}{slash}")
        assert last_link(home, address).url in whole.json()["body"]
        assert whole.headers["cache-control"] == "no-store"
    assert admin.get("/v2/mails", params={"before": 1}).json() == {"next": None, "results": []}


def test_nobody_else_reads_the_outbox(acme: Inviting) -> None:
    home = acme.home
    _, secret = home.access_token(home.admin)
    for path in ("/v2/mails", "/v2/mails/1"):
        assert home.anonymous.get(path).status_code == 401
        assert acme.client.get(path).status_code == 403
        assert home.hub(home.admin, secret).get(path).status_code == 403


def test_a_mail_that_is_not_there(home: Home) -> None:
    admin = home.hub(home.admin)
    for id_ in ("0", "9" * 30, "x", "-1"):
        answer = admin.get(f"/v2/mails/{id_}")
        assert (answer.status_code, "not found" in answer.text) == (404, True)
    for before in ("x", "-1", "", "9" * 30):
        assert admin.get("/v2/mails", params={"before": before}).status_code == 400


# Plans


MANY = 20_000


@pytest.fixture
def crowded(acme: Inviting) -> Inviting:
    """An organization beside another one with many invites, open and closed, and an outbox with many mails."""
    other = Inviting.of(acme.home)
    numbers = f"with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < {MANY})"
    word = unique("crowd")
    run(
        acme.home,
        f"""insert into invites (id, organization_id, invitee, email, role, inviter_id, secret_sha256, status,
            created_at, sent_at, expires_at)
        {numbers}
        select '{word}-' || n, accounts.id, '', '{word}-' || n || '@example.com', 'member', accounts.id,
            '{word}-' || n, case when n % 10 = 0 then 'pending' else 'cancelled' end, n, n, 4102444800000000
        from numbers, accounts where accounts.name = :organization""",
        organization=other.organization,
    )
    run(
        acme.home,
        f"""insert into mails (recipient, subject, body, created_at, sent_at)
        {numbers} select '{word}-' || n || '@example.com', '', '', n, n from numbers""",
    )
    run(
        acme.home,
        f"""insert into accounts (uuid, name, kind, email, created_at)
        {numbers} select '{word}-' || n, '{word}-' || n, 'user', '{word}-' || n || '@example.com', n from numbers""",
    )
    if not acme.home.settings.is_sqlite:
        run(acme.home, "analyze")  # on SQLite it would change the plans of other tests
    return acme


def test_every_statement_is_served_by_an_index(crowded: Inviting) -> None:
    home = crowded.home
    organization_id = value(home, int, "select id from accounts where name = :name", name=crowded.organization)
    id_ = crowded.invite(an_address())["id"]
    emails = ["one@example.com", "two@example.com"]
    now = utcnow()

    async def verb(tx: Transaction) -> None:
        await rows.get(tx, id_)
        await rows.list_pending(tx, organization_id=organization_id, now=now, limit=5000)
        await rows.list_pending_of(tx, account_id=1, email="one@example.com", now=now, limit=5000)
        await rows.list_invited(tx, organization_id=organization_id, account_ids=[1, 2], emails=emails, now=now)
        await rows.count_pending(tx, organization_id=organization_id, now=now)
        await rows.expire(tx, organization_id=organization_id, now=now)
        await account_rows.list_named(tx, ["one", "two"])
        await account_rows.list_with_email(tx, emails)
        await mail_rows.list_before(tx, before=2**62, limit=10)
        await mail_rows.list_often_written_to(tx, emails, since=now, count=10)
        await mail_rows.is_any_due(tx, now=now)
        await mail_rows.claim(tx, now=now, until=now, limit=10)
        await mail_rows.delete_old(tx, before=now, limit=10)

    plans = plans_of(home, verb)
    assert len(plans) == 13
    for plan in plans:
        for table in ("invites", "mails", "accounts"):
            assert not plan.scans(table), plan


@pytest.mark.parametrize("by", ["name", "address"])
def test_who_is_removed_cannot_come_back_by_an_invite_of_before(acme: Inviting, by: str) -> None:
    guest = acme.home.user("guest")
    address = f"{guest.name}@example.com"
    invite = acme.invite(guest.name if by == "name" else address, role="owner")
    token = last_link(acme.home, address).token
    # They come in another way, while the invite is open.
    acme.home.member(acme.organization, guest, OrganizationRole.MEMBER)
    assert acme.client.delete(f"/v2/orgs/{acme.organization}/members/{guest.name}").status_code == 204
    assert acme.pending() == []
    as_guest = acme.home.hub(guest)
    assert as_guest.get("/v2/user/invites").json() == {"data": []}
    assert as_guest.post(f"/v2/invites/{invite['id']}/accept").status_code == 409
    form = {"token": token, "username": guest.name, "password": guest.password}
    assert acme.home.anonymous.post(f"/invites/{invite['id']}/accept", data=form).status_code == 410
    assert acme.role_of(guest.name) is None
    told = [action for action, _, _ in acme.events()]
    assert told[-2:] == ["org.member.invite.cancel", "org.member.remove"]
    # A new one is another matter.
    again = acme.invite(guest.name)
    assert as_guest.post(f"/v2/invites/{again['id']}/accept").status_code == 204
    assert acme.role_of(guest.name) is OrganizationRole.MEMBER
