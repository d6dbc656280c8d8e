"""Mails that the tests wait for: they are written a moment after they were asked for, and hold links to pages."""

import re
import time
from typing import NamedTuple

from homeport.storage.db.records import Mail
from tests.home import Home
from tests.inviting import mails_to, run, value

LINK = re.compile(
    r"^(?P<base>https?://[^/\s]+)/account/(?P<what>[a-z-]+)/(?P<id>\S+)\?token=(?P<token>\S+)$", re.MULTILINE
)
WRITTEN_WITHIN_S = 10


class AccountLink(NamedTuple):
    url: str
    base: str
    what: str
    id: str
    token: str


def settle(home: Home) -> None:
    """Wait until everything has been answered that somebody asked to be mailed."""
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while value(home, int, "select count(*) from mail_requests"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def settled_mails(home: Home, address: str) -> list[Mail]:
    """The mails to an address, the oldest first, once all requests are answered."""
    settle(home)
    return mails_to(home, address)


def link_of(mail: Mail) -> AccountLink:
    match = LINK.search(mail.body)
    assert match is not None, mail.body
    return AccountLink(match[0], match["base"], match["what"], match["id"], match["token"])


def last_account_link(home: Home, address: str) -> AccountLink:
    return link_of(settled_mails(home, address)[-1])


def age_links(home: Home, address: str, *, seconds: int) -> None:
    """Have the links that went to an address be so many seconds older."""
    settle(home)
    run(
        home,
        """
        update confirmations set created_at = created_at - :past, expires_at = expires_at - :past
        where email = :email
        """,
        email=address,
        past=seconds * 1_000_000,
    )
