"""`homeport mail …`"""

from typing import Any

from cyclopts import App

from homeport.cli.output import show, when
from homeport.cli.running import Data, Json, run
from homeport.core import mails
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import Mail

app = App(name="mail", help="The outbox: mails that were sent, and those that wait.")


@app.command(name="list")
def list_(*, limit: int = 100, data: Data = None, json: Json = False) -> None:
    """List mails, the newest first."""

    async def verb(services: Services) -> list[Mail]:
        async with services.db.read() as tx:
            return await mails.list_mails(tx, actor=OPERATOR, limit=limit)

    found = run(data, verb)
    lines = [f"{mail.id:<8} {when(mail.created_at)}  {_state(mail):<9} {mail.recipient}" for mail in found]
    show([_shown(mail) for mail in found], "\n".join(lines), json=json)


@app.command(name="show")
def show_(mail_id: int, /, *, data: Data = None, json: Json = False) -> None:
    """Show a mail with its text, which goes when it has been sent."""

    async def verb(services: Services) -> Mail:
        async with services.db.read() as tx:
            return await mails.access_mail(tx, actor=OPERATOR, id_=mail_id)

    mail = run(data, verb)
    heads = [f"To: {mail.recipient}", f"Subject: {mail.subject}", f"Date: {when(mail.created_at)}"]
    heads += [f"State: {_state(mail)}, {mail.attempts} attempts"]
    heads += [f"Error: {mail.last_error}"] if mail.last_error else []
    show({**_shown(mail), "body": mail.body}, "\n".join([*heads, "", mail.body]), json=json)


def _state(mail: Mail) -> str:
    if mail.sent_at is not None:
        return "sent"
    return "given up" if mail.due_at is None else "waiting"


def _shown(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "recipient": mail.recipient,
        "subject": mail.subject,
        "state": _state(mail),
        "attempts": mail.attempts,
        "last_error": mail.last_error,
        "created_at": mail.created_at,
        "sent_at": mail.sent_at,
    }
