"""Personal access tokens: secrets that stand in for a password, with scopes, an end and a switch.

The secret is shown once and stored as its SHA-256: it is random, so nothing slower is needed.
"""

import hashlib
import secrets
from datetime import UTC, datetime

import msgspec

from homeport.core import accounts, audit
from homeport.core.access import SCOPE_GRANTS, Actor, Ceiling, Scope
from homeport.core.audit import AuditAction
from homeport.core.plans import check_access_tokens
from homeport.errors import AccessTokenUnknown, FieldInvalid, NotAuthenticated, PageUnknown, TokenNotAllowed
from homeport.settings import Plans
from homeport.storage.db import access_tokens as rows
from homeport.storage.db import accounts as account_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import AccessToken, AccessTokenCounts

PREFIX = "dckr_pat_"
SECRET_LENGTH = 27
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

LABEL_LENGTH_LIMIT = 100
SCOPES_LIMIT = 16
USER_AGENT_LENGTH_LIMIT = 512
TIME_LENGTH_LIMIT = 64
TOKENS_LIMIT = 1000
"""Tokens of one account; disabled and expired ones count."""

BY_HAND = "manual"
BY_PROGRAM = "auto"
GENERATED_LIMIT = 5
GENERATED_LABEL = "docker login"


class Created(msgspec.Struct, frozen=True):
    """A new token with its secret, which nobody can read again."""

    token: AccessToken
    secret: str


class Page(msgspec.Struct, frozen=True):
    counts: AccessTokenCounts
    tokens: list[AccessToken]


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def scopes_of(token: AccessToken) -> list[str]:
    """The scopes as they were sent."""
    return msgspec.json.decode(token.scopes, type=list[str])


def ceiling_of(token: AccessToken) -> Ceiling:
    """The most that a token allows: what any of its scopes does."""
    return Ceiling().lowered(*(SCOPE_GRANTS[Scope(scope)] for scope in scopes_of(token)))


def is_usable(token: AccessToken) -> bool:
    return token.is_active and (token.expires_at is None or token.expires_at > utcnow())


async def create_token(
    tx: Transaction,
    *,
    actor: Actor,
    label: str,
    scopes: list[str],
    expires_at: str | None = None,
    generated_by: str = BY_HAND,
    plans: Plans,
) -> Created:
    """Make a token for the actor's own account.

    Raises:
        FieldInvalid: label, scopes or expires_at cannot be so; or there are too many tokens.
        PlanLimitReached
        NotAuthenticated, TokenNotAllowed: see `own_account`; also where the account has been shut a moment ago.
    """
    account_id = own_account(actor)
    _check(label=label, scopes=scopes)
    ends_at = _moment(expires_at)
    if (await rows.count(tx, account_id=account_id)).total >= TOKENS_LIMIT:
        raise FieldInvalid(
            {"token_label": [f"An account has at most {TOKENS_LIMIT} access tokens; delete some first."]},
            "too many access tokens",
        )
    # A session may be remembered a moment longer than its account is active: a token that is made then, or between
    # the statements that shut the account, would be there when it is opened again.
    await tx.lock("account", account_id)
    account = await account_rows.get_by_uuid(tx, actor.account_uuid)
    if account is None or not account.is_active:
        raise NotAuthenticated
    await check_access_tokens(tx, plans, account)
    secret = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_LENGTH))
    token = await rows.insert(
        tx,
        account_id=account_id,
        label=label,
        secret_sha256=digest_of(secret),
        scopes=msgspec.json.encode(scopes).decode(),
        expires_at=ends_at,
        expires_at_text=expires_at,
        creator_ip=actor.address,
        creator_ua=actor.user_agent[:USER_AGENT_LENGTH_LIMIT],
        generated_by=generated_by,
    )
    expiry = {"expires_at": expires_at} if expires_at else {}
    await _record(tx, actor, AuditAction.USER_ACCESS_TOKEN_CREATE, token, scopes=" ".join(scopes), **expiry)
    return Created(token, secret)


async def generate_token(tx: Transaction, *, actor: Actor, plans: Plans) -> Created:
    """Make the token that a program keeps in place of a login. An account has at most `GENERATED_LIMIT` of them: the
    oldest ones end.

    Raises:
        PlanLimitReached, NotAuthenticated, TokenNotAllowed, FieldInvalid: as `create_token`.
    """
    account_id = own_account(actor)
    await tx.lock("account", account_id)
    present = await rows.list_generated(tx, account_id=account_id, generated_by=BY_PROGRAM)
    for token in present[GENERATED_LIMIT - 1 :]:
        await delete_token(tx, actor=actor, uuid=token.uuid)
    label = f"{GENERATED_LABEL} {utcnow():%Y-%m-%d %H:%M}"
    return await create_token(tx, actor=actor, label=label, scopes=[Scope.ADMIN], generated_by=BY_PROGRAM, plans=plans)


