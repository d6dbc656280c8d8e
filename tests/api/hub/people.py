"""What the tests of members and groups arrange by SQL, because no route does: invites, domains, many accounts."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from homeport.core.services import Services
from homeport.storage.db.database import utcnow
from tests.home import Home, User, unique


class LoggedEvent(msgspec.Struct, frozen=True):
    action: str
    name: str
    actor: str
    data: str

    def __str__(self) -> str:
        data = msgspec.json.decode(self.data)
        words = [f"{key}={data[key]}" for key in sorted(data) if key not in ("ip_address", "user_agent")]
        return " ".join([self.action, self.name, *words])


def execute(home: Home, sql: str, **parameters: Any) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(sql, **parameters)

    home.run(verb)


def value(home: Home, sql: str, **parameters: Any) -> int:
    async def verb(services: Services) -> int:
        async with services.db.read() as tx:
            return await tx.value(int, sql, **parameters) or 0

    return home.run(verb)


def account_id(home: Home, name: str) -> int:
    return value(home, "select id from accounts where name = :name", name=name)


def events(home: Home, organization: str, *, after: int = 0) -> list[str]:
    """The audit log of an organization, the oldest first, without the first `after` events."""

    async def verb(services: Services) -> list[LoggedEvent]:
        async with services.db.read() as tx:
            return await tx.many(
                LoggedEvent,
                """
                select action, audit_events.name, actor, data from audit_events
                join accounts on accounts.id = account_id where accounts.name = :name order by audit_events.id
                """,
                name=organization,
            )

    return [str(event) for event in home.run(verb)][after:]


def person(home: Home, *, full_name: str = "", email: str = "") -> User:
    """A user of whom more than the name is known."""
    user = home.user()
    execute(
        home,
        "update accounts set full_name = :full_name, email = coalesce(:email, email) where name = :name",
        name=user.name,
        full_name=full_name,
        email=email or None,
    )
    return user


def invite(
    home: Home,
    organization: str,
    email: str | None,
    *,
    account: User | None = None,
    team: str = "",
    status: str = "pending",
    expires_at: datetime | None = None,
) -> str:
    """An invite, as it lies in the database; its id."""
    id_ = str(uuid4())
    execute(
        home,
        """
        insert into invites (id, organization_id, invitee, account_id, email, team_id, role, inviter_id,
            secret_sha256, status, created_at, sent_at, expires_at)
        values (
            :id, (select id from accounts where name = :organization), :invitee,
            (select id from accounts where name = :account), :email,
            (select teams.id from teams join accounts on accounts.id = organization_id
                where accounts.name = :organization and teams.name = :team),
            'member', (select id from accounts where name = 'admin'), :id, :status, :now, :now, :expires_at
        )
        """,
        id=id_,
        organization=organization,
        email=email,
        invitee=email or (account.name if account else ""),
        account=account.name if account else None,
        team=team,
        status=status,
        now=utcnow(),
        expires_at=expires_at or utcnow() + timedelta(days=7),
    )
    return id_


def verified_domain(home: Home, organization: str, name: str, *, is_verified: bool = True) -> None:
    execute(
        home,
        """
        insert into organization_domains (organization_id, name, created_at, verified_at)
        values ((select id from accounts where name = :organization), :name, :now, :verified_at)
        """,
        organization=organization,
        name=name,
        now=utcnow(),
        verified_at=utcnow() if is_verified else None,
    )


def many_members(home: Home, organization: str, number: int, *, team: str = "") -> list[str]:
    """Accounts that cannot log in, as members of an organization and a team; their names in byte order."""
    prefix = unique("many")
    execute(
        home,
        """
        insert into accounts (uuid, name, kind, email, full_name, created_at)
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < cast(:number as bigint))
        select cast(:prefix as text) || '-' || n, cast(:prefix as text) || '-' || n, 'user',
            cast(:prefix as text) || '-' || n || '@example.com', 'Number ' || n, cast(:now as bigint)
        from numbers
        """,
        prefix=prefix,
        number=number,
        now=utcnow(),
    )
    execute(
        home,
        """
        insert into organization_members (organization_id, account_id, account_name, role, created_at)
        select (select id from accounts where name = :organization), id, name, 'member', created_at
        from accounts where name >= :first and name < :last
        """,
        organization=organization,
        first=f"{prefix}-",
        last=f"{prefix}.",
    )
    if team:
        execute(
            home,
            """
            insert into team_members (team_id, account_id, account_name, created_at)
            select (
                select teams.id from teams join accounts on accounts.id = organization_id
                where accounts.name = :organization and teams.name = :team
            ), id, name, created_at
            from accounts where name >= :first and name < :last
            """,
            organization=organization,
            team=team,
            first=f"{prefix}-",
            last=f"{prefix}.",
        )
    return sorted(f"{prefix}-{n}" for n in range(1, number + 1))
