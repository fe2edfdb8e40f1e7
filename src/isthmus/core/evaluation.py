"""What an expression means for one row: the reference that every compiled form must agree with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from isthmus.core import expression as ex
from isthmus.core.errors import UnknownName
from isthmus.core.expression import Expression, Literal


def evaluate(expression: Expression, row: Mapping[str, Any]) -> Any:
    """Evaluate for one row: a truth gives True, False or None; numbers, texts, … give their value or None.

    Raises UnknownName for a field that the row lacks, and for a parameter or rule that was never bound.
    """
    match expression:
        case Literal(value=value):
            return value
        case ex.Field(name=name):
            if name not in row:
                raise UnknownName.among("field", name, row)
            return row[name]
        case ex.Parameter(name=name) | ex.RuleName(name=name):
            raise UnknownName(f"{name!r} has no value", "bind the rule first")
        case ex.And(left, right):
            return _both(evaluate(left, row), evaluate(right, row))
        case ex.Or(left, right):
            return _not(_both(_not(evaluate(left, row)), _not(evaluate(right, row))))
        case ex.Not(operand):
            return _not(evaluate(operand, row))
        case ex.IsNull(operand):
            return evaluate(operand, row) is None
        case ex.In(value, items):
            found = evaluate(value, row)
            return _any([_compare(found, "=", evaluate(item, row)) for item in items])
        case ex.Between(value, low, high):
            found = evaluate(value, row)
            return _both(_compare(found, ">=", evaluate(low, row)), _compare(found, "<=", evaluate(high, row)))
    values = [evaluate(child, row) for child in expression.children()]
    return None if any(value is None for value in values) else _apply(expression, values)


def fold(expression: Expression) -> Expression:
    """Replace arithmetic on constants by its value, so that a compiled form compares fields with constants."""
    return ex.transform(expression, _folded)


def matches_like(value: str, pattern: str) -> bool:
    """Tell whether `value` matches a LIKE pattern, in time of at most len(value) × len(pattern)."""
    at, star, resume = 0, -1, 0
    position = 0
    while position < len(value):
        if at < len(pattern) and pattern[at] == "%":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("_", value[position]):
            at += 1
            position += 1
        elif star >= 0:  # let the last % swallow one character more
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(character == "%" for character in pattern[at:])


def _apply(node: Expression, values: list[Any]) -> Any:
    """Apply a node that is null whenever one of its parts is."""
    match node:
        case ex.Negate():
            return -float(values[0])
        case ex.Abs():
            return abs(float(values[0]))
        case ex.Arithmetic(operator=operator):
            return _calculate(float(values[0]), operator, float(values[1]))
        case ex.Compare(operator=operator):
            return _compare(values[0], operator, values[1])
        case ex.Contains():
            return any(item is not None and item == values[1] for item in values[0])
        case ex.Like():
            return matches_like(values[0], values[1])
        case ex.StartsWith():
            return values[0].startswith(values[1])
    raise TypeError(f"no meaning for {type(node).__name__}")


def _calculate(left: float, operator: str, right: float) -> float | None:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right if right != 0 else None


def _compare(left: Any, operator: str, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    if isinstance(left, float) or isinstance(right, float):
        left, right = _orderly(float(left)), _orderly(float(right))
    match operator:
        case "=":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def _orderly(value: float) -> tuple[bool, float]:
    """Order NaN after every number and equal to itself."""
    return (True, 0.0) if math.isnan(value) else (False, value)


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _both(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _any(values: list[bool | None]) -> bool | None:
    if True in values:
        return True
    return None if None in values else False


def _folded(node: Expression) -> Expression:
    if not isinstance(node, (ex.Negate, ex.Abs, ex.Arithmetic)):
        return node
    if not all(isinstance(child, Literal) for child in node.children()):
        return node
    value = evaluate(node, {})
    return Literal(value) if value is not None and math.isfinite(value) else node
