"""Drops what is known of logins that have ended, when no token of theirs can be alive any more."""

from datetime import datetime, timedelta

from homeport.core.services import Services
from homeport.storage.db import sessions as rows

KEPT_FOR = timedelta(days=400)
"""Longer than tokens are let live by most settings, for a setting may have been longer when a token was made."""


async def drop_old(services: Services, *, now: datetime) -> None:
    settings = services.settings
    longest = timedelta(seconds=max(settings.refresh_token_lifetime, settings.login_token_lifetime))
    async with services.db.write() as tx:
        await rows.delete_old(tx, before=now - max(longest, KEPT_FOR), limit=10_000)
