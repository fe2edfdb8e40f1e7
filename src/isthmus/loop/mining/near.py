"""Near-duplicates: keep the first of what is alike, exactly, in blocks, whatever the blocks are.

Greedy in the order of the rows: a vector is suppressed when it lies within the threshold of one that was kept.
So no two kept vectors are within the threshold of each other, and every suppressed one has a kept one within it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import InputError

Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

_ROWS = 1024
_COLUMNS = 1024
_PAIRS = 8192
_GREATEST = 1e30
_LEAST = 1e-37  # float32 loses its precision below


class NearDuplicates:
    """Remembers what was kept, so that rows may come in any number of calls.

    Distances are Euclidean; equal to the threshold counts as within, and a threshold of 0 suppresses equal
    vectors alone. Memory: what was kept, and one block of distances. Time: rows × kept.
    """

    def __init__(self, threshold: float) -> None:
        """Raises InputError where the threshold is negative or no number."""
        if not (threshold >= 0 and math.isfinite(threshold)):
            raise InputError(f"a near-duplicate distance of {threshold} makes no sense", "choose 0 or more")
        self._square = float(threshold) ** 2
        self._kept: Vectors = np.zeros((0, 0), np.float32)
        self._count = 0

    def keep(self, vectors: Vectors) -> Mask:
        """Judge rows (n, d) in their order; return which are kept. Rows with NaN are kept and are like none."""
        keep = np.ones(len(vectors), np.bool_)
        for start in range(0, len(vectors), _ROWS):
            block = np.ascontiguousarray(vectors[start : start + _ROWS], np.float32)
            comparable = np.isfinite(block).all(axis=1)
            keep[start : start + len(block)][comparable] = self._judge(block[comparable])
        return keep

    def _judge(self, block: Vectors) -> Mask:
        """Judge at most _ROWS finite rows and remember those that are kept."""
        open_ = np.ones(len(block), np.bool_)
        for start in range(0, self._count, _COLUMNS):
            rows = np.flatnonzero(open_)
            known = self._kept[start : min(start + _COLUMNS, self._count)]
            open_[rows] = ~within(block[rows], known, self._square).any(axis=1)
        rows = np.flatnonzero(open_)
        alike = within(block[rows], block[rows], self._square)
        alive = np.ones(len(rows), np.bool_)
        for index in range(len(rows)):
            if alive[index]:
                alive[index + 1 :] &= ~alike[index, index + 1 :]
        open_[rows] = alive
        self._remember(block[rows[alive]])
        return open_

    def _remember(self, vectors: Vectors) -> None:
        if not len(vectors):
            return
        needed = self._count + len(vectors)
        if needed > len(self._kept):
            grown = np.empty((max(needed, 2 * len(self._kept), _ROWS), vectors.shape[1]), np.float32)
            if self._count:
                grown[: self._count] = self._kept[: self._count]
            self._kept = grown
        self._kept[self._count : needed] = vectors
        self._count = needed


def within(left: Vectors, right: Vectors, square: float) -> Mask:
    """Tell for each pair of rows, (n, d) and (m, d), whether its squared distance is at most `square`.

    A matrix product rules out the pairs that are clearly apart; its rounding depends on the shape of the block, so
    the pairs that remain are calculated one by one in float64. The answer for a pair is the same in every block.
    """
    near = _perhaps(left, right, square)
    rows, columns = np.nonzero(near)
    for start in range(0, len(rows), _PAIRS):
        row, column = rows[start : start + _PAIRS], columns[start : start + _PAIRS]
        difference = left[row].astype(np.float64) - right[column].astype(np.float64)
        near[row, column] = (difference**2).sum(axis=1) <= square
    return near


def _perhaps(left: Vectors, right: Vectors, square: float) -> Mask:
    """Tell which pairs a float32 matrix product cannot rule out.

    One product of d + 2 terms yields |a|² + |b|² − 2ab, lessened by more than its own rounding error, which is
    below 3 (d + 3) 2⁻²⁴ of |a|² + |b|².
    """
    sure = np.float32(1 - (left.shape[1] + 4) * 2**-21)
    with np.errstate(over="ignore"):
        one, other = (np.einsum("ij,ij->i", side, side)[:, None] for side in (left, right))
    if not (one.max(initial=0) < _GREATEST and other.max(initial=0) < _GREATEST):
        return np.ones((len(left), len(right)), np.bool_)  # float32 might overflow
    first = np.hstack([left, sure * one, np.ones_like(one)])
    second = np.hstack([-2 * right, np.ones_like(other), sure * other])
    least: Vectors = first @ second.T
    perhaps: Mask = least <= min(square + _LEAST, 1e38)  # a greater bound is no float32
    return perhaps
