"""What can go wrong, in the domain's words. Status codes belong to the dialects of the doors.

HomeportError
├── Invalid       AccountNameInvalid · RepositoryNameInvalid · TagNameInvalid · DigestInvalid · DigestMismatch
│                 SizeMismatch · RangeInvalid · ManifestInvalid · ManifestUnsupported · BodyInvalid · ValueUnstorable
│                 FieldInvalid · PageInvalid · GrantUnsupported · BackupInvalid · ContentsUnfit
├── Unknown       AccountUnknown · OrganizationUnknown · NamespaceUnknown · RepositoryUnknown · ManifestUnknown
│                 TagUnknown · BlobUnknown · ManifestBlobUnknown · UploadUnknown · AccessTokenUnknown · TeamUnknown
│                 PageUnknown · DomainUnknown · InviteUnknown · MailUnknown · MemberUnknown · ScimTokenUnknown
│                 ScimUserUnknown · ScimGroupUnknown · ConfirmationUnknown · WebhookUnknown · DeliveryUnknown
│                 MoveUnknown · DeviceCodeUnknown
├── Conflict      AccountExists · TeamExists · UploadBusy · LastOwner · DomainVerifiedElsewhere · SecondFactorOn
│                 SecondFactorOff · InviteClosed · TooManyInvites · TeamProtected · ScimTokenExists
│                 ScimUserExists · ScimGroupExists · InvitedInstead · UserNameImmutable · RepositoryExists
│                 TeamHasPermission · ConfirmationClosed · TooManyWebhooks · WebhookOff · PlaceTaken · NotMoved
├── Denied        NotAuthenticated · CredentialsInvalid · OrganizationLogin · ActionDenied · ActionBeyondToken
│                 TokenNotAllowed · TokenTooWide · ImageRestricted · PlanLacksFeature · PlanLimitReached
│                 SecondFactorRequired · PasswordRefused · InviteOfAnother · AccountShut · AccountChangeRefused
│                 SignUpClosed · TagImmutable · ContentImmutable · DeviceLoginRefused
├── TooLarge      ManifestTooLarge · BlobTooLarge · BodyTooLarge
├── TooMany       TooManyAttempts · TooManyPulls · InviteJustSent · TooManyMailRequests · TooManyDeviceCodes
└── Unavailable   DatabaseUnavailable · TransactionConflict · StoreUnavailable · StoreFull · HubMoved · HubUnfinished
"""

from collections.abc import Mapping, Sequence


class HomeportError(Exception):
    """The root. The message is a sentence that clients may see as it stands."""


class Invalid(HomeportError):
    """What was sent cannot be right, whoever sends it."""


class AccountNameInvalid(Invalid):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"invalid account name {name!r}: {why}")


class RepositoryNameInvalid(Invalid):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"invalid repository name {name!r}: {why}")


class TagNameInvalid(Invalid):
    def __init__(self, name: str) -> None:
        super().__init__(f"invalid tag {name!r}")


class DigestInvalid(Invalid):
    def __init__(self, digest: str) -> None:
        super().__init__(f"invalid digest {digest!r}: use sha256: or sha512: with lower-case hex")


class DigestMismatch(Invalid):
    """The bytes that came are not those the digest names."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"the content does not match the digest {expected}")


class SizeMismatch(Invalid):
    """Fewer or more bytes came than were announced."""

    def __init__(self, *, expected_bytes: int, received_bytes: int) -> None:
        super().__init__(f"expected {expected_bytes} bytes, received {received_bytes}")


class RangeInvalid(Invalid):
    """A chunk that does not begin where the upload ends; `offset` is where it has to begin."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the next chunk has to begin at byte {offset}")
        self.offset = offset


class ManifestInvalid(Invalid):
    def __init__(self, why: str) -> None:
        super().__init__(f"invalid manifest: {why}")


class ManifestUnsupported(Invalid):
    """A media type that this registry does not keep."""

    def __init__(self, media_type: str, hint: str = "") -> None:
        super().__init__(f"unsupported manifest media type {media_type!r}{hint and ': ' + hint}")


class BodyInvalid(Invalid):
    """A body that cannot be read at all (not JSON, not an object, not UTF-8)."""


class ValueUnstorable(Invalid):
    """A text with a NUL or half a surrogate pair, or a number beyond 64 bits: no row can hold it."""

    def __init__(self) -> None:
        super().__init__("a value holds characters that cannot be kept, or is too large")


class FieldInvalid(Invalid):
    """Fields with values that do not fit; `fields` says per field what is wrong."""

    def __init__(self, fields: Mapping[str, Sequence[str]], text: str = "invalid request") -> None:
        super().__init__(text)
        self.fields = fields


