"""What accounts show of themselves, and the organizations that users are in."""

from collections.abc import Mapping, Sequence

import msgspec

from homeport.core import audit
from homeport.core.access import Actor, OrganizationAction, access_organization
from homeport.core.access_tokens import own_account
from homeport.core.accounts import check_line, check_unmanaged
from homeport.core.audit import AuditAction
from homeport.errors import AccountUnknown, FieldInvalid, NotAuthenticated, PageUnknown
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import AccountKind, AccountProfile, OrganizationOfUser

FIELDS = ("full_name", "location", "company", "profile_url")
"""What people write of themselves."""

URL_STARTS = ("https://", "http://")


class OrganizationPage(msgspec.Struct, frozen=True):
    """`teams` are those of the user, by the organization's id."""

    total: int
    organizations: Sequence[OrganizationOfUser]
    teams: Mapping[int, Sequence[str]]


async def own_profile(tx: Transaction, *, actor: Actor) -> AccountProfile:
    """The actor's own.

    Raises:
        NotAuthenticated
    """
    if actor.account_id is None:
        raise NotAuthenticated
    profile = await account_rows.get_profile(tx, actor.name)
    if profile is None:
        raise NotAuthenticated
    return profile


async def access_profile(tx: Transaction, *, name: str) -> AccountProfile:
    """The profile of a user or an organization. It is public: the name of each is in the names of its repositories.

    Raises:
        AccountUnknown: there is none of that name, or it is shut out.
    """
    profile = await account_rows.get_profile(tx, name.lower())
    if profile is None or not profile.is_active:
        raise AccountUnknown(name)
    return profile


async def update_own(tx: Transaction, *, actor: Actor, **given: str | None) -> AccountProfile:
    """Change what is given of `FIELDS`, and leave the rest as it is.

    Raises:
        FieldInvalid: too long, of more than one line, or a `profile_url` that is no link.
        AccountChangeRefused: the full name of a managed account is its identity provider's to change.
        NotAuthenticated, TokenNotAllowed: see `own_account`.
    """
    account_id = own_account(actor)
    await tx.lock("account", account_id)
    present = await own_profile(tx, actor=actor)
    changed = _changed(present, given)
    if not changed:
        return present
    if "full_name" in changed:
        account = await account_rows.get_by_id(tx, account_id)
        assert account is not None
        check_unmanaged(account)
    await _put(tx, account_id, present, changed)
    await audit.record(
        tx, actor, AuditAction.USER_UPDATE, account_id=account_id, name=actor.name, fields=", ".join(changed)
    )
    return await own_profile(tx, actor=actor)


async def update_organization(
    tx: Transaction, *, actor: Actor, organization: str, **given: str | None
) -> AccountProfile:
    """Change what is given of an organization's `FIELDS`, and leave the rest as it is.

    Raises:
        FieldInvalid: as `update_own`.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.MANAGE)
    await tx.lock("organization", found.id)
    present = await access_profile(tx, name=found.name)
    changed = _changed(present, given)
    if not changed:
        return present
    await _put(tx, found.id, present, changed)
    await audit.record(
        tx,
        actor,
        AuditAction.ORG_SETTINGS_UPDATE,
        account_id=found.id,
        name=found.name,
        **{f"profile.{field}": value for field, value in changed.items()},
    )
    return await access_profile(tx, name=found.name)


async def list_own_organizations(tx: Transaction, *, actor: Actor, offset: int, limit: int) -> OrganizationPage:
    """The organizations that the actor is in, the oldest first.

    Raises:
        PageUnknown: there are no more than `offset`; the first page is there even when it is empty.
        NotAuthenticated
    """
    if actor.account_id is None:
        raise NotAuthenticated
    return await _page(tx, actor.account_id, shared_with=None, offset=offset, limit=limit)


async def list_organizations_of(
    tx: Transaction, *, actor: Actor, user: str, offset: int, limit: int
) -> OrganizationPage:
    """The organizations that a user is in, as far as the actor may know: they are in them, too, or run the site.

    Raises:
        AccountUnknown: there is no such user.
        PageUnknown, NotAuthenticated: as `list_own_organizations`.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    account = await account_rows.get(tx, user.lower())
    if account is None or account.kind is not AccountKind.USER or not account.is_active:
        raise AccountUnknown(user)
    sees_all = actor.is_site_admin or actor.account_id == account.id
    shared_with = None if sees_all else actor.account_id
    return await _page(tx, account.id, shared_with=shared_with, offset=offset, limit=limit)


async def _page(
    tx: Transaction, account_id: int, *, shared_with: int | None, offset: int, limit: int
) -> OrganizationPage:
    tx = tx.lists
    total = await org_rows.count_of_user(tx, account_id, shared_with=shared_with)
    if offset and offset >= total:
        raise PageUnknown
    found = await org_rows.list_of_user(tx, account_id, shared_with=shared_with, offset=offset, limit=limit)
    teams: dict[int, list[str]] = {}
    if ids := [organization.id for organization in found]:
        for row in await team_rows.list_of_user(tx, account_id, organization_ids=ids):
            teams.setdefault(row.organization_id, []).append(row.team)
    return OrganizationPage(total, found, teams)


def _changed(present: AccountProfile, given: Mapping[str, str | None]) -> dict[str, str]:
    """What of `FIELDS` is to be another than it is. Raises FieldInvalid."""
    changed = {
        field: value for field in FIELDS if (value := given[field]) is not None and value != getattr(present, field)
    }
    for field, value in changed.items():
        check_line(field, value)
    _check_url(changed.get("profile_url", ""))
    return changed


async def _put(tx: Transaction, account_id: int, present: AccountProfile, changed: Mapping[str, str]) -> None:
    wanted = {field: changed.get(field, getattr(present, field)) for field in FIELDS}
    await account_rows.set_profile(tx, account_id, **wanted)


def _check_url(text: str) -> None:
    # It is shown as a link: nothing that a browser would run.
    if text and not text.startswith(URL_STARTS):
        raise FieldInvalid({"profile_url": ["Must begin with https:// or http://."]}, "invalid profile_url")
