"""Statements on logins of programs that people approve on a page. They hold no rules."""

from datetime import datetime

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import DeviceLogin, DeviceStatus

_COLUMNS = """id, client_id, status, address, user_agent, created_at, expires_at, polled_at, interval_s, account_id,
    credentials_version"""


async def insert(
    tx: Transaction,
    *,
    device_code_sha256: str,
    user_code_sha256: str,
    client_id: str,
    address: str,
    user_agent: str,
    interval_s: int,
    expires_at: datetime,
) -> bool:
    """Whether none has one of these codes yet."""
    return bool(
        await tx.run(
            """
            insert into device_logins (device_code_sha256, user_code_sha256, client_id, address, user_agent, interval_s,
                created_at, expires_at)
            values (:device_code_sha256, :user_code_sha256, :client_id, :address, :user_agent, :interval_s, :now,
                :expires_at)
            on conflict do nothing
            """,
            device_code_sha256=device_code_sha256,
            user_code_sha256=user_code_sha256,
            client_id=client_id,
            address=address,
            user_agent=user_agent,
            interval_s=interval_s,
            now=utcnow(),
            expires_at=expires_at,
        )
    )


async def get_by_device_code(tx: Transaction, device_code_sha256: str) -> DeviceLogin | None:
    return await tx.one(
        DeviceLogin,
        f"select {_COLUMNS} from device_logins where device_code_sha256 = :device_code_sha256",
        device_code_sha256=device_code_sha256,
    )


async def get_by_user_code(tx: Transaction, user_code_sha256: str) -> DeviceLogin | None:
    return await tx.one(
        DeviceLogin,
        f"select {_COLUMNS} from device_logins where user_code_sha256 = :user_code_sha256",
        user_code_sha256=user_code_sha256,
    )


async def move(tx: Transaction, id_: int, *, from_: DeviceStatus, to: DeviceStatus) -> bool:
    """Whether it was in the one state, and is in the other now."""
    return bool(
        await tx.run(
            "update device_logins set status = :new where id = :id and status = :old", id=id_, old=from_, new=to
        )
    )


async def set_account(tx: Transaction, id_: int, *, account_id: int, credentials_version: int) -> None:
    await tx.run(
        """
        update device_logins set account_id = :account_id, credentials_version = :credentials_version
        where id = :id
        """,
        id=id_,
        account_id=account_id,
        credentials_version=credentials_version,
    )


async def set_polled(tx: Transaction, id_: int, *, at: datetime, interval_s: int) -> None:
    await tx.run(
        "update device_logins set polled_at = :at, interval_s = :interval_s where id = :id",
        id=id_,
        at=at,
        interval_s=interval_s,
    )


async def delete_old(tx: Transaction, *, before: datetime, limit: int) -> int:
    return await tx.run(
        """
        delete from device_logins
        where id in (select id from device_logins where expires_at < :before order by expires_at limit :limit)
        """,
        before=before,
        limit=limit,
    )
