"""Filters and orders of SCIM (RFC 7644 §3.4.2), as SQL that both databases share.

A filter is a tree of the structs below; `Fields` says which column stands for which attribute. Every condition is
true or false, never null, so that `not` is what the RFC means. Attributes that differ by case or Unicode form alone are
compared by their columns `…_key`; whoever builds the tree has folded the values that they are compared with.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

Operator = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
Value = str | bool | datetime | None


class Column(msgspec.Struct, frozen=True):
    """An attribute with one value: an SQL expression, its type, and whether it can be null. The value begins with
    `prefix`, which is in no row. Few rows have the same value of one that is `telling`, and an index finds them.
    """

    sql: str
    type: Literal["text", "flag", "moment"] = "text"
    is_nullable: bool = False
    prefix: str = ""
    is_telling: bool = False


class Rows(msgspec.Struct, frozen=True):
    """An attribute with many values: rows of `source`, which ends in a `where`; a row belongs to the resource whose
    `owner` is the row's `key`. `order` tells which of them a list is sorted by.
    """

    source: str
    key: str
    owner: str
    columns: Mapping[str, Column]
    order: str


Fields = Mapping[str, Column | Rows]
"""Attribute → column. An attribute of many values is `emails`; its parts are named in its `Rows`."""


class Compare(msgspec.Struct, frozen=True):
    """An attribute, or a part of one of many values, compared with a value of its type."""

    field: str
    operator: Operator
    value: Value
    part: str = ""


class Present(msgspec.Struct, frozen=True):
    """Whether an attribute, or a part of one, has a value."""

    field: str
    part: str = ""


class Not(msgspec.Struct, frozen=True):
    node: "Node"


class All(msgspec.Struct, frozen=True):
    nodes: tuple["Node", ...]


class AnyOf(msgspec.Struct, frozen=True):
    nodes: tuple["Node", ...]


class Some(msgspec.Struct, frozen=True):
    """Whether one of an attribute's values fulfils a condition on its parts (`emails[type eq "work"]`)."""

    field: str
    node: "Node"


class Known(msgspec.Struct, frozen=True):
    """A condition that holds for all resources or for none."""

    is_true: bool


Node = Compare | Present | Not | All | AnyOf | Some | Known


