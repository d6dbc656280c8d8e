"""Teams of an organization (the Hub API calls them groups), and what they may do to repositories."""

import re
from collections.abc import Sequence

import msgspec

from homeport.core import audit, members
from homeport.core.access import Actor, OrganizationAction, access_organization, sees_emails
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction
from homeport.core.plans import check_members, check_teams, require_feature
from homeport.errors import (
    FieldInvalid,
    MemberUnknown,
    PageUnknown,
    RepositoryUnknown,
    TeamExists,
    TeamProtected,
    TeamUnknown,
)
from homeport.names import OWNERS_TEAM, RepositoryName
from homeport.settings import Feature, Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import teams as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Organization, OrganizationRole, Permission, Profile, Team

DESCRIPTION_LENGTH_LIMIT = 255
NAME_LENGTH_LIMIT = 30
_NAME = re.compile(rf"[a-zA-Z0-9_-]{{3,{NAME_LENGTH_LIMIT}}}")


class TeamPage(msgspec.Struct, frozen=True):
    total: int
    teams: Sequence[Team]


class TeamMemberPage(msgspec.Struct, frozen=True):
    total: int
    members: Sequence[Profile]
    shows_emails: bool


async def list_page(
    tx: Transaction, *, actor: Actor, organization: str, part: str = "", user: str = "", page: int, page_size: int
) -> TeamPage:
    """A page of an organization's teams by name; `part` keeps those with it in their names, `user` those of a user.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
        NotAuthenticated, OrganizationUnknown, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_TEAMS)
    tx = tx.lists
    user = user.lower()
    total = await rows.count(tx, organization_id=found.id, part=part, user=user)
    teams = await rows.list_page(
        tx, organization_id=found.id, part=part, user=user, offset=(page - 1) * page_size, limit=page_size
    )
    if page > 1 and not teams:
        raise PageUnknown
    return TeamPage(total, teams)


async def get_team(tx: Transaction, *, actor: Actor, organization: str, name: str) -> Team:
    """One team.

    Raises:
        TeamUnknown
        NotAuthenticated, OrganizationUnknown, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_TEAMS)
    return await access_team(tx, organization=found, name=name)


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
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
    _check(name=name, description=description)
    require_feature(plans, found, Feature.GROUPS)
    await tx.lock("organization", found.id)
    await check_teams(tx, plans, found)
    team = await rows.insert(tx, organization_id=found.id, name=name, description=description)
    if team is None:
        raise TeamExists(name)
    await audit.record(tx, actor, AuditAction.ORG_TEAM_CREATE, account_id=found.id, name=found.name, team=team.name)
    return team


async def update_team(
    tx: Transaction,
    *,
    actor: Actor,
    organization: str,
    team: str,
    name: str | None = None,
    description: str | None = None,
) -> Team:
    """Give a team another name or description; None leaves it as it is. Its id, members and permissions stay.

    Raises:
        TeamUnknown, FieldInvalid
        TeamExists: another team has the name.
        TeamProtected: the owners team keeps its name.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
    await tx.lock("organization", found.id)
    present = await access_team(tx, organization=found, name=team)
    name = present.name if name is None else name
    description = present.description if description is None else description
    if (name, description) == (present.name, present.description):
        return present
    _check(name=name, description=description)
    if name != present.name:
        await _check_name(tx, found, present, name)
    updated = await rows.update(tx, present.id, name=name, description=description)
    assert updated is not None
    data = {"team": present.name, **({"new_name": name} if name != present.name else {})}
    await audit.record(tx, actor, AuditAction.ORG_TEAM_UPDATE, account_id=found.id, name=found.name, **data)
    return updated


async def delete_team(tx: Transaction, *, actor: Actor, organization: str, team: str) -> None:
    """Delete a team with its permissions on repositories. Its members stay in the organization; who is invited to it
    stays invited, to no team.

    Raises:
        TeamUnknown
        TeamProtected: the owners team stays.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
    await tx.lock("organization", found.id)
    target = await access_team(tx, organization=found, name=team)
    if is_owners(target):
        raise TeamProtected(target.name)
    await rows.delete(tx, target.id)
    await audit.record(tx, actor, AuditAction.ORG_TEAM_DELETE, account_id=found.id, name=found.name, team=target.name)


