from __future__ import annotations

import datetime
import decimal
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checksum_reference import reference_sum
from isthmus.core.errors import InputError
from isthmus.warehouse import checksum
from isthmus.warehouse.checksum import RowSum, row_sum, table_sum
from isthmus.warehouse.rowhash import value_hashes
from warehouse_rows import SMALL, batches, row, small

UTC = datetime.UTC
EVERY_TYPE = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "i8": pa.int8(),
    "i64": pa.int64(),
    "u64": pa.uint64(),
    "f16": pa.float16(),
    "f32": pa.float32(),
    "f64": pa.float64(),
    "day": pa.date32(),
    "day64": pa.date64(),
    "noon": pa.time32("ms"),
    "noon64": pa.time64("ns"),
    "at": pa.timestamp("us", "UTC"),
    "at_ns": pa.timestamp("ns"),
    "at_s": pa.timestamp("s", "Asia/Shanghai"),
    "took": pa.duration("ms"),
    "text": pa.string(),
    "long_text": pa.large_string(),
    "text_view": pa.string_view(),
    "bytes": pa.binary(),
    "large": pa.large_binary(),
    "fixed": pa.binary(5),
    "price": pa.decimal128(12, 3),
    "list": pa.list_(pa.string()),
    "large_list": pa.large_list(pa.int16()),
    "pair": pa.list_(pa.float32(), 2),
    "view": pa.list_view(pa.int32()),
    "nested": pa.list_(pa.struct([("a", pa.list_(pa.int32())), ("b", pa.string())])),
    "struct": pa.struct([("x", pa.float64()), ("y", pa.list_(pa.bool_(), 3))]),
    "map": pa.map_(pa.string(), pa.int64()),
    "word": pa.dictionary(pa.int8(), pa.string()),
}


