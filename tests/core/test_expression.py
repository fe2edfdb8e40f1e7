from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable

import pytest

from isthmus.core import expression as ex
from isthmus.core.errors import ConditionError, UnknownInCondition, UnknownName
from isthmus.core.expression import Expression, Field, Literal, transform
from isthmus.core.kinds import Type

SPEED = Field("speed", Type.FLOAT)
STOPS = Field("stops", Type.INT)
SOURCE = Field("source", Type.STRING)
DAY = Field("day", Type.DATE)
TAGS = Field("tags", Type.STRINGS)
PROFILE = Field("profile", Type.FLOATS)
FLAG = Field("flag", Type.BOOL)
TRUE = Literal(True)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: ex.Compare(SPEED, "=", Literal("3")), "speed (a number) cannot be compared with '3' (a text)"),
        (lambda: ex.Compare(DAY, "<", Literal(3)), "day (a date) cannot be compared with 3 (a whole number)"),
        (lambda: ex.Compare(FLAG, "=", Literal(1)), "flag (true or false) cannot be compared with 1"),
        (lambda: ex.Compare(FLAG, "<", TRUE), "< has no meaning for flag (true or false); compare with ="),
        (
            lambda: ex.Compare(TAGS, "=", TAGS),
            "tags (an array of texts) cannot be compared; use contains(tags, …)",
        ),
        (lambda: ex.Compare(SPEED, "~", SPEED), "unknown operator '~'; known: = != < <= > >="),
        (lambda: ex.Between(FLAG, TRUE, TRUE), "BETWEEN has no meaning for flag"),
        (lambda: ex.In(SPEED, ()), "IN () holds nothing; list at least one value"),
        (lambda: ex.In(SPEED, (Literal(1), Literal("x"))), "speed (a number) cannot be compared with 'x'"),
        (lambda: ex.Arithmetic(SPEED, "%", SPEED), "unknown operator '%'; known: + - * /"),
        (lambda: ex.Arithmetic(SPEED, "+", DAY), "+ needs a number, but day (a date) is none"),
        (lambda: ex.Negate(SOURCE), "- needs a number, but source (a text) is none"),
        (lambda: ex.Abs(TAGS), "abs needs a number"),
        (
            lambda: ex.Contains(SOURCE, Literal("x")),
            "contains looks into arrays, not into source (a text); use LIKE",
        ),
        (lambda: ex.Contains(TAGS, Literal(3)), "tags (an array of texts) cannot contain 3 (a whole number)"),
        (lambda: ex.Contains(PROFILE, SPEED), "contains cannot look for fractional numbers in profile"),
        (lambda: ex.Like(SPEED, Literal("3%")), "LIKE needs a text, but speed (a number) is none"),
        (lambda: ex.StartsWith(SOURCE, STOPS), "starts_with needs a text, but stops (a whole number) is none"),
        (lambda: ex.Not(SPEED), "NOT needs true or false, but speed (a number) is none"),
        (lambda: ex.And(TRUE, STOPS), "AND needs true or false, but stops (a whole number) is none"),
        (lambda: ex.Or(SOURCE, TRUE), "OR needs true or false, but source (a text) is none"),
    ],
)
def test_an_expression_that_makes_no_sense_cannot_be_made(made: Callable[[], Expression], told: str) -> None:
    with pytest.raises(ConditionError) as raised:
        made()
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**63, -(2**63) - 1, "\ud800", None, datetime.datetime(2026, 1, 1), [1]]
)
def test_a_constant_that_no_engine_holds_is_refused(value: object) -> None:
    with pytest.raises(ConditionError):
        Literal(value)  # type: ignore[arg-type]


def test_constants_of_different_types_are_never_equal() -> None:
    assert len({Literal(1), Literal(1.0), Literal(True), Literal("1")}) == 4


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (ex.And(ex.Or(FLAG, TRUE), ex.And(FLAG, TRUE)), "(flag OR TRUE) AND (flag AND TRUE)"),
        (ex.Or(ex.And(FLAG, TRUE), FLAG), "flag AND TRUE OR flag"),
        (ex.Not(ex.And(FLAG, FLAG)), "NOT (flag AND flag)"),
        (ex.Not(ex.IsNull(SPEED)), "speed IS NOT NULL"),
        (ex.Not(ex.Not(FLAG)), "NOT (NOT flag)"),
        (
            ex.Compare(ex.Arithmetic(SPEED, "-", ex.Arithmetic(SPEED, "-", STOPS)), "<", Literal(-1)),
            "speed - (speed - stops) < -1",
        ),
        (
            ex.Compare(ex.Arithmetic(ex.Arithmetic(SPEED, "+", STOPS), "*", ex.Negate(SPEED)), ">", Literal(0.5)),
            "(speed + stops) * -(speed) > 0.5",
        ),
        (ex.Compare(FLAG, "=", ex.Compare(SPEED, ">", STOPS)), "flag = (speed > stops)"),
        (ex.Between(DAY, Literal(datetime.date(2026, 1, 2)), DAY), "day BETWEEN DATE '2026-01-02' AND day"),
        (ex.In(SOURCE, (Literal("it's"), Literal(""))), "source IN ('it''s', '')"),
        (ex.Contains(TAGS, Literal("urban")), "contains(tags, 'urban')"),
        (ex.IsNull(Field("order", Type.INT)), '"order" IS NULL'),
        (ex.IsNull(Field('a"b', Type.INT)), '"a""b" IS NULL'),
    ],
)
def test_an_expression_is_told_with_no_more_brackets_than_it_needs(made: Expression, text: str) -> None:
    assert str(made) == text


def test_transforming_replaces_leaves_and_checks_the_types_again() -> None:
    rule = ex.And(
        ex.Compare(SPEED, ">", ex.Parameter("limit", Type.FLOAT)), ex.In(STOPS, (Literal(1), Literal(2)))
    )

    def with_value(value: float | str) -> Expression:
        return transform(rule, lambda node: Literal(value) if isinstance(node, ex.Parameter) else node)

    assert str(with_value(3.5)) == "speed > 3.5 AND stops IN (1, 2)"
    with pytest.raises(ConditionError):
        with_value("fast")
    assert [str(node) for node in rule.walk() if isinstance(node, Field)] == ["speed", "stops"]


def test_expressions_and_their_errors_cross_the_border_of_a_process() -> None:
    rule = ex.And(ex.IsNull(SPEED), ex.Compare(DAY, "=", Literal(datetime.date(2026, 1, 1))))
    assert pickle.loads(pickle.dumps(rule)) == rule  # noqa: S301
    error = pickle.loads(pickle.dumps(UnknownInCondition("what", "hint", 7)))  # noqa: S301
    assert isinstance(error, UnknownName)
    assert (str(error), error.offset) == ("what; hint", 7)
