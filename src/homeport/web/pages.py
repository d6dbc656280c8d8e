"""How pages are made: templates that escape what they show, one style, strict headers, and a page for each error."""

import base64
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from homeport import errors as e
from homeport.api.http import Response
from homeport.storage.db.records import InviteStatus

_FOLDER = Path(__file__).parent / "templates"
_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_style = (_FOLDER / "style.css").read_text("utf-8")
_style_sha256 = base64.b64encode(hashlib.sha256(_style.encode()).digest()).decode()
_templates.globals["style"] = _style

_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_style_sha256}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"x-frame-options", b"deny"),
    (b"x-content-type-options", b"nosniff"),
    # The address of a page may hold a secret.
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]

WEB_ERRORS: Mapping[type[e.HomeportError], int] = {
    e.HomeportError: 500,
    e.Invalid: 400,
    e.Unknown: 404,
    e.Conflict: 409,
    e.InviteClosed: 410,
    e.ConfirmationClosed: 410,
    # A wrong password too: 401 would need a scheme that a browser asks for by itself.
    e.Denied: 403,
    e.TooLarge: 413,
    e.TooMany: 429,
    e.Unavailable: 503,
}

_CLOSED = {
    InviteStatus.ACCEPTED: ("This invite has been used", "Somebody has already joined by it."),
    InviteStatus.DECLINED: ("This invite has been declined", "If that was a mistake, ask for a new one."),
    InviteStatus.CANCELLED: ("This invite has been cancelled", "Whoever sent it has taken it back."),
    InviteStatus.EXPIRED: ("This invite has expired", "Ask whoever sent it to send it again."),
}


def page(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """A page from a template."""
    body = _templates.get_template(template).render(**values).encode()
    more = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Response(status, [*_HEADERS, *more], body)


def status_of(error: e.HomeportError) -> int:
    return next(WEB_ERRORS[cls] for cls in type(error).__mro__ if cls in WEB_ERRORS)


def headers_of(error: e.HomeportError) -> dict[str, str]:
    if isinstance(error, e.TooMany):
        return {"retry-after": str(error.retry_after_s), "x-retry-after": str(int(time.time()) + error.retry_after_s)}
    return {"retry-after": "5"} if isinstance(error, e.Unavailable) else {}


def error_page(error: e.HomeportError | None) -> Response:
    """A page that says what is wrong; None stands for a path that leads nowhere."""
    if isinstance(error, e.InviteClosed):
        title, text = _CLOSED[InviteStatus(error.status)]
    elif isinstance(error, e.InviteUnknown):
        title = "Invite not found"
        text = "The link is not complete, or a newer mail has replaced it. Use the link of the last mail, as a whole."
    elif isinstance(error, e.ConfirmationClosed):
        title, text = "This link does not work any more", f"{sentence(error.why)} Ask for a new one."
    elif isinstance(error, e.ConfirmationUnknown):
        title, text = "Link not found", "The link is not complete. Use the link of the mail, as a whole."
    elif error is None or isinstance(error, e.Unknown):
        title, text = "Page not found", "There is nothing here."
    elif isinstance(error, e.Unavailable):
        title, text = "Not available", "Homeport cannot answer just now. Try again in a moment."
    else:
        title, text = "This did not work", sentence(str(error))
    status = status_of(error) if error else 404
    return page("message.html", status, headers_of(error) if error else None, title=title, text=text)


def sentence(text: str) -> str:
    """An error's words as a sentence that stands alone."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
