"""The page behind the link of an invite: join by signing in or signing up, or decline.

The link is `/invites/{id}?token=…`. The secret stands in the query, which neither our log nor a `Referer` header (pages
forbid it) repeats; behind a `#` it would take a script to read it. Opening the page changes nothing, so that programs
that look at links in mails do no harm. Forms carry the secret in their bodies.
"""

import msgspec

from homeport.api.hosts import registry_host
from homeport.api.http import Request, Response
from homeport.core import accounts, invites, joining
from homeport.core.services import Services
from homeport.errors import HomeportError, InviteClosed
from homeport.storage.db.records import Invite
from homeport.web.forms import MENDABLE, Form, explained, field_errors, first_to_mend, read_form
from homeport.web.pages import headers_of, page, status_of
from homeport.web.signing_in import sign_in

_FIELDS = ("token", "username", "full_name", "password", "code")


async def show(services: Services, request: Request, invite_id: str) -> Response:
    """The invite behind a link, with the forms to answer it."""
    return await _form_page(services, invite_id, {"token": request.parameter("token") or ""})


async def accept(services: Services, request: Request, invite_id: str) -> Response:
    """Join as a user who signs in by this form."""
    form = await read_form(request, _FIELDS)
    try:
        credential = await sign_in(services, request, form)
        actor = msgspec.structs.replace(credential.actor, address=request.address, user_agent=request.user_agent)
        async with services.db.write() as tx:
            invite = await joining.accept_link(
                tx, actor=actor, plans=services.settings.plans, id_=invite_id, secret=form["token"]
            )
    except InviteClosed:
        raise
    except MENDABLE as error:
        return await _form_page(services, invite_id, form, error)
    return _joined(services, request, invite, credential.account.name)


async def join(services: Services, request: Request, invite_id: str) -> Response:
    """Join as a new user, under the address that the invite was sent to."""
    form = await read_form(request, _FIELDS)
    async with services.db.read() as tx:
        # Before the costly hash.
        await joining.open_link(tx, id_=invite_id, secret=form["token"])
    name = form["username"].strip().lower()
    try:
        password_hash = await accounts.hash_new_password(form["password"])
        async with services.db.write() as tx:
            invite = await joining.sign_up(
                tx,
                plans=services.settings.plans,
                id_=invite_id,
                secret=form["token"],
                name=name,
                full_name=form["full_name"].strip(),
                password_hash=password_hash,
                address=request.address,
                user_agent=request.user_agent,
            )
    except InviteClosed:
        raise
    except MENDABLE as error:
        return await _form_page(services, invite_id, form, error)
    return _joined(services, request, invite, name)


async def decline(services: Services, request: Request, invite_id: str) -> Response:
    """Turn the invite down; the link suffices."""
    form = await read_form(request, _FIELDS)
    async with services.db.write() as tx:
        invite = await joining.decline_link(
            tx, id_=invite_id, secret=form["token"], address=request.address, user_agent=request.user_agent
        )
    text = f"You have not joined {invite.organization}, and the link does not work any more."
    return page("message.html", title="Invite declined", text=text)


async def _form_page(services: Services, invite_id: str, form: Form, error: HomeportError | None = None) -> Response:
    """The page with its forms; after an error with what was filled in, but for passwords.

    Raises:
        InviteUnknown, InviteClosed
    """
    async with services.db.read() as tx:
        opened = await joining.open_link(tx, id_=invite_id, secret=form["token"])
    wrong = field_errors(error)
    return page(
        "invite.html",
        status_of(error) if error else 200,
        headers_of(error) if error else None,
        invite=opened.invite,
        has_account=opened.has_account,
        role=invites.what_for(opened.invite),
        expires_at=opened.invite.expires_at.strftime(invites.TIME),
        token=form["token"],
        username=form.get("username", ""),
        full_name=form.get("full_name", ""),
        error=explained(error) if error else "",
        field_errors=wrong,
        first_to_mend=first_to_mend(wrong, ("username", "full_name", "password")) if error else "",
    )


def _joined(services: Services, request: Request, invite: Invite, name: str) -> Response:
    host = registry_host(services.settings, request.scope)
    text = f"You are {invites.what_for(invite)}."
    return page(
        "message.html",
        title=f"Welcome to {invite.organization}",
        text=text,
        command=f"docker login {host} --username {name}",
    )
