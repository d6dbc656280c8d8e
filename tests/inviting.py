"""What tests of invites arrange: an organization with an owner who invites, and the mails that this makes."""

import re
from typing import Any, NamedTuple, TypeVar

import httpx

from homeport.core.services import Services
from homeport.storage.db.records import Mail, OrganizationRole
from tests.home import Home, User, unique

T = TypeVar("T")
LINK = re.compile(r"^https?://\S+/invites/(?P<id>\S+)\?token=(?P<token>\S+)$", re.MULTILINE)


class Link(NamedTuple):
    url: str
    id: str
    token: str


class Inviting(NamedTuple):
    """An organization, and its owner with a client."""

    home: Home
    owner: User
    organization: str
    client: httpx.Client

    @classmethod
    def of(cls, home: Home) -> "Inviting":
        owner = home.user("owner")
        return cls(home, owner, home.organization(owner), home.hub(owner))

    def bulk(self, *invitees: str, **fields: Any) -> httpx.Response:
        return self.client.post("/v2/invites/bulk", json={"org": self.organization, "invitees": invitees, **fields})

    def invite(self, invitee: str, **fields: Any) -> dict[str, Any]:
        """Invite one; the invite."""
        answer = self.bulk(invitee, **fields)
        assert answer.status_code == 202, answer.text
        invited: dict[str, Any] = answer.json()["invitees"][0]["invite"]
        return invited

    def team(self) -> str:
        name = unique("team")
        run(
            self.home,
            """insert into teams (uuid, organization_id, name, description, created_at)
            select :name, id, :name, '', 1 from accounts where name = :organization""",
            name=name,
            organization=self.organization,
        )
        return name

    def pending(self) -> list[dict[str, Any]]:
        answer = self.client.get(f"/v2/orgs/{self.organization}/invites")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def role_of(self, user: str) -> OrganizationRole | None:
        return value_or_none(
            self.home,
            OrganizationRole,
            """select role from organization_members where account_id = (select id from accounts where name = :user)
            and organization_id = (select id from accounts where name = :organization)""",
            user=user,
            organization=self.organization,
        )

    def teams_of(self, user: str) -> str | None:
        """The names of a user's teams in the organization, with commas."""
        return value_or_none(
            self.home,
            str,
            f"""select {"group_concat(name, ',')" if self.home.settings.is_sqlite else "string_agg(name, ',')"}
            from (select teams.name from team_members join teams on teams.id = team_id
            join accounts on accounts.id = account_id where accounts.name = :user
            and organization_id = (select id from accounts where name = :organization) order by 1) as found""",
            user=user,
            organization=self.organization,
        )

    def events(self) -> list[tuple[str, str, str]]:
        """What the log of the organization has been told since its making: action, name, actor."""

        async def verb(services: Services) -> int:
            async with services.db.read() as tx:
                return (
                    await tx.value(
                        int,
                        """select count(*) from audit_events where account_id =
                        (select id from accounts where name = :name)""",
                        name=self.organization,
                    )
                    or 0
                )

        found = []
        for offset in range(self.home.run(verb)):
            text = value(
                self.home,
                str,
                """select action || ' ' || name || ' ' || actor from audit_events where account_id =
                (select id from accounts where name = :name) order by id limit 1 offset :offset""",
                name=self.organization,
                offset=offset,
            )
            action, name, actor = (text or "").split(" ")
            found.append((action, name, actor))
        return found


def run(home: Home, sql: str, **parameters: Any) -> None:
    """Change rows behind Homeport's back."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(sql, **parameters)

    home.run(verb)


def value(home: Home, type_: type[T], sql: str, **parameters: Any) -> T:
    """The one value that a statement gives."""
    found = value_or_none(home, type_, sql, **parameters)
    assert found is not None
    return found


def value_or_none(home: Home, type_: type[T], sql: str, **parameters: Any) -> T | None:
    async def verb(services: Services) -> T | None:
        async with services.db.read() as tx:
            return await tx.value(type_, sql, **parameters)

    return home.run(verb)


def age(home: Home, invite_id: str, *, seconds: int) -> None:
    """Have an invite be so many seconds older."""
    run(
        home,
        "update invites set sent_at = sent_at - :past, expires_at = expires_at - :past where id = :id",
        id=invite_id,
        past=seconds * 1_000_000,
    )


def expire(home: Home, invite_id: str) -> None:
    age(home, invite_id, seconds=30 * 24 * 3600 + 1)


def mails_to(home: Home, address: str) -> list[Mail]:
    """The mails to an address, the oldest first."""

    async def verb(services: Services) -> list[Mail]:
        async with services.db.read() as tx:
            return await tx.many(
                Mail,
                """select id, recipient, subject, body, created_at, due_at, attempts, last_error, sent_at
                from mails where recipient = :address order by id""",
                address=address,
            )

    return home.run(verb)


def link_in(text: str) -> Link:
    match = LINK.search(text)
    assert match is not None, text
    return Link(match[0], match["id"], match["token"])


def last_link(home: Home, address: str) -> Link:
    """The link in the last mail to an address."""
    return link_in(mails_to(home, address)[-1].body)


def an_address() -> str:
    return f"{unique('guest')}@example.com"
