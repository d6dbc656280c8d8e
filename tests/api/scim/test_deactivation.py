"""Taking a person away at the identity provider: what ends, what stays, what comes back and what does not."""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, User, running_server, unique
from tests.inviting import mails_to, run, value
from tests.logs import logged
from tests.provisioning import Holdings, Provisioned, email_of, is_managed_by, ordered, set_active, the_error, verify
from tests.scim import DOCKER_USER, Json

# The last statement of a deactivation fails for one user.
SQLITE_TRAP = (
    [
        """create trigger trap before insert on audit_events
        when new.action = 'scim.user.deactivate' and new.name = '{name}'
        begin select raise(abort, 'trapped'); end"""
    ],
    ["drop trigger trap"],
)
POSTGRES_TRAP = (
    [
        """create function trap() returns trigger as $$ begin
        if new.action = 'scim.user.deactivate' and new.name = '{name}' then raise exception 'trapped'; end if;
        return new; end $$ language plpgsql""",
        "create trigger trap before insert on audit_events for each row execute function trap()",
    ],
    ["drop trigger trap on audit_events", "drop function trap"],
)

Way = Callable[[Provisioned, Json], httpx.Response]


def by_put(provider: Provisioned, user: Json) -> httpx.Response:
    return provider.replace(user, active=False)


def by_put_without_active(provider: Provisioned, user: Json) -> httpx.Response:
    """As Docker's description has it: who is not said to be enabled is not."""
    return provider.put(f"/Users/{user['id']}", {"schemas": user["schemas"], "userName": user["userName"]})


def by_enabled(provider: Provisioned, user: Json) -> httpx.Response:
    body = {"schemas": user["schemas"], "userName": user["userName"], "enabled": False}
    return provider.put(f"/Users/{user['id']}", body)


def by_patch(provider: Provisioned, user: Json) -> httpx.Response:
    return provider.set(user, active=False)


def by_path(provider: Provisioned, user: Json) -> httpx.Response:
    return provider.patch(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})


def by_delete(provider: Provisioned, user: Json) -> httpx.Response:
    return provider.delete(f"/Users/{user['id']}")


DEACTIVATIONS = [by_put, by_put_without_active, by_enabled, by_patch, by_path]


def claimed(provider: Provisioned) -> tuple[Json, User]:
    user = provider.person(provider.domain())
    return provider.user(email_of(provider.home, user)), user


def made(provider: Provisioned) -> tuple[Json, User]:
    return provider.employee()


# Of an account that the organization manages


@pytest.mark.parametrize("way", [*DEACTIVATIONS, by_delete])
@pytest.mark.parametrize("who", [made, claimed])
def test_every_door_closes_at_once(
    provider: Provisioned, who: Callable[[Provisioned], tuple[Json, User]], way: Way
) -> None:
    home = provider.home
    resource, user = who(provider)
    another = home.organization(home.user())
    home.member(another, user, OrganizationRole.EDITOR)
    holdings = Holdings(home, user)
    assert set(holdings.all().values()) == {200}
    assert way(provider, resource).status_code in (200, 204)
    assert holdings.old() == dict.fromkeys(holdings.old(), 401)
    assert holdings.new() == dict.fromkeys(holdings.new(), 401)
    tokens = "select count(*) from access_tokens where account_id = (select id from accounts where name = :name)"
    assert value(home, int, tokens, name=user.name) == 0
    if way is by_delete:
        assert provider.shown(user).status_code == 404
        assert provider.role_of(user) is None
    else:
        assert provider.shown(user).json()["active"] is False
        assert provider.role_of(user) is OrganizationRole.MEMBER
        assert is_managed_by(home, user, provider.organization)


@pytest.mark.parametrize("way", [by_patch, by_delete])
def test_the_second_half_of_a_login_is_closed_too(provider: Provisioned, way: Way) -> None:
    home = provider.home
    resource, user = provider.employee()
    run(
        home,
        """insert into second_factors (account_id, secret, created_at, confirmed_at)
        select id, 'JBSWY3DPEHPK3PXP', 1, 1 from accounts where name = :name""",
        name=user.name,
    )
    credentials = {"username": user.name, "password": user.password}
    first = home.anonymous.post("/v2/users/login", json=credentials)
    assert first.status_code == 401
    half = first.json()["login_2fa_token"]
    way(provider, resource)
    answer = home.anonymous.post("/v2/users/2fa-login", json={"login_2fa_token": half, "code": "000000"})
    assert answer.status_code == 401
    assert "login_2fa_token" not in home.anonymous.post("/v2/users/login", json=credentials).json()


