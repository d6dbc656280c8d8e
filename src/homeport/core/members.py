"""Members of organizations: who they are, what role they have, how they come and go.

Owners are the members of the owners team; the two are always said together. An organization keeps at least one owner:
whatever could take the last one holds the organization's lock while it counts.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec

from homeport.core import audit, directory
from homeport.core.access import Actor, OrganizationAction, access_organization, check_makes_owners, sees_emails
from homeport.core.accounts import access_user
from homeport.core.audit import AuditAction, Event
from homeport.core.domains import DOMAINS_LIMIT
from homeport.core.plans import check_members
from homeport.errors import LastOwner, MemberUnknown, PageUnknown
from homeport.names import OWNERS_TEAM
from homeport.settings import Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import collaborators as collaborator_rows
from homeport.storage.db import domains as domain_rows
from homeport.storage.db import invites as invite_rows
from homeport.storage.db import members as rows
from homeport.storage.db import org_settings as settings_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Database, Transaction, utcnow
from homeport.storage.db.records import Member, Organization, OrganizationRole, Team

EXPORT_BATCH = 200
"""Members that an export reads at once: half a millisecond of statements."""


class MemberQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which members are asked for. Who is invited has no role yet: a query for one keeps them out."""

    part: str = ""
    """What the name, the full name, or the e-mail address has to hold."""
    role: OrganizationRole | None = None
    has_members: bool = True
    has_invitees: bool = False


class ShownMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member or an invitee as one actor may see them."""

    member: Member
    teams: Sequence[str]
    is_guest: bool
    """The organization has verified domains, and the address is in none of them."""
    shows_email: bool
    shows_insights: bool


class MemberPage(msgspec.Struct, frozen=True):
    total: int
    members: Sequence[ShownMember]


async def list_page(
    tx: Transaction, *, actor: Actor, organization: str, query: MemberQuery, page: int, page_size: int
) -> MemberPage:
    """A page of members by name, behind whom come those who are invited, in the order of their invites.

    Invitees are shown to those who may invite, and to nobody else.

    Raises:
        PageUnknown: there is no such page; the first one is there even when it is empty.
        NotAuthenticated, OrganizationUnknown, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_MEMBERS)
    view = await _view(tx, actor, found)
    tx = tx.lists
    offset = (page - 1) * page_size
    total = 0
    members: list[Member] = []
    if query.has_members:
        total = await _count_members(tx, view, query)
        members = await _list_members(tx, view, query, offset, page_size)
    if query.has_invitees and query.role is None and view.sees_emails:
        left = page_size - len(members)
        members_before = total
        total += await rows.count_invitees(tx, organization_id=found.id, part=query.part)
        if left:
            members += await rows.list_invitees(
                tx,
                organization_id=found.id,
                part=query.part,
                offset=max(0, offset - members_before),
                limit=left,
            )
    if page > 1 and not members:
        raise PageUnknown
    return MemberPage(total, await _shown(tx, view, members))


async def access_export(tx: Transaction, *, actor: Actor, organization: str) -> Organization:
    """The organization, if the actor may export its members.

    Raises:
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    return await access_organization(tx, actor, organization, OrganizationAction.EXPORT_MEMBERS)


async def export(db: Database, *, actor: Actor, organization: Organization) -> AsyncIterator[list[ShownMember]]:
    """All members by name, and behind them those who are invited, in batches.

    No transaction is open between two batches, however long the reader takes: who comes or goes meanwhile may be in
    the export or not, all others are in it once.
    """
    for of_invitees in (False, True):
        last: Member | None = None
        while batch := await _batch(db, actor, organization, last, of_invitees=of_invitees):
            yield batch
            last = batch[-1].member


async def _batch(
    db: Database, actor: Actor, organization: Organization, after: Member | None, *, of_invitees: bool
) -> list[ShownMember]:
    list_behind = rows.list_invitees if of_invitees else rows.list_members
    async with db.read() as tx:
        view = await _view(tx, actor, organization)
        found = await list_behind(tx, organization_id=organization.id, after=after, limit=EXPORT_BATCH)
        return await _shown(tx, view, found)


async def add_member(
    tx: Transaction, *, actor: Actor, organization: str, user: str, role: OrganizationRole, plans: Plans
) -> None:
    """Add a member, or change the role of one.

    Raises:
        AccountUnknown: there is no such user.
        LastOwner: the role would leave the organization without an owner.
        PlanLimitReached: there is no room for another member.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_MEMBERS)
    member = await access_user(tx, user)
    await tx.lock("organization", found.id)
    if await rows.get_role(tx, organization_id=found.id, account_id=member.id) is None:
        await check_members(tx, plans, found)
    await put_role(tx, actor=actor, organization=found, account_id=member.id, user=member.name, role=role)


