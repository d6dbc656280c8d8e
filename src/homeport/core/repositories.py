"""Repositories: listed, shown, made by hand or by the first push, changed and deleted."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeport.core import audit, categories, immutable_tags
from homeport.core.access import (
    ROLE_ACTIONS,
    Action,
    Actor,
    access_namespace,
    access_repository,
    allowed_actions,
    check_action,
    see_namespace,
)
from homeport.core.audit import AuditAction, Event
from homeport.core.immutable_tags import ImmutableTags
from homeport.core.plans import check_private_repositories
from homeport.errors import (
    FieldInvalid,
    NamespaceUnknown,
    NotAuthenticated,
    PageUnknown,
    RepositoryExists,
    RepositoryNameInvalid,
    RepositoryUnknown,
)
from homeport.names import RepositoryName
from homeport.settings import Plans, Settings
from homeport.storage.db import garbage as garbage_rows
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import repositories as rows
from homeport.storage.db import search as search_rows
from homeport.storage.db import uploads as upload_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import ListedRepository, Namespace, Repository, RepositoryDetails, TagRules
from homeport.storage.db.repositories import Filter, Ordering

DESCRIPTION_LENGTH_LIMIT = 100
NAME_LENGTH_MINIMUM = 2
"""Of a name that is chosen by hand; a push may bring a shorter one."""

NAMES_LIMIT = 10_000
"""Of a list of names without pages."""


class RepositoryOrder(msgspec.Struct, frozen=True):
    ordering: Ordering = Ordering.UPDATED
    is_descending: bool = True


class RepositoryPage(msgspec.Struct, frozen=True):
    total: int
    repositories: Sequence[ListedRepository]


class ShownRepository(msgspec.Struct, frozen=True):
    """A repository with what the caller may do to it."""

    details: RepositoryDetails
    allowed: frozenset[Action]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed of a repository; None leaves it as it is. `categories` are slugs."""

    description: str | None = None
    full_description: str | None = None
    is_private: bool | None = None
    is_active: bool | None = None
    categories: Sequence[str] | None = None
    immutable_tags: ImmutableTags | None = None


async def list_page(
    tx: Transaction,
    *,
    actor: Actor,
    namespace: str,
    order: RepositoryOrder,
    page: int,
    page_size: int,
    part: str = "",
    media_types: Sequence[str] = (),
    content_types: Sequence[str] = (),
) -> RepositoryPage:
    """A page of those repositories of a namespace that the actor may see, counted from 1. `part` keeps those with it
    in their names, the types those that hold anything of one of them. Of a namespace that is not there it is empty.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
    """
    seen = await see_namespace(tx, actor, namespace)
    if seen is None:
        if page > 1:
            raise PageUnknown
        return RepositoryPage(0, [])
    tx = tx.lists
    filter_ = Filter(
        namespace_id=seen.namespace.id,
        sight=seen.sight,
        account_id=actor.account_id,
        reaches=seen.reaches,
        part=part,
        media_types=media_types,
        content_types=content_types,
    )
    total = await rows.count(tx, filter_)
    repositories = await rows.list_page(
        tx,
        filter_,
        ordering=order.ordering,
        is_descending=order.is_descending,
        offset=min((page - 1) * page_size, total),
        limit=page_size,
    )
    if page > 1 and not repositories:
        raise PageUnknown
    return RepositoryPage(total, repositories)


async def list_names(tx: Transaction, *, actor: Actor, namespace: str) -> list[RepositoryName]:
    """Names of those repositories of a namespace that the actor may see, the first `NAMES_LIMIT`. A namespace that is
    not there has none.
    """
    seen = await see_namespace(tx, actor, namespace)
    if seen is None:
        return []
    tx = tx.lists
    filter_ = Filter(
        namespace_id=seen.namespace.id, sight=seen.sight, account_id=actor.account_id, reaches=seen.reaches
    )
    return await rows.list_names(tx, filter_, limit=NAMES_LIMIT)


