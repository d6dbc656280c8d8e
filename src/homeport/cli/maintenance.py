"""`homeport migrate`, `homeport seed`, `homeport fsck`, `homeport collect`."""

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from homeport.cli.output import note, show
from homeport.cli.running import Data, Json, run
from homeport.cli.serve import set_up
from homeport.core import garbage, integrity
from homeport.core.demo import data as demo
from homeport.core.demo import seeding
from homeport.core.garbage import Collected
from homeport.core.integrity import Finding
from homeport.core.services import Services
from homeport.core.setup import ADMIN, Prepared
from homeport.settings import load
from homeport.storage.db.database import utcnow


def migrate(*, data: Data = None, json: Json = False) -> None:
    """Bring the database to this version, and make what a first start needs."""
    done = asyncio.run(set_up(load(data=data)))
    _show_password(done.prepared)
    shown = {"migrated": done.is_migrated}
    show(shown, "the database was migrated" if done.is_migrated else "nothing to do", json=json)


def seed(*, data: Data = None, json: Json = False) -> None:
    """Make a demo organization with members, teams, settings, invites, access tokens and small real images; safe to
    repeat.
    """
    done = asyncio.run(set_up(load(data=data)))
    _show_password(done.prepared)
    seeded = run(data, seeding.seed)
    lines = [f"organization {demo.ORGANIZATION}: {len(seeded.tags)} tags, {seeded.new_tags} of them new"]
    lines += [f"  password of {name}: {password}" for name, password in seeded.passwords.items()]
    lines += [f"  second factor of {name}: {secret}" for name, secret in seeded.second_factors.items()]
    lines += [
        f"  access token of {token.user}, {token.label} ({token.scope}): {token.secret}"
        for token in seeded.access_tokens
    ]
    lines += ["tags:", *(f"  {tag}" for tag in seeded.tags)]
    show(seeded, "\n".join(lines), json=json)


def fsck(
    *,
    fast: Annotated[bool, Parameter(negative=(), help="Compare sizes only; do not read the bytes.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Check that everything recorded is there and right. Exit status 1 if not, with a list."""

    findings = run(data, lambda services: find(services, is_fast=fast))
    errors = [finding for finding in findings if finding.severity == "error"]
    show(
        {"errors": len(errors), "findings": findings},
        f"{len(errors)} errors, {len(findings) - len(errors)} warnings",
        json=json,
    )
    if errors:
        sys.exit(1)


async def find(services: Services, *, is_fast: bool) -> list[Finding]:
    """What is not as it should be, told of when it is found."""
    findings = []
    async for finding in integrity.check(services, is_fast=is_fast):
        findings.append(finding)
        note(f"{finding.severity}: {finding.kind}: {finding.what}: {finding.detail}")
    return findings


def collect(*, data: Data = None, json: Json = False) -> None:
    """Collect garbage now. A running server does so by itself, once an hour; both at once do no harm."""

    async def verb(services: Services) -> Collected:
        return await garbage.collect(services, now=utcnow())

    done = run(data, verb)
    lines = [
        f"manifests without a tag deleted: {done.manifests}",
        f"blobs that no manifest names condemned: {done.condemned}, taken out of repositories: {done.unlinked}",
        f"blobs deleted: {done.deleted}, of bytes discarded: {done.discarded}",
    ]
    show(done, "\n".join(lines), json=json)


def _show_password(prepared: Prepared) -> None:
    if prepared.generated_password:
        note(f"The password of {ADMIN} is: {prepared.generated_password} (it is not shown again)")