async def change_role(
    tx: Transaction, *, actor: Actor, organization: str, user: str, role: OrganizationRole
) -> ShownMember:
    """Give a member a role.

    Raises:
        MemberUnknown
        LastOwner: the role would leave the organization without an owner.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_MEMBERS)
    await tx.lock("organization", found.id)
    account_id, name = await _access_member(tx, found, user)
    await put_role(tx, actor=actor, organization=found, account_id=account_id, user=name, role=role)
    member = await rows.get(tx, organization_id=found.id, name=name)
    assert member is not None
    return (await _shown(tx, await _view(tx, actor, found), [member]))[0]


async def remove_member(tx: Transaction, *, actor: Actor, organization: str, user: str) -> None:
    """Remove a member from an organization and all of its teams, or leave it oneself.

    What they were granted by themselves on its repositories ends as well, and invites that would let them in again.
    Their tokens and sessions stay what they are, and open nothing of the organization from now on: roles are looked up
    with every request.

    Raises:
        MemberUnknown
        LastOwner: they are its only owner.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    is_oneself = actor.account_id is not None and user.lower() == actor.name
    action = OrganizationAction.LEAVE if is_oneself else OrganizationAction.EDIT_MEMBERS
    found = await access_organization(tx, actor, organization, action)
    await tx.lock("organization", found.id)
    account_id, name = await _access_member(tx, found, user)
    if await check_dispensable(tx, found, account_id) is OrganizationRole.OWNER and not is_oneself:
        check_makes_owners(actor)
    await take_out(tx, actor=actor, organization=found, account_id=account_id, name=name)
    await directory.leave(tx, organization_id=found.id, account_id=account_id)


async def check_dispensable(tx: Transaction, organization: Organization, account_id: int) -> OrganizationRole | None:
    """Whether an organization can do without one of its members; the role that they have. The caller holds the
    organization's lock.

    Raises:
        LastOwner
    """
    role = await rows.get_role(tx, organization_id=organization.id, account_id=account_id)
    if role is OrganizationRole.OWNER:
        await _check_not_last(tx, organization, account_id)
    return role


async def take_out(tx: Transaction, *, actor: Actor, organization: Organization, account_id: int, name: str) -> None:
    """End a membership with all that hangs on it. The caller has checked whether the actor may and whether the
    organization can do without the member, and holds its lock. The entry in its directory stays.
    """
    teams = await team_rows.list_of_members(tx, organization_id=organization.id, account_ids=[account_id])
    await team_rows.remove_from_all(tx, organization_id=organization.id, account_id=account_id)
    await collaborator_rows.delete_of_namespace(tx, namespace_id=organization.id, account_id=account_id)
    await rows.delete(tx, organization_id=organization.id, account_id=account_id)
    cancelled = await invite_rows.cancel_of(tx, organization_id=organization.id, account_id=account_id, now=utcnow())
    left = [_team_event(organization, AuditAction.ORG_TEAM_MEMBER_REMOVE, name, row.team) for row in teams]
    closed = [
        Event(
            action=AuditAction.ORG_MEMBER_INVITE_CANCEL,
            account_id=organization.id,
            name=organization.name,
            data={"invitee": invite.invitee, "role": invite.role},
        )
        for invite in cancelled
    ]
    await audit.record_all(tx, actor, [*left, *closed, _event(organization, AuditAction.ORG_MEMBER_REMOVE, name)])


