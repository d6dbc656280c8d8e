"""`homeport user …`"""

from typing import Any

from cyclopts import App

from homeport.cli.output import show, when
from homeport.cli.running import Data, Json, PasswordStdin, read_password, run
from homeport.core import accounts, second_factors
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import Account

app = App(name="user", help="Users: make, list, shut out, give new passwords and addresses.")


@app.command
def create(
    name: str,
    /,
    *,
    email: str,
    full_name: str = "",
    password_stdin: PasswordStdin = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a user."""
    password = read_password(from_stdin=password_stdin)

    async def verb(services: Services) -> Account:
        password_hash = await accounts.hash_new_password(password)
        async with services.db.write() as tx:
            return await accounts.create_user(
                tx, actor=OPERATOR, name=name, email=email, full_name=full_name, password_hash=password_hash
            )

    account = run(data, verb)
    show(_shown(account), f"made user {account.name}", json=json)


@app.command(name="list")
def list_(*, data: Data = None, json: Json = False) -> None:
    """List all users."""

    async def verb(services: Services) -> list[Account]:
        users: list[Account] = []
        while True:
            async with services.db.read() as tx:
                page = await accounts.list_users(tx, after=users[-1].name if users else "")
            if not page:
                return users
            users += page

    users = run(data, verb)
    lines = [
        f"{user.name:<30} {user.email or '':<40} {when(user.created_at)}"
        f"{'' if user.is_active else '  deactivated'}{'  site administrator' if user.is_site_admin else ''}"
        for user in users
    ]
    show([_shown(user) for user in users], "\n".join(lines), json=json)


@app.command
def deactivate(name: str, /, *, data: Data = None, json: Json = False) -> None:
    """Shut a user out at once: password, tokens and sessions."""
    _set_active(name, data, json, is_active=False)


@app.command
def activate(name: str, /, *, data: Data = None, json: Json = False) -> None:
    """Let a user in again. What was issued before stays void, access tokens work."""
    _set_active(name, data, json, is_active=True)


def _set_active(name: str, data: Data, json: Json, *, is_active: bool) -> None:
    async def verb(services: Services) -> Account:
        async with services.db.write() as tx:
            return await accounts.set_active(tx, actor=OPERATOR, name=name, is_active=is_active)

    account = run(data, verb)
    show(_shown(account), f"user {name} is {'active' if is_active else 'deactivated'}", json=json)


@app.command
def reset_password(
    name: str, /, *, password_stdin: PasswordStdin = False, data: Data = None, json: Json = False
) -> None:
    """Give a user a new password; sessions under the old one end at once."""
    password = read_password(from_stdin=password_stdin)

    async def verb(services: Services) -> Account:
        password_hash = await accounts.hash_new_password(password)
        async with services.db.write() as tx:
            return await accounts.reset_password(tx, actor=OPERATOR, name=name, password_hash=password_hash)

    account = run(data, verb)
    show(_shown(account), f"user {name} has a new password", json=json)


@app.command
def change_email(name: str, email: str, /, *, data: Data = None, json: Json = False) -> None:
    """Give a user another e-mail address; the former one is sent a note."""

    async def verb(services: Services) -> Account:
        async with services.db.write() as tx:
            account = await accounts.access_user(tx, name)
            await accounts.change_email(tx, actor=OPERATOR, account=account, email=email)
            return await accounts.access_user(tx, name)

    account = run(data, verb)
    show(_shown(account), f"user {name} has the address {account.email}", json=json)


@app.command
def disable_second_factor(name: str, /, *, data: Data = None, json: Json = False) -> None:
    """Switch a user's second factor off, for one who has lost the app and the recovery codes."""

    async def verb(services: Services) -> bool:
        async with services.db.write() as tx:
            return await second_factors.disable_for(tx, actor=OPERATOR, name=name)

    was_on = run(data, verb)
    outcome = "is off now" if was_on else "was not on"
    show({"name": name, "was_on": was_on}, f"the second factor of {name} {outcome}", json=json)


def _shown(account: Account) -> dict[str, Any]:
    return {
        "uuid": account.uuid,
        "name": account.name,
        "email": account.email,
        "full_name": account.full_name,
        "is_active": account.is_active,
        "is_site_admin": account.is_site_admin,
        "created_at": account.created_at,
    }
