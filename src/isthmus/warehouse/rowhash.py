"""Hashes the values of Arrow arrays, as the sum of rows is defined over them: see `checksum`.

Every function here works on whole arrays; only a value of 128 bytes and more costs a call of its own.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from mmh3 import mmh3_x64_128_digest
from numpy.typing import NDArray

from isthmus.core.errors import InputError

Words = NDArray[np.uint64]
"""Of shape (n,): a word per value. Hashes are of shape (2, n): one row per lane."""
Path = tuple[str | None, ...]

_CONTEXT = "isthmus row sum 2"
_LONG = 128
"""Bytes from which on a value has its MurmurHash3: below it, words in numpy are faster than one call per value."""
_LANE = (1 << 64) - 1


def _pair(first: int, second: int) -> Words:
    return np.array([[first], [second]], np.uint64)


_A, _B, _C = _pair(33, 30), _pair(33, 27), _pair(33, 31)
_M = _pair(0xFF51AFD7ED558CCD, 0xBF58476D1CE4E5B9)
_N = _pair(0xC4CEB9FE1A85EC53, 0x94D049BB133111EB)
_G = 0x9E3779B97F4A7C15
_NAN = 0x7FF8000000000000
_REST = np.array([(1 << 8 * used) - 1 for used in range(9)], np.uint64)
"""What keeps so many bytes of a word."""


def value_hashes(array: pa.Array, column: str) -> Words:
    """Hash the values of a column to two lanes, shape (2, n). Raises InputError for a type that has no sum."""
    return _hashes(array, (column,))


@functools.lru_cache(maxsize=4096)
def _key(path: Path, kind: str) -> tuple[Words, Words]:
    """Return the key and the NULL of a part of a column, each of shape (2, 1)."""
    text = json.dumps([*path, kind], ensure_ascii=False, separators=(",", ":")).encode()
    four = np.frombuffer(blake3(text, derive_key_context=_CONTEXT).digest(), "<u8").astype(np.uint64)
    return four[:2, None], four[2:, None]


def mixed(hashes: Words) -> Words:
    """Mix both lanes in place; returns them."""
    moved = hashes >> _A
    hashes ^= moved
    hashes *= _M
    hashes ^= np.right_shift(hashes, _B, out=moved)
    hashes *= _N
    hashes ^= np.right_shift(hashes, _C, out=moved)
    return hashes


def _hashes(array: pa.Array, path: Path) -> Words:
    """Hash the values of an array, which stands at `path` in its row."""
    array = _plain(array)
    if pa.types.is_dictionary(array.type):
        return _of_dictionary(array, path)
    kind, hashed = _rule(array.type, path)
    key, null = _key(path, kind)
    hashes = hashed(array, path, key)
    if array.null_count:
        np.copyto(hashes, null, where=~_bits(array.buffers()[0], array) if kind != "null" else True)
    return hashes


def _plain(array: pa.Array) -> pa.Array:
    """Turn types that only lay out the same values differently into the ones that are hashed."""
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    kind = array.type
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array))
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _list_of_view(array)
    if pa.types.is_decimal(kind):
        return array.cast(pa.decimal256(76, kind.scale)) if kind.bit_width < 256 else array
    return array


def _list_of_view(array: pa.Array) -> pa.Array:
    """Return a list view as a list: its items may lie anywhere, and a cast loses NULLs among them."""
    size = "<i8" if pa.types.is_large_list_view(array.type) else "<i4"
    starts, lengths = (
        np.frombuffer(buffer, size, len(array), array.offset * int(size[2])).astype(np.int64)
        for buffer in array.buffers()[1:3]
    )
    valid = array.is_valid()
    lengths = np.where(valid.to_numpy(zero_copy_only=False), lengths, 0)
    ends = np.cumsum(lengths)
    places = np.arange(int(lengths.sum())) + np.repeat(starts - ends + lengths, lengths)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, array.values.take(pa.array(places)), mask=pc.invert(valid))


_Hashed = Callable[[pa.Array, Path, Words], Words]


def _rule(kind: pa.DataType, path: Path) -> tuple[str, _Hashed]:
    """Return the name of a type's kind, and what hashes its values. Raises InputError for types without one."""
    is_a = pa.types
    if is_a.is_boolean(kind):
        return "bool", _of_bools
    if is_a.is_integer(kind):
        return "int", _of_ints
    if is_a.is_floating(kind):
        return "float", _of_floats
    if is_a.is_date(kind):
        return "date", _of_dates
    if is_a.is_time(kind):
        return "time", _of_times
    if is_a.is_timestamp(kind) or is_a.is_duration(kind):
        return "timestamp" if is_a.is_timestamp(kind) else "duration", _of_instants
    if is_a.is_string(kind) or is_a.is_large_string(kind):
        return "text", _of_bytes
    if is_a.is_binary(kind) or is_a.is_large_binary(kind) or is_a.is_fixed_size_binary(kind):
        return "bytes", _of_bytes
    if is_a.is_decimal(kind):
        return f"decimal/{kind.scale}", _of_bytes
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind) or is_a.is_map(kind):
        return "list", _of_lists
    if is_a.is_struct(kind):
        return "struct", _of_structs
    if is_a.is_null(kind):
        return "null", lambda array, path, key: np.empty((2, len(array)), np.uint64)
    where = ".".join("[]" if part is None else part for part in path)
    raise InputError(f"{where!r} is of the type {kind}, whose rows have no sum", "leave the column out")


