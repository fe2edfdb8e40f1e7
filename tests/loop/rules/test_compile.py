from __future__ import annotations

import datetime
import math
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core import expression as ex
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.evaluation import evaluate, fold
from isthmus.core.expression import Expression, Field, Literal
from isthmus.core.kinds import Type
from isthmus.loop.rules.compile import Dialect, compiled
from isthmus.loop.rules.parse import parse

COLUMNS = {
    "n": (Type.INT, pa.int64()),
    "m": (Type.INT, pa.int64()),
    "x": (Type.FLOAT, pa.float64()),
    "y": (Type.FLOAT, pa.float64()),
    "s": (Type.STRING, pa.string()),
    "or": (Type.STRING, pa.string()),
    "flag": (Type.BOOL, pa.bool_()),
    "day": (Type.DATE, pa.date32()),
    "tags": (Type.STRINGS, pa.list_(pa.string())),
    "codes": (Type.INTS, pa.list_(pa.int64())),
}
SCHEMA = pa.schema([(name, arrow) for name, (_, arrow) in COLUMNS.items()])

WHOLE = st.integers(-6, 6) | st.integers(-(2**53), 2**53)
FRACTION = st.integers(-12, 12).map(lambda n: n / 4) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text("ab%_'\"é€\n\\;- \0", max_size=5)
DATE = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)) | st.dates(
    datetime.date(2026, 11, 1), datetime.date(2026, 11, 4)
)
VALUES = {
    Type.INT: WHOLE,
    Type.FLOAT: FRACTION,
    Type.STRING: TEXT,
    Type.BOOL: st.booleans(),
    Type.DATE: DATE,
    Type.STRINGS: st.lists(st.none() | TEXT, max_size=3),
    Type.INTS: st.lists(st.none() | WHOLE, max_size=3),
}
ROW = st.fixed_dictionaries(
    {
        name: st.none() | (VALUES[kind] | st.just(math.nan) if kind is Type.FLOAT else VALUES[kind])
        for name, (kind, _) in COLUMNS.items()
    }
)


def resolve(name: str) -> Expression:
    if name not in COLUMNS:
        raise UnknownName.among("field", name, COLUMNS)
    return Field(name, COLUMNS[name][0])


def leaf(kind: Type) -> st.SearchStrategy[Expression]:
    fields = [Field(name, own) for name, (own, _) in COLUMNS.items() if own is kind]
    if kind.element:
        return st.sampled_from(fields)
    return st.sampled_from(fields) | VALUES[kind].map(Literal)


NUMBER = st.deferred(
    lambda: (
        leaf(Type.INT)
        | leaf(Type.FLOAT)
        | st.builds(ex.Arithmetic, NUMBER, st.sampled_from(ex.Arithmetic.OPERATORS), NUMBER)
        | st.builds(ex.Negate, NUMBER)
        | st.builds(ex.Abs, NUMBER)
    )
)


def comparison(side: st.SearchStrategy[Expression], *operators: str) -> st.SearchStrategy[Expression]:
    wanted = operators or ex.Compare.OPERATORS
    return (
        st.builds(ex.Compare, side, st.sampled_from(wanted), side)
        | st.builds(ex.In, side, st.lists(side, min_size=1, max_size=3).map(tuple))
        | (st.just(Literal(True)) if operators else st.builds(ex.Between, side, side, side))
    )


