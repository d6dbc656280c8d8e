"""Members as an identity provider sees and changes them (SCIM `User`).

A provider speaks for the accounts that its organization *manages*: those that it made, and those that it claimed since
their address is in a domain that is verified for the organization and they are in no other (by a POST, or by the first
change of a member who was there before). It renames them, and whoever it shuts out is shut out of this hub. Of other
members it ends the membership alone; they were somebody before.

Whoever is known here and cannot be claimed is invited, and appears once they have accepted. Site administrators and
members of other organizations alone are out of a provider's reach. Callers hold the organization's lock.
"""

import contextlib
import re
import secrets
from collections.abc import Sequence

import msgspec

from homeport.core import accounts, audit, directory, invites, members
from homeport.core.audit import AuditAction, Event
from homeport.core.invites import InviteeStatus
from homeport.core.mails import folded as folded_address
from homeport.core.plans import check_members
from homeport.core.scim_groups import put_team
from homeport.core.scim_tokens import Provider
from homeport.errors import (
    AccountExists,
    AccountShut,
    FieldInvalid,
    InvitedInstead,
    ScimUserExists,
    ScimUserUnknown,
    UserNameImmutable,
)
from homeport.names import LINE_LENGTH_LIMIT, OWNERS_TEAM, folded, is_account_name, is_mail_address, line_problem
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import domains as domain_rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import scim_users as rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import (
    Account,
    AccountKind,
    OrganizationRole,
    ScimEmail,
    ScimMembership,
    ScimUser,
    Team,
)
from homeport.storage.db.scim_filters import Search

FIRST_TEAM = "company"
"""Where new users go, as at Docker."""

EMAILS_LIMIT = 20
_NAMES_TRIED = 20
_NAME_LENGTH = 24


