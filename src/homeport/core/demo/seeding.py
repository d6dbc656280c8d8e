"""The demo organization of `homeport seed`: its people, teams, settings, invites and tokens.

Everything goes through the verbs that requests go through, as the users who would send them. They
change nothing where things are so already, so a second run does nothing; what is missing, or was changed, comes back.
"""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
import pyotp

from homeport.core import (
    access_tokens,
    accounts,
    badges,
    domains,
    invites,
    members,
    org_settings,
    orgs,
    repositories,
    second_factors,
    teams,
)
from homeport.core.access import OPERATOR, Actor, OrganizationAction, Scope, access_organization
from homeport.core.demo import data, images
from homeport.core.invites import Letter
from homeport.core.org_settings import RegistryAccess
from homeport.core.services import Services
from homeport.errors import DomainVerifiedElsewhere
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import teams as team_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Badge

Actors = Mapping[str, Actor]


class NewToken(msgspec.Struct, frozen=True):
    user: str
    label: str
    scope: Scope
    secret: str


class Seeded(msgspec.Struct, frozen=True):
    """What is there, and what of it this run has made. Secrets are of what is new alone.

    `second_factors` gives the secret that an authenticator app has to learn, by user.
    """

    passwords: Mapping[str, str]
    second_factors: Mapping[str, str]
    access_tokens: Sequence[NewToken]
    tags: Sequence[str]
    new_tags: int


async def seed(services: Services) -> Seeded:
    """Make the demo organization, or what of it is missing."""
    passwords = await _make_users(services)
    async with services.db.write() as tx:
        actors = {person.name: Actor.of(await accounts.access_user(tx, person.name)) for person in data.PEOPLE}
        await _make_organizations(tx)
        await _make_members(tx, services, actors[data.OWNER])
        await _make_repositories(tx, services, actors[data.OWNER])
        await _make_teams(tx, services, actors[data.OWNER])
        await _make_settings(tx, services, actors[data.OWNER])
        await _make_invites(tx, services, actors[data.OWNER])
        new_tokens = await _make_access_tokens(tx, services, actors)
        new_secrets = await _make_second_factor(tx, actors[data.SECOND_FACTOR_USER])
    pushed = await images.push_all(services, actors)
    return Seeded(passwords, new_secrets, new_tokens, pushed.tags, pushed.new_tags)


async def _make_users(services: Services) -> dict[str, str]:
    """The passwords of those that are new."""
    passwords = {}
    for person in data.PEOPLE:
        async with services.db.read() as tx:
            if await account_rows.get(tx, person.name) is not None:
                continue
        password = secrets.token_urlsafe(12)
        password_hash = await accounts.hash_new_password(password)
        async with services.db.write() as tx:
            await accounts.create_user(
                tx,
                actor=OPERATOR,
                name=person.name,
                email=person.email,
                password_hash=password_hash,
                full_name=person.full_name,
            )
        passwords[person.name] = password
    return passwords


async def _make_organizations(tx: Transaction) -> None:
    for name in (data.ORGANIZATION, data.PUBLISHER):
        if await account_rows.get(tx, name) is None:
            await orgs.create_organization(tx, actor=OPERATOR, name=name, owner=data.OWNER)
    await badges.set_badge(tx, actor=OPERATOR, namespace=data.PUBLISHER, badge=Badge.VERIFIED_PUBLISHER)


async def _make_members(tx: Transaction, services: Services, owner: Actor) -> None:
    for person in data.PEOPLE:
        if person.role is not None:
            await members.add_member(
                tx,
                actor=owner,
                organization=data.ORGANIZATION,
                user=person.name,
                role=person.role,
                plans=services.settings.plans,
            )


async def _make_repositories(tx: Transaction, services: Services, owner: Actor) -> None:
    for name, is_private in data.REPOSITORIES.items():
        await repositories.create_repository(
            tx, actor=owner, name=name, is_private=is_private, plans=services.settings.plans
        )


async def _make_teams(tx: Transaction, services: Services, owner: Actor) -> None:
    organization = await access_organization(tx, owner, data.ORGANIZATION, OrganizationAction.MANAGE)
    plans = services.settings.plans
    for team in data.TEAMS:
        if await team_rows.get(tx, organization_id=organization.id, name=team.name) is None:
            await teams.create_team(
                tx,
                actor=owner,
                organization=data.ORGANIZATION,
                name=team.name,
                description=team.description,
                plans=plans,
            )
        for name in team.members:
            await teams.add_member(
                tx, actor=owner, organization=data.ORGANIZATION, team=team.name, user=name, plans=plans
            )
        for repository, permission in team.grants.items():
            await teams.grant(
                tx,
                actor=owner,
                organization=data.ORGANIZATION,
                team=team.name,
                repository=repository.name,
                permission=permission,
            )


async def _make_settings(tx: Transaction, services: Services, owner: Actor) -> None:
    """Registries, insights and a domain. Images stay unrestricted: the demo's own are there to be pulled."""
    organization, plans = data.ORGANIZATION, services.settings.plans
    access = RegistryAccess(is_enabled=True, allows_docker_hub=True, custom_registries=data.REGISTRIES)
    await org_settings.restrict_registries(tx, actor=owner, organization=organization, plans=plans, access=access)
    await org_settings.set_policies(tx, actor=owner, organization=organization, plans=plans, has_insights=True)
    await domains.add_domain(tx, actor=owner, organization=organization, name=data.DOMAIN, plans=plans)
    # Where somebody has tried this out with an organization of their own, the demo does without guests.
    with contextlib.suppress(DomainVerifiedElsewhere):
        await domains.verify_domain(tx, actor=OPERATOR, organization=organization, name=data.DOMAIN)


async def _make_invites(tx: Transaction, services: Services, owner: Actor) -> None:
    """Who is invited already, or has joined by that, is not invited again."""
    settings = services.settings
    letter = Letter(base_url=settings.listen_url, lifetime=timedelta(seconds=settings.invite_lifetime))
    for invitation in data.INVITATIONS:
        await invites.invite_all(
            tx,
            actor=owner,
            plans=settings.plans,
            organization=data.ORGANIZATION,
            team=invitation.team,
            role=invitation.role,
            invitees=invitation.invitees,
            letter=letter,
        )


async def _make_access_tokens(tx: Transaction, services: Services, actors: Actors) -> list[NewToken]:
    """Tokens are told apart by their labels. Those that are new, with their secrets."""
    made = []
    for wanted in data.ACCESS_TOKENS:
        actor = actors[wanted.user]
        page = await access_tokens.list_tokens(tx, actor=actor, offset=0, limit=access_tokens.TOKENS_LIMIT)
        if wanted.label in {token.label for token in page.tokens}:
            continue
        created = await access_tokens.create_token(
            tx,
            actor=actor,
            wanted=access_tokens.Wanted(label=wanted.label, scopes=[wanted.scope]),
            plans=services.settings.plans,
        )
        made.append(NewToken(wanted.user, wanted.label, wanted.scope, created.secret))
    return made


async def _make_second_factor(tx: Transaction, actor: Actor) -> dict[str, str]:
    """Do what an authenticator app does; its secret by the user's name, if it is new."""
    if (await second_factors.status(tx, actor=actor)).is_on:
        return {}
    enrolment = await second_factors.enrol(tx, actor=actor)
    await second_factors.confirm(tx, actor=actor, code=pyotp.TOTP(enrolment.secret).now())
    return {actor.name: enrolment.secret}
