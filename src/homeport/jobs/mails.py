"""Sends the mails of the outbox through the SMTP server of the settings: each at least once, mostly just once.

A mail is claimed by moving the time when it is due; a process that dies with a claim loses it, and another sends.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY

import aiosmtplib
import structlog

from homeport.core.services import Services
from homeport.metrics import MAILS
from homeport.names import is_mail_address
from homeport.settings import Settings, SmtpServer
from homeport.storage.db import mails as rows
from homeport.storage.db.database import utcnow
from homeport.storage.db.records import Mail

log = structlog.get_logger()

BATCH = 10
TIMEOUT_S = 20
CLAIM = timedelta(minutes=10)
"""Longer than a batch takes, whatever the server does."""

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=6)
GIVEN_UP_AFTER = timedelta(days=3)
KEPT_FOR = timedelta(days=90)
ERROR_LENGTH_LIMIT = 500
SENDER_NAME = "Homeport"


class Undeliverable(Exception):
    """No later attempt would end better."""


async def send_due(services: Services) -> int:
    """Send what is due, until nothing is; how many it was tried with. Without a server mails wait in the outbox."""
    tried = 0
    settings = services.settings
    if not settings.smtp_url:
        return tried
    async with services.db.read() as tx:
        if not await rows.is_any_due(tx, now=utcnow()):
            return tried
    async with _connection(settings) as smtp:
        while batch := await _claimed(services):
            for mail in batch:
                await _send(services, smtp, mail)
                tried += 1
    return tried


@contextlib.asynccontextmanager
async def _connection(settings: Settings) -> AsyncIterator[aiosmtplib.SMTP]:
    """A client that connects when there is something to send, and says good-bye."""
    server = SmtpServer.parse(settings.smtp_url)
    smtp = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.is_tls,
        start_tls=server.is_starttls,
        local_hostname=_domain(settings.mail_from),
        timeout=TIMEOUT_S,
    )
    try:
        yield smtp
        if smtp.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit()
    finally:
        smtp.close()


async def drop_old(services: Services, *, now: datetime) -> None:
    """Forget mails of long ago, sent or not."""
    async with services.db.write() as tx:
        await rows.delete_old(tx, before=now - KEPT_FOR, limit=10_000)


async def _claimed(services: Services) -> list[Mail]:
    now = utcnow()
    async with services.db.write() as tx:
        return await rows.claim(tx, now=now, until=now + CLAIM, limit=BATCH)


async def _send(services: Services, smtp: aiosmtplib.SMTP, mail: Mail) -> None:
    try:
        message = message_of(mail, sender=services.settings.mail_from)
        await _deliver(smtp, message)
    except Exception as error:
        # Whatever is wrong with one mail, the others are sent, and this one is given up some day.
        await _failed(services, mail, error)
        return
    async with services.db.write() as tx:
        await rows.sent(tx, mail.id, now=utcnow())
    services.metrics.count(MAILS, "sent")
    log.info("mail sent", mail=mail.id, attempts=mail.attempts)


async def _deliver(smtp: aiosmtplib.SMTP, message: EmailMessage) -> None:
    """Raises: Undeliverable: the server refuses this mail for good. SMTPException, OSError: it may be tried again."""
    if not smtp.is_connected:
        await smtp.connect()
    try:
        await smtp.send_message(message)
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        if refused.code >= 500:
            raise Undeliverable(_told(refused)) from error
        raise
    except aiosmtplib.SMTPDataError as error:
        if error.code >= 500:
            raise Undeliverable(_told(error)) from error
        raise


async def _failed(services: Services, mail: Mail, error: Exception) -> None:
    now = utcnow()
    is_given_up = isinstance(error, Undeliverable) or now - mail.created_at > GIVEN_UP_AFTER
    delay = min(FIRST_RETRY * 2 ** min(mail.attempts - 1, 16), LAST_RETRY)
    reason = _told(error)
    async with services.db.write() as tx:
        await rows.failed(tx, mail.id, error=reason, due_at=None if is_given_up else now + delay)
    services.metrics.count(MAILS, "given up" if is_given_up else "failed")
    log.warning("mail not sent", mail=mail.id, attempts=mail.attempts, given_up=is_given_up, reason=reason)


def _told(error: Exception) -> str:
    """What an operator needs to know. Not what the server says of a login: it might repeat what it was given."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"{error.code} the mail server refuses the login"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _plain(f"{error.code} {error.message}")
    return _plain(str(error) or type(error).__name__)


def message_of(mail: Mail, *, sender: str) -> EmailMessage:
    """The mail as it goes over the wire. Its id is the same at each attempt, so that readers can tell a repetition.

    Raises:
        Undeliverable: the address cannot stand in a mail.
    """
    if not is_mail_address(mail.recipient):
        raise Undeliverable("this is no address that mails can be sent to")
    message = EmailMessage(policy=SMTP_POLICY)
    try:
        message["From"] = Address(SENDER_NAME, addr_spec=sender)
        message["To"] = Address(addr_spec=mail.recipient)
    except MessageError:
        raise Undeliverable("this is no address that mails can be sent to") from None
    message["Subject"] = _plain(mail.subject)
    message["Date"] = mail.created_at
    message["Message-ID"] = f"<{mail.id}.{int(mail.created_at.timestamp() * 1_000_000)}@{_domain(sender)}>"
    # RFC 3834: nobody's absence is to be answered to us.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.body)
    return message


def _plain(text: str) -> str:
    """One line: a header with a line end in it would be two."""
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return " ".join(words)[:ERROR_LENGTH_LIMIT]


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
