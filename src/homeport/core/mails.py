"""The outbox: mails are written in the transaction of the deed that they tell of, and sent by a job.

Without a mail server they wait here, where the site administrator reads them.
"""

from collections.abc import Sequence
from datetime import timedelta

from homeport.core.access import Actor, check_site_admin
from homeport.errors import MailUnknown
from homeport.storage.db import mails as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Mail

FLOOD = timedelta(hours=1)
FLOOD_COUNT = 10
"""More mails than that, within that time, no address is sent: whoever makes us write has no say over its owner."""

ID_LIMIT = 2**62
"""Above every id."""


def folded(address: str) -> str:
    """An address as it is compared: ASCII letters in lower case, as both databases have it."""
    return address.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


async def post(tx: Transaction, mails: Sequence[NewMail]) -> None:
    """Put mails into the outbox."""
    await rows.insert_all(tx, mails, now=utcnow())


async def flooded(tx: Transaction, addresses: Sequence[str]) -> set[str]:
    """Which of these folded addresses have had so many mails lately that they must not get another one."""
    found = await rows.list_often_written_to(tx, addresses, since=utcnow() - FLOOD, count=FLOOD_COUNT)
    return {recipient.address for recipient in found}


async def list_mails(tx: Transaction, *, actor: Actor, before: int = ID_LIMIT, limit: int) -> list[Mail]:
    """The mails of the outbox with an id below `before`, the newest first.

    Raises:
        NotAuthenticated, TokenNotAllowed, ActionDenied: only the site administrator's password opens the outbox.
    """
    _needs_site_admin(actor)
    return await rows.list_before(tx, before=before, limit=limit)


async def access_mail(tx: Transaction, *, actor: Actor, id_: int) -> Mail:
    """One mail, with its text as long as that has not been sent.

    Raises:
        MailUnknown
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `list_mails`.
    """
    _needs_site_admin(actor)
    mail = await rows.get(tx, id_) if id_ < ID_LIMIT else None
    if mail is None:
        raise MailUnknown(id_)
    return mail


def _needs_site_admin(actor: Actor) -> None:
    check_site_admin(actor, "read", "the outbox")
