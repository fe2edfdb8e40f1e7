"""Offline evaluation: forecasts of recorded moments beside what happened, overall and for each slice."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from isthmus.core.errors import RunFailed
from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.forecast import HISTORY, Forecast, Forecaster
from isthmus.loop.forecasting.frame import Floats
from isthmus.loop.forecasting.metrics import Evaluated, Metric, MetricFactory
from isthmus.loop.forecasting.metrics import metrics as installed
from isthmus.loop.forecasting.samples import Samples, joined, samples_of
from isthmus.loop.forecasting.shards import scenes_in
from isthmus.loop.measure import OVERALL, Measure
from isthmus.loop.plugin import blamed
from isthmus.loop.scene import HEADING, Scene, V, X, Y

CANDIDATE, CHAMPION = "candidate", "champion"


@runtime_checkable
class TakesSamples(Protocol):
    """A forecaster that also takes many cut samples at once, which is much faster."""

    def forecast(self, seen: Floats, size: Floats) -> Forecast:
        """Forecast in the samples' own frames; arguments as in `samples.Samples`."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A moment at which the judged model was wrong: `error` is its FDE in metres."""

    scene_id: str
    step: int
    error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures, and the moments with the greatest errors of the first forecaster, worst first."""

    measures: tuple[Measure, ...]
    failures: tuple[Failure, ...]
    samples: int


def evaluate(
    batches: Iterable[pa.RecordBatch],
    forecasters: Mapping[str, Forecaster],
    slices: Mapping[str, Sequence[str]],
    metrics: Mapping[str, MetricFactory] | None = None,
    *,
    stride: int = 5,
    failures: int = 12,
    report: Report = silent,
) -> Evaluation:
    """Evaluate forecasters on packed scenes that stream by; memory holds one batch.

    `forecasters` by the name that their measures carry (`candidate`, `champion`, a baseline's name); the first
    is the one whose failures are told. `slices` gives each scene_id its slices (`rule:NAME`, `tag:NAME`,
    `source:NAME`). A moment is taken every `stride` steps. Raises RunFailed where not one moment could be, or
    where a forecaster returns something that is not finite.
    """
    tally = _Tally(installed() if metrics is None else metrics, failures)
    scenes = 0
    for batch in batches:
        waiting = list(scenes_in(batch))
        scenes += len(waiting)
        cuts = [samples_of(scene, stride) for scene in waiting]
        whole = joined(cuts)
        if len(whole):
            owner = np.repeat(np.arange(len(waiting)), [len(cut) for cut in cuts])
            rows = _rows_by_slice(waiting, owner, slices)
            for order, (name, forecaster) in enumerate(forecasters.items()):
                seen = _evaluated(name, forecaster, waiting, cuts, whole)
                tally.add(name, seen, rows)
                if order == 0:
                    tally.fail(seen, [waiting[at].scene_id for at in owner], whole.step)
            tally.samples += len(whole)
        report(Progress("evaluate", scenes, unit="scenes", note=f"{tally.samples} moments"))
    if not tally.samples:
        raise RunFailed("no scene is long enough to evaluate on", "take more scenes, or longer ones")
    return tally.result()


@dataclass
class _Tally:
    metrics: Mapping[str, MetricFactory]
    keep: int
    samples: int = 0
    found: dict[tuple[str, str], list[Metric]] = field(default_factory=dict)
    worst: list[tuple[float, str, int]] = field(default_factory=list)

    def add(self, model: str, seen: Evaluated, rows: Mapping[str, np.ndarray]) -> None:
        """Let every metric of every slice take in its rows of a batch."""
        for slice_name in (OVERALL, *rows):
            key = (slice_name, model)
            if key not in self.found:
                self.found[key] = [_made(name, make) for name, make in self.metrics.items()]
            part = seen if slice_name == OVERALL else seen.rows(rows[slice_name])
            for name, metric in zip(self.metrics, self.found[key], strict=True):
                with blamed("metric", name):
                    metric.update(part)

    def fail(self, seen: Evaluated, scene_ids: Sequence[str], steps: np.ndarray) -> None:
        """Keep the worst moment of each of the worst scenes."""
        errors = seen.likely()[:, -1]
        held = {scene_id: (error, scene_id, step) for error, scene_id, step in self.worst}
        for row in np.argsort(errors, kind="stable"):
            found = (float(errors[row]), scene_ids[row], int(steps[row]))
            held[found[1]] = max(found, held.get(found[1], found))
        self.worst = heapq.nlargest(self.keep, held.values())

    def result(self) -> Evaluation:
        """Return the measures, overall first, then the slices by name."""
        order = sorted(self.found, key=lambda key: (key[0] != OVERALL, key[0]))
        measures = [
            _measure(name, metric, slice_name, model)
            for slice_name, model in order
            for name, metric in zip(self.metrics, self.found[slice_name, model], strict=True)
        ]
        failures = tuple(Failure(scene_id, step, error) for error, scene_id, step in self.worst)
        return Evaluation(tuple(measures), failures, self.samples)


def _made(name: str, make: MetricFactory) -> Metric:
    with blamed("metric", name):
        return make()


def _measure(name: str, metric: Metric, slice_name: str, model: str) -> Measure:
    with blamed("metric", name):
        return Measure(metric.name, slice_name, model, metric.value(), metric.count, metric.unit, metric.better)


def _rows_by_slice(
    scenes: Sequence[Scene], owner: np.ndarray, slices: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    members: dict[str, list[int]] = {}
    for at, scene in enumerate(scenes):
        for name in slices.get(scene.scene_id, ()):
            members.setdefault(name, []).append(at)
    return {name: np.flatnonzero(np.isin(owner, at)) for name, at in members.items()}


def _evaluated(
    name: str, forecaster: Forecaster, scenes: Sequence[Scene], cuts: Sequence[Samples], whole: Samples
) -> Evaluated:
    if isinstance(forecaster, TakesSamples):
        forecast = forecaster.forecast(whole.seen, whole.size)
    else:
        each = [
            _moment(forecaster, scene, int(step))
            for scene, cut in zip(scenes, cuts, strict=True)
            for step in cut.step
        ]
        paths, odds = (np.concatenate([getattr(one, part) for one in each]) for part in ("paths", "probability"))
        forecast = Forecast(paths, odds)
    if not (np.isfinite(forecast.paths).all() and np.isfinite(forecast.probability).all()):
        raise RunFailed(f"{name} forecasts something that is not finite", "train the model again")
    return Evaluated(forecast.paths, forecast.probability, whole.future, whole.seen[:, 0, -1, V], whole.slowdown)


def _moment(forecaster: Forecaster, scene: Scene, step: int) -> Forecast:
    """Forecast the ego of one moment through the port, and turn the paths into its own frame."""
    states = scene.states[:, step - HISTORY + 1 : step + 1]
    forecast = forecaster(states, scene.size, np.zeros(1, np.intp))
    now = scene.ego[step]
    cosine, sine = np.cos(now[HEADING]), np.sin(now[HEADING])
    dx, dy = forecast.paths[..., 0] - now[X], forecast.paths[..., 1] - now[Y]
    return Forecast(np.stack([dx * cosine + dy * sine, dy * cosine - dx * sine], axis=-1), forecast.probability)
