"""`homeport org …`"""

from collections.abc import Sequence
from typing import Any

from cyclopts import App

from homeport.cli.output import show, when
from homeport.cli.running import Data, Json, run
from homeport.core import domains, members, orgs
from homeport.core.access import OPERATOR
from homeport.core.members import ShownMember
from homeport.core.services import Services
from homeport.storage.db.records import Account, Domain, ListedOrganization, OrganizationRole

app = App(name="org", help="Organizations, their members and their domains.")


@app.command
def create(name: str, /, *, owner: str, data: Data = None, json: Json = False) -> None:
    """Make an organization with its first owner."""

    async def verb(services: Services) -> Account:
        async with services.db.write() as tx:
            return await orgs.create_organization(tx, actor=OPERATOR, name=name, owner=owner)

    organization = run(data, verb)
    shown = {"uuid": organization.uuid, "name": organization.name, "owner": owner}
    show(shown, f"made organization {name} with owner {owner}", json=json)


@app.command(name="list")
def list_(*, data: Data = None, json: Json = False) -> None:
    """List all organizations."""

    async def verb(services: Services) -> list[ListedOrganization]:
        found: list[ListedOrganization] = []
        while True:
            async with services.db.read() as tx:
                page = await orgs.list_organizations(tx, after=found[-1].name if found else "")
            if not page:
                return found
            found += page

    found = run(data, verb)
    lines = [
        f"{organization.name:<30} {organization.member_count:>7} members  {when(organization.created_at)}"
        for organization in found
    ]
    show(found, "\n".join(lines), json=json)


@app.command(name="members")
def members_(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """List the members of an organization, and who is invited."""

    async def verb(services: Services) -> list[ShownMember]:
        async with services.db.read() as tx:
            found = await members.access_export(tx, actor=OPERATOR, organization=organization)
        return [
            shown async for batch in members.export(services.db, actor=OPERATOR, organization=found) for shown in batch
        ]

    shown = [_shown_member(shown) for shown in run(data, verb)]
    lines = [
        f"{member['name']:<30} {member['email'] or '':<40} {member['role']:<8} {', '.join(member['teams'])}"
        for member in shown
    ]
    show(shown, "\n".join(lines), json=json)


@app.command
def add_member(
    organization: str,
    user: str,
    /,
    *,
    role: OrganizationRole = OrganizationRole.MEMBER,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add a member, or change the role of one."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await members.add_member(
                tx, actor=OPERATOR, organization=organization, user=user, role=role, plans=services.settings.plans
            )

    run(data, verb)
    shown = {"organization": organization, "user": user, "role": role}
    show(shown, f"{user} is {role} of {organization}", json=json)


@app.command
def remove_member(organization: str, user: str, /, *, data: Data = None, json: Json = False) -> None:
    """Remove a member from an organization and from all of its teams."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await members.remove_member(tx, actor=OPERATOR, organization=organization, user=user)

    run(data, verb)
    show({"organization": organization, "user": user}, f"{user} is no member of {organization} any more", json=json)


@app.command(name="domains")
def list_domains(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """List the domains of an organization."""

    async def verb(services: Services) -> Sequence[Domain]:
        async with services.db.read() as tx:
            page = await domains.list_domains(
                tx, actor=OPERATOR, organization=organization, offset=0, limit=domains.DOMAINS_LIMIT
            )
        return page.domains

    found = run(data, verb)
    lines = [
        f"{domain.name:<40} {f'verified {when(domain.verified_at)}' if domain.verified_at else 'not verified'}"
        for domain in found
    ]
    show([_shown_domain(domain) for domain in found], "\n".join(lines), json=json)


@app.command
def verify_domain(organization: str, domain: str, /, *, data: Data = None, json: Json = False) -> None:
    """Say that a domain is an organization's; it is added where it is missing."""

    async def verb(services: Services) -> Domain:
        async with services.db.write() as tx:
            await domains.add_domain(
                tx, actor=OPERATOR, organization=organization, name=domain, plans=services.settings.plans
            )
            return await domains.verify_domain(tx, actor=OPERATOR, organization=organization, name=domain)

    verified = run(data, verb)
    show(_shown_domain(verified), f"{verified.name} is verified for {organization}", json=json)


def _shown_domain(domain: Domain) -> dict[str, Any]:
    return {"domain": domain.name, "created_at": domain.created_at, "verified_at": domain.verified_at}


def _shown_member(shown: ShownMember) -> dict[str, Any]:
    return {
        "name": shown.member.name,
        "full_name": shown.member.full_name,
        "email": shown.member.email,
        "role": shown.member.role or "invitee",
        "teams": shown.teams,
        "is_guest": shown.is_guest,
        "joined_at": shown.member.joined_at,
    }