class PageInvalid(Invalid):
    """A page number or size that is not a positive whole number."""


class GrantUnsupported(Invalid):
    def __init__(self, grant_types: Sequence[str]) -> None:
        super().__init__(f"grant_type has to be one of: {', '.join(grant_types)}")


class Unknown(HomeportError):
    """Not there, or the caller may not know that it is."""


class AccountUnknown(Unknown):
    def __init__(self, name: str) -> None:
        super().__init__(f"account {name} not found")


class OrganizationUnknown(Unknown):
    def __init__(self, name: str) -> None:
        super().__init__(f"organization {name} not found")


class NamespaceUnknown(Unknown):
    def __init__(self, name: str) -> None:
        super().__init__(f"namespace {name} not found")


class RepositoryUnknown(Unknown):
    """No such repository, or the caller may not know that there is one."""

    def __init__(self, name: object) -> None:
        super().__init__(f"repository {name} not found")
        self.name = name


class ManifestUnknown(Unknown):
    def __init__(self, reference: str) -> None:
        super().__init__(f"manifest {reference} not found")


class TagUnknown(Unknown):
    def __init__(self, name: object, tag: str) -> None:
        super().__init__(f"tag '{tag}' not found")
        self.name = name
        self.tag = tag


class MoveUnknown(Unknown):
    """What is kept of a tag's history does not name a digest."""

    def __init__(self, tag: str, digest: str) -> None:
        super().__init__(f"{digest} not found in the history of the tag '{tag}'")


class BlobUnknown(Unknown):
    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {digest} not found")
        self.digest = digest


class ManifestBlobUnknown(Unknown):
    """A manifest names content that its repository does not hold."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"the manifest refers to {digest}, which is not found in this repository")
        self.digest = digest


class UploadUnknown(Unknown):
    def __init__(self) -> None:
        super().__init__("upload not found: it never was, has ended, or belongs to someone else")


class AccessTokenUnknown(Unknown):
    def __init__(self) -> None:
        super().__init__("access token not found: it does not exist")


class TeamUnknown(Unknown):
    def __init__(self, name: str) -> None:
        super().__init__(f"team {name} not found")


class InviteUnknown(Unknown):
    """No such invite, one that is nobody's of the caller's, or a link that has been replaced."""

    def __init__(self) -> None:
        super().__init__("invite not found")


class ConfirmationUnknown(Unknown):
    """No such link in any mail, or not a whole one."""

    def __init__(self) -> None:
        super().__init__("link not found")


class DeviceCodeUnknown(Unknown):
    """No program waits for this code; it may be mistyped, used, or too old."""

    def __init__(self) -> None:
        super().__init__("code not found: no program waits for it")


class MailUnknown(Unknown):
    def __init__(self, id_: int) -> None:
        super().__init__(f"mail {id_} not found")


class MemberUnknown(Unknown):
    """Not a member of an organization or a team, whether or not there is an account of that name."""

    def __init__(self, name: str, of: str) -> None:
        super().__init__(f"member {name} not found in {of}")


class PageUnknown(Unknown):
    """A page beyond the last one."""

    def __init__(self) -> None:
        super().__init__("page not found: it is beyond the last one")


class DomainUnknown(Unknown):
    def __init__(self, domain: str) -> None:
        super().__init__(f"domain {domain} not found")


class ScimTokenUnknown(Unknown):
    def __init__(self, organization: str) -> None:
        super().__init__(f"SCIM token of {organization} not found")


class ScimUserUnknown(Unknown):
    """No such user in the organization of the identity provider that asks."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"user {id_} not found")


class ScimGroupUnknown(Unknown):
    """No such group in the organization of the identity provider that asks."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"group {id_} not found")


class WebhookUnknown(Unknown):
    def __init__(self, id_: int) -> None:
        super().__init__(f"webhook {id_} not found")


class DeliveryUnknown(Unknown):
    """Never delivered by this webhook, or so long ago that it has been forgotten."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"delivery {id_} not found")


class Conflict(HomeportError):
    """It cannot be done in the present state of things."""


class AccountExists(Conflict):
    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is already in use")


class TeamExists(Conflict):
    def __init__(self, name: str) -> None:
        super().__init__(f"team {name} already exists")


class RepositoryExists(Conflict):
    def __init__(self, name: object) -> None:
        super().__init__(f"repository {name} already exists")


class TeamHasPermission(Conflict):
    """The team has a permission on the repository already, which is changed and not given again."""

    def __init__(self, team: str, name: object) -> None:
        super().__init__(f"team {team} has a permission on {name} already")


class UploadBusy(Conflict):
    """Another request is writing to this upload."""

    def __init__(self) -> None:
        super().__init__("another request is writing to this upload")