async def get_repository(tx: Transaction, *, actor: Actor, name: RepositoryName) -> ShownRepository:
    """One repository.

    Raises:
        RepositoryUnknown, ActionDenied: as `access_repository`.
    """
    return await _shown(tx, actor, await access_repository(tx, actor, name, Action.READ))


async def _shown(tx: Transaction, actor: Actor, repository: Repository) -> ShownRepository:
    details = await rows.get_details(tx, repository.id, actor_id=actor.account_id)
    if details is None:
        raise RepositoryUnknown(RepositoryName(repository.namespace, repository.name))
    # What it is allowed goes by how things are now: a change may have come between.
    present = msgspec.structs.replace(repository, is_private=details.is_private)
    return ShownRepository(details, allowed_actions(actor, present))


async def new_repository(
    tx: Transaction,
    *,
    actor: Actor,
    name: RepositoryName,
    is_private: bool = False,
    description: str = "",
    full_description: str = "",
    settings: Settings,
) -> ShownRepository:
    """Make an empty repository that has not been there.

    Raises:
        FieldInvalid: its name is outside the grammar, or a text is too long.
        RepositoryExists
        NamespaceUnknown, ActionDenied, NotAuthenticated: as `access_namespace`.
        PlanLimitReached: it would be a private repository too many.
    """
    namespace = await access_namespace(tx, actor, name)
    _check_name(name)
    _check_texts(settings, description=description, full_description=full_description)
    is_new = await _create(
        tx,
        actor,
        namespace,
        name,
        is_private=is_private,
        plans=settings.plans,
        description=description,
        full_description=full_description,
    )
    if not is_new:
        raise RepositoryExists(name)
    # Not by `access_repository`: a token may make repositories that it may not read.
    made = await rows.get(tx, name, actor_id=actor.account_id)
    assert made is not None
    return await _shown(tx, actor, made)


def _check_name(name: RepositoryName) -> None:
    try:
        RepositoryName.parse(str(name))
    except RepositoryNameInvalid as error:
        raise FieldInvalid({"name": [f"{error}."]}, "invalid repository") from None
    if len(name.name) < NAME_LENGTH_MINIMUM:
        raise FieldInvalid({"name": [f"At least {NAME_LENGTH_MINIMUM} characters."]}, "invalid repository")


def _check_texts(settings: Settings, *, description: str | None, full_description: str | None) -> None:
    limits = {
        "description": (description, DESCRIPTION_LENGTH_LIMIT),
        "full_description": (full_description, settings.full_description_limit),
    }
    fields = {
        field: [f"At most {limit} characters."] for field, (text, limit) in limits.items() if len(text or "") > limit
    }
    if fields:
        raise FieldInvalid(fields, "invalid repository")


