"""Whether statements are served by indexes, as the databases explain them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from homeport.core.services import Services
from homeport.storage.db.database import Transaction

Ask = Callable[[Transaction], Awaitable[Any]]


class Step(msgspec.Struct, frozen=True):
    """A row of SQLite's `explain query plan`."""

    id: int
    parent: int
    notused: int
    detail: str


class _Explaining:
    """A transaction that has statements explained in place of run, and finds nothing."""

    def __init__(self, tx: Transaction, *, is_sqlite: bool) -> None:
        self._tx = tx
        self._is_sqlite = is_sqlite
        self.plans: list[str] = []

    async def one(self, _struct: type, sql: str, /, **parameters: Any) -> None:
        await self._explain(sql, parameters)

    async def many(self, _struct: type, sql: str, /, **parameters: Any) -> list[Any]:
        await self._explain(sql, parameters)
        return []

    async def value(self, _type: type, sql: str, /, **parameters: Any) -> None:
        await self._explain(sql, parameters)

    async def _explain(self, sql: str, parameters: dict[str, Any]) -> None:
        if self._is_sqlite:
            steps = await self._tx.many(Step, f"explain query plan {sql}", **parameters)
            self.plans.append("\n".join(step.detail for step in steps))
        else:
            await self._tx.run("set local enable_seqscan = off")
            self.plans.append(await self._tx.value(str, f"explain (format json) {sql}", **parameters) or "")


async def plans_of(services: Services, ask: Ask) -> list[str]:
    """The plans of the statements that a function runs."""
    async with services.db.write() as tx:
        explaining: Any = _Explaining(tx, is_sqlite=services.settings.is_sqlite)
        await ask(explaining)
    plans: list[str] = explaining.plans
    return plans


async def uses_no_scan(services: Services, ask: Ask) -> None:
    """Assert that no statement of a function looks at a whole table."""
    plans = await plans_of(services, ask)
    assert plans
    for plan in plans:
        assert "SCAN" not in plan, plan
        assert "Seq Scan" not in plan, plan