async def list_tokens(tx: Transaction, *, actor: Actor, offset: int, limit: int) -> Page:
    """The actor's tokens, the newest first.

    Raises:
        PageUnknown: there are no more than `offset` tokens; the first page is there even when it is empty.
    """
    account_id = own_account(actor)
    counts = await rows.count(tx, account_id=account_id)
    if offset and offset >= counts.total:
        raise PageUnknown
    return Page(counts, await rows.list_page(tx, account_id=account_id, offset=offset, limit=limit))


async def access_token(tx: Transaction, *, actor: Actor, uuid: str) -> AccessToken:
    """One of the actor's tokens.

    Raises:
        AccessTokenUnknown: there is none, or it is someone else's.
    """
    token = await rows.get(tx, account_id=own_account(actor), uuid=uuid)
    if token is None:
        raise AccessTokenUnknown
    return token


async def update_token(
    tx: Transaction, *, actor: Actor, uuid: str, label: str | None = None, is_active: bool | None = None
) -> AccessToken:
    """Rename a token, or switch it off and on.

    Raises:
        AccessTokenUnknown, FieldInvalid
    """
    token = await access_token(tx, actor=actor, uuid=uuid)
    if label is not None:
        _check(label=label, scopes=None)
    updated = await rows.update(
        tx,
        token,
        label=token.label if label is None else label,
        is_active=token.is_active if is_active is None else is_active,
    )
    if updated is None:
        raise AccessTokenUnknown
    if not updated.is_active:
        await accounts.revoke(tx, token.account_id)
    if updated != token:
        is_active_text = "true" if updated.is_active else "false"
        await _record(tx, actor, AuditAction.USER_ACCESS_TOKEN_UPDATE, updated, is_active=is_active_text)
    return updated


async def delete_token(tx: Transaction, *, actor: Actor, uuid: str) -> None:
    """Delete a token; it stops working with the end of the transaction.

    Raises:
        AccessTokenUnknown
    """
    token = await access_token(tx, actor=actor, uuid=uuid)
    if not await rows.delete(tx, account_id=token.account_id, uuid=uuid):
        raise AccessTokenUnknown
    await accounts.revoke(tx, token.account_id)
    await _record(tx, actor, AuditAction.USER_ACCESS_TOKEN_DELETE, token)


async def _record(tx: Transaction, actor: Actor, action: AuditAction, token: AccessToken, **data: str) -> None:
    """Write down what became of a token, in the log of its account."""
    await audit.record(
        tx,
        actor,
        action,
        account_id=token.account_id,
        name=actor.name,
        token_id=token.uuid,
        token_label=token.label,
        **data,
    )


def own_account(actor: Actor) -> int:
    """The account whose tokens an actor manages: their own, and not through a token.

    Raises:
        NotAuthenticated
        TokenNotAllowed: a token may not make, list or change tokens.
    """
    if actor.account_id is None:
        raise NotAuthenticated
    if actor.token_id is not None:
        raise TokenNotAllowed("personal access token")
    return actor.account_id


def _check(*, label: str, scopes: list[str] | None) -> None:
    fields: dict[str, list[str]] = {}
    if not 1 <= len(label) <= LABEL_LENGTH_LIMIT or not label.strip():
        fields["token_label"] = [f"Use 1 to {LABEL_LENGTH_LIMIT} characters."]
    if scopes is not None:
        unknown = [scope for scope in scopes if scope not in set(Scope)]
        if not scopes or unknown or len(scopes) > SCOPES_LIMIT:
            fields["scopes"] = [f"Must be one or more of: {', '.join(Scope)}."]
    if fields:
        raise FieldInvalid(fields, "invalid access token")


def _moment(text: str | None) -> datetime | None:
    """Read an RFC 3339 time that lies ahead."""
    if text is None:
        return None
    problem = {"expires_at": ["Must be an RFC 3339 time in the future, e.g. 2030-01-31T12:00:00Z."]}
    try:
        # The text is echoed ever after, so it has an end.
        moment = msgspec.convert(text[:TIME_LENGTH_LIMIT], datetime)
        if len(text) > TIME_LENGTH_LIMIT or moment.tzinfo is None or moment <= utcnow():
            raise FieldInvalid(problem, "invalid expires_at")
        return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):  # beyond the year 9999 in UTC
        raise FieldInvalid(problem, "invalid expires_at") from None
