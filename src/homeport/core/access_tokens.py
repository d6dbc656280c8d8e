"""Personal access tokens: secrets that stand in for a password, with scopes, an end and a switch. They may be narrowed
to repositories, verbs and addresses, and let others be derived from them; all of that is an extension of ours.

The secret is shown once and stored as its SHA-256: it is random, so nothing slower is needed.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from homeport.addresses import Networks
from homeport.core import accounts, audit, grants
from homeport.core.access import (
    SEEN_BY_MEMBERS,
    Action,
    Actor,
    Ceiling,
    Scope,
    allowed_actions,
    list_own_namespaces,
    refuse_token,
)
from homeport.core.audit import AuditAction, Event
from homeport.core.grants import Given, NarrowGrant, Verb
from homeport.core.plans import check_access_tokens
from homeport.errors import AccessTokenUnknown, FieldInvalid, NotAuthenticated, PageUnknown, TokenTooWide
from homeport.settings import Plans
from homeport.storage.db import access_tokens as rows
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import AccessToken, AccessTokenCounts, Account, AccountKind, Repository

PREFIX = "dckr_pat_"
SECRET_LENGTH = 27
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

LABEL_LENGTH_LIMIT = 100
SCOPES_LIMIT = 16
USER_AGENT_LENGTH_LIMIT = 512
TIME_LENGTH_LIMIT = 64
RANGES_LIMIT = 50
DEPTH_LIMIT = 8
"""Tokens in a line, each derived from the one before it."""

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


def new_secret(prefix: str, length: int) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def scopes_of(token: AccessToken) -> list[str]:
    """The scopes as they were sent."""
    return msgspec.json.decode(token.scopes, type=list[str])


def ceiling_of(account: Account, lineage: Sequence[AccessToken]) -> Ceiling:
    """The most that a token of an account allows: what it and all that it was derived from allow."""
    if account.kind is AccountKind.ORGANIZATION:
        return grants.organization_ceiling(grants.decode(lineage[0].grants))
    ceiling = _own_ceiling(lineage[0])
    for ancestor in lineage[1:]:
        ceiling = ceiling.within(_own_ceiling(ancestor))
    return ceiling


def _own_ceiling(token: AccessToken) -> Ceiling:
    """What any of its scopes allows; of a narrow token, what any grant does, within its scopes if it has any."""
    scopes = scopes_of(token)
    if token.grants is None:
        return Ceiling(organization_actions=SEEN_BY_MEMBERS).lowered(*grants.scopes_layer(scopes))
    ceiling = Ceiling(organization_actions=frozenset()).lowered(*grants.narrow_layer(grants.decode(token.grants)))
    return ceiling.lowered(*grants.scopes_layer(scopes)) if scopes else ceiling


def grants_of(token: AccessToken) -> list[NarrowGrant] | None:
    """The grants as they were sent; None of a token that goes by its scopes alone."""
    if token.grants is None:
        return None
    return [NarrowGrant(given.path, given.words) for given in grants.decode(token.grants)]


def address_ranges_of(token: AccessToken) -> list[str]:
    return msgspec.json.decode(token.address_ranges, type=list[str])


def networks_of(lineage: Sequence[AccessToken]) -> tuple[Networks, ...]:
    """Where a token may be used from: within each."""
    return tuple(Networks(ranges) for token in lineage if (ranges := address_ranges_of(token)))


def claimed_scopes(token: AccessToken) -> list[str]:
    """What a bearer token says that it was made for."""
    return scopes_of(token) or list(
        dict.fromkeys(word for given in grants.decode(token.grants) for word in given.words)
    )


def is_usable(lineage: Sequence[AccessToken]) -> bool:
    """Whether a token works: it does not outlive what it was derived from."""
    now = utcnow()
    return bool(lineage) and all(
        token.is_active and (token.expires_at is None or token.expires_at > now) for token in lineage
    )


def end_of(lineage: Sequence[AccessToken]) -> datetime | None:
    """When a token expires; None for never."""
    return min((token.expires_at for token in lineage if token.expires_at is not None), default=None)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a new token is to be. `scopes` may be None where there are grants; empty `address_ranges` are none."""

    label: str
    scopes: list[str] | None
    expires_at: str | None = None
    grants: Sequence[NarrowGrant] | None = None
    address_ranges: Sequence[str] = ()
    can_derive: bool = False