def _bits(buffer: pa.Buffer, array: pa.Array) -> NDArray[np.bool_]:
    """Return the bits of an array's validity or, for bools, of its values."""
    begin, end = array.offset, array.offset + len(array)
    raw = np.frombuffer(buffer, np.uint8)[begin // 8 : (end + 7) // 8]
    bits = np.unpackbits(raw, bitorder="little")
    chosen: NDArray[np.bool_] = bits[begin % 8 : begin % 8 + len(array)].view(np.bool_)
    return chosen


def _values(array: pa.Array, kind: str) -> NDArray[Any]:
    """Return the values of a type of fixed width; what stands for a NULL is arbitrary."""
    size = np.dtype(kind).itemsize
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(buffer, kind, len(array), array.offset * size)


def _of_words(words: Words, key: Words) -> Words:
    return mixed(words ^ key)


def _of_bools(array: pa.Array, _: Path, key: Words) -> Words:
    either = _of_words(np.arange(2, dtype=np.uint64), key)
    if not len(array):
        return np.empty((2, 0), np.uint64)
    return either.take(_bits(array.buffers()[1], array).view(np.uint8), axis=1)


def _of_ints(array: pa.Array, _: Path, key: Words) -> Words:
    values = _values(array, array.type.to_pandas_dtype().__name__)
    hashes = _of_words(values.astype(np.int64).view(np.uint64), key)
    if values.dtype == np.uint64:
        large = np.flatnonzero(values >> np.uint64(63))
        if len(large):
            hashes[:, large] = mixed(hashes[:, large])
    return hashes


def _of_floats(array: pa.Array, _: Path, key: Words) -> Words:
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = _values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
        values += 0.0  # makes 0.0 of -0.0
    words = values.view(np.uint64)
    words[np.isnan(values)] = _NAN
    return _of_words(words, key)


def _of_dates(array: pa.Array, _: Path, key: Words) -> Words:
    days = _values(array, f"i{array.type.bit_width // 8}").astype(np.int64)
    if pa.types.is_date64(array.type):
        days //= 86_400_000
    return _of_words(days.view(np.uint64), key)


_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def _of_times(array: pa.Array, _: Path, key: Words) -> Words:
    values = _values(array, f"i{array.type.bit_width // 8}").astype(np.int64)
    return _of_words((values * _NANOSECONDS[array.type.unit]).view(np.uint64), key)


def _of_instants(array: pa.Array, _: Path, key: Words) -> Words:
    values, unit = _values(array, "i8"), array.type.unit
    if unit != "ns":
        return _of_words((values * np.int64(_NANOSECONDS[unit] // 1_000)).view(np.uint64), key)
    whole, rest = np.divmod(values, np.int64(1_000))
    hashes = _of_words(whole.view(np.uint64), key)
    finer = np.flatnonzero(rest)
    if len(finer):
        hashes[:, finer] = mixed(hashes[:, finer] + rest[finer].view(np.uint64))
    return hashes


def _of_bytes(array: pa.Array, _: Path, key: Words) -> Words:
    starts, lengths = _stretches(array)
    if array.null_count:
        lengths = np.where(_bits(array.buffers()[0], array), lengths, 0)
    content = array.buffers()[-1]
    long = np.flatnonzero(lengths >= _LONG)
    if not len(long):
        return _of_short(content, starts, lengths, key)
    view = memoryview(content)
    ends = starts + lengths
    cuts = map(slice, starts[long].tolist(), ends[long].tolist())
    digests = b"".join(map(mmh3_x64_128_digest, map(view.__getitem__, cuts)))
    of_long = _of_words(np.frombuffer(digests, "<u8").reshape(-1, 2).T, key)
    if len(long) == len(lengths):
        return of_long
    hashes = np.empty((2, len(lengths)), np.uint64)
    short = np.flatnonzero(lengths < _LONG)
    hashes[:, long] = of_long
    hashes[:, short] = _of_short(content, starts[short], lengths[short], key)
    return hashes


def _stretches(array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the values of an array of bytes or lists begin in what it holds, and how long they are."""
    kind = array.type
    fixed = 0
    if pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        fixed = kind.bit_width // 8
    elif pa.types.is_fixed_size_list(kind):
        fixed = kind.list_size
    if fixed or not len(array) or pa.types.is_fixed_size_list(kind):
        starts = np.arange(array.offset, array.offset + len(array), dtype=np.int64) * fixed
        return starts, np.full(len(array), fixed, np.int64)
    wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
    size = 8 if wide else 4
    offsets = np.frombuffer(array.buffers()[1], f"<i{size}", len(array) + 1, array.offset * size).astype(np.int64)
    return offsets[:-1], np.diff(offsets)


def _of_short(
    content: pa.Buffer | None, starts: NDArray[np.int64], lengths: NDArray[np.int64], key: Words
) -> Words:
    """Hash stretches of bytes word by word: first the first word of every value, then the second, and so on."""
    sums = np.zeros((2, len(starts)), np.uint64)
    longest = int(lengths.max(initial=0))
    if longest:
        low = int(starts.min()) & ~7
        padded = np.zeros((int((starts + lengths).max()) - low >> 3) + 2, np.uint64)
        raw = memoryview(content)[low : low + padded.nbytes]  # type: ignore[arg-type]
        padded.view(np.uint8)[: len(raw)] = raw
        starts = starts - low
    for number in range((longest + 7) // 8):
        left = lengths - 8 * number
        rows = None if int(left.min()) > 0 else np.flatnonzero(left > 0)
        if rows is not None:
            left = left[rows]
        words = _gathered(padded, (starts if rows is None else starts[rows]) + 8 * number)
        if int(left.min()) < 8:
            words &= _REST.take(np.minimum(left, 8))
        hashes = _of_words(words, key + np.uint64(_G * (number + 1) & _LANE))
        if rows is None:
            sums += hashes
        else:
            sums[:, rows] += hashes
    sums ^= key
    sums += lengths.view(np.uint64)
    return mixed(sums)


def _gathered(padded: Words, at: NDArray[np.int64]) -> Words:
    """Return the eight bytes at each place, which need not be a multiple of eight."""
    word, shift = at >> 3, (at & 7).astype(np.uint64) << np.uint64(3)
    low: Words = padded.take(word) >> shift
    high: Words = padded.take(word + 1) << (np.uint64(64) - shift)  # numpy shifts by 64 to 0
    return low | high


def _of_lists(array: pa.Array, path: Path, key: Words) -> Words:
    starts, lengths = _stretches(array)
    first, total = (int(starts[0]), int(lengths.sum())) if len(starts) else (0, 0)
    hashes = _hashes(array.values.slice(first, total), (*path, None))
    starts = starts - first
    place = np.arange(1, total + 1, dtype=np.int64) - np.repeat(starts, lengths)
    hashes += place.view(np.uint64) * np.uint64(_G)
    running = np.zeros((2, total + 1), np.uint64)
    np.cumsum(mixed(hashes), axis=1, out=running[:, 1:])
    sums = running.take(starts + lengths, axis=1) - running.take(starts, axis=1)
    sums ^= key
    sums += lengths.view(np.uint64)
    return mixed(sums)


def _of_structs(array: pa.Array, path: Path, key: Words) -> Words:
    sums = np.zeros((2, len(array)), np.uint64)
    for number in range(array.type.num_fields):
        sums += _hashes(array.field(number), (*path, array.type.field(number).name))
    sums ^= key
    return mixed(sums)


def _of_dictionary(array: pa.DictionaryArray, path: Path) -> Words:
    """Hash each value of the dictionary once, where that is less work than each row."""
    if len(array.dictionary) > len(array):
        return _hashes(array.dictionary_decode(), path)
    known = _hashes(array.dictionary, path)
    nothing = _hashes(pa.nulls(1, array.dictionary.type), path)
    places = pc.fill_null(array.indices.cast(pa.int64()), len(array.dictionary)).to_numpy()
    hashes: Words = np.concatenate([known, nothing], axis=1).take(places, axis=1)
    return hashes
