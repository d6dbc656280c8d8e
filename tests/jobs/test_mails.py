"""The outbox on its way: a real SMTP server gets what the worker of a real hub sends."""

import email
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import anyio.from_thread
import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from homeport.cli.serve import set_up
from homeport.core import mails
from homeport.core.services import Services
from homeport.jobs import mails as job
from homeport.jobs.worker import running
from homeport.settings import Settings
from homeport.storage.db import mails as rows
from homeport.storage.db.database import utcnow
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Mail
from tests.conftest import DATABASES, NewHome
from tests.home import Home
from tests.inviting import Inviting, an_address, link_in, value
from tests.postgres import free_port

SENDER = "hub@example.org"
PUBLIC_URL = "https://hub.example.org"
LEAVES_WITHIN_S = 10


class Mailbox:
    """What a server has got, and what it refuses."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[str], EmailMessage]] = []
        self.refusals: dict[str, str] = {}
        self.data_answer = "250 OK"
        self.logins: list[tuple[bytes, bytes]] = []
        self.login_answer = True

    async def handle_RCPT(  # noqa: N802 - the server's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            message = email.message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            self.messages.append((list(envelope.rcpt_tos), message))
        return self.data_answer

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        refusal = None if self.login_answer else "535 no: " + data.password.decode()
        return AuthResult(success=self.login_answer, handled=False, message=refusal)

    def to(self, address: str) -> list[EmailMessage]:
        return [message for recipients, message in self.messages if recipients == [address]]


@contextmanager
def mail_server(mailbox: Mailbox, port: int, **options: Any) -> Iterator[None]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LEAVES_WITHIN_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module", params=DATABASES)
def mailing(request: pytest.FixtureRequest, new_home: NewHome) -> Iterator[tuple[Home, int]]:
    """A hub that sends mails to a port of this machine."""
    port = free_port()
    variables = {
        "HOMEPORT_SMTP_URL": f"smtp://127.0.0.1:{port}",
        "HOMEPORT_MAIL_FROM": SENDER,
        "HOMEPORT_PUBLIC_URL": PUBLIC_URL,
    }
    with new_home(request.param, **variables) as home:
        yield home, port


def test_the_mail_of_an_invite_leaves_at_once(mailing: tuple[Home, int]) -> None:
    home, port = mailing
    mailbox, address = Mailbox(), an_address()
    with mail_server(mailbox, port):
        inviting = Inviting.of(home)
        invite = inviting.invite(address)
        (message,) = until(lambda: mailbox.to(address))
        until(lambda: home.run(lambda services: sent(services, address)))
    assert message["To"] == address
    assert message["From"] == f"Homeport <{SENDER}>"
    assert inviting.organization in message["Subject"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    assert abs(message["Date"].datetime - utcnow()) < timedelta(minutes=1)
    assert message.get_content_type() == "text/plain"
    link = link_in(message.get_content().replace("\r\n", "\n"))
    assert link.id == invite["id"]
    assert link.url.startswith(f"{PUBLIC_URL}/invites/")
    assert home.anonymous.get(link.url.removeprefix(PUBLIC_URL)).status_code == 200
    assert value(home, str, "select body from mails where recipient = :address", address=address) == ""


async def sent(services: Services, address: str) -> bool:
    async with services.db.read() as tx:
        found = await tx.value(int, "select count(sent_at) from mails where recipient = :address", address=address)
        return bool(found)


def test_a_bulk_of_mails_goes_over_one_connection_or_few(mailing: tuple[Home, int]) -> None:
    home, port = mailing
    mailbox = Mailbox()
    addresses = [an_address() for _ in range(50)]
    with mail_server(mailbox, port):
        assert Inviting.of(home).bulk(*addresses).status_code == 202
        until(lambda: len(mailbox.messages) >= 50)
    assert sorted(recipients[0] for recipients, _ in mailbox.messages) == sorted(addresses)


# The job by itself, with its clock turned by hand


class Outbox:
    """A hub without a server, with an outbox; `send` is what the worker does once a second."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def post(self, *recipients: str, subject: str = "Hello", body: str = "A text") -> None:
        async with self.services.db.write() as tx:
            await mails.post(tx, [NewMail(recipient, subject, body) for recipient in recipients])

    async def send(self) -> None:
        await job.send_due(self.services)

    async def turn_clock(self, past: timedelta) -> None:
        async with self.services.db.write() as tx:
            await tx.run(
                "update mails set due_at = due_at - :past, created_at = created_at - :past",
                past=int(past.total_seconds() * 1_000_000),
            )

    async def all(self) -> list[Mail]:
        async with self.services.db.read() as tx:
            return await rows.list_before(tx, before=2**62, limit=1000)

    async def only(self) -> Mail:
        (mail,) = await self.all()
        return mail


