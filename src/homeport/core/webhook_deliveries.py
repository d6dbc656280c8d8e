"""What webhooks deliver: written in the transaction of the push that they tell of, and sent by jobs/webhooks.py.

The payload is Docker's, with the digest added. It is signed as the specification Standard Webhooks says
(docs/operations/webhooks.md): HMAC-SHA256 over `id.timestamp.body`. The id stays the same in each attempt.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from homeport.core import webhooks
from homeport.core.access import Action, Actor, access_repository
from homeport.core.audit import AuditAction
from homeport.core.repositories import lock_repository
from homeport.errors import DeliveryUnknown, PageUnknown, WebhookOff
from homeport.names import Digest, RepositoryName
from homeport.settings import Settings
from homeport.storage.db import webhook_deliveries as rows
from homeport.storage.db import webhooks as webhook_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import PushedRepository, Repository, WebhookDelivery
from homeport.storage.db.webhook_deliveries import NewDelivery, NewEvent


class DeliveryPage(msgspec.Struct, frozen=True):
    total: int
    deliveries: Sequence[WebhookDelivery]


async def post_push(
    tx: Transaction, *, settings: Settings, actor: Actor, repository: Repository, tags: Sequence[str], digest: Digest
) -> None:
    """Have webhooks told of a push: of each tag, at each URL. The caller holds the repository's lock."""
    targets = await webhook_rows.list_told_targets(tx, repository.id) if tags else []
    if not targets:
        return
    pushed = await rows.get_pushed(tx, repository.id)
    assert pushed is not None
    now = utcnow()
    events = []
    for tag in tags:
        payload = _payload(settings, actor, repository, pushed, tag=tag, digest=digest, at=now)
        events.append(NewEvent(str(uuid.uuid4()), str(tag), msgspec.json.encode(payload).decode()))
    await rows.insert_events(tx, repository.id, events, now=now)
    deliveries = [
        NewDelivery(str(uuid.uuid4()), target.webhook_id, target.id, event.id) for event in events for target in targets
    ]
    await rows.insert_all(tx, deliveries, now=now)
    await webhook_rows.wake(tx, [target.id for target in targets], now=now)


def _payload(
    settings: Settings,
    actor: Actor,
    repository: Repository,
    pushed: PushedRepository,
    *,
    tag: str,
    digest: Digest,
    at: datetime,
) -> dict[str, Any]:
    """Docker's payload, but for `callback_url`. Times are whole seconds: typed receivers take nothing else."""
    name = RepositoryName(repository.namespace, repository.name)
    return {
        "push_data": {
            "pushed_at": int(at.timestamp()),
            "pusher": actor.name,
            "tag": str(tag),
            "digest": str(digest),
            "images": [],
        },
        "repository": {
            "comment_count": 0,
            "date_created": int(pushed.created_at.timestamp()),
            "description": pushed.description,
            "dockerfile": "",
            "full_description": pushed.full_description,
            "is_official": pushed.is_official,
            "is_private": pushed.is_private,
            "is_trusted": False,
            "name": name.name,
            "namespace": name.namespace,
            "owner": name.namespace,
            "repo_name": str(name),
            "repo_url": f"{settings.listen_url}/v2/repositories/{name}/",
            "star_count": pushed.star_count,
            "status": "Active",
        },
    }


def body_of(*, webhook_id: int, delivery: str, payload: str) -> bytes:
    """What is posted: the same bytes in each attempt. `callback_url` leads to the delivery in the log."""
    found = msgspec.json.decode(payload)
    url = f"{found['repository']['repo_url'].removesuffix('/')}/webhooks/{webhook_id}/deliveries/{delivery}/"
    return msgspec.json.encode({"callback_url": url, **found})


def signature(secret: str, *, delivery: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` (Standard Webhooks §Signature scheme)."""
    key = webhooks.key_of(secret)
    assert key is not None
    signed = f"{delivery}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def list_page(
    tx: Transaction, *, actor: Actor, name: RepositoryName, webhook_id: int, page: int, page_size: int
) -> DeliveryPage:
    """A page of a webhook's deliveries, the newest first.

    Raises:
        WebhookUnknown
        PageUnknown: there is no such page; the first one is there even when it is empty.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_WEBHOOKS)
    webhook = await webhooks.of_repository(tx, repository, webhook_id)
    tx = tx.lists
    total = await rows.count(tx, webhook.id)
    found = await rows.list_page(tx, webhook_id=webhook.id, offset=(page - 1) * page_size, limit=page_size)
    if page > 1 and not found:
        raise PageUnknown
    return DeliveryPage(total, found)


async def access_delivery(
    tx: Transaction, *, actor: Actor, name: RepositoryName, webhook_id: int, delivery: str
) -> WebhookDelivery:
    """One delivery.

    Raises:
        WebhookUnknown, DeliveryUnknown
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_WEBHOOKS)
    webhook = await webhooks.of_repository(tx, repository, webhook_id)
    return await _of_webhook(tx, webhook.id, delivery)


async def redeliver(
    tx: Transaction, *, actor: Actor, name: RepositoryName, webhook_id: int, delivery: str
) -> WebhookDelivery:
    """Have something delivered again, under the same id; what waits for its next attempt is sent at once.

    Raises:
        WebhookUnknown, DeliveryUnknown
        WebhookOff
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.EDIT_WEBHOOKS)
    await lock_repository(tx, repository)
    webhook = await webhooks.of_repository(tx, repository, webhook_id)
    found = await _of_webhook(tx, webhook.id, delivery)
    if not webhook.is_active:
        raise WebhookOff(webhook.id)
    now = utcnow()
    await rows.set_due(tx, found.uuid, now=now)
    await webhook_rows.wake(tx, [found.target_id], now=now)
    await webhooks.record(
        tx, actor, AuditAction.REPO_WEBHOOK_REDELIVER, repository, webhook, delivery=found.uuid, tag=found.tag
    )
    return await _of_webhook(tx, webhook.id, delivery)


async def _of_webhook(tx: Transaction, webhook_id: int, delivery: str) -> WebhookDelivery:
    found = await rows.get(tx, webhook_id=webhook_id, uuid=delivery)
    if found is None:
        raise DeliveryUnknown(delivery)
    return found
