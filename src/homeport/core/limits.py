"""How many requests and pulls a caller has: accounts by their id, everybody else by where they come from.

A limit of 0 is none. Windows are those of `storage/cache`: the first request begins one.
"""

from homeport.addresses import counted_as
from homeport.core.access import Actor
from homeport.core.services import Services
from homeport.errors import TooManyDeviceCodes, TooManyMailRequests, TooManyPulls
from homeport.metrics import REFUSALS
from homeport.settings import Settings
from homeport.storage.cache.cache import Window

MAIL_REQUESTS_WINDOW_S = 3600


async def count_request(services: Services, actor: Actor, *, address: str) -> Window | None:
    """Count a request to the Hub API; None if the caller has no limit."""
    settings = services.settings
    limit = settings.rate_limit_anonymous if actor.is_anonymous else settings.rate_limit_user
    if not limit:
        return None
    key = f"request {_caller(actor, address)}"
    window = await services.counters.hit(key, limit=limit, window_s=settings.rate_limit_window)
    if not window.is_allowed:
        services.metrics.count(REFUSALS, "requests")
    return window


async def count_pull(services: Services, actor: Actor, *, address: str) -> None:
    """Count a pull that is about to be answered.

    Raises:
        TooManyPulls
    """
    limit, window_s = pull_limit(services.settings, actor), services.settings.pull_limit_window
    if limit:
        window = await services.counters.hit(f"pull {_caller(actor, address)}", limit=limit, window_s=window_s)
        if not window.is_allowed:
            services.metrics.count(REFUSALS, "pulls")
            raise TooManyPulls(limit, window_s, window.wait_s)


async def count_mail_request(services: Services, *, address: str) -> None:
    """Count that somebody asks for a mail to an address that need not be theirs.

    Raises:
        TooManyMailRequests
    """
    limit = services.settings.mail_requests_per_address
    window = await services.counters.hit(f"mail {counted_as(address)}", limit=limit, window_s=MAIL_REQUESTS_WINDOW_S)
    if not window.is_allowed:
        services.metrics.count(REFUSALS, "mails")
        raise TooManyMailRequests(window.wait_s)


async def count_device_code(services: Services, *, address: str) -> None:
    """Count that somebody tries a code that a program shows.

    Raises:
        TooManyDeviceCodes
    """
    limit, window_s = services.settings.login_attempts_per_address, services.settings.login_attempts_window
    window = await services.counters.hit(f"device code {counted_as(address)}", limit=limit, window_s=window_s)
    if not window.is_allowed:
        services.metrics.count(REFUSALS, "device codes")
        raise TooManyDeviceCodes(window.wait_s)


async def look_at_pulls(services: Services, actor: Actor, *, address: str) -> Window | None:
    """How many pulls the caller has left; None if there is no limit."""
    limit, window_s = pull_limit(services.settings, actor), services.settings.pull_limit_window
    if not limit:
        return None
    return await services.counters.look(f"pull {_caller(actor, address)}", limit=limit, window_s=window_s)


def pull_limit(settings: Settings, actor: Actor) -> int:
    """Pulls that the caller has within `pull_limit_window`; 0 for any number."""
    return settings.pull_limit_anonymous if actor.is_anonymous else settings.pull_limit_user


def _caller(actor: Actor, address: str) -> str:
    return f"address {counted_as(address)}" if actor.account_id is None else f"account {actor.account_id}"
