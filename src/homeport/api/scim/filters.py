"""From the syntax trees of SCIM's filters and orders to those of the database (`storage/db/scim_filters.py`).

What is the same for every resource (its schemas, its type, the organization) is no column: conditions on that are
decided here.
"""

from typing import Any, cast

from scim2_models import Meta, ScimFilter, SearchRequest
from scim2_models.exceptions import InvalidFilterException
from scim2_models.path import (
    AttributeBinding,
    AttrPath,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
    coerce_value,
)
from scim2_models.path import Not as NotNode
from scim2_models.path import Present as PresentNode

from homeport.storage.db.scim_filters import All, AnyOf, Compare, Known, Node, Not, Order, Present, Some

FILTER_LENGTH_LIMIT = 8192
TERMS_LIMIT = 200
"""Comparisons in one filter."""

# Attributes whose column has another name, and those whose values are rows of their own.
_META = {"created": "created", "last_modified": "last_modified", "location": "location", "version": "version"}
_NAME = ("given_name", "family_name")
_MANY = ("emails", "groups", "members")

# A search of users and groups may name what only one of them has: the other one has no value (RFC 7644 §3.4.2.1).
_NOWHERE = Known(is_true=False)
_TEXT_OPERATORS = ("co", "sw", "ew")


def condition(search: SearchRequest[Any], constants: Any) -> Node | None:
    """The filter of a search; `constants` is a resource with what all of them have in common.

    Raises:
        InvalidFilterException: too long, or an attribute or a value that cannot be compared.
    """
    filter_ = search.filter
    if filter_ is None:
        return None
    if len(filter_) > FILTER_LENGTH_LIMIT:
        raise InvalidFilterException(detail=f"a filter has at most {FILTER_LENGTH_LIMIT} characters")
    bound: Any = ScimFilter.__class_getitem__(type(constants))
    return _Translator(bound(str(filter_)), constants).visit(filter_.ast)


def order(search: SearchRequest[Any], model: Any) -> Order | None:
    """What a search is sorted by, or None where that is the same for every resource."""
    binding = search.sort_binding(model)
    if binding is None:
        return None
    field, part = _field(binding)
    if not field:
        return None
    return Order(field, part, is_descending=search.sort_order == SearchRequest.SortOrder.descending)


def _field(binding: AttributeBinding) -> tuple[str, str]:
    """Field and part that an attribute stands for; no field for what is the same for every resource."""
    name, part = binding.field_name, binding.sub_field_name
    if name in _MANY:
        return name, part or ""
    if name == "meta":
        return _META.get(part or "", ""), ""
    if name == "name" and part:
        return part, ""
    return ("", "") if name in ("schemas", "docker_org") else (name, "")


class _Translator(FilterVisitor[Node]):
    def __init__(self, filter_: ScimFilter[Any], constants: Any) -> None:
        self._filter = filter_
        self._constants = constants
        self._within: AttrPath | None = None
        self._terms = 0

    def visit_not(self, node: NotNode) -> Node:
        return Not(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> Node:
        terms = tuple(self.visit(term) for term in node.terms)
        return All(terms) if node.op is LogicalOperator.and_ else AnyOf(terms)

    def visit_value_path(self, node: ValuePath) -> Node:
        binding = self._resolved(node.attr_path)
        if binding is None:
            return _NOWHERE
        if binding.field_name not in _MANY:
            return self._constant(node)
        self._within = node.attr_path
        try:
            inner = self.visit(node.val_filter)
        finally:
            self._within = None
        return Some(binding.field_name, inner)

    def visit_present(self, node: PresentNode) -> Node:
        binding = self._resolved(node.attr_path)
        if binding is None:
            return _NOWHERE
        if binding.field_name == "name" and not binding.sub_field_name:
            return AnyOf(tuple(Present(name) for name in _NAME))
        if binding.field_name == "meta" and not binding.sub_field_name:
            return Known(is_true=True)
        field, part = self._placed(binding)
        return Present(field, part) if field else self._constant(node)

    def visit_comparison(self, node: Comparison) -> Node:
        _check_value(node)
        binding = self._resolved(node.attr_path, is_compared=True)
        operator = cast(Any, node.op.value)
        if binding is None:
            return Known(is_true=operator == ("eq" if node.value is None else "ne"))
        if binding.field_name in ("name", "meta") and not binding.sub_field_name:
            return self._whole(binding, operator, node.value)
        field, part = self._placed(binding)
        if not field:
            return self._constant(node)
        value = coerce_value(binding, node.value, node.op)
        if value is not None and not _is_comparable(binding, operator, value):
            raise InvalidFilterException(detail=f"{node.attr_path} cannot be compared like that: {operator}")
        return Compare(field, operator, binding.comparable(value), part)

    def _whole(self, binding: AttributeBinding, operator: str, value: Any) -> Node:
        """A complex attribute equals nothing; whether it is there can be asked by comparing it with null."""
        is_there: Node = Known(is_true=True)
        if binding.field_name == "name":
            is_there = AnyOf(tuple(Compare(name, "ne", None) for name in _NAME))
        if value is None and operator in ("eq", "ne"):
            return is_there if operator == "ne" else Not(is_there)
        return Known(is_true=operator == "ne")

    def _resolved(self, path: AttrPath, *, is_compared: bool = False) -> AttributeBinding | None:
        self._terms += 1
        if self._terms > TERMS_LIMIT:
            raise InvalidFilterException(detail=f"a filter has at most {TERMS_LIMIT} comparisons")
        if self._within is not None:
            path = AttrPath(self._within.attr, path.attr, self._within.uri)
        resolve = self._filter.resolve_comparison if is_compared else self._filter.resolve
        return resolve(path, strict=False)

    def _placed(self, binding: AttributeBinding) -> tuple[str, str]:
        """Where an attribute is; within the brackets of a selection its parts stand for themselves."""
        field, part = _field(binding)
        return (part, "") if self._within is not None else (field, part)

    def _constant(self, node: FilterNode) -> Known:
        bound: Any = ScimFilter.__class_getitem__(type(self._constants))
        return Known(is_true=bound(node).match(self._constants))


def _check_value(node: Comparison) -> None:
    """Raises InvalidFilterException: no attribute can have the value."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise InvalidFilterException(detail=f"{node.attr_path} is no number")
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= character <= "\udfff" for character in value)):
        raise InvalidFilterException(detail=f"{node.attr_path} is compared with characters that cannot be kept")


def _is_comparable(binding: AttributeBinding, operator: str, value: Any) -> bool:
    """Texts are searched for texts, and times have a zone."""
    if operator in _TEXT_OPERATORS:
        kind = binding.target_type
        return isinstance(value, str) and (kind is None or (isinstance(kind, type) and issubclass(kind, str)))
    return getattr(value, "tzinfo", value) is not None


def constants_of(model: Any, name: str, extension: Any = None) -> Any:
    """A resource with nothing but what all of its type have in common."""
    resource = model(meta=Meta(resource_type=name))
    if extension is not None:
        resource[type(extension)] = extension
        resource.schemas = [*resource.schemas, str(type(extension).__schema__)]
    return resource