@contextmanager
def outbox(settings: Settings, portal: anyio.from_thread.BlockingPortal, url: str) -> Iterator[Outbox]:
    from homeport.app import open_services  # noqa: PLC0415

    portal.call(set_up, settings)
    settings = msgspec.structs.replace(settings, smtp_url=url, mail_from=SENDER)
    with portal.wrap_async_context_manager(open_services(settings)) as services:
        yield Outbox(services)


Opened = Callable[..., Any]


@pytest.fixture
def opened(empty_settings: Settings, portal: anyio.from_thread.BlockingPortal) -> Opened:
    return lambda url: outbox(empty_settings, portal, url)


def test_a_mail_waits_for_a_server_that_is_down_and_is_tried_less_and_less(
    opened: Opened, portal: anyio.from_thread.BlockingPortal
) -> None:
    port, mailbox = free_port(), Mailbox()
    with opened(f"smtp://127.0.0.1:{port}") as box:
        portal.call(box.post, "bob@example.com")
        delays = []
        for attempts in range(1, 12):
            portal.call(box.send)
            mail = portal.call(box.only)
            assert (mail.attempts, mail.sent_at, mail.body) == (attempts, None, "A text")
            assert mail.last_error
            wait = mail.due_at - utcnow()
            delays.append(round(wait.total_seconds() / 60))
            portal.call(box.send)
            assert portal.call(box.only).attempts == attempts
            portal.call(box.turn_clock, wait + timedelta(seconds=1))
        assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]
        with mail_server(mailbox, port):
            portal.call(box.send)
        mail = portal.call(box.only)
        assert (mail.due_at, mail.last_error, mail.body) == (None, "", "")
        assert mail.sent_at is not None
    assert len(mailbox.to("bob@example.com")) == 1


