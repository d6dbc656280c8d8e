"""Teams of an organization (the Hub API calls them groups), and what they may do to repositories."""

import re

from homeport.errors import FieldInvalid, RepositoryUnknown, TeamExists, TeamUnknown
from homeport.names import RepositoryName
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import teams as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, OrganizationRole, Permission, Team

OWNERS_TEAM = "owners"
_NAME = re.compile(r"[a-zA-Z0-9_-]{3,30}")


async def insert_team(tx: Transaction, *, organization: Account, name: str, description: str = "") -> Team:
    """Make a team.

    Raises:
        FieldInvalid: 3 to 30 letters, digits, `_` and `-` make a name.
        TeamExists: also under a name that differs in case only.
    """
    if not _NAME.fullmatch(name):
        raise FieldInvalid({"name": ["Use 3 to 30 letters, digits, _ and -."]}, "invalid team name")
    team = await rows.insert(tx, organization_id=organization.id, name=name, description=description)
    if team is None:
        raise TeamExists(name)
    return team


async def add_member(tx: Transaction, *, organization: Account, team: str, member: Account) -> None:
    """Add a user to a team; who is no member of the organization becomes one.

    Raises:
        TeamUnknown
    """
    found = await access_team(tx, organization=organization, name=team)
    role = OrganizationRole.OWNER if found.name == OWNERS_TEAM else None
    present = await org_rows.get_role(tx, organization_id=organization.id, account_id=member.id)
    if present is None or role is not None:
        await org_rows.put_member(
            tx, organization_id=organization.id, account_id=member.id, role=role or OrganizationRole.MEMBER
        )
    await rows.add_member(tx, team_id=found.id, account_id=member.id)


async def grant(tx: Transaction, *, organization: Account, team: str, repository: str, permission: Permission) -> None:
    """Give a team a permission on a repository of its organization, in place of the one it had.

    Raises:
        TeamUnknown, RepositoryUnknown
    """
    found = await access_team(tx, organization=organization, name=team)
    name = RepositoryName(organization.name, repository)
    target = await repository_rows.get(tx, name, actor_id=None)
    if target is None:
        raise RepositoryUnknown(name)
    await rows.put_permission(tx, team_id=found.id, repository_id=target.id, permission=permission)


async def access_team(tx: Transaction, *, organization: Account, name: str) -> Team:
    """Raises: TeamUnknown."""
    team = await rows.get(tx, organization_id=organization.id, name=name)
    if team is None:
        raise TeamUnknown(name)
    return team
