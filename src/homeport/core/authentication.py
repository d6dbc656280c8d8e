"""Bearer tokens: made for who has shown who they are (`logins.py`), and from there to an actor for each request.

A bearer token is a JWT that names the account, and either the access token that it was made from or the version of
the account's credentials at that time; and the login that it came from. Verifying costs a signature and two or three
statements, so the outcome is remembered by the token's SHA-256 until it expires. Whatever ends an account's access (a
password changed, a token disabled, the account shut, somebody logged out) writes a row into `revocations` in its
transaction; the process that did it forgets what it remembered of the account at once, the others read those rows
every half second. After that the token is looked at anew, and is refused. A process that cannot read them does not go
by what it remembers.
"""

import hashlib
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec

from homeport.core import access_tokens, accounts
from homeport.core.access import ANONYMOUS, NO_CEILING, Action, Actor, Grant
from homeport.core.activity import ActivityLog
from homeport.core.pulls import PullLog
from homeport.core.signing import ALGORITHM, HUB_ALGORITHM, Signer
from homeport.errors import NotAuthenticated
from homeport.metrics import TOKENS_ISSUED, Metrics
from homeport.names import RepositoryName
from homeport.settings import Settings
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import accounts as rows
from homeport.storage.db import sessions as session_rows
from homeport.storage.db.database import Database, Transaction, utcnow
from homeport.storage.db.records import AccessToken, Account, AccountKind

HUB_AUDIENCE = "https://hub.docker.com"
"""Also the name of the claim in which Docker's clients look for the user's name."""

REGISTRY_AUDIENCE = "registry"
REFRESH_AUDIENCE = "refresh"
SECOND_FACTOR_AUDIENCE = "second-factor"
IDENTITY_AUDIENCE = "identity"
ISSUER = "homeport"
_AUDIENCE_LABELS = {HUB_AUDIENCE: "hub"}

SEARCH_ACCESS = {"type": "registry", "name": "catalog", "actions": ["search"]}
"""What a registry token carries that an engine searches with (`registry:catalog:search`)."""

ACCESS_TOKEN_LIFETIME_S = 600
SECOND_FACTOR_LIFETIME_S = 300
"""Within which the code has to follow the password."""

REMEMBERED_LIMIT = 20_000
REVOCATIONS_SEEN_FOR = timedelta(seconds=30)
REMEMBERED_FOR_S = 1.0
"""How long after revocations were read what is remembered counts: so long a revoked token may still open something."""

FORGOTTEN_AFTER_S = 10.0
"""After so long without having read them some may be missed, as they are read of a while back only."""

_OURS = "homeport"
"""The claim that binds a bearer token to ids."""


def _new_id() -> str:
    return str(uuid4())


class Credential(msgspec.Struct, frozen=True):
    """An account that has shown who it is: by its password, or by an access token.

    All tokens that it buys are of one session, and end with it when somebody logs out.
    """

    account: Account
    token: AccessToken | None = None
    ancestors: tuple[AccessToken, ...] = ()
    """What the token was derived from, and that from."""

    session_id: str = msgspec.field(default_factory=_new_id)

    @classmethod
    def by_token(cls, account: Account, lineage: Sequence[AccessToken], **fields: Any) -> "Credential":
        """An account with a token and what that was derived from."""
        return cls(account, lineage[0], tuple(lineage[1:]), **fields)

    @property
    def lineage(self) -> Sequence[AccessToken]:
        return (self.token, *self.ancestors) if self.token else ()

    @property
    def actor(self) -> Actor:
        return Actor.of(
            self.account,
            ceiling=access_tokens.ceiling_of(self.account, self.lineage) if self.token else NO_CEILING,
            token=self.token,
            networks=access_tokens.networks_of(self.lineage),
            session_id=self.session_id,
        )

    @property
    def binding(self) -> dict[str, Any]:
        return {
            "account": self.account.uuid,
            "version": self.account.credentials_version,
            "token": self.token.uuid if self.token else None,
            "session": self.session_id,
        }


class IssuedToken(msgspec.Struct, frozen=True):
    """A registry token as the token service answers with it; times in seconds since 1970."""

    token: str
    issued_at: int
    lifetime_s: int


class _Remembered(msgspec.Struct, frozen=True):
    actor: Actor
    expires_at: float


