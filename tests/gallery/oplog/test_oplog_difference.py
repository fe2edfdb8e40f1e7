from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.dbref import DBRef
from hypothesis import given
from hypothesis import strategies as st

from isthmus.gallery.oplog.difference import MOST_ELEMENTS, apply_difference, read_difference
from isthmus.gallery.oplog.entry import MOST_DEPTH
from isthmus.gallery.oplog.unusable import Unusable
from oplog_making import difference


def changed(document: dict[str, Any], diff: Any) -> dict[str, Any]:
    apply_difference(read_difference(diff), document)
    return document


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bson.encode(one) == bson.encode(other)


@pytest.mark.parametrize(
    ("before", "diff", "after"),
    [
        ({"a": 1, "b": 2, "c": 3}, {"d": {"a": False, "c": False, "x": False}}, {"b": 2}),
        ({"a": 1, "b": 2}, {"u": {"a": 9, "new": 3}}, {"a": 9, "b": 2, "new": 3}),
        ({"a": 1, "b": 2}, {"i": {"a": 9, "new": 3}}, {"b": 2, "a": 9, "new": 3}),
        ({"a": 0}, {"u": {"x": 1}, "i": {"y": 2, "w": 3}}, {"a": 0, "x": 1, "y": 2, "w": 3}),
        (
            {"o": {"gone": 0, "put": 0, "set": 0}, "z": 0},
            {"so": {"d": {"gone": False}, "u": {"set": 2}, "i": {"put": 1}}},
            {"o": {"set": 2, "put": 1}, "z": 0},
        ),
        ({"o": {"o": {"a": 0}}}, {"so": {"so": {"u": {"a": 1}}}}, {"o": {"o": {"a": 1}}}),
        ({"l": [0, 1, 2, 3]}, {"sl": {"a": True, "u1": 9, "u4": 4}}, {"l": [0, 9, 2, 3, 4]}),
        ({"l": [0, 1, 2, 3]}, {"sl": {"a": True, "l": 3, "u1": 9}}, {"l": [0, 9, 2]}),
        ({"l": [0, 1, 2, 3]}, {"sl": {"a": True, "l": 1, "u0": 9}}, {"l": [9]}),
        ({"l": [5]}, {"sl": {"a": True, "l": 0}}, {"l": []}),
        ({"l": [0]}, {"sl": {"a": True, "u3": 9}}, {"l": [0, None, None, 9]}),
        ({"l": [0]}, {"sl": {"a": True, "l": 3}}, {"l": [0, None, None]}),
        (
            {"l": [{"a": 0}, [1, 2]]},
            {"sl": {"a": True, "s0": {"u": {"a": 5}}, "s1": {"a": True, "l": 1, "u0": 7}}},
            {"l": [{"a": 5}, [7]]},
        ),
        ({"l": list(range(12))}, {"sl": {"a": True, "u11": 0, "u2": 9}}, {"l": [0, 1, 9, *range(3, 11), 0]}),
        ({"s": 1, "d": 2}, {"d": {"s": False}, "u": {"d": 3}}, {"d": 3}),
        ({"": {"": 1}}, {"s": {"u": {"": 2}}}, {"": {"": 2}}),
        ({"a.b": 1}, {"u": {"a.b": 2}}, {"a.b": 2}),
    ],
)
def test_a_difference_does_what_the_grammar_says_and_the_same_again(
    before: dict[str, Any], diff: dict[str, Any], after: dict[str, Any]
) -> None:
    once = changed(before, diff)
    assert alike(once, after)
    assert alike(changed(once, diff), after)


@pytest.mark.parametrize(
    ("before", "diff", "after"),
    [
        ({"other": 1}, {"so": {"u": {"a": 1}}}, {"other": 1}),
        ({"x": 1, "o": "text", "y": 2}, {"so": {"u": {"a": 1}}}, {"x": 1, "o": None, "y": 2}),
        ({"o": {"a": 1}}, {"so": {"a": True, "u0": 1}}, {"o": None}),
        ({"o": [1]}, {"so": {"u": {"a": 1}}}, {"o": None}),
        ({"l": []}, {"sl": {"a": True, "s1": {"u": {"a": 1}}, "u2": 3}}, {"l": [None, None, 3]}),
        ({"l": [0, 0]}, {"sl": {"a": True, "s1": {"u": {"a": 1}}}}, {"l": [0, None]}),
        ({"b": "text"}, {"b": {"b": {"o": 1, "d": b"x"}}}, {"b": None}),
        ({"x": 1}, {"b": {"b": {"o": 1, "d": b"x"}}}, {"x": 1}),
    ],
)
def test_a_difference_on_a_newer_document_leaves_null_for_later_entries_to_set_right(
    before: dict[str, Any], diff: dict[str, Any], after: dict[str, Any]
) -> None:
    assert alike(changed(before, diff), after)


