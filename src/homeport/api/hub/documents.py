"""The description of this door: `/openapi.json` for programs, `/reference` for people."""

import asyncio
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from homeport.api.http import base_url
from homeport.api.hub.openapi import describe, merged
from homeport.api.hub.reference_page import render
from homeport.api.hub.requests import HubRequest
from homeport.core.services import Services

BESIDE = "beside"
"""What describes another door, which the reference has too."""

_DESCRIPTION = "description"
_PAGES = "pages"
_PAGES_LIMIT = 8
"""Rendered pages that are kept, by server: making one takes tens of milliseconds."""

# The page has no script and takes nothing from elsewhere.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@get("/openapi.json")
async def get_description(request: HubRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """The description of this door as OpenAPI 3.1, with this server's address in it."""
    server = base_url(services.settings, request.plain.scope)
    body = msgspec.json.encode({**description_of(request.app), "servers": [{"url": server}]})
    return Response(body, media_type="application/json")


@get("/reference")
async def get_reference(request: HubRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """The description as a page for people."""
    server = base_url(services.settings, request.plain.scope)
    page = await asyncio.to_thread(page_of, request.app, server)
    return Response(page, media_type="text/html", headers=_PAGE_HEADERS)


def description_of(app: Any) -> dict[str, Any]:
    """The description of an application's routes, made at the first call."""
    if _DESCRIPTION not in app.state:
        beside = app.state[BESIDE]
        app.state[_DESCRIPTION] = merged(describe(app.routes), beside() if beside else {})
    found: dict[str, Any] = app.state[_DESCRIPTION]
    return found


def page_of(app: Any, server: str) -> bytes:
    """The page for one server's address, kept for the next time."""
    pages: dict[str, bytes] = app.state.setdefault(_PAGES, {})
    if server not in pages:
        if len(pages) >= _PAGES_LIMIT:
            pages.clear()
        pages[server] = render(description_of(app), server).encode()
    return pages[server]


handlers = [get_description, get_reference]
