"""Operators' commands, as programs, on both databases."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from homeport.settings import Settings
from tests.home import clean_environment, running_server

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(empty_settings: Settings) -> Command:
    """Runs `homeport …` on an empty place."""
    variables = {"HOMEPORT_DATABASE_URL": empty_settings.database_url} if empty_settings.database_url else {}

    def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "homeport", *arguments, "--data", str(empty_settings.data)],
            input=stdin,
            capture_output=True,
            text=True,
            env=clean_environment(**variables, **more),
            check=False,
            timeout=60,
        )

    return run


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(ok(done))


def test_before_there_is_anything_a_command_says_so(command: Command, empty_settings: Settings) -> None:
    done = command("user", "list")
    assert done.returncode == 1
    assert "homeport migrate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not empty_settings.data.exists()


def test_migrating_makes_what_is_missing_once(command: Command) -> None:
    first = command("migrate")
    assert "The password of admin is: " in first.stderr
    assert ok(first) == "the database was migrated\n"
    second = command("migrate")
    assert (ok(second), second.stderr) == ("nothing to do\n", "")
    assert answer(command("migrate", "--json")) == {"migrated": False}


def test_a_chosen_password_is_not_printed(command: Command) -> None:
    done = command("migrate", HOMEPORT_ADMIN_PASSWORD="chosen by me")
    assert "password" not in done.stdout + done.stderr


def test_users(command: Command) -> None:
    ok(command("migrate"))
    create = ("user", "create", "ann", "--email", "ann@example.com", "--password-stdin")
    made = answer(command(*create, "--json", stdin="a good password\n"))
    assert (made["name"], made["email"], made["is_active"]) == ("ann", "ann@example.com", True)
    again = command(*create, stdin="a good password\n")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "already in use" in again.stderr
    as_json = command(*create, "--json", stdin="a good password\n")
    assert as_json.returncode == 1
    assert "already in use" in json.loads(as_json.stdout)["error"]
    users = answer(command("user", "list", "--json"))
    assert [user["name"] for user in users] == ["admin", "ann"]
    assert "ann@example.com" in ok(command("user", "list"))
    assert answer(command("user", "deactivate", "ann", "--json"))["is_active"] is False
    assert "deactivated" in ok(command("user", "list"))
    assert answer(command("user", "activate", "ann", "--json"))["is_active"] is True
    ok(command("user", "reset-password", "ann", "--password-stdin", stdin="another password\n"))
    changed = answer(command("user", "change-email", "ann", "ann@example.net", "--json"))
    assert changed["email"] == "ann@example.net"
    assert "ann@example.com" in ok(command("mail", "list"))
    taken = command("user", "change-email", "ann", "ADMIN@localhost")
    assert (taken.returncode, "already in use" in taken.stderr) == (1, True)
    wrong = command("user", "change-email", "ann", "nonsense")
    assert (wrong.returncode, "e-mail address" in wrong.stderr) == (1, True)
    for verb in ("deactivate", "activate"):
        unknown = command("user", verb, "nobody")
        assert (unknown.returncode, unknown.stderr) == (1, "homeport: account nobody not found\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "words"),
    [
        (("create", "bob", "--email", "b@example.com"), "", 2, "--password-stdin"),
        (("create", "bob", "--email", "b@example.com", "--password-stdin"), "", 2, "no password"),
        (("create", "bob", "--email", "b@example.com", "--password-stdin"), "short\n", 1, "8 to"),
        (("create", "bob", "--email", "nonsense", "--password-stdin"), "a good password\n", 1, "e-mail"),
        (("create", "Bob", "--email", "b@example.com", "--password-stdin"), "a good password\n", 1, "lower-case"),
        (("create", "orgs", "--email", "b@example.com", "--password-stdin"), "a good password\n", 1, "reserved"),
    ],
)
def test_users_that_cannot_be(
    command: Command, arguments: tuple[str, ...], stdin: str, status: int, words: str
) -> None:
    ok(command("migrate"))
    done = command("user", *arguments, stdin=stdin)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(answer(command("user", "list", "--json"))) == 1


def test_the_token_of_an_identity_provider(command: Command) -> None:
    ok(command("migrate"))
    ok(command("user", "create", "ann", "--email", "ann@example.com", "--password-stdin", stdin="a password\n"))
    ok(command("org", "create", "acme", "--owner", "ann"))
    assert "SCIM token of acme not found" in command("scim", "token", "acme").stderr
    made = answer(command("scim", "create-token", "acme", "--json"))
    assert made["token"].startswith("dckr_scim_")
    again = command("scim", "create-token", "acme")
    assert (again.returncode, "rotate or revoke" in again.stderr) == (1, True)
    shown = answer(command("scim", "token", "acme", "--json"))
    assert (shown["created_by"], shown["last_used_at"]) == ("homeport", None)
    assert "token" not in shown
    rotated = ok(command("scim", "rotate-token", "acme"))
    assert "dckr_scim_" in rotated
    assert made["token"] not in rotated
    assert "last used never" in ok(command("scim", "token", "acme"))
    assert ok(command("scim", "revoke-token", "acme")) == "revoked the SCIM token of acme\n"
    for verb in ("rotate-token", "revoke-token"):
        assert command("scim", verb, "acme").returncode == 1


def test_organizations_and_teams(command: Command) -> None:
    ok(command("migrate"))
    for name in ("ann", "bob"):
        ok(command("user", "create", name, "--email", f"{name}@example.com", "--password-stdin", stdin="a password\n"))
    assert answer(command("org", "create", "acme", "--owner", "ann", "--json"))["owner"] == "ann"
    assert command("org", "create", "ann", "--owner", "bob").returncode == 1
    assert command("org", "create", "other", "--owner", "nobody").returncode == 1
    ok(command("org", "add-member", "acme", "bob", "--role", "editor"))
    last = command("org", "add-member", "acme", "ann", "--role", "member")
    assert (last.returncode, "at least one owner" in last.stderr) == (1, True)
    ok(command("org", "add-member", "acme", "bob", "--role", "owner"))
    ok(command("org", "add-member", "acme", "ann"))
    ok(command("team", "create", "acme", "Devs", "--description", "who develops"))
    assert "already exists" in command("team", "create", "acme", "devs").stderr
    ok(command("team", "add-member", "acme", "devs", "ann"))
    assert "not found" in command("team", "add-member", "acme", "ops", "ann").stderr
    assert "not found" in command("team", "grant", "acme", "devs", "nothing", "write").stderr
    assert command("team", "grant", "acme", "devs", "nothing", "own").returncode != 0


def test_organizations_and_teams_are_listed_and_left(command: Command) -> None:
    ok(command("migrate"))
    for name in ("ann", "bob"):
        ok(command("user", "create", name, "--email", f"{name}@example.com", "--password-stdin", stdin="a password\n"))
    ok(command("org", "create", "acme", "--owner", "ann"))
    ok(command("team", "create", "acme", "devs", "--description", "who develops"))
    ok(command("team", "add-member", "acme", "devs", "bob"))

    organizations = answer(command("org", "list", "--json"))
    assert [(one["name"], one["member_count"]) for one in organizations] == [("acme", 2), ("library", 1)]
    assert "acme" in ok(command("org", "list"))
    members = answer(command("org", "members", "acme", "--json"))
    assert [(one["name"], one["email"], one["role"], one["teams"]) for one in members] == [
        ("ann", "ann@example.com", "owner", ["owners"]),
        ("bob", "bob@example.com", "member", ["devs"]),
    ]
    assert "bob@example.com" in ok(command("org", "members", "acme"))
    listed = answer(command("team", "list", "acme", "--json"))
    assert [(one["name"], one["description"], one["members"]) for one in listed] == [
        ("devs", "who develops", 1),
        ("owners", "", 1),
    ]
    assert "who develops" in ok(command("team", "list", "acme"))

    ok(command("team", "remove-member", "acme", "devs", "bob"))
    assert "not found" in command("team", "remove-member", "acme", "devs", "bob").stderr
    ok(command("team", "delete", "acme", "DEVS"))
    assert "neither deleted nor renamed" in command("team", "delete", "acme", "owners").stderr
    assert "at least one owner" in command("org", "remove-member", "acme", "ann").stderr
    assert "at least one owner" in command("team", "remove-member", "acme", "owners", "ann").stderr
    ok(command("org", "remove-member", "acme", "bob"))
    assert "not found" in command("org", "remove-member", "acme", "bob").stderr
    assert [one["name"] for one in answer(command("org", "members", "acme", "--json"))] == ["ann"]


def test_an_audit_log(command: Command) -> None:
    ok(command("migrate"))
    for name in ("ann", "bob"):
        ok(command("user", "create", name, "--email", f"{name}@example.com", "--password-stdin", stdin="a password\n"))
    ok(command("org", "create", "acme", "--owner", "ann"))
    ok(command("org", "add-member", "acme", "bob"))
    events = answer(command("audit", "list", "acme", "--json"))
    assert [(event["action"], event["actor"]) for event in events] == [
        ("org.member.add", "homeport"),
        ("org.create", "homeport"),
    ]
    newest, oldest = events
    assert newest["data"] == {"user": "bob", "role": "member"}
    lines = ok(command("audit", "list", "acme")).splitlines()
    assert "added bob to the organization acme as member" in lines[0]
    assert (len(lines), " homeport " in lines[1]) == (2, True)

    def found(*arguments: str) -> list[str]:
        return [event["action"] for event in answer(command("audit", "list", "acme", "--json", *arguments))]

    assert found("--limit", "1") == ["org.member.add"]
    assert found("--action", "org.create", "--name", "acme", "--actor", "homeport") == ["org.create"]
    assert found("--actor", "ann") == []
    assert found("--from", newest["created_at"]) == ["org.member.add"]
    assert found("--to", newest["created_at"]) == ["org.create"]
    assert found("--from", "2020-01-01", "--to", oldest["created_at"]) == []
    assert ok(command("audit", "list", "bob", "--action", "user.create")).count("\n") == 1
    assert ok(command("audit", "list", "bob", "--actor", "nobody")) == "no events\n"
    assert command("audit", "list", "nobody").stderr == "homeport: account nobody not found\n"
    for wrong in (("--limit", "0"), ("--from", "yesterday")):
        assert command("audit", "list", "acme", *wrong).returncode != 0


def test_domains_plans_and_badges(command: Command) -> None:
    ok(command("migrate"))
    ok(command("user", "create", "ann", "--email", "ann@example.com", "--password-stdin", stdin="a password\n"))
    for name in ("acme", "other"):
        ok(command("org", "create", name, "--owner", "ann"))
    assert ok(command("org", "domains", "acme")) == "\n"
    verified = answer(command("org", "verify-domain", "acme", "Example.COM", "--json"))
    assert (verified["domain"], verified["verified_at"] is None) == ("example.com", False)
    assert answer(command("org", "domains", "acme", "--json")) == [verified]
    assert "verified for another organization" in command("org", "verify-domain", "other", "example.com").stderr
    assert answer(command("org", "domains", "other", "--json")) == []
    assert "domain name" in command("org", "verify-domain", "acme", "nothing").stderr

    assert ok(command("account", "plan", "acme", "personal")) == "acme has the plan personal\n"
    limited = {"HOMEPORT_PLANS": '{"personal": {"features": []}}'}
    assert (
        "the plan personal of acme does not include groups"
        in command("team", "create", "acme", "devs", **limited).stderr
    )
    ok(command("account", "plan", "acme", "business"))
    ok(command("team", "create", "acme", "devs", **limited))
    assert "not found" in command("account", "plan", "nobody", "team").stderr
    assert command("account", "plan", "ann", "golden").returncode != 0

    assert ok(command("account", "badge", "ann", "verified_publisher")) == "ann has the badge verified_publisher\n"
    ok(command("account", "badge", "ann", "none"))
    assert "not found" in command("account", "badge", "nobody", "none").stderr
    assert command("account", "badge", "ann", "golden").returncode != 0


def test_the_outbox(command: Command, empty_settings: Settings) -> None:
    ok(command("migrate"))
    assert answer(command("mail", "list", "--json")) == []
    execute(
        empty_settings,
        """insert into mails (recipient, subject, body, created_at, due_at) values
        ('bob@example.com', 'Hello', 'A text with a link', 1767225600000000, 1767225600000000)""",
    )
    execute(
        empty_settings,
        """insert into mails (recipient, subject, body, created_at, last_error) values
        ('eve@example.com', 'Hello', 'A text', 1767225600000000, '550 no such mailbox')""",
    )
    listed = answer(command("mail", "list", "--json"))
    assert [(mail["id"], mail["recipient"], mail["state"]) for mail in listed] == [
        (2, "eve@example.com", "given up"),
        (1, "bob@example.com", "waiting"),
    ]
    assert "body" not in listed[0]
    assert "A text" not in ok(command("mail", "list"))
    assert "A text with a link" in ok(command("mail", "show", "1"))
    assert "550 no such mailbox" in ok(command("mail", "show", "2"))
    assert answer(command("mail", "show", "1", "--json"))["body"] == "A text with a link"
    unknown = command("mail", "show", "3")
    assert (unknown.returncode, unknown.stderr) == (1, "homeport: mail 3 not found\n")


def test_seeding_twice_changes_nothing(command: Command, empty_settings: Settings) -> None:
    first = answer(command("seed", "--json"))
    assert len(first["tags"]) == first["new_tags"] == 8
    assert len(first["passwords"]) == 10
    assert {"demo-owner", "demo-editor", "demo-writer", "demo-reader", "demo-guest"} < set(first["passwords"])
    assert list(first["second_factors"]) == ["demo-elena"]
    assert all(token["secret"].startswith("dckr_pat_") for token in first["access_tokens"])
    everything = all_rows(empty_settings)
    second = answer(command("seed", "--json"))
    assert (second["tags"], second["new_tags"], second["passwords"]) == (first["tags"], 0, {})
    assert (second["second_factors"], second["access_tokens"]) == ({}, [])
    assert all_rows(empty_settings) == everything
    assert len(everything["audit_events"]) > 50
    assert answer(command("fsck", "--json")) == {"errors": 0, "findings": []}


def test_collecting_says_what_it_did(command: Command) -> None:
    ok(command("seed"))
    none = {"manifests": 0, "condemned": 0, "unlinked": 0, "deleted": 0, "discarded": 0}
    assert answer(command("collect", "--json")) == none
    assert "blobs deleted: 0, of bytes discarded: 0" in ok(command("collect"))


def test_secrets_of_the_demo_are_shown_once(command: Command) -> None:
    first = ok(command("seed"))
    for words in ("password of demo-owner: ", "second factor of demo-elena: ", "(repo:read): dckr_pat_"):
        assert words in first
    second = ok(command("seed"))
    assert [word for word in ("password", "second factor", "access token", "dckr_pat_") if word in second] == []


def test_the_demo_has_something_in_every_section(command: Command, empty_settings: Settings) -> None:
    seeded = answer(command("seed", "--json"))
    database = {"HOMEPORT_DATABASE_URL": empty_settings.database_url} if empty_settings.database_url else {}
    with running_server(empty_settings.data, **database) as url, httpx.Client(base_url=url) as client:

        def log_in(name: str, secret: str) -> httpx.Response:
            answered = client.post("/v2/users/login", json={"username": name, "password": secret})
            if answered.status_code == 200:
                client.headers["authorization"] = f"Bearer {answered.json()['token']}"
            return answered

        def get(path: str) -> Any:
            found = client.get(path)
            assert found.status_code == 200, found.text
            return found.json()

        assert log_in("demo-owner", seeded["passwords"]["demo-owner"]).status_code == 200
        members = get("/v2/orgs/demo/members")["results"]
        assert [(member["username"], member["role"]) for member in members] == [
            ("demo-amara", "Editor"),
            ("demo-editor", "Editor"),
            ("demo-elena", "Owner"),
            ("demo-guest", "Member"),
            ("demo-jonas", "Member"),
            ("demo-mei", "Member"),
            ("demo-owner", "Owner"),
            ("demo-reader", "Member"),
            ("demo-writer", "Member"),
        ]
        assert [member["username"] for member in members if member["is_guest"]] == ["demo-guest"]
        assert all("last_seen_at" in member for member in members)
        groups = get("/v2/orgs/demo/groups")["results"]
        assert {group["name"]: group["member_count"] for group in groups} == {
            "frontend": 2,
            "owners": 2,
            "platform": 2,
            "readers": 2,
        }
        invited = get("/v2/orgs/demo/invites")["data"]
        assert [(invite["invitee"], invite["team"], invite["role"]) for invite in invited] == [
            ("demo-invited", "", "member"),
            ("samuel.reyes@example.com", "", "member"),
            ("yuki.mori@example.com", "frontend", "member"),
            ("clara.dubois@studio.example.org", "", "editor"),
        ]
        assert get("/v2/orgs/demo/settings")["restricted_images"]["enabled"] is False
        access = get("/v2/orgs/demo/settings/registry-access-management")
        assert (access["enabled"], len(access["custom_registries"])) == (True, 1)
        actions = {event["action"] for event in get("/v2/auditlogs/demo?page_size=100")["logs"]}
        assert {"org.create", "org.member.add", "org.member.invite.send", "org.settings.update"} <= actions
        assert {"org.team.create", "org.team.grant", "repo.create", "repo.tag.push"} <= actions
        assert [token["token_label"] for token in get("/v2/access-tokens")["results"]] == ["laptop"]
        assert get("/v2/namespaces/demo/repositories/hello/tags")["count"] == 5
        assert get("/v2/namespaces/demo/repositories/secret/tags")["count"] == 1
        assert get("/v2/namespaces/demo-publisher/repositories/base/tags")["count"] == 1
        [badge] = get("/v2/auditlogs/demo-publisher?action=user.badge.change")["logs"]
        assert badge["data"]["badge"] == "verified_publisher"

        half = log_in("demo-elena", seeded["passwords"]["demo-elena"])
        assert (half.status_code, "login_2fa_token" in half.json()) == (401, True)
        for token in seeded["access_tokens"]:
            assert log_in(token["user"], token["secret"]).status_code == 200
            private = client.get("/v2/namespaces/demo/repositories/secret/tags")
            assert private.status_code == (404 if token["scope"] == "repo:public_read" else 200)


def test_a_wrong_setting_stops_every_command(command: Command) -> None:
    done = command("migrate", HOMEPORT_COLOUR="blue")
    assert (done.returncode, "HOMEPORT_COLOUR" in done.stderr) == (2, True)


# What fsck finds: each damage, and the finding that it has to give


def execute(settings: Settings, statement: str) -> None:
    """Damage a row behind Homeport's back, foreign keys or not."""
    if settings.is_sqlite:
        with sqlite3.connect(settings.sqlite_path) as connection:
            connection.execute(statement)
        connection.close()
        return

    async def run() -> None:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute(f"set session_replication_role = replica; {statement}")
        await connection.close()

    asyncio.run(run())


