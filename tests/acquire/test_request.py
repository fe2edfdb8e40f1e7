"""What a wish may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.request import MOST_ADDRESS, MOST_RECORD, MOST_TAG, MOST_TAGS, Wish, check, is_environment
from isthmus.core.errors import InputError

PLAIN = Wish("http://store.example/1.jpg", "public", "r1")

_letters = st.characters(exclude_categories=["Cs", "Cc"])


def _text(most: int) -> st.SearchStrategy[str]:
    return st.text(_letters, min_size=1, max_size=most // 4)


_times = st.none() | st.datetimes(
    min_value=datetime(1980, 1, 1),
    max_value=datetime(2100, 1, 1),
    timezones=st.just(UTC),
)
GOOD = st.builds(
    Wish,
    address=_text(MOST_ADDRESS),
    environment=st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
    record=_text(MOST_RECORD),
    priority=st.integers(0, 9),
    deadline=_times,
    thumbnails=st.lists(st.integers(32, 2048), max_size=4).map(tuple),
    tags=st.lists(_text(MOST_TAG), max_size=MOST_TAGS).map(tuple),
    dedup=st.none() | _text(MOST_RECORD),
    taken=_times,
    place=st.none() | _text(MOST_RECORD),
)


@given(GOOD)
def test_what_is_within_the_limits_is_taken_and_comes_back_from_json_as_it_was(wish: Wish) -> None:
    check(wish)
    assert msgspec.json.decode(msgspec.json.encode(wish), type=Wish) == wish


BAD: list[dict[str, Any]] = [
    {"environment": environment}
    for environment in ("", "A", "-a", "a_b", "a" * 41, "a/b", "a\n", "ä", "public\x00")
]
BAD += [{name: ""} for name in ("address", "record", "dedup", "place")]
BAD += [{name: "x\ny"} for name in ("address", "record", "dedup", "place")]
BAD += [{name: "x\x7f"} for name in ("address", "record")]
BAD += [{name: "\ud800"} for name in ("address", "record", "place")]
BAD += [{"address": "x" * (MOST_ADDRESS + 1)}, {"address": "ä" * (MOST_ADDRESS // 2 + 1)}]
BAD += [{"record": "x" * (MOST_RECORD + 1)}, {"priority": -1}, {"priority": 10}]
BAD += [
    {"tags": ("t",) * (MOST_TAGS + 1)},
    {"tags": ("",)},
    {"tags": ("x" * (MOST_TAG + 1),)},
    {"tags": ("\x1f",)},
]
BAD += [{"thumbnails": (31,)}, {"thumbnails": (2049,)}, {"thumbnails": (64,) * 5}]
BAD += [{"deadline": datetime(2026, 1, 1)}, {"taken": datetime(2026, 1, 1)}]
BAD += [{"latitude": 1.0}, {"longitude": 1.0}, {"latitude": 91.0, "longitude": 0.0}]
BAD += [{"latitude": 0.0, "longitude": -181.0}, {"latitude": float("nan"), "longitude": 0.0}]


@pytest.mark.parametrize("wrong", BAD, ids=repr)
def test_what_is_beyond_the_limits_is_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        check(msgspec.structs.replace(PLAIN, **wrong))
    assert "\n" not in str(refused.value)


def test_the_ends_of_the_earth_and_other_zones_are_taken() -> None:
    east = timezone(timedelta(hours=9))
    check(msgspec.structs.replace(PLAIN, latitude=-90.0, longitude=180.0, taken=datetime(2026, 1, 1, tzinfo=east)))


@given(st.text(max_size=45))
def test_a_label_is_safe_as_a_name_anywhere(label: str) -> None:
    if is_environment(label):
        assert label.isascii()
        assert 1 <= len(label) <= 40
        assert not set(label) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="adress"):
        msgspec.json.decode(b'{"adress": "x", "environment": "public", "record": "r"}', type=Wish)
