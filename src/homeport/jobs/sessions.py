"""Drops what is known of logins that have ended, when no token of theirs can be alive any more; and logins of programs
that have expired.
"""

from datetime import datetime, timedelta

from homeport.core.services import Services
from homeport.storage.db import device_logins as device_rows
from homeport.storage.db import sessions as rows

KEPT_FOR = timedelta(days=400)
"""Longer than tokens are let live by most settings, for a setting may have been longer when a token was made."""

DEVICE_LOGINS_KEPT_FOR = timedelta(hours=1)
"""So long a program is told that its code has expired, or was used."""


async def drop_old(services: Services, *, now: datetime) -> None:
    settings = services.settings
    longest = timedelta(seconds=max(settings.refresh_token_lifetime, settings.login_token_lifetime))
    async with services.db.write() as tx:
        await rows.delete_old(tx, before=now - max(longest, KEPT_FOR), limit=10_000)
        await device_rows.delete_old(tx, before=now - DEVICE_LOGINS_KEPT_FOR, limit=10_000)