class EmailAddress(msgspec.Struct, frozen=True):
    """One of a user's addresses as the provider writes it."""

    value: str | None = None
    display: str | None = None
    type: str | None = None
    is_primary: bool | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a user is to be. `role` and `team` are orders: None leaves what there is, and is no order any more."""

    user_name: str
    external_id: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    display_name: str | None = None
    emails: tuple[EmailAddress, ...] = ()
    is_active: bool = True
    role: OrganizationRole | None = None
    team: str | None = None

    @property
    def full_name(self) -> str:
        return " ".join(name for name in (self.given_name, self.family_name) if name)[:LINE_LENGTH_LIMIT]

    @property
    def address(self) -> str | None:
        """Where mails reach the user: the user name, or else the first address that is one."""
        primary_first = sorted(self.emails, key=lambda email: not email.is_primary)
        for text in (self.user_name, *(email.value for email in primary_first)):
            if text and is_mail_address(text):
                return text
        return None


class ShownUser(msgspec.Struct, frozen=True):
    """A user with their addresses and teams."""

    user: ScimUser
    emails: Sequence[ScimEmail]
    memberships: Sequence[ScimMembership]


class Found(msgspec.Struct, frozen=True):
    """A page of a search, and how many there are in all."""

    total: int
    users: Sequence[ShownUser]


# Reading


async def get(tx: Transaction, *, provider: Provider, uuid: str) -> ShownUser:
    """One user.

    Raises:
        ScimUserUnknown
    """
    return (await _shown(tx, provider, [await _access(tx, provider, uuid)]))[0]


async def find(tx: Transaction, *, provider: Provider, search: Search) -> Found:
    """Users that a filter lets through, in an order: four statements, however many there are."""
    organization_id = provider.organization.id
    total = await rows.count(tx, organization_id=organization_id, search=search)
    if not search.limit or search.offset >= total:
        return Found(total, [])
    users = await rows.list_page(tx, organization_id=organization_id, search=search)
    return Found(total, await _shown(tx, provider, users))


async def _access(tx: Transaction, provider: Provider, uuid: str) -> ScimUser:
    user = await rows.get(tx, organization_id=provider.organization.id, uuid=uuid)
    if user is None:
        raise ScimUserUnknown(uuid)
    return user


async def _access_to_change(tx: Transaction, provider: Provider, uuid: str) -> ScimUser:
    """A user whom the provider is about to change. Who was a member before it came, and could have been claimed, is
    claimed now: it speaks for them from here on.
    """
    user = await _access(tx, provider, uuid)
    if user.is_managed or user.role is None:
        return user
    await tx.lock("account", user.account_id)
    account = await account_rows.get_by_id(tx, user.account_id)
    if account is None or not await _is_claimable(tx, provider, account):
        return user
    await account_rows.set_managing_organization(tx, account.id, provider.organization.id)
    await _record(tx, provider, AuditAction.SCIM_USER_UPDATE, user, fields="managed")
    return await _access(tx, provider, uuid)


async def _shown(tx: Transaction, provider: Provider, users: Sequence[ScimUser]) -> list[ShownUser]:
    organization_id = provider.organization.id
    account_ids = [user.account_id for user in users]
    emails: dict[int, list[ScimEmail]] = {}
    for email in await rows.list_emails(tx, organization_id=organization_id, account_ids=account_ids):
        emails.setdefault(email.account_id, []).append(email)
    teams: dict[int, list[ScimMembership]] = {}
    for membership in await rows.list_memberships(tx, organization_id=organization_id, account_ids=account_ids):
        teams.setdefault(membership.account_id, []).append(membership)
    return [ShownUser(user, emails.get(user.account_id, []), teams.get(user.account_id, [])) for user in users]


# Making


async def create(tx: Transaction, *, provider: Provider, wanted: Wanted) -> ShownUser:
    """Make a user: a new account, or one that the organization may claim.

    Raises:
        FieldInvalid
        ScimUserExists: the name is taken, here or by somebody out of reach.
        InvitedInstead: somebody has the address, and is asked; the transaction has to be kept.
        PlanLimitReached, TeamExists
    """
    _check(wanted)
    organization = provider.organization
    if await rows.has_user_name(tx, organization_id=organization.id, user_name=wanted.user_name, other_than=0):
        raise ScimUserExists(wanted.user_name)
    account = await _account_with(tx, wanted.address)
    if account is not None:
        await tx.lock("account", account.id)
        account = await account_rows.get_by_id(tx, account.id)
    if account is None:
        account = await _make_account(tx, provider, wanted)
    else:
        await _claim(tx, provider, account, wanted)
    if await member_rows.get_role(tx, organization_id=organization.id, account_id=account.id) is None:
        await check_members(tx, provider.plans, organization)
    await members.put_role(
        tx,
        actor=provider.actor,
        organization=organization,
        account_id=account.id,
        user=account.name,
        role=wanted.role or OrganizationRole.MEMBER,
    )
    user = await rows.get_of_account(tx, organization_id=organization.id, account_id=account.id)
    assert user is not None
    wanted = _with_defaults(wanted, account)
    team = await _join_team(tx, provider, user, wanted.team or FIRST_TEAM)
    await _write(tx, provider, user, wanted, team if wanted.team else None)
    await _record(tx, provider, AuditAction.SCIM_USER_CREATE, user, user_name=wanted.user_name)
    if not wanted.is_active:
        await _shut_out(tx, provider, user)
    return await get(tx, provider=provider, uuid=user.uuid)


def _with_defaults(wanted: Wanted, account: Account) -> Wanted:
    """What a provider has not said of a new user is what the account says."""
    emails = wanted.emails
    if not emails and wanted.address:
        emails = (EmailAddress(wanted.address, wanted.address, is_primary=True),)
    return msgspec.structs.replace(wanted, display_name=wanted.display_name or account.name, emails=emails)


async def _account_with(tx: Transaction, address: str | None) -> Account | None:
    found = await account_rows.list_with_email(tx, [folded_address(address)]) if address else []
    return found[0] if found else None


async def _claim(tx: Transaction, provider: Provider, account: Account, wanted: Wanted) -> None:
    """Have the organization speak for an account that there is.

    Raises:
        ScimUserExists: nobody but its owner may, or they are not to be let in anyway.
        InvitedInstead: its owner is asked.
    """
    organization = provider.organization
    present = await rows.get_of_account(tx, organization_id=organization.id, account_id=account.id)
    if present is not None or account.is_site_admin or account.kind is not AccountKind.USER:
        raise ScimUserExists(wanted.user_name)
    if account.managing_organization_id == organization.id:
        await accounts.change_active(tx, actor=provider.actor, account=account, is_active=True)
    elif await _is_claimable(tx, provider, account):
        await account_rows.set_managing_organization(tx, account.id, organization.id)
    elif account.is_active and wanted.is_active:
        await _invite(tx, provider, account.email or account.name, wanted)
    else:
        raise ScimUserExists(wanted.user_name)


async def _is_claimable(tx: Transaction, provider: Provider, account: Account) -> bool:
    if account.managing_organization_id is not None or not account.is_active or account.email is None:
        return False
    if not await _is_own_address(tx, provider, account.email):
        return False
    return not await member_rows.is_elsewhere(tx, account_id=account.id, organization_id=provider.organization.id)


async def _is_own_address(tx: Transaction, provider: Provider, address: str) -> bool:
    """Whether an address is in a domain that is verified for the organization."""
    domain = await domain_rows.get_verified(tx, name=folded_address(address.rpartition("@")[2]))
    return domain is not None and domain.organization_id == provider.organization.id


async def _invite(tx: Transaction, provider: Provider, invitee: str, wanted: Wanted) -> None:
    """Ask somebody to join. Asking twice sends no second mail.

    Raises:
        InvitedInstead
        FieldInvalid, PlanLimitReached, TeamExists: as `_ordered_team`.
        ScimUserExists: they have had so many mails lately that they are not asked now.
    """
    outcome = await invites.invite(
        tx,
        actor=provider.actor,
        organization=provider.organization,
        # The organization itself invites: whoever made its token may be gone.
        inviter_id=provider.organization.id,
        inviter=provider.organization.name,
        team=await _ordered_team(tx, provider, wanted.team or FIRST_TEAM),
        role=wanted.role or OrganizationRole.MEMBER,
        invitee=invitee,
        letter=provider.letter,
    )
    if outcome.status not in (InviteeStatus.INVITED, InviteeStatus.ALREADY_INVITED):
        raise ScimUserExists(wanted.user_name)
    raise InvitedInstead(wanted.user_name)


async def _make_account(tx: Transaction, provider: Provider, wanted: Wanted) -> Account:
    """An account without a password, under a name that is made from the address."""
    for name in await _free_names(tx, wanted):
        account = await account_rows.insert(
            tx, name=name, kind=AccountKind.USER, email=wanted.address, full_name=wanted.full_name
        )
        if account is not None:
            break
    else:
        raise ScimUserExists(wanted.user_name)
    await account_rows.set_managing_organization(tx, account.id, provider.organization.id)
    await audit.record(tx, provider.actor, AuditAction.USER_CREATE, account_id=account.id, name=account.name)
    return account


async def _free_names(tx: Transaction, wanted: Wanted) -> list[str]:
    """The first name that is free, and one that nobody else will think of in the same moment."""
    text = folded(wanted.user_name.partition("@")[0])
    stem = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:_NAME_LENGTH].strip("-") or "user"
    names = [f"{stem}{number}" if number > 1 else stem for number in range(1, _NAMES_TRIED + 1)]
    possible = [name for name in names if is_account_name(name)]
    taken = {account.name for account in await account_rows.list_named(tx, possible)}
    free = [name for name in possible if name not in taken]
    return [*free[:1], f"{stem[: _NAME_LENGTH - 8].rstrip('-')}-{secrets.token_hex(4)}"]


async def _ordered_team(tx: Transaction, provider: Provider, name: str) -> Team:
    """The team of a name, which is made if there is none.

    Raises:
        FieldInvalid: it is the owners team.
        PlanLimitReached, TeamExists
    """
    team = await put_team(tx, provider=provider, display_name=name)
    if team.name == OWNERS_TEAM:
        raise FieldInvalid({"dockerTeam": ["Owners are made by dockerRole."]}, "dockerTeam: owners")
    return team


async def _join_team(tx: Transaction, provider: Provider, user: ScimUser, name: str) -> Team:
    """Put a user into a team, which is made if there is none of that name."""
    team = await _ordered_team(tx, provider, name)
    if await team_rows.add_member(tx, team_id=team.id, account_id=user.account_id):
        await audit.record(
            tx,
            provider.actor,
            AuditAction.ORG_TEAM_MEMBER_ADD,
            account_id=provider.organization.id,
            name=user.account_name,
            team=team.name,
        )
    return team


# Changing


async def replace(tx: Transaction, *, provider: Provider, uuid: str, wanted: Wanted) -> ShownUser:
    """Make a user what they are to be. Nothing happens, and nothing is logged, where they are so already; but who can
    be claimed is claimed.

    Raises:
        ScimUserUnknown, FieldInvalid
        ScimUserExists: another user has the name.
        UserNameImmutable: it is not for the provider to say.
        LastOwner: nobody would be left to own the organization.
        InvitedInstead: who was taken out of the organization is asked; the transaction has to be kept.
        AccountShut: the site has shut the account.
        PlanLimitReached
    """
    _check(wanted)
    user = await _access_to_change(tx, provider, uuid)
    if wanted.is_active and user.role is None:
        # Before anything is changed: what the transaction keeps is the invite alone.
        await _invite_again(tx, provider, user, wanted)
    if wanted.user_name != user.user_name:
        await _rename(tx, provider, user, wanted.user_name)
    team = await _carry_out(tx, provider, user, wanted)
    await _change_texts(tx, provider, user, wanted, team)
    if wanted.is_active and not user.is_in:
        await _let_in(tx, provider, user)
    elif not wanted.is_active and user.is_in:
        await _shut_out(tx, provider, user)
    return await get(tx, provider=provider, uuid=uuid)


async def delete(tx: Transaction, *, provider: Provider, uuid: str) -> None:
    """Take a user out of the organization; an account that it manages is shut.

    Raises:
        ScimUserUnknown
        LastOwner: nobody would be left to own the organization.
    """
    user = await _access_to_change(tx, provider, uuid)
    await members.check_dispensable(tx, provider.organization, user.account_id)
    if _may_do_something(user):
        await _shut_out(tx, provider, user)
    if user.is_managed and user.role is not None:
        await members.take_out(
            tx,
            actor=provider.actor,
            organization=provider.organization,
            account_id=user.account_id,
            name=user.account_name,
        )
    await directory.leave(tx, organization_id=provider.organization.id, account_id=user.account_id)
    await _record(tx, provider, AuditAction.SCIM_USER_DELETE, user, user_name=user.user_name)


async def _rename(tx: Transaction, provider: Provider, user: ScimUser, user_name: str) -> None:
    """Whether a user may have another name; the address of a managed account changes with it."""
    organization_id = provider.organization.id
    if folded(user_name) == folded(user.user_name):
        return
    if not user.is_managed:
        raise UserNameImmutable(user.user_name, "the account is not the organization's")
    if await rows.has_user_name(tx, organization_id=organization_id, user_name=user_name, other_than=user.account_id):
        raise ScimUserExists(user_name)
    if not is_mail_address(user_name):
        return
    # Invites go by address: one that nobody has verified must not become an account's.
    if not await _is_own_address(tx, provider, user_name):
        raise UserNameImmutable(user.user_name, "the new address is in no verified domain of the organization")
    await _put_email(tx, user, user_name)


async def _carry_out(tx: Transaction, provider: Provider, user: ScimUser, wanted: Wanted) -> Team | None:
    """Give a member the role and the team that are ordered; the team, if one is."""
    if user.role is None:
        return None
    if wanted.role is not None:
        await members.put_role(
            tx,
            actor=provider.actor,
            organization=provider.organization,
            account_id=user.account_id,
            user=user.account_name,
            role=wanted.role,
        )
    return await _join_team(tx, provider, user, wanted.team) if wanted.team else None


async def _change_texts(tx: Transaction, provider: Provider, user: ScimUser, wanted: Wanted, team: Team | None) -> None:
    emails = await rows.list_emails(tx, organization_id=provider.organization.id, account_ids=[user.account_id])
    changed = [
        name
        for name in ("user_name", "external_id", "given_name", "family_name", "display_name")
        if getattr(wanted, name) != getattr(user, name)
    ]
    if _emails_of(wanted, user) != emails:
        changed.append("emails")
    if user.role is not None and wanted.role is not user.ordered_role:
        changed.append("role")
    if user.role is not None and folded(wanted.team or "") != folded(user.ordered_team or ""):
        changed.append("team")
    if not changed:
        return
    await _write(tx, provider, user, wanted, team)
    if user.is_managed and {"given_name", "family_name"} & set(changed):
        await account_rows.set_full_name(tx, user.account_id, wanted.full_name)
    if user.is_managed and user.email is None and wanted.address:
        await _give_address(tx, provider, user, wanted.address)
    await _record(tx, provider, AuditAction.SCIM_USER_UPDATE, user, fields=",".join(changed))


async def _give_address(tx: Transaction, provider: Provider, user: ScimUser, address: str) -> None:
    """Give an account without an address one that is the organization's: as `_rename`, since invites go by address."""
    if await _is_own_address(tx, provider, address):
        with contextlib.suppress(AccountExists):
            await _put_email(tx, user, address)


