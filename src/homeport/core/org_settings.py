"""What an organization sets for its members: which images they pull, which registries they reach, how they log in.

Image access is enforced where a repository is fetched (`access.is_restricted`). Registry access is kept for Docker
Desktop, which asks for it and enforces it.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.audit import AuditAction, Event
from homeport.core.plans import require_feature
from homeport.errors import FieldInvalid
from homeport.settings import Feature, Plans
from homeport.storage.db import org_settings as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Organization, OrganizationSettings

DOCKER_HUB = "DockerHub"
"""The one standard registry."""

CUSTOM_REGISTRIES_LIMIT = 100
ADDRESS_LENGTH_LIMIT = 255
FRIENDLY_NAME_LENGTH_LIMIT = 255

# Docker's own Terraform provider writes addresses with a scheme, its manual without.
_ADDRESS = re.compile(
    r"(?:https?://)?((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?/?",
    re.IGNORECASE | re.ASCII,
)


class CustomRegistry(msgspec.Struct, frozen=True):
    """A registry that an organization lets its members reach, or not."""

    address: str
    friendly_name: str
    is_allowed: bool = msgspec.field(name="allowed")


class RegistryAccess(msgspec.Struct, frozen=True):
    is_enabled: bool
    allows_docker_hub: bool
    custom_registries: Sequence[CustomRegistry]

    @classmethod
    def of(cls, settings: OrganizationSettings) -> "RegistryAccess":
        registries = msgspec.json.decode(settings.custom_registries, type=list[CustomRegistry])
        return cls(settings.restricts_registries, settings.allows_docker_hub, registries)


async def access_settings(tx: Transaction, *, actor: Actor, organization: str) -> OrganizationSettings:
    """An organization's settings.

    Raises:
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    return await rows.get(tx, found.id)


async def access_registry_settings(tx: Transaction, *, actor: Actor, organization: str) -> OrganizationSettings:
    """As `access_settings`, for what is said of registries.

    Raises:
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_REGISTRY_ACCESS)
    return await rows.get(tx, found.id)


async def restrict_images(
    tx: Transaction,
    *,
    actor: Actor,
    organization: str,
    plans: Plans,
    is_enabled: bool,
    allows_official_images: bool,
    allows_verified_publishers: bool,
) -> OrganizationSettings:
    """Say what members may pull; it holds from their next request on.

    Raises:
        PlanLacksFeature: it may be switched off all the same.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found, present = await _open(tx, actor, organization)
    if is_enabled:
        require_feature(plans, found, Feature.IMAGE_ACCESS_MANAGEMENT)
    wanted = msgspec.structs.replace(
        present,
        restricts_images=is_enabled,
        allows_official_images=allows_official_images,
        allows_verified_publishers=allows_verified_publishers,
    )
    words = {
        "restricts_images": "restricted_images.enabled",
        "allows_official_images": "restricted_images.allow_official_images",
        "allows_verified_publishers": "restricted_images.allow_verified_publishers",
    }
    await _keep(tx, actor, found, wanted, _updates(found, present, wanted, words))
    return wanted


async def restrict_registries(
    tx: Transaction, *, actor: Actor, organization: str, plans: Plans, access: RegistryAccess
) -> OrganizationSettings:
    """Say which registries members may reach.

    Raises:
        FieldInvalid: too many custom registries, one of them twice, or with an address that is none.
        PlanLacksFeature: it may be switched off all the same.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found, present = await _open(tx, actor, organization, OrganizationAction.EDIT_REGISTRY_ACCESS)
    _check_custom_registries(access.custom_registries)
    if access.is_enabled:
        require_feature(plans, found, Feature.REGISTRY_ACCESS_MANAGEMENT)
    wanted = msgspec.structs.replace(
        present,
        restricts_registries=access.is_enabled,
        allows_docker_hub=access.allows_docker_hub,
        custom_registries=msgspec.json.encode(access.custom_registries).decode(),
    )
    await _keep(tx, actor, found, wanted, _registry_events(found, RegistryAccess.of(present), access))
    return wanted


async def set_policies(
    tx: Transaction,
    *,
    actor: Actor,
    organization: str,
    plans: Plans,
    is_sso_enforced: bool | None = None,
    has_insights: bool | None = None,
    audits_pulls: bool | None = None,
) -> OrganizationSettings:
    """Change what is given, and leave the rest as it is.

    Raises:
        PlanLacksFeature: something is to be switched on that the plan does not hold.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found, present = await _open(tx, actor, organization)
    given = {"is_sso_enforced": is_sso_enforced, "has_insights": has_insights, "audits_pulls": audits_pulls}
    for name, feature in (
        ("is_sso_enforced", Feature.SSO),
        ("has_insights", Feature.INSIGHTS),
        ("audits_pulls", Feature.AUDIT_LOGS),
    ):
        if given[name]:
            require_feature(plans, found, feature)
    wanted = msgspec.structs.replace(present, **{name: value for name, value in given.items() if value is not None})
    events = _updates(found, present, wanted, {"has_insights": "insights", "audits_pulls": "audit_pulls"})
    if wanted.is_sso_enforced != present.is_sso_enforced:
        toggled = {"enforced": _text(wanted.is_sso_enforced)}
        events.append(_event(found, AuditAction.ENTERPRISE_SSO_ENFORCEMENT_TOGGLE, toggled))
    await _keep(tx, actor, found, wanted, events)
    return wanted


