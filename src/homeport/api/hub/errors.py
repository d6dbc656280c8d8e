"""Domain errors in the words of Docker's Hub API, which has a shape of error body for each of its sections."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException

from homeport import errors as e
from homeport.names import RepositoryName

Shape = Callable[[Any], Mapping[str, Any] | msgspec.Raw | str]
"""From an error to its body: an object, JSON to the byte, or a plain text."""

Table = Mapping[type[e.HomeportError], tuple[int, Shape]]

RETRY_AFTER_S = 5


def error(error: e.HomeportError) -> Mapping[str, Any]:
    """Docker's `error`. Clients look for the text in `message` or in `detail`; both have it."""
    return {"message": str(error), "detail": str(error), "errinfo": {}}


def forbidden(error: e.HomeportError) -> Mapping[str, Any]:
    return {"message": str(error), "errinfo": {}}


def unauthorized(_error: e.NotAuthenticated) -> Mapping[str, Any]:
    """Docker's bytes; why a token is no good is not told."""
    return {"message": "unauthorized", "errinfo": {}}


def object_unknown(error: e.RepositoryUnknown) -> Mapping[str, Any]:
    errinfo = {}
    if isinstance(error.name, RepositoryName):
        errinfo = {"namespace": error.name.namespace, "repository": error.name.name}
    return {"message": "object not found", "detail": "Object not found", "errinfo": errinfo}


def tag_unknown(error: e.TagUnknown) -> Mapping[str, Any]:
    errinfo = {**object_unknown(error)["errinfo"], "tag": error.tag}  # type: ignore[arg-type]  # it has a name, too
    return {"message": f"httperror 404: {error}", "errinfo": errinfo}


def value_error(error: e.Invalid) -> Mapping[str, Any]:
    """Docker's `ValueError`."""
    fields = error.fields if isinstance(error, e.FieldInvalid) else {}
    return {"fields": fields, "text": str(error)}


def rate_limited(error: e.TooMany) -> Mapping[str, Any]:
    return {"detail": str(error), "error": False}


def detail(error: e.HomeportError) -> Mapping[str, Any]:
    """The old shape, which the login has kept."""
    return {"detail": str(error)}


def code_wanted(error: e.SecondFactorRequired) -> Mapping[str, Any]:
    return {"detail": str(error), "login_2fa_token": error.login_token}


def code_wanted_with_message(error: e.SecondFactorRequired) -> Mapping[str, Any]:
    return {"message": str(error), **code_wanted(error), "errinfo": {}}


def wrong_password(_error: e.CredentialsInvalid) -> Mapping[str, Any]:
    return {"detail": "Incorrect authentication credentials"}


def detail_of_fields(error: e.FieldInvalid) -> Mapping[str, Any]:
    reasons = [f"{field}: {' '.join(texts)}" for field, texts in error.fields.items()]
    return {"detail": "; ".join([str(error), *reasons])}


def error_of_fields(error: e.FieldInvalid) -> Mapping[str, Any]:
    """Docker's `error`; the fields stand in its text, and in `errinfo`."""
    reasons = {field: " ".join(texts) for field, texts in error.fields.items()}
    text = "; ".join([str(error), *(f"{field}: {reason}" for field, reason in reasons.items())])
    return {"message": text, "detail": text, "errinfo": reasons}


def group_unknown(_error: e.TeamUnknown) -> msgspec.Raw:
    """Bytes that one client compares, with their blank."""
    return msgspec.Raw(b'{"detail": "Not found"}')


def text(error: e.BodyInvalid) -> str:
    return str(error)


HUB_ERRORS: Table = {
    e.HomeportError: (500, error),
    e.Invalid: (400, error),
    e.FieldInvalid: (400, value_error),
    e.PageInvalid: (400, value_error),
    e.Unknown: (404, error),
    e.RepositoryUnknown: (404, object_unknown),
    e.TagUnknown: (404, tag_unknown),
    e.Conflict: (409, error),
    e.Denied: (403, forbidden),
    e.NotAuthenticated: (401, unauthorized),
    e.TooLarge: (413, error),
    e.TooMany: (429, rate_limited),
    e.Unavailable: (503, error),
}

ACCESS_TOKEN_ERRORS: Table = {**HUB_ERRORS, e.Invalid: (400, value_error)}
"""Of the routes that manage tokens."""

EXCHANGE_ERRORS: Table = {
    **HUB_ERRORS,
    e.NotAuthenticated: (401, error),
    e.SecondFactorRequired: (401, code_wanted_with_message),
}
"""Of `/v2/auth/token`."""

RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 413: 11, 429: 8, 500: 13, 503: 14}
"""What gRPC calls the statuses of HTTP; Docker's audit log answers with these numbers."""


def rpc_status(status: int) -> Shape:
    """Docker's `rpcStatus`, with the text where most other sections have it, too."""

    def shape(error: e.HomeportError) -> Mapping[str, Any]:
        message = str(error)
        if isinstance(error, e.FieldInvalid):
            message = detail_of_fields(error)["detail"]
        elif isinstance(error, e.NotAuthenticated):
            message = unauthorized(error)["message"]
        return {"code": RPC_CODES[status], "message": message, "details": [], "detail": message}

    return shape


