"""Domains of organizations. A verified one tells which members are guests: those with an address elsewhere."""

from collections.abc import Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization, check_site_admin
from homeport.core.audit import AuditAction
from homeport.core.plans import require_feature
from homeport.errors import DomainUnknown, DomainVerifiedElsewhere, FieldInvalid, PageUnknown
from homeport.names import DomainName
from homeport.settings import Feature, Plans
from homeport.storage.db import domains as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Domain, Organization

DOMAINS_LIMIT = 1000
"""Domains of one organization."""

_VERIFYING = 0
"""Seldom enough for one lock over all domains."""


class Page(msgspec.Struct, frozen=True):
    total: int
    domains: Sequence[Domain]


async def list_domains(tx: Transaction, *, actor: Actor, organization: str, offset: int, limit: int) -> Page:
    """An organization's domains by name.

    Raises:
        PageUnknown: there are no more than `offset` domains; the first page is there even when it is empty.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    total = await rows.count(tx, organization_id=found.id)
    if offset and offset >= total:
        raise PageUnknown
    return Page(total, await rows.list_page(tx, organization_id=found.id, offset=offset, limit=limit))


async def add_domain(tx: Transaction, *, actor: Actor, organization: str, name: str, plans: Plans) -> Domain:
    """Name a domain as an organization's; it counts once it is verified. Adding twice changes nothing.

    Raises:
        FieldInvalid: not a domain name, or one too many.
        PlanLacksFeature
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    domain_name = DomainName.parse(name)
    require_feature(plans, found, Feature.DOMAINS)
    await tx.lock("organization", found.id)
    if await rows.count(tx, organization_id=found.id) >= DOMAINS_LIMIT:
        raise FieldInvalid({"domain": [f"An organization has at most {DOMAINS_LIMIT} domains."]}, "too many domains")
    added = await rows.insert(tx, organization_id=found.id, name=domain_name)
    if added is None:
        return await _access_domain(tx, found, domain_name)
    await _record(tx, actor, AuditAction.ORG_DOMAIN_CREATE, found, added.name)
    return added


async def verify_domain(tx: Transaction, *, actor: Actor, organization: str, name: str) -> Domain:
    """Say that a domain is the organization's, which the site administrator has found out. Twice changes nothing.

    Raises:
        FieldInvalid: not a domain name.
        DomainUnknown
        DomainVerifiedElsewhere
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `check_site_admin`.
    """
    check_site_admin(actor, "verify", f"domain {name}")
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    domain_name = DomainName.parse(name)
    await tx.lock("domains", _VERIFYING)
    domain = await _access_domain(tx, found, domain_name)
    if domain.verified_at is not None:
        return domain
    if await rows.get_verified(tx, name=domain_name) is not None:
        raise DomainVerifiedElsewhere(domain_name)
    verified = await rows.set_verified(tx, domain)
    await _record(tx, actor, AuditAction.ORG_DOMAIN_VERIFY, found, domain.name)
    return verified


async def delete_domain(tx: Transaction, *, actor: Actor, organization: str, name: str) -> None:
    """Take a domain away from an organization, verified or not.

    Raises:
        FieldInvalid: not a domain name.
        DomainUnknown
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    domain_name = DomainName.parse(name)
    if not await rows.delete(tx, organization_id=found.id, name=domain_name):
        raise DomainUnknown(domain_name)
    await _record(tx, actor, AuditAction.ORG_DOMAIN_DELETE, found, domain_name)


async def _access_domain(tx: Transaction, organization: Organization, name: DomainName) -> Domain:
    domain = await rows.get(tx, organization_id=organization.id, name=name)
    if domain is None:
        raise DomainUnknown(name)
    return domain


async def _record(tx: Transaction, actor: Actor, action: AuditAction, organization: Organization, domain: str) -> None:
    await audit.record(tx, actor, action, account_id=organization.id, name=organization.name, domain=str(domain))
