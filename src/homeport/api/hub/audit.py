"""Docker Hub API §Audit logs: what happened in an account, and what such a log can be filtered by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.hub.errors import AUDIT_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Query, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp
from homeport.core import audit_log
from homeport.core.audit_actions import CATALOGUE, CatalogueGroup
from homeport.core.audit_log import LoggedEvent
from homeport.core.services import Services
from homeport.errors import FieldInvalid

PAGE_SIZE = 25
_PERMISSION = (
    "Owners of the organization, or the user whose log it is; site administrators. "
    "Not with a token that was made from a personal access token."
)
_ERRORS = (401, 403, 404)

_FILTERS = (
    Query("action", "Only this action, by its whole name: `repo.tag.push`."),
    Query("name", "Only what happened to this: a repository as `namespace/name`, an organization, or a user."),
    Query(
        "actor",
        "Only what this user did, with a token or without. With the label of a token, as events show it "
        '(`ann - access token "CI"`), only what was done with tokens of that label.',
    ),
    Query("from", "Only events of this time (RFC 3339) and later.", datetime),
    Query("to", "Only events before this time (RFC 3339), not those of it.", datetime),
)


class AuditLog(msgspec.Struct):
    """One thing that happened."""

    account: Annotated[str, Meta(description="The account in whose log it stands.", examples=["acme"])]
    action: Annotated[str, Meta(description="Group and name of the action.", examples=["repo.tag.push"])]
    name: Annotated[str, Meta(description="What it happened to.", examples=["acme/app"])]
    actor: Annotated[
        str,
        Meta(
            description="Who did it, and with which token; empty for nobody.",
            examples=["ann", 'ann - access token "CI"'],
        ),
    ]
    data: Annotated[
        Mapping[str, str],
        Meta(
            description="What else is known of it: `ip_address`, `user_agent` and the id of the token where they are, "
            "and what the action has of its own.",
            examples=[{"tag": "latest", "ip_address": "192.0.2.7"}],
        ),
    ]
    timestamp: Annotated[str, Meta(description="When it happened.", examples=["2026-02-19T01:34:35.000000Z"])]
    action_description: Annotated[
        str,
        Meta(
            description="The same as a sentence without its subject.",
            examples=["pushed the tag latest with the digest sha256:c1ae9c435032a to the repository acme/app"],
        ),
    ]

    @classmethod
    def of(cls, event: LoggedEvent) -> "AuditLog":
        return cls(
            account=event.account,
            action=event.action,
            name=event.name,
            actor=event.actor,
            data=event.data,
            timestamp=timestamp(event.created_at),
            action_description=event.description,
        )


class AuditLogs(msgspec.Struct):
    logs: Annotated[Sequence[AuditLog], Meta(description="Events, the newest first; none behind the last page.")]


class AuditLogAction(msgspec.Struct):
    """An action, without the group that it stands in."""

    name: Annotated[str, Meta(examples=["tag.push"])]
    description: str
    label: Annotated[str, Meta(examples=["Tag Pushed"])]


class AuditLogActions(msgspec.Struct):
    """A group of actions."""

    actions: Sequence[AuditLogAction]
    label: Annotated[str, Meta(examples=["Repository"])]

    @classmethod
    def of(cls, group: CatalogueGroup) -> "AuditLogActions":
        actions = [AuditLogAction(action.name, action.description, action.label) for action in group.actions]
        return cls(actions, group.label)


class AuditActionsAnswer(msgspec.Struct):
    actions: Annotated[
        Mapping[str, AuditLogActions],
        Meta(description="Groups by their names. The filter `action` takes `group.name`."),
    ]


@get(
    "/v2/auditlogs/{account:str}",
    **reference(
        Section.AUDIT_LOGS,
        permission=_PERMISSION,
        errors=_ERRORS,
        query=(*_FILTERS, *PAGES),
        opened_by="scope-activity-read",
    ),
)
async def list_audit_logs(
    account: FromPath[str],
    request: HubRequest,
    services: NamedDependency[Services],
) -> AuditLogs:
    """What happened in an organization or to a user, the newest first.

    All filters have to hold, and each compares the whole text. A page holds 25 events unless `page_size` says
    otherwise, and 100 at most; behind the last page there are empty ones. Events that happen meanwhile push older ones
    onto later pages: give `to` to have pages that stay. Events are kept for as long as the setting
    `audit_retention_days` says.
    """
    page = Page.of(request, default_size=PAGE_SIZE)
    since, until = _moment(request, "from"), _moment(request, "to")
    # A deep page, or two filters at once, may walk over many events.
    async with services.db.read(scan=True) as tx:
        events = await audit_log.list_events(
            tx,
            actor=request.actor,
            plans=services.settings.plans,
            retention_days=services.settings.audit_retention_days,
            account=account,
            action=request.parameter("action") or None,
            name=request.parameter("name") or None,
            by=request.parameter("actor") or None,
            since=since,
            until=until,
            offset=page.offset,
            limit=page.size,
        )
    return AuditLogs([AuditLog.of(event) for event in events])


@get(
    "/v2/auditlogs/{account:str}/actions",
    **reference(Section.AUDIT_LOGS, permission=_PERMISSION, errors=_ERRORS, opened_by="scope-activity-read"),
)
async def list_audit_actions(
    account: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> AuditActionsAnswer:
    """The actions that a log can be filtered by, in groups.

    The list is the same for every account, and has actions that this hub never takes: clients know them from Docker
    Hub. The group `user` is this hub's own.
    """
    async with services.db.read() as tx:
        await audit_log.access_log(tx, request.actor, account, services.settings.plans)
    return _ACTIONS


_ACTIONS = AuditActionsAnswer({name: AuditLogActions.of(group) for name, group in CATALOGUE.items()})


def _moment(request: HubRequest, parameter: str) -> datetime | None:
    """Raises: FieldInvalid."""
    text = request.parameter(parameter)
    if not text:
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        reason = "Must be an RFC 3339 time with its zone, e.g. 2026-01-31T12:00:00Z."
        raise FieldInvalid({parameter: [reason]}, f"invalid {parameter}")
    return moment


router = Router(
    "/",
    route_handlers=[list_audit_logs, list_audit_actions],
    exception_handlers=renderers(AUDIT_ERRORS),
)
