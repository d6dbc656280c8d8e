"""Showing who one is: by password, with a code where one is wanted, by access token, by refresh token, by the code of
a program that somebody has let in. Organizations have access tokens alone.

A password is not always enough: an account with a second factor wants a code too, and members of an organization that
enforces single sign-on may not use theirs at all. Both are found out after the password was right, so that a wrong
one tells nothing of an account, by no word and by no time that it takes.

Attempts are limited by address, and by account: passwords and codes each for themselves.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog

from homeport.addresses import counted_as
from homeport.core import (
    access_tokens,
    activity,
    audit,
    device_logins,
    org_access_tokens,
    passwords,
    second_factors,
    sessions,
)
from homeport.core.access import Actor
from homeport.core.activity import ActivityLog, Door, Method, Visit
from homeport.core.attempts import Attempts
from homeport.core.audit import AuditAction
from homeport.core.authentication import REFRESH_AUDIENCE, SECOND_FACTOR_AUDIENCE, Authenticator, Credential
from homeport.core.pulls import PullLog
from homeport.errors import (
    CredentialsInvalid,
    DeviceLoginRefused,
    FieldInvalid,
    NotAuthenticated,
    OrganizationLogin,
    PasswordRefused,
    SecondFactorRequired,
    TooManyAttempts,
)
from homeport.metrics import LOGINS_FAILED, REFUSALS, Metrics
from homeport.settings import Settings
from homeport.storage.cache.cache import Counters
from homeport.storage.db import access_tokens as token_rows
from homeport.storage.db import accounts as rows
from homeport.storage.db import audit as audit_rows
from homeport.storage.db import org_settings
from homeport.storage.db.audit import NewEvent
from homeport.storage.db.database import Database, Transaction
from homeport.storage.db.records import Account, AccountKind

log = structlog.get_logger()

COUNTED_NAME_LENGTH = 64
"""Of a name that somebody sends, as much is kept for the count of failures: no account's is as long."""

LOG_TIMEOUT_S = 2.0
"""How long a login waits for its event to be written; then it goes with what is written behind the requests."""


