"""The catalogue of audit actions: what a log can be filtered by, and how each event reads as a sentence.

Names and labels are Docker's, so that clients which know them find them. The catalogue is whole, also where this hub
has no such feature (billing, offload): it is a list for filters. The group `user` is ours, and so are a few actions in
the other groups. `AuditAction` in `core/audit.py` names what is really written; a test compares the two.

A sentence is made when an event is read, of its name and its data, so that better words reach old events too. What
stands in square brackets is left out when the event does not have all that it names.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

SHOWN_DIGEST_LENGTH = 13
"""Hex digits of a digest in a sentence, as Docker cuts them."""

_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}")
_DIGEST = re.compile(rf"(sha\d+:[0-9a-f]{{{SHOWN_DIGEST_LENGTH}}})[0-9a-f]+")


class CatalogueAction(msgspec.Struct, frozen=True):
    """An action without its group. `sentence` is empty where this hub never writes it."""

    name: str
    label: str
    description: str
    sentence: str = ""


class CatalogueGroup(msgspec.Struct, frozen=True):
    label: str
    actions: Sequence[CatalogueAction]


_REPO = CatalogueGroup(
    "Repository",
    (
        CatalogueAction(
            "create",
            "Repository Created",
            "A repository was made, by hand or by a first push.",
            "created the [{privacy} ]repository {name}",
        ),
        CatalogueAction(
            "update",
            "Repository Updated",
            "A repository's description or another property was changed.",
            "updated [the {fields} of ]the repository {name}",
        ),
        CatalogueAction(
            "delete",
            "Repository Deleted",
            "A repository was deleted with all that it held.",
            "deleted the repository {name}",
        ),
        CatalogueAction(
            "change_privacy",
            "Privacy Changed",
            "A repository was made private or public.",
            "changed the privacy of the repository {name}[ to {privacy}]",
        ),
        CatalogueAction(
            "category.updated",
            "Categories updated",
            "A repository was put into other categories.",
            "changed the categories of the repository {name}[ to {categories}]",
        ),
        CatalogueAction(
            "immutable.tags.updated",
            "Tag immutability updated",
            "The rules on which tags of a repository stay as they are were changed.",
            "changed the immutable tags of the repository {name} to {immutable_tags}",
        ),
        CatalogueAction(
            "tag.push",
            "Tag Pushed",
            "A push pointed a tag at an image, new or the same again; or the tag was put back there from its history.",
            "pushed the tag {tag}[ with the digest {digest}] to the repository {name}[, from its {source}]",
        ),
        CatalogueAction(
            "tag.delete",
            "Tag Deleted",
            "A tag was taken away; the image that it pointed at may still be there.",
            "deleted the tag {tag}[ with the digest {digest}] from the repository {name}",
        ),
        CatalogueAction(
            "manifest.delete",
            "Manifest Deleted",
            "A manifest was deleted by its digest.",
            "deleted the manifest {digest} from the repository {name}",
        ),
        CatalogueAction(
            "blob.delete",
            "Blob Deleted",
            "A blob was taken out of a repository.",
            "deleted the blob {digest} from the repository {name}",
        ),
        CatalogueAction(
            "collaborator.add",
            "Collaborator Added",
            "A user was given a permission on a repository, or another one than before.",
            "gave {user} the permission {permission} on the repository {name}",
        ),
        CatalogueAction(
            "collaborator.remove",
            "Collaborator Removed",
            "A user lost what they had been given by themselves on a repository.",
            "took from {user} their permission on the repository {name}",
        ),
        CatalogueAction(
            "pull",
            "Image Pulled",
            "A manifest was pulled; written only while the organization has its pulls audited.",
            "pulled [the tag {tag} with ]the digest {digest} from the repository {name}",
        ),
        CatalogueAction(
            "webhook.create",
            "Webhook Created",
            "A repository was given a webhook, which is told of pushes.",
            "created the webhook {webhook}[ to {hosts}] of the repository {name}",
        ),
        CatalogueAction(
            "webhook.update",
            "Webhook Updated",
            "A webhook was renamed, switched on or off, or given another secret or one more URL.",
            "updated [{fields} of ]the webhook {webhook} of the repository {name}[: it delivers to {hosts}, too]",
        ),
        CatalogueAction(
            "webhook.delete",
            "Webhook Deleted",
            "A webhook was deleted with its log of deliveries.",
            "deleted the webhook {webhook} of the repository {name}",
        ),
        CatalogueAction(
            "webhook.redeliver",
            "Webhook Redelivered",
            "Somebody had a webhook deliver something again.",
            "had the webhook {webhook} of the repository {name} deliver {delivery} again",
        ),
    ),
)

_ORG = CatalogueGroup(
    "Organization",
    (
        CatalogueAction(
            "create",
            "Organization Created",
            "The organization was founded.",
            "created the organization {name}[ with the owner {owner}]",
        ),
        CatalogueAction(
            "member.add",
            "Organization Member Added",
            "A user became a member.",
            "added [{user} to ]the organization {name}[ as {role}]",
        ),
        CatalogueAction(
            "member.remove",
            "Organization Member Removed",
            "A member left or was removed.",
            "removed [{user} from ]the organization {name}",
        ),
        CatalogueAction(
            "member.role.change",
            "Member Role Changed",
            "A member was given another role.",
            "changed the role[ of {user}] in the organization {name}[ to {role}]",
        ),
        CatalogueAction(
            "member.invite.send",
            "Org Member Invited",
            "Somebody was invited to become a member.",
            "invited [{invitee} to ]the organization {name}[ as {role}]",
        ),
        CatalogueAction(
            "member.invite.cancel",
            "Invite Canceled",
            "An invite was taken back before it was answered.",
            "cancelled the invite[ of {invitee}] to the organization {name}",
        ),
        CatalogueAction(
            "member.invite.decline",
            "Invite Declined",
            "Somebody who was invited said no.",
            "declined the invite[ of {invitee}] to the organization {name}",
        ),
        CatalogueAction(
            "team.create",
            "Team Created",
            "A team was made.",
            "created the team[ {team}] in the organization {name}",
        ),
        CatalogueAction(
            "team.update",
            "Team Updated",
            "A team was renamed or described anew.",
            "updated the team[ {team}] of the organization {name}[, which is called {new_name} now]",
        ),
        CatalogueAction(
            "team.delete",
            "Team Deleted",
            "A team was deleted, and what it gave its members went with it.",
            "deleted the team[ {team}] of the organization {name}",
        ),
        CatalogueAction(
            "team.grant",
            "Team Permission Changed",
            "A team was given a permission on a repository, or another one than before.",
            "gave the team[ {team}] the permission[ {permission}] on the repository[ {repository}]",
        ),
        CatalogueAction(
            "team.revoke",
            "Team Permission Removed",
            "A team lost its permission on a repository.",
            "took from the team[ {team}] the permission[ {permission}] on the repository[ {repository}]",
        ),
        CatalogueAction(
            "team.member.add",
            "Team Member Added",
            "A member was put into a team.",
            "added {name} to the team[ {team}]",
        ),
        CatalogueAction(
            "team.member.remove",
            "Team Member Removed",
            "A member was taken out of a team.",
            "removed {name} from the team[ {team}]",
        ),
        CatalogueAction(
            "domain.create",
            "Single Sign-On domain added",
            "A domain was added for its addresses to be recognized.",
            "added the domain[ {domain}] to the organization {name}",
        ),
        CatalogueAction(
            "domain.verify",
            "Single Sign-On domain verified",
            "It was shown that a domain belongs to the organization.",
            "verified the domain[ {domain}] of the organization {name}",
        ),
        CatalogueAction(
            "domain.delete",
            "Single Sign-On domain deleted",
            "A domain was taken off the organization.",
            "deleted the domain[ {domain}] of the organization {name}",
        ),
        CatalogueAction(
            "domain.auto-provisioning.toggle",
            "Organization Auto-Provisioning Toggled",
            "Whether users of a domain become members by themselves was switched.",
        ),
        CatalogueAction(
            "settings.update",
            "Organization Settings Updated",
            "A setting of the organization was changed.",
            "updated the settings of the organization {name}",
        ),
        CatalogueAction(
            "registry_access.enabled",
            "Registry Access Management enabled",
            "The list of registries that members may use came into force.",
            "enabled registry access management for the organization {name}",
        ),
        CatalogueAction(
            "registry_access.disabled",
            "Registry Access Management disabled",
            "The list of registries that members may use went out of force.",
            "disabled registry access management for the organization {name}",
        ),
        CatalogueAction(
            "registry_access.registry_added",
            "Registry Access Management registry added",
            "A registry was put on the list.",
            "added the registry[ {registry}] to the registry access of the organization {name}",
        ),
        CatalogueAction(
            "registry_access.registry_updated",
            "Registry Access Management registry updated",
            "An entry of the list was changed.",
            "updated the registry[ {registry}] in the registry access of the organization {name}",
        ),
        CatalogueAction(
            "registry_access.registry_removed",
            "Registry Access Management registry removed",
            "A registry was taken off the list.",
            "removed the registry[ {registry}] from the registry access of the organization {name}",
        ),
        CatalogueAction(
            "access_token.create",
            "Access token created",
            "The organization got a new access token.",
            "created the access token[ {token_label}] of the organization {name}",
        ),
        CatalogueAction(
            "access_token.update",
            "Access token updated",
            "An access token of the organization changed.",
            "updated the access token[ {token_label}] of the organization {name}",
        ),
        CatalogueAction(
            "access_token.delete",
            "Access token deleted",
            "An access token of the organization ended.",
            "deleted the access token[ {token_label}] of the organization {name}",
        ),
        CatalogueAction("customrole.create", "Custom role created", "A role of the organization's own was made."),
        CatalogueAction("customrole.update", "Custom role updated", "A role of the organization's own was changed."),
        CatalogueAction("customrole.delete", "Custom role deleted", "A role of the organization's own was deleted."),
        CatalogueAction(
            "securepolicyconfigure.create", "Secure Policy Configuration created", "A policy configuration was made."
        ),
        CatalogueAction(
            "securepolicyconfigure.update", "Secure Policy Configuration updated", "A policy configuration was changed."
        ),
        CatalogueAction(
            "securepolicyconfigure.delete", "Secure Policy Configuration deleted", "A policy configuration was deleted."
        ),
        CatalogueAction("securepolicyclient.create", "Secure Policy Client created", "A policy client was made."),
        CatalogueAction("securepolicyclient.update", "Secure Policy Client updated", "A policy client was changed."),
        CatalogueAction("securepolicyclient.delete", "Secure Policy Client deleted", "A policy client was deleted."),
        CatalogueAction("securepolicyprofile.create", "Secure Policy Profile created", "A policy profile was made."),
        CatalogueAction("securepolicyprofile.update", "Secure Policy Profile updated", "A policy profile was changed."),
        CatalogueAction("securepolicyprofile.delete", "Secure Policy Profile deleted", "A policy profile was deleted."),
    ),
)

_BILLING = CatalogueGroup(
    "Billing",
    (
        CatalogueAction("plan.upgrade", "Plan Upgraded", "The organization moved to a larger plan."),
        CatalogueAction("plan.downgrade", "Plan Downgraded", "The organization moved to a smaller plan."),
        CatalogueAction("plan.seat_add", "Seat Added", "The plan got one seat more."),
        CatalogueAction("plan.seat_remove", "Seat Removed", "The plan lost a seat."),
        CatalogueAction("plan.cycle_change", "Billing Cycle Changed", "The organization is billed at other intervals."),
        CatalogueAction(
            "plan.downgrade_cancel", "Plan Downgrade Canceled", "A move to a smaller plan will not happen after all."
        ),
        CatalogueAction("plan.seat_removal_cancel", "Seat Removal Canceled", "A seat that was to go stays after all."),
        CatalogueAction("plan.upgrade.request", "Plan Upgrade Requested", "A member asked for a larger plan."),
        CatalogueAction("plan.downgrade.request", "Plan Downgrade Requested", "A member asked for a smaller plan."),
        CatalogueAction("plan.seat_add.request", "Seat Addition Requested", "A member asked for more seats."),
        CatalogueAction("plan.seat_removal.request", "Seat Removal Requested", "A member asked for fewer seats."),
        CatalogueAction(
            "plan.cycle_change.request", "Billing Cycle Change Requested", "A member asked for other billing intervals."
        ),
        CatalogueAction(
            "plan.downgrade_cancel.request",
            "Plan Downgrade Cancellation Requested",
            "A member asked not to move to a smaller plan after all.",
        ),
        CatalogueAction(
            "plan.seat_removal_cancel.request",
            "Seat Removal Cancellation Requested",
            "A member asked to keep a seat that was to go.",
        ),
        CatalogueAction("plan.product_change", "Billing Product Changed", "The organization took another product."),
    ),
)

_ENTERPRISE = CatalogueGroup(
    "Enterprise",
    (
        CatalogueAction("setting.policy.create", "Policy created", "A policy on client settings was made."),
        CatalogueAction("setting.policy.update", "Policy updated", "A policy on client settings was changed."),
        CatalogueAction("setting.policy.delete", "Policy deleted", "A policy on client settings was deleted."),
        CatalogueAction("setting.policy.transfer", "Policy transferred", "A policy on client settings changed hands."),
        CatalogueAction("sso.connection.create", "Create SSO Connection", "An identity provider was connected."),
        CatalogueAction(
            "sso.connection.update", "Update SSO Connection", "The connection to an identity provider was changed."
        ),
        CatalogueAction(
            "sso.connection.delete", "Delete SSO Connection", "The connection to an identity provider was deleted."
        ),
        CatalogueAction(
            "sso.connection.enforcement_toggle",
            "Enforce SSO",
            "Whether members have to log in by the identity provider was switched.",
            "switched the enforcement of single sign-on[ to {enforced}] for the organization {name}",
        ),
        CatalogueAction(
            "sso.connection.scim_toggle",
            "Enforce SCIM",
            "Whether the identity provider manages the members was switched.",
        ),
        CatalogueAction(
            "sso.connection.scim_token_refresh",
            "Refresh SCIM Token",
            "The identity provider got a new token to manage members with.",
        ),
        CatalogueAction(
            "sso.connection.connection_type_change",
            "Change SSO Connection Type",
            "An identity provider is now connected by another protocol.",
        ),
        CatalogueAction(
            "sso.connection.jit_toggle",
            "Toggle JIT provisioning",
            "Whether a first login makes a member was switched.",
        ),
    ),
)

_OFFLOAD = CatalogueGroup(
    "Offload",
    (
        CatalogueAction("lease.start", "Offload lease start", "A remote build machine was taken on lease."),
        CatalogueAction("lease.end", "Offload lease end", "The lease of a remote build machine ended."),
    ),
)

_OIDC = CatalogueGroup(
    "OIDC",
    (
        CatalogueAction("connection.create", "OIDC connection created", "An OpenID Connect issuer came to be trusted."),
        CatalogueAction(
            "connection.update", "OIDC connection updated", "The trust in an OpenID Connect issuer changed."
        ),
        CatalogueAction(
            "connection.delete", "OIDC connection deleted", "An OpenID Connect issuer is trusted no longer."
        ),
    ),
)

_USER = CatalogueGroup(
    "User",
    (
        CatalogueAction("create", "User Created", "The account was made.", "created the user {name}"),
        CatalogueAction(
            "update",
            "User Updated",
            "Somebody changed what their profile shows.",
            "changed the profile of {name}[: {fields}]",
        ),
        CatalogueAction("activate", "User Activated", "The account was let in again.", "activated the user {name}"),
        CatalogueAction("deactivate", "User Deactivated", "The account was shut out.", "deactivated the user {name}"),
        CatalogueAction(
            "email.change",
            "E-mail Address Changed",
            "The account got another e-mail address.",
            "changed the e-mail address of {name}[ to {email}]",
        ),
        CatalogueAction(
            "email.change.request",
            "E-mail Address Change Requested",
            "Somebody asked for another e-mail address, which has to be confirmed by a mail.",
            "asked for another e-mail address of {name}[: {email}]",
        ),
        CatalogueAction(
            "password.change",
            "Password Changed",
            "Somebody who knew the password changed it.",
            "changed the password of {name}",
        ),
        CatalogueAction(
            "password.reset.request",
            "Password Reset Requested",
            "A mail with a link for a new password was asked for.",
            "asked for a new password of {name}",
        ),
        CatalogueAction(
            "password.reset", "Password Reset", "The account got a new password.", "reset the password of {name}"
        ),
        CatalogueAction("login", "Login", "Somebody logged in.", "logged in as {name}[ with {method}]"),
        CatalogueAction(
            "device.approve",
            "Device Approved",
            "A program was let in.",
            "let a program sign in as {name}[ from {device_address}]",
        ),
        CatalogueAction("logout", "Logout", "Somebody ended a login.", "logged out as {name}"),
        CatalogueAction(
            "login.failed", "Login Failed", "A login was refused.", "failed to log in as {name}[: {reason}]"
        ),
        CatalogueAction(
            "second_factor.enable",
            "Second Factor Enabled",
            "Logins ask for a code from now on.",
            "enabled the second factor of {name}",
        ),
        CatalogueAction(
            "second_factor.disable",
            "Second Factor Disabled",
            "Logins ask for a password alone from now on.",
            "disabled the second factor of {name}",
        ),
        CatalogueAction(
            "recovery_code.use",
            "Recovery Code Used",
            "A recovery code was taken in place of one from the device.",
            "used a recovery code of {name}",
        ),
        CatalogueAction(
            "recovery_code.renew",
            "Recovery Codes Renewed",
            "The account got new recovery codes.",
            "renewed the recovery codes of {name}",
        ),
        CatalogueAction(
            "access_token.create",
            "Personal Access Token Created",
            "A personal access token was made.",
            'created the personal access token[ "{token_label}"] of {name}',
        ),
        CatalogueAction(
            "access_token.update",
            "Personal Access Token Updated",
            "A personal access token was renamed, or switched on or off.",
            'updated the personal access token[ "{token_label}"] of {name}',
        ),
        CatalogueAction(
            "access_token.delete",
            "Personal Access Token Deleted",
            "A personal access token was deleted.",
            'deleted the personal access token[ "{token_label}"] of {name}',
        ),
        CatalogueAction(
            "star.add",
            "Repository Starred",
            "The user gave a repository a star.",
            "starred the repository {name}",
        ),
        CatalogueAction(
            "star.remove",
            "Star Removed",
            "The user took their star from a repository.",
            "took the star from the repository {name}",
        ),
        CatalogueAction(
            "plan.change",
            "Plan Changed",
            "The account was given another plan.",
            "changed the plan of {name}[ to {plan}]",
        ),
        CatalogueAction(
            "badge.change",
            "Badge Changed",
            "The account was marked as official, as a verified publisher, as open source, or as nothing of these.",
            "changed the badge of {name}[ to {badge}]",
        ),
    ),
)

_SCIM = CatalogueGroup(
    "SCIM",
    (
        CatalogueAction(
            "token.create",
            "SCIM Token Created",
            "The identity provider was let in.",
            "made a SCIM token for the organization {name}",
        ),
        CatalogueAction(
            "token.rotate",
            "SCIM Token Rotated",
            "The SCIM token got another secret; the former one ended.",
            "rotated the SCIM token of the organization {name}",
        ),
        CatalogueAction(
            "token.revoke",
            "SCIM Token Revoked",
            "The SCIM token ended.",
            "revoked the SCIM token of the organization {name}",
        ),
        CatalogueAction(
            "user.create",
            "SCIM User Created",
            "The identity provider made a user, or claimed an account.",
            "provisioned the user {name}[ as {user_name}]",
        ),
        CatalogueAction(
            "user.update",
            "SCIM User Updated",
            "The identity provider changed what it says of a user.",
            "changed[ {fields} of] the user {name}",
        ),
        CatalogueAction(
            "user.activate",
            "SCIM User Activated",
            "The identity provider let a user in again.",
            "activated the user {name}[, known as {user_name}]",
        ),
        CatalogueAction(
            "user.deactivate",
            "SCIM User Deactivated",
            "The identity provider shut a user out: sessions and tokens ended.",
            "deactivated the user {name}[, known as {user_name}]",
        ),
        CatalogueAction(
            "user.delete",
            "SCIM User Deleted",
            "The identity provider took a user out of the organization.",
            "deprovisioned the user {name}[, known as {user_name}]",
        ),
    ),
)

CATALOGUE: Mapping[str, CatalogueGroup] = {
    "repo": _REPO,
    "org": _ORG,
    "billing": _BILLING,
    "enterprise": _ENTERPRISE,
    "offload": _OFFLOAD,
    "oidc": _OIDC,
    "user": _USER,
    "scim": _SCIM,
}
"""The groups by the first word of their actions."""

ACTIONS: Mapping[str, CatalogueAction] = {
    f"{name}.{action.name}": action for name, group in CATALOGUE.items() for action in group.actions
}
"""The actions by their whole names, as events carry them."""


def sentence(action: str, name: str, data: Mapping[str, str]) -> str:
    """What an event says: `pushed the tag latest with the digest sha256:c1ae9c435032a to the repository a/b`.

    An action that the catalogue does not have (written by a later version) stands for itself.
    """
    known = ACTIONS.get(action)
    if known is None or not known.sentence:
        return f"{action} {name}"
    fields = {**data, "name": name}
    if digest := data.get("digest"):
        fields["digest"] = _DIGEST.sub(r"\1", digest)

    def kept(part: re.Match[str]) -> str:
        return part[1] if all(fields.get(field) for field in _FIELD.findall(part[1])) else ""

    template = _OPTIONAL.sub(kept, known.sentence)
    return _FIELD.sub(lambda field: fields.get(field[1], ""), template)
