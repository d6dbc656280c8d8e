"""Joining an organization by an invite: what those do who are invited, signed in or by the link of their mail."""

import hmac

import msgspec

from homeport.core import accounts, audit, mails, members
from homeport.core.access import Actor, refuse_token
from homeport.core.audit import AuditAction
from homeport.core.invites import PENDING_LIMIT, digest_of, record, settled
from homeport.core.plans import check_members
from homeport.errors import InviteClosed, InviteOfAnother, InviteUnknown, NotAuthenticated
from homeport.names import OWNERS_TEAM
from homeport.settings import Plans
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import invites as rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Account, Invite, InviteStatus


class OpenedInvite(msgspec.Struct, frozen=True):
    """An open invite behind a link; `has_account` tells whether it waits for a user, or for somebody to sign up."""

    invite: Invite
    has_account: bool


async def list_own(tx: Transaction, *, actor: Actor) -> list[Invite]:
    """The open invites of the actor, the oldest first.

    Raises:
        NotAuthenticated, TokenNotAllowed: invites take a password's session.
    """
    account = await _account_of(tx, actor)
    email = mails.folded(account.email) if account.email else None
    return await rows.list_pending_of(tx, account_id=account.id, email=email, now=utcnow(), limit=PENDING_LIMIT)


async def accept(tx: Transaction, *, actor: Actor, plans: Plans, id_: str) -> None:
    """Join an organization by an invite of one's own. Accepting twice changes nothing.

    Raises:
        InviteUnknown: it is not the actor's.
        InviteClosed: it has expired, was cancelled or declined.
        PlanLimitReached: the organization has as many members as its plan allows.
        NotAuthenticated, TokenNotAllowed: as `list_own`.
    """
    account = await _account_of(tx, actor)
    invite = await rows.get(tx, id_)
    if invite is None or not _is_for(invite, account):
        raise InviteUnknown
    await _join(tx, actor, account, invite, plans)


async def decline(tx: Transaction, *, actor: Actor, id_: str) -> None:
    """Turn down an invite of one's own. Declining twice changes nothing.

    Raises: as `accept`.
    """
    account = await _account_of(tx, actor)
    invite = await rows.get(tx, id_)
    if invite is None or not _is_for(invite, account):
        raise InviteUnknown
    await _decline(tx, actor, invite)


async def open_link(tx: Transaction, *, id_: str, secret: str) -> OpenedInvite:
    """The open invite behind a link.

    Raises:
        InviteUnknown: no such invite, or the link has been replaced by a newer one.
        InviteClosed: it has expired, was cancelled, or used already.
    """
    invite = await _by_link(tx, id_, secret)
    if (status := _status(invite)) is not InviteStatus.PENDING:
        raise InviteClosed(status)
    return OpenedInvite(invite, has_account=await _bound_account(tx, invite) is not None)


async def accept_link(tx: Transaction, *, actor: Actor, plans: Plans, id_: str, secret: str) -> Invite:
    """Join by a link as a user who has just shown who they are.

    Raises:
        InviteUnknown, InviteClosed: as `open_link`; who accepts twice is a member and hears no error.
        InviteOfAnother: another user is invited.
        PlanLimitReached: as `accept`.
        NotAuthenticated, TokenNotAllowed: as `list_own`.
    """
    account = await _account_of(tx, actor)
    invite = await _by_link(tx, id_, secret)
    if not _is_for(invite, account):
        raise InviteOfAnother
    await _join(tx, actor, account, invite, plans)
    return invite


async def sign_up(
    tx: Transaction,
    *,
    plans: Plans,
    id_: str,
    secret: str,
    name: str,
    full_name: str,
    password_hash: str,
    address: str,
    user_agent: str,
) -> Invite:
    """Make an account under the address of an invite, and join by it. Who has the link has the address.

    Raises:
        InviteUnknown, InviteClosed: as `open_link`.
        InviteOfAnother: it is for a user that there is already.
        PlanLimitReached: as `accept`.
        AccountNameInvalid, FieldInvalid, AccountExists: as `accounts.create_user`.
    """
    opened = await open_link(tx, id_=id_, secret=secret)
    invite = opened.invite
    if opened.has_account or invite.email is None:
        raise InviteOfAnother
    guest = Actor(name=name, address=address, user_agent=user_agent)
    account = await accounts.create_user(
        tx, actor=guest, name=name, email=invite.email, full_name=full_name, password_hash=password_hash
    )
    actor = msgspec.structs.replace(Actor.of(account), address=address, user_agent=user_agent)
    await _join(tx, actor, account, invite, plans)
    return invite


