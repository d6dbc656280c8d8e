"""Pages as Docker Hub numbers them: `page` from 1, `page_size` up to 100, and links to the neighbours."""

from typing import NamedTuple
from urllib.parse import quote, urlencode

from homeport.api.http import base_url
from homeport.api.hub.requests import HubRequest
from homeport.errors import FieldInvalid
from homeport.settings import Settings

SIZE = 10
SIZE_LIMIT = 100
"""Clients ask for 1000 and 10000, and go by what they get."""

NUMBER_LIMIT = 10**12
"""Beyond every last page; what is asked for behind it is taken for it."""


class Page(NamedTuple):
    """Which part of a list is asked for."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    @classmethod
    def of(cls, request: HubRequest, *, default_size: int = SIZE) -> "Page":
        """Raises: FieldInvalid: a number or size that is not a positive whole number."""
        return cls(
            _positive(request, "page", default=1),
            min(_positive(request, "page_size", default=default_size), SIZE_LIMIT),
        )

    def links(self, request: HubRequest, settings: Settings, total: int) -> tuple[str | None, str | None]:
        """Absolute URLs of the next page and of the previous one; None at the ends."""
        has_next = self.number * self.size < total
        return (
            _link(request, settings, self.number + 1) if has_next else None,
            _link(request, settings, self.number - 1) if self.number > 1 else None,
        )


def _positive(request: HubRequest, name: str, *, default: int) -> int:
    text = request.parameter(name)
    if text is None:
        return default
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdigit()):
        raise FieldInvalid({name: ["Must be a positive whole number."]}, f"Invalid {name} value")
    return min(int(digits[:18]), NUMBER_LIMIT)


def _link(request: HubRequest, settings: Settings, number: int) -> str:
    plain = request.plain
    query = sorted({**plain.query, "page": [str(number)]}.items())
    return f"{base_url(settings, plain.scope)}{quote(plain.path)}?{urlencode(query, doseq=True)}"