def test_the_deeds_of_one_deactivation_are_one_transaction(provider: Provisioned) -> None:
    """What cannot be logged has not happened."""
    home = provider.home
    resource, user = provider.employee()
    holdings = Holdings(home, user)
    before = provider.state()
    make, drop = SQLITE_TRAP if home.settings.is_sqlite else POSTGRES_TRAP
    for statement in make:
        run(home, statement.format(name=user.name))
    try:
        # A trigger that refuses is what a hub that has moved has on SQLite.
        assert provider.set(resource, active=False).status_code == (503 if home.settings.is_sqlite else 500)
    finally:
        for statement in drop:
            run(home, statement)
    assert provider.state() == before
    assert set(holdings.all().values()) == {200}
    assert provider.set(resource, active=False).status_code == 200


@pytest.fixture(scope="module")
def another_process(home: Home) -> Iterator[str]:
    """The URL of a second server over the same data."""
    settings = home.settings
    variables = {} if settings.is_sqlite else {"HOMEPORT_DATABASE_URL": settings.database_url}
    with running_server(settings.data, **variables) as url:
        yield url


def by(url: str, provider: Provisioned) -> Provisioned:
    """The same provider, whose requests go to another process."""
    other = copy.copy(provider)
    other.client = provider.home.client(authorization=f"Bearer {provider.secret}")
    other.client.base_url = httpx.URL(url)
    return other


def test_other_processes_hear_of_it_within_a_moment(provider: Provisioned, another_process: str) -> None:
    resource, user = provider.employee()
    holdings = Holdings(provider.home, user)
    assert set(holdings.old().values()) == {200}
    assert by(another_process, provider).set(resource, active=False).status_code == 200
    assert holdings.all_are(401)


def test_a_token_that_is_made_in_the_moment_of_a_deactivation_opens_nothing_later(
    provider: Provisioned, another_process: str
) -> None:
    """Another process may still know a session for half a second: it makes no token that is there after a return."""
    home = provider.home
    resource, user = provider.employee()
    session = home.hub(user)
    there = by(another_process, provider)
    assert there.get("/Users").status_code == 200
    assert session.get("/v2/access-tokens").status_code == 200
    assert there.set(resource, active=False).status_code == 200
    answer = session.post("/v2/access-tokens", json={"token_label": "kept", "scopes": ["repo:admin"]})
    assert answer.status_code == 401
    tokens = "select count(*) from access_tokens where account_id = (select id from accounts where name = :name)"
    assert value(home, int, tokens, name=user.name) == 0
    assert provider.set(resource, active=True).status_code == 200
    assert home.anonymous.get("/token", auth=(user.name, user.password)).status_code == 200


@pytest.mark.parametrize("way", [by_patch, by_delete])
def test_a_login_that_races_a_deactivation_gives_nothing_that_lasts(provider: Provisioned, way: Way) -> None:
    home = provider.home
    resource, user = provider.employee()
    _, secret = home.access_token(user)
    stop = threading.Event()
    tokens: list[str] = []

    def log_in(secret: str) -> None:
        while not stop.is_set():
            answer = httpx.post(f"{home.url}/v2/auth/token", json={"identifier": user.name, "secret": secret})
            if answer.status_code == 200:
                tokens.append(answer.json()["access_token"])
            elif stop.wait(0.2):
                break

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(log_in, word) for word in (user.password, secret)]
        while len(tokens) < 2:
            stop.wait(0.01)
        assert way(provider, resource).status_code in (200, 204)
        stop.wait(0.3)
        stop.set()
        for one in running:
            one.result()
    for is_back in (False, True):
        if is_back:
            provider.create(resource["userName"]) if way is by_delete else provider.set(resource, active=True)
        answers = {
            httpx.get(f"{home.url}/v2/user/invites", headers={"authorization": f"Bearer {token}"}).status_code
            for token in tokens
        }
        assert answers == {401}


