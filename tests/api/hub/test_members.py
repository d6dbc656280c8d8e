"""The members of an organization: who sees what of whom, who comes and goes, and that an owner stays."""

import csv
import io
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest

from homeport.api.http import Message
from homeport.app import create_app
from homeport.core import members
from homeport.core.access import OPERATOR
from homeport.core.members import EXPORT_BATCH, MemberQuery
from homeport.core.services import Services
from homeport.storage.db.database import utcnow
from homeport.storage.db.records import OrganizationRole, Permission
from tests.api.hub.people import account_id, events, execute, invite, many_members, person, value, verified_domain
from tests.api.registry.test_statements import count
from tests.home import Home, User, push_image, unique
from tests.plans import assert_by_index, plans_of

FIELDS = [
    "id",
    "company",
    "date_joined",
    "full_name",
    "gravatar_email",
    "gravatar_url",
    "location",
    "profile_url",
    "type",
    "username",
    "email",
    "role",
    "groups",
    "is_guest",
    "primary_email",
]
INSIGHTS = ["last_logged_in_at", "last_seen_at", "last_desktop_version"]
TOKEN_NOT_ALLOWED = b'{"message":"token issued from personal access token is not allowed","errinfo":{}}'


class Scene:
    """An organization with an owner, an editor and a member."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner, self.editor, self.member = home.user("owner"), home.user("editor"), home.user("member")
        self.organization = home.organization(self.owner)
        home.member(self.organization, self.editor, OrganizationRole.EDITOR)
        home.member(self.organization, self.member, OrganizationRole.MEMBER)
        self.path = f"/v2/orgs/{self.organization}/members"
        self.as_owner, self.as_editor, self.as_member = (
            home.hub(user) for user in (self.owner, self.editor, self.member)
        )

    def one(self, user: User) -> str:
        return f"{self.path}/{user.name}"

    def team(self, name: str, *users: User) -> None:
        groups = f"/v2/orgs/{self.organization}/groups"
        assert self.as_owner.post(groups, json={"name": name}).status_code == 201
        for user in users:
            assert self.as_owner.post(f"{groups}/{name}/members", json={"member": user.name}).status_code == 200

    def through_token(self, user: User) -> httpx.Client:
        return self.home.hub(user, self.home.access_token(user)[1])


@pytest.fixture
def scene(home: Home) -> Scene:
    return Scene(home)


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [member["username"] for member in answer.json()["results"]]


def roles(scene: Scene) -> dict[str, str]:
    return {row["username"]: row["role"] for row in scene.as_owner.get(scene.path).json()["results"]}


# Reading


def test_members_are_a_page_with_every_field(scene: Scene) -> None:
    scene.team("Writers", scene.editor)
    scene.team("all-hands", scene.editor, scene.member)
    page = scene.as_owner.get(scene.path).json()
    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], page["next"], page["previous"]) == (3, None, None)
    by_name = {member["username"]: member for member in page["results"]}
    editor = by_name[scene.editor.name]
    assert list(editor) == FIELDS
    assert re.fullmatch("[0-9a-f]{32}", editor["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", editor["date_joined"])
    assert (editor["type"], editor["role"], editor["is_guest"]) == ("User", "Editor", False)
    assert editor["email"] == editor["primary_email"] == f"{scene.editor.name}@example.com"
    assert editor["groups"] == ["all-hands", "Writers"]
    assert (by_name[scene.owner.name]["role"], by_name[scene.owner.name]["groups"]) == ("Owner", ["owners"])
    assert (by_name[scene.member.name]["role"], by_name[scene.member.name]["groups"]) == ("Member", ["all-hands"])


def test_teams_of_other_organizations_are_not_told(scene: Scene) -> None:
    other = scene.home.organization(scene.member)
    assert scene.home.hub(scene.member).get(f"/v2/orgs/{other}/members").json()["results"][0]["groups"] == ["owners"]
    assert all("owners" not in m["groups"] for m in scene.as_owner.get(f"{scene.path}?role=member").json()["results"])


def test_only_owners_and_site_administrators_see_addresses_and_not_through_a_token(scene: Scene) -> None:
    execute(
        scene.home,
        "update accounts set gravatar_email = 'g@example.com' where name = :name",
        name=scene.editor.name,
    )
    for client in (scene.as_owner, scene.home.hub(scene.home.admin)):
        assert "@" in client.get(scene.path).text
    for client in (
        scene.as_editor,
        scene.as_member,
        scene.through_token(scene.owner),
        scene.through_token(scene.home.admin),
    ):
        answer = client.get(scene.path)
        assert answer.json()["count"] == 3
        assert "@" not in answer.text
        assert all(member["email"] == member["primary_email"] == "" for member in answer.json()["results"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_paths_work_with_and_without_a_slash(scene: Scene, slash: str) -> None:
    assert scene.as_member.get(scene.path + slash).status_code == 200
    assert scene.as_owner.get(f"{scene.path}/export{slash}").status_code == 200
    assert scene.as_owner.put(scene.one(scene.member) + slash, json={"role": "editor"}).status_code == 200
    assert scene.as_owner.delete(scene.one(scene.member) + slash).status_code == 204


def requests(path: str) -> Iterator[tuple[str, str, Any]]:
    yield "GET", path, None
    yield "GET", f"{path}/export", None
    yield "PUT", f"{path}/somebody", {"role": "member"}
    yield "DELETE", f"{path}/somebody", None


def test_nobody_is_unauthorized_a_stranger_forbidden_and_an_unknown_organization_not_found(scene: Scene) -> None:
    stranger = scene.home.hub(scene.home.user())
    for method, path, body in requests(scene.path):
        nobody = scene.home.anonymous.request(method, path, json=body)
        assert (nobody.status_code, nobody.content) == (401, b'{"message":"unauthorized","errinfo":{}}')
        assert stranger.request(method, path, json=body).status_code == 403
    for method, path, body in requests("/v2/orgs/no-such-organization/members"):
        unknown = scene.as_owner.request(method, path, json=body)
        assert (unknown.status_code, "not found" in unknown.json()["message"]) == (404, True)
    for method, path, body in requests(f"/v2/orgs/{scene.owner.name}/members"):
        assert scene.as_owner.request(method, path, json=body).status_code == 404


def test_changes_and_the_export_are_for_owners_with_a_password(scene: Scene) -> None:
    for method, path, body in list(requests(scene.path))[1:]:
        for client in (scene.as_member, scene.as_editor):
            assert client.request(method, path, json=body).status_code == 403
        through_token = scene.through_token(scene.owner).request(method, path, json=body)
        assert (through_token.status_code, through_token.content) == (403, TOKEN_NOT_ALLOWED)
    assert scene.through_token(scene.member).delete(scene.one(scene.member)).status_code == 403
    assert len(roles(scene)) == 3


def test_search_is_over_the_name_the_full_name_and_for_owners_the_address(home: Home) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    found = person(home, full_name="Ada Lövelace", email=f"countess@Analytical.{unique('example')}")
    other = person(home, full_name="100%_Charles")
    for user in (found, other):
        home.member(organization, user, OrganizationRole.MEMBER)
    as_owner, as_member = home.hub(owner), home.hub(other)
    path = f"/v2/orgs/{organization}/members"

    def search(client: httpx.Client, text: str) -> list[str]:
        answer = client.get(path, params={"search": text})
        assert answer.json()["count"] == len(answer.json()["results"])
        return names(answer)

    for client in (as_owner, as_member):
        assert search(client, "lövELACE") == [found.name]
        assert search(client, found.name[1:].upper()) == [found.name]
        assert search(client, "%_") == [other.name]
        assert search(client, "_d") == search(client, "no such text") == []
        assert len(search(client, "")) == 3
    assert search(as_owner, "SS@analytical") == [found.name]
    assert search(as_member, "ss@analytical") == []
    assert search(home.hub(owner, home.access_token(owner)[1]), "ss@analytical") == []


@pytest.mark.parametrize("word", ["editor", "Editor", "EDITOR"])
def test_one_role_is_asked_for_in_any_case(scene: Scene, word: str) -> None:
    answer = scene.as_member.get(scene.path, params={"role": word})
    assert names(answer) == [scene.editor.name]
    assert answer.json()["count"] == 1


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("role", "invitee"),
        ("role", "chef"),
        ("type", "user"),
        ("invites", "perhaps"),
        ("page", "0"),
        ("page_size", "many"),
    ],
)
def test_a_wrong_parameter_is_named(scene: Scene, parameter: str, text: str) -> None:
    answer = scene.as_owner.get(scene.path, params={parameter: text})
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "detail", "errinfo"]
    assert list(answer.json()["errinfo"]) == [parameter]
    assert parameter in answer.json()["message"]


def test_pages_in_byte_order_together_are_the_set(scene: Scene) -> None:
    everybody = sorted(
        [*many_members(scene.home, scene.organization, 60), scene.owner.name, scene.editor.name, scene.member.name]
    )
    first = scene.as_member.get(scene.path)
    assert (len(names(first)), first.json()["count"]) == (25, 63)
    collected: list[str] = []
    url = f"{scene.path}?page_size=10"
    while url:
        answer = scene.as_member.get(url)
        collected += names(answer)
        url = answer.json()["next"]
    assert collected == everybody
    last = scene.as_member.get(f"{scene.path}?page=7&page_size=10&role=member")
    assert (len(names(last)), last.json()["next"]) == (1, None)
    assert "page=6&page_size=10&role=member" in last.json()["previous"]
    for page in (8, 10**30):
        beyond = scene.as_member.get(f"{scene.path}?page={page}&page_size=10")
        assert (beyond.status_code, "not found" in beyond.text) == (404, True)


def test_a_guest_is_who_has_an_address_outside_of_the_verified_domains(home: Home) -> None:
    acme = f"{unique('acme')}.example"
    owner = person(home, email=f"boss@{acme.title()}")
    organization = home.organization(owner)
    guests = {}
    for email, is_guest in (
        (f"a@{acme}", False),
        (f"b@{acme.upper()}", False),
        (f"c@sub.{acme}", True),
        (f"d@not{acme}", True),
        (f"e@unverified-{acme}", True),
        (f"f@second-{acme}", False),
    ):
        user = person(home, email=email)
        home.member(organization, user, OrganizationRole.MEMBER)
        guests[user.name] = is_guest
    path = f"/v2/orgs/{organization}/members"
    client = home.hub(owner)
    assert not any(member["is_guest"] for member in client.get(path).json()["results"])
    verified_domain(home, organization, f"unverified-{acme}", is_verified=False)
    assert not any(member["is_guest"] for member in client.get(path).json()["results"])
    verified_domain(home, organization, acme)
    verified_domain(home, organization, f"second-{acme}")
    found = {member["username"]: member["is_guest"] for member in client.get(path).json()["results"]}
    assert found == {**guests, owner.name: False}


def test_insights_are_told_only_where_they_are_on(scene: Scene) -> None:
    quiet = scene.home.user()  # who has never asked for anything that could be written down meanwhile
    scene.home.member(scene.organization, quiet, OrganizationRole.MEMBER)
    execute(
        scene.home,
        "update accounts set last_seen_at = 1609880813506400, last_desktop_version = '4.29.0' where name = :name",
        name=quiet.name,
    )
    assert all(list(member) == FIELDS for member in scene.as_owner.get(scene.path).json()["results"])
    execute(
        scene.home,
        "insert into organization_settings (organization_id, has_insights) values (:id, :on)",
        id=account_id(scene.home, scene.organization),
        on=True,
    )
    member = scene.as_owner.get(scene.path, params={"search": quiet.name}).json()["results"][0]
    assert list(member) == [*FIELDS, *INSIGHTS]
    assert [member[field] for field in INSIGHTS] == [None, "2021-01-05T21:06:53.506400Z", "4.29.0"]


# Invitees


def test_pending_invites_come_behind_the_members(scene: Scene) -> None:
    scene.team("devs")
    known = person(scene.home, full_name="Known Already", email=f"zoe@{scene.organization}.example")
    id_ = invite(scene.home, scene.organization, "Anna@guests.example", team="devs")
    invite(scene.home, scene.organization, f"zoe@{scene.organization}.example", account=known)
    invite(scene.home, scene.organization, "gone@guests.example", status="cancelled")
    invite(scene.home, scene.organization, "late@guests.example", expires_at=utcnow() - timedelta(seconds=1))
    verified_domain(scene.home, scene.organization, f"{scene.organization}.example")
    members_only = sorted(user.name for user in (scene.owner, scene.editor, scene.member))

    assert names(scene.as_owner.get(scene.path)) == members_only
    assert names(scene.as_owner.get(f"{scene.path}?type=member&invites=true")) == members_only
    assert names(scene.as_owner.get(f"{scene.path}?type=all&invites=false")) == members_only
    both = scene.as_owner.get(f"{scene.path}?invites=true")
    assert both.json()["count"] == 5
    assert names(both) == [*members_only, "", known.name]
    assert scene.as_owner.get(f"{scene.path}?type=all").json() == both.json()

    anna, zoe = scene.as_owner.get(f"{scene.path}?type=Invitee").json()["results"]
    assert list(anna) == FIELDS
    assert (anna["id"], anna["email"], anna["primary_email"]) == (
        id_.replace("-", ""),
        "Anna@guests.example",
        "Anna@guests.example",
    )
    assert (anna["role"], anna["type"], anna["groups"], anna["is_guest"]) == ("Invitee", "User", ["devs"], True)
    assert (zoe["role"], zoe["full_name"], zoe["groups"], zoe["is_guest"]) == ("Invitee", "Known Already", [], False)
    assert names(scene.as_owner.get(f"{scene.path}?type=invitee&search=already")) == [known.name]
    assert names(scene.as_owner.get(f"{scene.path}?invites=1&search=GUESTS.example")) == [""]
    assert names(scene.as_owner.get(f"{scene.path}?invites=1&role=member")) == [scene.member.name]


def test_who_is_invited_without_an_address_is_told_too(scene: Scene) -> None:
    known = scene.home.user()
    invite(scene.home, scene.organization, "anna@guests.example")
    invite(scene.home, scene.organization, None, account=known)
    listed = scene.as_owner.get(f"{scene.path}?type=invitee").json()["results"]
    assert [(row["username"], row["email"]) for row in listed] == [("", "anna@guests.example"), (known.name, "")]
    exported = [row["Username"] for row in rows_of(scene.as_owner.get(f"{scene.path}/export"))]
    assert exported[-2:] == ["", known.name]


def test_pages_run_from_the_members_into_the_invitees(scene: Scene) -> None:
    for number in range(4):
        invite(scene.home, scene.organization, f"{number}@guests.example")
    collected: list[str] = []
    url = f"{scene.path}?invites=true&page_size=2"
    while url:
        page = scene.as_owner.get(url).json()
        assert page["count"] == 7
        collected += [row["username"] or row["email"] for row in page["results"]]
        url = page["next"]
    members_only = sorted(user.name for user in (scene.owner, scene.editor, scene.member))
    assert collected == [*members_only, *(f"{number}@guests.example" for number in range(4))]
    assert scene.as_owner.get(f"{scene.path}?invites=true&page_size=2&page=5").status_code == 404


def test_who_is_invited_is_told_to_owners_alone(scene: Scene) -> None:
    invite(scene.home, scene.organization, "anna@guests.example")
    for client in (scene.as_member, scene.as_editor, scene.through_token(scene.owner)):
        assert client.get(f"{scene.path}?invites=true").json()["count"] == 3
        assert client.get(f"{scene.path}?type=invitee").json()["results"] == []


def test_an_invite_by_name_does_not_tell_the_address_of_who_is_invited(scene: Scene) -> None:
    stranger, known = scene.home.user("stranger"), scene.home.user("known")
    execute(
        scene.home,
        "update accounts set gravatar_email = :email, last_logged_in_at = 1, last_seen_at = 1 where name = :name",
        email="secret@gravatar.example",
        name=stranger.name,
    )
    scene.home.hub(scene.home.admin).patch(f"/v2/orgs/{scene.organization}/settings/policies", json={"insights": True})
    invitees = [stranger.name, f"{known.name}@example.com"]
    body = {"org": scene.organization, "invitees": invitees}
    assert scene.as_owner.post("/v2/invites/bulk", json=body).status_code == 202
    listed = scene.as_owner.get(scene.path, params={"type": "invitee"}).json()["results"]
    told = {row["username"]: (row["email"], row["primary_email"]) for row in listed}
    written = f"{known.name}@example.com"
    assert told == {stranger.name: ("", ""), known.name: (written, written)}
    (row,) = (row for row in listed if row["username"] == stranger.name)
    assert (row["gravatar_email"], row["last_logged_in_at"], row["last_seen_at"]) == ("", None, None)
    # Nor may it be guessed letter by letter.
    parameters = {"type": "invitee", "search": f"{stranger.name}@example"}
    assert scene.as_owner.get(scene.path, params=parameters).json()["count"] == 0
    parameters = {"type": "invitee", "search": f"{known.name}@example"}
    assert scene.as_owner.get(scene.path, params=parameters).json()["count"] == 1
    exported = {row["Username"]: row["Email"] for row in rows_of(scene.as_owner.get(f"{scene.path}/export"))}
    assert (exported[stranger.name], exported[known.name]) == ("", written)


# The export


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_the_export_is_a_file_with_members_and_invitees(scene: Scene) -> None:
    scene.team("devs", scene.member)
    scene.team("all-hands", scene.member)
    execute(
        scene.home,
        """
        update organization_members set created_at = 1577890851193355
        where organization_id = :organization_id and account_name = :name
        """,
        organization_id=account_id(scene.home, scene.organization),
        name=scene.member.name,
    )
    invite(scene.home, scene.organization, "anna@guests.example", team="devs")
    answer = scene.as_owner.get(f"{scene.path}/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        rf'attachment; filename="{scene.organization}-members-\d{{8}}T\d{{6}}Z\.csv"',
        answer.headers["content-disposition"],
    )
    assert answer.text.startswith("Name,Username,Email,Type,Permission,Teams,Date Joined\r\n")
    found = rows_of(answer)
    assert [row["Username"] for row in found] == [
        *sorted(user.name for user in (scene.owner, scene.editor, scene.member)),
        "",
    ]
    by_name = {row["Username"]: row for row in found}
    assert by_name[scene.member.name] == {
        "Name": "",
        "Username": scene.member.name,
        "Email": f"{scene.member.name}@example.com",
        "Type": "User",
        "Permission": "Member",
        "Teams": "all-hands, devs",
        "Date Joined": "2020-01-01 15:00:51.193355 +0000 UTC",
    }
    assert found[-1] == {
        "Name": "",
        "Username": "",
        "Email": "anna@guests.example",
        "Type": "Invitee",
        "Permission": "Invitee",
        "Teams": "devs",
        "Date Joined": "",
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_could_be_a_formula_is_made_harmless(home: Home, start: str) -> None:
    full_name = f'{start}cmd|"/c calc", x\r\nsecond line'
    owner = person(home, full_name=full_name)
    organization = home.organization(owner)
    client = home.hub(owner)
    client.post(f"/v2/orgs/{organization}/groups", json={"name": "-team-"})
    client.post(f"/v2/orgs/{organization}/groups/-team-/members", json={"member": owner.name})
    (row,) = rows_of(client.get(f"/v2/orgs/{organization}/members/export"))
    assert row["Name"] == f"'{full_name}"
    assert row["Teams"] == "'-team-, owners"
    assert row["Username"] == owner.name


def test_the_export_holds_each_member_once_over_all_batches(scene: Scene) -> None:
    many = many_members(scene.home, scene.organization, 2 * EXPORT_BATCH + 7)
    for number in range(EXPORT_BATCH + 1):
        invite(scene.home, scene.organization, f"I{number}@guests.example")
    found = rows_of(scene.as_owner.get(f"{scene.path}/export"))
    in_it = [row["Username"] for row in found if row["Type"] == "User"]
    assert in_it == sorted([*many, scene.owner.name, scene.editor.name, scene.member.name])
    invited = [row["Email"] for row in found if row["Type"] == "Invitee"]
    assert invited == [f"I{number}@guests.example" for number in range(EXPORT_BATCH + 1)]


def test_the_export_holds_no_transaction_while_a_client_reads_slowly(scene: Scene) -> None:
    last = many_members(scene.home, scene.organization, 2 * EXPORT_BATCH)[-1]
    chunks: list[bytes] = []

    async def verb(services: Services) -> None:
        ended = anyio.Event()

        async def receive() -> Message:
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            # After the header and the first batch, before the second: what leaves now is not sent any more.
            chunks.append(message.get("body", b""))
            if len([chunk for chunk in chunks if chunk]) == 2 and b"many" in chunks[-1]:
                async with services.db.write() as tx:
                    await members.remove_member(tx, actor=OPERATOR, organization=scene.organization, user=last)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": f"{scene.path}/export",
            "raw_path": f"{scene.path}/export".encode(),
            "query_string": b"",
            "headers": [(b"host", b"t"), (b"authorization", scene.as_owner.headers["authorization"].encode())],
            "client": ("192.0.2.9", 1),
            "server": ("t", 80),
        }
        await create_app(services)(scope, receive, send)

    scene.home.run(verb)
    text = b"".join(chunks).decode()
    assert text.count("many") == 2 * (2 * EXPORT_BATCH - 1)
    assert last not in text


# Roles


@pytest.mark.parametrize("word", ["editor", "Editor", "EDITOR"])
def test_a_role_is_given_in_any_case_and_the_member_comes_back(scene: Scene, word: str) -> None:
    before = len(events(scene.home, scene.organization))
    answer = scene.as_owner.put(scene.one(scene.member), json={"role": word})
    assert answer.status_code == 200
    listed = scene.as_owner.get(scene.path, params={"search": scene.member.name}).json()["results"]
    assert [answer.json()] == listed
    assert listed[0]["role"] == "Editor"
    assert scene.as_owner.put(scene.one(scene.member), json={"role": word}).status_code == 200
    assert events(scene.home, scene.organization, after=before) == [
        f"org.member.role.change {scene.organization} role=editor user={scene.member.name}"
    ]


def test_a_new_role_counts_with_the_next_request(scene: Scene) -> None:
    assert scene.as_member.get(f"{scene.path}/export").status_code == 403
    scene.as_owner.put(scene.one(scene.member), json={"role": "owner"})
    assert scene.as_member.get(f"{scene.path}/export").status_code == 200
    scene.as_member.put(scene.one(scene.owner), json={"role": "member"})
    assert scene.as_owner.get(f"{scene.path}/export").status_code == 403


@pytest.mark.parametrize("body", [{"role": "release-manager"}, {"role": ""}, {"role": "invitee"}, {"role": 1}, {}])
def test_any_other_role_is_refused_by_name(scene: Scene, body: dict[str, Any]) -> None:
    answer = scene.as_owner.put(scene.one(scene.member), json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message", "detail", "errinfo"]
    assert list(answer.json()["errinfo"]) == ["role"]
    assert roles(scene)[scene.member.name] == "Member"


def test_owners_are_the_members_of_the_owners_team(scene: Scene) -> None:
    before = len(events(scene.home, scene.organization))
    made = scene.as_owner.put(scene.one(scene.member), json={"role": "owner"}).json()
    assert (made["role"], made["groups"]) == ("Owner", ["owners"])
    unmade = scene.as_owner.put(scene.one(scene.member), json={"role": "editor"}).json()
    assert (unmade["role"], unmade["groups"]) == ("Editor", [])
    assert events(scene.home, scene.organization, after=before) == [
        f"org.member.role.change {scene.organization} role=owner user={scene.member.name}",
        f"org.team.member.add {scene.member.name} team=owners",
        f"org.member.role.change {scene.organization} role=editor user={scene.member.name}",
        f"org.team.member.remove {scene.member.name} team=owners",
    ]


def test_who_is_no_member_is_not_found(scene: Scene) -> None:
    for name in (scene.home.user().name, "nobody", scene.organization):
        for answer in (
            scene.as_owner.put(f"{scene.path}/{name}", json={"role": "member"}),
            scene.as_owner.delete(f"{scene.path}/{name}"),
        ):
            assert answer.status_code == 404
            assert "not found" in answer.json()["message"]


# Leaving


def test_who_is_removed_is_out_of_all_teams_and_stays_in_other_organizations(scene: Scene) -> None:
    scene.team("devs", scene.member, scene.editor)
    scene.team("ops", scene.member)
    other = scene.home.organization(scene.owner)
    scene.home.member(other, scene.member, OrganizationRole.OWNER)
    before = len(events(scene.home, scene.organization))
    answer = scene.as_owner.delete(f"{scene.path}/{scene.member.name.upper()}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert scene.member.name not in roles(scene)
    for team, left in (("devs", [scene.editor.name]), ("ops", [])):
        assert names(scene.as_owner.get(f"/v2/orgs/{scene.organization}/groups/{team}/members")) == left
    assert events(scene.home, scene.organization, after=before) == [
        f"org.team.member.remove {scene.member.name} team=devs",
        f"org.team.member.remove {scene.member.name} team=ops",
        f"org.member.remove {scene.organization} user={scene.member.name}",
    ]
    assert scene.as_owner.delete(scene.one(scene.member)).status_code == 404
    assert scene.as_member.get(f"/v2/orgs/{other}/members").status_code == 200
    assert scene.as_member.get(f"/v2/orgs/{other}/groups/owners/members").json()["count"] == 2


def test_a_token_that_was_issued_before_opens_nothing_after_the_removal(scene: Scene) -> None:
    home = scene.home
    name = home.repository(scene.organization, is_private=True)
    push_image(home.registry(scene.owner, name), name, "latest", text="secret")
    home.team_member(name, scene.member, Permission.WRITE)
    home.collaborator(name, scene.member, Permission.READ)
    mine = home.repository(scene.member.name, is_private=True)
    _, secret = home.access_token(scene.member)
    push_image(home.registry(scene.member, mine), mine, "latest", text="mine")
    tags = f"/v2/namespaces/{name.namespace}/repositories/{name.name}/tags"
    registry = home.registry(scene.member, name, mine)
    registry_by_token = home.registry(scene.member, name, mine, secret=secret)
    hub_by_token = home.hub(scene.member, secret)
    for client in (registry, registry_by_token):
        assert client.get(f"/v2/{name}/manifests/latest").status_code == 200
    for client in (scene.as_member, hub_by_token):
        assert client.get(tags).status_code == 200

    assert scene.as_owner.delete(scene.one(scene.member)).status_code == 204

    for client in (registry, registry_by_token):
        assert client.get(f"/v2/{name}/manifests/latest").status_code == 404
        assert client.post(f"/v2/{name}/blobs/uploads/").status_code in (401, 403, 404)
        assert client.get(f"/v2/{mine}/manifests/latest").status_code == 200
    for client in (scene.as_member, hub_by_token):
        assert client.get(tags).status_code == 404
        assert client.get(scene.path).status_code == 403
        assert client.get(f"/v2/repositories/{mine}/tags").status_code == 200


def test_a_member_may_leave(scene: Scene) -> None:
    assert scene.as_member.delete(scene.one(scene.editor)).status_code == 403
    assert scene.as_member.delete(scene.one(scene.member)).status_code == 204
    assert scene.as_editor.delete(scene.one(scene.editor)).status_code == 204
    assert scene.as_member.delete(scene.one(scene.member)).status_code == 403
    assert roles(scene) == {scene.owner.name: "Owner"}


def test_the_last_owner_can_neither_be_removed_nor_demoted_nor_leave(scene: Scene) -> None:
    before = len(events(scene.home, scene.organization))
    in_owners = f"/v2/orgs/{scene.organization}/groups/owners/members/{scene.owner.name}"
    for client in (scene.as_owner, scene.home.hub(scene.home.admin)):
        for answer in (
            client.delete(scene.one(scene.owner)),
            client.put(scene.one(scene.owner), json={"role": "member"}),
            client.put(scene.one(scene.owner), json={"role": "editor"}),
            client.delete(in_owners),
        ):
            assert answer.status_code == 400
            assert answer.json()["message"] == f"{scene.organization} needs at least one owner"
    assert scene.as_owner.put(scene.one(scene.owner), json={"role": "owner"}).status_code == 200
    assert roles(scene)[scene.owner.name] == "Owner"
    assert names(scene.as_owner.get(in_owners.rpartition("/")[0])) == [scene.owner.name]
    assert events(scene.home, scene.organization, after=before) == []


def test_an_owner_who_is_shut_out_does_not_count_as_one_who_stays(scene: Scene) -> None:
    second = scene.home.user("second")
    scene.home.member(scene.organization, second, OrganizationRole.OWNER)
    scene.home.deactivate(second)
    in_owners = f"/v2/orgs/{scene.organization}/groups/owners/members/{scene.owner.name}"
    for answer in (
        scene.as_owner.delete(scene.one(scene.owner)),
        scene.as_owner.put(scene.one(scene.owner), json={"role": "member"}),
        scene.as_owner.delete(in_owners),
    ):
        assert answer.status_code == 400
        assert answer.json()["message"] == f"{scene.organization} needs at least one owner"
    # The other one may go: the one who stays can log in.
    assert scene.as_owner.delete(scene.one(second)).status_code == 204
    assert roles(scene)[scene.owner.name] == "Owner"


def test_the_official_namespace_keeps_its_owner_as_well(home: Home) -> None:
    client = home.hub(home.admin)
    assert client.delete("/v2/orgs/library/members/admin").status_code == 400
    assert client.put("/v2/orgs/library/members/admin", json={"role": "member"}).status_code == 400


def leaves(scene: Scene, client: httpx.Client, user: User) -> httpx.Response:
    return client.delete(scene.one(user))


def demotes_oneself(scene: Scene, client: httpx.Client, user: User) -> httpx.Response:
    return client.put(scene.one(user), json={"role": "member"})


def leaves_the_team(scene: Scene, client: httpx.Client, user: User) -> httpx.Response:
    return client.delete(f"/v2/orgs/{scene.organization}/groups/owners/members/{user.name}")


@pytest.mark.parametrize("way", [leaves, demotes_oneself, leaves_the_team])
@pytest.mark.parametrize("is_mutual", [False, True], ids=["each oneself", "each the other"])
def test_of_two_concurrent_removals_of_two_owners_one_succeeds(
    scene: Scene, way: Callable[[Scene, httpx.Client, User], httpx.Response], *, is_mutual: bool
) -> None:
    second = scene.editor
    as_admin = scene.home.hub(scene.home.admin)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            for user in (scene.owner, second):
                scene.home.member(scene.organization, user, OrganizationRole.OWNER)
            pairs = [(scene.as_owner, scene.owner), (scene.as_editor, second)]
            if is_mutual:
                pairs = [(scene.as_owner, second), (scene.as_editor, scene.owner)]
            barrier = threading.Barrier(2)

            def at_once(client: httpx.Client, user: User, barrier: threading.Barrier = barrier) -> httpx.Response:
                barrier.wait()
                return way(scene, client, user)

            answers = list(pool.map(at_once, *zip(*pairs, strict=True)))
            statuses = sorted(answer.status_code for answer in answers)
            # The slower of two who remove each other may be told that they are no owner any more.
            assert statuses[0] in (200, 204), [answer.text for answer in answers]
            assert statuses[1] == 400 or (is_mutual and statuses[1] == 403), [answer.text for answer in answers]
            found = as_admin.get(f"{scene.path}?role=owner").json()["results"]
            assert len(found) == 1
            assert found[0]["groups"] == ["owners"]


# What it costs


@pytest.mark.parametrize("query", ["", "?search=a", "?role=member", "?type=all&search=a"])
def test_a_page_costs_the_same_with_few_members_and_with_many(home: Home, query: str) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    authorization = home.hub(owner).headers["authorization"]
    path = f"/v2/orgs/{organization}/members{query}"
    few = count(home, authorization, path)
    many_members(home, organization, 100)
    for number in range(20):
        invite(home, organization, f"{number}@guests.example")
    # Fewer where the members fill the page: then nobody asks which invitees would come behind them.
    assert max(few, count(home, authorization, path)) <= 8


def test_members_are_found_by_index(home: Home) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    many_members(home, organization, 3000, team="owners")
    invite(home, organization, "anna@guests.example")
    last = many_members(home, organization, 3)[-1]

    async def reads(tx: Any) -> None:
        for query in (MemberQuery(has_invitees=True), MemberQuery(role=OrganizationRole.MEMBER)):
            await members.list_page(tx, actor=OPERATOR, organization=organization, query=query, page=50, page_size=25)

    async def writes(tx: Any) -> None:
        await members.change_role(
            tx, actor=OPERATOR, organization=organization, user=last, role=OrganizationRole.MEMBER
        )

    for verb in (reads, writes):
        assert_by_index(
            plans_of(home, verb, must_scan=True), "accounts", "organization_members", "team_members", "teams", "invites"
        )
    assert value(home, "select count(*) from accounts") > 3000
