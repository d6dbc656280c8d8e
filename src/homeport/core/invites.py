"""Invites: how people come into an organization.

An invite is for a user, or for an e-mail address. Its mail holds a link with a secret; whoever has the link and shows
to be that user (or signs up under that address, which the link has verified) becomes a member. The secret is kept as
its SHA-256 only, and changes when the invite is sent again.

Here is what owners do; what those do who are invited is in `core/joining.py`.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from uuid import uuid4

import msgspec

from homeport.core import audit, mails
from homeport.core.access import (
    Actor,
    OrganizationAction,
    access_organization,
    check_makes_owners,
    granted_organization_actions,
)
from homeport.core.audit import AuditAction, Event
from homeport.core.plans import require_feature
from homeport.core.teams import access_team
from homeport.errors import (
    FieldInvalid,
    InviteJustSent,
    InviteUnknown,
    NotAuthenticated,
    TeamUnknown,
    TokenNotAllowed,
    TooManyInvites,
)
from homeport.names import OWNERS_TEAM, is_account_name, is_mail_address
from homeport.settings import Feature, Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import invites as rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import orgs as org_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.mails import NewMail
from homeport.storage.db.records import Account, AccountKind, Invite, InviteStatus, Organization, OrganizationRole, Team

BULK_LIMIT = 1000
"""Invitees of one request."""

PENDING_LIMIT = 5000
"""Pending invites of an organization, all of which stand in one list."""

RESEND_INTERVAL = timedelta(minutes=1)
SECRET_BYTES = 32
TIME = "%Y-%m-%d %H:%M UTC"


class InviteeStatus(StrEnum):
    """What became of one invitee; the first three words are Docker's."""

    INVITED = "invited"
    EXISTING_MEMBER = "existing_org_member"
    INVALID = "invalid_email_or_docker_id"
    ALREADY_INVITED = "already_invited"
    DUPLICATE = "duplicate"
    """It stands in the same request before, perhaps by the other of its names."""
    TOO_MANY_MAILS = "too_many_mails"
    """The address has been written to so often lately that it is left in peace for a while."""


class Outcome(msgspec.Struct, frozen=True):
    """One invitee as it was sent; `invite` is there if one was made."""

    invitee: str
    status: InviteeStatus
    invite: Invite | None = None


class Letter(msgspec.Struct, frozen=True):
    """What a mail about an invite needs beside the invite: where its links lead, and how long they work."""

    base_url: str
    lifetime: timedelta


# What owners do


async def list_pending(tx: Transaction, *, actor: Actor, organization: str) -> list[Invite]:
    """The open invites of an organization, the oldest first: `PENDING_LIMIT` at most.

    Raises:
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.READ_INVITES)
    return await rows.list_pending(tx, organization_id=found.id, now=utcnow(), limit=PENDING_LIMIT)


async def invite_all(
    tx: Transaction,
    *,
    actor: Actor,
    plans: Plans,
    organization: str,
    team: str,
    role: str,
    invitees: Sequence[str],
    letter: Letter,
    is_dry_run: bool = False,
) -> list[Outcome]:
    """Invite users by name and people by e-mail address, each with an outcome of their own.

    `team` is empty for none; who is invited into the owners team becomes an owner. A dry run says what would happen
    and changes nothing. The number of statements does not depend on how many are invited.

    Raises:
        FieldInvalid: the team or the role is unknown, or nobody or too many are invited.
        TooManyInvites: the organization would have more than `PENDING_LIMIT` pending invites.
        PlanLacksFeature: the organization's plan holds no invites.
        NotAuthenticated, OrganizationUnknown, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    found = await access_organization(tx, actor, organization, OrganizationAction.EDIT_INVITES)
    if actor.account_id is None:
        raise NotAuthenticated  # an invite says who invites
    require_feature(plans, found, Feature.INVITES)
    if not 1 <= len(invitees) <= BULK_LIMIT:
        raise FieldInvalid({"invitees": [f"Invite 1 to {BULK_LIMIT} at a time."]})
    target = await _target_team(tx, found, team)
    wanted = _role(role, target)
    if wanted is OrganizationRole.OWNER:
        check_makes_owners(actor)
    now = utcnow()
    if not is_dry_run:
        await tx.lock("organization", found.id)
        await rows.expire(tx, organization_id=found.id, now=now)
    guests = await _sorted_out(tx, found, invitees, now)
    new = sum(guest.status is InviteeStatus.INVITED for guest in guests)
    if new and new + await rows.count_pending(tx, organization_id=found.id, now=now) > PENDING_LIMIT:
        raise TooManyInvites(found.name, PENDING_LIMIT)
    if is_dry_run:
        return [Outcome(guest.written, guest.status) for guest in guests]
    terms = _Terms(
        inviter_id=actor.account_id,
        inviter=actor.name,
        organization=found,
        team=target,
        role=wanted,
        now=now,
        expires_at=now + letter.lifetime,
    )
    return await _invite(tx, actor, terms, guests, letter)


