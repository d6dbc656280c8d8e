"""The token of an organization's identity provider. It opens the organization's SCIM resources and nothing else.

An organization has one at most. Its secret is shown once and kept as its SHA-256; rotating it ends the former one.
"""

import hashlib
import secrets

import msgspec

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.audit import AuditAction
from homeport.core.invites import Letter
from homeport.core.plans import require_feature
from homeport.errors import NotAuthenticated, ScimTokenExists, ScimTokenUnknown
from homeport.settings import Feature, Plans
from homeport.storage.db import scim_tokens as rows
from homeport.storage.db.database import Database, Transaction, utcnow
from homeport.storage.db.records import Organization, ScimToken

PREFIX = "dckr_scim_"
SECRET_BYTES = 32

ACTOR_NAME = "scim"
"""As whom identity providers stand in audit logs; no account can have this name."""


class Created(msgspec.Struct, frozen=True):
    """A token with its secret, which nobody can read again."""

    token: ScimToken
    secret: str


class Provider(msgspec.Struct, frozen=True):
    """An identity provider that has shown its token: for which organization it speaks, who it is in the logs, and what
    the site says of its deeds.
    """

    organization: Organization
    actor: Actor
    plans: Plans
    letter: Letter


async def get_token(tx: Transaction, *, actor: Actor, organization: str) -> ScimToken:
    """What is known of an organization's token, without its secret.

    Raises:
        ScimTokenUnknown: it has none.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    token = await rows.get(tx, organization_id=found.id)
    if token is None:
        raise ScimTokenUnknown(found.name)
    return token


async def create_token(tx: Transaction, *, actor: Actor, organization: str, plans: Plans) -> Created:
    """Make an organization's token.

    Raises:
        ScimTokenExists: it has one; `rotate_token` gives it another secret.
        PlanLacksFeature
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    require_feature(plans, found, Feature.SCIM)
    secret = _new_secret()
    token = await rows.insert(tx, organization_id=found.id, secret_sha256=_digest_of(secret), created_by=actor.name)
    if token is None:
        raise ScimTokenExists(found.name)
    await _record(tx, actor, AuditAction.SCIM_TOKEN_CREATE, found)
    return Created(token, secret)


async def rotate_token(tx: Transaction, *, actor: Actor, organization: str) -> Created:
    """Give an organization's token another secret; the former one ends at once.

    Raises:
        ScimTokenUnknown: it has none.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    secret = _new_secret()
    token = await rows.renew(tx, organization_id=found.id, secret_sha256=_digest_of(secret), created_by=actor.name)
    if token is None:
        raise ScimTokenUnknown(found.name)
    await _record(tx, actor, AuditAction.SCIM_TOKEN_ROTATE, found)
    return Created(token, secret)


async def revoke_token(tx: Transaction, *, actor: Actor, organization: str) -> None:
    """End an organization's token; what was provisioned by it stays.

    Raises:
        ScimTokenUnknown: it has none.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    if not await rows.delete(tx, organization_id=found.id):
        raise ScimTokenUnknown(found.name)
    await _record(tx, actor, AuditAction.SCIM_TOKEN_REVOKE, found)


async def authenticate(
    db: Database, secret: str, *, plans: Plans, letter: Letter, address: str, user_agent: str
) -> Provider:
    """The identity provider whose secret this is. Looked up for each request: a rotated secret ends at once.

    Raises:
        NotAuthenticated
    """
    if not secret.startswith(PREFIX):
        raise NotAuthenticated("invalid SCIM token")
    async with db.read() as tx:
        found = await rows.get_organization(tx, secret_sha256=_digest_of(secret))
    if found is None:
        raise NotAuthenticated("invalid SCIM token")
    if found.last_used_at is None or utcnow() - found.last_used_at > rows.USED_WITHIN:
        async with db.write(is_durable=False) as tx:
            await rows.set_last_used(tx, organization_id=found.id)
    actor = Actor(name=ACTOR_NAME, address=address, user_agent=user_agent)
    return Provider(Organization(found.id, found.uuid, found.name, found.plan, None), actor, plans, letter)


async def hold(tx: Transaction, provider: Provider) -> None:
    """Keep others from changing the provider's organization until the transaction ends."""
    await tx.lock("organization", provider.organization.id)


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


async def _record(tx: Transaction, actor: Actor, action: AuditAction, organization: Organization) -> None:
    await audit.record(tx, actor, action, account_id=organization.id, name=organization.name)