async def update_repository(
    tx: Transaction, *, actor: Actor, name: RepositoryName, changes: Changes, settings: Settings
) -> ShownRepository:
    """Change what is given of a repository.

    Raises:
        FieldInvalid: a text that is too long, categories that are unknown or too many, or rules of immutable tags
            that are none.
        PlanLimitReached: it would be a private repository too many.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await _access_to_change(tx, actor, name, changes)
    _check_texts(settings, description=changes.description, full_description=changes.full_description)
    slugs = None if changes.categories is None else categories.parse(changes.categories)
    rules = None if changes.immutable_tags is None else immutable_tags.parse(changes.immutable_tags)
    if changes.is_private and not repository.is_private:
        # Its lock comes before that of the repository, as in a push that makes one.
        await _check_plan(tx, settings.plans, name)
    await lock_repository(tx, repository)
    present = (await _shown(tx, actor, repository)).details
    values = {
        "description": changes.description,
        "full_description": changes.full_description,
        "is_private": changes.is_private,
        "is_active": changes.is_active,
        "categories": None if slugs is None else msgspec.json.encode(slugs).decode(),
        "has_immutable_tags": None if rules is None else rules.has_immutable_tags,
        "immutable_tag_rules": None if rules is None else rules.immutable_tag_rules,
    }
    before = {field: getattr(present, field) for field in values}
    changed = {field: value for field, value in values.items() if value is not None and value != before[field]}
    if changed:
        await rows.update(tx, repository.id, **{**before, **changed})
        await _put_into_search(tx, repository, {**before, **changed})
        await audit.record_all(tx, actor, _update_events(repository, changed, rules))
    return await _shown(tx, actor, repository)


async def _access_to_change(tx: Transaction, actor: Actor, name: RepositoryName, changes: Changes) -> Repository:
    """The repository, if the actor may change all of this; as `access_repository`."""
    needed = {
        Action.EDIT: (changes.is_private, changes.is_active),
        Action.SET_RULES: (changes.immutable_tags,),
        Action.DESCRIBE: (changes.description, changes.full_description, changes.categories),
    }
    actions = [action for action, values in needed.items() if any(value is not None for value in values)]
    first, *others = actions or [Action.DESCRIBE]
    repository = await access_repository(tx, actor, name, first)
    for action in others:
        check_action(actor, repository, action)
    return repository


async def _put_into_search(tx: Transaction, repository: Repository, present: dict[str, Any]) -> None:
    await search_rows.put(
        tx,
        namespace_id=repository.namespace_id,
        namespace=repository.namespace,
        name=repository.name,
        description=present["description"],
        is_private=present["is_private"],
        categories=msgspec.json.decode(present["categories"], type=list[str]),
    )


async def _check_plan(tx: Transaction, plans: Plans, name: RepositoryName) -> None:
    namespace = await org_rows.get_namespace(tx, name.namespace, actor_id=None)
    if namespace is None:
        raise NamespaceUnknown(name.namespace)
    await check_private_repositories(tx, plans, namespace)


def _update_events(repository: Repository, changed: dict[str, Any], rules: TagRules | None) -> list[Event]:
    """Privacy, categories and immutable tags have actions of their own."""
    name = str(RepositoryName(repository.namespace, repository.name))
    told: dict[AuditAction, dict[str, str]] = {}
    if "is_private" in changed:
        told[AuditAction.REPO_CHANGE_PRIVACY] = {"privacy": _privacy(is_private=changed["is_private"])}
    if "categories" in changed:
        slugs = msgspec.json.decode(changed["categories"], type=list[str])
        told[AuditAction.REPO_CATEGORY_UPDATED] = {"categories": ", ".join(slugs) or "none"}
    if rules is not None and changed.keys() & {"has_immutable_tags", "immutable_tag_rules"}:
        told[AuditAction.REPO_IMMUTABLE_TAGS_UPDATED] = _told_rules(rules)
    if fields := [_FIELD_NAMES[field] for field in changed if field in _FIELD_NAMES]:
        told[AuditAction.REPO_UPDATE] = {"fields": ", ".join(fields)}
    return [
        Event(action=action, account_id=repository.namespace_id, name=name, data=data) for action, data in told.items()
    ]


def _told_rules(rules: TagRules) -> dict[str, str]:
    if not rules.has_immutable_tags:
        return {"immutable_tags": "none"}
    return {"immutable_tags": ", ".join(immutable_tags.rules_of(rules.immutable_tag_rules)) or "all"}


_FIELD_NAMES = {"description": "description", "full_description": "full description", "is_active": "status"}


def _privacy(*, is_private: bool) -> str:
    return "private" if is_private else "public"


async def delete_repository(tx: Transaction, *, actor: Actor, name: RepositoryName) -> None:
    """Delete a repository with all that is in it; other repositories keep what they share with it. The bytes of its
    blobs are left to garbage collection. Its name is free for its owner; tokens that were made for it open nothing.

    Raises:
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.REMOVE)
    await tx.lock("repository", repository.id)
    # What was uploaded and not published yet: until the bytes are gone a row knows of them.
    await garbage_rows.insert_discarded(tx, await upload_rows.delete_all(tx, repository.id), now=utcnow())
    if not await rows.delete(tx, repository.id):
        raise RepositoryUnknown(name)
    await audit.record(tx, actor, AuditAction.REPO_DELETE, account_id=repository.namespace_id, name=str(name))


