"""What an account's plan lets it have. Docker's clients ask two services for it, of which no description tells."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from homeport.api.hub.reference import Section, reference
from homeport.api.hub.requests import HubRequest
from homeport.core import plans
from homeport.core.plans import Usage
from homeport.core.services import Services
from homeport.settings import PlanLimit, Settings
from homeport.storage.db.records import Account, AccountKind

UNLIMITED = 9999
"""What Docker's clients take for no limit."""

_PERMISSION = (
    "A user for their own account, owners of an organization, and site administrators, signed in with a password."
)

Count = Annotated[int, Meta(examples=[9999])]


class RegistrySettings(msgspec.Struct):
    """What no limit stands in the way of has one of 9999."""

    private_repo_used: Annotated[int, Meta(description="Private repositories in the namespace.", examples=[3])]
    num_free_private_repos: Annotated[Count, Meta(description="What the plan `personal` allows.")]
    private_repo_limit: Annotated[Count, Meta(description="What the account's plan allows.")]
    private_repo_available: Annotated[int, Meta(description="How many more it allows.", examples=[9996])]
    private_repo_percent_used: Annotated[float, Meta(description="0 without a limit.", examples=[0.0])]
    default_repo_visibility: Annotated[
        str, Meta(description="`public` or `private`: what a push makes.", examples=["private"])
    ]

    @classmethod
    def of(cls, usage: Usage, settings: Settings) -> "RegistrySettings":
        used, limit = usage.private_repositories, usage.plan.private_repositories
        shown = _shown(limit)
        return cls(
            private_repo_used=used,
            num_free_private_repos=_shown(settings.plans.personal.private_repositories),
            private_repo_limit=shown,
            private_repo_available=max(shown - used, 0),
            private_repo_percent_used=_percent(used, limit),
            default_repo_visibility=settings.default_privacy,
        )


class HubPlan(msgspec.Struct):
    """What no limit stands in the way of has one of 9999."""

    name: Annotated[str, Meta(description="`personal`, `pro`, `team` or `business`.", examples=["business"])]
    legacy: Annotated[bool, Meta(description="Always false.", examples=[False])]
    seats: Annotated[Count, Meta(description="Members of an organization; 1 for a user.")]
    private_repos: Count
    teams: Annotated[Count, Meta(description="Teams of an organization; 0 for a user.")]
    collaborators: Annotated[Count, Meta(description="Always 9999.")]
    parallel_builds: Annotated[int, Meta(description="Always 0: nothing is built here.", examples=[0])]
    duration: Annotated[str, Meta(description="Always empty: nothing is billed here.", examples=[""])]

    @classmethod
    def of(cls, account: Account, settings: Settings) -> "HubPlan":
        plan = plans.plan_of(settings.plans, account)
        is_organization = account.kind is AccountKind.ORGANIZATION
        return cls(
            name=account.plan,
            legacy=False,
            seats=_shown(plan.members) if is_organization else 1,
            private_repos=_shown(plan.private_repositories),
            teams=_shown(plan.teams) if is_organization else 0,
            collaborators=UNLIMITED,
            parallel_builds=0,
            duration="",
        )


@get(
    "/v2/users/{user:str}/registry-settings",
    **reference(Section.USERS, permission=_PERMISSION, errors=(401, 403, 404)),
)
async def get_registry_settings(
    user: FromPath[str], request: HubRequest, services: NamedDependency[Services]
) -> RegistrySettings:
    """How many private repositories a user, or an organization, has and may have."""
    async with services.db.read() as tx:
        usage = await plans.access_usage(tx, actor=request.actor, name=user, plans=services.settings.plans)
    return RegistrySettings.of(usage, services.settings)


@get(
    "/api/billing/v4/accounts/{account_id:str}/hub-plan",
    **reference(Section.USERS, permission=_PERMISSION, errors=(401, 403, 404)),
)
async def get_hub_plan(account_id: FromPath[str], request: HubRequest, services: NamedDependency[Services]) -> HubPlan:
    """The plan of a user or an organization, with its limits."""
    async with services.db.read() as tx:
        account = await plans.access_account_of_id(tx, actor=request.actor, uuid=account_id)
    return HubPlan.of(account, services.settings)


def _shown(limit: PlanLimit) -> int:
    return UNLIMITED if limit is None else limit


def _percent(used: int, limit: PlanLimit) -> float:
    if limit is None:
        return 0.0
    return round(100 * used / limit, 2) if limit else float(100 * min(used, 1))


handlers = [get_registry_settings, get_hub_plan]
