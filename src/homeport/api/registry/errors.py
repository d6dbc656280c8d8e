"""Domain errors in the words of the registry: OCI Distribution Spec §Error Codes, and the Bearer challenge."""

import time
from collections.abc import Mapping

import msgspec

from homeport import errors as e
from homeport.api.hosts import registry_host, token_url
from homeport.api.http import Request, Response
from homeport.api.registry.exchange import API_VERSION
from homeport.core.access import Action, Actor, Ceiling
from homeport.names import RepositoryName
from homeport.settings import Settings

OCI_ERRORS: Mapping[type[e.HomeportError], tuple[int, str]] = {
    e.HomeportError: (500, "UNKNOWN"),
    e.Invalid: (400, "UNSUPPORTED"),
    e.RepositoryNameInvalid: (400, "NAME_INVALID"),
    e.AccountNameInvalid: (400, "NAME_INVALID"),
    e.TagNameInvalid: (400, "TAG_INVALID"),
    e.DigestInvalid: (400, "DIGEST_INVALID"),
    e.DigestMismatch: (400, "DIGEST_INVALID"),
    e.SizeMismatch: (400, "SIZE_INVALID"),
    e.RangeInvalid: (416, "BLOB_UPLOAD_INVALID"),
    e.ManifestInvalid: (400, "MANIFEST_INVALID"),
    e.ManifestUnsupported: (400, "MANIFEST_INVALID"),
    e.PageInvalid: (400, "PAGINATION_NUMBER_INVALID"),
    e.Unknown: (404, "NAME_UNKNOWN"),
    e.ManifestUnknown: (404, "MANIFEST_UNKNOWN"),
    e.TagUnknown: (404, "MANIFEST_UNKNOWN"),
    e.BlobUnknown: (404, "BLOB_UNKNOWN"),
    e.ManifestBlobUnknown: (404, "MANIFEST_BLOB_UNKNOWN"),
    e.UploadUnknown: (404, "BLOB_UPLOAD_UNKNOWN"),
    e.Conflict: (409, "DENIED"),
    e.UploadBusy: (409, "BLOB_UPLOAD_INVALID"),
    e.Denied: (403, "DENIED"),
    e.NotAuthenticated: (401, "UNAUTHORIZED"),
    e.TooLarge: (413, "SIZE_INVALID"),
    e.ManifestTooLarge: (413, "MANIFEST_INVALID"),
    e.TooMany: (429, "TOOMANYREQUESTS"),
    e.Unavailable: (503, "UNAVAILABLE"),
    e.StoreFull: (507, "UNAVAILABLE"),
}

RETRY_AFTER_S = 5


def closest(error: e.HomeportError) -> tuple[int, str]:
    """Status and code of the nearest class in the table."""
    return next(OCI_ERRORS[cls] for cls in type(error).__mro__ if cls in OCI_ERRORS)


def render(error: e.HomeportError, request: Request) -> Response:
    """An error as the registry says it."""
    status, code = closest(error)
    headers = []
    if isinstance(error, e.TooMany):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
        headers.append((b"x-retry-after", str(int(time.time()) + error.retry_after_s).encode()))
    elif isinstance(error, e.Unavailable):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    elif isinstance(error, e.RangeInvalid):
        # The client can go on from here (OCI Distribution Spec §Pushing a blob in chunks).
        headers.append((b"location", request.path.encode()))
        headers.append((b"range", upload_range(error.offset)))
    return error_response(status, code, str(error), headers)


def challenge(
    settings: Settings,
    request: Request,
    *,
    name: RepositoryName | None = None,
    action: Action | None = None,
    is_insufficient: bool = False,
    message: str = "authentication required",
) -> Response:
    """401 with the way to a token (Docker's token specification).

    A token that is too narrow is told so by `insufficient_scope`, and the request is called denied: clients show
    that word when the next token is no wider.
    """
    realm, service = token_url(settings, request.scope), registry_host(settings, request.scope)
    header = f'Bearer realm="{realm}",service="{service}"'
    if name is not None and action is not None:
        header += f',scope="repository:{name}:{_SCOPES[action]}"'
    if is_insufficient:
        header += ',error="insufficient_scope"'
    code = "DENIED" if is_insufficient else "UNAUTHORIZED"
    text = "requested access to the resource is denied" if is_insufficient else message
    return error_response(401, code, text, [(b"www-authenticate", header.encode("latin-1"))])


_SCOPES = {Action.PULL: "pull", Action.PUSH: "pull,push", Action.DELETE: "pull,delete"}


def is_beyond_token(actor: Actor, name: RepositoryName, action: Action) -> bool:
    """Whether the registry token itself, whoever holds it, was not made for this."""
    own_layer = Ceiling(actor.ceiling.layers[-1:])
    return not any(
        grant.repository == name and action in grant.actions for layer in own_layer.layers for grant in layer
    )


def error_response(status: int, code: str, message: str, headers: list[tuple[bytes, bytes]] | None = None) -> Response:
    body = msgspec.json.encode({"errors": [{"code": code, "message": message, "detail": None}]})
    return Response(status, [API_VERSION, (b"content-type", b"application/json"), *(headers or ())], body)


def upload_range(size: int) -> bytes:
    """The `Range` header of an upload: the bytes that are there. Of none it says `0-0`, as all registries do."""
    return f"0-{max(size - 1, 0)}".encode()