def test_reactivation_revives_nothing_and_lets_in_by_the_password(provider: Provisioned) -> None:
    resource, user = provider.employee(**ordered(role="editor"))
    holdings = Holdings(provider.home, user)
    for _ in range(2):
        provider.set(resource, active=False)
        again = provider.set(resource, active=True)
        assert (again.status_code, again.json()["active"], again.json()["id"]) == (200, True, resource["id"])
        assert set(holdings.old().values()) == {401}
        assert set(holdings.new().values()) == {200}
    assert provider.role_of(user) is OrganizationRole.EDITOR
    assert provider.inviting.teams_of(user.name) == "company"


def test_who_is_made_inactive_is_let_in_later(provider: Provisioned) -> None:
    resource, user = provider.employee(active=False)
    assert resource["active"] is False
    assert provider.home.anonymous.get("/token", auth=(user.name, user.password)).status_code == 401
    assert provider.set(resource, active=True).json()["active"] is True
    assert provider.home.anonymous.get("/token", auth=(user.name, user.password)).status_code == 200


def test_who_is_claimed_inactive_is_shut_out(provider: Provisioned) -> None:
    user = provider.person(provider.domain())
    holdings = Holdings(provider.home, user)
    assert provider.create(email_of(provider.home, user), active=False).status_code == 201
    assert set(holdings.all().values()) == {401}


def test_a_managed_account_in_other_organizations_is_shut_there_by_its_manager_alone(provider: Provisioned) -> None:
    home = provider.home
    resource, user = provider.employee()
    other = Provisioned.at(home)
    home.member(other.organization, user, OrganizationRole.EDITOR)
    verify(home, other.organization, resource["userName"].partition("@")[2])
    holdings = Holdings(home, user)
    theirs = other.shown(user).json()
    assert other.set(theirs, active=False).status_code == 200
    assert set(holdings.all().values()) == {200}
    assert (other.role_of(user), provider.role_of(user)) == (None, OrganizationRole.MEMBER)
    assert provider.shown(user).json()["active"] is True
    assert is_managed_by(home, user, provider.organization)
    assert the_error(other.set(theirs, active=True)) == (409, "uniqueness")
    provider.set(resource, active=False)
    assert set(holdings.all().values()) == {401}
    assert other.set(theirs, active=True).status_code == 403
    assert other.delete(f"/Users/{theirs['id']}").status_code == 204
    assert not home.anonymous.get("/token", auth=(user.name, user.password)).is_success


# Of any other member


@pytest.mark.parametrize("way", [*DEACTIVATIONS, by_delete])
def test_of_a_member_who_is_not_managed_the_membership_ends_and_all_that_hangs_on_it(
    provider: Provisioned, way: Way
) -> None:
    home = provider.home
    user = provider.member(OrganizationRole.EDITOR)
    private = home.repository(provider.organization, is_private=True)
    home.team_member(private, user, Permission.WRITE)
    home.collaborator(private, user, Permission.READ)
    elsewhere = home.organization(home.user())
    home.member(elsewhere, user, OrganizationRole.EDITOR)
    holdings = Holdings(home, user)
    registry = home.registry(user, private)
    assert registry.get(f"/v2/{private}/tags/list").status_code == 200
    shown = provider.shown(user).json()

    assert way(provider, shown).status_code in (200, 204)

    assert set(holdings.all().values()) == {200}, "the account is not the organization's"
    assert registry.get(f"/v2/{private}/tags/list").status_code in (401, 404)
    assert provider.role_of(user) is None
    assert provider.inviting.teams_of(user.name) is None
    collaborators = """select count(*) from repository_collaborators where account_id =
        (select id from accounts where name = :name)"""
    assert value(home, int, collaborators, name=user.name) == 0
    assert home.hub(user).get(f"/v2/orgs/{elsewhere}/members").status_code == 200
    if way is by_delete:
        assert provider.shown(user).status_code == 404
    else:
        after = provider.shown(user).json()
        assert (after["active"], after.get("groups")) == (False, None)
        group = provider.group()
        answer = provider.set(group, members=[{"value": shown["id"]}])
        assert the_error(answer) == (400, "invalidValue")
        assert provider.role_of(user) is None


