"""Signing in by a form of a page, which carries all that it takes."""

from homeport.api.http import Request
from homeport.core.activity import Door, Visit
from homeport.core.authentication import Credential
from homeport.core.services import Services
from homeport.errors import SecondFactorRequired
from homeport.web.forms import Form


async def sign_in(services: Services, request: Request, form: Form) -> Credential:
    """Both halves of a login in one form, where the account has a second factor.

    Raises:
        SecondFactorRequired: the code is missing.
        CredentialsInvalid, OrganizationLogin, PasswordRefused, TooManyAttempts: as `Logins`.
    """
    visit = Visit(Door.HUB, request.address, request.user_agent)
    try:
        return await services.logins.log_in(form["username"].strip(), form["password"], visit)
    except SecondFactorRequired as error:
        if not form["code"].strip():
            raise
        return await services.logins.log_in_by_code(error.login_token, form["code"], visit)
