"""Links in mails that show that an address is somebody's: for a new password, a new address, a new account.

Asking for one writes a request and nothing else, whoever asks for whatever: so neither the answer nor the time that it
takes tells whether there is such an account or address. A job looks at the request a moment later (`answer` of the
module of each purpose), and writes the link and its mail in one transaction.

Of the link's secret the SHA-256 is kept. A link works once, until it expires, and as long as nothing has voided what
was issued to its account: a password that was changed meanwhile, for one. What the link leads to is a page; looking at
it changes nothing.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import uuid4

from homeport.core import mails
from homeport.core.access import Actor
from homeport.errors import ConfirmationClosed, ConfirmationUnknown
from homeport.settings import Settings
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import confirmations as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, Confirmation, Purpose

INTERVAL = timedelta(minutes=1)
"""No address is sent two links of a purpose within that time."""

SECRET_BYTES = 32
USER_AGENT_LENGTH_LIMIT = 512
TIME = "%Y-%m-%d %H:%M UTC"

PATHS = {Purpose.SIGN_UP: "sign-up", Purpose.PASSWORD: "password", Purpose.EMAIL: "email"}
"""Where the links of each purpose lead, below `/account/`."""


async def ask(
    tx: Transaction, *, actor: Actor, purpose: Purpose, identifier: str, name: str = "", full_name: str = ""
) -> None:
    """Have a mail be written soon, if there is one to write."""
    await rows.insert_request(
        tx,
        purpose=purpose,
        account_id=actor.account_id,
        identifier=identifier,
        name=name,
        full_name=full_name,
        address=actor.address,
        user_agent=actor.user_agent[:USER_AGENT_LENGTH_LIMIT],
    )


async def may_be_mailed(tx: Transaction, email: str, purpose: Purpose) -> bool:
    """Whether an address has been left in peace long enough. Nobody else mails it until the transaction ends."""
    folded = mails.folded(email)
    await tx.lock(f"mail {folded}", 0)
    if await mails.flooded(tx, [folded]):
        return False
    return not await rows.is_any_since(tx, email=folded, purpose=purpose, since=utcnow() - INTERVAL)


async def send(
    tx: Transaction,
    *,
    settings: Settings,
    purpose: Purpose,
    account: Account | None,
    email: str,
    name: str = "",
    full_name: str = "",
    subject: str,
    text: str,
) -> None:
    """Make a link and mail it. `text` holds the places `{link}` and `{until}`."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    now = utcnow()
    confirmation = Confirmation(
        id=str(uuid4()),
        purpose=purpose,
        account_id=account.id if account else None,
        credentials_version=account.credentials_version if account else None,
        email=email,
        name=name,
        full_name=full_name,
        secret_sha256=_digest_of(secret),
        created_at=now,
        expires_at=_end(settings, purpose, now),
        used_at=None,
    )
    await rows.insert(tx, confirmation)
    # Never the host that a request names: whoever asks may be anybody, and the secret must not go to where they like.
    link = f"{settings.listen_url}/account/{PATHS[purpose]}/{confirmation.id}?token={secret}"
    body = text.format(link=link, until=confirmation.expires_at.strftime(TIME))
    await mails.post(tx, [NewMail(email, subject, body)])


async def open_link(tx: Transaction, *, purpose: Purpose, id_: str, secret: str) -> tuple[Confirmation, Account | None]:
    """The confirmation behind a link, with the account that it is of.

    Raises:
        ConfirmationUnknown: no such link, or not the whole of it.
        ConfirmationClosed: it was used, has expired, or is void.
    """
    found = await rows.get(tx, id_)
    if found is None or found.purpose is not purpose or not _fits(found, secret):
        raise ConfirmationUnknown
    if found.used_at is not None:
        raise ConfirmationClosed("it has been used")
    if found.expires_at <= utcnow():
        raise ConfirmationClosed("it has expired")
    if found.account_id is None:
        return found, None
    account = await account_rows.get_by_id(tx, found.account_id)
    if account is None or not account.is_active or account.credentials_version != found.credentials_version:
        raise ConfirmationClosed("the account has changed since it was sent")
    return found, account


async def use(tx: Transaction, confirmation: Confirmation) -> None:
    """Use a link up.

    Raises:
        ConfirmationClosed: somebody else was quicker.
    """
    if not await rows.use(tx, confirmation.id, now=utcnow()):
        raise ConfirmationClosed("it has been used")


def _end(settings: Settings, purpose: Purpose, now: datetime) -> datetime:
    is_reset = purpose is Purpose.PASSWORD
    return now + timedelta(seconds=settings.password_reset_lifetime if is_reset else settings.confirmation_lifetime)


def _fits(confirmation: Confirmation, secret: str) -> bool:
    return hmac.compare_digest(confirmation.secret_sha256, _digest_of(secret))


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
