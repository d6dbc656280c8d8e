"""The resources of this service as SCIM describes them (RFC 7643), and what the service can do.

They hold what is kept, and no more: attributes that are not here are ignored when they are sent. The schemas and the
configuration that clients read are made from these classes.
"""

from typing import Annotated, Any, cast

from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    EnterpriseUser,
    ETag,
    Extension,
    Filter,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    Returned,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models import User as CoreUser

from homeport.names import folded

PAGE_LIMIT = 200
"""Resources of one answer."""


class Name(ComplexAttribute):
    given_name: str | None = None
    """The first name."""

    family_name: str | None = None
    """The last name."""


class Email(ComplexAttribute):
    value: str | None = None
    """The address."""

    display: str | None = None
    """The address as people are shown it."""

    type: str | None = Field(None, examples=["work", "home", "other"])
    """What the address is for."""

    primary: bool | None = None
    """Whether it is the one to write to first."""


class UserGroup(ComplexAttribute):
    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The id of the group."""

    ref: Annotated[Reference["Group"] | None, Mutability.read_only] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Where the group is."""

    display: Annotated[str | None, Mutability.read_only] = None
    """The name of the group."""

    type: Annotated[str | None, Mutability.read_only] = Field(None, examples=["direct"])
    """Groups are not nested: always direct."""


class DockerUser(Extension):
    """What Docker adds to users. Role and team are shown if the provider has ordered them."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:docker:2.0:User")

    docker_role: str | None = Field(default=None, examples=["member", "editor", "owner"])
    """The role that the user is to have in the organization."""

    docker_org: Annotated[str | None, Mutability.read_only, Returned.request] = None
    """The organization; a token speaks for one alone."""

    docker_team: str | None = None
    """A team that the user is to be in; it is made if there is none of that name."""


class User(Resource[Any]):
    """A member of the organization."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The e-mail address of the user, or another name that tells them apart within the organization."""

    name: Name | None = None
    """What the user is called."""

    display_name: str | None = None
    """How the user is shown; the name of their account unless the provider says otherwise."""

    active: Annotated[bool | None, Required.true] = None
    """Whether the user is let in."""

    emails: list[Email] | None = None
    """Addresses of the user."""

    groups: Annotated[list[UserGroup] | None, Mutability.read_only] = None
    """The groups that the user is in."""


class GroupMember(ComplexAttribute):
    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of the user."""

    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Where the user is."""

    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """What the member is: users alone are."""


class Group(Resource[Any]):
    """A team of the organization."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The name of the group; the team's own name is made from it."""

    members: list[GroupMember] | None = None
    """Who is in the group. Ids that are no users' are left out."""


SCIM_USER: Any = cast(Any, User)[DockerUser]
"""The class of users, with what Docker adds."""


class AskedUser(CoreUser[EnterpriseUser]):
    """What searches may name: all that RFC 7643 has of users. Nobody has what is not kept here."""

    manager: str | None = None
    """As Microsoft Entra ID asks for it: without its schema."""


def _comparison_key(binding: Any, value: str) -> str:
    return value if binding.case_exact else folded(value)


def build_provider() -> ScimProvider:
    """The description of this service."""
    return ScimProvider(
        models=[User, Group, DockerUser],
        resource_types=[
            ResourceType.from_resource(SCIM_USER),
            ResourceType.from_resource(Group),
        ],
        config=ServiceProviderConfig(
            patch=Patch(supported=True),
            bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
            filter=Filter(supported=True, max_results=PAGE_LIMIT),
            change_password=ChangePassword(supported=False),
            sort=Sort(supported=True),
            etag=ETag(supported=True),
            authentication_schemes=[
                AuthenticationScheme(
                    type=AuthenticationScheme.Type.oauthbearertoken,
                    name="OAuth Bearer Token",
                    description="The SCIM token of the organization, as a bearer token",
                    spec_uri=Reference("https://www.rfc-editor.org/info/rfc6750"),
                    primary=True,
                )
            ],
        ),
        policy=ScimPolicy(
            # Providers send all that they know, and PATCH members and addresses in ways that are not the RFC's.
            unknown=ScimPolicy.Unknown.ignore,
            remove_value_as_filter=ScimPolicy.RemoveValue.apply,
            unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
            comparison_key=_comparison_key,
        ),
    )
