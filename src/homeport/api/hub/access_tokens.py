"""Personal access tokens, under their present name and the former one (`/v2/api_tokens`)."""

from typing import Any

import msgspec
from litestar import Request, Router, delete, get, patch, post

from homeport.api.hub.errors import render_field_errors
from homeport.api.hub.pages import page_request
from homeport.api.hub.times import wire_time, wire_time_or_none
from homeport.core import access_tokens
from homeport.core.access import Actor, Scope
from homeport.core.services import Services
from homeport.errors import FieldInvalid
from homeport.storage.db.records import AccessToken

CLIENT_ID = "HUB"
FORMER_LABEL = "API token"
"""What a token is called that was made under the former name without a label."""


class CreateAccessToken(msgspec.Struct, frozen=True):
    token_label: str
    scopes: list[str]
    expires_at: str | None = None


class CreateApiToken(msgspec.Struct, frozen=True):
    token_label: str = FORMER_LABEL
    scopes: list[str] = msgspec.field(default_factory=lambda: [Scope.ADMIN.value])
    expires_at: str | None = None


class UpdateAccessToken(msgspec.Struct, frozen=True):
    token_label: str | None = None
    is_active: bool | None = None


class AccessTokenInfo(msgspec.Struct, frozen=True):
    """A token. `token` is the secret in the answer to its creation, and empty ever after."""

    uuid: str
    client_id: str
    creator_ip: str
    creator_ua: str
    created_at: str
    last_used: str | None
    generated_by: str
    is_active: bool
    token: str
    token_label: str
    scopes: list[str]
    expires_at: str | None

    @classmethod
    def of(cls, token: AccessToken, secret: str = "") -> "AccessTokenInfo":
        return cls(
            uuid=token.uuid,
            client_id=CLIENT_ID,
            creator_ip=token.creator_ip,
            creator_ua=token.creator_ua,
            created_at=wire_time(token.created_at),
            last_used=wire_time_or_none(token.last_used_at),
            generated_by=token.generated_by,
            is_active=token.is_active,
            token=secret,
            token_label=token.label,
            scopes=access_tokens.scopes_of(token),
            expires_at=token.expires_at_text,
        )


class AccessTokenPage(msgspec.Struct, frozen=True):
    count: int
    next: str | None
    previous: str | None
    active_count: int
    results: list[AccessTokenInfo]


@post("/v2/access-tokens", status_code=201)
async def create_access_token(data: CreateAccessToken, services: Services, actor: Actor) -> AccessTokenInfo:
    """Make a personal access token; its secret is in this answer and nowhere else."""
    return await _create(services, actor, data)


@post("/v2/api_tokens", status_code=201)
async def create_api_token(data: CreateApiToken, services: Services, actor: Actor) -> AccessTokenInfo:
    """The same under the former name, where scopes were not asked for."""
    return await _create(services, actor, data)


async def _create(services: Services, actor: Actor, data: CreateAccessToken | CreateApiToken) -> AccessTokenInfo:
    async with services.db.write() as tx:
        created = await access_tokens.create_token(
            tx, actor=actor, label=data.token_label, scopes=data.scopes, expires_at=data.expires_at
        )
    return AccessTokenInfo.of(created.token, created.secret)


@get(["/v2/access-tokens", "/v2/api_tokens"])
async def list_access_tokens(request: Request[Any, Any, Any], services: Services, actor: Actor) -> AccessTokenPage:
    """The caller's tokens, the newest first."""
    page = page_request(request, services)
    async with services.db.read() as tx:
        found = await access_tokens.list_tokens(tx, actor=actor, offset=page.offset, limit=page.size)
    return AccessTokenPage(
        count=found.counts.total,
        next=page.next(found.counts.total),
        previous=page.previous(),
        active_count=found.counts.active,
        results=[AccessTokenInfo.of(token) for token in found.tokens],
    )


@get(["/v2/access-tokens/{uuid:str}", "/v2/api_tokens/{uuid:str}"])
async def get_access_token(uuid: str, services: Services, actor: Actor) -> AccessTokenInfo:
    """One token of the caller."""
    async with services.db.read() as tx:
        return AccessTokenInfo.of(await access_tokens.access_token(tx, actor=actor, uuid=uuid))


@patch(["/v2/access-tokens/{uuid:str}", "/v2/api_tokens/{uuid:str}"])
async def update_access_token(uuid: str, data: UpdateAccessToken, services: Services, actor: Actor) -> AccessTokenInfo:
    """Rename a token, or switch it off and on."""
    async with services.db.write() as tx:
        token = await access_tokens.update_token(
            tx, actor=actor, uuid=uuid, label=data.token_label, is_active=data.is_active
        )
    return AccessTokenInfo.of(token)


# 202, not the description's 204: one client requires it, all others take any 2xx.
@delete(["/v2/access-tokens/{uuid:str}", "/v2/api_tokens/{uuid:str}"], status_code=202)
async def delete_access_token(uuid: str, services: Services, actor: Actor) -> None:
    """Delete a token for good."""
    async with services.db.write() as tx:
        await access_tokens.delete_token(tx, actor=actor, uuid=uuid)


router = Router(
    "/",
    route_handlers=[
        create_access_token,
        create_api_token,
        list_access_tokens,
        get_access_token,
        update_access_token,
        delete_access_token,
    ],
    exception_handlers={FieldInvalid: render_field_errors},
)
