from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.sources.dated import fixed_part, for_day, names_day, record_names

DAY = datetime.date(2026, 11, 20)


@pytest.mark.parametrize(
    ("pattern", "path", "fixed"),
    [
        ("/bags/{day}/*.bag", "/bags/2026-11-20/*.bag", "/bags"),
        ("/bags/run_{yyyymmdd}.bag", "/bags/run_20261120.bag", "/bags"),
        ("bags/*.bag", "bags/*.bag", "bags"),
        ("*.bag", "*.bag", "."),
        ("/{day}.bag", "/2026-11-20.bag", "/"),
        ("/bags/one.bag", "/bags/one.bag", "/bags"),
        ("s3://bucket/x/{day}", "s3://bucket/x/2026-11-20", "s3://bucket/x"),
    ],
)
def test_a_pattern_becomes_the_path_of_a_day(pattern: str, path: str, fixed: str) -> None:
    assert for_day(pattern, DAY) == path
    assert fixed_part(pattern) == fixed
    assert names_day(pattern) == ("{" in pattern)


@given(st.lists(st.text("ab/.-_ é", min_size=1, max_size=8), unique=True, max_size=12))
def test_names_of_records_are_fit_for_an_id_and_no_two_the_same(paths: list[str]) -> None:
    names = record_names(paths)
    assert len(set(names.values())) == len(paths)
    assert all(name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for name in names.values())
