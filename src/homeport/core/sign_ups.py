"""New accounts for whoever comes, where the site allows that.

There is no account before somebody has shown that the address is theirs: a sign-up is a link in a mail until then, and
nobody is in the way of anybody, neither by a name nor by an address. The password is set on the page behind the link,
not before: otherwise a stranger could sign up with somebody's address and a password of their own, and wait for the
click that makes it an account.

That a name is taken is told at once: names are public. That an address is, is told to whoever reads its mails.
"""

from homeport.core import accounts, confirmations, mails
from homeport.core.access import Actor
from homeport.errors import AccountExists, SignUpClosed
from homeport.names import AccountName
from homeport.settings import Settings
from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, Confirmation, MailRequest, Purpose


def check_open(settings: Settings) -> None:
    """Raises SignUpClosed unless the site lets people sign up."""
    if not settings.sign_up:
        raise SignUpClosed


async def request(tx: Transaction, *, guest: Actor, name: str, email: str, full_name: str, settings: Settings) -> None:
    """Ask for a mail with a link that makes an account.

    Raises:
        AccountExists: the name is taken.
        AccountNameInvalid, FieldInvalid: the name, the address or the full name cannot be one.
        SignUpClosed
    """
    check_open(settings)
    account_name = AccountName.parse(name)
    accounts.check_email(email)
    accounts.check_line("full_name", full_name)
    if await rows.get(tx, account_name) is not None:
        raise AccountExists(f"the name {account_name}")
    await confirmations.ask(
        tx, actor=guest, purpose=Purpose.SIGN_UP, identifier=email, name=account_name, full_name=full_name
    )


async def answer(tx: Transaction, request: MailRequest, settings: Settings) -> None:
    """Write the mail with the link; to an address that has an account, one that says so."""
    email = request.identifier
    if not settings.sign_up or not await confirmations.may_be_mailed(tx, email, Purpose.SIGN_UP):
        return
    if owners := await rows.list_with_email(tx, [mails.folded(email)]):
        await mails.post(tx, [NewMail(email, _SUBJECT, _KNOWN.format(name=owners[0].name))])
        return
    await confirmations.send(
        tx,
        settings=settings,
        purpose=Purpose.SIGN_UP,
        account=None,
        email=email,
        name=request.name,
        full_name=request.full_name,
        subject=_SUBJECT,
        text=_TEXT.replace("{name}", request.name),
    )


async def open_link(tx: Transaction, *, id_: str, secret: str, settings: Settings) -> Confirmation:
    """The sign-up behind the link of a mail.

    Raises:
        ConfirmationUnknown, ConfirmationClosed: as `confirmations.open_link`.
        SignUpClosed
    """
    confirmation, _ = await confirmations.open_link(tx, purpose=Purpose.SIGN_UP, id_=id_, secret=secret)
    check_open(settings)
    return confirmation


async def complete(
    tx: Transaction,
    *,
    guest: Actor,
    id_: str,
    secret: str,
    name: str,
    full_name: str,
    password_hash: str,
    settings: Settings,
) -> Account:
    """Make the account. Its name may be another one than was asked for: somebody may have taken that since.

    Raises:
        AccountExists: the name or the address is taken by now.
        AccountNameInvalid, FieldInvalid: as `accounts.create_user`.
        ConfirmationUnknown, ConfirmationClosed, SignUpClosed: as `open_link`.
    """
    confirmation = await open_link(tx, id_=id_, secret=secret, settings=settings)
    await confirmations.use(tx, confirmation)
    actor = Actor(name=name, address=guest.address, user_agent=guest.user_agent)
    return await accounts.create_user(
        tx, actor=actor, name=name, email=confirmation.email, full_name=full_name, password_hash=password_hash
    )


_SUBJECT = "Your account on Homeport"

_TEXT = """\
Hello,

somebody, you perhaps, wants to make the account {name} with this e-mail address.

On this page you can set a password, and make it:

{link}

The link works once, until {until}. It is meant for you alone: do not pass it on.
If you do not know what this is about, you need not do anything: there is no account yet.
"""

_KNOWN = """\
Hello,

somebody, you perhaps, wanted to make an account with this e-mail address. It has one already: {name}.

If you have forgotten your password, ask for a new one. If that was somebody else, you need not do anything.
"""