def test_who_was_not_managed_is_asked_before_they_are_back(provider: Provisioned) -> None:
    home = provider.home
    user = provider.member(OrganizationRole.EDITOR)
    shown, email = provider.shown(user).json(), email_of(home, user)
    provider.set(shown, active=False)
    before = provider.shown(user).json()
    for _ in range(2):
        answer = provider.replace(before, active=True, displayName="Another", externalId="other")
        assert the_error(answer) == (409, "uniqueness")
        assert len(mails_to(home, email)) == 1
        assert provider.role_of(user) is None
        assert provider.shown(user).json() == before, "nothing but the invite came of it"
    (invite,) = home.hub(user).get("/v2/user/invites").json()["data"]
    assert invite["role"] == "member"
    assert home.hub(user).post(f"/v2/invites/{invite['id']}/accept").status_code == 204
    after = provider.shown(user).json()
    assert (after["active"], after["userName"], after["id"]) == (True, email, shown["id"])
    assert provider.role_of(user) is OrganizationRole.MEMBER
    assert not is_managed_by(home, user, provider.organization)


def test_who_is_invited_again_by_an_owner_is_back(provider: Provisioned) -> None:
    home, user = provider.home, provider.member()
    shown = provider.shown(user).json()
    provider.set(shown, externalId="kept")
    provider.set(shown, active=False)
    home.member(provider.organization, user, OrganizationRole.EDITOR)
    after = provider.shown(user).json()
    assert (after["active"], after["externalId"], after["id"]) == (True, "kept", shown["id"])
    assert provider.names().count(shown["userName"]) == 1


def test_an_invite_that_waits_ends_with_the_membership(provider: Provisioned) -> None:
    user = provider.member()
    email = email_of(provider.home, user)
    run(
        provider.home,
        """insert into invites (id, organization_id, invitee, account_id, email, role, inviter_id, secret_sha256,
        status, created_at, sent_at, expires_at) select :id, o.id, :email, u.id, :email, 'owner', o.id, :id, 'pending',
        1, 1, 9000000000000000 from accounts o, accounts u where o.name = :organization and u.name = :name""",
        id=unique("invite"),
        email=email,
        organization=provider.organization,
        name=user.name,
    )
    provider.set(provider.shown(user).json(), active=False)
    assert provider.home.hub(user).get("/v2/user/invites").json()["data"] == []


# What the site has shut


def shut(provider: Provisioned, user: User) -> Json:
    """The user as they are shown after the site has shut them."""
    set_active(provider.home, user, is_active=False)
    shown: Json = provider.shown(user).json()
    assert shown["active"] is False
    return shown


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "other"])
def test_other_changes_of_who_is_shut_by_the_site_change_nothing_else(provider: Provisioned, *, managed: bool) -> None:
    user = provider.employee()[1] if managed else provider.member(OrganizationRole.EDITOR)
    role = provider.role_of(user)
    shown = shut(provider, user)
    for answer in (
        provider.set(shown, displayName="Another"),
        provider.replace(shown, displayName="One more"),
        provider.set(shown, active=False),
    ):
        assert (answer.status_code, answer.json()["active"]) == (200, False)
        assert provider.role_of(user) is role
    assert provider.shown(user).json()["displayName"] == "One more"
    set_active(provider.home, user, is_active=True)
    assert provider.shown(user).json()["active"] is True


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "other"])
def test_who_is_shut_by_the_site_is_not_let_in(provider: Provisioned, *, managed: bool) -> None:
    user = provider.employee()[1] if managed else provider.member()
    shown = shut(provider, user)
    before = provider.state()
    for answer in (provider.set(shown, active=True), provider.replace(shown, active=True)):
        assert answer.status_code == 403
    assert provider.state() == before
    if not managed:
        set_active(provider.home, user, is_active=True)
        provider.set(shown, active=False)  # the membership has ended
        shut(provider, user)
        before = provider.state()
        assert provider.set(shown, active=True).status_code == 403
        assert provider.state() == before
        assert mails_to(provider.home, email_of(provider.home, user)) == []


def test_who_was_shut_by_the_provider_and_opened_by_the_site_is_active(provider: Provisioned) -> None:
    resource, user = provider.employee()
    holdings = Holdings(provider.home, user)
    provider.set(resource, active=False)
    set_active(provider.home, user, is_active=True)
    assert provider.shown(user).json()["active"] is True
    assert set(holdings.new().values()) == {200}
    assert set(holdings.old().values()) == {401}
    assert provider.set(resource, active=False).json()["active"] is False
    assert set(holdings.new().values()) == {401}


