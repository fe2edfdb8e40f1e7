"""What turns an image into a vector, and how two vectors compare. Found through the entry points of GROUP."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

GROUP = "isthmus.extractors"


class Metric(enum.Enum):
    """How far two vectors are apart."""

    EUCLIDEAN = "euclidean"
    """Of int8 vectors: the Euclidean distance of the components divided by the model's `scale`."""
    HAMMING = "hamming"
    """Of bit strings: how many bits differ."""


@dataclass(frozen=True, slots=True)
class Model:
    """What stored vectors need to be understood: equal `name`, equal vectors for equal images.

    `size` is the length of a stored vector in bytes; `threshold` is the distance up to which two images count as
    of the same person or thing unless a gallery was calibrated; `scale` turns components into int8 (0: none are).
    """

    name: str
    metric: Metric
    size: int
    threshold: float
    scale: float = 0.0


class Extractor(Protocol):
    """Makes vectors of images. Making one may load weights; it is kept as long as it is used, on one thread."""

    @property
    def model(self) -> Model:
        """What it makes; known without loading weights."""
        ...

    def extract(self, image: NDArray[np.uint8]) -> bytes | None:
        """Return the vector of an RGB image of shape (height, width, 3); None where it finds nothing to describe.

        Of several faces it takes the largest. Raises MissingExtra where a part is not installed.
        """
        ...


@runtime_checkable
class Translator(Protocol):
    """An extractor whose vectors can be turned into those of other models: the same ones, kept in another form.

    So a device finds what it holds by the older form, and a threshold that was calibrated by one form holds for
    the other. It is for probes: a vector that is stored is made by its own model.
    """

    @property
    def kin(self) -> tuple[str, ...]:
        """The names of those models; distances by them are equal but for rounding."""
        ...

    def translated(self, vector: bytes, model: str) -> bytes:
        """Return a vector of its own as one of a kin. Raises ValueError for any other model."""
        ...
