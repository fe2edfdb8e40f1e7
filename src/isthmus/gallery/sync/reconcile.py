"""Finds which records differ between two sides by comparing sums over ranges of key hashes, 16-way.

Records are sorted by key hash; a range at level L are the hashes that share their first 4·L bits, its prefix. Its
sum is that of its items' first hash lanes, modulo 2^64. Equal sums mean equal records up to chance: the lanes are
of a keyed hash, and the galleries' whole digests (four lanes) are compared afterwards. Everything here is arrays:
hashes u64 ascending, lanes u64, prefixes u32 ascending.

The idea is Meyer's range-based set reconciliation (arXiv:2212.13567) with a fixed split, so that one round trip
goes two levels down and no range has to be negotiated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]

WIDEST = 3
"""The deepest level at which all ranges are told: 4,096 sums are 32 KiB."""
_RANGE_ITEMS = 256
LEAF_ITEMS = 64
"""Ranges with more records than this on average are parted further."""


def start_level(count: int) -> int:
    """Choose the level at which to begin: about 256 records a range, at most level 3."""
    return min(WIDEST, max(0, math.ceil(math.log(max(1, count) / _RANGE_ITEMS, 16))))


def is_leaf(count: int, level: int) -> bool:
    """Tell whether ranges at a level are small enough to list their records."""
    return count <= LEAF_ITEMS << (4 * level)


def likely_changed(differing: int, ranges: int) -> float:
    """Estimate how many records differ where `differing` of `ranges` ranges do: balls thrown into bins."""
    if differing >= ranges:
        return math.inf if ranges > 1 else 1.0
    return -ranges * math.log1p(-differing / ranges)


def below(prefixes: U32) -> U32:
    """Return the 16 prefixes below each, ascending."""
    return (
        ((prefixes[:, None].astype(np.uint64) << np.uint64(4)) + np.arange(16, dtype=np.uint64))
        .astype(np.uint32)
        .ravel()
    )


def every(level: int) -> U32:
    """Return all prefixes of a level."""
    return np.arange(16**level, dtype=np.uint32)


def bounds(hashes: U64, level: int, prefixes: U32) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each range begins and ends in the sorted hashes."""
    if level == 0:
        return np.zeros(len(prefixes), np.intp), np.full(len(prefixes), len(hashes), np.intp)
    shift = np.uint64(64 - 4 * level)
    low = prefixes.astype(np.uint64) << shift
    high = low + ((np.uint64(1) << shift) - np.uint64(1))
    return np.searchsorted(hashes, low, "left"), np.searchsorted(hashes, high, "right")


def sums(hashes: U64, lanes: U64, level: int, prefixes: U32) -> U64:
    """Sum the lanes of each range, modulo 2^64."""
    return summed(hashes, running(lanes), level, prefixes)


def running(lanes: U64) -> U64:
    """Return the sums of all lanes before each place and, last, of all, modulo 2^64."""
    return np.concatenate((np.zeros(1, np.uint64), np.cumsum(lanes, dtype=np.uint64)))


def summed(hashes: U64, total: U64, level: int, prefixes: U32) -> U64:
    """Sum each range by what `running` returned."""
    begin, end = bounds(hashes, level, prefixes)
    result: U64 = total[end] - total[begin]
    return result


def within(hashes: U64, level: int, prefixes: U32) -> NDArray[np.intp]:
    """Return the places of all hashes that lie in the ranges."""
    begin, end = bounds(hashes, level, prefixes)
    if not len(begin):
        return np.zeros(0, np.intp)
    return np.concatenate([np.arange(low, high) for low, high in zip(begin, end, strict=True)])


def pairs(hashes: U64, lanes: U64) -> bytes:
    """Write (hash, lane) pairs as bytes."""
    return np.stack((hashes, lanes), axis=1).astype("<u8").tobytes()


def of_pairs(content: bytes) -> tuple[U64, U64]:
    """Read what `pairs` writes. Raises ValueError where it is no whole number of pairs."""
    table = np.frombuffer(content, "<u8").astype(np.uint64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def difference(ours: tuple[U64, U64], theirs: tuple[U64, U64]) -> tuple[NDArray[np.intp], U64]:
    """Compare records of the same ranges: the places in ours that they lack or hold otherwise, and what is theirs
    alone, by key hash.
    """
    order = np.argsort(theirs[0], kind="stable")
    there, lanes = theirs[0][order], theirs[1][order]
    if not len(there):
        return np.arange(len(ours[0])), there
    at = np.minimum(np.searchsorted(there, ours[0]), len(there) - 1)
    same = (there[at] == ours[0]) & (lanes[at] == ours[1])
    return np.flatnonzero(~same), np.unique(there[~np.isin(there, ours[0])])


def u32(content: bytes) -> U32:
    """Read prefixes. Raises ValueError where they are not whole or not strictly ascending."""
    prefixes = np.frombuffer(content, "<u4").astype(np.uint32)
    if len(prefixes) > 1 and not bool(np.all(prefixes[1:] > prefixes[:-1])):
        raise ValueError("prefixes that do not ascend")
    return prefixes


def u64(content: bytes) -> U64:
    """Read sums. Raises ValueError where they are not whole."""
    return np.frombuffer(content, "<u8").astype(np.uint64)
