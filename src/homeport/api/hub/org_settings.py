"""Docker Hub API §Organization settings; registry access as Docker's clients use it; policies, which are ours."""

from typing import Annotated, Literal

import msgspec
from litestar import get, patch, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import org_settings
from homeport.core.org_settings import DOCKER_HUB, CustomRegistry, RegistryAccess
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationSettings

_SETTINGS = "/v2/orgs/{name:str}/settings"
_REGISTRY_ACCESS = "/v2/orgs/{name:str}/settings/registry-access-management"
_POLICIES = "/v2/orgs/{name:str}/settings/policies"

_OWNERS = "Owners of the organization and site administrators, signed in with a password."
_ERRORS = (401, 403, 404)


class RestrictedImages(msgspec.Struct):
    enabled: Annotated[
        bool, Meta(description="Whether members pull only the images of their organizations, and those allowed here.")
    ]
    allow_official_images: Annotated[bool, Meta(description="Let them pull from official namespaces (`library`).")]
    allow_verified_publishers: Annotated[bool, Meta(description="Let them pull from verified publishers.")]


class OrgSettings(msgspec.Struct):
    restricted_images: RestrictedImages

    @classmethod
    def of(cls, settings: OrganizationSettings) -> "OrgSettings":
        return cls(
            RestrictedImages(
                enabled=settings.restricts_images,
                allow_official_images=settings.allows_official_images,
                allow_verified_publishers=settings.allows_verified_publishers,
            )
        )


class StandardRegistry(msgspec.Struct):
    id: Annotated[Literal["DockerHub"], Meta(examples=[DOCKER_HUB])]
    allowed: bool


class RegistryAccessManagement(msgspec.Struct):
    enabled: bool
    standard_registries: Annotated[list[StandardRegistry], Meta(min_length=1, max_length=1)]
    custom_registries: Annotated[
        list[CustomRegistry],
        Meta(
            description="At most 100; addresses are `host[:port]`, perhaps with a scheme.",
            examples=[[{"address": "registry.example.com:5000", "friendly_name": "Ours", "allowed": True}]],
        ),
    ]

    @classmethod
    def of(cls, settings: OrganizationSettings) -> "RegistryAccessManagement":
        access = RegistryAccess.of(settings)
        return cls(
            enabled=access.is_enabled,
            standard_registries=[StandardRegistry(id="DockerHub", allowed=access.allows_docker_hub)],
            custom_registries=list(access.custom_registries),
        )


class Policies(msgspec.Struct):
    sso_enforced: Annotated[
        bool,
        Meta(description="Whether members log in through single sign-on only. Site administrators are exempt from it."),
    ]
    insights: Annotated[bool, Meta(description="Whether lists of members tell what they last used, and when.")]
    audit_pulls: Annotated[bool, Meta(description="Whether the audit log holds pulls, too.")]

    @classmethod
    def of(cls, settings: OrganizationSettings) -> "Policies":
        return cls(
            sso_enforced=settings.is_sso_enforced, insights=settings.has_insights, audit_pulls=settings.audits_pulls
        )


class UpdatePolicies(msgspec.Struct):
    """What is left out stays as it is."""

    sso_enforced: bool | None = None
    insights: bool | None = None
    audit_pulls: bool | None = None


@get(_SETTINGS, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS))
async def get_org_settings(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> OrgSettings:
    """What members of an organization may pull."""
    async with services.db.read() as tx:
        settings = await org_settings.access_settings(tx, actor=request.actor, organization=name)
    return OrgSettings.of(settings)


@put(_SETTINGS, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS))
async def update_org_settings(
    name: FromPath[str], data: JSONBody[OrgSettings], request: HubRequest, services: NamedDependency[Services]
) -> OrgSettings:
    """Say what members of an organization may pull. It holds from their next request on.

    A member's pull is let through when the repository belongs to any organization of theirs; any other image needs
    the leave of each organization of theirs that restricts images. Pushes are not concerned, nor are site
    administrators. Switching it on takes a plan with `image_access_management`.
    """
    wanted = data.restricted_images
    async with services.db.write() as tx:
        settings = await org_settings.restrict_images(
            tx,
            actor=request.actor,
            organization=name,
            plans=services.settings.plans,
            is_enabled=wanted.enabled,
            allows_official_images=wanted.allow_official_images,
            allows_verified_publishers=wanted.allow_verified_publishers,
        )
    return OrgSettings.of(settings)


@get(_REGISTRY_ACCESS, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS, opened_by="scope-ram-read"))
async def get_registry_access(
    name: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RegistryAccessManagement:
    """Which registries members of an organization may reach from Docker Desktop."""
    async with services.db.read() as tx:
        settings = await org_settings.access_registry_settings(tx, actor=request.actor, organization=name)
    return RegistryAccessManagement.of(settings)


@put(_REGISTRY_ACCESS, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS, opened_by="scope-ram-write"))
async def update_registry_access(
    name: FromPath[str],
    data: JSONBody[RegistryAccessManagement],
    request: HubRequest,
    services: NamedDependency[Services],
) -> RegistryAccessManagement:
    """Say which registries members of an organization may reach. It is Docker Desktop that enforces this.

    Switching it on takes a plan with `registry_access_management`.
    """
    access = RegistryAccess(
        is_enabled=data.enabled,
        allows_docker_hub=data.standard_registries[0].allowed,
        custom_registries=data.custom_registries,
    )
    async with services.db.write() as tx:
        settings = await org_settings.restrict_registries(
            tx, actor=request.actor, organization=name, plans=services.settings.plans, access=access
        )
    return RegistryAccessManagement.of(settings)


@get(_POLICIES, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS, is_extension=True))
async def get_policies(name: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> Policies:
    """What else an organization has decided."""
    async with services.db.read() as tx:
        settings = await org_settings.access_settings(tx, actor=request.actor, organization=name)
    return Policies.of(settings)


@patch(_POLICIES, **reference(Section.SETTINGS, permission=_OWNERS, errors=_ERRORS, is_extension=True))
async def update_policies(
    name: FromPath[str], data: JSONBody[UpdatePolicies], request: HubRequest, services: NamedDependency[Services]
) -> Policies:
    """Change policies of an organization; what is left out stays as it is.

    Enforced single sign-on shuts out the passwords of all members, the caller's too, as long as nobody has set a
    connection up. A site administrator is exempt from it, and can switch it off again. Switching on takes a plan
    with `sso`, `insights` or `audit_logs`.
    """
    async with services.db.write() as tx:
        settings = await org_settings.set_policies(
            tx,
            actor=request.actor,
            organization=name,
            plans=services.settings.plans,
            is_sso_enforced=data.sso_enforced,
            has_insights=data.insights,
            audits_pulls=data.audit_pulls,
        )
    return Policies.of(settings)


handlers = [
    get_org_settings,
    update_org_settings,
    get_registry_access,
    update_registry_access,
    get_policies,
    update_policies,
]
