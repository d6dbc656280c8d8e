"""How many requests a caller has left, as every answer of the Hub and SCIM doors says it."""

from homeport.api.http import Headers
from homeport.storage.cache.cache import Window


def headers(window: Window | None) -> Headers:
    """How many requests are left until when; nothing where there is no limit."""
    if window is None:
        return []
    return [
        (b"x-ratelimit-limit", b"%d" % window.limit),
        (b"x-ratelimit-remaining", b"%d" % window.remaining),
        (b"x-ratelimit-reset", b"%d" % window.reset_at),
    ]
