"""Docker Hub API §Personal access tokens, also under its former name `/v2/api_tokens`."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import ACCESS_TOKEN_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import access_tokens, grants
from homeport.core.access import Scope
from homeport.core.access_tokens import Wanted
from homeport.core.grants import Verb
from homeport.core.services import Services
from homeport.storage.db.records import AccessToken

_LIST = ["/v2/access-tokens", "/v2/api_tokens"]
_ONE = ["/v2/access-tokens/{uuid:str}", "/v2/api_tokens/{uuid:str}"]

CLIENT_ID = "HUB"

_EFFECTIVE = "/v2/access-tokens/{uuid:str}/effective"

_PERMISSION = "The account itself, signed in with its password: a bearer made from an access token is refused."


class NarrowGrant(msgspec.Struct):
    """Verbs on some repositories."""

    repositories: Annotated[
        str,
        Meta(
            description="`namespace/name`, a repository that there is; `namespace/*`; `namespace/prefix*`, those whose "
            "names begin so; `*/*/public`, all public ones; or `*/*`, all.",
            examples=["acme/web-*"],
        ),
    ]
    verbs: Annotated[
        list[str],
        Meta(
            description="Any of `pull`, `push` (to new ones too), `delete_tag` (and manifests), `edit_description` and "
            "`administer`, which is all there is.",
            examples=[["pull", "push"]],
        ),
    ]


_Grants = Annotated[
    list[NarrowGrant],
    Meta(description="What it is narrowed to, within its scopes if it has any: 1 to 50. An extension of ours."),
]
_Ranges = Annotated[
    list[str],
    Meta(
        description="Addresses and networks from where it may be used, up to 50; none: anywhere. An extension of ours.",
        examples=[["192.0.2.0/24", "2001:db8::/32"]],
    ),
]
_CanDerive = Annotated[
    bool, Meta(description="Whether it may create tokens that are no wider. An extension of ours.", examples=[False])
]


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

    # Only of tokens that have them: clients of Docker's know no such fields.
    grants: _Grants | msgspec.UnsetType = msgspec.UNSET
    address_ranges: _Ranges | msgspec.UnsetType = msgspec.UNSET
    can_derive: _CanDerive | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, token: AccessToken, *, secret: str = "") -> "AccessTokenInfo":
        given = access_tokens.grants_of(token)
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
            grants=msgspec.UNSET if given is None else [NarrowGrant(one.repositories, one.verbs) for one in given],
            address_ranges=access_tokens.address_ranges_of(token) or msgspec.UNSET,
            can_derive=token.can_derive or msgspec.UNSET,
        )


class AccessTokenPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    active_count: int
    results: Sequence[AccessTokenInfo]


class HeldRepository(msgspec.Struct):
    """A repository that the account has been given something on, with what is left of that by the token."""

    namespace: str
    name: Annotated[str, Meta(examples=["app"])]
    is_private: bool
    verbs: Annotated[Sequence[Verb], Meta(examples=[["pull", "push"]])]


class EffectiveAccess(msgspec.Struct):
    """What a token can do now. Verbs are those of grants, whatever it was given."""

    uuid: str
    is_usable: Annotated[bool, Meta(description="It is active, has not expired, and so it is with those above it.")]
    address_ranges: _Ranges
    public: Annotated[Sequence[Verb], Meta(description="On all other public repositories.", examples=[["pull"]])]
    private: Annotated[
        Sequence[Verb], Meta(description="On all other private ones: a site administrator's.", examples=[[]])
    ]
    count: int
    next: str | None
    previous: str | None
    results: Sequence[HeldRepository]


class CreateAccessToken(msgspec.Struct):
    token_label: str
    scopes: Annotated[list[str], Meta(description="Needed where there are no `grants`.")] | None = None
    expires_at: str | None = None
    grants: _Grants | None = None
    address_ranges: _Ranges | None = None
    can_derive: _CanDerive | None = None


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


async def needs_maker(request: Any, _handler: BaseRouteHandler) -> None:
    """A guard that turns away who may not make tokens, before their body is looked at."""
    access_tokens.check_maker(request.actor)


async def needs_own_account(request: Any, _handler: BaseRouteHandler) -> None:
    """A guard that turns away who may not manage tokens, before their body is looked at."""
    access_tokens.own_account(request.actor)


@post(
    "/v2/access-tokens",
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    guards=[needs_maker],
    **reference(
        Section.ACCESS_TOKENS,
        permission=f"{_PERMISSION} But one that was made with `can_derive` creates tokens that are no wider.",
        errors=(401, 403),
    ),
)
async def create_access_token(
    data: JSONBody[CreateAccessToken], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """Create a personal access token; the answer alone holds its secret. What one token creates ends with it."""
    wanted = Wanted(
        label=data.token_label,
        scopes=data.scopes,
        expires_at=data.expires_at,
        grants=None
        if data.grants is None
        else [grants.NarrowGrant(one.repositories, one.verbs) for one in data.grants],
        address_ranges=data.address_ranges or (),
        can_derive=bool(data.can_derive),
    )
    async with services.db.write() as tx:
        created = await access_tokens.create_token(
            tx, actor=request.actor, wanted=wanted, plans=services.settings.plans
        )
    return AccessTokenInfo.of(created.token, secret=created.secret)


@post(
    "/v2/api_tokens",
    status_code=201,
    response_headers={"Cache-Control": "no-store"},
    guards=[needs_own_account],
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403)),
)
async def create_api_token(
    data: JSONBody[CreateApiToken], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """Create a personal access token as older clients ask for it."""
    wanted = Wanted(
        label=data.token_label or "API token",
        scopes=[Scope.ADMIN] if data.scopes is None else data.scopes,
        expires_at=data.expires_at,
    )
    async with services.db.write() as tx:
        created = await access_tokens.create_token(
            tx, actor=request.actor, wanted=wanted, plans=services.settings.plans
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


@get(
    _LIST,
    guards=[needs_own_account],
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404), query=PAGES),
)
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


@get(
    _ONE, guards=[needs_own_account], **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404))
)
async def get_access_token(
    uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> AccessTokenInfo:
    """One of the caller's personal access tokens."""
    async with services.db.read() as tx:
        token = await access_tokens.access_token(tx, actor=request.actor, uuid=uuid)
    return AccessTokenInfo.of(token)


