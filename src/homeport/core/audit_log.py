"""Reading an audit log: who may, which part of it, and how an event is told."""

import re
from datetime import datetime, timedelta

import msgspec

from homeport.core.access import Actor, OrganizationAction, check_manager
from homeport.core.audit import TOKEN_LABEL
from homeport.core.audit_actions import sentence
from homeport.core.plans import require_feature
from homeport.errors import AccountUnknown, NotAuthenticated
from homeport.settings import Feature, Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import audit as rows
from homeport.storage.db.audit import Filter
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Account, AuditEvent

_ACTOR_WITH_TOKEN = re.compile(r'(.*?) - access token "(.*)"', re.DOTALL)


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a log shows it. `actor` names the token, too, where one acted; `description` is a sentence."""

    account: str
    action: str
    name: str
    actor: str
    data: dict[str, str]
    created_at: datetime
    description: str


async def list_events(
    tx: Transaction,
    *,
    actor: Actor,
    plans: Plans,
    retention_days: int,
    account: str,
    action: str | None = None,
    name: str | None = None,
    by: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    offset: int = 0,
    limit: int,
) -> list[LoggedEvent]:
    """A part of an account's log, the newest first; all conditions have to hold.

    Args:
        retention_days: how old the oldest event is; 0: as old as there are any.
        action: the whole name of an action.
        name: what it happened to, all of it.
        by: the name of a user, whatever token they used; or, as events show it, a user with one token's label.
        since: the first moment that counts.
        until: the first moment that does not count any more.

    Raises:
        NotAuthenticated, AccountUnknown, TokenNotAllowed, ActionDenied, PlanLacksFeature: as `access_log`.
    """
    found = await access_log(tx, actor, account, plans)
    tx = tx.lists
    by, token = _user_and_token(by)
    conditions = Filter(
        action=action, name=name, actor=by, data_part=token, since=_kept_since(since, retention_days), until=until
    )
    places = await rows.find_page(tx, account_id=found.id, conditions=conditions, offset=offset, limit=limit)
    events = await rows.list_at(tx, places) if places else []
    return [_logged(found.name, event) for event in events]


async def access_log(tx: Transaction, actor: Actor, name: str, plans: Plans) -> Account:
    """The account whose log an actor may read: an organization's owners read it, a user their own, and site
    administrators all. A personal access token reads none, an organization's own its one.

    Raises:
        NotAuthenticated
        AccountUnknown, OrganizationUnknown: there is no such account.
        TokenNotAllowed: this takes a password's session.
        ActionDenied: it is somebody else's.
        PlanLacksFeature: the account's plan does not let it be read; site administrators read it all the same.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    account = await account_rows.get(tx, name.lower())
    if account is None:
        raise AccountUnknown(name)
    await check_manager(tx, actor, account, "the audit log", action=OrganizationAction.READ_LOG)
    if not actor.is_site_admin:
        require_feature(plans, account, Feature.AUDIT_LOGS)
    return account


def _kept_since(since: datetime | None, retention_days: int) -> datetime | None:
    """The first moment that counts. Events that are too old may be there a while longer: they go by the partition."""
    if not retention_days:
        return since
    oldest = utcnow() - timedelta(days=retention_days)
    return oldest if since is None else max(since, oldest)


def _user_and_token(by: str | None) -> tuple[str | None, str | None]:
    """The name of a user, and what the data of an event holds if it was done with a token of some label."""
    found = _ACTOR_WITH_TOKEN.fullmatch(by or "")
    if found is None:
        return by, None
    # A quote within a text is escaped in JSON: these bytes are a key with its value wherever they are found.
    return found[1], msgspec.json.encode({TOKEN_LABEL: found[2]}).decode()[1:-1]


def _logged(account: str, event: AuditEvent) -> LoggedEvent:
    data = msgspec.json.decode(event.data, type=dict[str, str])
    label = data.get(TOKEN_LABEL)
    return LoggedEvent(
        account=account,
        action=event.action,
        name=event.name,
        actor=event.actor if label is None else f'{event.actor} - access token "{label}"',
        data=data,
        created_at=event.created_at,
        description=sentence(event.action, event.name, data),
    )
