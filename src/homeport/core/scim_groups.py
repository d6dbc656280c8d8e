"""Teams as an identity provider sees and changes them (SCIM `Group`).

A group has a name for people, which may be anything; the team's own name is made from it, since paths and clients of
the Hub take no other. Who is in the owners team is an owner: a provider makes and unmakes them, but for the last one.
Callers hold the organization's lock.
"""

import re
from collections.abc import Sequence

import msgspec

from homeport.core import audit, members
from homeport.core.audit import AuditAction, Event
from homeport.core.plans import check_teams
from homeport.core.scim_tokens import Provider
from homeport.core.teams import NAME_LENGTH_LIMIT, is_owners
from homeport.errors import FieldInvalid, ScimGroupExists, ScimGroupUnknown, TeamExists, TeamProtected
from homeport.names import OWNERS_TEAM, folded, line_problem
from homeport.storage.db import scim_groups as rows
from homeport.storage.db import scim_users as user_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import OrganizationRole, ScimGroup, ScimGroupMember, ScimUser, Team
from homeport.storage.db.scim_filters import Search

OWNERS_CHANGED_LIMIT = 100
"""Members of the owners team that one request may change: each takes statements of its own."""

_NAMES_TRIED = 50
_SHORTEST_NAME = 3


class WantedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a group is to be; `members` are ids of users."""

    display_name: str
    external_id: str | None = None
    members: tuple[str, ...] = ()


class ShownGroup(msgspec.Struct, frozen=True):
    """A group with its members, if they were asked for."""

    group: ScimGroup
    members: Sequence[ScimGroupMember]


class Found(msgspec.Struct, frozen=True):
    """A page of a search, and how many there are in all."""

    total: int
    groups: Sequence[ShownGroup]


async def get(tx: Transaction, *, provider: Provider, uuid: str, among: Sequence[str] | None = None) -> ShownGroup:
    """One group with its members; with those `among` some users alone if these are given.

    Raises:
        ScimGroupUnknown
    """
    group = await _access(tx, provider, uuid)
    return ShownGroup(group, await _members(tx, group.id, among))


async def find(tx: Transaction, *, provider: Provider, search: Search, with_members: bool) -> Found:
    """Groups that a filter lets through, in an order: three statements, however many there are."""
    organization_id = provider.organization.id
    total = await rows.count(tx, organization_id=organization_id, search=search)
    if not search.limit or search.offset >= total:
        return Found(total, [])
    groups = await rows.list_page(tx, organization_id=organization_id, search=search)
    return Found(total, await _shown(tx, groups, with_members=with_members))


async def create(tx: Transaction, *, provider: Provider, wanted: WantedGroup) -> ShownGroup:
    """Make a team.

    Raises:
        FieldInvalid
        ScimGroupExists: another group has the name.
        PlanLimitReached, TeamExists
    """
    _check(wanted)
    organization_id = provider.organization.id
    if await rows.get_by_display(tx, organization_id=organization_id, display_name=wanted.display_name) is not None:
        raise ScimGroupExists(wanted.display_name)
    team = await _make_team(tx, provider, wanted.display_name, wanted.external_id)
    await _set_members(tx, provider, team, wanted.members)
    return await get(tx, provider=provider, uuid=team.uuid)


async def replace(
    tx: Transaction, *, provider: Provider, uuid: str, wanted: WantedGroup, among: Sequence[str] | None = None
) -> ShownGroup:
    """Make a group what it is to be. Nothing happens, and nothing is logged, where it is so already.

    If it is said `among` whom the members are wanted, others stay what they are, and are not shown.

    Raises:
        ScimGroupUnknown, FieldInvalid
        ScimGroupExists: another group has the name.
        TeamProtected: the owners team keeps its name.
        LastOwner: nobody would be left to own the organization.
    """
    _check(wanted)
    group = await _access(tx, provider, uuid)
    if (wanted.display_name, wanted.external_id) != (group.display_name, group.external_id):
        await _rename(tx, provider, group, wanted)
    team = await team_rows.get_by_id(tx, group.id)
    assert team is not None
    await _set_members(tx, provider, team, wanted.members, among)
    return await get(tx, provider=provider, uuid=uuid, among=among)


async def delete(tx: Transaction, *, provider: Provider, uuid: str) -> None:
    """Delete a team with its permissions on repositories; its members stay in the organization.

    Raises:
        ScimGroupUnknown
        TeamProtected: the owners team stays.
    """
    group = await _access(tx, provider, uuid)
    if group.name == OWNERS_TEAM:
        raise TeamProtected(group.name)
    await team_rows.delete(tx, group.id)
    await _record(tx, provider, AuditAction.ORG_TEAM_DELETE, team=group.name)


async def put_team(tx: Transaction, *, provider: Provider, display_name: str) -> Team:
    """The team that a provider knows by a name; it is made if there is none.

    Raises:
        PlanLimitReached, TeamExists
    """
    found = await rows.get_by_display(tx, organization_id=provider.organization.id, display_name=display_name)
    if found is None:
        return await _make_team(tx, provider, display_name, None)
    team = await team_rows.get_by_id(tx, found.id)
    assert team is not None
    return team


async def _access(tx: Transaction, provider: Provider, uuid: str) -> ScimGroup:
    group = await rows.get(tx, organization_id=provider.organization.id, uuid=uuid)
    if group is None:
        raise ScimGroupUnknown(uuid)
    return group


async def _shown(tx: Transaction, groups: Sequence[ScimGroup], *, with_members: bool) -> list[ShownGroup]:
    found: dict[int, list[ScimGroupMember]] = {}
    if with_members:
        for member in await rows.list_members(tx, team_ids=[group.id for group in groups]):
            found.setdefault(member.team_id, []).append(member)
    return [ShownGroup(group, found.get(group.id, [])) for group in groups]


async def _members(tx: Transaction, team_id: int, among: Sequence[str] | None) -> Sequence[ScimGroupMember]:
    if among is None:
        return await rows.list_members(tx, team_ids=[team_id])
    return await rows.list_members_among(tx, team_id=team_id, uuids=among) if among else []


async def _make_team(tx: Transaction, provider: Provider, display_name: str, external_id: str | None) -> Team:
    organization = provider.organization
    await check_teams(tx, provider.plans, organization)
    name = await _free_name(tx, provider, display_name)
    team = await team_rows.insert(tx, organization_id=organization.id, name=name, description="")
    if team is None:
        raise TeamExists(name)
    await rows.update(tx, team.id, name=name, display_name=display_name, external_id=external_id)
    await _record(tx, provider, AuditAction.ORG_TEAM_CREATE, team=name)
    return team


async def _rename(tx: Transaction, provider: Provider, group: ScimGroup, wanted: WantedGroup) -> None:
    name = group.name
    if folded(wanted.display_name) != folded(group.display_name):
        if group.name == OWNERS_TEAM:
            raise TeamProtected(group.name)
        other = await rows.get_by_display(
            tx, organization_id=provider.organization.id, display_name=wanted.display_name
        )
        if other is not None:
            raise ScimGroupExists(wanted.display_name)
        name = await _free_name(tx, provider, wanted.display_name, own=group.name)
    await rows.update(tx, group.id, name=name, display_name=wanted.display_name, external_id=wanted.external_id)
    changed = {"new_name": name} if name != group.name else {}
    await _record(tx, provider, AuditAction.ORG_TEAM_UPDATE, team=group.name, **changed)


async def _free_name(tx: Transaction, provider: Provider, display_name: str, *, own: str = "") -> str:
    """A team's name that is made from a group's; the group's own where it is one. The team has `own` until now.

    Raises:
        TeamExists: there are too many groups of much the same name.
    """
    stem = re.sub(r"[^a-zA-Z0-9_-]+", "-", display_name).strip("-")[: NAME_LENGTH_LIMIT - 3]
    if re.fullmatch(rf"[a-zA-Z0-9_-]{{{_SHORTEST_NAME},{NAME_LENGTH_LIMIT}}}", display_name):
        stem = display_name
    elif len(stem) < _SHORTEST_NAME:
        stem = f"team-{stem}".rstrip("-")
    short = stem[: NAME_LENGTH_LIMIT - 3]
    names = [stem, *(f"{short}-{number}" for number in range(2, _NAMES_TRIED))]
    found = await rows.list_names(tx, organization_id=provider.organization.id, names=[name.lower() for name in names])
    taken = {row.name for row in found} - {own.lower()}
    free = next((name for name in names if name.lower() not in taken), None)
    if free is None:
        raise TeamExists(stem)
    return free


async def _set_members(
    tx: Transaction, provider: Provider, team: Team, uuids: Sequence[str], among: Sequence[str] | None = None
) -> None:
    """Have these users in a team, and no others of those whom the provider sees. Ids that are no users' are left out.

    Raises:
        FieldInvalid: one of them is not in the organization (any more), or too many owners change at once.
        LastOwner
    """
    organization_id = provider.organization.id
    present = {member.uuid: member for member in await _members(tx, team.id, among)}
    wanted = set(uuids)
    added = await _users(tx, organization_id, [uuid for uuid in uuids if uuid not in present])
    removed = {member.account_id: member.name for uuid, member in present.items() if uuid not in wanted}
    for user in added:
        if user.role is None:
            raise FieldInvalid({"members": [f"{user.user_name} is deactivated."]}, f"{user.user_name} is deactivated")
    if is_owners(team):
        await _change_owners(tx, provider, added, removed)
        return
    if added:
        await rows.add_members(tx, team_id=team.id, account_ids=[user.account_id for user in added])
    if removed:
        await rows.remove_members(tx, team_id=team.id, account_ids=list(removed))
    if added or removed:
        await rows.touch(tx, team.id)
    joined = [_member_event(provider, AuditAction.ORG_TEAM_MEMBER_ADD, user.account_name, team) for user in added]
    left = [_member_event(provider, AuditAction.ORG_TEAM_MEMBER_REMOVE, name, team) for name in removed.values()]
    await audit.record_all(tx, provider.actor, [*joined, *left])


async def _users(tx: Transaction, organization_id: int, uuids: Sequence[str]) -> list[ScimUser]:
    return await user_rows.list_of(tx, organization_id=organization_id, uuids=uuids) if uuids else []


async def _change_owners(
    tx: Transaction, provider: Provider, added: Sequence[ScimUser], removed: dict[int, str]
) -> None:
    if len(added) + len(removed) > OWNERS_CHANGED_LIMIT:
        problem = f"at most {OWNERS_CHANGED_LIMIT} owners change at once"
        raise FieldInvalid({"members": [problem]}, f"members: {problem}")
    changes = [(user.account_id, user.account_name, OrganizationRole.OWNER) for user in added]
    changes += [(account_id, name, OrganizationRole.MEMBER) for account_id, name in removed.items()]
    for account_id, name, role in changes:
        await members.put_role(
            tx,
            actor=provider.actor,
            organization=provider.organization,
            account_id=account_id,
            user=name,
            role=role,
        )


def _member_event(provider: Provider, action: AuditAction, user: str, team: Team) -> Event:
    return Event(action=action, account_id=provider.organization.id, name=user, data={"team": team.name})


async def _record(tx: Transaction, provider: Provider, action: AuditAction, **data: str) -> None:
    organization = provider.organization
    await audit.record(tx, provider.actor, action, account_id=organization.id, name=organization.name, **data)


def _check(wanted: WantedGroup) -> None:
    """Raises: FieldInvalid."""
    if not wanted.display_name.strip():
        raise FieldInvalid({"displayName": ["This field is required."]}, "displayName is required")
    for name, text in (("displayName", wanted.display_name), ("externalId", wanted.external_id or "")):
        if problem := line_problem(text):
            raise FieldInvalid({name: [problem]}, f"{name}: {problem}")
