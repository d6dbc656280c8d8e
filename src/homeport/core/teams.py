"""Teams of an organization (the Hub API calls them groups), and what they may do to repositories."""

import re

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction
from homeport.core.plans import check_members, check_teams, require_feature
from homeport.errors import FieldInvalid, RepositoryUnknown, TeamExists, TeamUnknown
from homeport.names import RepositoryName
from homeport.settings import Feature, Plans
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import teams as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Organization, OrganizationRole, Permission, Team

OWNERS_TEAM = "owners"
DESCRIPTION_LENGTH_LIMIT = 255
_NAME = re.compile(r"[a-zA-Z0-9_-]{3,30}")


async def create_team(
    tx: Transaction, *, actor: Actor, organization: str, name: str, description: str = "", plans: Plans
) -> Team:
    """Make a team.

    Raises:
        FieldInvalid: 3 to 30 letters, digits, `_` and `-` make a name.
        TeamExists: also under a name that differs in case only.
        PlanLacksFeature, PlanLimitReached
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    _check(name=name, description=description)
    require_feature(plans, found, Feature.GROUPS)
    await check_teams(tx, plans, found)
    team = await rows.insert(tx, organization_id=found.id, name=name, description=description)
    if team is None:
        raise TeamExists(name)
    await audit.record(tx, actor, AuditAction.ORG_TEAM_CREATE, account_id=found.id, name=found.name, team=team.name)
    return team


async def add_member(tx: Transaction, *, actor: Actor, organization: str, team: str, user: str, plans: Plans) -> None:
    """Add a user to a team; who is no member of the organization becomes one. Adding twice changes nothing.

    Raises:
        TeamUnknown
        AccountUnknown: there is no such user.
        PlanLimitReached: the organization has no room for another member.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    target = await access_team(tx, organization=found, name=team)
    member = await access_user(tx, user)
    await tx.lock("organization", found.id)
    role = OrganizationRole.OWNER if target.name == OWNERS_TEAM else OrganizationRole.MEMBER
    present = await org_rows.get_role(tx, organization_id=found.id, account_id=member.id)
    if present is None:
        await check_members(tx, plans, found)
    if present is None or (role is OrganizationRole.OWNER and present is not role):
        await org_rows.put_member(tx, organization_id=found.id, account_id=member.id, role=role)
        action = AuditAction.ORG_MEMBER_ROLE_CHANGE if present else AuditAction.ORG_MEMBER_ADD
        await audit.record(tx, actor, action, account_id=found.id, name=found.name, user=member.name, role=role)
    if await rows.add_member(tx, team_id=target.id, account_id=member.id):
        await audit.record(
            tx, actor, AuditAction.ORG_TEAM_MEMBER_ADD, account_id=found.id, name=member.name, team=target.name
        )


async def grant(
    tx: Transaction, *, actor: Actor, organization: str, team: str, repository: str, permission: Permission
) -> None:
    """Give a team a permission on a repository of its organization, in place of the one it had.

    Raises:
        TeamUnknown, RepositoryUnknown
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    target = await access_team(tx, organization=found, name=team)
    name = RepositoryName(found.name, repository)
    granted = await repository_rows.get(tx, name, actor_id=None)
    if granted is None:
        raise RepositoryUnknown(name)
    if not await rows.put_permission(tx, team_id=target.id, repository_id=granted.id, permission=permission):
        return
    await audit.record(
        tx,
        actor,
        AuditAction.ORG_TEAM_GRANT,
        account_id=found.id,
        name=found.name,
        team=target.name,
        repository=str(name),
        permission=permission,
    )


async def access_team(tx: Transaction, *, organization: Organization, name: str) -> Team:
    """Raises: TeamUnknown."""
    team = await rows.get(tx, organization_id=organization.id, name=name)
    if team is None:
        raise TeamUnknown(name)
    return team


def _check(*, name: str, description: str) -> None:
    fields = {}
    if not _NAME.fullmatch(name):
        fields["name"] = ["Use 3 to 30 letters, digits, _ and -."]
    if len(description) > DESCRIPTION_LENGTH_LIMIT:
        fields["description"] = [f"At most {DESCRIPTION_LENGTH_LIMIT} characters."]
    if fields:
        raise FieldInvalid(fields, "invalid team")