def test_a_mail_is_given_up_after_three_days(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    with opened(f"smtp://127.0.0.1:{free_port()}") as box:
        portal.call(box.post, "bob@example.com")
        portal.call(box.turn_clock, timedelta(days=3, seconds=1))
        portal.call(box.send)
        mail = portal.call(box.only)
        assert (mail.due_at, mail.sent_at, mail.attempts) == (None, None, 1)
        assert mail.last_error


@pytest.mark.parametrize(
    ("answer", "is_given_up"), [("550 5.1.1 no such mailbox", True), ("451 4.3.0 greylisted", False)]
)
def test_a_refused_recipient_is_given_up_only_if_the_server_means_it(
    opened: Opened, portal: anyio.from_thread.BlockingPortal, answer: str, is_given_up: bool
) -> None:
    port, mailbox = free_port(), Mailbox()
    mailbox.refusals["bob@example.com"] = answer
    with opened(f"smtp://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(box.post, "bob@example.com", "carol@example.com")
        portal.call(box.send)
        found = {mail.recipient: mail for mail in portal.call(box.all)}
        assert (found["bob@example.com"].due_at is None) is is_given_up
        assert answer in found["bob@example.com"].last_error
        assert found["carol@example.com"].sent_at is not None
    assert len(mailbox.messages) == 1


def test_a_mail_that_the_server_will_not_have_is_given_up(
    opened: Opened, portal: anyio.from_thread.BlockingPortal
) -> None:
    port, mailbox = free_port(), Mailbox()
    mailbox.data_answer = "554 this looks like spam"
    with opened(f"smtp://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)
        mail = portal.call(box.only)
        assert (mail.due_at, mail.last_error) == (None, "554 this looks like spam")


def test_a_repeated_mail_has_the_same_id(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    port, mailbox = free_port(), Mailbox()
    with opened(f"smtp://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)

        async def forget() -> None:
            async with box.services.db.write() as tx:
                await tx.run("update mails set due_at = created_at, body = 'A text'")

        portal.call(forget)
        portal.call(box.send)
    first, second = mailbox.to("bob@example.com")
    assert first["Message-ID"] == second["Message-ID"]


def test_a_line_end_in_a_name_makes_no_header(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    port, mailbox = free_port(), Mailbox()
    with opened(f"smtp://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(lambda: box.post("bob@example.com", subject="Hi\r\nBcc: eve@example.com\r\n\r\nBody"))
        portal.call(lambda: box.post("bob@example.com\r\nBcc: eve@example.com", "<bob@example.com>", "bob, eve@x"))
        portal.call(box.send)
        found = portal.call(box.all)
        assert [mail.due_at for mail in found] == [None] * 4
        assert [mail.sent_at is None for mail in found] == [True, True, True, False]
    ((recipients, message),) = mailbox.messages
    assert recipients == ["bob@example.com"]
    assert message["Bcc"] is None
    assert message["Subject"] == "Hi Bcc: eve@example.com Body"
    assert message.get_content().strip() == "A text"


def test_workers_share_the_outbox_and_send_each_mail_once(
    empty_settings: Settings, opened: Opened, portal: anyio.from_thread.BlockingPortal
) -> None:
    port, mailbox = free_port(), Mailbox()
    addresses = [an_address() for _ in range(60)]
    url = f"smtp://127.0.0.1:{port}"
    with opened(url) as box, opened(url) as other, mail_server(mailbox, port):
        portal.call(box.post, *addresses)

        async def both() -> None:
            async with (
                running(box.services, is_for_all=True),
                running(other.services, is_for_all=True),
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(box.send)
                tasks.start_soon(other.send)

        portal.call(both)
        assert all(mail.sent_at for mail in portal.call(box.all))
    assert sorted(recipients[0] for recipients, _ in mailbox.messages) == sorted(addresses)


def test_a_claim_that_nobody_fulfils_is_taken_over(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    port, mailbox = free_port(), Mailbox()
    with opened(f"smtp://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(box.post, "bob@example.com")

        async def claim() -> None:
            async with box.services.db.write() as tx:
                assert len(await rows.claim(tx, now=utcnow(), until=utcnow() + job.CLAIM, limit=10)) == 1

        portal.call(claim)
        portal.call(box.send)
        assert mailbox.messages == []
        portal.call(box.turn_clock, job.CLAIM)
        portal.call(box.send)
    assert len(mailbox.to("bob@example.com")) == 1


def test_the_server_is_shown_name_and_password(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    port, mailbox = free_port(), Mailbox()
    options = {"authenticator": mailbox.authenticate, "auth_require_tls": False}
    with opened(f"smtp://hub%40x:p%2Fss%20word@127.0.0.1:{port}") as box, mail_server(mailbox, port, **options):
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)
        assert portal.call(box.only).sent_at is not None
    assert set(mailbox.logins) == {(b"hub@x", b"p/ss word")}


def test_a_refused_login_is_told_without_the_password(
    opened: Opened, portal: anyio.from_thread.BlockingPortal, capfd: pytest.CaptureFixture[str]
) -> None:
    port, mailbox = free_port(), Mailbox()
    mailbox.login_answer = False
    options = {"authenticator": mailbox.authenticate, "auth_require_tls": False}
    with opened(f"smtp://hub:hunter2@127.0.0.1:{port}") as box, mail_server(mailbox, port, **options):
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)
        mail = portal.call(box.only)
        assert mail.last_error == "535 the mail server refuses the login"
        assert mail.due_at is not None
    assert "hunter2" not in "".join(capfd.readouterr())


def test_starttls_does_without_no_encryption(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    port, mailbox = free_port(), Mailbox()
    with opened(f"smtp+starttls://127.0.0.1:{port}") as box, mail_server(mailbox, port):
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)
        assert portal.call(box.only).last_error
    assert mailbox.messages == []


def test_without_a_server_mails_wait(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    with opened("") as box:
        portal.call(box.post, "bob@example.com")
        portal.call(box.send)
        mail = portal.call(box.only)
        assert (mail.attempts, mail.body, mail.due_at) == (0, "A text", mail.created_at)


def test_old_mails_are_forgotten(opened: Opened, portal: anyio.from_thread.BlockingPortal) -> None:
    with opened("") as box:
        portal.call(box.post, "bob@example.com")
        portal.call(box.turn_clock, job.KEPT_FOR + timedelta(seconds=1))
        portal.call(box.post, "carol@example.com")
        portal.call(lambda: job.drop_old(box.services, now=utcnow()))
        assert [mail.recipient for mail in portal.call(box.all)] == ["carol@example.com"]
