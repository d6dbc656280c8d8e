"""Pages about one's own account: a forgotten password, a new address, a new account.

Links are `/account/{what}/{id}?token=…`; `web/invites.py` tells why they look so. Opening a page changes nothing.
"""

from collections.abc import Sequence

import msgspec

from homeport.api.hosts import registry_host
from homeport.api.http import Request, Response
from homeport.core import accounts, confirmations, email_changes, limits, password_changes, sign_ups
from homeport.core.access import Actor
from homeport.core.services import Services
from homeport.errors import AccountChangeRefused, ConfirmationClosed, HomeportError, SignUpClosed
from homeport.storage.db.records import Confirmation
from homeport.web.forms import MENDABLE, Form, explained, field_errors, first_to_mend, read_form
from homeport.web.pages import headers_of, page, status_of

NAME_HINT = "2 to 30 lower-case letters and digits, with - or _ between them"
PASSWORD_HINT = "At least 8 characters"  # noqa: S105 - no password
LOOK_AT_MAILS = "Look at your mails"

# What no other words in the form would mend.
_FINAL = (ConfirmationClosed, AccountChangeRefused, SignUpClosed)


class Field(msgspec.Struct, frozen=True):
    """An input of a form; what was typed stands in it again, but for passwords."""

    name: str
    label: str
    type: str
    autocomplete: str
    hint: str = ""
    is_fixed: bool = False


_IDENTIFIER = Field("identifier", "User name or e-mail address", "text", "username")
# Programs that keep passwords look for it, to know whose a password is.
_WHOSE = Field("username", "User name", "text", "username", is_fixed=True)
_USERNAME = Field("username", "User name", "text", "username", NAME_HINT)
_FULL_NAME = Field("full_name", "Full name (may be empty)", "text", "name")
_EMAIL = Field("email", "E-mail address", "email", "email")
_PASSWORD = Field("password", "Password", "password", "current-password")
_NEW_PASSWORD = Field("password", "New password", "password", "new-password", PASSWORD_HINT)
_FIRST_PASSWORD = Field("password", "Password", "password", "new-password", PASSWORD_HINT)

_TOKENS = "delete_access_tokens"


# A forgotten password


async def show_forgotten(services: Services, _request: Request) -> Response:
    """The form that asks for a link for a new password."""
    return _forgotten_page(services, {})


async def ask_for_password(services: Services, request: Request) -> Response:
    """Have the link be mailed, if there is such a user; the page does not tell."""
    form = await read_form(request, ("identifier",))
    try:
        await limits.count_mail_request(services, address=request.address)
        async with services.db.write() as tx:
            await password_changes.request_reset(
                tx, actor=_guest(request), identifier=form["identifier"].strip(), settings=services.settings
            )
    except _FINAL:
        raise
    except MENDABLE as error:
        return _forgotten_page(services, form, error)
    text = "If there is such an account, a mail with a link for a new password is on its way to its address."
    return page("message.html", title=LOOK_AT_MAILS, text=text)


def _forgotten_page(services: Services, form: Form, error: HomeportError | None = None) -> Response:
    if not services.settings.self_service:
        raise AccountChangeRefused("passwords are changed by who runs this site")
    return form_page(
        title="Forgotten password",
        texts=["A link for a new password is mailed to the address of your account."],
        action="/account/password",
        fields=[_IDENTIFIER],
        button="Send the link",
        form=form,
        error=error,
    )


async def show_reset(services: Services, request: Request, id_: str) -> Response:
    """The form behind the link for a new password."""
    return await _reset_page(services, id_, {"token": request.parameter("token") or ""})


async def reset(services: Services, request: Request, id_: str) -> Response:
    """Set the new password."""
    form = await read_form(request, ("token", "password", _TOKENS))
    async with services.db.read() as tx:
        # Before the costly hash.
        await password_changes.open_link(tx, id_=id_, secret=form["token"], settings=services.settings)
    try:
        password_hash = await accounts.hash_new_password(form["password"])
        async with services.db.write() as tx:
            account = await password_changes.reset(
                tx,
                guest=_guest(request),
                id_=id_,
                secret=form["token"],
                password_hash=password_hash,
                deletes_tokens=bool(form[_TOKENS]),
                settings=services.settings,
            )
    except _FINAL:
        raise
    except MENDABLE as error:
        return await _reset_page(services, id_, form, error)
    text = f"{account.name} has a new password. Wherever the old one was used, sign in anew."
    return page("message.html", title="Password changed", text=text)


async def _reset_page(services: Services, id_: str, form: Form, error: HomeportError | None = None) -> Response:
    async with services.db.read() as tx:
        confirmation, account = await password_changes.open_link(
            tx, id_=id_, secret=form["token"], settings=services.settings
        )
    return form_page(
        title="New password",
        texts=[_until(confirmation)],
        action=f"/account/password/{id_}/reset",
        fields=[_WHOSE, _NEW_PASSWORD],
        checkbox=(_TOKENS, "Delete my personal access tokens, too"),
        button="Set the password",
        form={**form, "username": account.name},
        error=error,
    )


# Another address


async def show_email(services: Services, request: Request, id_: str) -> Response:
    """The form behind the link that confirms an address."""
    return await _email_page(services, id_, {"token": request.parameter("token") or ""})


