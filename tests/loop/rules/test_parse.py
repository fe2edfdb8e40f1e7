from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConditionError, UnknownInCondition
from isthmus.core.expression import Expression
from isthmus.loop.fields import SCENES
from isthmus.loop.rules.parse import LONGEST, parse
from isthmus.loop.rules.vocabulary import FIELDS, field_named


def read(text: str) -> Expression:
    return parse(text, field_named)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("speed_max>3", "speed_max > 3"),
        ("speed_max <> 3 or speed_max == 4", "speed_max != 3 OR speed_max = 4"),
        ("'urban' in tags", "contains(tags, 'urban')"),
        ("source not like 'ng%'", "NOT source LIKE 'ng%'"),
        ("stops not in (1, 2)", "NOT stops IN (1, 2)"),
        ("stops not between 1 and 2", "NOT stops BETWEEN 1 AND 2"),
        ("ttc_min_s is not null", "ttc_min_s IS NOT NULL"),
        ("day in ('2026-11-01')", "day IN (DATE '2026-11-01')"),
        ("'2026-11-01' <= day", "DATE '2026-11-01' <= day"),
        ("day between '2026-11-01' and date '2026-11-30'", "day BETWEEN DATE '2026-11-01' AND DATE '2026-11-30'"),
        ("accel_min < -3 -- a remark", "accel_min < -3"),
        ("((speed_max)) > (1 + 2) * 3", "speed_max > (1 + 2) * 3"),
        ('"day" is null', "day IS NULL"),
        ("TRUE", "TRUE"),
    ],
)
def test_one_meaning_may_be_written_in_several_ways(text: str, same: str) -> None:
    assert str(read(text)) == same
    assert read(same) == read(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("speed_max > 3 and ttc_min > 1", "unknown field 'ttc_min' (column 19); did you mean 'ttc_min_s'?"),
        (
            "speed_max > 3 and\n  source > 4",
            "source (a text) cannot be compared with 4 (a whole number) (line 2, column 3)",
        ),
        ("stops > 1 and day > '2026-13-01'", "'2026-13-01' is no date (column 15); write it as '2026-11-20'"),
        ("stops > 1 and day > '20261101'", "'20261101' is no date (column 15); write it as '2026-11-20'"),
        (
            "stops > 1 and sqrt(speed_max) > 3",
            "the function sqrt() is not allowed in a condition (column 15); allowed: ",
        ),
        ("ttc_min_s = NULL", "NULL equals nothing, not even NULL (column 1); write x IS NULL or x IS NOT NULL"),
        (
            "stops IN (SELECT 1)",
            "a subquery is not allowed in a condition (column 1); list the values: x IN (1, 2)",
        ),
        ("stops > 99999999999999999999", "99999999999999999999 is beyond whole numbers of 64 bits (column 9)"),
        ("speed_max > 1e999", "inf is no number to compare with (column 13)"),
        ("source = 'abc", 'syntax error in "source = \'abc": a quote is not closed; close it'),
        ("stops > 1 stops", "syntax error at 'stops' in 'stops > 1 stops' (column 11)"),
        ("speed_max", "'speed_max' is a number, no condition; compare it with something"),
        ("Speed_max > 3", "unknown field 'Speed_max' (column 1); did you mean 'speed_max'?"),
        ("  ", "the condition is empty; write one such as: speed_max >= 20"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConditionError) as raised:
        read(text)
    assert str(raised.value).startswith(told)


def test_an_unknown_name_knows_its_offset() -> None:
    with pytest.raises(UnknownInCondition) as raised:
        read("stops > 1 and speeed > 2")
    assert raised.value.offset == 14


@pytest.mark.parametrize(
    "text",
    ["(" * 4000 + "stops" + ")" * 4000 + " > 1", " and ".join(["stops > 1"] * 600), "not " * 2000 + "stops > 1"],
)
def test_a_text_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(ConditionError, match="nested too deeply"):
        read(text)


def test_a_text_too_long_is_refused() -> None:
    with pytest.raises(ConditionError, match="more than 10000"):
        read("stops > 1" + " " * LONGEST)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_simple_field_can_be_spoken_of(name: str) -> None:
    assert read(f"{name} IS NULL") == read(str(read(f"{name} IS NULL")))


def test_all_fields_but_the_vector_and_the_complex_one_are_in_the_vocabulary() -> None:
    assert set(SCENES.names) - set(FIELDS) == {"vector", "complex"}


@given(st.text(max_size=40) | st.text("()'\"=<>and or not123.-;,*$?@[]{}:\\\n", max_size=40))
def test_any_text_is_either_a_condition_or_refused_in_one_line(text: str) -> None:
    try:
        assert read(str(read(text))) == read(text)
    except ConditionError as error:
        assert "\n" not in str(error)