CONDITION = st.recursive(
    comparison(NUMBER)
    | comparison(leaf(Type.STRING))
    | comparison(leaf(Type.DATE))
    | comparison(leaf(Type.BOOL), "=", "!=")
    | leaf(Type.BOOL)
    | st.builds(ex.Contains, leaf(Type.STRINGS), leaf(Type.STRING))
    | st.builds(ex.Contains, leaf(Type.INTS), leaf(Type.INT))
    | st.builds(ex.Like, leaf(Type.STRING), leaf(Type.STRING))
    | st.builds(ex.StartsWith, leaf(Type.STRING), leaf(Type.STRING))
    | st.sampled_from([Field(name, kind) for name, (kind, _) in COLUMNS.items()]).map(ex.IsNull)
    | NUMBER.map(ex.IsNull),
    lambda inner: st.builds(ex.Not, inner) | st.builds(ex.And, inner, inner) | st.builds(ex.Or, inner, inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def answered(
    connection: duckdb.DuckDBPyConnection, expression: Expression, rows: list[dict[str, Any]]
) -> list[Any]:
    connection.register("scenes", pa.Table.from_pylist(rows, SCHEMA))
    made = compiled(expression)
    found = connection.execute(f"SELECT {made.sql} FROM scenes", list(made.parameters)).fetchall()
    connection.unregister("scenes")
    return [value for (value,) in found]


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expression=CONDITION, rows=st.lists(ROW, min_size=1, max_size=6))
def test_duckdb_answers_as_the_reference_does(
    connection: duckdb.DuckDBPyConnection, expression: Expression, rows: list[dict[str, Any]]
) -> None:
    assert answered(connection, expression, rows) == [evaluate(expression, row) for row in rows]


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expression=CONDITION)
def test_an_expression_written_as_text_reads_back_equal(expression: Expression) -> None:
    assert parse(str(expression), resolve) == expression


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expression=CONDITION, row=ROW)
def test_folding_constants_changes_no_answer(expression: Expression, row: dict[str, Any]) -> None:
    assert evaluate(fold(expression), row) == evaluate(expression, row)


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_no_text_of_a_condition_reaches_the_sql(text: str) -> None:
    made = compiled(ex.And(ex.Compare(Field("s", Type.STRING), "=", Literal(text)), Literal(True)))
    assert made.sql == '(("s" = ?) AND ?)'
    assert made.parameters == (text, True)


def test_a_name_is_quoted_whatever_it_holds() -> None:
    hostile = 's" OR 1=1; DROP TABLE scenes --'
    assert compiled(ex.IsNull(Field(hostile, Type.STRING))).sql == '("s"" OR 1=1; DROP TABLE scenes --" IS NULL)'


@pytest.mark.parametrize(
    ("text", "sql", "parameters"),
    [
        ("x <= -3", '("x" <= ?)', (-3.0,)),
        ("x <= -(1.5 * 2)", '("x" <= ?)', (-3.0,)),
        ("n >= 2.0", '("n" >= ?)', (2,)),
        ("n >= 2.5", '("n" >= ?)', (2.5,)),
        ("n IN (1, 2.0)", '("n" IN (?, ?))', (1, 2)),
        ("x BETWEEN 1 AND 2", '("x" BETWEEN ? AND ?)', (1.0, 2.0)),
        ("day >= '2026-11-01'", '("day" >= ?)', (datetime.date(2026, 11, 1),)),
        ("n / m > 2", '((CAST("n" AS DOUBLE) / NULLIF(CAST("m" AS DOUBLE), 0)) > ?)', (2.0,)),
    ],
)
def test_a_field_is_compared_with_a_constant_of_its_own_type(
    text: str, sql: str, parameters: tuple[Any, ...]
) -> None:
    made = compiled(parse(text, resolve))
    assert (made.sql, made.parameters) == (sql, parameters)
    assert [type(value) for value in made.parameters] == [type(value) for value in parameters]


def test_a_compiled_comparison_skips_the_row_groups_it_cannot_match(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("CREATE TEMP TABLE long AS SELECT range AS n, range / 3.0::DOUBLE AS x FROM range(500000)")
    made = compiled(parse("n >= 499000.0 AND x > -(2 + 3)", resolve))
    plan = connection.execute(f"EXPLAIN ANALYZE SELECT count(*) FROM long WHERE {made.sql}", made.parameters)
    assert "Row Groups Scanned: 1 /" in plan.fetchall()[0][1]


def test_an_unbound_rule_is_not_compiled() -> None:
    with pytest.raises(InputError, match="bind the rule first"):
        compiled(ex.Not(ex.RuleName("cut_in")))


def test_another_engine_overrides_only_its_own_words() -> None:
    class ClickHouse(Dialect):
        name = "clickhouse"

        def contains(self, array: str, item: str) -> str:
            return f"has({array}, {item})"

        def starts_with(self, text: str, prefix: str) -> str:
            return f"startsWith({text}, {prefix})"

    made = compiled(parse("contains(tags, 'urban') AND NOT starts_with(s, 'a')", resolve), ClickHouse())
    assert made.sql == '(has("tags", ?) AND (NOT startsWith("s", ?)))'
