"""Users: made, shut out, given new passwords. What ends an account's access ends its tokens with it."""

import re

from homeport.core import audit, directory, mails, passwords
from homeport.core.access import Actor
from homeport.core.audit import AuditAction
from homeport.errors import AccountChangeRefused, AccountExists, AccountUnknown, FieldInvalid
from homeport.names import AccountName, is_mail_address, line_problem
from homeport.settings import Settings
from homeport.storage.db import accounts as rows
from homeport.storage.db import confirmations, org_settings
from homeport.storage.db import scim_users as scim_user_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, AccountKind

REVOKED = "revoked"
"""Announced with an account's id when something that stood for the account has ended."""

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
    check_line("full_name", full_name)
    await _lock_email(tx, email)
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


def check_line(field: str, text: str) -> None:
    """Raises FieldInvalid unless this is a line of readable text, or nothing."""
    if problem := line_problem(text):
        raise FieldInvalid({field: [problem]}, f"invalid {field}")


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


def check_email(email: str) -> None:
    """Raises FieldInvalid unless mails can be sent there."""
    if not is_mail_address(email):
        raise FieldInvalid({"email": ["Must be an e-mail address."]}, "invalid e-mail address")


async def change_email(tx: Transaction, *, actor: Actor, account: Account, email: str) -> None:
    """Give a user another e-mail address, and the former one a note.

    Raises:
        FieldInvalid: it is no address.
        AccountExists: it is another account's.
        AccountChangeRefused: the account is managed.
    """
    check_email(email)
    check_unmanaged(account)
    if email == account.email:
        return
    await put_email(tx, account=account, email=email)
    await audit.record(tx, actor, AuditAction.USER_EMAIL_CHANGE, account_id=account.id, name=account.name, email=email)
    if account.email:
        await mails.post(tx, [NewMail(account.email, *_changed(account, "e-mail address"))])


async def put_email(tx: Transaction, *, account: Account, email: str) -> None:
    """The one place where an address changes, whoever has it changed. Links that were mailed to the former one end.

    Raises:
        AccountExists: it is another account's.
    """
    await _lock_email(tx, email)
    if not await rows.set_email(tx, account.id, email):
        raise AccountExists(f"the address {email}")
    await confirmations.delete_of(tx, account.id)
    await directory.follow_email(tx, account=account, email=email)


def check_unmanaged(account: Account) -> None:
    """Raises AccountChangeRefused if an identity provider has the say over the address and the name of an account."""
    if account.managing_organization_id is not None:
        raise AccountChangeRefused("the e-mail address and the full name of this account come from its organization")


async def tell_of_new_password(tx: Transaction, account: Account) -> None:
    """Send a user a note that their password is another one now."""
    if account.email:
        await mails.post(tx, [NewMail(account.email, *_changed(account, "password"))])


async def check_self_service(tx: Transaction, account: Account, settings: Settings) -> None:
    """Whether a user may change their password and e-mail address by themselves.

    A site administrator may under single sign-on, too: their password works there.

    Raises:
        AccountChangeRefused
    """
    if not settings.self_service:
        raise AccountChangeRefused("passwords and e-mail addresses are changed by who runs this site")
    if account.is_site_admin:
        return
    if organization := await org_settings.organization_that_enforces_sso(tx, account.id):
        raise AccountChangeRefused(
            f"the organization {organization} enforces single sign-on: passwords and e-mail addresses of its members "
            "are changed where they sign in"
        )


def _changed(account: Account, what: str) -> tuple[str, str]:
    """Subject and text of a note that something of an account has been changed."""
    return (
        f"Your {what} on Homeport has been changed",
        f"Hello,\n\nthe {what} of your account {account.name} has been changed.\n\n"
        "If that was not you, tell who runs the site at once.\n",
    )


async def _lock_email(tx: Transaction, email: str) -> None:
    """Have nobody else take an address until the transaction ends."""
    await tx.lock(f"email {mails.folded(email)}", 0)


async def revoke(tx: Transaction, account_id: int) -> None:
    """Have every process look anew at the tokens of an account: here at once, elsewhere within a second."""
    await rows.insert_revocation(tx, account_id)
    tx.announce(REVOKED, account_id)


async def hash_new_password(password: str, *, field: str = "password") -> str:
    """Check and hash a password, before the transaction that stores it; `field` is what the caller calls it.

    Raises:
        FieldInvalid
    """
    passwords.check_new(password, field=field)
    return await passwords.hash_password(password)
