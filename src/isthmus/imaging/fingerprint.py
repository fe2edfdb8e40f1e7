"""Perceptual hash of any picture: 64 bits that change little when it is scaled, recompressed or brightened.

The hash is pHash's by discrete cosine transform (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, section 3.2.1): luminance, averaged down to 32 × 32, DCT-II, the 8 × 8 coefficients of the lowest
frequencies without the first row and column, one bit each: above their median or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.imaging.port import Metric, Model

SIDE, _KEPT = 32, 8

THRESHOLD = 10.0
"""So many of 64 bits may differ between two copies of a picture; unrelated pictures differ in about 32."""

_FLAT = 1.0
"""Coefficients below it (of grey levels 0 to 255) are rounding noise: such a picture has nothing to describe."""


def _cosines() -> NDArray[np.float64]:
    """Make the rows 1 to 8 of the orthonormal DCT-II matrix, of shape (8, 32)."""
    frequency = np.arange(1, _KEPT + 1)[:, np.newaxis]
    place = np.arange(SIDE)[np.newaxis, :]
    cosines: NDArray[np.float64] = np.sqrt(2 / SIDE) * np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))
    return cosines


_COSINES = _cosines()


class Phash:
    """The extractor of perceptual hashes; it needs no weights."""

    def __init__(self, cache: Path | None = None) -> None:
        """Take `cache` as every extractor does, and leave it alone."""

    @property
    def model(self) -> Model:
        """64 bits, compared by how many differ."""
        return Model("phash/zauner-64", Metric.HAMMING, 8, THRESHOLD)

    def extract(self, image: NDArray[np.uint8]) -> bytes | None:
        """Return the 8 bytes of the hash; None for a picture of one colour."""
        grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        return _bits((_COSINES @ np.asarray(grey, np.float64) @ _COSINES.T)[np.newaxis])[0]


def of_grey(grey: NDArray[np.uint8]) -> bytes | None:
    """Return the hash of a grey picture of shape (height, width), as `Phash` makes it but for rounding."""
    return of_greys([grey])[0]


def of_greys(greys: Sequence[NDArray[np.uint8]]) -> list[bytes | None]:
    """Return the hashes of grey pictures, each as `of_grey` makes it.

    Averaging down to 32 × 32 and the transform are one product of matrices each way; the rest is done for all at
    once.
    """
    lowest = np.empty((len(greys), _KEPT, _KEPT), np.float32)
    for place, grey in enumerate(greys):
        height, width = grey.shape
        left, right = _averaged_cosines(height), _averaged_cosines(width)
        np.matmul(left @ grey.astype(np.float32), right.T, out=lowest[place])
    return _bits(lowest)


def _bits(lowest: NDArray[np.floating[Any]]) -> list[bytes | None]:
    """Return a hash for each block of coefficients, of shape (pictures, 8, 8)."""
    flat = lowest.reshape(len(lowest), _KEPT * _KEPT)
    ordered = np.sort(flat, axis=1)
    middle = _KEPT * _KEPT // 2
    above = flat > (ordered[:, middle - 1 : middle] + ordered[:, middle : middle + 1]) / 2
    something = np.maximum(-ordered[:, 0], ordered[:, -1]) >= _FLAT
    packed, size = np.packbits(above, axis=1).tobytes(), _KEPT * _KEPT // 8
    return [packed[size * at : size * (at + 1)] if some else None for at, some in enumerate(something.tolist())]


@lru_cache(256)
def _averaged_cosines(side: int) -> NDArray[np.float32]:
    """Return the transform for a picture of `side` rows (or columns), of shape (8, side).

    Each of 32 places takes the mean of the rows that it covers, in part where a row lies across a border.
    """
    borders = np.linspace(0, side, SIDE + 1)
    rows = np.arange(side)
    starts, ends = borders[:-1, np.newaxis], borders[1:, np.newaxis]
    covered = np.clip(np.minimum(ends, rows + 1) - np.maximum(starts, rows), 0, None) * (SIDE / side)
    averaged: NDArray[np.float64] = _COSINES @ covered
    return averaged.astype(np.float32)