async def _put_email(tx: Transaction, user: ScimUser, email: str) -> None:
    account = await account_rows.get_by_id(tx, user.account_id)
    assert account is not None
    await accounts.put_email(tx, account=account, email=email)


async def _write(tx: Transaction, provider: Provider, user: ScimUser, wanted: Wanted, team: Team | None) -> None:
    organization_id = provider.organization.id
    written = msgspec.structs.replace(
        user,
        user_name=wanted.user_name,
        external_id=wanted.external_id,
        given_name=wanted.given_name,
        family_name=wanted.family_name,
        display_name=wanted.display_name,
    )
    await rows.update(
        tx,
        written,
        organization_id=organization_id,
        has_ordered_role=wanted.role is not None,
        ordered_team_id=team.id if team else None,
    )
    await rows.delete_emails(tx, organization_id=organization_id, account_id=user.account_id)
    if wanted.emails:
        await rows.insert_emails(tx, _emails_of(wanted, user), organization_id=organization_id)


def _emails_of(wanted: Wanted, user: ScimUser) -> list[ScimEmail]:
    return [
        ScimEmail(user.account_id, email.value, email.display, email.type, email.is_primary) for email in wanted.emails
    ]


async def _shut_out(tx: Transaction, provider: Provider, user: ScimUser) -> None:
    """End all that a user can do: here if the account is managed, else in the organization. What ends stays ended."""
    organization_id = provider.organization.id
    await members.check_dispensable(tx, provider.organization, user.account_id)
    await tx.lock("account", user.account_id)
    account = await account_rows.get_by_id(tx, user.account_id)
    assert account is not None
    if user.is_managed:
        await token_rows.delete_all(tx, account_id=account.id)
        await accounts.change_active(tx, actor=provider.actor, account=account, is_active=False)
    else:
        await members.take_out(
            tx,
            actor=provider.actor,
            organization=provider.organization,
            account_id=account.id,
            name=account.name,
        )
    await rows.set_shut_out(tx, organization_id=organization_id, account_id=account.id)
    await _record(tx, provider, AuditAction.SCIM_USER_DEACTIVATE, user, user_name=user.user_name)


