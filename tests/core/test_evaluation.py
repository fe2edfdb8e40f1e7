from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core import expression as ex
from isthmus.core.errors import UnknownName
from isthmus.core.evaluation import evaluate, fold, matches_like
from isthmus.core.expression import Expression, Field, Literal
from isthmus.core.kinds import Type

X = Field("x", Type.FLOAT)
FLAG = Field("flag", Type.BOOL)
OTHER = Field("other", Type.BOOL)
TRUTHS: tuple[bool | None, ...] = (True, False, None)


@pytest.mark.parametrize("left", TRUTHS)
@pytest.mark.parametrize("right", TRUTHS)
def test_truths_follow_the_tables_of_sql(left: bool | None, right: bool | None) -> None:
    row = {"flag": left, "other": right}
    rank = {False: 0, None: 1, True: 2}  # Kleene: AND is the lesser, OR the greater, NOT turns the order round
    assert evaluate(ex.And(FLAG, OTHER), row) is min(left, right, key=rank.__getitem__)
    assert evaluate(ex.Or(FLAG, OTHER), row) is max(left, right, key=rank.__getitem__)
    assert evaluate(ex.Not(FLAG), row) is {True: False, False: True, None: None}[left]


@pytest.mark.parametrize("operator", ex.Compare.OPERATORS)
def test_null_never_matches_whatever_it_is_compared_with(operator: str) -> None:
    assert evaluate(ex.Compare(X, operator, Literal(3)), {"x": None}) is None
    assert evaluate(ex.Not(ex.Compare(X, operator, Literal(3))), {"x": None}) is None
    assert evaluate(ex.Compare(X, operator, X), {"x": None}) is None


def test_is_null_is_never_null() -> None:
    assert evaluate(ex.IsNull(X), {"x": None}) is True
    assert evaluate(ex.IsNull(ex.Arithmetic(X, "/", Literal(0))), {"x": 1.0}) is True
    assert evaluate(ex.IsNull(X), {"x": 0.0}) is False


def test_in_with_an_unknown_item_is_unknown_unless_another_matches() -> None:
    y = Field("y", Type.FLOAT)
    assert evaluate(ex.In(X, (y, Literal(1))), {"x": 1.0, "y": None}) is True
    assert evaluate(ex.In(X, (y, Literal(2))), {"x": 1.0, "y": None}) is None
    assert evaluate(ex.In(X, (Literal(2),)), {"x": 1.0}) is False


def test_between_is_false_where_one_bound_excludes_it_and_the_other_is_null() -> None:
    y = Field("y", Type.FLOAT)
    assert evaluate(ex.Between(X, Literal(5), y), {"x": 1.0, "y": None}) is False
    assert evaluate(ex.Between(X, Literal(0), y), {"x": 1.0, "y": None}) is None
    assert evaluate(ex.Between(X, Literal(0), Literal(1)), {"x": 1.0}) is True


@pytest.mark.parametrize("bound", [math.inf, -1.0, 0.0])
def test_nan_is_greater_than_every_number_and_equals_itself(bound: float) -> None:
    row = {"x": math.nan, "y": bound}
    assert evaluate(ex.Compare(X, ">", Field("y", Type.FLOAT)), row) is True
    assert evaluate(ex.Compare(X, "=", X), row) is True


def test_a_null_inside_of_an_array_never_matches() -> None:
    tags = Field("tags", Type.STRINGS)
    row: dict[str, Any] = {"tags": [None, "urban"], "name": None}
    assert evaluate(ex.Contains(tags, Literal("urban")), row) is True
    assert evaluate(ex.Contains(tags, Literal("rain")), row) is False
    assert evaluate(ex.Contains(tags, Field("name", Type.STRING)), row) is None
    assert evaluate(ex.Contains(tags, Literal("rain")), {"tags": None}) is None


@given(st.text("ab%_.*\n", max_size=8), st.text("ab%_.*\n", max_size=6))
def test_like_matches_as_the_regular_expression_does(value: str, pattern: str) -> None:
    parts = [{"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern]
    assert matches_like(value, pattern) == bool(re.fullmatch("".join(parts), value, re.DOTALL))


def test_a_hostile_like_pattern_ends() -> None:
    assert not matches_like("a" * 3000, "%a" * 300 + "b")


def test_a_field_that_the_row_lacks_is_told() -> None:
    with pytest.raises(UnknownName, match="unknown field 'x'"):
        evaluate(X, {"y": 1})


@pytest.mark.parametrize("node", [ex.Parameter("gap", Type.FLOAT), ex.RuleName("cut_in")])
def test_what_was_never_bound_has_no_value(node: Expression) -> None:
    with pytest.raises(UnknownName, match="bind the rule first"):
        evaluate(node, {})


def test_folding_leaves_alone_what_has_no_finite_value() -> None:
    by_zero = ex.Arithmetic(Literal(1), "/", Literal(0))
    too_great = ex.Arithmetic(Literal(1e308), "*", Literal(10))
    assert fold(by_zero) == by_zero
    assert fold(too_great) == too_great
    assert fold(ex.Abs(ex.Negate(ex.Arithmetic(Literal(1), "+", Literal(2))))) == Literal(3.0)
