from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from isthmus.gallery.oplog.modifiers import MOST_FILLED, apply_modifiers, read_modifiers
from isthmus.gallery.oplog.unusable import Unusable


def changed(document: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    apply_modifiers(read_modifiers(update), document)
    return document


@pytest.mark.parametrize(
    ("before", "update", "after"),
    [
        ({"a": 1}, {"$set": {"a": 2, "b": 3}}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 2}, {"$v": 1, "$unset": {"a": True}}, {"b": 2}),
        ({"a": {"b": 1}}, {"$v": Int64(1), "$set": {"a.b": 2, "a.c": 3}}, {"a": {"b": 2, "c": 3}}),
        ({}, {"$set": {"a.b.c": 1}}, {"a": {"b": {"c": 1}}}),
        ({"a": [0, 1]}, {"$set": {"a.1": 9}}, {"a": [0, 9]}),
        ({"a": [0]}, {"$set": {"a.3": 9}}, {"a": [0, None, None, 9]}),
        ({"a": [0]}, {"$set": {"a.2.x.0": 9}}, {"a": [0, None, {"x": {"0": 9}}]}),
        ({"a": [{"x": 1}]}, {"$set": {"a.0.x": 2, "a.0.y": 3}}, {"a": [{"x": 2, "y": 3}]}),
        ({"a": {"0": 1}}, {"$set": {"a.0": 2, "a.5": 3}}, {"a": {"0": 2, "5": 3}}),
        ({"a": [0, 1, 2]}, {"$unset": {"a.1": 1}}, {"a": [0, None, 2]}),
        ({"a": [0]}, {"$unset": {"a.7": 1, "a.x": 1}}, {"a": [0]}),
        ({"a": [{"x": 1, "y": 2}]}, {"$unset": {"a.0.x": 1}}, {"a": [{"y": 2}]}),
        ({"a": {"b": 1}}, {"$unset": {"a.b.c": 1, "z.y": 1}}, {"a": {"b": 1}}),
        ({"a": 5}, {"$set": {"a.b": 1}}, {"a": 5}),
        ({"a": None}, {"$set": {"a.b": 1}}, {"a": None}),
        ({"a": [1]}, {"$set": {"a.name": 1}}, {"a": [1]}),
        ({"a": [1]}, {"$set": {"a.01": 1}}, {"a": [1]}),
        ({}, {"$set": {"a": {}, "a.b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_paths_lead_where_mongodb_leads_them(
    before: dict[str, Any], update: dict[str, Any], after: dict[str, Any]
) -> None:
    assert bson.encode(changed(before, update)) == bson.encode(after)


def test_an_update_leaves_its_own_values_alone() -> None:
    update: dict[str, Any] = {"$set": {"a": {}, "a.b": 1, "l": [], "l.0": 2}}
    steps = read_modifiers(update)
    apply_modifiers(steps, {})
    assert update == {"$set": {"a": {}, "a.b": 1, "l": [], "l.0": 2}}


@pytest.mark.parametrize(
    "update",
    [
        {"$inc": {"a": 1}},
        {"$set": {"a": 1}, "plain": 2},
        {"$set": 5},
        {"$set": {"": 1}},
        {"$set": {"a..b": 1}},
        {"$unset": {".a": 1}},
        {"$v": 3, "$set": {"a": 1}},
        {"$set": {".".join("a" * 200): 1}},
    ],
)
def test_what_no_oplog_has_is_refused(update: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        read_modifiers(update)


def test_an_array_is_not_filled_without_bounds() -> None:
    with pytest.raises(Unusable, match="nulls"):
        changed({"a": []}, {"$set": {f"a.{MOST_FILLED + 1}": 1}})
    with pytest.raises(Unusable, match="nulls"):
        changed({"a": [], "b": []}, {"$set": {f"a.{MOST_FILLED - 10}": 1, "b.20": 1}})


parts = st.sampled_from(["a", "b", "0", "1", "2"])
paths = st.lists(parts, min_size=1, max_size=4).map(".".join)
values = st.recursive(
    st.none() | st.integers(0, 3) | st.just("x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(parts, values, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "$set": st.dictionaries(paths, values, max_size=4),
            "$unset": st.dictionaries(paths, st.just(True), max_size=4),
        },
    ),
)
def test_any_update_applies_to_any_document(document: dict[str, Any], update: dict[str, Any]) -> None:
    assert bson.encode(changed(document, update))
