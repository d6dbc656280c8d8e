"""The grammar of names."""

import contextlib
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.names import (
    REPOSITORY_LENGTH_LIMIT,
    RESERVED_NAMES,
    AccountName,
    Digest,
    RepositoryName,
    TagName,
    is_mail_address,
    parse_reference,
)

# The expressions of the OCI Distribution Spec §Pulling manifests, as it prints them.
SPEC_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
SPEC_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

near_names = st.text(alphabet="ab0._-/A ~\0\n%é", max_size=40)


@given(near_names)
def test_a_repository_name_is_one_of_the_specification_with_one_or_two_parts(text: str) -> None:
    fits = SPEC_NAME.fullmatch(text) is not None and text.count("/") <= 1
    try:
        name = RepositoryName.parse(text)
    except Invalid:
        assert not fits
    else:
        assert fits
        assert str(name) == (text if "/" in text else f"library/{text}")


@given(near_names | st.text(alphabet=string.ascii_letters + "._-", min_size=120, max_size=140))
def test_a_tag_is_one_of_the_specification(text: str) -> None:
    try:
        TagName.parse(text)
    except Invalid:
        assert SPEC_TAG.fullmatch(text) is None
    else:
        assert SPEC_TAG.fullmatch(text) is not None


@given(st.text())
def test_no_text_is_more_than_invalid(text: str) -> None:
    for parse in (AccountName.parse, RepositoryName.parse, TagName.parse, Digest.parse, parse_reference):
        with contextlib.suppress(Invalid):
            parse(text)


def test_the_length_of_a_repository_name_has_an_end() -> None:
    longest = "a/" + "b" * (REPOSITORY_LENGTH_LIMIT - 2)
    assert str(RepositoryName.parse(longest)) == longest
    with pytest.raises(Invalid):
        RepositoryName.parse(longest + "b")


@pytest.mark.parametrize("name", ["ab", "a-b", "a--b", "a__b", "x" * 30, "0a"])
def test_account_names(name: str) -> None:
    assert AccountName.parse(name) == name


@given(st.text(alphabet="ab0_-.", max_size=12))
def test_every_account_is_a_namespace(text: str) -> None:
    try:
        account = AccountName.parse(text)
    except Invalid:
        return
    assert RepositoryName.parse(f"{account}/x").namespace == text


@pytest.mark.parametrize(
    "name", ["a", "x" * 31, "A", "a.b", "a___b", "a_-b", "-a", "a-", "a b", "", "é", *sorted(RESERVED_NAMES)]
)
def test_names_that_no_account_has(name: str) -> None:
    with pytest.raises(Invalid):
        AccountName.parse(name)


@pytest.mark.parametrize(
    "text",
    ["sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha512:" + "0" * 64, "md5:" + "0" * 32, "sha256:", ":", "sha256"],
)
def test_digests_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        Digest.parse(text)


def test_a_reference_with_a_colon_is_a_digest() -> None:
    digest = "sha512:" + "ab" * 64
    found = parse_reference(digest)
    assert isinstance(found, Digest)
    assert (found.algorithm, found.hex) == ("sha512", "ab" * 64)
    assert isinstance(parse_reference("latest"), TagName)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("ann@example.com", True),
        ("o'neil+docker@mail.example.co.uk", True),
        ("admin@localhost", True),
        (f"{'a' * 64}@example.com", True),
        (f"{'a' * 65}@example.com", False),
        (f"a@{'b' * 63}.com", True),
        (f"a@{'b' * 64}.com", False),
        (f"a@{'.'.join(['b' * 60] * 5)}", False),
        ("ann", False),
        ("ann@", False),
        ("@example.com", False),
        ("ann@@example.com", False),
        (".ann@example.com", False),
        ("ann..x@example.com", False),
        ("ann@-example.com", False),
        ("ann@example..com", False),
        ("ann@example.com\n", False),
        ("ann@example.com\r\nBcc: eve@example.com", False),
        ("ann@example.com,eve@example.com", False),
        ("Ann <ann@example.com>", False),
        ('"ann x"@example.com', False),
        ("änn@example.com", False),
        ("ann@exämple.com", False),
    ],
)
def test_what_is_a_mail_address(text: str, is_one: bool) -> None:
    assert is_mail_address(text) is is_one