def all_rows(settings: Settings) -> dict[str, list[str]]:
    """The rows of every table, each as text."""
    if settings.is_sqlite:
        with sqlite3.connect(settings.sqlite_path) as connection:
            tables = connection.execute(
                "select name from pragma_table_list where schema = 'main' and name not like 'sqlite%'"
            ).fetchall()
            found = {name: connection.execute(f"select * from {name}").fetchall() for (name,) in tables}
        connection.close()
    else:

        async def run() -> dict[str, list[Any]]:
            connection = await asyncpg.connect(settings.database_url)
            tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            rows = {name: await connection.fetch(f"select * from {name}") for (name,) in tables}
            await connection.close()
            return rows

        found = asyncio.run(run())
    return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def a_blob(settings: Settings) -> Path:
    return max(settings.blobs_path.glob("*/*"), key=lambda path: path.stat().st_size)


def flip(settings: Settings) -> None:
    path = a_blob(settings)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def cut(settings: Settings) -> None:
    path = a_blob(settings)
    path.write_bytes(path.read_bytes()[:-1])


def stray(settings: Settings) -> None:
    (settings.blobs_path / "ab" / f"{'ab' * 16}.sha256-{'0' * 64}").write_bytes(b"stray")


def unreadable(settings: Settings) -> None:
    path = a_blob(settings)
    path.unlink()
    path.symlink_to(path)