async def confirm_email(services: Services, request: Request, id_: str) -> Response:
    """Make the address the account's, for who knows its password."""
    form = await read_form(request, ("token", "password"))
    try:
        async with services.db.read() as tx:
            _, account = await email_changes.open_link(tx, id_=id_, secret=form["token"], settings=services.settings)
        actor = msgspec.structs.replace(Actor.of(account), address=request.address, user_agent=request.user_agent)
        await services.logins.check_password(actor, form["password"])
        async with services.db.write() as tx:
            confirmed = await email_changes.confirm(
                tx, actor=actor, id_=id_, secret=form["token"], settings=services.settings
            )
    except _FINAL:
        raise
    except MENDABLE as error:
        return await _email_page(services, id_, form, error)
    text = f"{confirmed.email} is the e-mail address of {actor.name} now."
    return page("message.html", title="Address changed", text=text)


async def _email_page(services: Services, id_: str, form: Form, error: HomeportError | None = None) -> Response:
    async with services.db.read() as tx:
        confirmation, account = await email_changes.open_link(
            tx, id_=id_, secret=form["token"], settings=services.settings
        )
    return form_page(
        title="New e-mail address",
        texts=[
            f"{confirmation.email} is to be the e-mail address of the account {account.name}.",
            _until(confirmation),
        ],
        action=f"/account/email/{id_}/confirm",
        fields=[_WHOSE, _PASSWORD],
        button="Confirm the address",
        form={**form, "username": account.name},
        error=error,
    )


# A new account


async def show_sign_up(services: Services, _request: Request) -> Response:
    """The form that asks for an account."""
    return _sign_up_page(services, {})


async def sign_up(services: Services, request: Request) -> Response:
    """Have a link be mailed that makes the account."""
    form = await read_form(request, ("username", "full_name", "email"))
    sign_ups.check_open(services.settings)
    try:
        await limits.count_mail_request(services, address=request.address)
        async with services.db.write() as tx:
            await sign_ups.request(
                tx,
                guest=_guest(request),
                name=form["username"].strip().lower(),
                email=form["email"].strip(),
                full_name=form["full_name"].strip(),
                settings=services.settings,
            )
    except _FINAL:
        raise
    except MENDABLE as error:
        return _sign_up_page(services, form, error)
    text = f"A mail is on its way to {form['email'].strip()}. The link in it makes your account."
    return page("message.html", title=LOOK_AT_MAILS, text=text)


def _sign_up_page(services: Services, form: Form, error: HomeportError | None = None) -> Response:
    sign_ups.check_open(services.settings)
    return form_page(
        title="Make an account",
        texts=["A link is mailed to your address. On its page you set a password."],
        action="/account/sign-up",
        fields=[_USERNAME, _FULL_NAME, _EMAIL],
        button="Send the link",
        form=form,
        error=error,
    )


async def show_complete(services: Services, request: Request, id_: str) -> Response:
    """The form behind the link of a sign-up."""
    return await _complete_page(services, id_, {"token": request.parameter("token") or ""})


async def complete(services: Services, request: Request, id_: str) -> Response:
    """Make the account."""
    form = await read_form(request, ("token", "username", "full_name", "password"))
    async with services.db.read() as tx:
        # Before the costly hash.
        await sign_ups.open_link(tx, id_=id_, secret=form["token"], settings=services.settings)
    try:
        password_hash = await accounts.hash_new_password(form["password"])
        async with services.db.write() as tx:
            account = await sign_ups.complete(
                tx,
                guest=_guest(request),
                id_=id_,
                secret=form["token"],
                name=form["username"].strip().lower(),
                full_name=form["full_name"].strip(),
                password_hash=password_hash,
                settings=services.settings,
            )
    except _FINAL:
        raise
    except MENDABLE as error:
        return await _complete_page(services, id_, form, error)
    host = registry_host(services.settings, request.scope)
    return page(
        "message.html",
        title="Welcome to Homeport",
        text=f"The account {account.name} is yours.",
        command=f"docker login {host} --username {account.name}",
    )


async def _complete_page(services: Services, id_: str, form: Form, error: HomeportError | None = None) -> Response:
    async with services.db.read() as tx:
        confirmation = await sign_ups.open_link(tx, id_=id_, secret=form["token"], settings=services.settings)
    return form_page(
        title="Make an account",
        texts=[f"It is made for {confirmation.email}. {_until(confirmation)}"],
        action=f"/account/sign-up/{id_}/create",
        fields=[_USERNAME, _FULL_NAME, _FIRST_PASSWORD],
        button="Make the account",
        form={"username": confirmation.name, "full_name": confirmation.full_name, **form},
        error=error,
    )


def form_page(
    *,
    title: str,
    texts: Sequence[str],
    action: str,
    fields: Sequence[Field],
    button: str,
    form: Form,
    error: HomeportError | None,
    checkbox: tuple[str, str] | None = None,
) -> Response:
    """A page with one form; after an error with what was filled in, but for passwords."""
    wrong = field_errors(error)
    return page(
        "account.html",
        status_of(error) if error else 200,
        headers_of(error) if error else None,
        title=title,
        texts=texts,
        action=action,
        token=form.get("token"),
        fields=fields,
        values={field.name: form.get(field.name, "") for field in fields if field.type != "password"},
        checkbox=checkbox,
        is_checked=checkbox is not None and bool(form.get(checkbox[0])),
        button=button,
        error=explained(error) if error else "",
        field_errors=wrong,
        first_to_mend=first_to_mend(wrong, [field.name for field in fields]) if error else "",
    )


def _guest(request: Request) -> Actor:
    return Actor(address=request.address, user_agent=request.user_agent)


def _until(confirmation: Confirmation) -> str:
    return f"The link works once, until {confirmation.expires_at.strftime(confirmations.TIME)}."