async def create_token(
    tx: Transaction, *, actor: Actor, wanted: Wanted, generated_by: str = BY_HAND, plans: Plans
) -> Created:
    """Make a token for the actor's own account; by a token that may derive others, one that is no wider.

    Raises:
        FieldInvalid: something of it cannot be so; or there are too many tokens.
        TokenTooWide: it would allow what the actor's token does not.
        PlanLimitReached
        NotAuthenticated, TokenNotAllowed: see `check_maker`; also where the account has been shut a moment ago.
    """
    account_id = check_maker(actor)
    _check(label=wanted.label, scopes=wanted.scopes if wanted.grants is None else wanted.scopes or None)
    if wanted.grants is None and wanted.scopes is None:
        raise FieldInvalid({"scopes": ["This field is required."]})
    ends_at = read_expiry(wanted.expires_at)
    _check_ranges(wanted.address_ranges)
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
    given = None if wanted.grants is None else await grants.bind_grants(tx, actor, wanted.grants)
    if actor.token is not None:
        parents = await rows.list_lineage(tx, account_id=account_id, uuid=actor.token.uuid)
        _check_narrower(account, parents, wanted, given)
    await check_access_tokens(tx, plans, account)
    secret = new_secret(PREFIX, SECRET_LENGTH)
    token = await rows.insert(
        tx,
        account_id=account_id,
        label=wanted.label,
        secret_sha256=digest_of(secret),
        scopes=msgspec.json.encode(wanted.scopes or []).decode(),
        grants=None if given is None else grants.encode(given),
        address_ranges=msgspec.json.encode(wanted.address_ranges).decode(),
        can_derive=wanted.can_derive,
        parent_id=actor.token_id,
        expires_at=ends_at,
        expires_at_text=wanted.expires_at,
        creator_ip=actor.address,
        creator_ua=actor.user_agent[:USER_AGENT_LENGTH_LIMIT],
        generated_by=generated_by,
    )
    await _record(tx, actor, AuditAction.USER_ACCESS_TOKEN_CREATE, token, **_told(wanted))
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
    wanted = Wanted(label=label, scopes=[Scope.ADMIN])
    return await create_token(tx, actor=actor, wanted=wanted, generated_by=BY_PROGRAM, plans=plans)


def _told(wanted: Wanted) -> dict[str, str]:
    """What the log says of a new token."""
    told = {
        "scopes": " ".join(wanted.scopes or ()),
        "expires_at": wanted.expires_at or "",
        "grants": "; ".join(f"{grant.repositories}: {' '.join(grant.verbs)}" for grant in wanted.grants or ()),
        "address_ranges": " ".join(wanted.address_ranges),
        "can_derive": "true" if wanted.can_derive else "",
    }
    return {key: value for key, value in told.items() if value}


def _check_narrower(
    account: Account, parents: Sequence[AccessToken], wanted: Wanted, given: Sequence[Given] | None
) -> None:
    """Whether a token is no wider than the one that it is derived from. It stays within that one whatever is found
    here: this is to tell who asks for more than they would get.

    Raises:
        NotAuthenticated: the token has ended a moment ago.
        TokenTooWide
    """
    if not is_usable(parents) or not parents[0].can_derive:
        raise NotAuthenticated
    if len(parents) >= DEPTH_LIMIT:
        raise TokenTooWide("it stands at the end of a line of tokens")
    wants = grants.of_scopes(wanted.scopes or ()) if given is None else given
    if not grants.are_within(wants, ceiling_of(account, parents)):
        raise TokenTooWide("its grants are wider" if given is not None else "its scopes are wider")
    end, wanted_end = end_of(parents), read_expiry(wanted.expires_at)
    if end is not None and (wanted_end is None or wanted_end > end):
        raise TokenTooWide("it would live longer (expires_at)")
    networks = Networks(wanted.address_ranges)
    if any(not networks or not outer.holds_all_of(networks) for outer in networks_of(parents)):
        raise TokenTooWide("its address_ranges are wider")


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


class Effective(msgspec.Struct, frozen=True):
    """What a token can do now: on a part of the `total` repositories that its account has been given anything on, and
    on all others.
    """

    token: AccessToken
    is_usable: bool
    on_public: Sequence[Verb]
    on_private: Sequence[Verb]
    total: int
    repositories: Sequence[tuple[Repository, Sequence[Verb]]]


