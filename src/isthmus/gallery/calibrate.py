"""Finds the threshold of a gallery from its own vectors: how often would a stranger be taken for somebody in it?

Each vector in turn plays the stranger: everything of its own person is left out, and its distance to the nearest
of the others is what a stranger's would be. With n such distances, the k-th smallest is undercut by a further
stranger of the same kind with probability k / (n + 1) at most (a rank is uniform where the order does not matter).
So the threshold is the largest that stays below the first distance which would make that estimate exceed the
target. It is never looser than the model's own: a gallery of few people, all unlike each other, says nothing of
strangers who look like one of them.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.gallery.kernels import differing_bits, squared
from isthmus.imaging.port import Metric, Model

MOST_STRANGERS = 2_000
"""So many vectors play the stranger at most, chosen evenly: more would hardly sharpen the estimate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A gallery's threshold and what it rests on.

    `false_identification` estimates how often a stranger is taken for somebody at `threshold`, from `strangers`
    vectors; None where fewer than two people are there. `missed` is how often a vector lies further than the
    threshold from all others of its own person, from `genuine` vectors; None where nobody has two. `enough` is
    false where the gallery is too small to show the target, whatever the threshold.
    """

    threshold: float
    false_identification: float | None
    strangers: int
    missed: float | None
    genuine: int
    enough: bool


def calibrate(
    vectors: Sequence[bytes], people: Sequence[Hashable], model: Model, target: float = 0.01
) -> Calibration:
    """Choose the threshold at which at most `target` of strangers would be identified falsely.

    `people` says of each vector whose it is; vectors of one person are never strangers to each other. Raises
    ValueError where the two differ in length, a vector has not the model's size, or the target is not in (0, 1).
    """
    if len(vectors) != len(people) or not 0 < target < 1 or any(len(item) != model.size for item in vectors):
        raise ValueError("calibration needs one person for each vector, vectors of the model, a target in (0, 1)")
    strange, own = _nearest(vectors, people, model)
    count = len(strange)
    allowed = math.floor(target * (count + 1))
    threshold = model.threshold
    if count:
        # just below the distance that would be one too many; the first, where so few cannot show the target
        one_too_many = float(np.sort(strange)[max(0, allowed - 1)])
        threshold = max(0.0, min(threshold, float(np.nextafter(one_too_many, -math.inf))))
    undercut = int((strange <= threshold).sum())
    return Calibration(
        threshold=threshold,
        false_identification=undercut / count if count else None,
        strangers=count,
        missed=float((own > threshold).mean()) if len(own) else None,
        genuine=len(own),
        enough=allowed >= 1,
    )


def _nearest(
    vectors: Sequence[bytes], people: Sequence[Hashable], model: Model
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far those who play strangers are from the nearest other person, and from their nearest own."""
    if not vectors:
        return np.empty(0), np.empty(0)
    numbers: dict[Hashable, int] = {}
    whose = np.array([numbers.setdefault(person, len(numbers)) for person in people])
    stored = np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), model.size)
    rows = stored if model.metric is Metric.HAMMING else stored.view(np.int8 if model.scale else "<f2")
    strange, own = [], []
    for probe in np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_STRANGERS)).astype(int)):
        apart = _distances(rows, probe, model)
        same = whose == whose[probe]
        if not same.all():
            strange.append(apart[~same].min())
        same[probe] = False
        if same.any():
            own.append(apart[same].min())
    return np.array(strange), np.array(own)


def _distances(rows: NDArray[np.generic], probe: int, model: Model) -> NDArray[np.float64]:
    if model.metric is Metric.HAMMING:
        return np.asarray(differing_bits(rows, rows[probe]), np.float64)  # type: ignore[arg-type]
    apart: NDArray[np.float64] = np.sqrt(np.maximum(squared(rows, rows[probe]).astype(np.float64), 0.0))
    return apart / (model.scale or 1.0)
