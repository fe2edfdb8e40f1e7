"""Compiles a typed expression into the SQL of an engine: names quoted, every value bound, none pasted.

Comparisons of a field with a constant stay plain (`"speed_max" >= ?`), so that an engine can skip row groups by
their least and greatest values. What a compiled form means is set by `core.evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.core import expression as ex
from isthmus.core.errors import InputError
from isthmus.core.evaluation import fold
from isthmus.core.expression import Expression, Field, Literal
from isthmus.core.kinds import Type

_EXACT = 2**53  # beyond it not every whole number is a float64


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL text of a condition and the values of its placeholders, in order."""

    sql: str
    parameters: tuple[Any, ...]


class Dialect:
    """DuckDB's words for what engines say differently; another engine overrides what differs."""

    name = "duckdb"
    placeholder = "?"

    def quote(self, name: str) -> str:
        """Write a column's name so that it can be nothing else."""
        return '"' + name.replace('"', '""') + '"'

    def as_float(self, sql: str) -> str:
        """Convert a whole number to float64."""
        return f"CAST({sql} AS DOUBLE)"

    def divide(self, left: str, right: str) -> str:
        """Divide in float64; null where the divisor is zero."""
        return f"({left} / NULLIF({right}, 0))"

    def contains(self, array: str, item: str) -> str:
        """Look for an item of an array."""
        return f"list_contains({array}, {item})"

    def starts_with(self, text: str, prefix: str) -> str:
        """Look at the beginning of a text."""
        return f"starts_with({text}, {prefix})"

    def like(self, text: str, pattern: str) -> str:
        """Match a pattern without an escape character."""
        return f"({text} LIKE {pattern})"


DUCKDB = Dialect()


def compiled(expression: Expression, dialect: Dialect = DUCKDB) -> Compiled:
    """Compile a bound expression. Raises InputError where a parameter or rule was never bound."""
    writer = _Writer(dialect)
    sql = writer.write(fold(expression))
    return Compiled(sql, tuple(writer.values))


class _Writer:
    """Writes one expression and gathers its values in the order of their placeholders."""

    def __init__(self, dialect: Dialect) -> None:
        self.values: list[Any] = []
        self._dialect = dialect

    def write(self, node: Expression) -> str:
        """Return the SQL of a node, closed in itself."""
        match node:
            case Literal(value=value):
                return self._bound(value)
            case Field(name=name):
                return self._dialect.quote(name)
            case ex.Negate(operand):
                return f"(-{self._float(operand)})"
            case ex.Abs(operand):
                return f"abs({self._float(operand)})"
            case ex.Arithmetic(left, operator, right):
                one, other = self._float(left), self._float(right)
                return self._dialect.divide(one, other) if operator == "/" else f"({one} {operator} {other})"
            case ex.Not(ex.IsNull(operand)):
                return f"({self.write(operand)} IS NOT NULL)"
            case ex.Not(operand):
                return f"(NOT {self.write(operand)})"
            case ex.And(left, right):
                return f"({self.write(left)} AND {self.write(right)})"
            case ex.Or(left, right):
                return f"({self.write(left)} OR {self.write(right)})"
        return self._predicate(node)

    def _predicate(self, node: Expression) -> str:
        match node:
            case ex.Compare(left, operator, right):
                sign = "<>" if operator == "!=" else operator
                return f"({self._beside(left, right)} {sign} {self._beside(right, left)})"
            case ex.Between(value, low, high):
                shown = self._beside(value, low)
                return f"({shown} BETWEEN {self._beside(low, value)} AND {self._beside(high, value)})"
            case ex.In(value, items):
                shown = self._beside(value, items[0])
                return f"({shown} IN ({', '.join(self._beside(item, value) for item in items)}))"
            case ex.IsNull(operand):
                return f"({self.write(operand)} IS NULL)"
            case ex.Contains(array, item):
                return self._dialect.contains(self.write(array), self.write(item))
            case ex.StartsWith(operand, prefix):
                return self._dialect.starts_with(self.write(operand), self.write(prefix))
            case ex.Like(operand, pattern):
                return self._dialect.like(self.write(operand), self.write(pattern))
        raise InputError(f"{node} cannot be compiled", "bind the rule first")

    def _bound(self, value: Any) -> str:
        self.values.append(value)
        return self._dialect.placeholder

    def _float(self, node: Expression) -> str:
        """Write an operand of arithmetic, which is done in float64."""
        if isinstance(node, Literal) and node.type is Type.INT:
            return self._bound(float(node.value))  # type: ignore[arg-type]
        shown = self.write(node)
        return self._dialect.as_float(shown) if node.type is Type.INT else shown

    def _beside(self, node: Expression, other: Expression) -> str:
        """Write one side of a comparison; a constant takes the other side's type where that changes nothing.

        The engine then need not convert the column, and compares it with its row groups' bounds.
        """
        if isinstance(node, Literal) and isinstance(node.value, (int, float)) and node.type.numeric:
            if other.type is Type.FLOAT:
                return self._bound(float(node.value))
            if node.value == int(node.value) and abs(node.value) <= _EXACT:
                return self._bound(int(node.value))
        return self.write(node)
