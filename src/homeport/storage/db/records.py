"""The rows that statements give, as frozen structs. Fields stand in the order of the columns."""

from datetime import datetime
from enum import StrEnum

import msgspec


class AccountKind(StrEnum):
    USER = "user"
    ORGANIZATION = "organization"


class OrganizationRole(StrEnum):
    OWNER = "owner"
    EDITOR = "editor"
    MEMBER = "member"


class Permission(StrEnum):
    """What a team or a collaborator has on a repository; each holds what those before it hold."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Badge(StrEnum):
    """What the site administrator marks a namespace with."""

    NONE = ""
    OFFICIAL = "official"
    VERIFIED_PUBLISHER = "verified_publisher"
    OPEN_SOURCE = "open_source"


class PlanName(StrEnum):
    """What an account has been given; the settings say what that holds."""

    PERSONAL = "personal"
    PRO = "pro"
    TEAM = "team"
    BUSINESS = "business"


class Account(msgspec.Struct, frozen=True):
    """A user or an organization."""

    id: int
    uuid: str
    name: str
    kind: AccountKind
    email: str | None
    full_name: str
    password_hash: str | None
    credentials_version: int
    is_active: bool
    is_site_admin: bool
    plan: PlanName
    badge: Badge
    managing_organization_id: int | None
    """The organization whose identity provider speaks for the account."""
    created_at: datetime


class AccessToken(msgspec.Struct, frozen=True):
    """An access token of a user, or of an organization.

    `scopes` is the JSON list as it was sent, of which an organization's has none; `grants` is JSON (`core/grants.py`).
    `created_by` is the name of who made it, where that is not the account itself. `address_ranges` is a JSON list of
    networks. What is derived from another token has that one as `parent_id`.
    """

    id: int
    uuid: str
    account_id: int
    label: str
    scopes: str
    is_active: bool
    created_at: datetime
    expires_at: datetime | None
    expires_at_text: str | None
    last_used_at: datetime | None
    creator_ip: str
    creator_ua: str
    generated_by: str
    description: str
    created_by: str
    grants: str | None
    address_ranges: str
    can_derive: bool
    parent_id: int | None


class AccessTokenCounts(msgspec.Struct, frozen=True):
    total: int
    active: int


class SecondFactor(msgspec.Struct, frozen=True):
    """A secret that codes are made from. It is asked for once a first code has confirmed it."""

    account_id: int
    secret: str
    confirmed_at: datetime | None


class Organization(msgspec.Struct, frozen=True):
    """An organization, with the role that one actor has in it."""

    id: int
    uuid: str
    name: str
    plan: PlanName
    role: OrganizationRole | None


class ListedOrganization(msgspec.Struct, frozen=True):
    """An organization as operators see it."""

    uuid: str
    name: str
    plan: str
    badge: Badge
    is_active: bool
    created_at: datetime
    member_count: int


class Profile(msgspec.Struct, frozen=True):
    """What is shown of a user."""

    uuid: str
    name: str
    full_name: str
    email: str | None
    location: str
    company: str
    profile_url: str
    gravatar_email: str
    created_at: datetime


class AccountProfile(Profile, frozen=True):
    """What is shown of an account of either kind; an organization has no address."""

    kind: AccountKind
    badge: Badge
    is_active: bool
    is_site_admin: bool


class OrganizationOfUser(AccountProfile, frozen=True):
    """An organization, with what one of its members is in it, and the number of its teams."""

    id: int
    plan: PlanName
    role: OrganizationRole
    team_count: int


class Member(Profile, frozen=True):
    """A member of an organization; or somebody who is invited to be one, who has no role yet.

    Of an invite `account_id` is None if it went to an address that nobody has here; then `name` is empty and `uuid` is
    the invite's own. `team` is what it invites to; it and the last two are None of a member.
    """

    last_logged_in_at: datetime | None
    last_seen_at: datetime | None
    last_desktop_version: str
    account_id: int | None
    role: OrganizationRole | None
    joined_at: datetime | None
    team: str | None
    invite_id: str | None
    invited_at: datetime | None

    @property
    def is_invitee(self) -> bool:
        return self.role is None


class OrganizationSettings(msgspec.Struct, frozen=True):
    """What an organization has set. `custom_registries` is the JSON list as it was sent."""

    restricts_images: bool = False
    allows_official_images: bool = True
    allows_verified_publishers: bool = True
    restricts_registries: bool = False
    allows_docker_hub: bool = True
    custom_registries: str = "[]"
    is_sso_enforced: bool = False
    has_insights: bool = False
    audits_pulls: bool = False


class Domain(msgspec.Struct, frozen=True):
    """A domain that an organization says is its own; it is once it has been verified."""

    id: int
    organization_id: int
    name: str
    created_at: datetime
    verified_at: datetime | None


class Namespace(msgspec.Struct, frozen=True):
    """An account as the owner of repositories, with the role that one actor has in it."""

    id: int
    name: str
    kind: AccountKind
    is_active: bool
    plan: PlanName
    role: OrganizationRole | None


class Repository(msgspec.Struct, frozen=True):
    """A repository, with what one actor has been granted on it.

    `restricting_organization` is one of the actor's whose policy on images does not let this one through by its badge.
    """

    id: int
    namespace_id: int
    namespace: str
    name: str
    is_private: bool
    role: OrganizationRole | None
    collaborator_permission: Permission | None
    team_permission: Permission | None
    audits_pulls: bool = False
    """Whether its organization wants to know of each pull."""
    restricting_organization: str | None = None


class ListedRepository(msgspec.Struct, frozen=True):
    """A repository as lists show it. The last three are JSON lists of texts, the latter two of what is in it.

    `updated_at` is when its content changed last, `modified_at` when its own properties did; None for never.
    """

    id: int
    namespace: str
    name: str
    is_private: bool
    is_active: bool
    description: str
    star_count: int
    pull_count: int
    storage_bytes: int
    created_at: datetime
    updated_at: datetime
    modified_at: datetime | None
    categories: str
    media_types: str
    content_types: str


class RepositoryDetails(ListedRepository, frozen=True):
    """All that is shown of a repository to one actor, who may have starred it. The last two are as in `TagRules`."""

    full_description: str
    collaborator_count: int
    is_starred: bool
    has_immutable_tags: bool
    immutable_tag_rules: str


class TagRules(msgspec.Struct, frozen=True):
    """Which tags of a repository are immutable. The rules, a JSON list of texts, count while it has such tags at all;
    without rules every tag is one.
    """

    has_immutable_tags: bool
    immutable_tag_rules: str


class Collaborator(msgspec.Struct, frozen=True):
    """What an account has been given on a repository by itself."""

    name: str
    permission: Permission


class FoundRepository(msgspec.Struct, frozen=True):
    """A repository as a search shows it. The last two are JSON lists of texts."""

    id: int
    namespace: str
    name: str
    description: str
    badge: Badge
    publisher_uuid: str
    publisher: str
    star_count: int
    pull_count: int
    created_at: datetime
    updated_at: datetime
    categories: str
    content_types: str


class RepositoryPlatform(msgspec.Struct, frozen=True):
    """A platform that something in a repository is for; None where that is not said."""

    repository_id: int
    os: str | None
    architecture: str | None


class RepositoryTeam(msgspec.Struct, frozen=True):
    """What a team has been given on a repository."""

    team_id: int
    team: str
    permission: Permission


class Team(msgspec.Struct, frozen=True):
    """A team. The Hub API calls it a group."""

    id: int
    uuid: str
    organization_id: int
    name: str
    description: str
    created_at: datetime
    member_count: int


class TeamOfUser(msgspec.Struct, frozen=True):
    """That a user is in a team of an organization."""

    organization_id: int
    team: str


class TeamOfMember(msgspec.Struct, frozen=True):
    """That an account is in a team."""

    account_id: int
    team: str


class InviteStatus(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Invite(msgspec.Struct, frozen=True):
    """An invite into an organization. `invitee` is as it was written: an e-mail address or the name of a user.

    A pending invite whose `expires_at` has passed is as good as expired.
    """

    id: str
    organization_id: int
    organization: str
    inviter: str
    invitee: str
    account_id: int | None
    email: str | None
    team_id: int | None
    team: str | None
    role: OrganizationRole
    secret_sha256: str
    status: InviteStatus
    created_at: datetime
    sent_at: datetime
    expires_at: datetime


class Mail(msgspec.Struct, frozen=True):
    """A mail in the outbox. `due_at` is None once it is sent or given up; `body` is empty once it is sent."""

    id: int
    recipient: str
    subject: str
    body: str
    created_at: datetime
    due_at: datetime | None
    attempts: int
    last_error: str
    sent_at: datetime | None


class Purpose(StrEnum):
    """What somebody wants to be mailed a link for."""

    SIGN_UP = "sign_up"
    PASSWORD = "password"  # noqa: S105 - a word
    EMAIL = "email"


class MailRequest(msgspec.Struct, frozen=True):
    """What somebody has asked to be mailed, and nobody has looked at yet.

    `identifier` is an e-mail address; for a new password it may be the name of a user. `account_id` is who asks for a
    new address; names are of a sign-up.
    """

    id: int
    purpose: Purpose
    account_id: int | None
    identifier: str
    name: str
    full_name: str
    address: str
    user_agent: str
    created_at: datetime


class Confirmation(msgspec.Struct, frozen=True):
    """A link in a mail. `email` is where that went; of a change of address, the new one.

    It is void once the account has another `credentials_version`.
    """

    id: str
    purpose: Purpose
    account_id: int | None
    credentials_version: int | None
    email: str
    name: str
    full_name: str
    secret_sha256: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class DeviceStatus(StrEnum):
    """How far the login of a program is."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


