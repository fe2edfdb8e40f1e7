from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from examples import examples
from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.warehouse.complex import MAGIC, decode, encode

GOLDEN = Path(__file__).parents[1] / "golden" / "complex-v1.bin"

DTYPES = st.sampled_from(
    ["?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">f4", ">i8"]
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: some.arrays(dtype, some.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
TEXTS = st.text(max_size=20)
VALUES = st.one_of(
    ARRAYS,
    TEXTS,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.lists(TEXTS, max_size=5),
)
FIELDS = st.dictionaries(st.text(max_size=30), VALUES, max_size=6)


def golden_fields() -> dict[str, Any]:
    return {
        "states": np.arange(24, dtype="<f4").reshape(2, 3, 4) / 8,
        "mask": np.array([True, False, True]),
        "origin": np.array([1e6, -2.5]),
        "half": np.array([0.5, -0.25], "<f2"),
        "lane": np.array([[-1, 2]], "<i2"),
        "big": np.array([2**63 + 1], "<u8"),
        "empty": np.zeros((0, 2), "<f4"),
        "name": "Übergang ⇄",
        "dt": 0.1,
        "steps": -50,
        "good": True,
        "kinds": ["car", "", "Fußgänger"],
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return bool(left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes())
    return bool(type(left) is type(right) and (left == right or (left != left and right != right)))


@given(FIELDS)
def test_what_is_packed_comes_back_equal_in_type_shape_and_bits(fields: dict[str, Any]) -> None:
    found = decode(encode(fields))
    assert list(found) == list(fields)
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            value = value.astype(value.dtype.newbyteorder("<"))
        assert same(found[name], value)


@given(FIELDS)
def test_packing_is_deterministic(fields: dict[str, Any]) -> None:
    assert encode(fields) == encode(dict(fields))


@given(FIELDS, st.data())
def test_a_truncated_field_is_corrupt(fields: dict[str, Any], data: st.DataObject) -> None:
    packed = encode(fields)
    with pytest.raises(Corrupt):
        decode(packed[: data.draw(st.integers(0, len(packed) - 1))])


@settings(max_examples=examples(100))
@given(FIELDS, st.data())
def test_flipped_bytes_are_corrupt_or_another_value_of_no_greater_size(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    packed = bytearray(encode(fields))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(packed))
    except Corrupt:
        return
    assert sum(value.nbytes for value in found.values() if isinstance(value, np.ndarray)) <= len(packed)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_corrupt_or_decode(content: bytes) -> None:
    for hostile in (content, MAGIC + content, MAGIC + struct.pack("<I", len(content)) + content):
        try:
            found = decode(hostile)
        except Corrupt:
            continue
        assert isinstance(found, dict)


def test_a_shape_that_promises_more_than_the_buffer_holds_is_refused_before_anything_is_allocated() -> None:
    packed = bytearray(encode({"a": np.zeros((2, 2), np.float64)}))
    at = packed.index(struct.pack("<II", 2, 2))
    packed[at : at + 8] = struct.pack("<II", 2**32 - 1, 2**32 - 1)
    with pytest.raises(Corrupt, match="shape"):
        decode(bytes(packed))


def test_arrays_are_read_only_views_into_the_packed_bytes() -> None:
    packed = encode({"name": "x", "a": np.arange(5.0)})
    array = decode(packed)["a"]
    assert not array.flags.writeable and not array.flags.owndata
    assert np.shares_memory(array, np.frombuffer(packed, np.uint8))


def test_only_the_asked_values_are_decoded_and_an_unknown_one_is_named() -> None:
    packed = encode(golden_fields())
    assert set(decode(packed, ["dt", "states"])) == {"dt", "states"}
    with pytest.raises(UnknownName, match="did you mean 'states'"):
        decode(packed, ["state"])


def test_a_memory_view_into_a_larger_buffer_decodes() -> None:
    packed = encode({"a": np.arange(3, dtype="<i8")})
    around = memoryview(b"xyz" + packed + b"tail")
    assert decode(around[3:-4])["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value",
    [np.array(["text"]), np.array([object()]), np.array([1 + 2j]), {"a": 1}, [1, 2], None, b"bytes", 2**63],
)
def test_a_value_that_the_format_does_not_know_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputError, match="'odd'"):
        encode({"odd": value})


def test_a_newer_format_is_told_apart_from_broken_bytes() -> None:
    with pytest.raises(Corrupt, match="newer release"):
        decode(b"ICF\x02" + encode({})[4:])


def test_a_name_that_comes_twice_is_corrupt() -> None:
    one = encode({"a": 1})
    contents = one[8 : 8 + struct.unpack_from("<I", one, 4)[0]]
    twice = contents + contents
    packed = MAGIC + struct.pack("<I", len(twice)) + twice
    packed += b"\0" * (-len(packed) % 8) + bytes(16)
    with pytest.raises(Corrupt, match="twice"):
        decode(packed)


def test_the_golden_file_of_format_1_decodes_and_is_still_what_is_written() -> None:
    packed = GOLDEN.read_bytes()
    found = decode(packed)
    for name, value in golden_fields().items():
        assert same(found[name], value), name
    assert encode(golden_fields()) == packed
