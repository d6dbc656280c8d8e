"""Webhooks of a repository: beyond Docker's reference, by the path that clients use and by the one of newer routes.

Docker's clients make one in two calls: a name first, then a URL. Secrets, switching one off, and the log of deliveries
are extensions of ours.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.errors import WEBHOOK_ERRORS, renderers
from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import webhook_deliveries, webhooks
from homeport.core.services import Services
from homeport.core.webhooks import ShownWebhook
from homeport.names import RepositoryName
from homeport.storage.db.records import WebhookDelivery, WebhookTarget

_LIST = [
    "/v2/namespaces/{namespace:str}/repositories/{repository:str}/webhooks",
    "/v2/repositories/{namespace:str}/{repository:str}/webhooks",
]
_ONE = [f"{path}/{{webhook_id:int}}" for path in _LIST]
_HOOKS = [f"{path}/hooks" for path in _ONE]
_DELIVERIES = [f"{path}/deliveries" for path in _ONE]
_DELIVERY = [f"{path}/{{delivery_id:str}}" for path in _DELIVERIES]
_REDELIVER = [f"{path}/redeliver" for path in _DELIVERY]

EXCERPT_LENGTH_LIMIT = 4096
"""Characters that are shown of what was sent."""

_NOT_KEPT = {"Cache-Control": "no-store"}
_TOLD: dict[str, Any] = {
    "permission": "Who may administer the repository.",
    "errors": (401, 403, 404),
}

_Secret = Annotated[
    str,
    Meta(
        description="What signs deliveries: `whsec_` and the base64 of 24 to 64 random bytes. An extension of ours.",
        examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
    ),
]
_Name = Annotated[str, Meta(description="Of an account.", examples=["ann"])]
_Url = Annotated[str, Meta(examples=["https://ci.example.com/pushed"])]


class HookInfo(msgspec.Struct):
    """A URL that a webhook delivers to."""

    id: int
    hook_url: _Url
    creator: _Name
    last_updater: _Name
    date_added: Annotated[str, Meta(examples=["2026-02-03T04:05:06.789012Z"])]
    created: Annotated[str, Meta(examples=["2026-02-03T04:05:06.789012Z"])]
    last_updated: str
    active: bool

    @classmethod
    def of(cls, target: WebhookTarget, *, is_active: bool) -> "HookInfo":
        created = timestamp(target.created_at)
        creator = target.creator or ""
        return cls(
            id=target.id,
            hook_url=target.url,
            creator=creator,
            last_updater=creator,
            date_added=created,
            created=created,
            last_updated=created,
            active=is_active,
        )


class WebhookInfo(msgspec.Struct):
    id: int
    name: Annotated[str, Meta(examples=["deploy"])]
    active: bool
    expect_final_callback: bool
    creator: _Name
    last_updated: str
    last_updater: _Name
    created: Annotated[str, Meta(examples=["2026-02-03T04:05:06.789012Z"])]
    hooks: Annotated[Sequence[HookInfo], Meta(description="Its URLs, as older clients call them.")]
    webhooks: Annotated[Sequence[HookInfo], Meta(description="The same, as newer clients call them.")]
    secret: Annotated[
        str | msgspec.UnsetType,
        Meta(
            description="What signs deliveries: shown once, when it is made. An extension of ours.",
            examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
        ),
    ] = msgspec.UNSET

    @classmethod
    def of(cls, shown: ShownWebhook, secret: str = "") -> "WebhookInfo":
        webhook = shown.webhook
        hooks = [HookInfo.of(target, is_active=webhook.is_active) for target in shown.targets]
        return cls(
            id=webhook.id,
            name=webhook.name,
            active=webhook.is_active,
            expect_final_callback=webhook.expects_final_callback,
            creator=webhook.creator or "",
            last_updated=timestamp(webhook.updated_at),
            last_updater=webhook.updater or "",
            created=timestamp(webhook.created_at),
            hooks=hooks,
            webhooks=hooks,
            secret=secret or msgspec.UNSET,
        )


class WebhookPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[WebhookInfo]


class CreateHook(msgspec.Struct):
    hook_url: _Url


class CreateWebhook(msgspec.Struct):
    name: Annotated[str, Meta(examples=["deploy"])]
    expect_final_callback: Annotated[bool | None, Meta(description="Kept, and nothing goes by it.")] = None
    active: Annotated[bool | None, Meta(description="An extension of ours.")] = None
    secret: _Secret | None = None
    hooks: Sequence[CreateHook] | None = None
    webhooks: Annotated[Sequence[CreateHook] | None, Meta(description="URLs to begin with; `hooks` does, too.")] = None


class UpdateWebhook(msgspec.Struct):
    """Clients send whole webhooks back: what cannot be changed is left out of account."""

    name: Annotated[str | None, Meta(examples=["deploy"])] = None
    expect_final_callback: bool | None = None
    active: bool | None = None
    secret: _Secret | None = None


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryInfo(msgspec.Struct):
    """A push of a tag on its way to a URL, or there, or given up."""

    id: Annotated[
        str,
        Meta(description="The header `webhook-id`: the same in each attempt.", examples=["1f0e2c6e-6a3b-4d53-9a5e"]),
    ]
    event: str
    tag: Annotated[str, Meta(examples=["1.0"])]
    hook_id: int
    hook_url: _Url
    status: DeliveryStatus
    created_at: str
    attempts: int
    attempted_at: Annotated[str | None, Meta(description="When the last attempt began.")]
    duration_ms: Annotated[int | None, Meta(description="How long it took.")]
    http_status: Annotated[int | None, Meta(description="What it was answered with; null: not at all.")]
    error: Annotated[str, Meta(description="Why it failed; empty if it did not.")]
    delivered_at: str | None
    next_attempt_at: Annotated[str | None, Meta(description="Null once it is delivered or given up.")]
    request_body: Annotated[
        str | msgspec.UnsetType, Meta(description="What is sent, or its beginning; in the answer for one delivery.")
    ] = msgspec.UNSET
    response_body: Annotated[
        str | msgspec.UnsetType,
        Meta(description="The beginning of the last answer; in the answer for one delivery."),
    ] = msgspec.UNSET

    @classmethod
    def of(cls, delivery: WebhookDelivery, *, is_whole: bool) -> "DeliveryInfo":
        return cls(
            id=delivery.uuid,
            event="push",
            tag=delivery.tag,
            hook_id=delivery.target_id,
            hook_url=delivery.url,
            status=_status(delivery),
            created_at=timestamp(delivery.created_at),
            attempts=delivery.attempts,
            attempted_at=timestamp_or_none(delivery.attempted_at),
            duration_ms=delivery.duration_ms,
            http_status=delivery.http_status,
            error=delivery.error,
            delivered_at=timestamp_or_none(delivery.delivered_at),
            next_attempt_at=timestamp_or_none(delivery.due_at),
            request_body=_sent(delivery) if is_whole else msgspec.UNSET,
            response_body=delivery.answer if is_whole else msgspec.UNSET,
        )


class DeliveryPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[DeliveryInfo]


@get(_LIST, **reference(Section.REPOSITORIES, **_TOLD, query=PAGES, opened_by="scope-webhook-read"))
async def list_webhooks(
    namespace: FromPath[str], repository: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> WebhookPage:
    """The webhooks of a repository, the first one first."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await webhooks.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    return WebhookPage(found.total, next_, previous, [WebhookInfo.of(shown) for shown in found.webhooks])