async def invite(
    tx: Transaction,
    *,
    actor: Actor,
    organization: Organization,
    inviter_id: int,
    inviter: str,
    team: Team,
    role: OrganizationRole,
    invitee: str,
    letter: Letter,
) -> Outcome:
    """Invite one person on behalf of an account. The caller has found out whether the actor may, and holds the
    organization's lock.

    Raises:
        TooManyInvites: the organization would have more than `PENDING_LIMIT` pending invites.
    """
    now = utcnow()
    await rows.expire(tx, organization_id=organization.id, now=now)
    guests = await _sorted_out(tx, organization, [invitee], now)
    if await rows.count_pending(tx, organization_id=organization.id, now=now) >= PENDING_LIMIT:
        raise TooManyInvites(organization.name, PENDING_LIMIT)
    terms = _Terms(
        inviter_id=inviter_id,
        inviter=inviter,
        organization=organization,
        team=team,
        role=role,
        now=now,
        expires_at=now + letter.lifetime,
    )
    return (await _invite(tx, actor, terms, guests, letter))[0]


async def cancel(tx: Transaction, *, actor: Actor, id_: str) -> None:
    """Take an invite back; its link stops working. Cancelling twice changes nothing.

    Raises:
        InviteUnknown: there is none in an organization of the actor's, or it has been accepted or declined.
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    invite = await settled(tx, await _access(tx, actor, id_))
    if await rows.close(tx, invite.id, status=InviteStatus.CANCELLED, now=utcnow()):
        await record(tx, actor, AuditAction.ORG_MEMBER_INVITE_CANCEL, invite)
    elif invite.status not in (InviteStatus.CANCELLED, InviteStatus.EXPIRED):
        raise InviteUnknown


async def resend(tx: Transaction, *, actor: Actor, id_: str, letter: Letter) -> None:
    """Send a pending invite again, with a new link that works as long as a new invite's; the old one stops working.

    Raises:
        InviteUnknown: there is none in an organization of the actor's, or it is not pending any more.
        InviteJustSent: less than a minute ago, or the address has had too many mails lately.
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `access_organization`.
    """
    invite = await settled(tx, await _access(tx, actor, id_))
    if invite.status is not InviteStatus.PENDING:
        raise InviteUnknown
    now = utcnow()
    if (wait := invite.sent_at + RESEND_INTERVAL - now) > timedelta():
        raise InviteJustSent(ceil(wait.total_seconds()))
    if invite.email and await mails.flooded(tx, [mails.folded(invite.email)]):
        raise InviteJustSent(ceil(mails.FLOOD.total_seconds()))
    secret, secret_sha256 = _new_secret()
    renewed = msgspec.structs.replace(
        invite, secret_sha256=secret_sha256, sent_at=now, expires_at=now + letter.lifetime
    )
    await rows.renew(tx, invite.id, secret_sha256=secret_sha256, sent_at=now, expires_at=renewed.expires_at)
    await mails.post(tx, _mails([(renewed, secret)], letter))
    await record(tx, actor, AuditAction.ORG_MEMBER_INVITE_SEND, renewed)


# Inviting


class _Guest(msgspec.Struct):
    """An invitee as it was written, and what is known of who is meant."""

    written: str
    email: str | None
    account: Account | None
    status: InviteeStatus = InviteeStatus.INVITED

    @property
    def folded_email(self) -> str | None:
        return mails.folded(self.email) if self.email else None

    @property
    def identity(self) -> int | str | None:
        return self.account.id if self.account else self.folded_email


async def _target_team(tx: Transaction, organization: Organization, name: str) -> Team | None:
    if not name:
        return None
    try:
        return await access_team(tx, organization=organization, name=name)
    except TeamUnknown as error:
        raise FieldInvalid({"team": [f"{error}."]}) from None


def _role(text: str, team: Team | None) -> OrganizationRole:
    if team is not None and team.name == OWNERS_TEAM:
        return OrganizationRole.OWNER
    try:
        return OrganizationRole(text.lower() or OrganizationRole.MEMBER)
    except ValueError:
        raise FieldInvalid({"role": [f"Use one of {', '.join(OrganizationRole)}."]}) from None


async def _sorted_out(
    tx: Transaction, organization: Organization, invitees: Sequence[str], now: datetime
) -> list[_Guest]:
    """Who is meant by each invitee, and whether they can be invited."""
    guests = await _known(tx, invitees)
    account_ids = [guest.account.id for guest in guests if guest.account]
    emails = [email for guest in guests if (email := guest.folded_email)]
    present = await member_rows.list_among(tx, organization_id=organization.id, account_ids=account_ids)
    pending = await rows.list_invited(
        tx, organization_id=organization.id, account_ids=account_ids, emails=emails, now=now
    )
    member_ids = {member.account_id for member in present}
    invited: set[int | str] = {invited.account_id for invited in pending if invited.account_id}
    invited |= {mails.folded(invited.email) for invited in pending if invited.email}
    flooded = await mails.flooded(tx, emails)
    seen: set[int | str] = set()
    for guest in guests:
        identity = guest.identity
        if identity is None:
            guest.status = InviteeStatus.INVALID
            continue
        if identity in seen:
            guest.status = InviteeStatus.DUPLICATE
        elif identity in member_ids:
            guest.status = InviteeStatus.EXISTING_MEMBER
        elif identity in invited or guest.folded_email in invited:
            guest.status = InviteeStatus.ALREADY_INVITED
        elif guest.folded_email in flooded:
            guest.status = InviteeStatus.TOO_MANY_MAILS
        seen.add(identity)
    return guests


async def _known(tx: Transaction, invitees: Sequence[str]) -> list[_Guest]:
    """Each invitee with its account, if it is the name or the address of one; without both if it is nothing."""
    texts = [text.strip() for text in invitees]
    addresses = {mails.folded(text) for text in texts if is_mail_address(text)}
    names = {text.lower() for text in texts if is_account_name(text.lower())}
    named = {account.name: account for account in await account_rows.list_named(tx, sorted(names))}
    found = await account_rows.list_with_email(tx, sorted(addresses))
    addressed = {mails.folded(account.email): account for account in found if account.email}
    guests = []
    for written, text in zip(invitees, texts, strict=True):
        is_address = is_mail_address(text)
        account = addressed.get(mails.folded(text)) if is_address else named.get(text.lower())
        if account is not None and not (account.is_active and account.kind is AccountKind.USER):
            guests.append(_Guest(written, None, None))
        else:
            email = account.email if account else None
            guests.append(_Guest(written, text if is_address else email, account))
    return guests


class _Terms(msgspec.Struct, frozen=True):
    """What all invites of one request have in common."""

    inviter_id: int
    inviter: str
    organization: Organization
    team: Team | None
    role: OrganizationRole
    now: datetime
    expires_at: datetime

    def invite(self, guest: _Guest, number: int, secret_sha256: str) -> Invite:
        return Invite(
            id=str(uuid4()),
            organization_id=self.organization.id,
            organization=self.organization.name,
            inviter=self.inviter,
            invitee=guest.written.strip(),
            account_id=guest.account.id if guest.account else None,
            email=guest.email,
            team_id=self.team.id if self.team else None,
            team=self.team.name if self.team else None,
            role=self.role,
            secret_sha256=secret_sha256,
            status=InviteStatus.PENDING,
            # A microsecond apart, so that the list keeps the order of the request.
            created_at=self.now + timedelta(microseconds=number),
            sent_at=self.now,
            expires_at=self.expires_at,
        )


async def _invite(
    tx: Transaction, actor: Actor, terms: _Terms, guests: Sequence[_Guest], letter: Letter
) -> list[Outcome]:
    """Write the invites, their mails and their events. The caller holds the organization's lock."""
    outcomes = []
    letters = []
    for number, guest in enumerate(guests):
        if guest.status is InviteeStatus.INVITED:
            secret, secret_sha256 = _new_secret()
            invite = terms.invite(guest, number, secret_sha256)
            letters.append((invite, secret))
            outcomes.append(Outcome(guest.written, guest.status, invite))
        else:
            outcomes.append(Outcome(guest.written, guest.status))
    if letters:
        await rows.insert_all(tx, [invite for invite, _ in letters], inviter_id=terms.inviter_id)
        await mails.post(tx, _mails(letters, letter))
        events = [_event(AuditAction.ORG_MEMBER_INVITE_SEND, invite) for invite, _ in letters]
        await audit.record_all(tx, actor, events)
    return outcomes


