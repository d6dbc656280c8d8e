"""What the published reference says of an operation beyond its types: its section, who may call it, how it can fail.

A handler takes it as keyword arguments: `@get("/v2/…", **reference(Section.GROUPS, permission="…", errors=(401,)))`.
Its docstring becomes the description, its parameters and structs the schemas.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class Section(StrEnum):
    """The sections of the reference, in their order there."""

    AUTHENTICATION = "Authentication"
    ACCESS_TOKENS = "Personal access tokens"
    AUDIT_LOGS = "Audit logs"
    SETTINGS = "Organization settings"
    REPOSITORIES = "Repositories"
    ORGANIZATIONS = "Organizations"
    GROUPS = "Groups (teams)"
    INVITES = "Invites"


def reference(
    section: Section, *, permission: str, errors: Sequence[int] = (), is_extension: bool = False
) -> dict[str, Any]:
    """What to tell of a handler: `permission` is a sentence on who may call it; an extension is not Docker's."""
    return {
        "tags": [section],
        "opt": {"permission": permission, "errors": tuple(errors), "is_extension": is_extension},
    }