AUDIT_ERRORS: Table = {
    **{cls: (status, rpc_status(status)) for cls, (status, _) in HUB_ERRORS.items()},
    e.TooMany: (429, rate_limited),
}
"""Of `/v2/auditlogs`."""

INVITE_ERRORS: Table = {**HUB_ERRORS, e.FieldInvalid: (400, error_of_fields), e.PageInvalid: (400, error)}
"""Of the routes of invites, and of the outbox."""

REPOSITORY_ERRORS: Table = {**HUB_ERRORS, e.FieldInvalid: (400, error_of_fields)}
"""Of the routes of one repository, and of those that make one."""

REPOSITORY_GROUP_ERRORS: Table = {**REPOSITORY_ERRORS, e.Conflict: (400, error)}
"""Of what groups may do to a repository: at a 400 a client goes on to change what is there already."""

LOGIN_ERRORS: Table = {
    **{cls: (status, detail) for cls, (status, _) in HUB_ERRORS.items()},
    e.FieldInvalid: (400, detail_of_fields),
    e.BodyInvalid: (400, text),
    e.CredentialsInvalid: (401, wrong_password),
    e.SecondFactorRequired: (401, code_wanted),
}
"""Of `/v2/users/login` and `/v2/users/2fa-login`."""


def oauth(code: str) -> Shape:
    """The errors of RFC 6749 §5.2. Docker's clients show the description."""

    def shape(error: e.HomeportError) -> Mapping[str, Any]:
        text = detail_of_fields(error)["detail"] if isinstance(error, e.FieldInvalid) else str(error)
        return {"error": error.code if isinstance(error, e.DeviceLoginRefused) else code, "error_description": text}

    return shape


OAUTH_ERRORS: Table = {
    e.HomeportError: (500, oauth("server_error")),
    e.Invalid: (400, oauth("invalid_request")),
    e.Unknown: (404, oauth("invalid_request")),
    e.Conflict: (409, oauth("invalid_request")),
    e.TooLarge: (413, oauth("invalid_request")),
    e.GrantUnsupported: (400, oauth("unsupported_grant_type")),
    # 403 in place of RFC 6749's 400, as Docker's service has it.
    e.Denied: (403, oauth("access_denied")),
    e.NotAuthenticated: (403, oauth("invalid_grant")),
    e.PasswordRefused: (403, oauth("access_denied")),
    e.TooMany: (429, oauth("slow_down")),
    e.Unavailable: (503, oauth("temporarily_unavailable")),
}
"""Of `/oauth`."""

ORGANIZATION_ERRORS: Table = {**HUB_ERRORS, e.FieldInvalid: (400, error_of_fields), e.Conflict: (400, error)}
"""Of the routes of members, of which the description knows no 409."""

WEBHOOK_ERRORS: Table = {**HUB_ERRORS, e.FieldInvalid: (400, error_of_fields)}
"""Of the routes of webhooks."""

GROUP_ERRORS: Table = {**ORGANIZATION_ERRORS, e.TeamUnknown: (404, group_unknown)}
"""Of the routes of groups."""


def closest(table: Table, error: e.HomeportError) -> tuple[int, Shape]:
    """Status and shape of the nearest class in a table."""
    return next(table[cls] for cls in type(error).__mro__ if cls in table)


Handler = Callable[[Request[Any, Any, Any], Any], Response[bytes]]


def renderers(table: Table) -> dict[int | type[Exception], Handler]:
    """What Litestar calls with the errors of a section."""

    def render(_request: Request[Any, Any, Any], error: e.HomeportError) -> Response[bytes]:
        status, shape = closest(table, error)
        return answer(status, shape(error), _headers(error))

    def without_body(request: Request[Any, Any, Any], _error: ValidationException) -> Response[bytes]:
        # A body that is there is read by `HubRequest`, so this is one that is not.
        return render(request, e.BodyInvalid("malformed request: EOF"))

    return {e.HomeportError: render, ValidationException: without_body}


def render_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Where no route fits the path or the method."""
    if isinstance(error, MethodNotAllowedException):
        return answer(405, {"message": "405: Method Not Allowed"}, error.headers)
    message = "page not found" if error.status_code == 404 else error.detail
    return answer(error.status_code, {"message": message, "errinfo": {}})


def pass_on(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What nobody expected goes up to `RequestLog`, which writes it down and answers."""
    raise error


def answer(
    status: int, body: Mapping[str, Any] | msgspec.Raw | str, headers: Mapping[str, Any] | None = None
) -> Response[bytes]:
    is_text = isinstance(body, str)
    return Response(
        body.encode() if isinstance(body, str) else msgspec.json.encode(body),
        status_code=status,
        headers=headers,
        media_type="text/plain" if is_text else "application/json",
    )


def _headers(error: e.HomeportError) -> dict[str, str]:
    if isinstance(error, e.TooMany):
        # Older clients read the second, a unix time.
        return {
            "Retry-After": str(error.retry_after_s),
            "X-Retry-After": str(int(time.time()) + error.retry_after_s),
        }
    if isinstance(error, e.Unavailable):
        return {"Retry-After": str(RETRY_AFTER_S)}
    if isinstance(error, e.NotAuthenticated):
        return {"WWW-Authenticate": "Bearer"}
    return {}