async def may_push(tx: Transaction, *, actor: Actor, name: RepositoryName) -> Repository | None:
    """The repository that a push would go to; None if the push would make it.

    Raises:
        NotAuthenticated
        NamespaceUnknown, ActionDenied: as `access_repository` and `access_namespace`.
    """
    try:
        return await access_repository(tx, actor, name, Action.PUSH)
    except RepositoryUnknown:
        await access_namespace(tx, actor, name)
        return None


async def repository_to_push_to(
    tx: Transaction, *, actor: Actor, name: RepositoryName, default_privacy: str, plans: Plans
) -> Repository:
    """The repository that a push goes to; one that does not exist is made where the actor may.

    Raises:
        NotAuthenticated
        NamespaceUnknown, ActionDenied: as `access_repository` and `access_namespace`.
        PlanLimitReached: it would be a private repository too many.
    """
    try:
        return await access_repository(tx, actor, name, Action.PUSH)
    except RepositoryUnknown:
        namespace = await access_namespace(tx, actor, name)
    await _create(tx, actor, namespace, name, is_private=default_privacy == "private", plans=plans)
    return await access_repository(tx, actor, name, Action.PUSH)


async def create_repository(
    tx: Transaction, *, actor: Actor, name: RepositoryName, is_private: bool, plans: Plans
) -> bool:
    """Make an empty repository; False if there is one of that name.

    Raises:
        NamespaceUnknown, ActionDenied, NotAuthenticated: as `access_namespace`.
        PlanLimitReached: it would be a private repository too many.
    """
    namespace = await access_namespace(tx, actor, name)
    return await _create(tx, actor, namespace, name, is_private=is_private, plans=plans)


async def _create(
    tx: Transaction,
    actor: Actor,
    namespace: Namespace,
    name: RepositoryName,
    *,
    is_private: bool,
    plans: Plans,
    description: str = "",
    full_description: str = "",
) -> bool:
    if is_private and await rows.get(tx, name, actor_id=None) is None:
        await check_private_repositories(tx, plans, namespace)
    is_new = await rows.insert(
        tx,
        namespace,
        name=name.name,
        is_private=is_private,
        description=description,
        full_description=full_description,
    )
    if is_new:
        await search_rows.put(
            tx,
            namespace_id=namespace.id,
            namespace=namespace.name,
            name=name.name,
            description=description,
            is_private=is_private,
        )
        data = {"privacy": _privacy(is_private=is_private)}
        await audit.record(tx, actor, AuditAction.REPO_CREATE, account_id=namespace.id, name=str(name), **data)
    return is_new


async def lock_repository(tx: Transaction, repository: Repository) -> None:
    """Hold a repository's lock until the transaction ends.

    Raises:
        RepositoryUnknown: it was deleted while this waited for the lock.
    """
    await tx.lock("repository", repository.id)
    if not await rows.exists(tx, repository.id):
        raise RepositoryUnknown(RepositoryName(repository.namespace, repository.name))


async def touch_repository(tx: Transaction, repository: Repository, *, added_bytes: int = 0) -> TagRules:
    """What is in a repository changes: which of its tags may not. The caller holds its lock, and comes here before it
    writes to a manifest or a tag.

    Raises:
        RepositoryUnknown: it was deleted before it was locked.
    """
    rules = await rows.touch(tx, repository.id, added_bytes=added_bytes)
    if rules is None:
        raise RepositoryUnknown(RepositoryName(repository.namespace, repository.name))
    return rules


async def list_namespaces(tx: Transaction, *, actor: Actor) -> list[str]:
    """Names of the accounts in which the actor may make repositories by being, or being in, them.

    Raises:
        NotAuthenticated
    """
    if actor.account_id is None:
        raise NotAuthenticated
    roles = [role.value for role, actions in ROLE_ACTIONS.items() if Action.CREATE in actions]
    found = await org_rows.list_namespaces(tx, account_id=actor.account_id, roles=roles)
    reaches = [reach.private for reach in actor.ceiling.reaches(Action.CREATE)]
    return [
        namespace.name for namespace in found if all(places.in_namespace(namespace.id).holds_new for places in reaches)
    ]
