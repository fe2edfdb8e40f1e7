"""Metrics of forecasts: each is a small accumulator that batches stream through; more come from entry points.

Displacement metrics follow Argoverse (Chang et al., CVPR 2019) with a miss at 2 m, and nuScenes for minADE (the
least mean displacement of all modes). Average precision is scikit-learn's: sum over thresholds of
(R_n − R_(n−1)) · P_n, without interpolation, equal scores being one threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import InputError, UnknownName
from isthmus.loop.forecast import STEP_S
from isthmus.loop.forecasting.samples import SLOWDOWN_MPS
from isthmus.loop.measure import Better

GROUP = "isthmus.metrics"
MISS_M = 2.0
_SPAN = 5  # steps over which a path's speed is taken: half a second


@dataclass(frozen=True, slots=True)
class Evaluated:
    """n forecasts beside what happened, in each agent's own frame.

    `paths` (n, K, HORIZON, 2), `probability` (n, K), `future` (n, HORIZON, 2), the present `speed` (n,) in m/s,
    and `slowdown` bool (n,): whether more than 3 m/s were lost within 3 s.
    """

    paths: NDArray[np.float32]
    probability: NDArray[np.float32]
    future: NDArray[np.float32]
    speed: NDArray[np.float32]
    slowdown: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.future)

    def rows(self, rows: NDArray[np.intp]) -> Evaluated:
        """Return some rows."""
        return Evaluated(
            self.paths[rows], self.probability[rows], self.future[rows], self.speed[rows], self.slowdown[rows]
        )

    def away(self) -> NDArray[np.float32]:
        """Return the distance of every mode to what happened, (n, K, HORIZON)."""
        away: NDArray[np.float32] = np.linalg.norm(self.paths - self.future[:, None], axis=-1)
        return away

    def likely(self) -> NDArray[np.float32]:
        """Return the distance of the most probable mode, (n, HORIZON)."""
        likely: NDArray[np.float32] = self.away()[np.arange(len(self)), self.probability.argmax(axis=1)]
        return likely


class Metric(Protocol):
    """Accumulates one figure. A fresh one is made for every model and slice; memory must stay bounded."""

    name: str
    unit: str
    better: Better

    def update(self, batch: Evaluated) -> None:
        """Take in one batch; it may be empty."""
        ...

    def value(self) -> float:
        """Return the figure over all batches so far, NaN where `count` is 0."""
        ...

    @property
    def count(self) -> int:
        """The number of samples that the figure rests on."""
        ...


@dataclass(slots=True)
class MeanOf:
    """The mean over all samples of a figure that each sample has alone."""

    name: str
    unit: str
    better: Better
    each: Callable[[Evaluated], NDArray[Any]]
    total: float = 0.0
    count: int = 0

    def update(self, batch: Evaluated) -> None:
        """Add the samples of a batch."""
        self.total += float(self.each(batch).sum(dtype=np.float64))
        self.count += len(batch)

    def value(self) -> float:
        """Return the mean."""
        return self.total / self.count if self.count else float("nan")


def ade() -> Metric:
    """Mean distance of the most probable mode over all steps."""
    return MeanOf("ADE", "m", "lower", lambda batch: batch.likely().mean(axis=1))


def fde() -> Metric:
    """Distance of the most probable mode at the last step."""
    return MeanOf("FDE", "m", "lower", lambda batch: batch.likely()[:, -1])


def min_ade() -> Metric:
    """Mean distance over all steps of the mode for which it is least."""
    return MeanOf("minADE", "m", "lower", lambda batch: batch.away().mean(axis=2).min(axis=1))


def min_fde() -> Metric:
    """Distance at the last step of the mode that ends nearest."""
    return MeanOf("minFDE", "m", "lower", lambda batch: batch.away()[..., -1].min(axis=1))


def miss_rate() -> Metric:
    """Share of samples of which no mode ends within 2 m of where the agent did (Argoverse)."""
    return MeanOf("miss_rate", "", "lower", lambda batch: batch.away()[..., -1].min(axis=1) > MISS_M)


def speed_loss(batch: Evaluated) -> NDArray[np.float32]:
    """Return the most speed in m/s that each mode loses within its horizon, (n, K), never negative.

    The speed of a path is taken over half a second, as the recorded speed is smoothed too.
    """
    start = np.zeros((*batch.paths.shape[:2], 1, 2), np.float32)
    path = np.concatenate([start, batch.paths], axis=2)
    speed = np.linalg.norm(path[:, :, _SPAN:] - path[:, :, :-_SPAN], axis=-1) / np.float32(_SPAN * STEP_S)
    loss: NDArray[np.float32] = np.maximum(batch.speed[:, None] - speed.min(axis=2), 0)
    return loss


def slowdown_score(batch: Evaluated) -> NDArray[np.float32]:
    """Return the expected loss of speed in m/s, (n,): each mode's loss weighed by its probability."""
    score: NDArray[np.float32] = (speed_loss(batch) * batch.probability).sum(axis=1)
    return score


