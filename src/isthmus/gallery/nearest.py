"""The nearest of many rows to a probe, all of them compared; float16 rows by way of int8 ones.

A float16 vector is also kept rounded to int8, half as large and compared in half the time. If rounding moves no
row by more than E, and the probe by e, then a rounded distance differs from the true one by E + e at most. So with
c the k-th smallest rounded distance, each of the k nearest has a rounded distance of c + 2 (E + e) at most: those
few are compared again as float16. The result is that of comparing all of them so, however badly any was rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.gallery.kernels import squared

BLOCK_ROWS = 65_536

Rows = NDArray[Any]
Found = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Numbers of rows, and how far they are as the measure tells it."""


def nearest(
    rows: Rows,
    dead: NDArray[np.bool_],
    probe: Rows,
    k: int,
    measure: Callable[[Rows, Rows], Rows],
    slack: float = 0.0,
) -> Found:
    """Return the `k` nearest of the rows that are not dead, in no order, and ties.

    With `slack`, `measure` gives squares, and all rows are returned whose root is within `slack` of the k-th's.
    """
    near, apart, bound = np.empty(0, np.int64), np.empty(0), math.inf
    for start in range(0, len(rows) if k > 0 else 0, BLOCK_ROWS):
        distances = measure(rows[start : start + BLOCK_ROWS], probe)
        within = distances <= bound
        within &= ~dead[start : start + BLOCK_ROWS]
        at = np.flatnonzero(within)
        near, apart = np.concatenate((near, at + start)), np.concatenate((apart, distances[at]))
        if len(near) > k:
            last = float(np.partition(apart, k - 1)[k - 1])
            bound = (math.sqrt(last) + slack) ** 2 if slack else last
            kept = apart <= bound
            near, apart = near[kept], apart[kept]
    return near, apart


@dataclass(frozen=True, slots=True)
class Rounding:
    """How float16 vectors are rounded to int8: component × `scale`; no row is moved by more than `error`."""

    scale: float
    error: float = 0.0

    @classmethod
    def fitting(cls, vectors: Rows) -> Rounding:
        """Choose the scale for vectors like these (n, d); larger ones are cut off, and their error tells so."""
        largest = float(np.abs(vectors.astype(np.float32)).max(initial=0.0))
        return cls(127 / (1.25 * largest) if 0 < largest < math.inf else 127.0)

    def rounded(self, vectors: Rows) -> tuple[NDArray[np.int8], float]:
        """Round vectors (n, d) to int8; return them and the furthest that one was moved."""
        wide = vectors.astype(np.float32)
        rows = np.rint(wide * self.scale).clip(-127, 127).astype(np.int8)
        moved = np.linalg.norm(rows / np.float32(self.scale) - wide, axis=1)
        return rows, float(moved.max(initial=0.0))

    def nearest(self, rounded: Rows, rows: Rows, dead: NDArray[np.bool_], probe: Rows, k: int) -> Found:
        """Return the `k` nearest float16 rows and ties, by way of the rounded ones; distances are squares."""
        [small], moved = self.rounded(probe[np.newaxis])
        # a little more, for the roundings of float32
        slack = 2.0 * (self.error + moved) * self.scale * 1.001 + 0.001
        near, _ = nearest(rounded, dead, small, k, squared, slack)
        apart = np.empty(len(near))
        for start in range(0, len(near), BLOCK_ROWS):
            some = near[start : start + BLOCK_ROWS]
            apart[start : start + len(some)] = squared_wide(rows[some], probe)
        return near, apart


def squared_wide(rows: Rows, probe: Rows) -> NDArray[np.float32]:
    """Return the squared distances (n) of float16 rows (n, d) to a probe (d), reckoned in float32."""
    apart = rows.astype(np.float32) - probe.astype(np.float32)
    found: NDArray[np.float32] = np.einsum("ij,ij->i", apart, apart)
    return found