class Order(msgspec.Struct, frozen=True):
    """What a list is sorted by. Who has no value comes last; descending, first (RFC 7644 §3.4.2.3)."""

    field: str
    part: str = ""
    is_descending: bool = False


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the resources that a filter lets through, in an order; `base_url` is what locations begin with."""

    base_url: str
    filter: Node | None
    order: Order | None
    offset: int
    limit: int


def condition(node: Node | None, fields: Fields) -> tuple[str, dict[str, Any]]:
    """A filter as a condition, and its parameters; without a filter it is always true."""
    compiler = _Compiler(fields)
    return (compiler.visit(node) if node is not None else "true"), compiler.parameters


def order_by(order: Order | None, fields: Fields, last: str) -> str:
    """What stands behind `order by`; `last` tells apart what is alike otherwise."""
    if order is None:
        return last
    direction = "desc" if order.is_descending else "asc"
    field = fields[order.field]
    if isinstance(field, Column):
        expression, is_nullable = field.sql, field.is_nullable
    else:
        column = field.columns[order.part]
        own = f"{field.source} and {field.key} = {field.owner}"
        expression, is_nullable = f"(select {column.sql} from {own} order by {field.order} limit 1)", True
    by = f"{expression} {direction}, {last} {direction}"
    return f"case when {expression} is null then 1 else 0 end {direction}, {by}" if is_nullable else by


class _Compiler:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.parameters: dict[str, Any] = {}

    def visit(self, node: Node) -> str:
        if isinstance(node, Known):
            return "true" if node.is_true else "false"
        if isinstance(node, Not):
            return f"not ({self.visit(node.node)})"
        if isinstance(node, All | AnyOf):
            word = " and " if isinstance(node, All) else " or "
            return "(" + word.join(self.visit(term) for term in node.nodes) + ")"
        if isinstance(node, Some):
            return self._some(node)
        return self._present(node) if isinstance(node, Present) else self._compare(node)

    def _some(self, node: Some) -> str:
        rows = self._fields[node.field]
        assert isinstance(rows, Rows)
        parts = _Compiler(rows.columns)
        parts.parameters = self.parameters  # one statement, one space of names
        return _exists(rows, parts.visit(node.node), is_telling=_is_telling(node.node, rows.columns))

    def _present(self, node: Present) -> str:
        field = self._fields[node.field]
        if isinstance(field, Column):
            return _has_value(field)
        if node.part:
            return _exists(field, _has_value(field.columns[node.part]))
        return _exists(field, "(" + " or ".join(_has_value(column) for column in field.columns.values()) + ")")

    def _compare(self, node: Compare) -> str:
        field = self._fields[node.field]
        if isinstance(field, Column):
            return self._of_one(field, node.operator, node.value)
        column = field.columns[node.part]
        one = self._of_one
        if node.value is None:
            has_none, has_null = f"not {_exists(field, 'true')}", _exists(field, one(column, "eq", None))
            if node.operator == "eq":
                return f"({has_none} or {has_null})"
            return f"not ({has_none} or {has_null})" if node.operator == "ne" else "false"
        # No value of an attribute equals what it is said not to equal.
        if node.operator == "ne":
            return f"not {_exists(field, one(column, 'eq', node.value))}"
        is_telling = column.is_telling and node.operator == "eq"
        return _exists(field, one(column, node.operator, node.value), is_telling=is_telling)

    def _of_one(self, column: Column, operator: Operator, value: Value) -> str:
        if value is None:
            has_none = f"{column.sql} is null" if column.is_nullable else "false"
            return {"eq": has_none, "ne": f"not ({has_none})"}.get(operator, "false")
        if operator == "ne":
            return f"not ({self._of_one(column, 'eq', value)})"
        sql = f"({self._parameter(column.prefix, column)} || {column.sql})" if column.prefix else column.sql
        test = _TESTS[operator](sql, self._parameter(value, column))
        return f"({column.sql} is not null and {test})" if column.is_nullable else f"({test})"

    def _parameter(self, value: Value, column: Column) -> str:
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return f"cast(:{name} as text)" if column.type == "text" else f":{name}"


def _exists(rows: Rows, condition: str, *, is_telling: bool = False) -> str:
    if is_telling:
        # The rows are found first, and the resources by them: SQLite would ask `exists` of every resource.
        return f"{rows.owner} in (select {rows.key} from {rows.source} and {condition})"
    return f"exists (select 1 from {rows.source} and {rows.key} = {rows.owner} and {condition})"


def _is_telling(node: Node, columns: Fields) -> bool:
    """Whether few rows can fulfil a condition, and an index finds them."""
    if isinstance(node, Compare):
        column = columns[node.field]
        return isinstance(column, Column) and column.is_telling and node.operator == "eq" and node.value is not None
    if isinstance(node, All):
        return any(_is_telling(term, columns) for term in node.nodes)
    return isinstance(node, AnyOf) and all(_is_telling(term, columns) for term in node.nodes)


def _has_value(column: Column) -> str:
    if not column.is_nullable:
        return "true"
    return (
        f"({column.sql} is not null and {column.sql} <> '')" if column.type == "text" else f"{column.sql} is not null"
    )


def _starts(sql: str, value: str) -> str:
    return f"substr({sql}, 1, length({value})) = {value}"


def _ends(sql: str, value: str) -> str:
    return f"length({sql}) >= length({value}) and substr({sql}, length({sql}) - length({value}) + 1) = {value}"


def _contains(sql: str, value: str) -> str:
    # `replace` finds a text on both databases alike; nothing is found in every text, and taken away from none.
    return f"({value} = '' or replace({sql}, {value}, '') <> {sql})"


def _ordered(sign: str) -> Callable[[str, str], str]:
    return lambda sql, value: f"{sql} {sign} {value}"


_TESTS: Mapping[str, Callable[[str, str], str]] = {
    "eq": _ordered("="),
    "co": _contains,
    "sw": _starts,
    "ew": _ends,
    "gt": _ordered(">"),
    "ge": _ordered(">="),
    "lt": _ordered("<"),
    "le": _ordered("<="),
}