class DeviceLogin(msgspec.Struct, frozen=True):
    """The login of a program that somebody approves on a page. `address` and `user_agent` are the program's."""

    id: int
    client_id: str
    status: DeviceStatus
    address: str
    user_agent: str
    created_at: datetime
    expires_at: datetime
    polled_at: datetime | None
    interval_s: int
    account_id: int | None
    credentials_version: int | None


class Blob(msgspec.Struct, frozen=True):
    id: int
    digest: str
    size_bytes: int
    storage_key: str


class Upload(msgspec.Struct, frozen=True):
    id: str
    repository_id: int
    account_id: int
    created_at: datetime


class Manifest(msgspec.Struct, frozen=True):
    """A manifest as it is served."""

    id: int
    digest: str
    media_type: str
    content: bytes


class TaggedManifest(msgspec.Struct, frozen=True):
    """What a pull by tag or digest gives; `tag_id` is None for a digest."""

    id: int
    digest: str
    media_type: str
    content: bytes
    tag_id: int | None


class Referrer(msgspec.Struct, frozen=True):
    """A manifest that has a subject. `annotations` is a JSON object."""

    digest: str
    media_type: str
    size_bytes: int
    artifact_type: str | None
    annotations: str | None


class Tag(msgspec.Struct, frozen=True):
    """A tag with what its manifest says of itself."""

    id: int
    repository_id: int
    name: str
    manifest_id: int
    digest: str
    media_type: str
    config_media_type: str | None
    artifact_type: str | None
    depth: int
    image_size_bytes: int
    created_at: datetime
    created_by: int | None
    updated_at: datetime
    updated_by: int | None
    updated_by_name: str | None
    last_pulled_at: datetime | None


