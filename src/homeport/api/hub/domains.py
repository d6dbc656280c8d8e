"""Domains of an organization: an extension of ours."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.pages import Page
from homeport.api.hub.reference import PAGES, Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.api.hub.times import timestamp, timestamp_or_none
from homeport.core import domains
from homeport.core.services import Services
from homeport.storage.db.records import Domain

_LIST = "/v2/orgs/{name:str}/domains"
_ONE = "/v2/orgs/{name:str}/domains/{domain:str}"
_VERIFY = "/v2/orgs/{name:str}/domains/{domain:str}/verify"

_OWNERS = "Owners of the organization and site administrators, signed in with a password."


class DomainInfo(msgspec.Struct):
    domain: Annotated[str, Meta(examples=["example.com"])]
    is_verified: bool
    created_at: str
    verified_at: Annotated[str | None, Meta(description="Null until it is verified.")]

    @classmethod
    def of(cls, domain: Domain) -> "DomainInfo":
        return cls(
            domain=domain.name,
            is_verified=domain.verified_at is not None,
            created_at=timestamp(domain.created_at),
            verified_at=timestamp_or_none(domain.verified_at),
        )


class DomainPage(msgspec.Struct):
    count: int
    next: str | None
    previous: str | None
    results: Sequence[DomainInfo]


class AddDomain(msgspec.Struct):
    domain: Annotated[
        str, Meta(description="At most 253 characters; kept as IDNA writes it.", examples=["example.com"])
    ]


@get(
    _LIST,
    **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), query=PAGES, is_extension=True),
)
async def list_domains(name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> DomainPage:
    """The domains of an organization by name. Members with an address under none of the verified ones are guests."""
    page = Page.of(request)
    async with services.db.read() as tx:
        found = await domains.list_domains(
            tx, actor=request.actor, organization=name, offset=page.offset, limit=page.size
        )
    next_, previous = page.links(request, services.settings, found.total)
    return DomainPage(
        count=found.total, next=next_, previous=previous, results=[DomainInfo.of(domain) for domain in found.domains]
    )


@post(
    _LIST,
    status_code=201,
    **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), is_extension=True),
)
async def add_domain(
    name: FromPath[str], data: JSONBody[AddDomain], request: HubRequest, services: NamedDependency[Services]
) -> DomainInfo:
    """Name a domain as the organization's. It counts once a site administrator has verified it; adding one twice
    changes nothing."""
    async with services.db.write() as tx:
        domain = await domains.add_domain(
            tx, actor=request.actor, organization=name, name=data.domain, plans=services.settings.plans
        )
    return DomainInfo.of(domain)


@post(
    _VERIFY,
    status_code=200,
    **reference(
        Section.SETTINGS,
        permission="Site administrators, signed in with a password.",
        errors=(401, 403, 404, 409),
        is_extension=True,
    ),
)
async def verify_domain(
    name: FromPath[str], domain: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> DomainInfo:
    """Say that a domain is the organization's. It can be verified for one organization only."""
    async with services.db.write() as tx:
        verified = await domains.verify_domain(tx, actor=request.actor, organization=name, name=domain)
    return DomainInfo.of(verified)


@delete(
    _ONE,
    status_code=204,
    **reference(Section.SETTINGS, permission=_OWNERS, errors=(401, 403, 404), is_extension=True),
)
async def delete_domain(
    name: FromPath[str], domain: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> None:
    """Take a domain away from an organization, verified or not."""
    async with services.db.write() as tx:
        await domains.delete_domain(tx, actor=request.actor, organization=name, name=domain)


handlers = [list_domains, add_domain, verify_domain, delete_domain]