async def effective(tx: Transaction, *, actor: Actor, uuid: str, offset: int, limit: int) -> Effective:
    """What one of the actor's tokens can do with the roles that its account has at the moment.

    Raises:
        PageUnknown: there are no more than `offset` repositories; the first page is there even when it is empty.
        AccessTokenUnknown: there is no such token, or it is someone else's.
        NotAuthenticated, TokenNotAllowed: a token may ask about itself alone.
    """
    account_id = actor.account_id
    if account_id is None:
        raise NotAuthenticated
    if actor.token is None or actor.token.uuid != uuid:
        refuse_token(actor)
    account = await account_rows.get_by_uuid(tx, actor.account_uuid)
    lineage = await rows.list_lineage(tx, account_id=account_id, uuid=uuid)
    if account is None or not lineage:
        raise AccessTokenUnknown
    bearer = Actor.of(account, ceiling=ceiling_of(account, lineage), token=lineage[0])
    namespace_ids = await list_own_namespaces(tx, account_id)
    reaches = bearer.ceiling.reaches(*Action)
    total = await repository_rows.count_held(tx, account_id=account_id, namespace_ids=namespace_ids, reaches=reaches)
    if offset and offset >= total:
        raise PageUnknown
    found = await repository_rows.list_held(
        tx, account_id=account_id, namespace_ids=namespace_ids, reaches=reaches, offset=offset, limit=limit
    )
    public, private = (
        grants.verbs_of(allowed_actions(bearer, Repository(0, 0, "", "", is_private, None, None, None)))
        for is_private in (False, True)
    )
    verbs = [(repository, grants.verbs_of(allowed_actions(bearer, repository))) for repository in found]
    return Effective(lineage[0], is_usable(lineage), public, private, total, verbs)


async def update_token(
    tx: Transaction, *, actor: Actor, uuid: str, label: str | None = None, is_active: bool | None = None
) -> AccessToken:
    """Rename a token, or switch it off and on.

    Raises:
        AccessTokenUnknown, FieldInvalid
    """
    await tx.lock("account", own_account(actor))
    token = await access_token(tx, actor=actor, uuid=uuid)
    if label is not None:
        _check(label=label, scopes=None)
    wanted = msgspec.structs.replace(
        token,
        label=token.label if label is None else label,
        is_active=token.is_active if is_active is None else is_active,
    )
    updated = await rows.update(tx, wanted)
    if updated is None:
        raise AccessTokenUnknown
    if not updated.is_active:
        await accounts.revoke(tx, token.account_id)
    if updated != token:
        is_active_text = "true" if updated.is_active else "false"
        await _record(tx, actor, AuditAction.USER_ACCESS_TOKEN_UPDATE, updated, is_active=is_active_text)
    return updated


async def delete_token(tx: Transaction, *, actor: Actor, uuid: str) -> None:
    """Delete a token with those derived from it; they stop working with the end of the transaction.

    Raises:
        AccessTokenUnknown
    """
    await tx.lock("account", own_account(actor))
    token = await access_token(tx, actor=actor, uuid=uuid)
    derived = await rows.list_derived(tx, token.id)
    if not await rows.delete(tx, account_id=token.account_id, uuid=uuid):
        raise AccessTokenUnknown
    await accounts.revoke(tx, token.account_id)
    events = [_event(actor, AuditAction.USER_ACCESS_TOKEN_DELETE, gone, {}) for gone in (token, *derived)]
    await audit.record_all(tx, actor, events)


async def _record(tx: Transaction, actor: Actor, action: AuditAction, token: AccessToken, **data: str) -> None:
    """Write down what became of a token, in the log of its account."""
    await audit.record_all(tx, actor, [_event(actor, action, token, data)])


def _event(actor: Actor, action: AuditAction, token: AccessToken, data: Mapping[str, str]) -> Event:
    return Event(
        action=action,
        account_id=token.account_id,
        name=actor.name,
        data={"token_id": token.uuid, "token_label": token.label, **data},
    )


def own_account(actor: Actor) -> int:
    """The account whose tokens an actor manages: their own, and not through a token.

    Raises:
        NotAuthenticated
        TokenNotAllowed: a token may not make, list or change tokens.
    """
    if actor.account_id is None:
        raise NotAuthenticated
    refuse_token(actor)
    return actor.account_id


def check_maker(actor: Actor) -> int:
    """The account that an actor makes tokens for: their own, by password or by a token that may derive others.

    Raises:
        NotAuthenticated, TokenNotAllowed
    """
    if actor.token is not None and actor.token.can_derive and actor.account_id is not None:
        return actor.account_id
    return own_account(actor)


def _check_ranges(texts: Sequence[str]) -> None:
    """Raises: FieldInvalid."""
    problem = {"address_ranges": [f"At most {RANGES_LIMIT} ranges such as 192.0.2.0/24 or 2001:db8::/32."]}
    try:
        if len(texts) > RANGES_LIMIT or any("%" in text for text in texts):
            raise FieldInvalid(problem, "invalid address_ranges")
        Networks(texts)
    except ValueError:
        raise FieldInvalid(problem, "invalid address_ranges") from None


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


def read_expiry(text: str | None) -> datetime | None:
    """Read an RFC 3339 time that lies ahead. Raises: FieldInvalid."""
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
