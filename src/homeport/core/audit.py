"""The audit log: what happened in an account, by whom, from where. An event is written in the transaction of its deed.

An event belongs to the account in whose log it stands: an organization, or a user for what they do with what is their
own. The words of actions and their groups are Docker's (wire names such as `repo.tag.push`); the group `user` is ours.
`core/audit_actions.py` has the catalogue of them, which is longer; `core/audit_log.py` reads what is written here.

Decision 8 (docs/decisions/0008-audit-log.md) says why events are laid out, paged and dropped as they are.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from homeport.core.access import Actor
from homeport.storage.db import audit as rows
from homeport.storage.db.audit import NewEvent
from homeport.storage.db.database import Transaction, utcnow

USER_AGENT_LENGTH_LIMIT = 512
TOKEN_TYPE = "TYPE_UNSPECIFIED"  # noqa: S105 - what Docker's log says for every token
TOKEN_LABEL = "access_token_label"  # noqa: S105 - a key


class AuditAction(StrEnum):
    """What this hub writes into its log."""

    REPO_CREATE = "repo.create"
    REPO_UPDATE = "repo.update"
    REPO_DELETE = "repo.delete"
    REPO_CHANGE_PRIVACY = "repo.change_privacy"
    REPO_CATEGORY_UPDATED = "repo.category.updated"
    REPO_IMMUTABLE_TAGS_UPDATED = "repo.immutable.tags.updated"
    REPO_TAG_PUSH = "repo.tag.push"
    REPO_TAG_DELETE = "repo.tag.delete"
    REPO_MANIFEST_DELETE = "repo.manifest.delete"
    REPO_BLOB_DELETE = "repo.blob.delete"
    REPO_COLLABORATOR_ADD = "repo.collaborator.add"
    REPO_COLLABORATOR_REMOVE = "repo.collaborator.remove"
    REPO_PULL = "repo.pull"
    REPO_WEBHOOK_CREATE = "repo.webhook.create"
    REPO_WEBHOOK_UPDATE = "repo.webhook.update"
    REPO_WEBHOOK_DELETE = "repo.webhook.delete"
    REPO_WEBHOOK_REDELIVER = "repo.webhook.redeliver"

    ORG_CREATE = "org.create"
    ORG_ACCESS_TOKEN_CREATE = "org.access_token.create"  # noqa: S105 - a word of the log
    ORG_ACCESS_TOKEN_UPDATE = "org.access_token.update"  # noqa: S105 - a word of the log
    ORG_ACCESS_TOKEN_DELETE = "org.access_token.delete"  # noqa: S105 - a word of the log
    ORG_MEMBER_ADD = "org.member.add"
    ORG_MEMBER_REMOVE = "org.member.remove"
    ORG_MEMBER_ROLE_CHANGE = "org.member.role.change"
    ORG_MEMBER_INVITE_SEND = "org.member.invite.send"
    ORG_MEMBER_INVITE_CANCEL = "org.member.invite.cancel"
    ORG_MEMBER_INVITE_DECLINE = "org.member.invite.decline"
    ORG_TEAM_CREATE = "org.team.create"
    ORG_TEAM_UPDATE = "org.team.update"
    ORG_TEAM_DELETE = "org.team.delete"
    ORG_TEAM_GRANT = "org.team.grant"
    ORG_TEAM_REVOKE = "org.team.revoke"
    ORG_TEAM_MEMBER_ADD = "org.team.member.add"
    ORG_TEAM_MEMBER_REMOVE = "org.team.member.remove"
    ORG_DOMAIN_CREATE = "org.domain.create"
    ORG_DOMAIN_VERIFY = "org.domain.verify"
    ORG_DOMAIN_DELETE = "org.domain.delete"
    ORG_SETTINGS_UPDATE = "org.settings.update"
    ORG_REGISTRY_ACCESS_ENABLED = "org.registry_access.enabled"
    ORG_REGISTRY_ACCESS_DISABLED = "org.registry_access.disabled"
    ORG_REGISTRY_ACCESS_REGISTRY_ADDED = "org.registry_access.registry_added"
    ORG_REGISTRY_ACCESS_REGISTRY_UPDATED = "org.registry_access.registry_updated"
    ORG_REGISTRY_ACCESS_REGISTRY_REMOVED = "org.registry_access.registry_removed"
    SCIM_TOKEN_CREATE = "scim.token.create"  # noqa: S105 - a word of the log
    SCIM_TOKEN_ROTATE = "scim.token.rotate"  # noqa: S105 - a word of the log
    SCIM_TOKEN_REVOKE = "scim.token.revoke"  # noqa: S105 - a word of the log
    SCIM_USER_CREATE = "scim.user.create"
    SCIM_USER_UPDATE = "scim.user.update"
    SCIM_USER_ACTIVATE = "scim.user.activate"
    SCIM_USER_DEACTIVATE = "scim.user.deactivate"
    SCIM_USER_DELETE = "scim.user.delete"
    ENTERPRISE_SSO_ENFORCEMENT_TOGGLE = "enterprise.sso.connection.enforcement_toggle"

    USER_CREATE = "user.create"
    USER_UPDATE = "user.update"
    USER_ACTIVATE = "user.activate"
    USER_DEACTIVATE = "user.deactivate"
    USER_EMAIL_CHANGE = "user.email.change"
    USER_EMAIL_CHANGE_REQUEST = "user.email.change.request"
    USER_PASSWORD_CHANGE = "user.password.change"  # noqa: S105 - a word of the log
    USER_PASSWORD_RESET = "user.password.reset"  # noqa: S105 - a word of the log
    USER_PASSWORD_RESET_REQUEST = "user.password.reset.request"  # noqa: S105 - a word of the log
    USER_LOGIN = "user.login"
    USER_LOGOUT = "user.logout"
    USER_LOGIN_FAILED = "user.login.failed"
    USER_DEVICE_APPROVE = "user.device.approve"
    USER_SECOND_FACTOR_ENABLE = "user.second_factor.enable"
    USER_SECOND_FACTOR_DISABLE = "user.second_factor.disable"
    USER_RECOVERY_CODE_USE = "user.recovery_code.use"
    USER_RECOVERY_CODE_RENEW = "user.recovery_code.renew"
    USER_ACCESS_TOKEN_CREATE = "user.access_token.create"  # noqa: S105 - a word of the log
    USER_ACCESS_TOKEN_UPDATE = "user.access_token.update"  # noqa: S105 - a word of the log
    USER_ACCESS_TOKEN_DELETE = "user.access_token.delete"  # noqa: S105 - a word of the log
    USER_STAR_ADD = "user.star.add"
    USER_STAR_REMOVE = "user.star.remove"
    USER_PLAN_CHANGE = "user.plan.change"
    USER_BADGE_CHANGE = "user.badge.change"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `name` is what it happened to, in the words of its action: a repository (with its
    namespace), an organization, a user; `data` is all else that matters, as texts.
    """

    action: AuditAction
    account_id: int
    name: str
    data: dict[str, str] = {}