def _new_secret() -> tuple[str, str]:
    """A secret, and what is kept of it."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return secret, digest_of(secret)


def digest_of(secret: str) -> str:
    """What is kept of a link's secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _mails(letters: Sequence[tuple[Invite, str]], letter: Letter) -> list[NewMail]:
    """A mail for each invite with a secret; a user without an address finds the invite by the API alone."""
    return [
        NewMail(
            invite.email,
            f"{invite.inviter} invites you to {invite.organization} on Homeport",
            _TEXT.format(
                inviter=invite.inviter,
                organization=invite.organization,
                role=what_for(invite),
                link=f"{letter.base_url}/invites/{invite.id}?token={secret}",
                expires_at=invite.expires_at.strftime(TIME),
            ),
        )
        for invite, secret in letters
        if invite.email
    ]


def what_for(invite: Invite) -> str:
    """As what somebody is invited, in words."""
    article = "a" if invite.role is OrganizationRole.MEMBER else "an"
    team = f", in the team {invite.team}" if invite.team and invite.team != OWNERS_TEAM else ""
    return f"{article} {invite.role}{team}"


_TEXT = """\
Hello,

{inviter} invites you to the organization {organization}, as {role}.

On this page you can accept or decline:

{link}

The link works until {expires_at}. It is meant for you alone: do not pass it on.
If you do not know what this is about, you need not do anything.
"""


