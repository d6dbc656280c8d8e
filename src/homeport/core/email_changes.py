"""Another e-mail address for one's own account: it counts once a mail has shown that it is theirs.

Who confirms shows the password once more. Otherwise somebody could enter a stranger's address, and have the stranger
make it theirs by a careless click: invites to that address would then be for the wrong account.
"""

from homeport.core import accounts, audit, confirmations, mails
from homeport.core.access import Actor
from homeport.core.access_tokens import own_account
from homeport.core.audit import AuditAction
from homeport.errors import FieldInvalid, NotAuthenticated
from homeport.settings import Settings
from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, Confirmation, MailRequest, Purpose


async def own_email(tx: Transaction, *, actor: Actor) -> str | None:
    """The actor's e-mail address.

    Raises:
        NotAuthenticated, TokenNotAllowed: see `own_account`.
    """
    account = await rows.get_by_id(tx, own_account(actor))
    if account is None:
        raise NotAuthenticated
    return account.email


async def request_change(tx: Transaction, *, actor: Actor, verified: Account, email: str, settings: Settings) -> None:
    """Ask for another address; a mail to it asks for its confirmation. `verified` is the actor's account, whose
    password was shown. Whether the address is somebody else's is not told here: a mail tells whose it is.

    Raises:
        FieldInvalid: it is no address, or the present one.
        AccountChangeRefused: see `check_self_service` and `check_unmanaged`.
        NotAuthenticated, TokenNotAllowed: see `own_account`.
    """
    account_id = own_account(actor)
    await accounts.check_self_service(tx, verified, settings)
    accounts.check_unmanaged(verified)
    accounts.check_email(email)
    if email == verified.email:
        raise FieldInvalid({"email": ["This is your address already."]}, "invalid e-mail address")
    await confirmations.ask(tx, actor=actor, purpose=Purpose.EMAIL, identifier=email)
    await audit.record(
        tx, actor, AuditAction.USER_EMAIL_CHANGE_REQUEST, account_id=account_id, name=actor.name, email=email
    )


async def answer(tx: Transaction, request: MailRequest, settings: Settings) -> None:
    """Write the mail that a new address is confirmed by; if it is another account's, one that says so."""
    email = request.identifier
    account = await rows.get_by_id(tx, request.account_id) if request.account_id else None
    if account is None or not account.is_active or not await confirmations.may_be_mailed(tx, email, Purpose.EMAIL):
        return
    owners = await rows.list_with_email(tx, [mails.folded(email)])
    if owners and owners[0].id != account.id:
        body = _TAKEN.format(asker=account.name, name=owners[0].name)
        await mails.post(tx, [NewMail(email, _SUBJECT, body)])
        return
    await confirmations.send(
        tx,
        settings=settings,
        purpose=Purpose.EMAIL,
        account=account,
        email=email,
        subject=_SUBJECT,
        text=_TEXT.replace("{name}", account.name),
    )


async def open_link(tx: Transaction, *, id_: str, secret: str, settings: Settings) -> tuple[Confirmation, Account]:
    """The link of a mail, and whose address it is to change.

    Raises:
        ConfirmationUnknown, ConfirmationClosed: as `confirmations.open_link`.
        AccountChangeRefused: see `check_self_service`.
    """
    confirmation, account = await confirmations.open_link(tx, purpose=Purpose.EMAIL, id_=id_, secret=secret)
    assert account is not None
    await accounts.check_self_service(tx, account, settings)
    accounts.check_unmanaged(account)
    return confirmation, account


async def confirm(tx: Transaction, *, actor: Actor, id_: str, secret: str, settings: Settings) -> Confirmation:
    """Give the actor the address that a link went to. They have just shown the password of the link's account.

    Raises:
        AccountExists: the address is another account's by now.
        ConfirmationUnknown, ConfirmationClosed, AccountChangeRefused: as `open_link`.
    """
    confirmation, account = await open_link(tx, id_=id_, secret=secret, settings=settings)
    await confirmations.use(tx, confirmation)
    await accounts.change_email(tx, actor=actor, account=account, email=confirmation.email)
    return confirmation


_SUBJECT = "Your e-mail address on Homeport"

_TEXT = """\
Hello,

somebody, you perhaps, wants this to be the e-mail address of the account {name}.

On this page you can confirm that, with the password of the account:

{link}

The link works once, until {until}. If you do not know the account, you need not do anything.
"""

_TAKEN = """\
Hello,

the user {asker} wants this to be the e-mail address of their account. It is that of your account {name} already, and
stays so: you need not do anything.

If both accounts are yours, give {name} another address first.
"""