def test_a_binary_difference_keeps_the_beginning_and_the_subtype() -> None:
    assert changed({"b": b"abcdef"}, {"b": {"b": {"o": 2, "d": b"XY"}}}) == {"b": b"abXY"}
    column = changed({"c": bson.Binary(b"abcdef", 7)}, {"b": {"c": {"o": 6, "d": b"gh"}}})["c"]
    assert column == bson.Binary(b"abcdefgh", 7) and column.subtype == 7


def test_a_document_that_looks_like_a_reference_is_changed_inside() -> None:
    held = bson.decode(bson.encode({"r": {"$ref": "people", "$id": 5, "note": "old"}}))
    assert isinstance(held["r"], DBRef)
    assert alike(changed(held, {"sr": {"u": {"note": "new"}}}), {"r": {"$ref": "people", "$id": 5, "note": "new"}})


@pytest.mark.parametrize(
    "diff",
    [
        {},
        None,
        [],
        {"a": True, "l": 5},
        {"x": {}},
        {"d": {"f": False}, "u": {"f": 1}},
        {"u": {"f": 1}, "i": {"f": 1}},
        {"i": {"f": 1}, "sf": {"u": {"g": 1}}},
        {"d": {"f": False}, "sf": {"u": {"g": 1}}},
        {"b": {"f": {"o": 0, "d": b""}}, "u": {"f": 1}},
        {"sf": {}},
        {"sf": 5},
        {"sf": {"a": False}},
        {"sf": {"a": True, "l": -1}},
        {"sf": {"a": True, "l": "3"}},
        {"sf": {"a": True, "l": True}},
        {"sf": {"a": True, "l": 2, "u2": 0}},
        {"sf": {"a": True, "u0": 0, "s0": {"u": {"x": 1}}}},
        {"sf": {"a": True, "u01": 0}},
        {"sf": {"a": True, "u-1": 0}},
        {"sf": {"a": True, "d0": False}},
        {"sf": {"a": True, "u": 0}},
        {"sf": {"a": True, "u9999999": 0}},
        {"sf": {"a": True, "l": MOST_ELEMENTS + 1}},
        {"u": 5},
        {"d": ["f"]},
        {"b": {"f": b"x"}},
        {"b": {"f": {"o": -1, "d": b"x"}}},
        {"b": {"f": {"o": 1, "d": "x"}}},
    ],
)
def test_what_is_not_in_the_grammar_is_refused(diff: Any) -> None:
    with pytest.raises(Unusable):
        read_difference(diff)


def test_a_small_difference_cannot_ask_for_much_memory() -> None:
    many = {f"s{number}": {"a": True, "l": MOST_ELEMENTS // 4} for number in range(5)}
    with pytest.raises(Unusable, match="elements"):
        read_difference(many)


def test_depth_is_bounded_alike_for_differences_and_their_values() -> None:
    deep: Any = 1
    for _ in range(MOST_DEPTH - 1):
        deep = {"x": deep}
    read_difference({"u": {"f": deep}})
    with pytest.raises(Unusable, match="deeper"):
        read_difference({"u": {"f": {"x": deep}}})
    diff: Any = {"u": {"f": 1}}
    for _ in range(MOST_DEPTH):
        diff = {"sf": diff}
    with pytest.raises(Unusable, match="deeper"):
        read_difference(diff)


names = st.sampled_from(["a", "b", "c", "d", "u", "s", "i", "l", "0", "1"])
values = st.recursive(
    st.none() | st.integers(-3, 3) | st.sampled_from(["x", "y"]) | st.binary(max_size=4) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
documents = st.dictionaries(names, values, max_size=6)


@given(documents, documents)
def test_the_difference_of_any_two_documents_leads_from_one_to_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    diff = difference(before, after)
    if not diff:
        assert alike(before, after)
        return
    diff = bson.decode(bson.encode(diff))
    once = changed(bson.decode(bson.encode(before)), diff)
    assert alike(once, after)
    assert alike(changed(once, bson.decode(bson.encode(diff))), after)


@given(documents, documents, documents)
def test_a_difference_never_fails_on_any_other_document(
    before: dict[str, Any], after: dict[str, Any], other: dict[str, Any]
) -> None:
    diff = difference(before, after)
    assert not diff or bson.encode(changed(other, diff))
