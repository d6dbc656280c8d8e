"""Pages: `page` from 1, `page_size` silently cut to 100, and links to the neighbours."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Request

from homeport.api.http import base_url
from homeport.core.services import Services
from homeport.errors import FieldInvalid, PageUnknown

PAGE_SIZE_LIMIT = 100
PAGE_SIZE_DEFAULT = 10
_PAGE_LIMIT = 10**12
"""No table has as many rows; beyond it the arithmetic of the database would end."""


class PageRequest(msgspec.Struct, frozen=True):
    """Which page was asked for, and how to name its neighbours."""

    number: int
    size: int
    url: str
    parameters: dict[str, str]

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def next(self, total: int) -> str | None:
        """The absolute URL of the next page; None at the end."""
        return self._link(self.number + 1) if self.offset + self.size < total else None

    def previous(self) -> str | None:
        return self._link(self.number - 1) if self.number > 1 else None

    def _link(self, number: int) -> str:
        parameters = {**self.parameters, "page": str(number), "page_size": str(self.size)}
        return f"{self.url}?{urlencode(sorted(parameters.items()))}"


def page_request(request: Request[Any, Any, Any], services: Services) -> PageRequest:
    """The page that a request asks for.

    Raises:
        FieldInvalid: `page` or `page_size` is not a positive whole number.
        PageUnknown: a number beyond any table.
    """
    query = request.scope["query_string"].decode("latin-1")
    parameters = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=256)) if query else {}
    number = _positive(parameters, "page", default=1)
    if number > _PAGE_LIMIT:
        raise PageUnknown
    size = min(_positive(parameters, "page_size", default=PAGE_SIZE_DEFAULT), PAGE_SIZE_LIMIT)
    url = base_url(services.settings, request.scope) + request.scope["path"]  # type: ignore[arg-type]
    return PageRequest(number, size, url, parameters)


def _positive(parameters: dict[str, str], name: str, *, default: int) -> int:
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) < 1:
        raise FieldInvalid({name: ["Must be a positive whole number."]}, f"invalid {name}")
    return int(text)
