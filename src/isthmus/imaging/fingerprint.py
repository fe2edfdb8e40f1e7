"""Perceptual hash of any picture: 64 bits that change little when it is scaled, recompressed or brightened.

The hash is pHash's by discrete cosine transform (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, section 3.2.1): luminance, averaged down to 32 × 32, DCT-II, the 8 × 8 coefficients of the lowest
frequencies without the first row and column, one bit each: above their median or not.
"""

from __future__ import annotations

from pathlib import Path

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
        return of_levels(levels(Image.fromarray(image).convert("L")))


def levels(grey: Image.Image) -> NDArray[np.uint8]:
    """Average a grey picture (mode L) down to what the hash is made of, of shape (32, 32)."""
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))


def of_levels(levels: NDArray[np.uint8]) -> bytes | None:
    """Return the 8 bytes of the hash of 32 × 32 grey levels; None for a picture of one colour."""
    lowest = (_COSINES @ levels.astype(np.float64) @ _COSINES.T).ravel()
    if np.abs(lowest).max() < _FLAT:
        return None
    ordered = np.sort(lowest)
    return np.packbits(lowest > (ordered[31] + ordered[32]) / 2).tobytes()