class LastOwner(Conflict):
    def __init__(self, organization: str) -> None:
        super().__init__(f"{organization} needs at least one owner")


class TeamProtected(Conflict):
    """The owners team is what makes owners: it stays, under its name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the team {name} can be neither deleted nor renamed")


class DomainVerifiedElsewhere(Conflict):
    """A domain tells whose an address is, so it can belong to one organization only."""

    def __init__(self, domain: str) -> None:
        super().__init__(f"domain {domain} is verified for another organization")


class SecondFactorOn(Conflict):
    def __init__(self) -> None:
        super().__init__("the second factor is on already")


class SecondFactorOff(Conflict):
    def __init__(self) -> None:
        super().__init__("the second factor is not on")


class InviteClosed(Conflict):
    """The invite is not open any more; `status` says why."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the invite is not open any more: {status}")
        self.status = status


class ConfirmationClosed(Conflict):
    """The link of a mail does nothing any more: it was used, or has expired, or something else has made it void."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the link does not work any more: {why}")
        self.why = why


class TooManyInvites(Conflict):
    def __init__(self, organization: str, limit: int) -> None:
        super().__init__(f"{organization} may have {limit} pending invites at most")


class ScimTokenExists(Conflict):
    def __init__(self, organization: str) -> None:
        super().__init__(f"{organization} has a SCIM token already: rotate or revoke it")


class ScimUserExists(Conflict):
    """Somebody has the name, whether or not the identity provider may know them."""

    def __init__(self, user_name: str) -> None:
        super().__init__(f"the user name {user_name} is taken")


class ScimGroupExists(Conflict):
    def __init__(self, display_name: str) -> None:
        super().__init__(f"the group {display_name} exists already")


class InvitedInstead(Conflict):
    """Somebody has the address, and has to agree before they are in the organization."""

    def __init__(self, user_name: str) -> None:
        super().__init__(
            f"the account of {user_name} is not the organization's: it is invited, and has to accept first"
        )


class UserNameImmutable(Conflict):
    """The identity provider does not speak for the account, or for the address it is to have."""

    def __init__(self, user_name: str, why: str) -> None:
        super().__init__(f"the user name {user_name} cannot be changed: {why}")


class TooManyWebhooks(Conflict):
    """`what` is what there are so many of already."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"no more than {limit} {what}")


class WebhookOff(Conflict):
    def __init__(self, id_: int) -> None:
        super().__init__(f"webhook {id_} is not active")


class Denied(HomeportError):
    """The caller may not."""


class NotAuthenticated(Denied):
    """No credentials, or none that are valid (any more)."""

    def __init__(self, message: str = "authentication required") -> None:
        super().__init__(message)


class CredentialsInvalid(NotAuthenticated):
    """A wrong name, password or token; one error for all, so that names cannot be probed."""

    def __init__(self) -> None:
        super().__init__("incorrect username or password")


class OrganizationLogin(NotAuthenticated):
    """An organization has no password."""

    def __init__(self) -> None:
        super().__init__("Cannot log into an organization account")


class SecondFactorRequired(NotAuthenticated):
    """The password was right, and is half of a login; `login_token` goes with the code that is the other half."""

    def __init__(self, login_token: str) -> None:
        # Docker's clients ask for the code only if they read exactly this.
        super().__init__("Require secondary authentication on MFA enabled account")
        self.login_token = login_token


class PasswordRefused(NotAuthenticated):
    """The password was right, and may not be used here; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: log in with a personal access token")


class DeviceLoginRefused(Denied):
    """A program is not let in (now); `code` is what RFC 6749 §5.2 and RFC 8628 §3.5 call it."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class ActionDenied(Denied):
    """The caller may see it, but not do this."""

    def __init__(self, action: str, what: object) -> None:
        super().__init__(f"requested access to the resource is denied: {action} on {what}")
        self.action = action


class ActionBeyondToken(ActionDenied):
    """The account may do it, the token that it came with does not carry it."""

    def __init__(self, token_kind: str, action: str, what: object) -> None:
        super().__init__(action, what)
        # Clients look for what stands before the colon.
        self.args = (f"token issued from {token_kind} is not allowed: its scopes do not hold {action} on {what}",)


class AccountShut(Denied):
    """Who runs the site has shut the account: no identity provider opens it again."""

    def __init__(self, user_name: str) -> None:
        super().__init__(f"the account of {user_name} was shut by the site's administrator")


class InviteOfAnother(Denied):
    """The link is right, the account that wants to use it is not."""

    def __init__(self) -> None:
        super().__init__("this invite is for another account")


class AccountChangeRefused(Denied):
    """People may not change this of their account by themselves; the message says who decides."""


class SignUpClosed(Denied):
    def __init__(self) -> None:
        super().__init__("nobody can sign up here: ask for an invite")