class Logins:
    """Lets people in; one for a process."""

    def __init__(
        self,
        db: Database,
        authenticator: Authenticator,
        counters: Counters,
        *,
        pulls: PullLog,
        activity: ActivityLog,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._authenticator = authenticator
        self._pulls = pulls
        self._activity = activity
        self._metrics = metrics
        limit, window_s = settings.login_attempts_per_account, settings.login_attempts_window
        self._accounts = Attempts(counters, "password", limit=limit, window_s=window_s)
        self._codes = Attempts(counters, "code", limit=limit, window_s=window_s)
        self._addresses = Attempts(counters, "login from", limit=settings.login_attempts_per_address, window_s=window_s)
        self._password_turns = asyncio.Semaphore(passwords.THREADS)

    async def log_in(self, name: str, secret: str, visit: Visit, *, takes_organizations: bool = False) -> Credential:
        """Check a name with a password or an access token; of organizations only where it is said so.

        Raises:
            CredentialsInvalid: which of the two was wrong is not told, nor by the time it takes.
            OrganizationLogin: the name is an organization's, or the secret.
            SecondFactorRequired: the password is right; `log_in_by_code` is the other half.
            PasswordRefused: the password is right, but this takes an access token.
            TooManyAttempts
        """
        name = name.lower()
        async with self._counted_address(visit.address):
            if secret.startswith(access_tokens.PREFIX):
                return await self._log_in_by_token(name, secret, visit, AccountKind.USER)
            if secret.startswith(org_access_tokens.PREFIX):
                if not takes_organizations:
                    raise OrganizationLogin
                return await self._log_in_by_token(name, secret, visit, AccountKind.ORGANIZATION)
            return await self._log_in_by_password(name, secret, visit)

    async def log_in_by_code(self, login_token: str, code: str, visit: Visit) -> Credential:
        """The second half of a login: the token of `SecondFactorRequired` with a code or a recovery code.

        Raises:
            CredentialsInvalid: the code is wrong or was used before, or the token is no good (any more).
            PasswordRefused, TooManyAttempts
        """
        async with self._counted_address(visit.address):
            try:
                credential = await self._authenticator.credential(
                    login_token, audience=SECOND_FACTOR_AUDIENCE, address=visit.address
                )
            except NotAuthenticated:
                raise CredentialsInvalid from None
            return await self._log_in_with_code(credential, code, visit)

    async def refresh(self, token: str, *, address: str) -> Credential:
        """Whose refresh token this is; `address` is where it comes from.

        Raises:
            NotAuthenticated
            PasswordRefused: it came from a password that may not be used any more.
        """
        credential = await self._authenticator.credential(token, audience=REFRESH_AUDIENCE, address=address)
        if credential.token is None:
            async with self._db.read() as tx:
                await _refuse_under_sso(tx, credential.account)
        self._activity.seen(credential.account.id)
        return credential

    async def redeem(self, device_code: str, *, client_id: str, visit: Visit) -> Credential:
        """Let a program in whose login somebody has approved. The device code works once.

        Raises:
            DeviceLoginRefused: nobody has approved it, or not yet; the program asks too often.
            PasswordRefused: whoever approved it may not use a password any more.
        """
        async with self._db.write() as tx:
            found = await device_logins.poll(tx, device_code=device_code, client_id=client_id)
            if isinstance(found, Account):
                await _refuse_under_sso(tx, found)
                await audit_rows.insert_all(tx, [activity.login(found, visit, Method.DEVICE_CODE)])
        if isinstance(found, DeviceLoginRefused):
            raise found
        self._activity.logged_in(found.id, visit.user_agent)
        return Credential(found)

    async def end(self, token: str, visit: Visit) -> None:
        """End the login that a refresh token came from; nothing happens if it is no good (any more)."""
        try:
            credential = await self._authenticator.credential(token, audience=REFRESH_AUDIENCE, address=visit.address)
        except NotAuthenticated:
            return
        actor = msgspec.structs.replace(credential.actor, address=visit.address, user_agent=visit.user_agent)
        async with self._db.write() as tx:
            await sessions.end_own(tx, actor=actor)

    async def check_password(self, actor: Actor, password: str) -> Account:
        """Have an actor show once more that they know their password, before something weighty. A wrong one counts as
        at a login, for it may be a stolen session that guesses. The account as it was with that password.

        Raises:
            FieldInvalid: it is wrong.
            TooManyAttempts
        """
        visit = Visit(Door.HUB, actor.address, actor.user_agent)
        try:
            async with self._counted_address(visit.address):
                return await self._account_of(actor.name, password, visit)
        except CredentialsInvalid:
            raise FieldInvalid({"password": ["This is not your password."]}, "wrong password") from None

    @contextlib.asynccontextmanager
    async def one_code(self, account_uuid: str) -> AsyncIterator[None]:
        """The block tries one code of an account, and ends with an error if it was wrong.

        Raises:
            TooManyAttempts
        """
        # Counted before it is looked at: otherwise a thousand at once would all be below the limit.
        if blocked_s := await self._codes.attempt(account_uuid):
            raise TooManyAttempts(blocked_s)
        yield
        await self._codes.succeeded(account_uuid)

    @contextlib.asynccontextmanager
    async def _counted_address(self, address: str) -> AsyncIterator[None]:
        """Count the failures of an address; one that has had too many is not listened to."""
        key = counted_as(address)
        try:
            await _refuse_if_blocked(self._addresses, key)
            yield
        except (CredentialsInvalid, OrganizationLogin) as error:
            self._metrics.count(LOGINS_FAILED, type(error).__name__)
            await self._addresses.failed(key)
            raise
        except PasswordRefused as error:
            self._metrics.count(LOGINS_FAILED, type(error).__name__)
            raise
        except TooManyAttempts:
            self._metrics.count(REFUSALS, "logins")
            raise

    async def _log_in_by_password(self, name: str, password: str, visit: Visit) -> Credential:
        account = await self._account_of(name, password, visit)
        credential = Credential(account)
        try:
            await self._check_password_is_enough(credential, visit)
        except PasswordRefused as error:
            # A right password is not limited, and a machine that has one stored tries it at every pull.
            if self._activity.is_due((account.id, str(error), visit.address)):
                self._activity.tell(activity.failed_login(account, visit, Method.PASSWORD, reason=str(error)))
            raise
        await self._write_down(activity.login(account, visit, Method.PASSWORD))
        self._activity.logged_in(account.id, visit.user_agent)
        return credential

    async def _account_of(self, name: str, password: str, visit: Visit) -> Account:
        """The active user of a name with this password; a failure is counted and written down."""
        # A name is locked whether it exists or not. Its access tokens go on working: nobody can guess those, and
        # a stranger's guesses must not stop a team's pipelines.
        counted = name[:COUNTED_NAME_LENGTH]
        await _refuse_if_blocked(self._accounts, counted)
        async with self._password_turns:
            # Asked again when its turn has come: guesses that arrive at once are as few as those one by one.
            await _refuse_if_blocked(self._addresses, counted_as(visit.address))
            await _refuse_if_blocked(self._accounts, counted)
            async with self._db.read() as tx:
                account = await rows.get(tx, name)
            is_right = await passwords.verify_password(password, account.password_hash if account else None)
            if account is not None and account.kind is AccountKind.ORGANIZATION:
                raise OrganizationLogin
            if is_right and account is not None and account.is_active:
                return account
            await self._accounts.failed(counted)
        if account is not None:
            reason = "deactivated" if is_right else "wrong password"
            self._activity.tell(activity.failed_login(account, visit, Method.PASSWORD, reason=reason))
        raise CredentialsInvalid

    async def _check_password_is_enough(self, credential: Credential, visit: Visit) -> None:
        async with self._db.read() as tx:
            await _refuse_under_sso(tx, credential.account)
            has_second_factor = await second_factors.is_on(tx, credential.account.id)
        if not has_second_factor:
            return
        if visit.door is Door.REGISTRY:
            # Its clients have nowhere to type a code.
            raise PasswordRefused("your account has a second factor")
        raise SecondFactorRequired(self._authenticator.second_factor_token(credential))

    async def _log_in_with_code(self, credential: Credential, code: str, visit: Visit) -> Credential:
        account = credential.account
        actor = Actor(name=account.name, address=visit.address, user_agent=visit.user_agent)
        async with self.one_code(account.uuid):
            async with self._db.write() as tx:
                await _refuse_under_sso(tx, account)
                method = await second_factors.take_code(tx, account.id, code)
                if method is Method.RECOVERY_CODE:
                    await audit.record(
                        tx, actor, AuditAction.USER_RECOVERY_CODE_USE, account_id=account.id, name=account.name
                    )
                if method is not None:
                    await audit_rows.insert_all(tx, [activity.login(account, visit, method)])
            if method is None:
                self._activity.tell(activity.failed_login(account, visit, Method.SECOND_FACTOR, reason="wrong code"))
                raise CredentialsInvalid
        self._activity.logged_in(account.id, visit.user_agent)
        return credential

    async def _log_in_by_token(self, name: str, secret: str, visit: Visit, kind: AccountKind) -> Credential:
        async with self._db.read() as tx:
            lineage = await token_rows.list_lineage_by_secret(tx, access_tokens.digest_of(secret))
            account = await rows.get(tx, name)
        if account is not None and account.kind is AccountKind.ORGANIZATION is not kind:
            raise OrganizationLogin
        if account is None or account.kind is not kind:
            raise CredentialsInvalid
        token = lineage[0] if lineage else None
        if token is None or token.account_id != account.id:
            # Without the address: a stranger has as many as they like, and could fill the log.
            self._token_refused(account, visit, "unknown access token", key=account.id)
            raise CredentialsInvalid
        if not account.is_active or not access_tokens.is_usable(lineage):
            reason = "the access token has ended" if account.is_active else "deactivated"
            self._token_refused(account, visit, reason, key=(token.uuid, visit.address))
            raise CredentialsInvalid
        credential = Credential.by_token(account, lineage)
        if not credential.actor.is_welcome_from(visit.address):
            self._token_refused(account, visit, "outside of its addresses", key=(token.uuid, visit.address))
            raise CredentialsInvalid
        self._pulls.used(token.id)
        self._activity.logged_in(account.id, visit.user_agent)
        if self._activity.is_due((token.uuid, visit.address)):
            self._activity.tell(activity.login(account, visit, Method.ACCESS_TOKEN, token=token))
        return credential

    def _token_refused(self, account: Account, visit: Visit, reason: str, *, key: Any) -> None:
        if self._activity.is_due((reason, key)):
            self._activity.tell(activity.failed_login(account, visit, Method.ACCESS_TOKEN, reason=reason))

    async def _write_down(self, event: NewEvent) -> None:
        """Write the event of a login. A log that cannot be written now keeps nobody out: it is tried again later."""
        try:
            async with asyncio.timeout(LOG_TIMEOUT_S), self._db.write(is_durable=False) as tx:
                await audit_rows.insert_all(tx, [event])
        except Exception:
            log.warning("a login is written down later", exc_info=True)
            self._activity.tell(event)


async def _refuse_if_blocked(attempts: Attempts, key: str) -> None:
    """Raises: TooManyAttempts."""
    if blocked_s := await attempts.blocked_for_s(key):
        raise TooManyAttempts(blocked_s)


async def _refuse_under_sso(tx: Transaction, account: Account) -> None:
    """Refuse the password of a member of an organization that enforces single sign-on.

    A site administrator's is taken: somebody has to get in on the day when the identity provider is broken.

    Raises:
        PasswordRefused
    """
    if account.is_site_admin:
        return
    organization = await org_settings.organization_that_enforces_sso(tx, account.id)
    if organization is not None:
        raise PasswordRefused(f"the organization {organization} enforces single sign-on")