DAMAGES: dict[str, tuple[Callable[[Settings], None], str]] = {
    "a file is gone": (lambda settings: a_blob(settings).unlink(), "blob-missing"),
    "a folder is gone": (lambda settings: shutil.rmtree(a_blob(settings).parent), "blob-missing"),
    "a file that cannot be read": (unreadable, "blob-unreadable"),
    "a byte is flipped": (flip, "blob-content"),
    "a file is cut short": (cut, "blob-size"),
    "a file nobody knows": (stray, "object-unknown"),
    "a manifest's bytes": (
        lambda settings: execute(
            settings, "update manifests set digest = replace(digest, 'sha256:', 'sha256:0') where id = 1"
        ),
        "manifest-content",
    ),
    "a manifest's size": (
        lambda settings: execute(settings, "update manifests set size_bytes = 1 where id = 1"),
        "manifest-size",
    ),
    "a tag to nowhere": (
        lambda settings: execute(settings, "update tags set manifest_id = 9999 where id = 1"),
        "tag-manifest",
    ),
    "a tag into another repository": (
        lambda settings: execute(
            settings,
            """update tags set manifest_id = (select max(id) from manifests where repository_id <>
            (select repository_id from tags where id = 1)) where id = 1""",
        ),
        "tag-manifest",
    ),
    "a tag without its history": (
        lambda settings: execute(settings, "delete from tag_moves where name = '1.0'"),
        "tag-history",
    ),
    "a count too many": (
        lambda settings: execute(
            settings, "update tag_stretches set tag_count = tag_count + 1 where ordering = 'name'"
        ),
        "tag-count",
    ),
    "tokens of a search": (
        lambda settings: execute(settings, "update repository_search set tokens = '~public'"),
        "search",
    ),
    "nothing to be found by": (lambda settings: execute(settings, "delete from repository_search"), "search"),
    "a count too few by time": (
        lambda settings: execute(
            settings, "update tag_stretches set tag_count = tag_count - 1 where ordering = 'updated_at'"
        ),
        "tag-stretch",
    ),
    "a count too many by version": (
        lambda settings: execute(
            settings, "update tag_stretches set tag_count = tag_count + 1 where ordering = 'version_key'"
        ),
        "tag-stretch",
    ),
    "a repository's size": (
        lambda settings: execute(settings, "update repositories set storage_bytes = storage_bytes + 1 where id = 1"),
        "repository-size",
    ),
    "a repository's stars": (
        lambda settings: execute(settings, "update repositories set star_count = 1 where id = 1"),
        "repository-stars",
    ),
    "a count of media types": (
        lambda settings: execute(settings, "delete from repository_types where kind = 'media'"),
        "repository-media-types",
    ),
    "a count of content types": (
        lambda settings: execute(settings, "delete from repository_types where kind = 'content'"),
        "repository-content-types",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_fsck_finds(command: Command, empty_settings: Settings, damage: tuple[Callable[[Settings], None], str]) -> None:
    ok(command("seed"))
    ok(command("fsck"))
    harm, kind = damage
    harm(empty_settings)
    done = command("fsck", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert kind in {finding["kind"] for finding in found["findings"]}
    assert found["errors"] == sum(finding["severity"] == "error" for finding in found["findings"])
    if kind == "blob-content":
        assert command("fsck", "--fast").returncode == 0


def test_fsck_warns_of_blobs_that_were_deleted_under_a_manifest(command: Command, empty_settings: Settings) -> None:
    ok(command("seed"))
    # As a delete does it: the repository's size goes with the link.
    execute(
        empty_settings,
        """update repositories set storage_bytes = storage_bytes - (select counted_bytes from repository_blobs
            where repository_id = repositories.id and blob_id = 1)
        where id in (select repository_id from repository_blobs where blob_id = 1)""",
    )
    execute(empty_settings, "delete from repository_blobs where blob_id = 1")
    done = answer(command("fsck", "--json"))
    assert done["errors"] == 0
    assert {finding["kind"] for finding in done["findings"]} == {"manifest-blob"}
