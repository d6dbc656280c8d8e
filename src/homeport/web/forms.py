"""Forms that people send: reading one, and saying what is wrong with it."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from homeport.api.http import Request
from homeport.errors import (
    AccountNameInvalid,
    BodyInvalid,
    Conflict,
    CredentialsInvalid,
    Denied,
    FieldInvalid,
    HomeportError,
    Invalid,
    InviteOfAnother,
    SecondFactorRequired,
    TooMany,
)
from homeport.web.pages import sentence

FORM_SIZE_LIMIT = 64 * 1024

Form = Mapping[str, str]

MENDABLE = (Invalid, Conflict, Denied, TooMany)
"""What can be mended by sending the form again, with other words in it or a little later."""


async def read_form(request: Request, names: Sequence[str]) -> Form:
    """The fields of a form, the missing ones empty.

    Raises:
        BodyInvalid: no form, or more fields than any of ours has.
        BodyTooLarge, BodyBroken
    """
    body = await request.whole_body(FORM_SIZE_LIMIT)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise BodyInvalid("the form cannot be read") from error
    return {name: fields.get(name, [""])[0] for name in names}


def explained(error: HomeportError) -> str:
    """What is wrong, in a sentence."""
    if isinstance(error, CredentialsInvalid):
        return "The user name, the password or the code is wrong."
    if isinstance(error, SecondFactorRequired):
        return "Your account has a second factor: type its code, and your password again."
    if isinstance(error, InviteOfAnother):
        return "This invite is for another account. Sign in with the one that was invited, or ask for a new invite."
    return sentence(str(error))


def field_errors(error: HomeportError | None) -> Mapping[str, str]:
    """What is wrong with each field, by its name in the form."""
    if isinstance(error, AccountNameInvalid):
        return {"username": sentence(str(error))}
    if isinstance(error, FieldInvalid):
        return {field: " ".join(reasons) for field, reasons in error.fields.items()}
    if isinstance(error, SecondFactorRequired):
        return {"code": "The code is missing."}
    return {}


def first_to_mend(wrong: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of some fields that is wrong; the last of them if none is."""
    return next((name for name in names if name in wrong), names[-1])