class _SlowdownPoint:
    """What precision and recall share: a slow-down is predicted where the expected loss exceeds 3 m/s."""

    unit = ""
    better: Better = "higher"

    def __init__(self) -> None:
        self.hits = self.predicted = self.real = 0

    def update(self, batch: Evaluated) -> None:
        """Count the hits, predictions and real slow-downs of a batch."""
        said = slowdown_score(batch) > SLOWDOWN_MPS
        self.hits += int((said & batch.slowdown).sum())
        self.predicted += int(said.sum())
        self.real += int(batch.slowdown.sum())


class SlowdownPrecision(_SlowdownPoint):
    """Of the hard slow-downs that were predicted, the share that happened; rests on the predicted ones."""

    name = "slowdown_precision"

    def value(self) -> float:
        """Return the precision."""
        return self.hits / self.predicted if self.predicted else float("nan")

    @property
    def count(self) -> int:
        """The number of predicted slow-downs."""
        return self.predicted


class SlowdownRecall(_SlowdownPoint):
    """Of the hard slow-downs that happened, the share that was predicted; rests on the real ones."""

    name = "slowdown_recall"

    def value(self) -> float:
        """Return the recall."""
        return self.hits / self.real if self.real else float("nan")

    @property
    def count(self) -> int:
        """The number of real slow-downs."""
        return self.real


class SlowdownAveragePrecision:
    """Average precision of predicting hard slow-downs by the expected loss of speed.

    Scores are counted in steps of 1 cm/s up to 41 m/s, so that memory does not grow with the samples; the
    result is exact for the scores so rounded. Rests on all samples, on none where no slow-down happened.
    """

    name = "slowdown_average_precision"
    unit = ""
    better: Better = "higher"
    STEPS_PER_MPS, BINS = 100, 4096

    def __init__(self) -> None:
        self._tally = np.zeros((2, self.BINS), np.int64)  # quiet samples and slow-downs for each score

    def update(self, batch: Evaluated) -> None:
        """Count the scores of a batch."""
        score = np.clip(np.rint(slowdown_score(batch) * self.STEPS_PER_MPS), 0, self.BINS - 1).astype(np.intp)
        for kind in (0, 1):
            self._tally[kind] += np.bincount(score[batch.slowdown == bool(kind)], minlength=self.BINS)

    def value(self) -> float:
        """Return the average precision."""
        real = self._tally[1][::-1]
        if not real.any():
            return float("nan")
        hits, said = real.cumsum(), self._tally.sum(axis=0)[::-1].cumsum()
        precision = hits / np.maximum(said, 1)
        return float((real / hits[-1]) @ precision)

    @property
    def count(self) -> int:
        """The number of samples, 0 where none of them is a slow-down."""
        return int(self._tally.sum()) if self._tally[1].any() else 0


MetricFactory = Callable[[], Metric]

SHIPPED: dict[str, MetricFactory] = {
    "minADE": min_ade,
    "minFDE": min_fde,
    "ADE": ade,
    "FDE": fde,
    "miss_rate": miss_rate,
    "slowdown_precision": SlowdownPrecision,
    "slowdown_recall": SlowdownRecall,
    "slowdown_average_precision": SlowdownAveragePrecision,
}


def metrics(names: Iterable[str] | None = None) -> dict[str, MetricFactory]:
    """Load the metrics called `names`, or all that are installed. Raises UnknownName or InputError."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    known = [*SHIPPED, *(name for name in sorted(points) if name not in SHIPPED)]
    chosen = known if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise UnknownName.among("metric", name, known)
    return {name: SHIPPED[name] if name in SHIPPED else _loaded(points[name]) for name in chosen}


def _loaded(point: EntryPoint) -> MetricFactory:
    try:
        factory: MetricFactory = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the metric {point.name!r} ({point.value}) cannot be loaded: {error}", "repair or remove its package"
        ) from error
    return factory
