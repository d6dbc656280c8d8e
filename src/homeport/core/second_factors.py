"""The second factor: codes of an authenticator app (TOTP, RFC 6238) beside the password, and recovery codes for the
day when the app is lost.

A code is of one step of thirty seconds. It is taken in the step before and after as well, because clocks differ, and
once: neither it nor the code of an earlier step is taken again. Which of two requests with the same code came first is
decided by the condition of one UPDATE. The caller limits attempts and checks passwords (`logins.py`).
"""

import hashlib
import hmac
import secrets
import time

import msgspec
import pyotp

from homeport.core import accounts, audit
from homeport.core.access import Actor
from homeport.core.access_tokens import own_account
from homeport.core.activity import Method
from homeport.core.audit import AuditAction
from homeport.errors import FieldInvalid, SecondFactorOff, SecondFactorOn
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import second_factors as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Account, SecondFactor

ISSUER = "Homeport"
"""What an authenticator app shows beside the user's name."""

STEP_S = 30
DRIFT_STEPS = 1
RECOVERY_CODES = 10
_RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what is easily misread
_RECOVERY_CODE_LENGTH = 16


class Enrolment(msgspec.Struct, frozen=True):
    """What an authenticator app has to learn: the secret in base32, and the same as an `otpauth:` URI."""

    secret: str
    uri: str


class Confirmed(msgspec.Struct, frozen=True):
    """The account under its new credentials, and recovery codes that nobody can read again."""

    account: Account
    recovery_codes: list[str]


class Status(msgspec.Struct, frozen=True):
    is_on: bool
    recovery_codes_left: int


async def enrol(tx: Transaction, *, actor: Actor) -> Enrolment:
    """Make a secret for the actor's own account. Nothing changes for its logins before `confirm`.

    Raises:
        SecondFactorOn: it has to be switched off first.
        NotAuthenticated, TokenNotAllowed: see `own_account`.
    """
    secret = pyotp.random_base32()
    if not await rows.replace_unconfirmed(tx, own_account(actor), secret):
        raise SecondFactorOn
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=actor.name, issuer_name=ISSUER))


async def confirm(tx: Transaction, *, actor: Actor, code: str) -> Confirmed:
    """Switch the second factor on with a first code. What was issued for the password alone ends.

    Raises:
        SecondFactorOff: there is no secret yet.
        SecondFactorOn: it is confirmed already.
        FieldInvalid: the code is wrong.
        NotAuthenticated, TokenNotAllowed
    """
    account_id = own_account(actor)
    await tx.lock("second factor", account_id)
    factor = await rows.get(tx, account_id)
    if factor is None:
        raise SecondFactorOff
    if factor.confirmed_at is not None:
        raise SecondFactorOn
    step = _step_of(factor, _plain(code))
    if step is None or not await rows.confirm(tx, factor, step):
        raise _wrong_code()
    codes = await _new_recovery_codes(tx, account_id)
    account = await account_rows.renew_credentials(tx, account_id)
    await accounts.revoke(tx, account_id)
    await audit.record(tx, actor, AuditAction.USER_SECOND_FACTOR_ENABLE, account_id=account_id, name=actor.name)
    return Confirmed(account, codes)


async def status(tx: Transaction, *, actor: Actor) -> Status:
    """Whether the actor's logins take a code, and how many recovery codes are left.

    Raises:
        NotAuthenticated, TokenNotAllowed
    """
    account_id = own_account(actor)
    return Status(await is_on(tx, account_id), await rows.count_recovery_codes(tx, account_id))


async def renew_recovery_codes(tx: Transaction, *, actor: Actor, code: str) -> list[str]:
    """New recovery codes in place of all that were there.

    Raises:
        SecondFactorOff
        FieldInvalid: the code is wrong.
        NotAuthenticated, TokenNotAllowed
    """
    account_id = await _take_own_code(tx, actor, code)
    await audit.record(tx, actor, AuditAction.USER_RECOVERY_CODE_RENEW, account_id=account_id, name=actor.name)
    return await _new_recovery_codes(tx, account_id)


