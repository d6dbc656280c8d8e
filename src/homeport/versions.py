"""Tags as versions: a text for each tag that sorts as semantic versions do (SemVer 2.0.0 §11), byte by byte.

What counts as a version is wider than SemVer's own grammar, because tags are: one to four numbers with an optional `v`
in front (`v1`, `22.04`, `1.2.3.4`; missing numbers are 0, leading zeros do not count), a pre-release behind `-`
(`1.27-rc.1`, and so `1.27-alpine` too), and build metadata behind `_`, which a tag has in place of the `+` that it may
not have. Build metadata does not count. All other tags come before all versions, in the order of their names.
"""

import re

_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:_.*)?", re.ASCII)

_OTHER, _A_VERSION = "0", "1"
_PRE_RELEASE, _RELEASE = "1", "2"
# Of what stands behind each identifier of a pre-release: nothing more is less than anything more.
_END, _NUMBER, _WORD = "0", "1", "2"
# Less than any character of an identifier or a name, so that `a` comes before `a1`.
_STOP = " "


def version_key(tag: str) -> str:
    """The key of a tag among the others of its repository. Equal versions, and what is none, go by their names."""
    match = _VERSION.fullmatch(tag)
    if match is None or not _is_pre_release(match[5]):
        return _OTHER + tag
    numbers = "".join(_number(part or "0") for part in match.groups()[:4])
    return f"{_A_VERSION}{numbers}{_stage(match[5])}{_STOP}{tag}"


def _is_pre_release(text: str | None) -> bool:
    return text is None or all(text.split("."))


def _number(digits: str) -> str:
    """A number of any length: how long it is comes first."""
    digits = digits.lstrip("0")
    return f"{len(digits):03d}{digits}"


def _stage(pre_release: str | None) -> str:
    if pre_release is None:
        return _RELEASE
    identifiers = "".join(
        f"{_NUMBER}{_number(part)}" if part.isascii() and part.isdigit() else f"{_WORD}{part}{_STOP}"
        for part in pre_release.split(".")
    )
    return f"{_PRE_RELEASE}{identifiers}{_END}"
