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

_ROWS = 512
_COLUMNS = 8192


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

    A matrix product decides the clear pairs; its rounding depends on the shape of the block, so pairs that come
    close to the bound are calculated again, one by one, in float64. The answer for a pair is therefore the same
    in every block.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        one = np.einsum("ij,ij->i", left, left)[:, None]
        other = np.einsum("ij,ij->i", right, right)[None, :]
        squares = one + other - 2 * (left @ right.T)
        # Error of a float32 dot product of d terms: below d·2⁻²³ of the sum of the squares; ×4 to be safe.
        slack = (left.shape[1] + 4) * np.float32(2**-21) * (one + other)
        inside: Mask = squares + slack < square
        unclear = ~inside & ~(squares - slack > square)
    rows, columns = np.nonzero(unclear)
    for start in range(0, len(rows), _COLUMNS):
        row, column = rows[start : start + _COLUMNS], columns[start : start + _COLUMNS]
        difference = left[row].astype(np.float64) - right[column].astype(np.float64)
        inside[row, column] = (difference**2).sum(axis=1) <= square
    return inside
