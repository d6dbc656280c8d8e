"""What the demo is made of, as tables."""

from collections.abc import Mapping, Sequence

import msgspec

from homeport.core.access import Scope
from homeport.core.org_settings import CustomRegistry
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole, Permission

ORGANIZATION = "demo"
PUBLISHER = "demo-publisher"
"""Another organization, which the site administrator has marked as a verified publisher."""

OWNER = "demo-owner"
WRITER = "demo-writer"
PLATFORM_ENGINEER = "demo-amara"
SECOND_FACTOR_USER = "demo-elena"

DOMAIN = "example.com"
"""Verified: members with an address elsewhere are guests."""


class Person(msgspec.Struct, frozen=True):
    """A user; `role` is None for who is no member of the organization."""

    name: str
    full_name: str
    email: str
    role: OrganizationRole | None


class DemoTeam(msgspec.Struct, frozen=True):
    """A team with its members, and its permissions by repository."""

    name: str
    description: str
    members: Sequence[str]
    grants: Mapping[RepositoryName, Permission]


class Invitation(msgspec.Struct, frozen=True):
    """People who are invited together. `team` is empty for none."""

    invitees: Sequence[str]
    team: str
    role: OrganizationRole


class TokenOf(msgspec.Struct, frozen=True):
    """A personal access token of a user."""

    user: str
    label: str
    scope: Scope


PEOPLE = (
    Person(OWNER, "Olivia Marsh", "olivia.marsh@example.com", OrganizationRole.OWNER),
    Person("demo-editor", "Edgar Lindqvist", "edgar.lindqvist@example.com", OrganizationRole.EDITOR),
    Person(WRITER, "Wanda Kowalski", "wanda.kowalski@example.com", OrganizationRole.MEMBER),
    Person("demo-reader", "Rafael Ortega", "rafael.ortega@example.com", OrganizationRole.MEMBER),
    Person(PLATFORM_ENGINEER, "Amara Okafor", "amara.okafor@example.com", OrganizationRole.EDITOR),
    Person("demo-jonas", "Jonas Weber", "jonas.weber@example.com", OrganizationRole.MEMBER),
    Person("demo-mei", "Mei Tanaka", "mei.tanaka@example.com", OrganizationRole.MEMBER),
    Person(SECOND_FACTOR_USER, "Elena Petrova", "elena.petrova@example.com", OrganizationRole.OWNER),
    Person("demo-guest", "Gabriel Haddad", "gabriel.haddad@consulting.example.org", OrganizationRole.MEMBER),
    Person("demo-invited", "Ines Carvalho", "ines.carvalho@example.com", None),
)

HELLO = RepositoryName(ORGANIZATION, "hello")
TOOLS = RepositoryName(ORGANIZATION, "tools")
SECRET = RepositoryName(ORGANIZATION, "secret")
BASE = RepositoryName(PUBLISHER, "base")
REPOSITORIES = {HELLO: False, TOOLS: False, SECRET: True, BASE: False}
"""Name → whether it is private."""

TEAMS = (
    DemoTeam(
        "platform",
        "Builds, base images and the machines they run on",
        (PLATFORM_ENGINEER, "demo-jonas"),
        {HELLO: Permission.ADMIN, TOOLS: Permission.ADMIN, SECRET: Permission.ADMIN},
    ),
    DemoTeam(
        "frontend",
        "What people see in their browsers",
        (WRITER, "demo-mei"),
        {HELLO: Permission.WRITE, SECRET: Permission.WRITE},
    ),
    DemoTeam(
        "readers",
        "Who may pull what is private",
        ("demo-reader", "demo-guest"),
        {SECRET: Permission.READ},
    ),
)

INVITATIONS = (
    Invitation(("demo-invited", "samuel.reyes@example.com"), "", OrganizationRole.MEMBER),
    Invitation(("yuki.mori@example.com",), "frontend", OrganizationRole.MEMBER),
    Invitation(("clara.dubois@studio.example.org",), "", OrganizationRole.EDITOR),
)

REGISTRIES = (CustomRegistry("registry.example.com:5000", "The old registry", is_allowed=True),)

ACCESS_TOKENS = (
    TokenOf(OWNER, "laptop", Scope.ADMIN),
    TokenOf(WRITER, "release pipeline", Scope.WRITE),
    TokenOf(WRITER, "laptop", Scope.READ),
    TokenOf("demo-reader", "cluster", Scope.READ),
    TokenOf("demo-guest", "trying things out", Scope.PUBLIC_READ),
)
