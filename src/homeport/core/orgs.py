"""Organizations and their members."""

from homeport.core.accounts import access_user
from homeport.core.teams import OWNERS_TEAM, insert_team
from homeport.errors import AccountExists, AccountUnknown, LastOwner
from homeport.names import AccountName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import orgs as rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, AccountKind, OrganizationRole


async def create_organization(tx: Transaction, *, name: str, owner: str) -> Account:
    """Make an organization with its owners team and its first owner.

    Raises:
        AccountNameInvalid, AccountExists
        AccountUnknown: there is no user `owner`.
    """
    first_owner = await access_user(tx, owner)
    organization = await account_rows.insert(tx, name=AccountName.parse(name), kind=AccountKind.ORGANIZATION)
    if organization is None:
        raise AccountExists(f"the name {name}")
    await insert_team(tx, organization=organization, name=OWNERS_TEAM, description="")
    await _put_member(tx, organization, first_owner, OrganizationRole.OWNER)
    return organization


async def add_member(tx: Transaction, *, organization: str, user: str, role: OrganizationRole) -> None:
    """Add a member, or change the role of one.

    Raises:
        AccountUnknown: no such organization or user.
        LastOwner: the role would leave the organization without an owner.
    """
    found = await access_organization(tx, organization)
    member = await access_user(tx, user)
    await tx.lock("organization", found.id)
    present = await rows.get_role(tx, organization_id=found.id, account_id=member.id)
    if present is OrganizationRole.OWNER and role is not OrganizationRole.OWNER:
        if await rows.count_owners(tx, organization_id=found.id) == 1:
            raise LastOwner(organization)
        owners = await team_rows.get(tx, organization_id=found.id, name=OWNERS_TEAM)
        if owners is not None:
            await team_rows.remove_member(tx, team_id=owners.id, account_id=member.id)
    await _put_member(tx, found, member, role)


async def access_organization(tx: Transaction, name: str) -> Account:
    """An organization by name, for operators.

    Raises:
        AccountUnknown
    """
    account = await account_rows.get(tx, name)
    if account is None or account.kind is not AccountKind.ORGANIZATION:
        raise AccountUnknown(name)
    return account


async def _put_member(tx: Transaction, organization: Account, member: Account, role: OrganizationRole) -> None:
    """Owners are the members of the owners team; the two are always said together."""
    await rows.put_member(tx, organization_id=organization.id, account_id=member.id, role=role)
    if role is OrganizationRole.OWNER:
        owners = await team_rows.get(tx, organization_id=organization.id, name=OWNERS_TEAM)
        assert owners is not None
        await team_rows.add_member(tx, team_id=owners.id, account_id=member.id)