async def disable(tx: Transaction, *, actor: Actor, code: str) -> None:
    """Switch the second factor off, with a code or a recovery code.

    Raises:
        SecondFactorOff
        FieldInvalid: the code is wrong.
        NotAuthenticated, TokenNotAllowed
    """
    account_id = await _take_own_code(tx, actor, code)
    await _remove(tx, actor=actor, account_id=account_id, name=actor.name)


async def disable_for(tx: Transaction, *, actor: Actor, name: str) -> bool:
    """Switch a user's second factor off for them (operators); whether it was on.

    Raises:
        AccountUnknown
    """
    account = await accounts.access_user(tx, name)
    await tx.lock("second factor", account.id)
    was_on = await is_on(tx, account.id)
    if was_on:
        await _remove(tx, actor=actor, account_id=account.id, name=account.name)
    return was_on


async def is_on(tx: Transaction, account_id: int) -> bool:
    factor = await rows.get(tx, account_id)
    return factor is not None and factor.confirmed_at is not None


async def take_code(tx: Transaction, account_id: int, code: str) -> Method | None:
    """Use up a code or recovery code of an account; what it was, or None if it is not good (any more)."""
    factor = await rows.get(tx, account_id)
    if factor is None or factor.confirmed_at is None:
        return None
    plain = _plain(code)
    if (step := _step_of(factor, plain)) is not None:
        return Method.SECOND_FACTOR if await rows.take_step(tx, factor, step) else None
    return Method.RECOVERY_CODE if await rows.take_recovery_code(tx, account_id, _digest_of(plain)) else None


async def _take_own_code(tx: Transaction, actor: Actor, code: str) -> int:
    """Use up a code of the actor's own account; the account's id."""
    account_id = own_account(actor)
    await tx.lock("second factor", account_id)
    if not await is_on(tx, account_id):
        raise SecondFactorOff
    if (method := await take_code(tx, account_id, code)) is None:
        raise _wrong_code()
    if method is Method.RECOVERY_CODE:
        await audit.record(tx, actor, AuditAction.USER_RECOVERY_CODE_USE, account_id=account_id, name=actor.name)
    return account_id


async def _remove(tx: Transaction, *, actor: Actor, account_id: int, name: str) -> None:
    await rows.delete(tx, account_id)
    await rows.delete_recovery_codes(tx, account_id)
    await audit.record(tx, actor, AuditAction.USER_SECOND_FACTOR_DISABLE, account_id=account_id, name=name)


async def _new_recovery_codes(tx: Transaction, account_id: int) -> list[str]:
    codes = [_new_recovery_code() for _ in range(RECOVERY_CODES)]
    await rows.delete_recovery_codes(tx, account_id)
    await rows.insert_recovery_codes(tx, account_id, [_digest_of(_plain(code)) for code in codes])
    return codes


def _new_recovery_code() -> str:
    """About 79 random bits, in groups that can be typed. So plain SHA-256 hides it well enough."""
    text = "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_CODE_LENGTH))
    return "-".join(text[start : start + 4] for start in range(0, _RECOVERY_CODE_LENGTH, 4))


def _plain(code: str) -> str:
    """A code without what people and apps put between its groups."""
    return "".join(code.split()).replace("-", "").lower()


def _digest_of(plain: str) -> str:
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


def _step_of(factor: SecondFactor, plain: str) -> int | None:
    """The step that a code belongs to, among those that are taken now."""
    totp = pyotp.TOTP(factor.secret)
    now = int(time.time()) // STEP_S
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), plain.encode(errors="surrogatepass")):
            return step
    return None


def _wrong_code() -> FieldInvalid:
    return FieldInvalid({"code": ["This code is wrong, has been used, or is too old."]}, "invalid code")
