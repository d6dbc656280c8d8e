"""`homeport account …`"""

from cyclopts import App

from homeport.cli.output import show
from homeport.cli.running import Data, Json, run
from homeport.core import badges, plans
from homeport.core.access import OPERATOR
from homeport.core.badges import BadgeWord
from homeport.core.services import Services
from homeport.storage.db.records import PlanName

app = App(name="account", help="What users and organizations are given: plans and badges.")


@app.command
def plan(name: str, plan: PlanName, /, *, data: Data = None, json: Json = False) -> None:
    """Give an account a plan; the settings say what it holds."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await plans.set_plan(tx, actor=OPERATOR, name=name, plan=plan)

    run(data, verb)
    show({"name": name, "plan": plan}, f"{name} has the plan {plan}", json=json)


@app.command
def badge(name: str, badge: BadgeWord, /, *, data: Data = None, json: Json = False) -> None:
    """Mark a namespace; none takes the mark away."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await badges.set_badge(tx, actor=OPERATOR, namespace=name, badge=badges.called(badge))

    run(data, verb)
    show({"name": name, "badge": badge}, f"{name} has the badge {badge}", json=json)
