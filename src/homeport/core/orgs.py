"""Organizations."""

from homeport.core import audit, directory
from homeport.core.access import Actor
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction
from homeport.errors import AccountExists
from homeport.names import OWNERS_TEAM, AccountName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import orgs as rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, AccountKind, Badge, ListedOrganization, OrganizationRole


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
    await audit.record(
        tx,
        actor,
        AuditAction.ORG_CREATE,
        account_id=organization.id,
        name=organization.name,
        owner=first_owner.name,
    )
    owners = await team_rows.insert(tx, organization_id=organization.id, name=OWNERS_TEAM, description="")
    assert owners is not None
    await member_rows.put(tx, organization_id=organization.id, account_id=first_owner.id, role=OrganizationRole.OWNER)
    await directory.enter(tx, organization_id=organization.id, account=first_owner)
    await team_rows.add_member(tx, team_id=owners.id, account_id=first_owner.id)
    return organization


async def list_organizations(tx: Transaction, *, after: str = "", limit: int = 1000) -> list[ListedOrganization]:
    """Organizations in the order of their names, those behind `after`, for those who may know all of them."""
    return await rows.list_page(tx, after=after, limit=limit)
