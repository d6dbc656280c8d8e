"""How many requests a caller has: accounts by their id, everybody else by where they come from.

A limit of 0 is none. Windows are those of `storage/cache`: the first request begins one.
"""

import time

from homeport.addresses import counted_as
from homeport.core.access import Actor
from homeport.core.services import Services
from homeport.storage.cache.cache import Window


async def count_request(services: Services, actor: Actor, *, address: str) -> Window | None:
    """Count a request to the Hub API; None if the caller has no limit."""
    settings = services.settings
    limit = settings.rate_limit_anonymous if actor.is_anonymous else settings.rate_limit_user
    if not limit:
        return None
    key = f"request {_caller(actor, address)}"
    return await services.counters.hit(key, limit=limit, window_s=settings.rate_limit_window)


def seconds_until(reset_at: int) -> int:
    """Whole seconds to wait until a time in seconds since 1970; one at least."""
    return max(1, reset_at - int(time.time()))


def _caller(actor: Actor, address: str) -> str:
    return f"address {counted_as(address)}" if actor.account_id is None else f"account {actor.account_id}"