# Accepting and declining


async def _access(tx: Transaction, actor: Actor, id_: str) -> Invite:
    """An invite of an organization that the actor manages. To strangers of the organization it does not exist."""
    if actor.is_anonymous:
        raise NotAuthenticated
    if OrganizationAction.EDIT_INVITES not in actor.ceiling.organization_actions:
        raise TokenNotAllowed(actor.token_kind)
    invite = await rows.get(tx, id_)
    if invite is None:
        raise InviteUnknown
    organization = await org_rows.get(tx, invite.organization, actor_id=actor.account_id)
    if organization is None or not granted_organization_actions(actor, organization):
        raise InviteUnknown
    await access_organization(tx, actor, invite.organization, OrganizationAction.EDIT_INVITES)
    return invite


async def settled(tx: Transaction, invite: Invite) -> Invite:
    """The invite as it is once nobody else changes its organization."""
    await tx.lock("organization", invite.organization_id)
    found = await rows.get(tx, invite.id)
    if found is None:
        raise InviteUnknown
    return found


def _event(action: AuditAction, invite: Invite) -> Event:
    data = {"invitee": invite.invitee, "role": str(invite.role)}
    if invite.team:
        data["team"] = invite.team
    return Event(action=action, account_id=invite.organization_id, name=invite.organization, data=data)


async def record(tx: Transaction, actor: Actor, action: AuditAction, invite: Invite) -> None:
    """Write into the organization's log what was done about an invite."""
    await audit.record_all(tx, actor, [_event(action, invite)])