# The last owner


def owners(provider: Provisioned) -> list[str]:
    found = provider.home.hub(provider.home.admin).get(f"/v2/orgs/{provider.organization}/members?role=owner")
    return sorted(member["username"] for member in found.json()["results"])


def test_the_last_owner_can_be_neither_deactivated_nor_deleted_nor_demoted(provider: Provisioned) -> None:
    shown = provider.shown(provider.owner).json()
    path = f"/Users/{shown['id']}"
    group = provider.group_named("owners")
    other = provider.user()
    before = provider.state()
    for answer in (
        *(way(provider, shown) for way in [*DEACTIVATIONS, by_delete]),
        provider.set(shown, **ordered(role="member")),
        provider.set(shown, **ordered(role="EDITOR")),
        provider.replace(shown, **ordered(role="member")),
        provider.patch(path, {"op": "add", "path": f"{DOCKER_USER}:dockerRole", "value": "member"}),
        provider.set(group, members=[]),
        provider.put(f"/Groups/{group['id']}", {**group, "members": []}),
        provider.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"}),
        provider.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{shown["id"]}"]'}),
        provider.delete(f"/Groups/{group['id']}"),
        provider.set(group, displayName="bosses"),
    ):
        assert the_error(answer) == (400, "mutability"), answer.text
        assert provider.state() == before
    # Another one may take over.
    taken = provider.set(group, members=[{"value": other["id"]}])
    assert taken.status_code == 200
    assert owners(provider) == [provider.account_of(other)]
    assert provider.delete(path).status_code == 204


def test_an_owner_who_is_shut_out_is_none_who_stays(provider: Provisioned) -> None:
    second, user = provider.employee(**ordered(role="owner"))
    provider.set(second, active=False)
    shown = provider.shown(provider.owner).json()
    assert the_error(provider.set(shown, active=False)) == (400, "mutability")
    assert provider.delete(f"/Users/{second['id']}").status_code == 204
    assert owners(provider) == [provider.owner.name]
    assert user.name not in owners(provider)


def test_the_last_owner_stays_also_when_the_site_has_shut_them(provider: Provisioned) -> None:
    resource, user = provider.employee(**ordered(role="owner"))
    assert provider.delete(f"/Users/{provider.id_of(provider.owner)}").status_code == 204
    shut(provider, user)
    assert the_error(provider.delete(f"/Users/{resource['id']}")) == (400, "mutability")
    assert owners(provider) == [user.name]


def test_of_two_owners_who_are_taken_away_at_once_one_stays(provider: Provisioned) -> None:
    home = provider.home
    for way in (by_patch, by_delete, by_put):
        place = Provisioned.at(home)
        second = place.user(**ordered(role="owner"))
        pair = [place.shown(place.owner).json(), second]
        barrier = threading.Barrier(2)

        def one(user: Json, barrier: threading.Barrier = barrier, place: Provisioned = place, way: Way = way) -> int:
            barrier.wait()
            return way(place, user).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(one, pair))
        assert statuses[0] in (200, 204)
        assert statuses[1] == 400


# Logs


def test_a_deactivation_is_in_the_logs_of_the_organization_and_of_the_account(provider: Provisioned) -> None:
    resource, user = provider.employee()
    before = len(provider.events())
    provider.set(resource, active=False)
    provider.set(resource, active=True)
    assert provider.events()[before:] == [
        ("scim.user.deactivate", {"user_name": resource["userName"]}),
        ("scim.user.activate", {"user_name": resource["userName"]}),
    ]
    deeds = [action for action, _ in logged(provider.home, user.name) if "activate" in action]
    assert deeds == ["user.deactivate", "user.activate"]


def test_homes_with_one_name_are_apart(home: Home) -> None:
    """A user of one organization is no user of another, whatever both call them."""
    one, other = Provisioned.at(home), Provisioned.at(home)
    name = unique("same")
    mine, theirs = one.user(name), other.user(name)
    assert mine["id"] != theirs["id"]
    one.set(mine, active=False)
    assert other.get(f"/Users/{theirs['id']}").json()["active"] is True
