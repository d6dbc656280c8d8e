"""Statements on second factors and recovery codes. They hold no rules."""

from collections.abc import Sequence

from homeport.storage.db.database import Transaction, utcnow
from homeport.storage.db.records import SecondFactor

_COLUMNS = "account_id, secret, confirmed_at"


async def get(tx: Transaction, account_id: int) -> SecondFactor | None:
    return await tx.one(
        SecondFactor,
        f"select {_COLUMNS} from second_factors where account_id = :account_id",
        account_id=account_id,
    )


async def replace_unconfirmed(tx: Transaction, account_id: int, secret: str) -> bool:
    """Write down a secret, over one that was never confirmed; False if the account has a confirmed one."""
    return bool(
        await tx.run(
            """
            insert into second_factors (account_id, secret, created_at) values (:account_id, :secret, :now)
            on conflict (account_id) do update set secret = excluded.secret, created_at = excluded.created_at
            where second_factors.confirmed_at is null
            """,
            account_id=account_id,
            secret=secret,
            now=utcnow(),
        )
    )


async def confirm(tx: Transaction, factor: SecondFactor, step: int) -> bool:
    """Switch a second factor on with its first code; False if another request was first, with a code or a secret."""
    return bool(
        await tx.run(
            """
            update second_factors set confirmed_at = :now, last_step = :step
            where account_id = :account_id and secret = :secret and confirmed_at is null
            """,
            account_id=factor.account_id,
            secret=factor.secret,
            step=step,
            now=utcnow(),
        )
    )


async def take_step(tx: Transaction, factor: SecondFactor, step: int) -> bool:
    """Use up a time step and all before it; False if that was done before, or by another request meanwhile."""
    return bool(
        await tx.run(
            """
            update second_factors set last_step = :step
            where account_id = :account_id and secret = :secret and confirmed_at is not null and last_step < :step
            """,
            account_id=factor.account_id,
            secret=factor.secret,
            step=step,
        )
    )


async def delete(tx: Transaction, account_id: int) -> bool:
    """Delete an account's second factor; whether there was one, confirmed or not."""
    return bool(await tx.run("delete from second_factors where account_id = :account_id", account_id=account_id))


async def insert_recovery_codes(tx: Transaction, account_id: int, codes_sha256: Sequence[str]) -> None:
    await tx.run_many(
        "insert into recovery_codes (account_id, code_sha256) values (:account_id, :code_sha256)",
        [{"account_id": account_id, "code_sha256": code_sha256} for code_sha256 in codes_sha256],
    )


async def count_recovery_codes(tx: Transaction, account_id: int) -> int:
    found = await tx.value(
        int, "select count(*) from recovery_codes where account_id = :account_id", account_id=account_id
    )
    return found or 0


async def take_recovery_code(tx: Transaction, account_id: int, code_sha256: str) -> bool:
    """Use up a recovery code; False if there is none such (any more)."""
    return bool(
        await tx.run(
            "delete from recovery_codes where account_id = :account_id and code_sha256 = :code_sha256",
            account_id=account_id,
            code_sha256=code_sha256,
        )
    )


async def delete_recovery_codes(tx: Transaction, account_id: int) -> None:
    await tx.run("delete from recovery_codes where account_id = :account_id", account_id=account_id)