class TagMoment(msgspec.Struct, frozen=True):
    """A tag as it was found at a moment: it is the same as long as it has not been moved."""

    id: int
    name: str
    updated_at: datetime


class TagMove(msgspec.Struct, frozen=True):
    """A move of a tag with what the manifest says of itself that it was moved to.

    `digest` is None where the tag was deleted, `manifest_id` where the repository does not hold the manifest; what
    follows it says nothing then.
    """

    id: int
    digest: str | None
    moved_at: datetime
    moved_by_name: str | None
    manifest_id: int | None
    media_type: str
    config_media_type: str | None
    artifact_type: str | None
    depth: int


class PastMove(msgspec.Struct, frozen=True):
    """A move of a tag, and when the tag left the place again; None while it is there. A deletion ends at once where
    nothing came after it.
    """

    id: int
    ended_at: datetime | None


class TaggedName(msgspec.Struct, frozen=True):
    name: str


class Image(msgspec.Struct, frozen=True):
    """One platform of a tag: the tag's manifest itself, or a leaf of its index.

    `manifest_id`, the sizes and the times are those of the child, None where it was never pushed (a sparse index).
    """

    root_id: int
    manifest_id: int | None
    digest: str
    os: str | None
    os_version: str | None
    os_features: str
    architecture: str | None
    variant: str | None
    features: str
    size_bytes: int
    pushed_at: datetime | None
    last_pulled_at: datetime | None


class Layer(msgspec.Struct, frozen=True):
    """One step of an image's history; `digest` is None where it made no layer."""

    manifest_id: int
    digest: str | None
    size_bytes: int
    instruction: str


