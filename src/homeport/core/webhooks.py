"""Webhooks: who is told of pushes to a repository, at which URLs.

A webhook's secret signs what it delivers (`core/webhook_deliveries.py`). It is kept as it is, since signing takes it,
and shown once, when it is made here; one that a client brings along is not shown at all.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Action, Actor, access_repository
from homeport.core.audit import AuditAction
from homeport.core.outbound import Url
from homeport.core.repositories import lock_repository
from homeport.errors import FieldInvalid, PageUnknown, TooManyWebhooks, WebhookUnknown
from homeport.names import RepositoryName
from homeport.storage.db import webhook_deliveries as delivery_rows
from homeport.storage.db import webhooks as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Repository, Webhook, WebhookTarget

WEBHOOKS_LIMIT = 20
"""Webhooks of one repository."""

TARGETS_LIMIT = 10
"""URLs of one webhook."""

NAME_LENGTH_LIMIT = 255
ID_LIMIT = 2**62
"""Above every id."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets of Standard Webhooks begin with
SECRET_BYTES = 32
SECRET_SIZES = range(24, 65)
"""Bytes that a secret may have, as the same specification says."""


class ShownWebhook(msgspec.Struct, frozen=True):
    """A webhook with its URLs, the first one first."""

    webhook: Webhook
    targets: Sequence[WebhookTarget]


class Created(msgspec.Struct, frozen=True):
    """A new webhook. `secret` is empty where the client has brought its own."""

    shown: ShownWebhook
    secret: str


class WebhookPage(msgspec.Struct, frozen=True):
    total: int
    webhooks: Sequence[ShownWebhook]


async def list_page(tx: Transaction, *, actor: Actor, name: RepositoryName, page: int, page_size: int) -> WebhookPage:
    """A page of a repository's webhooks, the first one first.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_WEBHOOKS)
    total = await rows.count(tx, repository.id)
    found = await rows.list_page(tx, repository_id=repository.id, offset=(page - 1) * page_size, limit=page_size)
    if page > 1 and not found:
        raise PageUnknown
    targets: dict[int, list[WebhookTarget]] = {webhook.id: [] for webhook in found}
    for target in await rows.list_targets(tx, list(targets)) if found else ():
        targets[target.webhook_id].append(target)
    return WebhookPage(total, [ShownWebhook(webhook, targets[webhook.id]) for webhook in found])


async def access_webhook(tx: Transaction, *, actor: Actor, name: RepositoryName, id_: int) -> ShownWebhook:
    """One webhook.

    Raises:
        WebhookUnknown
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.READ_WEBHOOKS)
    return await _shown(tx, await of_repository(tx, repository, id_))


async def create_webhook(
    tx: Transaction,
    *,
    actor: Actor,
    name: RepositoryName,
    title: str,
    is_active: bool = True,
    expects_final_callback: bool = False,
    secret: str | None = None,
    urls: Sequence[str] = (),
) -> Created:
    """Make a webhook of a repository, with the URLs that it delivers to or, first, without any.

    Raises:
        FieldInvalid: the name, the secret or a URL.
        TooManyWebhooks: the repository has as many as it may have.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await _locked(tx, actor, name, Action.EDIT_WEBHOOKS)
    _check_name(title)
    _check_secret(secret)
    urls = [_checked(url) for url in urls]
    if await rows.count(tx, repository.id) >= WEBHOOKS_LIMIT:
        raise TooManyWebhooks("webhooks of a repository", WEBHOOKS_LIMIT)
    if len(urls) > TARGETS_LIMIT:
        raise TooManyWebhooks("URLs of a webhook", TARGETS_LIMIT)
    id_ = await rows.insert(
        tx,
        repository_id=repository.id,
        name=title,
        is_active=is_active,
        expects_final_callback=expects_final_callback,
        secret=secret or (made := _new_secret()),
        actor_id=actor.account_id,
    )
    await rows.insert_targets(tx, id_, urls, actor_id=actor.account_id)
    webhook = await of_repository(tx, repository, id_)
    await record(tx, actor, AuditAction.REPO_WEBHOOK_CREATE, repository, webhook, hosts=_hosts(urls))
    return Created(await _shown(tx, webhook), "" if secret else made)


async def add_target(tx: Transaction, *, actor: Actor, name: RepositoryName, id_: int, url: str) -> WebhookTarget:
    """Have a webhook deliver to one more URL. A URL that it has already changes nothing.

    Raises:
        FieldInvalid: this is no URL for a webhook.
        WebhookUnknown
        TooManyWebhooks: the webhook has as many URLs as it may have.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await _locked(tx, actor, name, Action.EDIT_WEBHOOKS)
    webhook = await of_repository(tx, repository, id_)
    url = _checked(url)
    present = await rows.list_targets(tx, [webhook.id])
    if found := next((target for target in present if target.url == url), None):
        return found
    if len(present) >= TARGETS_LIMIT:
        raise TooManyWebhooks("URLs of a webhook", TARGETS_LIMIT)
    await rows.insert_targets(tx, webhook.id, [url], actor_id=actor.account_id)
    await record(tx, actor, AuditAction.REPO_WEBHOOK_UPDATE, repository, webhook, hosts=_hosts([url]))
    return (await rows.list_targets(tx, [webhook.id]))[-1]