@post(
    _LIST,
    response_headers=_NOT_KEPT,
    **reference(Section.REPOSITORIES, **_TOLD | {"errors": (401, 403, 404, 409)}, opened_by="scope-webhook-edit"),
)
async def create_webhook(
    namespace: FromPath[str],
    repository: FromPath[str],
    data: JSONBody[CreateWebhook],
    request: HubRequest,
    services: NamedDependency[Services],
) -> WebhookInfo:
    """Make a webhook. Its URLs come with it, or one by one afterwards. Without a secret one is made, and shown in this
    answer alone.
    """
    hooks = data.webhooks or data.hooks or ()
    async with services.db.write() as tx:
        created = await webhooks.create_webhook(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            title=data.name,
            is_active=data.active is not False,
            expects_final_callback=bool(data.expect_final_callback),
            secret=data.secret,
            urls=[hook.hook_url for hook in hooks],
        )
    return WebhookInfo.of(created.shown, created.secret)


@get(_ONE, **reference(Section.REPOSITORIES, **_TOLD, is_extension=True, opened_by="scope-webhook-read"))
async def get_webhook(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    request: HubRequest,
    services: NamedDependency[Services],
) -> WebhookInfo:
    """One webhook, without its secret."""
    async with services.db.read() as tx:
        shown = await webhooks.access_webhook(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), id_=webhook_id
        )
    return WebhookInfo.of(shown)


@patch(_ONE, **reference(Section.REPOSITORIES, **_TOLD, is_extension=True, opened_by="scope-webhook-edit"))
async def update_webhook(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    *,
    data: JSONBody[UpdateWebhook],
    request: HubRequest,
    services: NamedDependency[Services],
) -> WebhookInfo:
    """Rename a webhook, switch it on or off, or give it another secret, which signs from the next attempt on. What
    waits for delivery when one is switched off is given up.
    """
    async with services.db.write() as tx:
        shown = await webhooks.update_webhook(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            id_=webhook_id,
            title=data.name,
            is_active=data.active,
            expects_final_callback=data.expect_final_callback,
            secret=data.secret,
        )
    return WebhookInfo.of(shown)


