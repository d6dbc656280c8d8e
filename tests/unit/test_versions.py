"""Keys of versions sort as SemVer says."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeport.names import TagName
from homeport.versions import version_key

# SemVer 2.0.0 §11, and what tags are besides: each before the next.
IN_ORDER = [
    ".9",  # no tag, and no version
    "1.0.0-",
    "1.0.0-a..b",
    "1.2.3.4.5",
    "latest",
    "v",
    "version1",
    "0.0.1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2",
    "1.9.9",
    "1.10-alpine",
    "1.10",
    "1.10.0.1",
    "v2-rc1",
    "2.0.0",
    "20.04",
    "20240131",
    "99999999999999999999999999999999999.0.0",
]


def test_versions_are_in_their_order_and_what_is_none_comes_before() -> None:
    assert sorted(IN_ORDER, key=version_key) == IN_ORDER
    assert sorted(IN_ORDER, key=lambda tag: version_key(tag).encode()) == IN_ORDER


def test_equal_versions_go_by_their_names() -> None:
    equal = ["01.2", "1.2", "1.2.0", "1.2.0.0", "1.2.0_build7", "v1.2", "v1.2.0_b"]
    assert sorted({*equal}, key=version_key) == equal
    between = ["1.1.9", *equal, "1.2.1"]
    assert sorted({*between}, key=version_key) == between


numbers = st.integers(0, 10**12)
words = st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(lambda text: len(text) < 8)
identifiers = st.lists(numbers.map(str) | words, max_size=4)
versions = st.tuples(numbers, numbers, numbers, identifiers)
tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True).map(lambda text: text.rstrip("\n"))


def precedence(version: tuple[int, int, int, list[str]]) -> tuple[Any, ...]:
    """What SemVer 2.0.0 §11 says, as Python compares."""
    *core, pre_release = version
    ranks = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre_release]
    return (*core, not pre_release, ranks)


def written(version: tuple[int, int, int, list[str]]) -> str:
    *core, pre_release = version
    text = ".".join(map(str, core))
    return f"{text}-{'.'.join(pre_release)}" if pre_release else text


@given(versions, versions)
def test_keys_compare_as_versions_do(
    first: tuple[int, int, int, list[str]], second: tuple[int, int, int, list[str]]
) -> None:
    keys = [version_key(written(version)).encode() for version in (first, second)]
    if precedence(first) != precedence(second):
        assert (keys[0] < keys[1]) == (precedence(first) < precedence(second))


@given(tags, tags)
def test_each_tag_has_a_key_of_its_own_that_can_be_kept(first: str, second: str) -> None:
    TagName.parse(first)
    assert (version_key(first) == version_key(second)) == (first == second)
    assert re.fullmatch(r"[ -~]+", version_key(first))
    assert len(version_key(first)) < 1000
