"""`homeport audit …`"""

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from homeport.cli.output import show, when
from homeport.cli.running import Data, Json, run
from homeport.core import audit_log
from homeport.core.access import OPERATOR
from homeport.core.audit_log import LoggedEvent
from homeport.core.services import Services

app = App(name="audit", help="What happened in an account.")

From = Annotated[datetime | None, Parameter(name="--from", help="The first moment that counts; UTC unless said.")]
To = Annotated[datetime | None, Parameter(name="--to", help="The first moment that does not count any more.")]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=10_000), help="At most so many events.")]


@app.command(name="list")
def list_(
    account: str,
    /,
    *,
    action: str | None = None,
    actor: str | None = None,
    name: str | None = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """List the newest events of an organization or a user; filters compare whole texts."""

    async def verb(services: Services) -> list[LoggedEvent]:
        async with services.db.read(scan=True) as tx:
            return await audit_log.list_events(
                tx,
                actor=OPERATOR,
                plans=services.settings.plans,
                retention_days=services.settings.audit_retention_days,
                account=account,
                action=action,
                name=name,
                by=actor,
                since=_in_utc(from_),
                until=_in_utc(to),
                limit=limit,
            )

    events = run(data, verb)
    lines = [f"{when(event.created_at)}  {event.actor or '-':<20} {event.description}" for event in events]
    show(events, "\n".join(lines) or "no events", json=json)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
