"""Logging in as tests need it: with a second factor, under single sign-on, and what the log has of it."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pyotp

from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole
from tests.home import Home, User

LOGIN = "/v2/users/login"
CODE_LOGIN = "/v2/users/2fa-login"
EXCHANGE = "/v2/auth/token"
SECOND_FACTOR = "/v2/user/2fa"

INCORRECT = b'{"detail":"Incorrect authentication credentials"}'
WRITTEN_WITHIN_S = 10
"""Within which the activity of a server is in its database; it folds every two seconds."""


class Event(msgspec.Struct, frozen=True):
    action: str
    name: str
    actor: str
    data: str

    @property
    def words(self) -> dict[str, str]:
        return msgspec.json.decode(self.data, type=dict[str, str])


class Enrolled(msgspec.Struct, frozen=True):
    """A user whose second factor is on. The code that confirmed it may be used again."""

    user: User
    secret: str
    recovery_codes: Sequence[str]
    client: httpx.Client

    @property
    def code(self) -> str:
        return code_of(self.secret)

    @property
    def proof(self) -> dict[str, str]:
        return {"password": self.user.password, "code": self.code}


def code_of(secret: str, *, after_s: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(time.time()) + after_s)


def wrong_code(secret: str) -> str:
    """Six digits that are no code of these minutes."""
    good = {code_of(secret, after_s=seconds) for seconds in range(-120, 121, 30)}
    return next(code for number in range(20) if (code := f"{number:06}") not in good)


def away_from_a_boundary() -> None:
    """Wait until a few seconds of this time step are left."""
    if time.time() % 30 > 24:
        time.sleep(30.1 - time.time() % 30)


def enrol(home: Home, client: httpx.Client, user: User) -> str:
    """Begin to enrol; the secret."""
    answer = client.post(SECOND_FACTOR, json={"password": user.password})
    assert answer.status_code == 200, answer.text
    secret: str = answer.json()["secret"]
    return secret


def enrolled(home: Home, user: User | None = None) -> Enrolled:
    user = user or home.user()
    client = home.hub(user)
    secret = enrol(home, client, user)
    answer = client.post(f"{SECOND_FACTOR}/confirm", json={"code": code_of(secret)})
    assert answer.status_code == 200, answer.text
    forget_codes(home, user)
    confirmed = answer.json()
    renewed = home.client(authorization=f"Bearer {confirmed['token']}")
    return Enrolled(user, secret, confirmed["recovery_codes"], renewed)


def forget_codes(home: Home, user: User) -> None:
    """Have codes taken again that were used: tests do not wait for the next half minute."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """
                update second_factors set last_step = 0
                where account_id = (select id from accounts where name = :name)
                """,
                name=user.name,
            )

    home.run(verb)


def half_logged_in(home: Home, user: User) -> str:
    """The token that a right password is answered with where a code is wanted."""
    answer = home.anonymous.post(LOGIN, json={"username": user.name, "password": user.password})
    assert answer.status_code == 401, answer.text
    token: str = answer.json()["login_2fa_token"]
    return token


def log_in_by_code(home: Home, login_token: str, code: str, **parameters: str) -> httpx.Response:
    return home.anonymous.post(CODE_LOGIN, params=parameters, json={"login_2fa_token": login_token, "code": code})


def enforce_sso(home: Home, organization: str) -> None:
    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                """
                insert into organization_settings (organization_id, is_sso_enforced)
                select id, true from accounts where name = :name
                """,
                name=organization,
            )

    home.run(verb)


def member_under_sso(home: Home) -> tuple[User, str]:
    """A member of an organization that enforces single sign-on, and its name."""
    user = home.user()
    organization = home.organization(home.user())
    home.member(organization, user, OrganizationRole.MEMBER)
    enforce_sso(home, organization)
    return user, organization


def events(home: Home, user: User, action: str, *, count: int) -> list[Event]:
    """The events of an action in a user's log, the oldest first, when there are `count` of them."""

    async def verb(services: Services) -> list[Event]:
        async with services.db.read() as tx:
            return await tx.many(
                Event,
                """
                select action, audit_events.name, actor, data from audit_events
                join accounts on accounts.id = audit_events.account_id
                where accounts.name = :name and action = :action order by audit_events.id
                """,
                name=user.name,
                action=action,
            )

    found: list[Event] = []
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while time.monotonic() < deadline:
        found = home.run(verb)
        if len(found) >= count:
            break
        time.sleep(0.1)
    assert len(found) == count, found
    return found


def stored_recovery_codes(home: Home, user: User) -> set[str]:
    class Row(msgspec.Struct, frozen=True):
        code_sha256: str

    async def verb(services: Services) -> list[Row]:
        async with services.db.read() as tx:
            return await tx.many(
                Row,
                """
                select code_sha256 from recovery_codes
                join accounts on accounts.id = recovery_codes.account_id where accounts.name = :name
                """,
                name=user.name,
            )

    return {row.code_sha256 for row in home.run(verb)}


def sha256_of(recovery_code: str) -> str:
    return hashlib.sha256(recovery_code.replace("-", "").encode()).hexdigest()


def token_service(home: Home, user: User, secret: str | None = None) -> list[httpx.Response]:
    """The answers of the registry's token service to both ways of showing a password."""
    password = secret or user.password
    form: dict[str, Any] = {"grant_type": "password", "username": user.name, "password": password, "service": "s"}
    return [
        home.anonymous.get("/token", params={"service": "s"}, auth=(user.name, password)),
        home.anonymous.post("/token", data=form),
    ]
