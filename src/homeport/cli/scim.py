"""`homeport scim …`"""

from typing import Any

from cyclopts import App

from homeport.cli.output import show, when
from homeport.cli.running import Data, Json, run
from homeport.core import scim_tokens
from homeport.core.access import OPERATOR
from homeport.core.scim_tokens import Created
from homeport.core.services import Services
from homeport.storage.db.records import ScimToken

app = App(name="scim", help="Identity providers of organizations.")


@app.command
def create_token(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """Make the token that lets an organization's identity provider in; its secret is shown once."""

    async def verb(services: Services) -> Created:
        async with services.db.write() as tx:
            return await scim_tokens.create_token(
                tx, actor=OPERATOR, organization=organization, plans=services.settings.plans
            )

    _show_secret(organization, run(data, verb), json=json)


@app.command
def rotate_token(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """Give an organization's token another secret, which is shown once; the former one ends at once."""

    async def verb(services: Services) -> Created:
        async with services.db.write() as tx:
            return await scim_tokens.rotate_token(tx, actor=OPERATOR, organization=organization)

    _show_secret(organization, run(data, verb), json=json)


@app.command
def revoke_token(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """End an organization's token; whom it has provisioned stays."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await scim_tokens.revoke_token(tx, actor=OPERATOR, organization=organization)

    run(data, verb)
    show({"organization": organization}, f"revoked the SCIM token of {organization}", json=json)


@app.command
def token(organization: str, /, *, data: Data = None, json: Json = False) -> None:
    """Show since when an organization has a token, and when it was used last."""

    async def verb(services: Services) -> ScimToken:
        async with services.db.read() as tx:
            return await scim_tokens.get_token(tx, actor=OPERATOR, organization=organization)

    found = run(data, verb)
    used = when(found.last_used_at) if found.last_used_at else "never"
    line = f"made {when(found.created_at)} by {found.created_by}, last used {used}"
    show(_shown(organization, found), line, json=json)


def _show_secret(organization: str, created: Created, *, json: bool) -> None:
    shown = {**_shown(organization, created.token), "token": created.secret}
    show(shown, f"the SCIM token of {organization}, shown once:\n{created.secret}", json=json)


def _shown(organization: str, found: ScimToken) -> dict[str, Any]:
    return {
        "organization": organization,
        "created_by": found.created_by,
        "created_at": found.created_at,
        "last_used_at": found.last_used_at,
    }