async def put_role(
    tx: Transaction,
    *,
    actor: Actor,
    organization: Organization,
    account_id: int,
    user: str,
    role: OrganizationRole,
    **data: str,
) -> None:
    """Give a user a role in an organization, with all that follows for the owners team.

    The caller has checked whether the actor may and whether there is room for another member, and holds the
    organization's lock. `data` is what else the log is to tell.

    Raises:
        LastOwner: the role would leave the organization without an owner.
        TokenNotAllowed: the actor's token may not say who is an owner.
    """
    present = await rows.get_role(tx, organization_id=organization.id, account_id=account_id)
    if present is role:
        return
    if OrganizationRole.OWNER in (present, role):
        check_makes_owners(actor)
    if present is OrganizationRole.OWNER:
        await _check_not_last(tx, organization, account_id)
    await rows.put(tx, organization_id=organization.id, account_id=account_id, role=role)
    if present is None:
        account = await account_rows.get_by_id(tx, account_id)
        assert account is not None
        await directory.enter(tx, organization_id=organization.id, account=account)
    action = AuditAction.ORG_MEMBER_ROLE_CHANGE if present else AuditAction.ORG_MEMBER_ADD
    events = [_event(organization, action, user, role=role, **data)]
    owners = await _owners_team(tx, organization)
    if role is OrganizationRole.OWNER and await team_rows.add_member(tx, team_id=owners.id, account_id=account_id):
        events.append(_team_event(organization, AuditAction.ORG_TEAM_MEMBER_ADD, user, owners.name))
    if present is OrganizationRole.OWNER:
        await team_rows.remove_member(tx, team_id=owners.id, account_id=account_id)
        events.append(_team_event(organization, AuditAction.ORG_TEAM_MEMBER_REMOVE, user, owners.name))
    await audit.record_all(tx, actor, events)


async def _access_member(tx: Transaction, organization: Organization, user: str) -> tuple[int, str]:
    """Id and name of a member's account. Raises MemberUnknown."""
    member = await rows.get(tx, organization_id=organization.id, name=user.lower())
    if member is None or member.account_id is None:
        raise MemberUnknown(user, organization.name)
    return member.account_id, member.name


async def _check_not_last(tx: Transaction, organization: Organization, owner_id: int) -> None:
    """Whether an organization can do without one of its owners: not if the others are shut out of the hub. The caller
    holds the organization's lock.

    Raises:
        LastOwner
    """
    if not await rows.has_other_owner(tx, organization_id=organization.id, account_id=owner_id):
        raise LastOwner(organization.name)


async def _owners_team(tx: Transaction, organization: Organization) -> Team:
    owners = await team_rows.get(tx, organization_id=organization.id, name=OWNERS_TEAM)
    assert owners is not None
    return owners


def _event(organization: Organization, action: AuditAction, user: str, **data: str) -> Event:
    return Event(action=action, account_id=organization.id, name=organization.name, data={"user": user, **data})


def _team_event(organization: Organization, action: AuditAction, user: str, team: str) -> Event:
    return Event(action=action, account_id=organization.id, name=user, data={"team": team})


class _View(msgspec.Struct, frozen=True):
    """What an actor is shown of the members of an organization."""

    organization_id: int
    sees_emails: bool
    has_insights: bool
    verified_domains: frozenset[str]

    def is_guest(self, member: Member) -> bool:
        domain = (member.email or "").rpartition("@")[2].lower()
        return bool(self.verified_domains) and domain not in self.verified_domains


async def _view(tx: Transaction, actor: Actor, organization: Organization) -> _View:
    settings = await settings_rows.get(tx, organization.id)
    domains = await domain_rows.list_verified(tx, organization_id=organization.id, limit=DOMAINS_LIMIT)
    return _View(
        organization_id=organization.id,
        sees_emails=sees_emails(actor, organization),
        has_insights=settings.has_insights,
        verified_domains=frozenset(domain.name for domain in domains),
    )


async def _count_members(tx: Transaction, view: _View, query: MemberQuery) -> int:
    return await rows.count(
        tx,
        organization_id=view.organization_id,
        role=query.role,
        part=query.part,
        searches_emails=view.sees_emails,
    )


async def _list_members(tx: Transaction, view: _View, query: MemberQuery, offset: int, limit: int) -> list[Member]:
    return await rows.list_page(
        tx,
        organization_id=view.organization_id,
        role=query.role,
        part=query.part,
        searches_emails=view.sees_emails,
        offset=offset,
        limit=limit,
    )


async def _shown(tx: Transaction, view: _View, members: Sequence[Member]) -> list[ShownMember]:
    """Members with their teams, which are one statement for all of them."""
    ids = [member.account_id for member in members if member.account_id is not None and not member.is_invitee]
    teams: dict[int | None, list[str]] = {}
    if ids:
        for row in await team_rows.list_of_members(tx, organization_id=view.organization_id, account_ids=ids):
            teams.setdefault(row.account_id, []).append(row.team)
    return [
        ShownMember(
            member=member,
            teams=[member.team] if member.team else teams.get(member.account_id, []),
            is_guest=view.is_guest(member),
            shows_email=view.sees_emails,
            shows_insights=view.has_insights,
        )
        for member in members
    ]