async def record(
    tx: Transaction, actor: Actor, action: AuditAction, *, account_id: int, name: str, **data: str
) -> None:
    """Write one event into an account's log."""
    await record_all(tx, actor, [Event(action=action, account_id=account_id, name=name, data=data)])


async def record_all(tx: Transaction, actor: Actor, events: Sequence[Event]) -> None:
    """Write what one actor did, in one statement."""
    if not events:
        return
    now = utcnow()
    await rows.insert_all(tx, [new_event(actor, event, at=now) for event in events])


def new_event(actor: Actor, event: Event, *, at: datetime) -> NewEvent:
    """The row of an event, for those who write it later than it happens (`core/pulls.py`)."""
    # Digests and tags are texts with types of their own, which the encoder does not take.
    data = {key: str(value) for key, value in event.data.items()}
    return NewEvent(
        account_id=event.account_id,
        action=event.action,
        name=event.name,
        actor=actor.name,
        data=msgspec.json.encode(data | _origin(actor)).decode(),
        created_at=at,
    )


def _origin(actor: Actor) -> dict[str, str]:
    """Where an actor came from and with which token, as far as it is known."""
    origin = {}
    if actor.address:
        origin["ip_address"] = actor.address
    if actor.user_agent:
        origin["user_agent"] = actor.user_agent[:USER_AGENT_LENGTH_LIMIT]
    if actor.token is not None:
        origin["access_token_id"] = actor.token.uuid
        origin[TOKEN_LABEL] = actor.token.label
        origin["access_token_type"] = TOKEN_TYPE
    return origin
