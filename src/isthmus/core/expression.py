"""Typed filter expressions: what a rule or a filter asks of one row, independent of any engine.

Nodes check their types when they are made, so that an expression that exists is well typed. Meaning, the same
for `evaluation.evaluate` and for every compiled form:

- three-valued logic as in SQL: a comparison with null is null, a null condition does not match, and therefore
  `x != 3` does not match rows where `x` is null (ask for `x IS NULL` beside it);
- arithmetic is done in float64 whatever its operands are; dividing by zero gives null;
- NaN equals itself and is greater than every other number, as DuckDB and PostgreSQL order it;
- whole numbers and other numbers compare as float64: exact up to 2^53;
- `contains` on an array never looks for fractional numbers: equality on float32 differs between engines;
- LIKE knows `%` and `_` and no escape character; texts compare by code point.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.core.errors import ConditionError
from isthmus.core.kinds import Type, Value, type_of_value
from isthmus.core.plain import is_plain


class Expression:
    """Base of all nodes. Immutable; equal when of the same shape."""

    __slots__ = ()

    @property
    def type(self) -> Type:
        """What the node yields: a truth, unless a node says otherwise."""
        return Type.BOOL

    def children(self) -> Iterator[Expression]:
        """Yield the direct parts of the node, in the order of its text."""
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Expression):
                yield value
            elif isinstance(value, tuple):
                yield from value

    def walk(self) -> Iterator[Expression]:
        """Yield the node and everything below it, outer nodes first."""
        yield self
        for child in self.children():
            yield from child.walk()

    def __str__(self) -> str:
        return text(self)


class _Number(Expression):
    """Base of the nodes that calculate."""

    __slots__ = ()

    @property
    def type(self) -> Type:
        """Always FLOAT."""
        return Type.FLOAT


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A constant. Raises ConditionError for values that engines cannot hold: NaN, infinity, beyond int64."""

    value: Value
    kind: Type = dataclasses.field(init=False, repr=False)  # tells 1, 1.0 and TRUE apart, which Python calls equal

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", type_of_value(self.value))

    @property
    def type(self) -> Type:
        """The type of the value."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Field(Expression):
    """A column of the row."""

    name: str
    kind: Type

    @property
    def type(self) -> Type:
        """The declared type."""
        return self.kind


@dataclass(frozen=True, slots=True)
class Parameter(Expression):
    """A number, text, … that is chosen when the rule is bound."""

    name: str
    kind: Type

    @property
    def type(self) -> Type:
        """The declared type."""
        return self.kind


@dataclass(frozen=True, slots=True)
class RuleName(Expression):
    """Another rule, as a truth; replaced by its condition when the rule is bound."""

    name: str


@dataclass(frozen=True, slots=True)
class Negate(_Number):
    """Minus the operand."""

    operand: Expression

    def __post_init__(self) -> None:
        _need_number("-", self.operand)


@dataclass(frozen=True, slots=True)
class Abs(_Number):
    """The absolute value of the operand."""

    operand: Expression

    def __post_init__(self) -> None:
        _need_number("abs", self.operand)


@dataclass(frozen=True, slots=True)
class Arithmetic(_Number):
    """`left operator right` in float64, with one of + - * /."""

    left: Expression
    operator: str
    right: Expression

    OPERATORS: ClassVar[tuple[str, ...]] = ("+", "-", "*", "/")

    def __post_init__(self) -> None:
        _known(self.operator, self.OPERATORS)
        _need_number(self.operator, self.left)
        _need_number(self.operator, self.right)


@dataclass(frozen=True, slots=True)
class Compare(Expression):
    """`left operator right` with one of = != < <= > >=."""

    left: Expression
    operator: str
    right: Expression

    OPERATORS: ClassVar[tuple[str, ...]] = ("=", "!=", "<", "<=", ">", ">=")

    def __post_init__(self) -> None:
        _known(self.operator, self.OPERATORS)
        _need_alike(self.left, self.right)
        if self.operator not in ("=", "!=") and not self.left.type.ordered:
            raise ConditionError(f"{self.operator} has no meaning for {_told(self.left)}", "compare with = or !=")


@dataclass(frozen=True, slots=True)
class Between(Expression):
    """`value` lies from `low` to `high`, both included."""

    value: Expression
    low: Expression
    high: Expression

    def __post_init__(self) -> None:
        _need_alike(self.value, self.low)
        _need_alike(self.value, self.high)
        if not self.value.type.ordered:
            raise ConditionError(f"BETWEEN has no meaning for {_told(self.value)}", "compare with = or !=")


@dataclass(frozen=True, slots=True)
class In(Expression):
    """`value` equals one of the items, of which there is at least one."""

    value: Expression
    items: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise ConditionError("IN () holds nothing", "list at least one value")
        for item in self.items:
            _need_alike(self.value, item)


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    """Whether the operand is null. Never null itself."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Contains(Expression):
    """Whether the array holds the item. Null where either is null; a null inside of the array never matches."""

    array: Expression
    item: Expression

    def __post_init__(self) -> None:
        element = self.array.type.element
        if element is None:
            raise ConditionError(f"contains looks into arrays, not into {_told(self.array)}", "use LIKE for texts")
        if element is Type.FLOAT:
            raise ConditionError(
                f"contains cannot look for fractional numbers in {self.array}", "compare a simple field instead"
            )
        if self.item.type is not element:
            raise ConditionError(f"{_told(self.array)} cannot contain {_told(self.item)}")