async def _invite_again(tx: Transaction, provider: Provider, user: ScimUser, wanted: Wanted) -> None:
    """Ask somebody whose membership has ended to come back. Raises: InvitedInstead, AccountShut."""
    if not user.is_account_active:
        raise AccountShut(user.user_name)
    await _invite(tx, provider, user.email or user.account_name, wanted)


async def _let_in(tx: Transaction, provider: Provider, user: ScimUser) -> None:
    """Let a user in again, whom the provider has shut out."""
    await tx.lock("account", user.account_id)
    present = await rows.get_of_account(tx, organization_id=provider.organization.id, account_id=user.account_id)
    account = await account_rows.get_by_id(tx, user.account_id)
    assert account is not None
    # Looked at under the lock: the site may have shut it a moment ago.
    if present is None or not present.is_managed or not present.is_shut_out:
        raise AccountShut(user.user_name)
    await accounts.change_active(tx, actor=provider.actor, account=account, is_active=True)
    await _record(tx, provider, AuditAction.SCIM_USER_ACTIVATE, user, user_name=user.user_name)


def _may_do_something(user: ScimUser) -> bool:
    """Whether there is something that shutting a user out would end."""
    return user.is_account_active if user.is_managed else user.role is not None


async def _record(tx: Transaction, provider: Provider, action: AuditAction, user: ScimUser, **data: str) -> None:
    event = Event(action=action, account_id=provider.organization.id, name=user.account_name, data=data)
    await audit.record_all(tx, provider.actor, [event])


# Limits


def _check(wanted: Wanted) -> None:
    """Raises: FieldInvalid."""
    if not wanted.user_name.strip():
        raise FieldInvalid({"userName": ["This field is required."]}, "userName is required")
    texts: dict[str, str | None] = {
        "userName": wanted.user_name,
        "externalId": wanted.external_id,
        "name.givenName": wanted.given_name,
        "name.familyName": wanted.family_name,
        "displayName": wanted.display_name,
        "dockerTeam": wanted.team,
    }
    for email in wanted.emails:
        for part, text in (("value", email.value), ("display", email.display), ("type", email.type)):
            if problem := line_problem(text or ""):
                raise FieldInvalid({f"emails.{part}": [problem]}, f"emails.{part}: {problem}")
    for name, text in texts.items():
        if problem := line_problem(text or ""):
            raise FieldInvalid({name: [problem]}, f"{name}: {problem}")
    if len(wanted.emails) > EMAILS_LIMIT:
        problem = f"at most {EMAILS_LIMIT} addresses"
        raise FieldInvalid({"emails": [problem]}, f"emails: {problem}")