class Authenticator:
    """Knows who is who; one for a process."""

    def __init__(
        self,
        db: Database,
        signer: Signer,
        *,
        pulls: PullLog,
        activity: ActivityLog,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._signer = signer
        self._pulls = pulls
        self._activity = activity
        self._settings = settings
        self._metrics = metrics
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._of_account: defaultdict[int | None, set[bytes]] = defaultdict(set)
        self._revocations_seen: dict[int, None] = {}
        self._forgotten = 0
        self._caught_up_at = -math.inf
        db.listen(self._heard)

    # Issuing bearer tokens

    def hub_token(self, credential: Credential, *, lifetime_s: int) -> str:
        """A bearer token for the Hub API, with the claims that Docker's clients decode."""
        account, token = credential.account, credential.token
        session_id = str(uuid4())
        kind = "oat" if account.kind is AccountKind.ORGANIZATION else "pat"
        source = {"type": kind, "id": token.uuid} if token else {"type": "pwd", "id": session_id}
        identity = {
            "uuid": account.uuid,
            "username": account.name,
            "email": account.email or "",
            "session_id": session_id,
            "source": f"docker_{source['type']}|{source['id']}",
            "roles": ["admin"] if account.is_site_admin else [],
        }
        return self._sign(
            HUB_AUDIENCE,
            lifetime_s,
            binding=credential.binding,
            algorithm=HUB_ALGORITHM,
            jti=session_id,
            sub=account.uuid,
            scope=" ".join(access_tokens.claimed_scopes(token)) if token else "",
            source=source,
            session_id=session_id,
            email=account.email or "",
            username=account.name,
            user_id=account.uuid.replace("-", ""),
            **{HUB_AUDIENCE: identity},
        )

    def refresh_token(self, credential: Credential) -> str:
        """A long-lived token that buys registry tokens; it ends with the password or token that it came from."""
        return self._sign(
            REFRESH_AUDIENCE,
            self._settings.refresh_token_lifetime,
            binding=credential.binding,
            jti=str(uuid4()),
            sub=credential.account.name,
        )

    def identity_token(self, credential: Credential, *, client_id: str) -> str:
        """Who has signed in (OpenID Connect); it opens nothing."""
        return self._sign(
            IDENTITY_AUDIENCE,
            self._settings.login_token_lifetime,
            binding=None,
            algorithm=HUB_ALGORITHM,
            azp=client_id,
            sub=credential.account.uuid,
            preferred_username=credential.account.name,
            email=credential.account.email or "",
        )

    def second_factor_token(self, credential: Credential) -> str:
        """Says that the password was right; buys nothing but the chance to show a code."""
        return self._sign(
            SECOND_FACTOR_AUDIENCE,
            SECOND_FACTOR_LIFETIME_S,
            binding=credential.binding,
            jti=str(uuid4()),
            sub=credential.account.uuid,
        )

    def registry_token(self, credential: Credential | None, access: Sequence[Mapping[str, Any]]) -> IssuedToken:
        """A token for the registry that carries `access`: dicts of type, name, id and actions."""
        lifetime_s = self._settings.registry_token_lifetime
        issued_at = int(time.time())
        token = self._sign(
            REGISTRY_AUDIENCE,
            lifetime_s,
            binding=credential.binding if credential else None,
            jti=str(uuid4()),
            sub=credential.account.name if credential else "",
            access=access,
        )
        return IssuedToken(token, issued_at, lifetime_s)

    def _sign(self, audience: str, lifetime_s: int, *, binding: Any, algorithm: str = ALGORITHM, **claims: Any) -> str:
        now = int(time.time())
        self._metrics.count(TOKENS_ISSUED, _AUDIENCE_LABELS.get(audience, audience))
        return self._signer.sign(
            {
                "iss": ISSUER,
                "aud": audience,
                "iat": now,
                "nbf": now,
                "exp": now + lifetime_s,
                **claims,
                _OURS: binding,
            },
            algorithm=algorithm,
        )

    # Verifying bearer tokens

    async def hub_actor(self, token: str, *, address: str) -> Actor:
        """Who a bearer token of the Hub API stands for; `address` is where it comes from.

        Raises:
            NotAuthenticated
        """
        return await self._actor(token, HUB_AUDIENCE, address)

    async def registry_actor(self, token: str, *, address: str) -> Actor:
        """Who a bearer token of the registry stands for, and what it is for.

        Raises:
            NotAuthenticated
        """
        return await self._actor(token, REGISTRY_AUDIENCE, address)

    async def searcher(self, token: str, *, address: str) -> Actor:
        """Who searches with a bearer token: one of the Hub API, or one of the registry. Who has one of the latter finds
        what is their own only if it was asked for that.

        Raises:
            NotAuthenticated
        """
        try:
            claims = self._signer.verify(token, audience=REGISTRY_AUDIENCE)
        except NotAuthenticated:
            return await self.hub_actor(token, address=address)
        async with self._db.read() as tx:
            actor = (await _bound_credential(tx, claims)).actor if claims.get(_OURS) is not None else ANONYMOUS
        _check_address(actor, address)
        return actor if SEARCH_ACCESS in (claims.get("access") or ()) else ANONYMOUS

    async def credential(self, token: str, *, audience: str, address: str) -> Credential:
        """Whose token this is, read anew: for tokens that are shown once in a while.

        Raises:
            NotAuthenticated
        """
        claims = self._signer.verify(token, audience=audience)
        async with self._db.read() as tx:
            credential = await _bound_credential(tx, claims)
        _check_address(credential.actor, address)
        return credential

    async def _actor(self, token: str, audience: str, address: str) -> Actor:
        key = hashlib.sha256(f"{audience} {token}".encode(errors="surrogatepass")).digest()
        remembered = self._remembered.get(key)
        is_current = time.monotonic() - self._caught_up_at < REMEMBERED_FOR_S
        if remembered is not None and is_current and remembered.expires_at > time.time():
            actor = remembered.actor
        else:
            actor = await self._look_up(key, token, audience)
        if actor.networks:
            _check_address(actor, address)
        if actor.account_id is not None:
            self._activity.seen(actor.account_id)
        if actor.token_id is not None:
            self._pulls.used(actor.token_id)
        return actor

    async def _look_up(self, key: bytes, token: str, audience: str) -> Actor:
        forgotten = self._forgotten
        claims = self._signer.verify(token, audience=audience)
        expires_at: float = claims["exp"]
        if claims.get(_OURS) is None:
            actor = ANONYMOUS
        else:
            async with self._db.read() as tx:
                credential = await _bound_credential(tx, claims)
            actor = credential.actor
            if end := access_tokens.end_of(credential.lineage):
                expires_at = min(expires_at, end.timestamp())
        if audience == REGISTRY_AUDIENCE:
            ceiling = actor.ceiling.lowered(*_grants(claims.get("access")))
            actor = msgspec.structs.replace(actor, ceiling=ceiling)
        # What was read before a revocation must not be remembered after it.
        if forgotten == self._forgotten:
            self._remember(key, _Remembered(actor, expires_at))
        return actor

    def _remember(self, key: bytes, remembered: _Remembered) -> None:
        if len(self._remembered) >= REMEMBERED_LIMIT:
            oldest, forgotten = self._remembered.popitem(last=False)
            self._of_account[forgotten.actor.account_id].discard(oldest)
        self._remembered[key] = remembered
        self._of_account[remembered.actor.account_id].add(key)

    # Forgetting

    def forget(self, account_id: int) -> None:
        """Look at the tokens of an account anew the next time."""
        self._forgotten += 1
        for key in self._of_account.pop(account_id, ()):
            self._remembered.pop(key, None)

    def _heard(self, event: str, id_: int) -> None:
        if event == accounts.REVOKED:
            self.forget(id_)

    def _forget_all(self) -> None:
        self._forgotten += 1
        self._of_account.clear()
        self._remembered.clear()

    async def catch_up(self) -> None:
        """Forget what other processes have revoked since the last time.

        Rows of the last half minute are read again: one that was written earlier may be committed later.
        """
        began_at = time.monotonic()
        async with self._db.read() as tx:
            revocations = await rows.list_revocations(tx, since=utcnow() - REVOCATIONS_SEEN_FOR)
        if began_at - self._caught_up_at > FORGOTTEN_AFTER_S or len(revocations) == rows.REVOCATIONS_LIMIT:
            self._forget_all()
        for revocation in revocations:
            if revocation.id not in self._revocations_seen:
                self.forget(revocation.account_id)
        self._revocations_seen = dict.fromkeys(revocation.id for revocation in revocations)
        self._caught_up_at = began_at


async def _bound_credential(tx: Transaction, claims: Mapping[str, Any]) -> Credential:
    """The account and token that a bearer token is bound to, if it may still be used.

    Raises:
        NotAuthenticated
    """
    binding = claims.get(_OURS)
    if not isinstance(binding, dict):
        raise NotAuthenticated("invalid token")
    # Tokens of former versions tell of no session: each was one of its own.
    session_id = str(binding.get("session") or claims.get("jti"))
    account = await rows.get_by_uuid(tx, str(binding.get("account")))
    if account is None or not account.is_active or await session_rows.is_ended(tx, session_id):
        raise NotAuthenticated("the token was revoked")
    if (uuid := binding.get("token")) is not None:
        lineage = await token_rows.list_lineage(tx, account_id=account.id, uuid=str(uuid))
        if not access_tokens.is_usable(lineage):
            raise NotAuthenticated("the token was revoked")
        return Credential.by_token(account, lineage, session_id=session_id)
    if binding.get("version") != account.credentials_version:
        raise NotAuthenticated("the token was revoked")
    return Credential(account, session_id=session_id)


def _check_address(actor: Actor, address: str) -> None:
    """Raises NotAuthenticated if the actor's token may not be used from an address."""
    if not actor.is_welcome_from(address):
        raise NotAuthenticated("the token may not be used from this address")


def _grants(access: Any) -> list[Grant]:
    """The layer that a registry token adds: what its `access` claim names, and nothing else."""
    grants = []
    for entry in access or ():
        if entry["type"] != "repository":
            continue
        actions = frozenset(Action(action) for action in entry["actions"])
        if Action.PUSH in actions:
            actions |= {Action.CREATE}  # a first push makes the repository
        grants.append(Grant(actions, RepositoryName.parse(entry["name"]), entry.get("id")))
    return grants
