"""`/healthz`: the process answers. `/readyz`: it can serve, with a word for each thing that it needs."""

import msgspec

from homeport.api.http import ROUTE, Response, Scope, Send
from homeport.core.services import Services
from homeport.errors import HomeportError


async def health(services: Services, scope: Scope, send: Send) -> None:
    scope[ROUTE] = scope["path"]
    status, checks = (200, {}) if scope["path"] == "/healthz" else await _readiness(services)
    body = msgspec.json.encode({"status": "ok" if status == 200 else "unavailable", **checks})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await Response(status, headers, body).send(send, is_head=scope["method"] == "HEAD")


async def _readiness(services: Services) -> tuple[int, dict[str, str]]:
    checks = {"database": "ok", "blobs": "ok"}
    try:
        async with services.db.read() as tx:
            await tx.value(int, "select 1")
    except HomeportError as error:
        checks["database"] = str(error)
    try:
        await services.blobs.check()
    except HomeportError as error:
        checks["blobs"] = str(error)
    status = 200 if set(checks.values()) == {"ok"} else 503
    if services.settings.valkey_url:
        # Without it everything goes on, with limits that are wider.
        checks["valkey"] = "ok" if await services.counters.is_shared() else "away"
    return status, checks
