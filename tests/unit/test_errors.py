"""Every domain error has a place in the table of every door."""

from collections.abc import Iterator

import pytest

from homeport import errors
from homeport.api.hub.errors import HUB_ERRORS
from homeport.api.registry.errors import OCI_ERRORS
from homeport.web.pages import WEB_ERRORS, error_page

# OCI Distribution Spec §Error Codes, and those that Docker's registries add.
OCI_CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "TAG_INVALID",
    "PAGINATION_NUMBER_INVALID",
    "UNAVAILABLE",
    "UNKNOWN",
}


def every_error(root: type[errors.HomeportError] = errors.HomeportError) -> Iterator[type[errors.HomeportError]]:
    for cls in root.__subclasses__():
        if cls.__module__ == "homeport.errors":
            yield cls
            yield from every_error(cls)


@pytest.mark.parametrize("cls", list(every_error()), ids=lambda cls: cls.__name__)
def test_an_error_has_a_status_below_500_or_says_that_we_are_down(cls: type[errors.HomeportError]) -> None:
    status, code = next(OCI_ERRORS[base] for base in cls.__mro__ if base in OCI_ERRORS)
    assert code in OCI_CODES
    found = next(HUB_ERRORS[base] for base in cls.__mro__ if base in HUB_ERRORS)
    hub_status = found if isinstance(found, int) else found[0]
    for answered in (status, hub_status):
        assert answered < 500 or issubclass(cls, errors.Unavailable)
        assert (answered == 404) == issubclass(cls, errors.Unknown)
        assert (answered == 401) == issubclass(cls, errors.NotAuthenticated)


@pytest.mark.parametrize("cls", list(every_error()), ids=lambda cls: cls.__name__)
def test_a_page_has_a_status_for_every_error(cls: type[errors.HomeportError]) -> None:
    status = next(WEB_ERRORS[base] for base in cls.__mro__ if base in WEB_ERRORS)
    assert 400 <= status < 500 or issubclass(cls, errors.Unavailable)
    assert (status == 404) == issubclass(cls, errors.Unknown)


@pytest.mark.parametrize("status", ["accepted", "declined", "cancelled", "expired"])
def test_a_page_says_how_an_invite_has_ended(status: str) -> None:
    assert error_page(errors.InviteClosed(status)).status == 410


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    for cls in every_error():
        assert cls.__name__ in errors.__doc__