async def list_members(
    tx: Transaction, *, actor: Actor, organization: str, team: str, part: str = "", page: int, page_size: int
) -> TeamMemberPage:
    """A page of a team's members by name; `part` keeps those with it in what the actor may see of their names and
    addresses.

    Raises:
        TeamUnknown
        PageUnknown: there is no such page; the first one is there even when it is empty.
        NotAuthenticated, OrganizationUnknown, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_TEAMS)
    target = await access_team(tx, organization=found, name=team)
    tx = tx.lists
    shows_emails = sees_emails(actor, found)
    total = await rows.count_members(tx, team_id=target.id, part=part, searches_emails=shows_emails)
    profiles = await rows.list_members(
        tx,
        team_id=target.id,
        part=part,
        searches_emails=shows_emails,
        offset=(page - 1) * page_size,
        limit=page_size,
    )
    if page > 1 and not profiles:
        raise PageUnknown
    return TeamMemberPage(total, profiles, shows_emails)


async def add_member(tx: Transaction, *, actor: Actor, organization: str, team: str, user: str, plans: Plans) -> None:
    """Add a member of the organization to a team; who joins the owners team becomes an owner. Adding twice changes
    nothing.

    Others are invited first: what an organization demands of its members (single sign-on, restricted images) must not
    come over somebody who has never agreed. Site administrators may add anybody.

    Raises:
        TeamUnknown
        AccountUnknown: there is no such user.
        MemberUnknown: the user is not in the organization.
        PlanLimitReached: the organization has no room for another member.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
    await tx.lock("organization", found.id)
    target = await access_team(tx, organization=found, name=team)
    member = await access_user(tx, user.lower())
    present = await member_rows.get_role(tx, organization_id=found.id, account_id=member.id)
    if present is None:
        if not actor.is_site_admin:
            raise MemberUnknown(member.name, found.name)
        await check_members(tx, plans, found)
    if is_owners(target) or present is None:
        role = OrganizationRole.OWNER if is_owners(target) else OrganizationRole.MEMBER
        await members.put_role(tx, actor=actor, organization=found, account_id=member.id, user=member.name, role=role)
    if await rows.add_member(tx, team_id=target.id, account_id=member.id):
        await audit.record(
            tx, actor, AuditAction.ORG_TEAM_MEMBER_ADD, account_id=found.id, name=member.name, team=target.name
        )


async def remove_member(tx: Transaction, *, actor: Actor, organization: str, team: str, user: str) -> None:
    """Remove a user from a team. They stay in the organization; who leaves the owners team is a member from now on.

    Raises:
        TeamUnknown
        MemberUnknown: the user is not in the team.
        LastOwner: they are the only owner.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
    await tx.lock("organization", found.id)
    target = await access_team(tx, organization=found, name=team)
    member = await account_rows.get(tx, user.lower())
    if member is None or not await rows.remove_member(tx, team_id=target.id, account_id=member.id):
        raise MemberUnknown(user, f"team {target.name}")
    if is_owners(target):
        await members.put_role(
            tx,
            actor=actor,
            organization=found,
            account_id=member.id,
            user=member.name,
            role=OrganizationRole.MEMBER,
        )
        return
    await audit.record(
        tx, actor, AuditAction.ORG_TEAM_MEMBER_REMOVE, account_id=found.id, name=member.name, team=target.name
    )


async def grant(
    tx: Transaction, *, actor: Actor, organization: str, team: str, repository: str, permission: Permission
) -> None:
    """Give a team a permission on a repository of its organization, in place of the one it had.

    Raises:
        TeamUnknown, RepositoryUnknown
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_TEAMS)
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


def is_owners(team: Team) -> bool:
    """Whether this is the team that makes owners."""
    return team.name == OWNERS_TEAM


async def _check_name(tx: Transaction, organization: Organization, team: Team, name: str) -> None:
    """Whether a team may take another name; the caller holds the organization's lock.

    Raises:
        TeamProtected, TeamExists
    """
    if is_owners(team):
        raise TeamProtected(team.name)
    other = await rows.get(tx, organization_id=organization.id, name=name)
    if other is not None and other.id != team.id:
        raise TeamExists(name)


def _check(*, name: str, description: str) -> None:
    fields = {}
    if not _NAME.fullmatch(name):
        fields["name"] = ["Use 3 to 30 letters, digits, _ and -."]
    if len(description) > DESCRIPTION_LENGTH_LIMIT:
        fields["description"] = [f"At most {DESCRIPTION_LENGTH_LIMIT} characters."]
    if fields:
        raise FieldInvalid(fields, "invalid team")
