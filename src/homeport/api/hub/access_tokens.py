"""Docker Hub API §Personal access tokens, also under its former name `/v2/api_tokens`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody

from homeport.api.hub.errors import ACCESS_TOKEN_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import access_tokens
from homeport.core.access import Scope
from homeport.core.services import Services
from homeport.storage.db.records import AccessToken

_LIST = ["/v2/access-tokens", "/v2/api_tokens"]
_ONE = ["/v2/access-tokens/{uuid:str}", "/v2/api_tokens/{uuid:str}"]

CLIENT_ID = "HUB"

_PERMISSION = "The account itself, signed in with its password: a bearer made from an access token is refused."


class AccessTokenInfo(msgspec.Struct):
    uuid: str
    client_id: str
    creator_ip: str
    creator_ua: str
    created_at: str
    last_used: str | None
    generated_by: str
    is_active: bool
    token: str
    """The secret in the answer to its creation, empty ever after."""
    token_label: str
    scopes: Sequence[str]
    expires_at: str | None
    """As it was sent: clients compare it with what they wrote."""

    @classmethod
    def of(cls, token: AccessToken, *, secret: str = "") -> "AccessTokenInfo":
        return cls(
            uuid=token.uuid,
            client_id=CLIENT_ID,
            creator_ip=token.creator_ip,
            creator_ua=token.creator_ua,
            created_at=timestamp(token.created_at),
            last_used=timestamp_or_none(token.last_used_at),
            generated_by=token.generated_by,
            is_active=token.is_active,
            token=secret,
            token_label=token.label,
            scopes=access_tokens.scopes_of(token),
            expires_at=token.expires_at_text,
        )


class AccessTokenPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    active_count: int
    results: Sequence[AccessTokenInfo]


class CreateAccessToken(msgspec.Struct):
    token_label: str
    scopes: list[str]
    expires_at: str | None = None


class GeneratedSecret(msgspec.Struct):
    token: str


class GeneratedToken(msgspec.Struct):
    data: GeneratedSecret


class CreateApiToken(msgspec.Struct):
    """The former request: no scopes, an optional label, and an `is_active` of false that is not meant."""

    token_label: str | None = None
    scopes: list[str] | None = None
    expires_at: str | None = None


class UpdateAccessToken(msgspec.Struct):
    token_label: str | None = None
    is_active: bool | None = None


@post(
    "/v2/access-tokens",
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403)),
)
async def create_access_token(
    data: JSONBody[CreateAccessToken], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """Create a personal access token; the answer alone holds its secret."""
    async with services.db.write() as tx:
        created = await access_tokens.create_token(
            tx,
            actor=request.actor,
            label=data.token_label,
            scopes=data.scopes,
            expires_at=data.expires_at,
            plans=services.settings.plans,
        )
    return AccessTokenInfo.of(created.token, secret=created.secret)


@post(
    "/v2/api_tokens",
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403)),
)
async def create_api_token(
    data: JSONBody[CreateApiToken], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """Create a personal access token as older clients ask for it."""
    async with services.db.write() as tx:
        created = await access_tokens.create_token(
            tx,
            actor=request.actor,
            label=data.token_label or "API token",
            scopes=[Scope.ADMIN] if data.scopes is None else data.scopes,
            expires_at=data.expires_at,
            plans=services.settings.plans,
        )
    return AccessTokenInfo.of(created.token, secret=created.secret)


@post(
    "/v2/access-tokens/desktop-generate",
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    **reference(
        Section.ACCESS_TOKENS,
        summary="Create personal access token for a program",
        permission=_PERMISSION,
        errors=(401, 403),
    ),
)
async def generate_access_token(request: HubRequest, services: NamedDependency[Services]) -> GeneratedToken:
    """Create the personal access token that a program keeps after a login in the browser. An account has no more than
    five of them: the oldest ones are deleted.
    """
    async with services.db.write() as tx:
        created = await access_tokens.generate_token(tx, actor=request.actor, plans=services.settings.plans)
    return GeneratedToken(GeneratedSecret(created.secret))


@get(_LIST, **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404), query=PAGES))
async def list_access_tokens(request: HubRequest, services: NamedDependency[Services]) -> AccessTokenPage:
    """The caller's personal access tokens, the newest first."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await access_tokens.list_tokens(tx, actor=request.actor, offset=page.offset, limit=page.size)
    next_, previous = page.links(request, services.settings, found.counts.total)
    return AccessTokenPage(
        count=found.counts.total,
        next=next_,
        previous=previous,
        active_count=found.counts.active,
        results=[AccessTokenInfo.of(token) for token in found.tokens],
    )


@get(_ONE, **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404)))
async def get_access_token(
    uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """One of the caller's personal access tokens."""
    async with services.db.read() as tx:
        token = await access_tokens.access_token(tx, actor=request.actor, uuid=uuid)
    return AccessTokenInfo.of(token)


@patch(_ONE, **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404)))
async def update_access_token(
    uuid: FromPath[str],
    data: JSONBody[UpdateAccessToken],
    request: HubRequest,
    services: NamedDependency[Services],
) -> AccessTokenInfo:
    """Rename a personal access token, or switch it off and on."""
    async with services.db.write() as tx:
        token = await access_tokens.update_token(
            tx, actor=request.actor, uuid=uuid, label=data.token_label, is_active=data.is_active
        )
    return AccessTokenInfo.of(token)


# Not 204, as the description has it: one client takes no other answer than the 202 that Docker Hub gives.
@delete(
    _ONE,
    status_code=202,
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404)),
)
async def delete_access_token(
    uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> Response[bytes]:
    """Delete a personal access token; it stops working at once."""
    async with services.db.write() as tx:
        await access_tokens.delete_token(tx, actor=request.actor, uuid=uuid)
    return Response(b"", status_code=202, media_type="text/plain")


async def needs_own_account(request: Any, _handler: BaseRouteHandler) -> None:
    """A guard that turns away who may not manage tokens, before their body is looked at."""
    access_tokens.own_account(request.actor)


router = Router(
    "/",
    route_handlers=[
        create_access_token,
        create_api_token,
        generate_access_token,
        list_access_tokens,
        get_access_token,
        update_access_token,
        delete_access_token,
    ],
    guards=[needs_own_account],
    exception_handlers=renderers(ACCESS_TOKEN_ERRORS),
)
