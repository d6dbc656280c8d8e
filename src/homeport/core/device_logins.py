"""Logins of programs that have no page to show (RFC 8628): a person approves them on one of ours.

A program gets two codes. With the long one it asks for its tokens again and again; the short one is for the person, who
types it at `/activate`, sees who asks from where, and signs in there. Of both the SHA-256 is kept.

The short one is of eight letters: 20^8 are 25 thousand million. It lives some minutes, addresses have few attempts, and
who guesses one wins nothing but the chance to sign somebody else's program in to an account of their own.
"""

import hashlib
import re
import secrets
from datetime import timedelta

import msgspec

from homeport.core import audit
from homeport.core.access import Actor
from homeport.core.access_tokens import own_account
from homeport.core.audit import AuditAction
from homeport.errors import DeviceCodeUnknown, DeviceLoginRefused
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import device_logins as rows
from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import Account, DeviceLogin, DeviceStatus

INTERVAL_S = 5
SLOWED_DOWN_BY_S = 5
"""RFC 8628 §3.5."""

DEVICE_CODE_BYTES = 32
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no words come out, and nothing that looks like something else (RFC 8628 §6.1)."""

USER_CODE_LENGTH = 8
USER_AGENT_LENGTH_LIMIT = 512

_NO_LETTER = re.compile(r"[^A-Z]")


class Started(msgspec.Struct, frozen=True):
    """A new login with its codes, which nobody can read again."""

    device_code: str
    user_code: str


async def start(tx: Transaction, *, guest: Actor, client_id: str, lifetime_s: int) -> Started:
    """Begin the login of a program; `guest` is where it comes from."""
    while True:
        device_code = secrets.token_urlsafe(DEVICE_CODE_BYTES)
        letters = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(USER_CODE_LENGTH))
        if await rows.insert(
            tx,
            device_code_sha256=_digest_of(device_code),
            user_code_sha256=_digest_of(letters),
            client_id=client_id,
            address=guest.address,
            user_agent=guest.user_agent[:USER_AGENT_LENGTH_LIMIT],
            interval_s=INTERVAL_S,
            expires_at=utcnow() + timedelta(seconds=lifetime_s),
        ):
            return Started(device_code, shown(letters))


def shown(user_code: str) -> str:
    """A code as it is shown, however it was typed: `BCDF-GHJK`."""
    letters = _NO_LETTER.sub("", user_code.upper())
    return f"{letters[:4]}-{letters[4:]}" if letters else ""


# What the person does


async def access(tx: Transaction, *, user_code: str) -> DeviceLogin:
    """The login that waits for somebody with this code.

    Raises:
        DeviceCodeUnknown: there is none, or none any more.
    """
    found = await rows.get_by_user_code(tx, _digest_of(_NO_LETTER.sub("", user_code.upper())))
    if found is None or found.status is not DeviceStatus.PENDING or found.expires_at <= utcnow():
        raise DeviceCodeUnknown
    return found


async def approve(tx: Transaction, *, actor: Actor, account: Account, user_code: str) -> None:
    """Let the program in. `account` is the actor's, as it was when they signed in.

    Raises:
        TokenNotAllowed: the actor has signed in with an access token.
        DeviceCodeUnknown: as `access`.
    """
    account_id = own_account(actor)
    found = await access(tx, user_code=user_code)
    await _decide(tx, found, DeviceStatus.APPROVED)
    await rows.set_account(tx, found.id, account_id=account_id, credentials_version=account.credentials_version)
    await audit.record(
        tx,
        actor,
        AuditAction.USER_DEVICE_APPROVE,
        account_id=account_id,
        name=actor.name,
        client_id=found.client_id,
        device_address=found.address,
        device_user_agent=found.user_agent,
    )


async def deny(tx: Transaction, *, user_code: str) -> None:
    """Turn the program away; the code suffices. Nobody's account has to do with it yet, so that no log tells of it.

    Raises:
        DeviceCodeUnknown: as `access`.
    """
    await _decide(tx, await access(tx, user_code=user_code), DeviceStatus.DENIED)


async def _decide(tx: Transaction, found: DeviceLogin, status: DeviceStatus) -> None:
    # Somebody else may have done so between.
    if not await rows.move(tx, found.id, from_=DeviceStatus.PENDING, to=status):
        raise DeviceCodeUnknown


# What the program does


async def poll(tx: Transaction, *, device_code: str, client_id: str) -> Account | DeviceLoginRefused:
    """The account that has let the program in, once; or why there is none. That is no exception: it is to be kept that
    the program has asked.
    """
    found = await rows.get_by_device_code(tx, _digest_of(device_code))
    if found is None or found.client_id != client_id or found.status is DeviceStatus.USED:
        return DeviceLoginRefused("invalid_grant", "the device code is unknown, or was used")
    if found.expires_at <= utcnow():
        return DeviceLoginRefused("expired_token", "the device code has expired: begin the login again")
    if found.status is DeviceStatus.DENIED:
        return DeviceLoginRefused("access_denied", "the login was denied")
    if found.status is DeviceStatus.PENDING:
        return await _wait(tx, found)
    return await _redeem(tx, found)


async def _wait(tx: Transaction, found: DeviceLogin) -> DeviceLoginRefused:
    now = utcnow()
    interval = timedelta(seconds=found.interval_s)
    # Half of it is enough: programs keep to the interval by their clock, and one request may come late and the next
    # early. Docker's own command line client gives up when it is told to slow down.
    if found.polled_at is not None and now - found.polled_at < interval / 2:
        await rows.set_polled(tx, found.id, at=now, interval_s=found.interval_s + SLOWED_DOWN_BY_S)
        return DeviceLoginRefused("slow_down", f"ask {SLOWED_DOWN_BY_S} seconds less often")
    await rows.set_polled(tx, found.id, at=now, interval_s=found.interval_s)
    return DeviceLoginRefused("authorization_pending", "nobody has approved the login yet")


async def _redeem(tx: Transaction, found: DeviceLogin) -> Account | DeviceLoginRefused:
    assert found.account_id is not None
    if not await rows.move(tx, found.id, from_=DeviceStatus.APPROVED, to=DeviceStatus.USED):
        return DeviceLoginRefused("invalid_grant", "the device code was used")
    account = await account_rows.get_by_id(tx, found.account_id)
    if account is None or not account.is_active or account.credentials_version != found.credentials_version:
        return DeviceLoginRefused("access_denied", "the account has changed since the login was approved")
    return account


def _digest_of(code: str) -> str:
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()