def of(rows: list[Any], kind: pa.DataType | None = None, name: str = "v") -> RowSum:
    return row_sum(pa.record_batch([pa.array(rows, kind)], names=[name]))


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type, NULL among them."""
    is_a = pa.types
    some: st.SearchStrategy[Any]
    if is_a.is_null(kind):
        return st.none()
    if is_a.is_boolean(kind):
        some = st.booleans()
    elif is_a.is_integer(kind):
        bits = kind.bit_width
        signed = is_a.is_signed_integer(kind)
        some = st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)
    elif is_a.is_floating(kind):
        some = st.floats(width=kind.bit_width)
        if kind.bit_width == 16:
            some = some.map(np.float16)
    elif is_a.is_date(kind):
        some = st.dates()
    elif is_a.is_time(kind):
        some = st.times().map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))
    elif is_a.is_timestamp(kind) or is_a.is_duration(kind):
        some = st.integers(-(1 << 62), 1 << 62)
        if kind.unit == "s" or kind.unit == "ms":
            some = st.integers(-(1 << 40), 1 << 40)
    elif is_a.is_decimal(kind):
        some = st.decimals(-999_999, 999_999, places=kind.scale)
    elif is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        some = st.text(max_size=40)
    elif is_a.is_fixed_size_binary(kind):
        some = st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    elif is_a.is_binary(kind) or is_a.is_large_binary(kind):
        some = st.binary(max_size=40) | st.integers(120, 150).map(lambda size: bytes(range(256)) * 3 + bytes(size))
        some |= st.integers(121, 135).map(bytes) | st.binary(min_size=120, max_size=150)
    elif is_a.is_dictionary(kind):
        some = st.sampled_from(["car", "", "lorry"])
    elif is_a.is_map(kind):
        some = st.lists(st.tuples(st.text(max_size=3), values(kind.item_type)), max_size=3)
    elif is_a.is_struct(kind):
        some = st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    elif is_a.is_fixed_size_list(kind):
        some = st.lists(values(kind.value_type), min_size=kind.list_size, max_size=kind.list_size)
    else:
        some = st.lists(values(kind.value_type), max_size=4)
    return st.none() | some


@st.composite
def made(draw: st.DrawFn, most_rows: int = 8, most_columns: int = 4) -> pa.RecordBatch:
    """A batch of some columns of any types."""
    names = draw(st.lists(st.sampled_from(sorted(EVERY_TYPE)), min_size=1, max_size=most_columns, unique=True))
    count = draw(st.integers(0, most_rows))
    columns = [
        pa.array(draw(st.lists(values(EVERY_TYPE[name]), min_size=count, max_size=count)), EVERY_TYPE[name])
        for name in names
    ]
    return pa.record_batch(columns, names=names)


@settings(max_examples=150)
@given(made())
def test_the_sum_is_the_one_that_the_definition_reads(batch: pa.RecordBatch) -> None:
    count, first, second = reference_sum(batch)
    assert row_sum(batch) == RowSum(count, (first, second))


@pytest.mark.parametrize("name", sorted(EVERY_TYPE))
def test_every_type_is_summed_as_defined(name: str) -> None:
    kind = EVERY_TYPE[name]

    @settings(max_examples=12)
    @given(st.lists(values(kind), max_size=12), st.integers(0, 3))
    def check(column: list[Any], begin: int) -> None:
        batch = pa.record_batch([pa.array(column, kind)], names=[name]).slice(begin)
        count, first, second = reference_sum(batch)
        assert row_sum(batch) == RowSum(count, (first, second))

    check()


GOLDEN: tuple[tuple[list[Any], pa.DataType, str], ...] = (
    ([None], pa.int64(), "2/1:b1a6dd79c96d16d5705eba7a8d8f3f9b"),
    ([0, 1, -1], pa.int64(), "2/3:ae93efff68aab21e1f1c98e5da58f46b"),
    ([2**64 - 1], pa.uint64(), "2/1:5ba1890427af6f24d6bb982980ea50a2"),
    ([True, False, None], pa.bool_(), "2/3:abc05de1a8fd1ca18c6f45d69e2ff1f3"),
    ([1.5, -0.0, math.nan, math.inf], pa.float64(), "2/4:669f5cd57c814ba3989bbc9656558d78"),
    (
        ["", "a", "Isthmus", "eight by", "na\u00efve \u2713 of some length"],
        pa.string(),
        "2/5:d9891c28b407b3a9ee0e4d7e0aacd479",
    ),
    (
        [b"", bytes(127), bytes(128), bytes(range(256)) * 16],
        pa.large_binary(),
        "2/4:7549a47bff39217a94c3c0e4a031b6fb",
    ),
    ([1, -1], pa.timestamp("us", "UTC"), "2/2:267f97f6aa6b017739e5c5c77557903b"),
    ([1, -1], pa.timestamp("ns"), "2/2:403ddf8146331dd31284d8f0fd911c83"),
    ([0, 20_000], pa.date32(), "2/2:fc5534860a9409d1106667fff3a7b89d"),
    ([[], [None], [1, 2], None], pa.list_(pa.int32()), "2/4:eafc8d9267cd32969613e77b34dc4a4c"),
    (
        [{"a": 1, "b": None}, None],
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
        "2/2:ae55ffbb851da6f465e246d79bc81c62",
    ),
    ([decimal.Decimal("-1.25")], pa.decimal128(10, 2), "2/1:acdf7854910de43cc3ecdc07dad8a2d0"),
)


@pytest.mark.parametrize(("column", "kind", "text"), GOLDEN)
def test_the_sums_that_were_once_written_stay(column: list[Any], kind: pa.DataType, text: str) -> None:
    assert str(of(column, kind)) == text


def test_the_known_answers_of_the_formats_are_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    told = set(re.findall(r"2/[0-9]+:[0-9a-f]{32}", page))
    assert len(told) == 2
    assert told <= {text for _, _, text in GOLDEN}


def test_hashes_of_small_numbers_are_spread_like_chance() -> None:
    numbers = np.arange(1 << 16)
    alone = value_hashes(pa.array(numbers), "a")
    summed = value_hashes(pa.array(numbers % 256), "a") + value_hashes(pa.array(numbers // 256), "b")
    for lanes in (alone, summed):
        assert all(len(np.unique(lane)) == len(numbers) for lane in lanes)
        assert not np.intersect1d(*lanes).size
    sigma = math.sqrt(len(numbers)) / 2
    for lane in alone:
        ones = [int((lane >> np.uint64(bit) & np.uint64(1)).sum()) for bit in range(64)]
        assert max(abs(count - len(numbers) / 2) for count in ones) < 5 * sigma


@settings(max_examples=80)
@given(made(most_rows=12), st.randoms(use_true_random=False), st.integers(0, 12), st.integers(0, 12))
def test_order_batches_slices_and_the_order_of_columns_do_not_count(
    batch: pa.RecordBatch, dice: Any, cut: int, other: int
) -> None:
    whole = row_sum(batch)
    order = list(range(batch.num_rows))
    dice.shuffle(order)
    rows = [batch.slice(number, 1) for number in order]
    assert sum(map(row_sum, rows), RowSum()) == whole
    assert row_sum(batch.slice(0, cut)) + row_sum(batch.slice(cut)) == whole
    columns = list(batch.schema.names)
    dice.shuffle(columns)
    assert row_sum(batch.select(columns)) == whole
    padded = pa.concat_batches([batch, batch]).slice(min(other, batch.num_rows), batch.num_rows)
    assert row_sum(padded) == whole


@settings(max_examples=150)
@given(made(), st.data())
def test_any_other_value_gives_another_sum(batch: pa.RecordBatch, data: st.DataObject) -> None:
    if not batch.num_rows:
        return
    column = data.draw(st.integers(0, batch.num_columns - 1))
    place = data.draw(st.integers(0, batch.num_rows - 1))
    kind = batch.schema.types[column]
    other = pa.array([data.draw(values(kind))], kind)
    before = batch.column(column).slice(place, 1)
    parts = [batch.column(column).slice(0, place), other, batch.column(column).slice(place + 1)]
    changed = batch.set_column(column, batch.schema.names[column], _joined(parts, kind))
    same = _shown(before.to_pylist() if not _fine(kind) else before.cast(pa.int64()).to_pylist()) == _shown(
        other.to_pylist() if not _fine(kind) else other.cast(pa.int64()).to_pylist()
    )
    assert (row_sum(changed) == row_sum(batch)) is same


def _fine(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_duration(kind))


def _joined(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        joined = pa.chunked_array([part.cast(pa.string()) for part in parts]).combine_chunks()
        return joined.dictionary_encode()
    return pa.concat_arrays(parts)


def _shown(value: Any) -> str:
    """A text that is equal for values that count as equal."""
    return repr(value).replace("-0.0", "0.0")


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=6), st.data())
def test_bytes_that_move_to_the_neighbour_give_another_sum(column: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(column) - 2))
    if not column[place]:
        return
    moved = list(column)
    cut = data.draw(st.integers(0, len(column[place]) - 1))
    moved[place], moved[place + 1] = column[place][:cut], column[place][cut:] + column[place + 1]
    same = sorted(moved) == sorted(column)
    assert (of(moved, pa.binary()) == of(column, pa.binary())) is same
    nested, shifted = (pa.array([some], pa.list_(pa.binary())) for some in (column, moved))
    assert (
        row_sum(pa.record_batch([nested], ["v"])) != row_sum(pa.record_batch([shifted], ["v"])) or moved == column
    )


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.text("ab", max_size=2)), min_size=2, max_size=6),
    st.data(),
)
def test_values_swapped_between_rows_or_columns_give_another_sum(
    rows: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    first, second = data.draw(st.permutations(range(len(rows))))[:2]
    between_rows, between_columns = list(rows), list(rows)
    between_rows[first] = (rows[second][0], *rows[first][1:])
    between_rows[second] = (rows[first][0], *rows[second][1:])
    between_columns[first] = (rows[first][1], rows[first][0], rows[first][2])

    def summed(some: list[tuple[int, int, str]]) -> RowSum:
        columns = list(zip(*some, strict=True))
        return row_sum(pa.record_batch([pa.array(list(column)) for column in columns], names=["a", "b", "c"]))

    for other in (between_rows, between_columns):
        assert (summed(other) == summed(rows)) is (sorted(other) == sorted(rows))


def test_null_empty_zero_and_false_are_four_things() -> None:
    assert len({of([None], pa.int64()), of([0], pa.int64()), of([], pa.int64())}) == 3
    assert len({of([None], pa.string()), of([""], pa.string()), of(["\0"], pa.string())}) == 3
    lists = pa.list_(pa.int64())
    assert len({of([one], lists) for one in (None, [], [None], [0], [0, 0], [None, 0], [0, None])}) == 7
    pair = pa.struct([("a", pa.int64())])
    assert of([None], pair) != of([{"a": None}], pair)
    assert len({of([False]), of([0]), of([0.0]), of([""]), of([b""])}) == 5


def test_the_kind_and_the_value_count_and_not_the_width_or_layout_of_the_type() -> None:
    assert of([5, -1, None], pa.int8()) == of([5, -1, None], pa.int64())
    assert of([2**64 - 1], pa.uint64()) != of([-1], pa.int64())
    assert of([2**63 - 1], pa.uint64()) == of([2**63 - 1], pa.int64())
    assert of([0.5, None], pa.float32()) == of([0.5, None], pa.float64())
    assert of([1], pa.int64()) != of([1.0], pa.float64())
    text = ["a", None, "b", "a", ""]
    assert of(text, pa.string()) == of(text, pa.large_string()) == of(text, pa.string_view())
    assert of(text, pa.string()) == of(text, pa.dictionary(pa.int32(), pa.string()))
    assert of([b"ab"], pa.binary()) == of([b"ab"], pa.binary(2)) == of([b"ab"], pa.binary_view())
    assert of(["ab"]) != of([b"ab"])
    assert of([[1, 2]], pa.list_(pa.int64(), 2)) == of([[1, 2]], pa.large_list(pa.int8()))
    assert of([decimal.Decimal("1.50")], pa.decimal128(5, 2)) == of(
        [decimal.Decimal("1.50")], pa.decimal256(70, 2)
    )
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([7, None]))
    assert row_sum(pa.record_batch([runs], ["v"])) == of([7, 7, None], pa.int64())


def test_a_large_dictionary_that_few_rows_use_is_summed_by_its_rows() -> None:
    words = pa.array(["a", None, "b", "c", "d"])
    encoded = pa.DictionaryArray.from_arrays(pa.array([2, None, 1], pa.int8()), words)
    assert row_sum(pa.record_batch([encoded], ["v"])) == of(["b", None, None], pa.string())
    short = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1], pa.int8()), pa.array([None, "b"]))
    assert row_sum(pa.record_batch([short], ["v"])) == of(["b", None, None, "b"], pa.string())


def test_every_nan_is_one_and_minus_zero_is_zero() -> None:
    nans = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert all(math.isnan(nan) for nan in nans)
    assert len({of([nan], pa.float64()) for nan in nans}) == 1
    assert of([math.nan], pa.float32()) == of([math.nan], pa.float64()) != of([None], pa.float64())
    assert of([-0.0]) == of([0.0])
    assert of([[-0.0]], pa.list_(pa.float32())) == of([[0.0]], pa.list_(pa.float32()))


def test_an_instant_is_the_same_in_every_zone_and_unit() -> None:
    noon = datetime.datetime(2026, 11, 20, 12, tzinfo=UTC)
    sums = {
        of([noon], pa.timestamp(unit, zone))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Asia/Tokyo")
    }
    assert len(sums) == 1
    assert of([1], pa.timestamp("ns")) != of([0], pa.timestamp("ns")) != of([1], pa.timestamp("us"))
    assert of([-1], pa.timestamp("us")) == of([-1000], pa.timestamp("ns"))
    assert of([86_400_000], pa.date64()) == of([1], pa.date32())


def test_names_count_at_every_depth() -> None:
    assert of([1], name="a") != of([1], name="b")
    assert of([{"a": 1}]) != of([{"b": 1}])
    one, other = of([{"a": 1, "b": 2}]), of([{"b": 2, "a": 1}], pa.struct([("b", pa.int64()), ("a", pa.int64())]))
    assert one == other
    assert of([{"a": 1, "b": 2}]) != of([{"a": 2, "b": 1}])


def test_a_column_twice_or_of_a_type_without_a_definition_is_refused_by_name() -> None:
    twice = pa.record_batch([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InputError, match="two columns are called 'a'"):
        row_sum(twice)
    interval = pa.struct([("b", pa.list_(pa.month_day_nano_interval()))])
    with pytest.raises(InputError, match=r"'a\.b\.\[\]' is of the type month_day_nano_interval"):
        row_sum(pa.record_batch([pa.nulls(1, interval)], names=["a"]))


def test_blocks_of_any_size_give_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"r{number}", number % 3, number) for number in range(200)]
    batch = next(batches(rows, 200))
    whole = row_sum(batch)
    monkeypatch.setattr(checksum, "_BLOCK_BYTES", 1000)
    assert row_sum(batch) == whole
    monkeypatch.setattr(checksum, "_BLOCK_ROWS", 7)
    assert row_sum(batch) == whole


def test_sums_add_up_and_are_written_as_text() -> None:
    most = (1 << 64) - 1
    assert RowSum(1, (most, 1)) + RowSum(2, (2, most)) == RowSum(3, (1, 0))
    text = str(RowSum(3, (1, most)))
    assert text == "2/3:0000000000000001ffffffffffffffff"
    assert RowSum.of_text(text) == RowSum(3, (1, most))
    numbered = f"1/{text[2:]}"
    for wrong in ("", "2/3:1", "-3:" + "0" * 32, "3:" + "G" * 32, text.upper(), f"2/\u0663{text[3:]}", numbered):
        with pytest.raises(ValueError, match="no sum"):
            RowSum.of_text(wrong)
    with pytest.raises(ValueError, match="no rows"):
        RowSum(-1)


def test_sums_of_two_definitions_are_never_taken_for_those_of_other_rows() -> None:
    now, before = RowSum(3, (1, 2)), RowSum.of_text("3:00000000000000010000000000000002")
    assert before == RowSum(3, (1, 2), 1) != now
    assert str(before) == "3:00000000000000010000000000000002"
    assert not now.unlike(before) and not before.unlike(now)
    assert now.unlike(RowSum(3, (1, 3))) and now.unlike(RowSum(4, (1, 2), 1))
    with pytest.raises(ValueError, match="definition"):
        now + before


@pytest.mark.parametrize("width", [1, 3])
def test_a_table_has_the_sum_of_its_rows_however_they_lie_in_fragments(tmp_path: Path, width: int) -> None:
    rows = [row(f"r{number}", number % 3, number) for number in range(60)]
    expected = row_sum(next(batches(rows, 60)))
    table = small(tmp_path, rows_per_fragment=7)
    assert table_sum(table, width) == RowSum()
    for start in range(0, 60, 12):
        table.append(batches(rows[start : start + 12]))
    assert table_sum(table, width) == expected
    old = table.version
    table.replace(batches([row("r5", 9, 5)]), "id = 'r5'")
    assert table_sum(table, width) != expected
    table.replace(batches([row("r5", 2, 5)]), "id = 'r5'")
    table.delete("id = 'r6'")
    table.append(batches([row("r6", 0, 6)]))
    assert table_sum(table, width) == expected
    table.compact()
    assert table_sum(table, width) == expected == table_sum(table.at(old), width)
    assert table.schema == SMALL
