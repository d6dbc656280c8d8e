"""OCI Distribution Spec §Listing tags."""

from homeport.api.registry.exchange import Exchange, next_link
from homeport.core import tags
from homeport.errors import PageInvalid

PAGE_LIMIT = 10_000
"""Tags in one answer; more of them are behind the `Link` header."""


async def get(exchange: Exchange, _item: str) -> None:
    """Names of the tags in byte order, from behind `last`, at most `n`."""
    request = exchange.request
    text = request.parameter("n")
    if text is not None and not (text.isascii() and text.isdigit()):
        raise PageInvalid(f"n has to be a whole number, not {text[:32]!r}")
    limit = min(int(text[:18]), PAGE_LIMIT) if text else PAGE_LIMIT
    async with exchange.services.db.read() as tx:
        names = await tags.list_names(
            tx,
            actor=exchange.actor,
            name=exchange.name,
            after=request.parameter("last") or "",
            limit=limit + 1,
        )
    page = names[:limit]
    has_more = len(names) > limit and page
    links = [next_link(f"{exchange.path}/tags/list", n=limit, last=page[-1])] if has_more else []
    await exchange.answer_json({"name": str(exchange.name), "tags": page}, links)
