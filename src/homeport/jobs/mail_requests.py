"""Answers what people have asked to be mailed: `core/confirmations.py` tells why that is not done while they wait."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog

from homeport.core import email_changes, password_changes, sign_ups
from homeport.core.services import Services
from homeport.errors import Unavailable
from homeport.settings import Settings
from homeport.storage.db import confirmations as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import MailRequest, Purpose

log = structlog.get_logger()

KEPT_FOR = timedelta(days=30)
"""How long the page of a link that does not work any more says why."""

ANSWERS: Mapping[Purpose, Callable[[Transaction, MailRequest, Settings], Awaitable[None]]] = {
    Purpose.SIGN_UP: sign_ups.answer,
    Purpose.PASSWORD: password_changes.answer,
    Purpose.EMAIL: email_changes.answer,
}


async def answer_all(services: Services) -> int:
    """Answer what is waiting, until nothing is; how many there were."""
    answered = 0
    while (id_ := await _next(services)) is not None:
        try:
            async with services.db.write() as tx:
                if request := await rows.take_request(tx, id_):
                    await ANSWERS[request.purpose](tx, request, services.settings)
        except Unavailable:
            raise
        except Exception:
            # Whatever is wrong with one, the others are answered.
            log.exception("a request for a mail is dropped", request=id_)
            async with services.db.write() as tx:
                await rows.take_request(tx, id_)
        answered += 1
    return answered


async def drop_old(services: Services, *, now: datetime) -> None:
    """Forget links of long ago, used or not."""
    longest = max(services.settings.confirmation_lifetime, services.settings.password_reset_lifetime)
    async with services.db.write() as tx:
        await rows.delete_old(tx, before=now - timedelta(seconds=longest) - KEPT_FOR, limit=10_000)


async def _next(services: Services) -> int | None:
    async with services.db.read() as tx:
        return await rows.next_request(tx)