@delete(_ONE, status_code=204, **reference(Section.REPOSITORIES, **_TOLD, opened_by="scope-webhook-admin"))
async def delete_webhook(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    request: HubRequest,
    services: NamedDependency[Services],
) -> None:
    """Delete a webhook with its log. What waits for delivery is not delivered any more."""
    async with services.db.write() as tx:
        await webhooks.delete_webhook(
            tx, actor=request.actor, name=RepositoryName(namespace, repository), id_=webhook_id
        )


@post(
    _HOOKS,
    **reference(Section.REPOSITORIES, **_TOLD | {"errors": (401, 403, 404, 409)}, opened_by="scope-webhook-edit"),
)
async def create_webhook_hook(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    *,
    data: JSONBody[CreateHook],
    request: HubRequest,
    services: NamedDependency[Services],
) -> HookInfo:
    """Have a webhook deliver to one more URL; a URL that it has already changes nothing."""
    name = RepositoryName(namespace, repository)
    async with services.db.write() as tx:
        target = await webhooks.add_target(tx, actor=request.actor, name=name, id_=webhook_id, url=data.hook_url)
        shown = await webhooks.access_webhook(tx, actor=request.actor, name=name, id_=webhook_id)
    return HookInfo.of(target, is_active=shown.webhook.is_active)


@get(
    _DELIVERIES,
    **reference(Section.REPOSITORIES, **_TOLD, query=PAGES, is_extension=True, opened_by="scope-webhook-read"),
)
async def list_webhook_deliveries(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    request: HubRequest,
    services: NamedDependency[Services],
) -> DeliveryPage:
    """What a webhook has delivered, tries to deliver or has given up, the newest first."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await webhook_deliveries.list_page(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            webhook_id=webhook_id,
            page=page.number,
            page_size=page.size,
        )
    next_, previous = page.links(request, services.settings, found.total)
    results = [DeliveryInfo.of(delivery, is_whole=False) for delivery in found.deliveries]
    return DeliveryPage(found.total, next_, previous, results)


@get(_DELIVERY, **reference(Section.REPOSITORIES, **_TOLD, is_extension=True, opened_by="scope-webhook-read"))
async def get_webhook_delivery(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    delivery_id: FromPath[str],
    *,
    request: HubRequest,
    services: NamedDependency[Services],
) -> DeliveryInfo:
    """One delivery, with the beginning of what is sent and of what was answered last."""
    async with services.db.read() as tx:
        delivery = await webhook_deliveries.access_delivery(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            webhook_id=webhook_id,
            delivery=delivery_id,
        )
    return DeliveryInfo.of(delivery, is_whole=True)


@post(
    _REDELIVER,
    status_code=202,
    **reference(
        Section.REPOSITORIES,
        **_TOLD | {"errors": (401, 403, 404, 409)},
        is_extension=True,
        opened_by="scope-webhook-edit",
    ),
)
async def redeliver_webhook_delivery(
    namespace: FromPath[str],
    repository: FromPath[str],
    webhook_id: FromPath[int],
    delivery_id: FromPath[str],
    *,
    request: HubRequest,
    services: NamedDependency[Services],
) -> DeliveryInfo:
    """Have something delivered again, with the same body and id. What waits for its next attempt is sent at once; a
    409 says that the webhook is switched off.
    """
    async with services.db.write() as tx:
        delivery = await webhook_deliveries.redeliver(
            tx,
            actor=request.actor,
            name=RepositoryName(namespace, repository),
            webhook_id=webhook_id,
            delivery=delivery_id,
        )
    return DeliveryInfo.of(delivery, is_whole=True)


def _status(delivery: WebhookDelivery) -> DeliveryStatus:
    if delivery.due_at is not None:
        return DeliveryStatus.PENDING
    return DeliveryStatus.FAILED if delivery.delivered_at is None else DeliveryStatus.DELIVERED


def _sent(delivery: WebhookDelivery) -> str:
    body = webhook_deliveries.body_of(webhook_id=delivery.webhook_id, delivery=delivery.uuid, payload=delivery.payload)
    return body.decode()[:EXCERPT_LENGTH_LIMIT]


router = Router(
    "/",
    route_handlers=[
        list_webhooks,
        create_webhook,
        get_webhook,
        update_webhook,
        delete_webhook,
        create_webhook_hook,
        list_webhook_deliveries,
        get_webhook_delivery,
        redeliver_webhook_delivery,
    ],
    exception_handlers=renderers(WEBHOOK_ERRORS),
)
