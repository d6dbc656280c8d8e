"""`homeport org …`"""

from cyclopts import App

from homeport.cli.output import show
from homeport.cli.running import Data, Json, run
from homeport.core import orgs
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import Account, OrganizationRole

app = App(name="org", help="Organizations and their members.")


@app.command
def create(name: str, /, *, owner: str, data: Data = None, json: Json = False) -> None:
    """Make an organization with its first owner."""

    async def verb(services: Services) -> Account:
        async with services.db.write() as tx:
            return await orgs.create_organization(tx, actor=OPERATOR, name=name, owner=owner)

    organization = run(data, verb)
    shown = {"uuid": organization.uuid, "name": organization.name, "owner": owner}
    show(shown, f"made organization {name} with owner {owner}", json=json)


@app.command
def add_member(
    organization: str,
    user: str,
    /,
    *,
    role: OrganizationRole = OrganizationRole.MEMBER,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add a member, or change the role of one."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await orgs.add_member(
                tx, actor=OPERATOR, organization=organization, user=user, role=role, plans=services.settings.plans
            )

    run(data, verb)
    shown = {"organization": organization, "user": user, "role": role}
    show(shown, f"{user} is {role} of {organization}", json=json)