@patch(
    _ONE, guards=[needs_own_account], **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404))
)
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
    guards=[needs_own_account],
    **reference(Section.ACCESS_TOKENS, permission=_PERMISSION, errors=(401, 403, 404)),
)
async def delete_access_token(
    uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> Response[bytes]:
    """Delete a personal access token; it stops working at once."""
    async with services.db.write() as tx:
        await access_tokens.delete_token(tx, actor=request.actor, uuid=uuid)
    return Response(b"", status_code=202, media_type="text/plain")


@get(
    _EFFECTIVE,
    **reference(
        Section.ACCESS_TOKENS,
        permission="The account itself, signed in with its password; a token may ask about itself.",
        errors=(401, 403, 404),
        query=PAGES,
        is_extension=True,
    ),
)
async def get_effective_access(
    uuid: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> EffectiveAccess:
    """What a personal access token can do now: its grants, and what the account's roles leave of them, for each
    repository that the account has been given anything on, and for all others.
    """
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await access_tokens.effective(tx, actor=request.actor, uuid=uuid, offset=page.offset, limit=page.size)
    next_, previous = page.links(request, services.settings, found.total)
    return EffectiveAccess(
        uuid=found.token.uuid,
        is_usable=found.is_usable,
        address_ranges=access_tokens.address_ranges_of(found.token),
        public=found.on_public,
        private=found.on_private,
        count=found.total,
        next=next_,
        previous=previous,
        results=[
            HeldRepository(
                namespace=repository.namespace,
                name=repository.name,
                is_private=repository.is_private,
                verbs=verbs,
            )
            for repository, verbs in found.repositories
        ],
    )


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
        get_effective_access,
    ],
    exception_handlers=renderers(ACCESS_TOKEN_ERRORS),
)
