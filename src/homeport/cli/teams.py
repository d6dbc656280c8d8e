"""`homeport team …`"""

import itertools

from cyclopts import App

from homeport.cli.output import show
from homeport.cli.running import Data, Json, run
from homeport.core import teams
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import Permission, Team

PAGE_SIZE = 100

app = App(name="team", help="Teams of an organization, and what they may do.")


@app.command
def create(organization: str, team: str, /, *, description: str = "", data: Data = None, json: Json = False) -> None:
    """Make a team."""

    async def verb(services: Services) -> Team:
        async with services.db.write() as tx:
            return await teams.create_team(
                tx,
                actor=OPERATOR,
                organization=organization,
                name=team,
                description=description,
                plans=services.settings.plans,
            )

    made = run(data, verb)
    shown = {"uuid": made.uuid, "id": made.id, "organization": organization, "name": made.name}
    show(shown, f"made team {team} of {organization}", json=json)


@app.command(name="list")
def list_(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """List the teams of an organization."""

    async def verb(services: Services) -> list[Team]:
        found: list[Team] = []
        for page in itertools.count(1):
            async with services.db.read() as tx:
                listed = await teams.list_page(
                    tx, actor=OPERATOR, organization=organization, page=page, page_size=PAGE_SIZE
                )
            found += listed.teams
            if len(listed.teams) < PAGE_SIZE or len(found) == listed.total:
                break
        return found

    found = run(data, verb)
    shown = [
        {
            "uuid": team.uuid,
            "id": team.id,
            "name": team.name,
            "description": team.description,
            "members": team.member_count,
        }
        for team in found
    ]
    lines = [f"{team.name:<30} {team.member_count:>7} members  {team.description}" for team in found]
    show(shown, "\n".join(lines), json=json)


@app.command
def delete(organization: str, team: str, /, *, data: Data = None, json: Json = False) -> None:
    """Delete a team with its permissions; its members stay in the organization."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.delete_team(tx, actor=OPERATOR, organization=organization, team=team)

    run(data, verb)
    show({"organization": organization, "team": team}, f"deleted team {team} of {organization}", json=json)


@app.command
def add_member(organization: str, team: str, user: str, /, *, data: Data = None, json: Json = False) -> None:
    """Add a user to a team; who is not in the organization yet becomes a member."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.add_member(
                tx, actor=OPERATOR, organization=organization, team=team, user=user, plans=services.settings.plans
            )

    run(data, verb)
    show({"organization": organization, "team": team, "user": user}, f"{user} is in {team}", json=json)


@app.command
def remove_member(organization: str, team: str, user: str, /, *, data: Data = None, json: Json = False) -> None:
    """Remove a user from a team; from the owners team, they become a plain member."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.remove_member(tx, actor=OPERATOR, organization=organization, team=team, user=user)

    run(data, verb)
    show({"organization": organization, "team": team, "user": user}, f"{user} is not in {team}", json=json)


@app.command
def grant(
    organization: str,
    team: str,
    repository: str,
    permission: Permission,
    /,
    *,
    data: Data = None,
    json: Json = False,
) -> None:
    """Give a team read, write or admin on a repository of its organization."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await teams.grant(
                tx,
                actor=OPERATOR,
                organization=organization,
                team=team,
                repository=repository,
                permission=permission,
            )

    run(data, verb)
    shown = {"organization": organization, "team": team, "repository": repository, "permission": permission}
    show(shown, f"{team} has {permission} on {organization}/{repository}", json=json)
