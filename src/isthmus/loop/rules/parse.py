"""Reads a condition in SQL expression syntax into a typed expression, node by node from a whitelist.

What the whitelist does not name is refused with its place in the text: subqueries, window functions, casts and
all other functions never reach an engine. sqlglot only finds the shape of the text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp

from isthmus.core import expression as ex
from isthmus.core.errors import ConditionError, UnknownInCondition, UnknownName
from isthmus.core.expression import Expression, Literal
from isthmus.core.kinds import Type

Resolve = Callable[[str], Expression]
"""Says what a name stands for. Raises UnknownName where it stands for nothing."""

LONGEST = 10_000
DEEPEST = 200
_COMPARE = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_ALLOWED = "allowed: + - * / = != < <= > >= AND OR NOT IN BETWEEN LIKE, IS NULL, abs(), contains(), starts_with()"


def parse(text: str, resolve: Resolve) -> Expression:
    """Read a condition. Raises ConditionError (UnknownInCondition for a name) with the place in the text."""
    expression = parse_any(text, resolve)
    if expression.type is not Type.BOOL:
        raise ConditionError(
            f"{_short(text)} is {expression.type.value}, no condition", "compare it with something"
        )
    return expression


def parse_any(text: str, resolve: Resolve) -> Expression:
    """Read an expression of any type. Raises ConditionError as `parse` does."""
    if not text.strip():
        raise ConditionError("the condition is empty", "write one such as: speed_max >= 20")
    if len(text) > LONGEST:
        raise ConditionError(f"the condition has {len(text)} characters, more than {LONGEST}", "shorten it")
    deep = ConditionError(f"{_short(text)} is nested too deeply", "split it into rules")
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb", into=exp.Condition)
    except sqlglot.errors.ParseError as error:
        raise _syntax_error(text, error) from error
    except sqlglot.errors.TokenError as error:
        raise ConditionError(f"syntax error in {_short(text)}: {_unclosed(text)}", "close it") from error
    except RecursionError as error:
        raise deep from error
    if _depth(tree) > DEEPEST:
        raise deep
    return _Translation(text, resolve).translate(tree)


class _Translation:
    """Translates the nodes of one text."""

    def __init__(self, text: str, resolve: Resolve) -> None:
        self._text = text
        self._resolve = resolve

    def translate(self, node: Any) -> Expression:
        try:
            return self._node(node)
        except ConditionError as error:
            if error.offset is not None:  # an inner node has told its place
                raise
            raise ConditionError(f"{error.what} ({self._place(node)})", error.hint, self._offset(node)) from error
        except UnknownName as error:
            raise UnknownInCondition(
                f"{error.what} ({self._place(node)})", error.hint, self._offset(node)
            ) from error

    def _node(self, node: Any) -> Expression:
        kind = type(node)
        if kind is exp.Paren:
            return self.translate(self._only(node, "this")[0])
        if kind is exp.Column:
            return self._name(node)
        if kind in (exp.Literal, exp.Boolean):
            return _constant(node)
        if kind is exp.Neg:
            return self._negated(node)
        if kind is exp.Cast:
            return self._date(node)
        if kind in _COMPARE or kind in _ARITHMETIC:
            return self._binary(node, kind)
        if kind is exp.And or kind is exp.Or:
            left, right = self._both(node)
            return ex.And(left, right) if kind is exp.And else ex.Or(left, right)
        if kind is exp.Not:
            return ex.Not(self.translate(self._only(node, "this")[0]))
        return self._predicate(node, kind)

    def _predicate(self, node: Any, kind: type) -> Expression:
        if kind is exp.Is:
            operand, null = self._only(node, "this", "expression")
            if not isinstance(null, exp.Null):
                raise ConditionError("IS is for NULL alone", "write x = TRUE, or x IS NULL")
            return _maybe_not(node, ex.IsNull(self.translate(operand)))
        if kind is exp.Between:
            value, low, high = (self.translate(p) for p in self._only(node, "this", "low", "high"))
            return _maybe_not(node, ex.Between(_like(value, low), _like(low, value), _like(high, value)))
        if kind is exp.In:
            return _maybe_not(node, self._in(node))
        if kind is exp.Like:
            operand, pattern = self._both(node)
            return _maybe_not(node, ex.Like(operand, pattern))
        if kind is exp.Abs:
            return ex.Abs(self.translate(self._only(node, "this")[0]))
        if kind is exp.StartsWith:
            operand, prefix = self._both(node)
            return ex.StartsWith(operand, prefix)
        if kind in (exp.Contains, exp.ArrayContains):
            array, item = self._both(node)
            return ex.Contains(array, item)
        if kind is exp.Null:
            raise ConditionError("NULL equals nothing, not even NULL", "write x IS NULL or x IS NOT NULL")
        raise ConditionError(f"{_called(node)} is not allowed in a condition", _ALLOWED)

    def _only(self, node: Any, *names: str) -> list[Any]:
        """Return the named parts of the node; refuse a node that has any other."""
        present = {name for name, value in node.args.items() if value not in (None, False, [])}
        extra = present - set(names) - {"negate", "typed", "safe"}
        missing = set(names) - present
        if extra or missing:
            raise ConditionError(f"this form of {_called(node)} is not allowed in a condition", _ALLOWED)
        return [node.args[name] for name in names]

    def _both(self, node: Any) -> tuple[Expression, Expression]:
        left, right = self._only(node, "this", "expression")
        return self.translate(left), self.translate(right)

    def _name(self, node: Any) -> Expression:
        parts = [part.name for part in node.parts]
        if len(parts) != 1 or not isinstance(node.this, exp.Identifier):
            raise ConditionError(f"{'.'.join(parts)} is no plain name", "write the name of a field or rule alone")
        return self._resolve(parts[0])

    def _negated(self, node: Any) -> Expression:
        operand = self._only(node, "this")[0]
        if isinstance(operand, exp.Literal) and not operand.is_string:
            return _number("-" + operand.this)  # a negative constant, not a calculation
        return ex.Negate(self.translate(operand))

    def _date(self, node: Any) -> Expression:
        value, target = self._only(node, "this", "to")
        if not (isinstance(value, exp.Literal) and value.is_string and target.is_type("date")):
            raise ConditionError("a cast is not allowed in a condition", "write dates as DATE '2026-11-20'")
        return Literal(_read_date(value.this))

    def _binary(self, node: Any, kind: type) -> Expression:
        left, right = self._both(node)
        if kind in _ARITHMETIC:
            return ex.Arithmetic(left, _ARITHMETIC[kind], right)
        return ex.Compare(_like(left, right), _COMPARE[kind], _like(right, left))

    def _in(self, node: Any) -> Expression:
        if node.args.get("field") is not None:  # 'urban' in tags
            item, array = self._only(node, "this", "field")
            return ex.Contains(self.translate(array), self.translate(item))
        if node.args.get("query") is not None:
            raise ConditionError("a subquery is not allowed in a condition", "list the values: x IN (1, 2)")
        value, items = self._only(node, "this", "expressions")
        wanted = self.translate(value)
        return ex.In(wanted, tuple(_like(self.translate(item), wanted) for item in items))

    def _offset(self, node: Any) -> int:
        return min(_starts(node), default=0)

    def _place(self, node: Any) -> str:
        return place(self._text, self._offset(node))


def place(text: str, offset: int) -> str:
    """Say where an offset lies: its column, and its line where there are several."""
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}" if "\n" in text else f"column {column}"


def _starts(node: Any) -> Iterator[int]:
    for part in node.walk():
        if "start" in part.meta:
            yield int(part.meta["start"])


def _depth(tree: Any) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in node.iter_expressions()]
    return deepest


def _like(node: Expression, other: Expression) -> Expression:
    """Read a text that is compared with a date as a date."""
    if other.type is Type.DATE and isinstance(node, Literal) and isinstance(node.value, str):
        return Literal(_read_date(node.value))
    return node


def _maybe_not(node: Any, expression: Expression) -> Expression:
    return ex.Not(expression) if node.args.get("negate") else expression


def _constant(node: Any) -> Literal:
    if isinstance(node, exp.Boolean):
        return Literal(bool(node.this))
    return Literal(str(node.this)) if node.is_string else _number(node.this)


def _number(text: str) -> Literal:
    digits = text.replace("_", "")
    try:
        return Literal(int(digits) if re.fullmatch(r"-?\d+", digits) else float(digits))
    except ValueError as error:
        raise ConditionError(f"{text} is no number", "write it as 12, 0.5 or 1e-3") from error


def _read_date(text: str) -> datetime.date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise ConditionError(f"{text!r} is no date", "write it as '2026-11-20'")


def _called(node: Any) -> str:
    if isinstance(node, exp.Anonymous):
        return f"the function {node.this}()"
    if isinstance(node, exp.Func):
        return f"the function {node.sql_name().lower()}()"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:59] + "…")


def _syntax_error(text: str, error: Any) -> ConditionError:
    first = error.errors[0] if error.errors else {}
    line, column, word = first.get("line") or 1, first.get("col") or 1, first.get("highlight") or ""
    starts = [0] + [found.end() for found in re.finditer("\n", text)]
    offset = max(0, starts[min(line, len(starts)) - 1] + column - max(1, len(word)))  # col is the word's end
    near = f" at {word!r}" if word else ""
    return ConditionError(
        f"syntax error{near} in {_short(text)} ({place(text, offset)})",
        "write one condition, such as: a <= 3 and b",
        offset,
    )


def _unclosed(text: str) -> str:
    return "a quote is not closed" if text.count("'") % 2 or text.count('"') % 2 else "a sign nobody knows"
