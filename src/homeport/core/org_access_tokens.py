"""Access tokens of organizations: what programs log in with by the name of an organization, each for what it is given.

They are rows beside those of users (`access_tokens`), with grants in the place of scopes. Only owners who have signed
in with a password manage them: a token that could make another would be worth what that one is.
"""

from collections.abc import Sequence

import msgspec

from homeport.core import accounts, audit, grants
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.access_tokens import (
    LABEL_LENGTH_LIMIT,
    TOKENS_LIMIT,
    USER_AGENT_LENGTH_LIMIT,
    Created,
    Page,
    digest_of,
    new_secret,
    read_expiry,
)
from homeport.core.audit import AuditAction
from homeport.core.grants import Resource
from homeport.core.plans import check_access_tokens
from homeport.errors import AccessTokenUnknown, FieldInvalid, PageUnknown
from homeport.settings import Plans
from homeport.storage.db import access_tokens as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import AccessToken, Organization

PREFIX = "dckr_oat_"
SECRET_LENGTH = 32
DESCRIPTION_LENGTH_LIMIT = 200


async def create_token(
    tx: Transaction,
    *,
    actor: Actor,
    organization: str,
    label: str,
    resources: Sequence[Resource],
    description: str = "",
    expires_at: str | None = None,
    plans: Plans,
) -> Created:
    """Make a token of an organization.

    Raises:
        FieldInvalid: label, description, resources or expires_at cannot be so; or there are too many tokens.
        PlanLimitReached
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    _check(label=label, description=description)
    ends_at = read_expiry(expires_at)
    given = await grants.bind_resources(tx, found, resources)
    await tx.lock("organization", found.id)
    if (await rows.count(tx, account_id=found.id)).total >= TOKENS_LIMIT:
        text = f"An organization has at most {TOKENS_LIMIT} access tokens; delete some first."
        raise FieldInvalid({"label": [text]}, "too many access tokens")
    await check_access_tokens(tx, plans, found)
    secret = new_secret(PREFIX, SECRET_LENGTH)
    token = await rows.insert(
        tx,
        account_id=found.id,
        label=label,
        description=description,
        secret_sha256=digest_of(secret),
        grants=grants.encode(given),
        expires_at=ends_at,
        expires_at_text=expires_at,
        created_by=actor.name,
        creator_ip=actor.address,
        creator_ua=actor.user_agent[:USER_AGENT_LENGTH_LIMIT],
    )
    expiry = {"expires_at": expires_at} if expires_at else {}
    data = {"resources": _told(token), **expiry}
    await _record(tx, actor, AuditAction.ORG_ACCESS_TOKEN_CREATE, found, token, **data)
    return Created(token, secret)


async def list_tokens(tx: Transaction, *, actor: Actor, organization: str, offset: int, limit: int) -> Page:
    """An organization's tokens, the newest first.

    Raises:
        PageUnknown: there are no more than `offset` tokens; the first page is there even when it is empty.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    counts = await rows.count(tx, account_id=found.id)
    if offset and offset >= counts.total:
        raise PageUnknown
    return Page(counts, await rows.list_page(tx, account_id=found.id, offset=offset, limit=limit))


async def access_token(tx: Transaction, *, actor: Actor, organization: str, uuid: str) -> AccessToken:
    """One token of an organization.

    Raises:
        AccessTokenUnknown
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    return await _get(tx, found, uuid)


async def update_token(
    tx: Transaction,
    *,
    actor: Actor,
    organization: str,
    uuid: str,
    label: str | None = None,
    description: str | None = None,
    resources: Sequence[Resource] | None = None,
    is_active: bool | None = None,
) -> AccessToken:
    """Change what is given of a token, and leave the rest as it is; bearer tokens made from it change with it.

    Raises:
        AccessTokenUnknown, FieldInvalid
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    _check(label=label, description=description)
    given = None if resources is None else grants.encode(await grants.bind_resources(tx, found, resources))
    await tx.lock("organization", found.id)
    present = await _get(tx, found, uuid)
    wanted = {"label": label, "description": description, "grants": given, "is_active": is_active}
    changed = {field: value for field, value in wanted.items() if value not in (None, getattr(present, field))}
    if not changed:
        return present
    updated = await rows.update(tx, msgspec.structs.replace(present, **changed))
    if updated is None:
        raise AccessTokenUnknown
    data = {"fields": ", ".join(_FIELD_NAMES.get(field, field) for field in changed)}
    if "grants" in changed:
        data["resources"] = _told(updated)
    if "is_active" in changed:
        data["is_active"] = "true" if updated.is_active else "false"
    await accounts.revoke(tx, found.id)
    await _record(tx, actor, AuditAction.ORG_ACCESS_TOKEN_UPDATE, found, updated, **data)
    return updated


_FIELD_NAMES = {"grants": "resources"}


async def delete_token(tx: Transaction, *, actor: Actor, organization: str, uuid: str) -> None:
    """Delete a token; it stops working with the end of the transaction.

    Raises:
        AccessTokenUnknown
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    token = await _get(tx, found, uuid)
    if not await rows.delete(tx, account_id=found.id, uuid=uuid):
        raise AccessTokenUnknown
    await accounts.revoke(tx, found.id)
    await _record(tx, actor, AuditAction.ORG_ACCESS_TOKEN_DELETE, found, token)


async def _get(tx: Transaction, organization: Organization, uuid: str) -> AccessToken:
    token = await rows.get(tx, account_id=organization.id, uuid=uuid)
    if token is None:
        raise AccessTokenUnknown
    return token


def resources_of(token: AccessToken) -> list[Resource]:
    """What a token was given, as it was sent."""
    return [Resource(given.type, given.path, given.words) for given in grants.decode(token.grants)]


def _told(token: AccessToken) -> str:
    """What a token was given, for the log."""
    return "; ".join(f"{resource.path}: {' '.join(resource.scopes)}" for resource in resources_of(token))


async def _record(
    tx: Transaction, actor: Actor, action: AuditAction, organization: Organization, token: AccessToken, **data: str
) -> None:
    await audit.record(
        tx,
        actor,
        action,
        account_id=organization.id,
        name=organization.name,
        token_id=token.uuid,
        token_label=token.label,
        **data,
    )


def _check(*, label: str | None, description: str | None) -> None:
    fields = {}
    if label is not None and not (1 <= len(label) <= LABEL_LENGTH_LIMIT and label.strip()):
        fields["label"] = [f"Use 1 to {LABEL_LENGTH_LIMIT} characters."]
    if len(description or "") > DESCRIPTION_LENGTH_LIMIT:
        fields["description"] = [f"At most {DESCRIPTION_LENGTH_LIMIT} characters."]
    if fields:
        raise FieldInvalid(fields, "invalid access token")
