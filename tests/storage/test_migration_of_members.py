"""Migration 0003: whoever is a member already is in the directory of their organization from then on."""

import asyncio
from collections.abc import Callable
from typing import Any

import alembic.command
import anyio.from_thread
import msgspec
import pytest

from homeport.settings import Settings
from homeport.storage.db.engine import open_database
from homeport.storage.db.migrate import is_current, migrate
from tests.home import Home, User, running_server
from tests.provisioning import Provisioned
from tests.scim import new_token

MEMBERS = 2500
"""More than the migration writes at once."""


class Entry(msgspec.Struct, frozen=True):
    organization_id: int
    name: str
    user_name: str
    user_name_key: str
    external_id: str | None
    display_name: str | None
    has_ordered_role: bool
    is_shut_out: bool
    created_at: int


class Email(msgspec.Struct, frozen=True):
    account_id: int
    position: int
    value: str
    value_key: str
    is_primary: bool


ACCOUNTS: list[tuple[int, str, str, str | None, bool]] = [
    (1, "acme", "organization", None, False),
    (2, "other", "organization", None, False),
    (3, "ann", "user", "Ann.Lee@Example.com", False),
    (4, "bob", "user", None, False),
    (5, "strasse", "user", "Straße@example.com", False),
    (6, "root", "user", "root@example.com", True),
    (7, "stranger", "user", "stranger@example.com", False),
]
MEMBERSHIPS = [(1, 3, "owner"), (1, 4, "member"), (1, 5, "editor"), (1, 6, "owner"), (2, 3, "owner")]


async def fill(settings: Settings) -> None:
    """What a Homeport of the version before has."""
    db = await open_database(settings)
    try:
        async with db.write() as tx:
            for id_, name, kind, email, is_site_admin in ACCOUNTS:
                await tx.run(
                    """insert into accounts (id, uuid, name, kind, email, is_site_admin, created_at)
                    values (:id, :uuid, :name, :kind, :email, :is_site_admin, 1)""",
                    id=id_,
                    uuid=f"uuid-{id_}",
                    name=name,
                    kind=kind,
                    email=email,
                    is_site_admin=is_site_admin,
                )
            many = [{"id": 100 + number, "name": f"m{number}"} for number in range(MEMBERS)]
            await tx.run_many(
                """insert into accounts (id, uuid, name, kind, email, created_at)
                values (:id, :name, :name, 'user', :name || '@example.com', 1)""",
                many,
            )
            memberships = [*MEMBERSHIPS, *((2, row["id"], "member") for row in many)]
            await tx.run_many(
                """insert into organization_members (organization_id, account_id, account_name, role, created_at)
                select cast(:organization as bigint), id, name, :role, 1000 + id from accounts where id = :account""",
                [{"organization": one, "account": two, "role": role} for one, two, role in memberships],
            )
            await tx.run_many(
                """insert into teams (id, uuid, organization_id, name, description, created_at)
                values (:id, :uuid, :organization, :name, '', 77)""",
                [
                    {"id": 1, "uuid": "t1", "organization": 1, "name": "owners"},
                    {"id": 2, "uuid": "t2", "organization": 1, "name": "Dev-Ops"},
                    {"id": 3, "uuid": "t3", "organization": 2, "name": "owners"},
                ],
            )
            await tx.run_many(
                """insert into team_members (team_id, account_id, account_name, created_at)
                select cast(:team as bigint), id, name, 88 from accounts where id = :account""",
                [{"team": team, "account": account} for team, account in ((1, 3), (1, 6), (2, 4), (2, 6), (3, 3))],
            )
            if not settings.is_sqlite:
                for table in ("accounts", "teams"):
                    await tx.run(f"alter table {table} alter column id restart with 100000")
    finally:
        await db.close()


async def read(settings: Settings, struct: type[msgspec.Struct], sql: str) -> list[Any]:
    db = await open_database(settings)
    try:
        async with db.read() as tx:
            return await tx.many(struct, sql)
    finally:
        await db.close()


@pytest.fixture
def migrated(empty_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    empty_settings.data.mkdir(parents=True)
    upgrade: Callable[..., None] = alembic.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(alembic.command, "upgrade", lambda config, _: upgrade(config, "0002"))
        assert asyncio.run(migrate(empty_settings))
    assert not asyncio.run(is_current(empty_settings))
    asyncio.run(fill(empty_settings))
    assert asyncio.run(migrate(empty_settings))
    assert asyncio.run(is_current(empty_settings))
    return empty_settings


def test_members_are_entered_and_site_administrators_and_strangers_are_not(migrated: Settings) -> None:
    entries = asyncio.run(
        read(
            migrated,
            Entry,
            """select s.organization_id, a.name, s.user_name, s.user_name_key, s.external_id, s.display_name,
            s.has_ordered_role, s.is_shut_out, s.created_at
            from scim_users s join accounts a on a.id = s.account_id where a.id < 100
            order by s.organization_id, a.id""",
        )
    )
    ann = ("Ann.Lee@Example.com", "ann.lee@example.com", None, "ann", False, False, 1003)
    assert entries == [
        Entry(1, "ann", *ann),
        Entry(1, "bob", "bob", "bob", None, "bob", False, False, 1004),
        Entry(1, "strasse", "Straße@example.com", "strasse@example.com", None, "strasse", False, False, 1005),
        Entry(2, "ann", *ann),
    ]
    emails = asyncio.run(
        read(
            migrated,
            Email,
            """select account_id, position, value, value_key, is_primary from scim_emails
            where account_id < 100 and organization_id = 1 order by account_id""",
        )
    )
    assert emails == [
        Email(3, 0, "Ann.Lee@Example.com", "ann.lee@example.com", True),
        Email(5, 0, "Straße@example.com", "strasse@example.com", True),
    ]


def test_a_provider_finds_all_who_were_there_before_it(migrated: Settings) -> None:
    variables = {} if migrated.is_sqlite else {"HOMEPORT_DATABASE_URL": migrated.database_url}
    with running_server(migrated.data, **variables) as url, anyio.from_thread.start_blocking_portal() as portal:
        home = Home(url, migrated, portal)
        provider = Provisioned(home, "acme", User("ann"), new_token(home, "acme"))
        assert provider.names() == ["Ann.Lee@Example.com", "bob", "Straße@example.com"]
        assert provider.names('userName eq "ANN.lee@example.com"') == ["Ann.Lee@Example.com"]
        assert provider.names('userName eq "STRASSE@example.com"') == ["Straße@example.com"]
        groups = provider.get("/Groups").json()["Resources"]
        members = {group["displayName"]: [one["value"] for one in group["members"]] for group in groups}
        assert members == {"owners": ["uuid-3"], "Dev-Ops": ["uuid-4"]}
        assert provider.group_named("DEV-ops")["meta"]["created"].startswith("1970-01-01")
        assert "dockerRole" not in provider.get("/Users").text, "nothing has been ordered"
        other = Provisioned(home, "other", User("ann"), new_token(home, "other"))
        assert other.get("/Users").json()["totalResults"] == MEMBERS + 1
        assert other.names('userName eq "m2400@example.com" and emails.value co "m2400"') == ["m2400@example.com"]
        home.close()
