"""Who is active: logins with their failures, and when somebody was seen last. Gathered behind the requests.

A request appends in memory; `fold` writes what has gathered in one transaction, every two seconds. So no request waits
for it, a wrong password takes as long for a name that is known as for one that is not, and a log that cannot be
written keeps nobody out. A login by password is no such hurry: it writes its event itself (`logins.py`).
"""

import re
import time
from collections import OrderedDict, deque
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from homeport.core import audit
from homeport.core.access import Actor
from homeport.core.audit import AuditAction
from homeport.storage.db import accounts as rows
from homeport.storage.db import audit as audit_rows
from homeport.storage.db.audit import NewEvent
from homeport.storage.db.database import Database, utcnow
from homeport.storage.db.records import AccessToken, Account

TOLD_EVERY_S = 3600
"""A pipeline logs in thousands of times a day: of what repeats itself, one event in this time is enough."""

TOLD_LIMIT = 20_000
EVENTS_LIMIT = 10_000
"""Events that wait for the next fold; if the database is away for long, the oldest are lost."""

_DESKTOP = re.compile(r"\bdocker-desktop/(\d[\w.+-]{0,63})", re.IGNORECASE | re.ASCII)


class Door(StrEnum):
    HUB = "hub"
    REGISTRY = "registry"


class Method(StrEnum):
    """By what somebody has shown, or has failed to show, who they are."""

    PASSWORD = "password"  # noqa: S105 - a word of the log
    ACCESS_TOKEN = "access token"  # noqa: S105 - a word of the log
    SECOND_FACTOR = "second factor"
    RECOVERY_CODE = "recovery code"
    DEVICE_CODE = "device code"


class Visit(msgspec.Struct, frozen=True):
    """Where a login comes from."""

    door: Door
    address: str
    user_agent: str


def login(account: Account, visit: Visit, method: Method, *, token: AccessToken | None = None) -> NewEvent:
    """The event of a login."""
    return _event(AuditAction.USER_LOGIN, account, visit, token, method=method)


def failed_login(account: Account, visit: Visit, method: Method, *, reason: str) -> NewEvent:
    """The event of a login that failed."""
    return _event(AuditAction.USER_LOGIN_FAILED, account, visit, None, method=method, reason=reason)


def _event(action: AuditAction, account: Account, visit: Visit, token: AccessToken | None, **data: str) -> NewEvent:
    actor = Actor(name=account.name, token=token, address=visit.address, user_agent=visit.user_agent)
    event = audit.Event(action=action, account_id=account.id, name=account.name, data={"door": visit.door, **data})
    return audit.new_event(actor, event, at=utcnow())


class ActivityLog:
    """What has gathered since the last fold; one for a process."""

    def __init__(self) -> None:
        self._seen: dict[int, datetime] = {}
        self._logged_in: dict[int, datetime] = {}
        self._desktops: dict[int, str] = {}
        self._events: deque[NewEvent] = deque(maxlen=EVENTS_LIMIT)
        self._told: OrderedDict[Any, float] = OrderedDict()

    def seen(self, account_id: int) -> None:
        self._seen[account_id] = utcnow()

    def logged_in(self, account_id: int, user_agent: str) -> None:
        self._seen[account_id] = self._logged_in[account_id] = utcnow()
        if match := _DESKTOP.search(user_agent):
            self._desktops[account_id] = match[1]

    def tell(self, event: NewEvent) -> None:
        """Have an event written with the next fold."""
        self._events.append(event)

    def is_due(self, key: Any) -> bool:
        """Whether an event of this key is to be told of: one in an hour is enough."""
        now = time.monotonic()
        if now - self._told.get(key, -TOLD_EVERY_S) < TOLD_EVERY_S:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > TOLD_LIMIT:
            self._told.popitem(last=False)
        return True

    async def fold(self, db: Database) -> None:
        """Write what has gathered; it is kept for the next time if that fails."""
        if not (self._seen or self._events):
            return
        seen, self._seen = self._seen, {}
        logged_in, self._logged_in = self._logged_in, {}
        desktops, self._desktops = self._desktops, {}
        events, self._events = self._events, deque(maxlen=EVENTS_LIMIT)
        try:
            async with db.write() as tx:
                # Processes take turns: each touches rows of accounts in an order of its own.
                await tx.lock("activity", 0)
                await rows.set_last_seen(tx, seen)
                await rows.set_last_logged_in(tx, logged_in)
                await rows.set_last_desktop_version(tx, desktops)
                await audit_rows.insert_all(tx, list(events))
        except BaseException:
            self._seen = seen | self._seen
            self._logged_in = logged_in | self._logged_in
            self._desktops = desktops | self._desktops
            self._events = deque([*events, *self._events], maxlen=EVENTS_LIMIT)
            raise