class TokenNotAllowed(Denied):
    """The kind of token that the caller came with does not open this door."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"token issued from {kind} is not allowed")


class TokenTooWide(TokenNotAllowed):
    """A token may create only narrower ones."""

    def __init__(self, why: str) -> None:
        super().__init__("personal access token")
        self.args = (f"{self}: it creates only narrower ones, and {why}",)


class ImageRestricted(Denied):
    """An organization of the caller's keeps its members from pulling this."""

    def __init__(self, name: object, organization: str) -> None:
        super().__init__(
            f"pulling {name} is denied: the organization {organization} restricts its members to the images that it "
            "allows (Image Access Management)"
        )


class PlanLacksFeature(Denied):
    def __init__(self, account: str, plan: str, feature: str) -> None:
        super().__init__(f"the plan {plan} of {account} does not include {feature}")


class PlanLimitReached(Denied):
    """`what` is the limit as the settings name it."""

    def __init__(self, account: str, plan: str, what: str, limit: int) -> None:
        super().__init__(f"the plan {plan} of {account} is limited to {limit} {what.replace('_', ' ')} ({what})")


class TagImmutable(Denied):
    """A rule of the repository has the tag stay where it is."""

    def __init__(self, name: object, tag: str) -> None:
        super().__init__(f"tag '{tag}' of {name} is immutable: it can be neither moved nor deleted")
        self.tag = tag


class ContentImmutable(Denied):
    """An immutable tag leads to a manifest or a blob."""

    def __init__(self, digest: str, tag: str) -> None:
        super().__init__(f"{digest} cannot be deleted: the immutable tag '{tag}' leads to it")
        self.digest = digest
        self.tag = tag


class TooLarge(HomeportError):
    """More bytes than the limit; `limit_bytes` is the limit."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class ManifestTooLarge(TooLarge):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__("the manifest", limit_bytes)


class BlobTooLarge(TooLarge):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__("the blob", limit_bytes)


class BodyTooLarge(TooLarge):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__("the request body", limit_bytes)


class TooMany(HomeportError):
    """Too often; `retry_after_s` is when to come back, in seconds from now."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyAttempts(TooMany):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many failed login attempts for username or IP address", retry_after_s)


class TooManyPulls(TooMany):
    def __init__(self, limit: int, window_s: int, retry_after_s: int) -> None:
        super().__init__(f"pull limit reached: no more than {limit} pulls in {window_s} seconds", retry_after_s)


class InviteJustSent(TooMany):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__("the invitee has just been sent a mail", retry_after_s)


class TooManyDeviceCodes(TooMany):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many codes were tried from here", retry_after_s)


class TooManyMailRequests(TooMany):
    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many mails were asked for from here", retry_after_s)


class Unavailable(HomeportError):
    """Something that the answer depends on does not answer; the request may be sent again."""


class DatabaseUnavailable(Unavailable):
    def __init__(self, why: str) -> None:
        super().__init__(f"the database is not available: {why}")


class TransactionConflict(DatabaseUnavailable):
    """A change crossed another one, and the database has taken it back: nothing of it was kept."""

    def __init__(self) -> None:
        super().__init__("another change was in the way, try again")


class StoreUnavailable(Unavailable):
    def __init__(self, why: str) -> None:
        super().__init__(f"the blob store is not available: {why}")
        self.why = why


class StoreFull(Unavailable):
    """No space left for what was sent; nothing of it was kept."""

    def __init__(self) -> None:
        super().__init__("no space left in the blob store")


# Backups and moves, which operators alone bring about


class BackupInvalid(Invalid):
    """A folder that is no backup, or not a whole one, or one that cannot be read."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the backup cannot be used: {why}")


class ContentsUnfit(Invalid):
    """Rows that do not fit the schema that they are brought to, or each other."""

    def __init__(self, why: str) -> None:
        super().__init__(f"what is to be brought here does not fit: {why}")


class PlaceTaken(Conflict):
    """A hub is brought to an empty place only."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the place is not empty: {why}")


class NotMoved(Conflict):
    """There is nothing to undo."""

    def __init__(self) -> None:
        super().__init__("this hub has not moved")


class HubMoved(Unavailable):
    """A hub that has gone elsewhere; whatever were written to it would be lost."""

    def __init__(self, target: str) -> None:
        super().__init__(
            f"this hub has moved to {target}. Run servers with the settings of that place; `homeport move --undo` "
            "opens this one again, without what has been written there"
        )


class HubUnfinished(Unavailable):
    """A place that a hub is on its way to."""

    def __init__(self) -> None:
        super().__init__(
            "a hub is on its way to this place: run `homeport import` or `homeport move` again, which goes on where "
            "it stopped"
        )
