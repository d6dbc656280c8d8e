"""What a hub needs before its first request: signing keys, the site administrator, the official namespace."""

import secrets

import msgspec

from homeport.core import accounts, orgs
from homeport.core.access import OPERATOR
from homeport.core.signing import new_key
from homeport.names import OFFICIAL_NAMESPACE
from homeport.storage.db import accounts as rows
from homeport.storage.db.database import Database
from homeport.storage.db.records import Badge

ADMIN = "admin"


class Prepared(msgspec.Struct, frozen=True):
    """What `prepare` did. `generated_password` is to be shown once; None if it was given, or nothing was made."""

    is_new: bool
    generated_password: str | None = None


async def is_prepared(db: Database) -> bool:
    """Whether `prepare` has been here."""
    async with db.read() as tx:
        return bool(await rows.list_signing_keys(tx))


async def prepare(db: Database, *, admin_password: str = "") -> Prepared:
    """Make what is missing; safe to repeat, also by several processes at once.

    Raises:
        FieldInvalid: the password cannot be one.
    """
    async with db.read() as tx:
        admin = await rows.get(tx, ADMIN)
        keys = await rows.list_signing_keys(tx)
    if admin is not None and keys:
        return Prepared(is_new=False)
    password = admin_password or secrets.token_urlsafe(18)
    password_hash = await accounts.hash_new_password(password)
    async with db.write() as tx:
        await tx.lock("setup", 0)
        if not await rows.list_signing_keys(tx):
            await rows.insert_signing_key(tx, new_key())
        if await rows.get(tx, ADMIN) is not None:
            return Prepared(is_new=False)
        await accounts.create_user(
            tx,
            actor=OPERATOR,
            name=ADMIN,
            email="admin@localhost",
            password_hash=password_hash,
            full_name="Site administrator",
            is_site_admin=True,
        )
        await orgs.create_organization(tx, actor=OPERATOR, name=OFFICIAL_NAMESPACE, owner=ADMIN, badge=Badge.OFFICIAL)
    return Prepared(is_new=True, generated_password=None if admin_password else password)
