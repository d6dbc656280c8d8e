"""Organizations and their members."""

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction
from homeport.core.plans import check_members
from homeport.core.teams import OWNERS_TEAM
from homeport.errors import AccountExists, LastOwner
from homeport.names import AccountName
from homeport.settings import Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import orgs as rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, AccountKind, Badge, OrganizationRole


async def create_organization(
    tx: Transaction, *, actor: Actor, name: str, owner: str, badge: Badge = Badge.NONE
) -> Account:
    """Make an organization with its owners team and its first owner.

    Raises:
        AccountNameInvalid, AccountExists
        AccountUnknown: there is no user `owner`.
    """
    first_owner = await access_user(tx, owner)
    organization = await account_rows.insert(
        tx, name=AccountName.parse(name), kind=AccountKind.ORGANIZATION, badge=badge
    )
    if organization is None:
        raise AccountExists(f"the name {name}")
    await audit.record(tx, actor, AuditAction.ORG_CREATE, account_id=organization.id, name=organization.name)
    await team_rows.insert(tx, organization_id=organization.id, name=OWNERS_TEAM, description="")
    await put_role(tx, organization.id, first_owner.id, OrganizationRole.OWNER)
    return organization


async def add_member(
    tx: Transaction, *, actor: Actor, organization: str, user: str, role: OrganizationRole, plans: Plans
) -> None:
    """Add a member, or change the role of one.

    Raises:
        AccountUnknown: there is no such user.
        LastOwner: the role would leave the organization without an owner.
        PlanLimitReached: there is no room for another member.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    member = await access_user(tx, user)
    await tx.lock("organization", found.id)
    present = await rows.get_role(tx, organization_id=found.id, account_id=member.id)
    if present is role:
        return
    if present is None:
        await check_members(tx, plans, found)
    if present is OrganizationRole.OWNER:
        await _leave_owners(tx, found.id, found.name, member.id)
    await put_role(tx, found.id, member.id, role)
    action = AuditAction.ORG_MEMBER_ROLE_CHANGE if present else AuditAction.ORG_MEMBER_ADD
    await audit.record(tx, actor, action, account_id=found.id, name=found.name, user=member.name, role=role)


async def put_role(tx: Transaction, organization_id: int, account_id: int, role: OrganizationRole) -> None:
    """Owners are the members of the owners team; the two are always said together."""
    await rows.put_member(tx, organization_id=organization_id, account_id=account_id, role=role)
    if role is OrganizationRole.OWNER:
        owners = await team_rows.get(tx, organization_id=organization_id, name=OWNERS_TEAM)
        assert owners is not None
        await team_rows.add_member(tx, team_id=owners.id, account_id=account_id)


async def _leave_owners(tx: Transaction, organization_id: int, organization: str, account_id: int) -> None:
    """Raises LastOwner. The caller holds the organization's lock."""
    if await rows.count_owners(tx, organization_id=organization_id) == 1:
        raise LastOwner(organization)
    owners = await team_rows.get(tx, organization_id=organization_id, name=OWNERS_TEAM)
    assert owners is not None
    await team_rows.remove_member(tx, team_id=owners.id, account_id=account_id)
