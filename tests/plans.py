"""How the databases would run the statements of a verb: by which indexes, and what they would look at in full."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from homeport.core.services import Services
from homeport.storage.db.database import Transaction
from tests.home import Home

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class Step(msgspec.Struct, frozen=True):
    """One step of a plan, in the words of its database: what it does, and the table or index that it does it to."""

    text: str
    relation: str = ""
    index: str = ""


class Plan(msgspec.Struct, frozen=True):
    """The plan of one statement."""

    sql: str
    steps: Sequence[Step]

    def scans(self, table: str) -> bool:
        """Whether it looks at every row of a table; SQLite calls a table by its alias where it has one."""
        return any(
            step.relation == table and (step.text == "Seq Scan" or step.text.startswith("SCAN ")) for step in self.steps
        )

    def indexes(self) -> list[str]:
        """The indexes that are used, in the order of the steps; `pkey` is a look-up by id."""
        return [step.index for step in self.steps if step.index]

    def sorts_list(self) -> bool:
        """Whether it sorts all that a page is cut out of; the page itself, a subquery `page`, may be sorted."""
        texts = [step.text for step in self.steps]
        if "Limit" in texts:
            return any("Sort" in text for text in texts[texts.index("Limit") :])
        inner = texts[: texts.index("SCAN page")] if "SCAN page" in texts else texts
        return any("TEMP B-TREE FOR ORDER BY" in text for text in inner)

    def is_index_only(self, index: str) -> bool:
        """Whether an index is read without the rows that it is of."""
        return any(
            step.index == index and ("COVERING" in step.text or step.text == "Index Only Scan") for step in self.steps
        )


def plans_of(home: Home, verb: Callable[[Transaction], Awaitable[object]], *, must_scan: bool = False) -> list[Plan]:
    """The plans of the statements that a verb runs, each found out just before it is run. Nothing is kept.

    PostgreSQL looks at all of a small table, or sorts it, because it likes to; with `must_scan` it does so only where
    no index helps.
    """

    async def explain(services: Services) -> list[Plan]:
        plans: list[Plan] = []
        try:
            async with services.db.write() as tx:
                if must_scan and not services.settings.is_sqlite:
                    await tx.run("set local enable_seqscan = off")
                    await tx.run("set local enable_sort = off")
                await verb(_Explaining(tx, plans, is_sqlite=services.settings.is_sqlite))
                raise _Done
        except _Done:
            return plans

    return home.run(explain)


class _Done(Exception):
    """Rolls back what a verb has done."""


class _SqliteRow(msgspec.Struct, frozen=True):
    id: int
    parent: int
    notused: int
    detail: str


class _Explaining:
    """A transaction that finds out the plan of what it runs."""

    def __init__(self, tx: Transaction, plans: list[Plan], *, is_sqlite: bool) -> None:
        self._tx = tx
        self._plans = plans
        self._is_sqlite = is_sqlite

    @property
    def lists(self) -> "_Explaining":
        return self

    async def one(self, struct: type[S], sql: str, /, **parameters: Any) -> S | None:
        await self._explain(sql, parameters)
        return await self._tx.one(struct, sql, **parameters)

    async def many(self, struct: type[S], sql: str, /, **parameters: Any) -> list[S]:
        await self._explain(sql, parameters)
        return await self._tx.many(struct, sql, **parameters)

    async def value(self, type_: type[T], sql: str, /, **parameters: Any) -> T | None:
        await self._explain(sql, parameters)
        return await self._tx.value(type_, sql, **parameters)

    async def run(self, sql: str, /, **parameters: Any) -> int:
        await self._explain(sql, parameters)
        return await self._tx.run(sql, **parameters)

    async def run_many(self, sql: str, rows: Sequence[dict[str, Any]], /) -> None:
        await self._tx.run_many(sql, rows)

    async def lock(self, kind: str, id_: int, /) -> None:
        await self._tx.lock(kind, id_)

    def announce(self, event: str, id_: int, /) -> None:
        self._tx.announce(event, id_)

    async def _explain(self, sql: str, parameters: dict[str, Any]) -> None:
        if self._is_sqlite:
            rows = await self._tx.many(_SqliteRow, f"explain query plan {sql}", **parameters)
            steps = [_sqlite_step(row.detail) for row in rows]
        else:
            text = await self._tx.value(str, f"explain (format json) {sql}", **parameters)
            steps = list(_postgres_steps(json.loads(text or "")[0]["Plan"]))
            partitions = await self._tx.many(_Partition, _PARTITIONS)
            if any(step.relation == partition.name for step in steps for partition in partitions):
                steps = _of_the_whole(steps, partitions)
        self._plans.append(Plan(sql, steps))


def _sqlite_step(detail: str) -> Step:
    """`SEARCH t USING COVERING INDEX i (…)`, `SCAN t`, `SEARCH t USING INTEGER PRIMARY KEY (rowid=?)`, and others."""
    words = detail.split()
    if words[0] not in ("SEARCH", "SCAN"):
        return Step(detail)
    index = words[words.index("INDEX") + 1] if "INDEX" in words else "pkey" if "PRIMARY" in words else ""
    return Step(detail, words[1], index)


def _postgres_steps(node: dict[str, Any]) -> Iterator[Step]:
    index = node.get("Index Name", "")
    yield Step(node["Node Type"], node.get("Relation Name", ""), "pkey" if index.endswith("_pkey") else index)
    for child in node.get("Plans", ()):
        yield from _postgres_steps(child)


class _Partition(msgspec.Struct, frozen=True):
    """A partition, or an index of one, with the table or index that it is a part of."""

    name: str
    whole: str
    is_empty: bool


_PARTITIONS = """
    select part.relname as name, whole.relname as whole,
        part.relkind = 'r' and pg_relation_size(part.oid) = 0 as is_empty
    from pg_inherits join pg_class as part on part.oid = inhrelid join pg_class as whole on whole.oid = inhparent
"""


def _of_the_whole(steps: Sequence[Step], partitions: Sequence[_Partition]) -> list[Step]:
    """Steps that are taken for each partition, as one each. What is empty may be looked at in any way."""
    wholes = {partition.name: partition.whole for partition in partitions}
    empty = {partition.name for partition in partitions if partition.is_empty}
    shown = [
        Step(step.text, wholes.get(step.relation, step.relation), wholes.get(step.index, step.index))
        for step in steps
        if step.relation not in empty
    ]
    return list(dict.fromkeys(shown))


def assert_no_scan(plans: Sequence[Plan]) -> None:
    """No statement looks at every row of any table."""
    assert plans
    for plan in plans:
        tables = {step.relation for step in plan.steps if step.relation}
        assert not any(plan.scans(table) for table in tables), plan


def assert_by_index(plans: Sequence[Plan], *tables: str) -> None:
    """No statement looks at every row of these tables, and none sorts what a page is cut out of."""
    assert plans
    for plan in plans:
        assert not any(plan.scans(table) for table in tables), plan
        assert not (":offset" in plan.sql and plan.sorts_list()), plan
