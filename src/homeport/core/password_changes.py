"""Passwords that people change by themselves: because they know the present one, or by the link of a mail.

Either way all sessions end that a password has opened before. Personal access tokens go on, unless they are to be
deleted. A second factor stays on: a link replaces what was forgotten, not what somebody has.
"""

from homeport.core import accounts, audit, confirmations, mails
from homeport.core.access import Actor
from homeport.core.access_tokens import own_account
from homeport.core.audit import AuditAction, Event
from homeport.errors import AccountChangeRefused, ConfirmationClosed, FieldInvalid
from homeport.names import MAIL_ADDRESS_LENGTH_LIMIT
from homeport.settings import Settings
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, AccountKind, Confirmation, MailRequest, Purpose


async def change_own(
    tx: Transaction, *, actor: Actor, verified: Account, password_hash: str, deletes_tokens: bool, settings: Settings
) -> Account:
    """Give the actor's own account another password. `verified` is the account as it was when its present one was
    shown; what comes back is the account under its new credentials.

    Raises:
        FieldInvalid: the present password has been changed meanwhile.
        AccountChangeRefused: see `check_self_service`.
        NotAuthenticated, TokenNotAllowed: see `own_account`.
    """
    own_account(actor)
    await accounts.check_self_service(tx, verified, settings)
    account = await rows.change_password(tx, verified, password_hash)
    if account is None:
        raise FieldInvalid({"password": ["This is not your password any more."]}, "wrong password")
    await _changed(tx, actor, account, AuditAction.USER_PASSWORD_CHANGE, deletes_tokens=deletes_tokens)
    return account


async def request_reset(tx: Transaction, *, actor: Actor, identifier: str, settings: Settings) -> None:
    """Ask for a mail with a link for a new password. `identifier` is the name or the address of a user, or of nobody.

    Raises:
        FieldInvalid: it can be neither.
        AccountChangeRefused: the site does not let users do that.
    """
    if not settings.self_service:
        raise AccountChangeRefused("passwords are changed by who runs this site")
    if not 1 <= len(identifier) <= MAIL_ADDRESS_LENGTH_LIMIT or not identifier.isprintable():
        raise FieldInvalid({"identifier": ["Must be a user name or an e-mail address."]}, "invalid identifier")
    await confirmations.ask(tx, actor=actor, purpose=Purpose.PASSWORD, identifier=identifier)


async def answer(tx: Transaction, request: MailRequest, settings: Settings) -> None:
    """Write the mail that was asked for, if it is an active user who is meant."""
    account = await _meant(tx, request.identifier)
    if account is None or account.kind is not AccountKind.USER or not account.is_active or not account.email:
        return
    if not await confirmations.may_be_mailed(tx, account.email, Purpose.PASSWORD):
        return
    try:
        await accounts.check_self_service(tx, account, settings)
    except AccountChangeRefused as refusal:
        await mails.post(tx, [NewMail(account.email, _SUBJECT, _REFUSED.format(name=account.name, why=refusal))])
        return
    await confirmations.send(
        tx,
        settings=settings,
        purpose=Purpose.PASSWORD,
        account=account,
        email=account.email,
        subject=_SUBJECT,
        text=_TEXT.replace("{name}", account.name),
    )
    asker = Actor(address=request.address, user_agent=request.user_agent)
    await audit.record(tx, asker, AuditAction.USER_PASSWORD_RESET_REQUEST, account_id=account.id, name=account.name)


async def open_link(tx: Transaction, *, id_: str, secret: str, settings: Settings) -> tuple[Confirmation, Account]:
    """The link of a mail, and whose password it is for.

    Raises:
        ConfirmationUnknown, ConfirmationClosed: as `confirmations.open_link`.
        AccountChangeRefused: see `check_self_service`.
    """
    confirmation, account = await confirmations.open_link(tx, purpose=Purpose.PASSWORD, id_=id_, secret=secret)
    assert account is not None
    await accounts.check_self_service(tx, account, settings)
    return confirmation, account


async def reset(
    tx: Transaction,
    *,
    guest: Actor,
    id_: str,
    secret: str,
    password_hash: str,
    deletes_tokens: bool,
    settings: Settings,
) -> Account:
    """Give an account a password by the link of a mail; its first one, where it had none.

    Raises: as `open_link`.
    """
    confirmation, found = await open_link(tx, id_=id_, secret=secret, settings=settings)
    await confirmations.use(tx, confirmation)
    account = await rows.change_password(tx, found, password_hash)
    if account is None:
        raise ConfirmationClosed("the account has changed since it was sent")
    actor = Actor(name=account.name, address=guest.address, user_agent=guest.user_agent)
    await _changed(tx, actor, account, AuditAction.USER_PASSWORD_RESET, deletes_tokens=deletes_tokens)
    return account


async def _changed(
    tx: Transaction, actor: Actor, account: Account, action: AuditAction, *, deletes_tokens: bool
) -> None:
    """What follows when an account has another password."""
    events = [Event(action=action, account_id=account.id, name=account.name)]
    if deletes_tokens:
        events += [
            Event(
                action=AuditAction.USER_ACCESS_TOKEN_DELETE,
                account_id=account.id,
                name=account.name,
                data={"token_id": token.uuid, "token_label": token.label},
            )
            for token in await token_rows.delete_all(tx, account_id=account.id)
        ]
    await accounts.revoke(tx, account.id)
    await accounts.tell_of_new_password(tx, account)
    await audit.record_all(tx, actor, events)


async def _meant(tx: Transaction, identifier: str) -> Account | None:
    """The account of a name or an address."""
    text = identifier.strip()
    if "@" not in text:
        return await rows.get(tx, text.lower())
    found = await rows.list_with_email(tx, [mails.folded(text)])
    return found[0] if found else None


_SUBJECT = "Your password on Homeport"

_TEXT = """\
Hello,

somebody, you perhaps, has asked for a new password of your account {name}.

On this page you can set one:

{link}

The link works once, until {until}. It is meant for you alone: do not pass it on.
If you have not asked for this, you need not do anything: your password stays what it is.
"""

_REFUSED = """\
Hello,

somebody, you perhaps, has asked for a new password of your account {name}. It cannot be set this way:
{why}.
"""
