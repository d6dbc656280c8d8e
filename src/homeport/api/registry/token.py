"""The token service: Docker's token specification, by GET with basic credentials and by POST of a form."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from homeport.api.http import Headers, Request, Response, basic_credentials
from homeport.api.registry.errors import error_response
from homeport.core.access import ANONYMOUS
from homeport.core.activity import Door, Visit
from homeport.core.authentication import SEARCH_ACCESS, Credential, IssuedToken
from homeport.core.limits import pull_limit
from homeport.core.registry_tokens import asks_to_search, granted_access, parse_scopes
from homeport.core.services import Services
from homeport.errors import BodyInvalid, CredentialsInvalid, NotAuthenticated

FORM_SIZE_LIMIT = 64 * 1024
SCOPES_LIMIT = 64


async def handle(services: Services, request: Request) -> Response:
    try:
        if request.method in ("GET", "HEAD"):
            return await _get(services, request)
        if request.method == "POST":
            return await _post(services, request)
    except NotAuthenticated as error:
        # Docker's engine prints `details`; others look for the registry's own shape.
        body = {"details": str(error), "errors": [{"code": "UNAUTHORIZED", "message": str(error)}]}
        return _json(body, status=401)
    return error_response(405, "UNSUPPORTED", "use GET or POST", [(b"allow", b"GET, HEAD, POST")])


async def _get(services: Services, request: Request) -> Response:
    """A token for whoever the basic credentials name; without any, one for nobody."""
    header = request.header(b"authorization")
    credential = None
    if header:
        basic = basic_credentials(header)
        if basic is None:
            raise CredentialsInvalid
        credential = await services.logins.log_in(*basic, _visit(request), takes_organizations=True)
    issued, _ = await _issue(services, credential, request.query.get("scope", []))
    answer: dict[str, Any] = {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.lifetime_s,
        "issued_at": _issued_at(issued),
    }
    if credential is not None and request.parameter("offline_token") == "true":
        answer["refresh_token"] = services.authenticator.refresh_token(credential)
    return _json(answer)


async def _post(services: Services, request: Request) -> Response:
    """The same by OAuth 2: `grant_type=password` or `grant_type=refresh_token`."""
    form = await _form(request)
    grant_type = form.get("grant_type", [""])[0]
    refresh_token = form.get("refresh_token", [""])[0]
    if grant_type == "password":
        name, password = form.get("username", [""])[0], form.get("password", [""])[0]
        credential = await services.logins.log_in(name, password, _visit(request), takes_organizations=True)
    elif grant_type == "refresh_token":
        credential = await services.logins.refresh(refresh_token, address=request.address)
    else:
        raise BodyInvalid("grant_type has to be password or refresh_token")
    issued, granted = await _issue(services, credential, form.get("scope", []))
    answer: dict[str, Any] = {
        "access_token": issued.token,
        "token": issued.token,
        "scope": granted,
        "expires_in": issued.lifetime_s,
        "issued_at": _issued_at(issued),
    }
    if grant_type == "refresh_token":
        answer["refresh_token"] = refresh_token
    elif form.get("access_type", [""])[0] == "offline":
        answer["refresh_token"] = services.authenticator.refresh_token(credential)
    return _json(answer)


async def _issue(services: Services, credential: Credential | None, scope_texts: list[str]) -> tuple[IssuedToken, str]:
    """A token with what is granted of the scopes, and that in words."""
    scopes = parse_scopes(scope_texts)
    if len(scopes) > SCOPES_LIMIT:
        raise BodyInvalid(f"at most {SCOPES_LIMIT} scopes")
    actor = credential.actor if credential else ANONYMOUS
    async with services.db.read() as tx:
        access = await granted_access(tx, actor=actor, scopes=scopes)
    if limit := pull_limit(services.settings, actor):
        parameters = {"pull_limit": str(limit), "pull_limit_interval": str(services.settings.pull_limit_window)}
        access = [{**entry, "parameters": parameters} for entry in access]
    if asks_to_search(scope_texts):
        access = [*access, SEARCH_ACCESS]
    granted = " ".join(f"{entry['type']}:{entry['name']}:{','.join(entry['actions'])}" for entry in access)
    return services.authenticator.registry_token(credential, access), granted


def _visit(request: Request) -> Visit:
    return Visit(Door.REGISTRY, request.address, request.user_agent)


async def _form(request: Request) -> dict[str, list[str]]:
    body = await request.whole_body(FORM_SIZE_LIMIT)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=256)
    except ValueError:
        raise BodyInvalid("the body has to be a form in UTF-8") from None


def _issued_at(issued: IssuedToken) -> str:
    return datetime.fromtimestamp(issued.issued_at, UTC).isoformat().replace("+00:00", "Z")


def _json(value: Any, *, status: int = 200) -> Response:
    headers: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    return Response(status, headers, msgspec.json.encode(value))
