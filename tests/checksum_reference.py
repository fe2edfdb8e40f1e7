"""The sum of rows as its definition reads, one value at a time: what the fast implementation is compared with."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pyarrow as pa
from blake3 import blake3

_ALL = (1 << 64) - 1
_G = 0x9E3779B97F4A7C15
_MIXES = (
    (33, 0xFF51AFD7ED558CCD, 33, 0xC4CEB9FE1A85EC53, 33),
    (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB, 31),
)
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def reference_sum(batch: pa.RecordBatch) -> tuple[int, int, int]:
    """The count and both lanes."""
    lanes = []
    for lane in (0, 1):
        total = 0
        for row in range(batch.num_rows):
            columns = (
                _hash(column[row], (name,), lane)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            )
            total += _mix(sum(columns), lane)
        lanes.append(total & _ALL)
    return batch.num_rows, lanes[0], lanes[1]


def _mix(x: int, lane: int) -> int:
    a, m, b, n, c = _MIXES[lane]
    x &= _ALL
    x ^= x >> a
    x = x * m & _ALL
    x ^= x >> b
    x = x * n & _ALL
    return x ^ x >> c


def _hash(value: pa.Scalar, path: tuple[str | None, ...], lane: int) -> int:
    kind, what = _read(value)
    text = json.dumps([*path, kind], ensure_ascii=False, separators=(",", ":")).encode()
    four = struct.unpack("<4Q", blake3(text, derive_key_context="isthmus row sum 2").digest())
    key = four[lane]
    if what is None:
        return four[2 + lane]
    if kind == "list":
        total = sum(_mix(_hash(item, (*path, None), lane) + k * _G, lane) for k, item in enumerate(what, 1))
        return _mix(((total & _ALL) ^ key) + len(what), lane)
    if kind == "struct":
        total = sum(_hash(item, (*path, name), lane) for name, item in what)
        return _mix((total & _ALL) ^ key, lane)
    if isinstance(what, bytes):
        if len(what) >= 128:
            return _mix(murmur3_x64_128(what)[lane] ^ key, lane)
        words = [int.from_bytes(what[at : at + 8], "little") for at in range(0, len(what), 8)]
        total = sum(_mix(word ^ (key + k * _G & _ALL), lane) for k, word in enumerate(words, 1))
        return _mix(((total & _ALL) ^ key) + len(what), lane)
    word, more = what
    hashed = _mix((word & _ALL) ^ key, lane)
    if kind == "int" and word >= 1 << 63:
        return _mix(hashed, lane)
    return _mix(hashed + more, lane) if more else hashed


def murmur3_x64_128(content: bytes) -> tuple[int, int]:
    """MurmurHash3_x64_128 with seed 0, after Austin Appleby's MurmurHash3.cpp (public domain)."""
    c1, c2, h1, h2 = 0x87C37B91114253D5, 0x4CF5AD432745937F, 0, 0
    whole = len(content) // 16 * 16
    for at in range(0, whole, 16):
        k1, k2 = struct.unpack_from("<2Q", content, at)
        h1 ^= _turned(k1 * c1, 31) * c2 & _ALL
        h1 = ((_turned(h1, 27) + h2) * 5 + 0x52DCE729) & _ALL
        h2 ^= _turned(k2 * c2, 33) * c1 & _ALL
        h2 = ((_turned(h2, 31) + h1) * 5 + 0x38495AB5) & _ALL
    k1, k2 = struct.unpack("<2Q", content[whole:].ljust(16, b"\0"))
    h2 ^= _turned(k2 * c2, 33) * c1 & _ALL
    h1 ^= _turned(k1 * c1, 31) * c2 & _ALL
    h1, h2 = h1 ^ len(content), h2 ^ len(content)
    h1 = (h1 + h2) & _ALL
    h2 = (h2 + h1) & _ALL
    h1, h2 = _mix(h1, 0), _mix(h2, 0)
    h1 = (h1 + h2) & _ALL
    return h1, (h2 + h1) & _ALL


def _turned(x: int, bits: int) -> int:
    x &= _ALL
    return (x << bits | x >> 64 - bits) & _ALL


def _read(value: pa.Scalar) -> tuple[str, Any]:
    """The kind of a value, and the value as bytes, items, fields, or a word and what is beside it."""
    is_a, kind = pa.types, value.type
    if is_a.is_dictionary(kind):
        return _read(value.value if value.is_valid else pa.scalar(None, kind.value_type))
    name, read = "null", lambda: None
    if is_a.is_boolean(kind):
        name, read = "bool", lambda: (int(value.as_py()), 0)
    elif is_a.is_integer(kind):
        name, read = "int", lambda: (value.as_py(), 0)
    elif is_a.is_floating(kind):
        name, read = "float", lambda: (_double(float(value.as_py())), 0)
    elif is_a.is_date(kind):
        name, read = "date", lambda: (value.value // (86_400_000 if kind.bit_width == 64 else 1), 0)
    elif is_a.is_time(kind):
        name, read = "time", lambda: (value.value * _NANOSECONDS[kind.unit], 0)
    elif is_a.is_timestamp(kind) or is_a.is_duration(kind):
        name = "timestamp" if is_a.is_timestamp(kind) else "duration"
        read = lambda: divmod(value.value * _NANOSECONDS[kind.unit], 1000)  # noqa: E731
    elif is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        name, read = "text", lambda: value.as_py().encode()
    elif is_a.is_decimal(kind):
        name = f"decimal/{kind.scale}"
        read = lambda: int(value.as_py().scaleb(kind.scale)).to_bytes(32, "little", signed=True)  # noqa: E731
    elif is_a.is_map(kind):
        name, read = "list", lambda: list(value.values)
    elif is_a.is_struct(kind):
        name, read = "struct", lambda: list(value.items())
    elif is_a.is_nested(kind):
        name, read = "list", lambda: list(value.values)
    elif not is_a.is_null(kind):
        name, read = "bytes", lambda: value.as_py()
    return name, read() if value.is_valid else None


def _double(value: float) -> int:
    if math.isnan(value):
        return 0x7FF8000000000000
    return int(struct.unpack("<Q", struct.pack("<d", value + 0.0))[0])