async def update_webhook(
    tx: Transaction,
    *,
    actor: Actor,
    name: RepositoryName,
    id_: int,
    title: str | None = None,
    is_active: bool | None = None,
    expects_final_callback: bool | None = None,
    secret: str | None = None,
) -> ShownWebhook:
    """Change a webhook; None leaves something as it is. What is under way while one is switched off is given up.

    Raises:
        FieldInvalid: the name or the secret.
        WebhookUnknown
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await _locked(tx, actor, name, Action.EDIT_WEBHOOKS)
    webhook = await of_repository(tx, repository, id_)
    wanted = {"name": title, "is_active": is_active, "expects_final_callback": expects_final_callback}
    changed = {field: value for field, value in wanted.items() if value not in (None, getattr(webhook, field))}
    if "name" in changed:
        _check_name(title or "")
    _check_secret(secret)
    if not changed and secret is None:
        return await _shown(tx, webhook)
    values = {field: getattr(webhook, field) for field in wanted} | changed
    await rows.update(tx, webhook.id, **values, secret=secret, actor_id=actor.account_id)
    if changed.get("is_active") is False:
        await delivery_rows.give_up(tx, webhook.id, error="the webhook was switched off")
        await rows.rest(tx, webhook.id)
    fields = ", ".join([*changed, *(["secret"] if secret else [])])
    await record(tx, actor, AuditAction.REPO_WEBHOOK_UPDATE, repository, webhook, fields=fields)
    return await _shown(tx, await of_repository(tx, repository, webhook.id))


async def delete_webhook(tx: Transaction, *, actor: Actor, name: RepositoryName, id_: int) -> None:
    """Delete a webhook with its deliveries, those under way too.

    Raises:
        WebhookUnknown
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await _locked(tx, actor, name, Action.DELETE_WEBHOOKS)
    webhook = await of_repository(tx, repository, id_)
    await rows.delete(tx, webhook.id)
    await record(tx, actor, AuditAction.REPO_WEBHOOK_DELETE, repository, webhook)


async def of_repository(tx: Transaction, repository: Repository, id_: int) -> Webhook:
    """A webhook of a repository that the caller has been let into. Raises: WebhookUnknown."""
    found = await rows.get(tx, repository_id=repository.id, id_=id_) if 0 < id_ < ID_LIMIT else None
    if found is None:
        raise WebhookUnknown(id_)
    return found


async def record(
    tx: Transaction, actor: Actor, action: AuditAction, repository: Repository, webhook: Webhook, **data: str
) -> None:
    """Write what happened to a webhook into the log of the repository's owner."""
    known = {key: value for key, value in data.items() if value}
    name = RepositoryName(repository.namespace, repository.name)
    await audit.record(
        tx, actor, action, account_id=repository.namespace_id, name=str(name), webhook=webhook.name, **known
    )


async def _locked(tx: Transaction, actor: Actor, name: RepositoryName, action: Action) -> Repository:
    """The repository, if the actor may do this to it, with its lock: pushes look at its webhooks under the same."""
    repository = await access_repository(tx, actor, name, action)
    await lock_repository(tx, repository)
    return repository


async def _shown(tx: Transaction, webhook: Webhook) -> ShownWebhook:
    return ShownWebhook(webhook, await rows.list_targets(tx, [webhook.id]))


def _hosts(urls: Sequence[str]) -> str:
    """Whom URLs lead to, for the log: their paths may hold what opens something."""
    return ", ".join(dict.fromkeys(Url.parse(url).authority for url in urls))


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_LENGTH_LIMIT or not name.isprintable():
        raise FieldInvalid({"name": [f"Use 1 to {NAME_LENGTH_LIMIT} printable characters."]}, "invalid webhook")


def _checked(url: str) -> str:
    try:
        Url.parse(url)
    except ValueError as error:
        raise FieldInvalid({"hook_url": [str(error)]}, "invalid webhook") from None
    return url


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _check_secret(secret: str | None) -> None:
    if secret is not None and key_of(secret) is None:
        first, last = SECRET_SIZES[0], SECRET_SIZES[-1]
        reason = f"Has to be {SECRET_PREFIX} and the base64 of {first} to {last} random bytes."
        raise FieldInvalid({"secret": [reason]}, "invalid webhook")


def key_of(secret: str) -> bytes | None:
    """The bytes that sign, from a secret as it is written; None if it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX).encode(), validate=True)
    except (binascii.Error, UnicodeError):
        return None
    return key if secret.startswith(SECRET_PREFIX) and len(key) in SECRET_SIZES else None