class Stretch(msgspec.Struct, frozen=True):
    """A counted run of tags in one order: from `start` up to the start of the next."""

    start: str
    tag_count: int


class Position(msgspec.Struct, frozen=True):
    """Where a page begins: the start of a stretch, and how many tags stand before that stretch."""

    start: str
    before: int


class SigningKey(msgspec.Struct, frozen=True):
    kid: str
    private_key: str


class Revocation(msgspec.Struct, frozen=True):
    id: int
    account_id: int


class AuditEvent(msgspec.Struct, frozen=True):
    """An event of an audit log. `data` is a JSON object of texts."""

    action: str
    name: str
    actor: str
    data: str
    created_at: datetime


class ScimToken(msgspec.Struct, frozen=True):
    """What lets an organization's identity provider in. `created_by` is the name of who made its secret."""

    organization_id: int
    created_by: str
    created_at: datetime
    last_used_at: datetime | None


class ScimOrganization(Organization, frozen=True):
    """The organization that a SCIM token is for."""

    last_used_at: datetime | None


class ScimUser(msgspec.Struct, frozen=True):
    """A member as an identity provider sees them, or somebody whom it has shut out.

    `is_managed` tells whether the organization speaks for the account, `is_shut_out` whether it was the provider who
    shut them out. `version` changes with everything that is shown.
    """

    account_id: int
    uuid: str
    account_name: str
    email: str | None
    is_account_active: bool
    is_managed: bool
    role: OrganizationRole | None
    user_name: str
    external_id: str | None
    given_name: str | None
    family_name: str | None
    display_name: str | None
    ordered_role: OrganizationRole | None
    """The role that they have, if the provider has ordered one."""
    ordered_team: str | None
    """The team that the provider has ordered, if they are in it still."""
    is_shut_out: bool
    created_at: datetime
    updated_at: datetime
    version: str

    @property
    def is_in(self) -> bool:
        return self.is_account_active and self.role is not None


class ScimEmail(msgspec.Struct, frozen=True):
    """One of a user's addresses as the identity provider wrote it; mails go to the account's own."""

    account_id: int
    value: str | None
    display: str | None
    type: str | None
    is_primary: bool | None


class ScimMembership(msgspec.Struct, frozen=True):
    """That a user is in a team."""

    account_id: int
    team_uuid: str
    display: str


class ScimGroup(msgspec.Struct, frozen=True):
    """A team as an identity provider sees it."""

    id: int
    uuid: str
    name: str
    display_name: str
    external_id: str | None
    created_at: datetime
    updated_at: datetime
    version: str


class ScimGroupMember(msgspec.Struct, frozen=True):
    """A user in a team."""

    team_id: int
    account_id: int
    uuid: str
    name: str


class Webhook(msgspec.Struct, frozen=True):
    """What is told of pushes to a repository, without its secret. `creator` and `updater` are names of accounts."""

    id: int
    repository_id: int
    name: str
    is_active: bool
    expects_final_callback: bool
    creator: str | None
    created_at: datetime
    updater: str | None
    updated_at: datetime


class WebhookTarget(msgspec.Struct, frozen=True):
    """A URL that a webhook delivers to."""

    id: int
    webhook_id: int
    url: str
    creator: str | None
    created_at: datetime


class ClaimedTarget(msgspec.Struct, frozen=True):
    """A URL that a process delivers to, alone until `claimed_until`."""

    id: int
    claimed_until: datetime


class DueDelivery(msgspec.Struct, frozen=True):
    """What is to be sent next, where to, and what it is signed with."""

    id: int
    uuid: str
    webhook_id: int
    due_since: datetime
    url: str
    secret: str
    payload: str


class WebhookDelivery(msgspec.Struct, frozen=True):
    """A push of a tag on its way to a URL, or there, or given up; what is told of attempts is of the last one."""

    uuid: str
    webhook_id: int
    target_id: int
    url: str
    tag: str
    created_at: datetime
    due_at: datetime | None
    delivered_at: datetime | None
    attempts: int
    attempted_at: datetime | None
    duration_ms: int | None
    http_status: int | None
    error: str
    payload: str
    answer: str


class PushedRepository(msgspec.Struct, frozen=True):
    """What a webhook's receiver is told of a repository."""

    description: str
    full_description: str
    is_private: bool
    star_count: int
    is_official: bool
    created_at: datetime