@dataclass(frozen=True, slots=True)
class Like(Expression):
    """Whether the whole text matches the pattern: % stands for any text, _ for one character."""

    operand: Expression
    pattern: Expression

    def __post_init__(self) -> None:
        _need("LIKE", self.operand, Type.STRING)
        _need("LIKE", self.pattern, Type.STRING)


@dataclass(frozen=True, slots=True)
class StartsWith(Expression):
    """Whether the text begins with the prefix."""

    operand: Expression
    prefix: Expression

    def __post_init__(self) -> None:
        _need("starts_with", self.operand, Type.STRING)
        _need("starts_with", self.prefix, Type.STRING)


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """The contrary; the contrary of null is null."""

    operand: Expression

    def __post_init__(self) -> None:
        _need("NOT", self.operand, Type.BOOL)


class _Joined(Expression):
    """Base of AND and OR."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for part in self.children():
            _need(type(self).__name__.upper(), part, Type.BOOL)


@dataclass(frozen=True, slots=True)
class And(_Joined):
    """Both hold."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Or(_Joined):
    """At least one holds."""

    left: Expression
    right: Expression


def transform(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """Rebuild the expression from its leaves upwards, each node replaced by what `change` makes of it."""
    parts: dict[str, Any] = {}
    for item in dataclasses.fields(expression):  # type: ignore[arg-type]
        value = getattr(expression, item.name)
        if isinstance(value, Expression):
            parts[item.name] = transform(value, change)
        elif isinstance(value, tuple):
            parts[item.name] = tuple(transform(part, change) for part in value)
    rebuilt: Expression = dataclasses.replace(expression, **parts) if parts else expression  # type: ignore[type-var]
    return change(rebuilt)


_OR, _AND, _NOT, _COMPARE, _ADD, _MULTIPLY, _UNARY, _ATOM = range(8)


def text(expression: Expression) -> str:
    """Write the expression as SQL text, which `loop.rules.parse` reads back into an equal expression."""
    return _text(expression)[0]


def _text(node: Expression) -> tuple[str, int]:
    """Return the text of the node and how tightly it binds."""
    match node:
        case Literal(value=value):
            return _literal(value), _ATOM
        case Field(name=name) | Parameter(name=name) | RuleName(name=name):
            return _name(name), _ATOM
        case Negate(operand):
            return f"-({text(operand)})", _UNARY
        case Abs(operand):
            return f"abs({text(operand)})", _ATOM
        case Arithmetic(left, operator, right):
            level = _ADD if operator in "+-" else _MULTIPLY
            return f"{_inside(left, level)} {operator} {_inside(right, level + 1)}", level
        case Compare(left, operator, right):
            return f"{_inside(left, _ADD)} {operator} {_inside(right, _ADD)}", _COMPARE
        case Between(value, low, high):
            return f"{_inside(value, _ADD)} BETWEEN {_inside(low, _ADD)} AND {_inside(high, _ADD)}", _COMPARE
        case In(value, items):
            return f"{_inside(value, _ADD)} IN ({', '.join(text(item) for item in items)})", _COMPARE
        case IsNull(operand):
            return f"{_inside(operand, _ADD)} IS NULL", _COMPARE
        case Contains(array, item):
            return f"contains({text(array)}, {text(item)})", _ATOM
        case Like(operand, pattern):
            return f"{_inside(operand, _ADD)} LIKE {_inside(pattern, _ADD)}", _COMPARE
        case StartsWith(operand, prefix):
            return f"starts_with({text(operand)}, {text(prefix)})", _ATOM
        case Not(IsNull(operand)):
            return f"{_inside(operand, _ADD)} IS NOT NULL", _COMPARE
        case Not(operand):
            return f"NOT {_inside(operand, _COMPARE)}", _NOT
        case And(left, right):
            return f"{_inside(left, _AND)} AND {_inside(right, _NOT)}", _AND
        case Or(left, right):
            return f"{_inside(left, _OR)} OR {_inside(right, _AND)}", _OR
    raise TypeError(f"no text for {type(node).__name__}")


def _inside(node: Expression, least: int) -> str:
    shown, level = _text(node)
    return shown if level >= least else f"({shown})"


def _name(name: str) -> str:
    return name if is_plain(name) else '"' + name.replace('"', '""') + '"'


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    return repr(value)


def _known(operator: str, operators: tuple[str, ...]) -> None:
    if operator not in operators:
        raise ConditionError(f"unknown operator {operator!r}", f"known: {' '.join(operators)}")


def _told(node: Expression) -> str:
    return f"{node} ({node.type.value})"


def _need(operator: str, node: Expression, wanted: Type) -> None:
    if node.type is not wanted:
        raise ConditionError(f"{operator} needs {wanted.value}, but {_told(node)} is none")


def _need_number(operator: str, node: Expression) -> None:
    if not node.type.numeric:
        raise ConditionError(f"{operator} needs a number, but {_told(node)} is none")


def _need_alike(left: Expression, right: Expression) -> None:
    one, other = left.type, right.type
    if one.element or other.element:
        array = left if one.element else right
        raise ConditionError(f"{_told(array)} cannot be compared", f"use contains({array}, …)")
    if one is not other and not (one.numeric and other.numeric):
        raise ConditionError(f"{_told(left)} cannot be compared with {_told(right)}")
