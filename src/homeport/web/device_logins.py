"""The page where a person lets a program in: they type the code that it shows, see who asks, and sign in.

A link may bring the code along (`/activate?user_code=…`). Even then somebody has to go on by hand to what it stands
for: looking at a link changes nothing, and does not tell whether there is such a code.
"""

import msgspec

from homeport.api.http import Request, Response
from homeport.core import device_logins, limits
from homeport.core.services import Services
from homeport.errors import DeviceCodeUnknown, HomeportError, TooManyDeviceCodes
from homeport.web.accounts import Field, form_page
from homeport.web.forms import MENDABLE, Form, explained, field_errors, first_to_mend, read_form
from homeport.web.pages import headers_of, page, status_of
from homeport.web.signing_in import sign_in

TITLE = "Sign in a program"
TIME = "%Y-%m-%d %H:%M UTC"

_USER_CODE = Field("user_code", "Code", "text", "off", "Eight letters, as the program shows them")
# After these nothing is told of the code that was typed.
_NO_CODE = (DeviceCodeUnknown, TooManyDeviceCodes)

_FIELDS = ("user_code", "username", "password", "code")


async def show(_services: Services, request: Request) -> Response:
    """The form that asks for the code."""
    return _code_page({"user_code": device_logins.shown((request.parameter("user_code") or "")[:64])})


async def find(services: Services, request: Request) -> Response:
    """Who waits for the code, with the forms to answer."""
    return await _sign_in_page(services, request, await read_form(request, _FIELDS))


async def allow(services: Services, request: Request) -> Response:
    """Let the program in, as the user who signs in by this form."""
    form = await read_form(request, _FIELDS)
    try:
        await limits.count_device_code(services, address=request.address)
        async with services.db.read() as tx:
            # Before the costly hash.
            await device_logins.access(tx, user_code=form["user_code"])
        credential = await sign_in(services, request, form)
        actor = msgspec.structs.replace(credential.actor, address=request.address, user_agent=request.user_agent)
        async with services.db.write() as tx:
            await device_logins.approve(tx, actor=actor, account=credential.account, user_code=form["user_code"])
    except _NO_CODE as error:
        return _code_page(form, error)
    except MENDABLE as error:
        return await _sign_in_page(services, request, form, error)
    text = f"The program is signed in as {credential.account.name} in a moment. You may close this page."
    return page("message.html", title="Signed in", text=text)


async def deny(services: Services, request: Request) -> Response:
    """Turn the program away."""
    form = await read_form(request, _FIELDS)
    try:
        await limits.count_device_code(services, address=request.address)
        async with services.db.write() as tx:
            await device_logins.deny(tx, user_code=form["user_code"])
    except _NO_CODE as error:
        return _code_page(form, error)
    return page("message.html", title="Turned away", text="The program is not signed in, and its code is void.")


def _code_page(form: Form, error: HomeportError | None = None) -> Response:
    return form_page(
        title=TITLE,
        texts=["A program that wants to sign in with your account shows you a code."],
        action="/activate",
        fields=[_USER_CODE],
        button="Go on",
        form={"user_code": device_logins.shown(form["user_code"])},
        error=error,
    )


async def _sign_in_page(
    services: Services, request: Request, form: Form, error: HomeportError | None = None
) -> Response:
    """Who asks, and the forms; after an error with what was filled in, but for passwords."""
    try:
        if error is None:
            await limits.count_device_code(services, address=request.address)
        async with services.db.read() as tx:
            found = await device_logins.access(tx, user_code=form["user_code"])
    except _NO_CODE as no_code:
        return _code_page(form, no_code)
    wrong = field_errors(error)
    return page(
        "device.html",
        status_of(error) if error else 200,
        headers_of(error) if error else None,
        title=TITLE,
        user_code=device_logins.shown(form["user_code"]),
        login=found,
        began_at=found.created_at.strftime(TIME),
        username=form["username"],
        error=explained(error) if error else "",
        field_errors=wrong,
        first_to_mend=first_to_mend(wrong, ("username", "password")) if error else "",
    )