async def decline_link(tx: Transaction, *, id_: str, secret: str, address: str, user_agent: str) -> Invite:
    """Turn down an invite by its link, without saying who one is.

    Raises:
        InviteUnknown, InviteClosed: as `open_link`; declining twice is no error.
    """
    invite = await _by_link(tx, id_, secret)
    await _decline(tx, Actor(name=invite.invitee, address=address, user_agent=user_agent), invite)
    return invite


async def _account_of(tx: Transaction, actor: Actor) -> Account:
    if actor.account_id is None:
        raise NotAuthenticated
    refuse_token(actor)
    account = await account_rows.get_by_uuid(tx, actor.account_uuid)
    if account is None:
        raise NotAuthenticated
    return account


async def _by_link(tx: Transaction, id_: str, secret: str) -> Invite:
    invite = await rows.get(tx, id_)
    if invite is None or not hmac.compare_digest(invite.secret_sha256, digest_of(secret)):
        raise InviteUnknown
    return invite


async def _bound_account(tx: Transaction, invite: Invite) -> int | None:
    """The account that an invite is for, if there is one by now."""
    if invite.account_id is not None or invite.email is None:
        return invite.account_id
    found = await account_rows.list_with_email(tx, [mails.folded(invite.email)])
    return found[0].id if found else None


def _is_for(invite: Invite, account: Account) -> bool:
    if invite.account_id is not None:
        return invite.account_id == account.id
    if invite.email is None or account.email is None:
        return False
    return mails.folded(invite.email) == mails.folded(account.email)


def _status(invite: Invite) -> InviteStatus:
    if invite.status is InviteStatus.PENDING and invite.expires_at <= utcnow():
        return InviteStatus.EXPIRED
    return invite.status


async def _join(tx: Transaction, actor: Actor, account: Account, invite: Invite, plans: Plans) -> None:
    """Make the membership and close the invite. Who has become a member meanwhile keeps the role they have."""
    invite = await settled(tx, invite)
    organization_id = invite.organization_id
    present = await member_rows.get_role(tx, organization_id=organization_id, account_id=account.id)
    status = _status(invite)
    if status is InviteStatus.ACCEPTED and present is not None:
        return
    if status is not InviteStatus.PENDING:
        raise InviteClosed(status)
    await rows.close(tx, invite.id, status=InviteStatus.ACCEPTED, now=utcnow(), account_id=account.id)
    if present is None:
        organization = await org_rows.get(tx, invite.organization, actor_id=None)
        if organization is None:
            raise InviteUnknown
        await check_members(tx, plans, organization)
        await members.put_role(
            tx,
            actor=actor,
            organization=organization,
            account_id=account.id,
            user=account.name,
            role=invite.role,
            inviter=invite.inviter,
        )
    if invite.team_id is None or invite.team is None or invite.team == OWNERS_TEAM:
        return  # the owners team goes with the role
    if await team_rows.add_member(tx, team_id=invite.team_id, account_id=account.id):
        await audit.record(
            tx,
            actor,
            AuditAction.ORG_TEAM_MEMBER_ADD,
            account_id=organization_id,
            name=account.name,
            team=invite.team,
        )


async def _decline(tx: Transaction, actor: Actor, invite: Invite) -> None:
    invite = await settled(tx, invite)
    status = _status(invite)
    if status is InviteStatus.DECLINED:
        return
    if status is not InviteStatus.PENDING:
        raise InviteClosed(status)
    await rows.close(tx, invite.id, status=InviteStatus.DECLINED, now=utcnow())
    await record(tx, actor, AuditAction.ORG_MEMBER_INVITE_DECLINE, invite)
