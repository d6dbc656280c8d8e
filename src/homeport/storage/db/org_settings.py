"""Statements on the settings of organizations. They hold no rules."""

import msgspec

from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationSettings

_FLAGS = """restricts_images, allows_official_images, allows_verified_publishers, restricts_registries,
    allows_docker_hub, custom_registries, is_sso_enforced, has_insights, audits_pulls"""


async def get(tx: Transaction, organization_id: int) -> OrganizationSettings:
    """An organization's settings; the defaults where nothing has been set yet."""
    found = await tx.one(
        OrganizationSettings,
        f"select {_FLAGS} from organization_settings where organization_id = :organization_id",
        organization_id=organization_id,
    )
    return found or OrganizationSettings()


async def put(tx: Transaction, organization_id: int, settings: OrganizationSettings) -> None:
    """Keep an organization's settings, all of them. The caller holds the organization's lock."""
    await tx.run(
        """
        insert into organization_settings (organization_id, restricts_images, allows_official_images,
            allows_verified_publishers, restricts_registries, allows_docker_hub, custom_registries, is_sso_enforced,
            has_insights, audits_pulls)
        values (:organization_id, :restricts_images, :allows_official_images,
            :allows_verified_publishers, :restricts_registries, :allows_docker_hub, :custom_registries,
            :is_sso_enforced, :has_insights, :audits_pulls)
        on conflict (organization_id) do update set
            restricts_images = excluded.restricts_images,
            allows_official_images = excluded.allows_official_images,
            allows_verified_publishers = excluded.allows_verified_publishers,
            restricts_registries = excluded.restricts_registries,
            allows_docker_hub = excluded.allows_docker_hub,
            custom_registries = excluded.custom_registries,
            is_sso_enforced = excluded.is_sso_enforced,
            has_insights = excluded.has_insights,
            audits_pulls = excluded.audits_pulls
        """,
        organization_id=organization_id,
        **msgspec.structs.asdict(settings),
    )


async def organization_that_enforces_sso(tx: Transaction, account_id: int) -> str | None:
    """The name of an organization of an account whose members may not log in by password."""
    return await tx.value(
        str,
        """
        select accounts.name from organization_members
        join organization_settings
            on organization_settings.organization_id = organization_members.organization_id
        join accounts on accounts.id = organization_members.organization_id
        where organization_members.account_id = :account_id and organization_settings.is_sso_enforced
        order by accounts.name limit 1
        """,
        account_id=account_id,
    )
