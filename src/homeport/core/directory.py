"""The directory of an organization: one entry for each member, which is what its identity provider sees of them.

Site administrators have no entry: no identity provider reaches them. What providers do with entries is in
`core/scim_users.py`; here they are kept in step with the members.
"""

from homeport.storage.db import accounts as account_rows
from homeport.storage.db import scim_users as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, ScimEmail


async def enter(tx: Transaction, *, organization_id: int, account: Account) -> None:
    """Enter a new member; who was in the directory already (shut out, and let in again) stays under their name."""
    if account.is_site_admin:
        return
    present = await rows.get_of_account(tx, organization_id=organization_id, account_id=account.id)
    user_name = await _free_name(tx, organization_id, account)
    await rows.insert(
        tx, organization_id=organization_id, account_id=account.id, name=account.name, user_name=user_name
    )
    if present is None and account.email:
        email = ScimEmail(account.id, value=account.email, display=account.email, type=None, is_primary=True)
        await rows.insert_emails(tx, [email], organization_id=organization_id)


async def _free_name(tx: Transaction, organization_id: int, account: Account) -> str:
    """A user name for an account: its address, unless its provider has given that (in some form) to somebody else."""
    for name in (account.email, account.name):
        if name and not await rows.has_user_name(
            tx, organization_id=organization_id, user_name=name, other_than=account.id
        ):
            return name
    return account.uuid


async def follow_email(tx: Transaction, *, account: Account, email: str) -> None:
    """Have users who are known by an account's address be known by the one that it has now."""
    if account.email:
        await rows.rename(tx, account_id=account.id, former=account.email, user_name=email)
        await rows.replace_email(tx, account_id=account.id, former=account.email, email=email)


async def leave(tx: Transaction, *, organization_id: int, account_id: int) -> None:
    """Forget a member who has left. Whom the site has shut must not come back by being made anew: the organization does
    not manage that account any more.
    """
    user = await rows.get_of_account(tx, organization_id=organization_id, account_id=account_id)
    if user is not None and user.is_managed and not user.is_account_active and not user.is_shut_out:
        await account_rows.set_managing_organization(tx, account_id, None)
    await rows.delete(tx, organization_id=organization_id, account_id=account_id)


async def shut_by_site(tx: Transaction, *, account_id: int) -> None:
    """Note that it is the site that keeps an account shut, also if a provider has shut it before: none opens it now."""
    await rows.forget_shut_out(tx, account_id=account_id)
    await account_rows.release_absent(tx, account_id)
