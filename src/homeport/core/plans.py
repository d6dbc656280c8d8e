"""Plans: what an account may use and how much of it, by the table in the settings. At first each plan is everything.

A check is made where something begins: a feature is switched on, a thing is made. What is there already stays when an
account gets a smaller plan, and can still be taken away. Limits hold for operators too: they can give a larger plan.
"""

from uuid import UUID

import msgspec

from homeport.core import audit
from homeport.core.access import Actor, check_manager, check_site_admin
from homeport.core.audit import AuditAction
from homeport.errors import AccountUnknown, PlanLacksFeature, PlanLimitReached
from homeport.settings import Feature, Plan, PlanLimit, Plans
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import accounts as rows
from homeport.storage.db import members as member_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, Namespace, Organization, PlanName

Holder = Account | Organization | Namespace
"""Whatever has a plan."""


class Usage(msgspec.Struct, frozen=True):
    """The plan of an account, and how many private repositories there are in its namespace."""

    account: Account
    plan: Plan
    private_repositories: int


def plan_of(plans: Plans, holder: Holder) -> Plan:
    plan: Plan = getattr(plans, holder.plan)
    return plan


def has(plans: Plans, holder: Holder, feature: Feature) -> bool:
    return feature in plan_of(plans, holder).features


def require_feature(plans: Plans, holder: Holder, feature: Feature) -> None:
    """Raises: PlanLacksFeature."""
    if not has(plans, holder, feature):
        raise PlanLacksFeature(holder.name, holder.plan, feature)


async def check_members(tx: Transaction, plans: Plans, organization: Organization) -> None:
    """Raises PlanLimitReached if an organization has no room for another member."""
    if (limit := plan_of(plans, organization).members) is not None:
        await tx.lock("organization", organization.id)
        count = await member_rows.count(tx, organization_id=organization.id)
        _check(organization, "members", limit, count)


async def check_teams(tx: Transaction, plans: Plans, organization: Organization) -> None:
    """Raises PlanLimitReached if an organization has no room for another team; the owners team counts."""
    if (limit := plan_of(plans, organization).teams) is not None:
        await tx.lock("organization", organization.id)
        _check(organization, "teams", limit, await team_rows.count(tx, organization_id=organization.id))


async def check_access_tokens(tx: Transaction, plans: Plans, account: Account | Organization) -> None:
    """Raises PlanLimitReached if an account has no room for another token; disabled and expired ones count."""
    if (limit := plan_of(plans, account).access_tokens) is not None:
        await tx.lock("account", account.id)
        counts = await token_rows.count(tx, account_id=account.id)
        _check(account, "access_tokens", limit, counts.total)


async def check_private_repositories(tx: Transaction, plans: Plans, namespace: Account | Namespace) -> None:
    """Raises PlanLimitReached if a namespace has no room for another private repository."""
    if (limit := plan_of(plans, namespace).private_repositories) is not None:
        await tx.lock("account", namespace.id)
        count = await repository_rows.count_private(tx, namespace_id=namespace.id)
        _check(namespace, "private_repositories", limit, count)


def _check(holder: Holder, what: str, limit: PlanLimit, count: int) -> None:
    if limit is not None and count >= limit:
        raise PlanLimitReached(holder.name, holder.plan, what, limit)


async def access_usage(tx: Transaction, *, actor: Actor, name: str, plans: Plans) -> Usage:
    """What an account may use, and what it uses.

    Raises:
        AccountUnknown: there is none of that name, or it is shut out.
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `check_manager`.
    """
    account = await _access_account(tx, actor, await rows.get(tx, name.lower()), name)
    count = await repository_rows.count_private(tx, namespace_id=account.id)
    return Usage(account, plan_of(plans, account), count)


async def access_account_of_id(tx: Transaction, *, actor: Actor, uuid: str) -> Account:
    """An account by its UUID, with dashes or without them, for who may know its plan.

    Raises:
        AccountUnknown, NotAuthenticated, TokenNotAllowed, ActionDenied: as `access_usage`.
    """
    try:
        found = await rows.get_by_uuid(tx, str(UUID(uuid)))
    except ValueError:
        found = None
    return await _access_account(tx, actor, found, uuid)


async def _access_account(tx: Transaction, actor: Actor, account: Account | None, name: str) -> Account:
    if account is None or not account.is_active:
        raise AccountUnknown(name)
    await check_manager(tx, actor, account, "the plan")
    return account


async def set_plan(tx: Transaction, *, actor: Actor, name: str, plan: PlanName) -> None:
    """Give an account another plan.

    Raises:
        AccountUnknown
        NotAuthenticated, TokenNotAllowed, ActionDenied: as `check_site_admin`.
    """
    check_site_admin(actor, "change the plan", f"account {name}")
    account = await rows.get(tx, name)
    if account is None:
        raise AccountUnknown(name)
    if account.plan is plan:
        return
    await rows.set_plan(tx, account.id, plan)
    await audit.record(
        tx,
        actor,
        AuditAction.USER_PLAN_CHANGE,
        account_id=account.id,
        name=account.name,
        plan=plan,
        former_plan=account.plan,
    )
