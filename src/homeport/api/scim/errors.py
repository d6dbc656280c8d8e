"""Domain errors as SCIM has them (RFC 7644 §3.12)."""

from collections.abc import Mapping

from scim2_models import SCIMException
from scim2_models.exceptions import (
    ConflictException,
    ForbiddenException,
    InvalidValueException,
    MutabilityException,
    NotFoundException,
    PayloadTooLargeException,
    UnauthorizedException,
    UniquenessException,
)

from homeport.errors import (
    AccountExists,
    Conflict,
    Denied,
    FieldInvalid,
    HomeportError,
    Invalid,
    InvitedInstead,
    LastOwner,
    NotAuthenticated,
    ScimGroupExists,
    ScimUserExists,
    TeamExists,
    TeamProtected,
    TooLarge,
    Unavailable,
    Unknown,
    UserNameImmutable,
)


class UnavailableException(SCIMException):
    """Something that the answer depends on is away."""

    status = 503


class TooManyException(SCIMException):
    """Too many requests."""

    status = 429
    _default_detail = "Rate limit exceeded"


SCIM_ERRORS: Mapping[type[HomeportError], type[SCIMException]] = {
    FieldInvalid: InvalidValueException,
    Invalid: InvalidValueException,
    Unknown: NotFoundException,
    AccountExists: UniquenessException,
    ScimUserExists: UniquenessException,
    ScimGroupExists: UniquenessException,
    TeamExists: UniquenessException,
    InvitedInstead: UniquenessException,
    UserNameImmutable: MutabilityException,
    # RFC 7644 §3.12: not compatible with the attribute's present state.
    LastOwner: MutabilityException,
    TeamProtected: MutabilityException,
    Conflict: ConflictException,
    NotAuthenticated: UnauthorizedException,
    Denied: ForbiddenException,
    TooLarge: PayloadTooLargeException,
    Unavailable: UnavailableException,
}
"""Error → how it is told. The nearest class of an error counts."""


def told(error: HomeportError) -> SCIMException:
    """A domain error as an error of SCIM."""
    for class_ in type(error).__mro__:
        if found := SCIM_ERRORS.get(class_):
            return found(detail=str(error))
    raise error