async def _open(
    tx: Transaction, actor: Actor, organization: str, action: OrganizationAction = OrganizationAction.MANAGE
) -> tuple[Organization, OrganizationSettings]:
    """The organization and its settings, which nobody else changes until the transaction ends."""
    found = await access_organization(tx, actor, organization, action)
    await tx.lock("organization", found.id)
    return found, await rows.get(tx, found.id)


async def _keep(
    tx: Transaction, actor: Actor, organization: Organization, wanted: OrganizationSettings, events: list[Event]
) -> None:
    """Keep settings, and write down what is new in them."""
    await rows.put(tx, organization.id, wanted)
    if events:
        await audit.record_all(tx, actor, events)


def _updates(
    organization: Organization,
    present: OrganizationSettings,
    wanted: OrganizationSettings,
    words: Mapping[str, str],
) -> list[Event]:
    """One event on the switches that have changed, by their names at the Hub door; none if none has."""
    changed = {
        word: _text(getattr(wanted, name))
        for name, word in words.items()
        if getattr(wanted, name) != getattr(present, name)
    }
    return [_event(organization, AuditAction.ORG_SETTINGS_UPDATE, changed)] if changed else []


def _registry_events(organization: Organization, present: RegistryAccess, wanted: RegistryAccess) -> list[Event]:
    """One event for each thing that has changed."""
    events = []
    if wanted.is_enabled != present.is_enabled:
        is_on = wanted.is_enabled
        action = AuditAction.ORG_REGISTRY_ACCESS_ENABLED if is_on else AuditAction.ORG_REGISTRY_ACCESS_DISABLED
        events.append(_event(organization, action, {}))
    if wanted.allows_docker_hub != present.allows_docker_hub:
        data = {"registry": DOCKER_HUB, "allowed": _text(wanted.allows_docker_hub)}
        events.append(_event(organization, AuditAction.ORG_REGISTRY_ACCESS_REGISTRY_UPDATED, data))
    before = {_place(registry.address): registry for registry in present.custom_registries}
    after = {_place(registry.address): registry for registry in wanted.custom_registries}
    for place, registry in after.items():
        if place not in before:
            action = AuditAction.ORG_REGISTRY_ACCESS_REGISTRY_ADDED
        elif registry != before[place]:
            action = AuditAction.ORG_REGISTRY_ACCESS_REGISTRY_UPDATED
        else:
            continue
        events.append(_event(organization, action, _told(registry)))
    for place, registry in before.items():
        if place not in after:
            events.append(_event(organization, AuditAction.ORG_REGISTRY_ACCESS_REGISTRY_REMOVED, _told(registry)))
    return events


def _event(organization: Organization, action: AuditAction, data: dict[str, str]) -> Event:
    return Event(action=action, account_id=organization.id, name=organization.name, data=data)


def _told(registry: CustomRegistry) -> dict[str, str]:
    return {
        "registry": registry.address,
        "friendly_name": registry.friendly_name,
        "allowed": _text(registry.is_allowed),
    }


def _text(is_on: bool) -> str:
    return "true" if is_on else "false"


def _place(address: str) -> str:
    """What an address means, however it is written."""
    match = _ADDRESS.fullmatch(address)
    assert match is not None
    host, port = match.groups()
    return f"{host.lower()}:{port or ''}"


def _check_custom_registries(registries: Sequence[CustomRegistry]) -> None:
    problems: list[str] = []
    if len(registries) > CUSTOM_REGISTRIES_LIMIT:
        problems = [f"At most {CUSTOM_REGISTRIES_LIMIT} registries."]
    else:
        places: set[str] = set()
        for number, registry in enumerate(registries):
            problem = _problem(registry, places)
            if problem:
                problems.append(f"{number}: {problem}")
    if problems:
        raise FieldInvalid({"custom_registries": problems}, "invalid custom_registries")


def _problem(registry: CustomRegistry, places: set[str]) -> str | None:
    """What is wrong with an entry, with those before it at `places`, to which it is added."""
    match = _ADDRESS.fullmatch(registry.address[: ADDRESS_LENGTH_LIMIT + 1])
    if match is None or len(registry.address) > ADDRESS_LENGTH_LIMIT or int(match[2] or 1) not in range(1, 65536):
        return f"address has to be host[:port], of {ADDRESS_LENGTH_LIMIT} characters at most."
    if len(registry.friendly_name) > FRIENDLY_NAME_LENGTH_LIMIT:
        return f"friendly_name has to be of {FRIENDLY_NAME_LENGTH_LIMIT} characters at most."
    place = _place(registry.address)
    if place in places:
        return f"address {registry.address} is there already."
    places.add(place)
    return None
