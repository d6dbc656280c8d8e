"""Users: made, shut out, given new passwords. What ends an account's access ends its tokens with it."""

import re

from homeport.core import audit, directory, passwords
from homeport.core.access import Actor
from homeport.core.audit import AuditAction
from homeport.errors import AccountExists, AccountUnknown, FieldInvalid
from homeport.names import AccountName
from homeport.storage.db import accounts as rows
from homeport.storage.db import scim_users as scim_user_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, AccountKind

REVOKED = "revoked"
"""Announced with an account's id when something that stood for the account has ended."""

FULL_NAME_LENGTH_LIMIT = 255
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")


async def create_user(
    tx: Transaction,
    *,
    actor: Actor,
    name: str,
    email: str,
    password_hash: str,
    full_name: str = "",
    is_site_admin: bool = False,
) -> Account:
    """Make a user. The password is hashed before, outside the transaction.

    Raises:
        AccountNameInvalid, FieldInvalid
        AccountExists: the name or the address is taken.
    """
    account_name = AccountName.parse(name)
    if not _EMAIL.fullmatch(email):
        raise FieldInvalid({"email": ["Must be an e-mail address."]}, "invalid e-mail address")
    if len(full_name) > FULL_NAME_LENGTH_LIMIT:
        raise FieldInvalid({"full_name": [f"At most {FULL_NAME_LENGTH_LIMIT} characters."]}, "invalid full name")
    if not full_name.isprintable():
        raise FieldInvalid({"full_name": ["No line ends and control characters."]}, "invalid full name")
    account = await rows.insert(
        tx,
        name=account_name,
        kind=AccountKind.USER,
        email=email,
        full_name=full_name,
        password_hash=password_hash,
        is_site_admin=is_site_admin,
    )
    if account is None:
        raise AccountExists(f"the name {name} or the address {email}")
    await audit.record(tx, actor, AuditAction.USER_CREATE, account_id=account.id, name=account.name)
    return account


async def access_user(tx: Transaction, name: str) -> Account:
    """A user by name, for those who may know all of them (operators).

    Raises:
        AccountUnknown: there is none, or it is an organization.
    """
    account = await rows.get(tx, name)
    if account is None or account.kind is not AccountKind.USER:
        raise AccountUnknown(name)
    return account


async def list_users(tx: Transaction, *, after: str = "", limit: int = 1000) -> list[Account]:
    """Users in the order of their names, those behind `after`."""
    return await rows.list_users(tx, after=after, limit=limit)


async def set_active(tx: Transaction, *, actor: Actor, name: str, is_active: bool) -> Account:
    """Shut a user out, or let one in again; what was issued before ends either way, and stays ended. Whom the site has
    shut no identity provider lets in.

    Raises:
        AccountUnknown
    """
    account = await access_user(tx, name)
    await tx.lock("account", account.id)
    await change_active(tx, actor=actor, account=await access_user(tx, name), is_active=is_active)
    if not is_active:
        await directory.shut_by_site(tx, account_id=account.id)
    return await access_user(tx, name)


async def change_active(tx: Transaction, *, actor: Actor, account: Account, is_active: bool) -> None:
    """As `set_active`, for who has the account; they have found out whether the actor may."""
    if account.is_active == is_active:
        return
    await rows.set_active(tx, account, is_active=is_active)
    if is_active:
        await scim_user_rows.forget_shut_out(tx, account_id=account.id)
    await revoke(tx, account.id)
    action = AuditAction.USER_ACTIVATE if is_active else AuditAction.USER_DEACTIVATE
    await audit.record(tx, actor, action, account_id=account.id, name=account.name)


async def reset_password(tx: Transaction, *, actor: Actor, name: str, password_hash: str) -> Account:
    """Give a user a new password; sessions under the old one end.

    Raises:
        AccountUnknown
    """
    account = await access_user(tx, name)
    await rows.set_password(tx, account, password_hash)
    await revoke(tx, account.id)
    await audit.record(tx, actor, AuditAction.USER_PASSWORD_RESET, account_id=account.id, name=account.name)
    return account


async def revoke(tx: Transaction, account_id: int) -> None:
    """Have every process look anew at the tokens of an account: here at once, elsewhere within a second."""
    await rows.insert_revocation(tx, account_id)
    tx.announce(REVOKED, account_id)


async def hash_new_password(password: str) -> str:
    """Check and hash a password, before the transaction that stores it.

    Raises:
        FieldInvalid
    """
    passwords.check_new(password)
    return await passwords.hash_password(password)
