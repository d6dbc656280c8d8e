"""What the audit log holds, for tests of the deeds that write into it."""

from typing import Any

import msgspec

from homeport.core.services import Services
from tests.home import Home


class Logged(msgspec.Struct, frozen=True):
    action: str
    name: str
    actor: str
    data: str


def logged(home: Home, account: str) -> list[tuple[str, dict[str, Any]]]:
    """Actions in the log of an account with their data, where they came from left out; the first one first."""
    origin = ("ip_address", "user_agent")
    return [
        (event.action, {key: value for key, value in msgspec.json.decode(event.data).items() if key not in origin})
        for event in events(home, account)
    ]


def events(home: Home, account: str) -> list[Logged]:
    async def verb(services: Services) -> list[Logged]:
        async with services.db.read() as tx:
            return await tx.many(
                Logged,
                """
                select action, audit_events.name, actor, data from audit_events
                join accounts on accounts.id = audit_events.account_id
                where accounts.name = :account order by audit_events.id
                """,
                account=account,
            )

    return home.run(verb)
