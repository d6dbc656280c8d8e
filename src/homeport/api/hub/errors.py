"""Domain errors in the words of the Hub API. Each section of the contract has a shape of its own:

- logins: `{"detail": …}`
- access tokens: `{"fields": {…}, "text": …}` for what was sent wrong
- everything else: `{"message": …, "detail": …, "errinfo": {…}}`

Clients read a thing as gone only if the body says "not found", so that every 404 says it.
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from homeport import errors as e

Answer = Response[bytes]

HUB_ERRORS: Mapping[type[e.HomeportError], int] = {
    e.HomeportError: 500,
    e.Invalid: 400,
    e.Unknown: 404,
    e.Conflict: 409,
    e.Denied: 403,
    e.NotAuthenticated: 401,
    e.TooLarge: 413,
    e.TooMany: 429,
    e.Unavailable: 503,
    e.StoreFull: 507,
}

LOGIN_REFUSED = "Incorrect authentication credentials"
RETRY_AFTER_S = 5


def status_of(error: e.HomeportError) -> int:
    """The status of the nearest class in the table."""
    return next(HUB_ERRORS[cls] for cls in type(error).__mro__ if cls in HUB_ERRORS)


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON, headers=dict(headers or {})
    )


def render(_request: Request[Any, Any, Any], error: e.HomeportError) -> Answer:
    """The common shape. `message` and `detail` both hold the text: generations of clients read one or the other."""
    status = status_of(error)
    message = "unauthorized" if status == 401 else _message(error)
    body = {"message": message, "detail": str(error), "errinfo": _errinfo(error)}
    return answer(status, body, _headers(error))


def render_login(_request: Request[Any, Any, Any], error: e.HomeportError) -> Answer:
    """Refused logins (wire: `detail` alone). An exchange of credentials adds the common keys."""
    detail = LOGIN_REFUSED if isinstance(error, e.CredentialsInvalid) else _sentence(str(error))
    return answer(status_of(error), {"detail": detail, "message": detail}, _headers(error))


def render_field_errors(_request: Request[Any, Any, Any], error: e.FieldInvalid) -> Answer:
    """What was wrong with which field."""
    return answer(400, {"fields": {name: list(lines) for name, lines in error.fields.items()}, "text": str(error)})


def render_framework(_request: Request[Any, Any, Any], error: HTTPException) -> Answer:
    """What the framework found before a route was reached: an unknown path, a wrong method, a parameter of a wrong
    type."""
    if isinstance(error, NotFoundException):
        return answer(404, {"message": "404: page not found", "detail": "Page not found", "errinfo": {}})
    if isinstance(error, MethodNotAllowedException):
        return answer(405, {"message": "405: Method Not Allowed"}, error.headers)
    detail = _validation_text(error)
    return answer(error.status_code, {"message": detail, "detail": detail, "errinfo": {}}, error.headers)


def render_malformed(request: Request[Any, Any, Any], error: HTTPException) -> Answer | Response[str]:
    """A login whose body is not JSON (wire: plain text)."""
    if error.status_code == 400 and not error.extra:
        return Response("malformed request: the body has to be JSON", status_code=400, media_type=MediaType.TEXT)
    return render_framework(request, error)


def _message(error: e.HomeportError) -> str:
    if isinstance(error, e.TagUnknown):
        return f"httperror 404: {error}"
    return "object not found" if isinstance(error, e.RepositoryUnknown) else str(error)


def _errinfo(error: e.HomeportError) -> dict[str, str]:
    if not isinstance(error, e.RepositoryUnknown | e.TagUnknown):
        return {}
    namespace, _, repository = str(error.name).partition("/")
    info = {"namespace": namespace, "repository": repository}
    if isinstance(error, e.TagUnknown):
        info["tag"] = error.tag
    return info


def _headers(error: e.HomeportError) -> dict[str, str]:
    if isinstance(error, e.TooMany):
        # Seconds and unix time: clients of two generations read one each.
        wait_s = error.retry_after_s
        return {"Retry-After": str(wait_s), "X-Retry-After": str(int(time.time()) + wait_s)}
    return {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, e.Unavailable) else {}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _validation_text(error: HTTPException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    lines = [f"{entry.get('key', 'body')}: {entry.get('message')}" for entry in extra if isinstance(entry, dict)]
    return "; ".join(lines) or error.detail
