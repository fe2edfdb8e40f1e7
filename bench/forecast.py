"""ADE and FDE on NGSIM against constant velocity, by cross-validation over whole leak groups.

Five folds; every group is tested exactly once, by a network that was trained on the others. Inside the training
folds, groups with 15 % of the samples choose the best epoch; the test fold chooses nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.figure import Figure
from forecasting_scenes import ngsim, packed
from isthmus.loop.forecast import ConstantVelocity
from isthmus.loop.forecasting.job import TrainJob
from isthmus.loop.forecasting.metrics import metrics
from isthmus.loop.forecasting.offline import CANDIDATE, Evaluation, evaluate
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shards import write_shards
from isthmus.loop.forecasting.split import SplitSettings, folds, parts_of
from isthmus.loop.forecasting.train import train
from isthmus.loop.measure import OVERALL
from samples import SAMPLES

FOLDS = 5
GOAL = -0.20
WATCHED = (
    "ADE",
    "FDE",
    "minADE",
    "minFDE",
    "miss_rate",
    "slowdown_precision",
    "slowdown_recall",
    "slowdown_average_precision",
)
BASELINE = ConstantVelocity.name


def run(scale: float = 1.0, settings: TrainSettings | None = None) -> list[Figure]:
    """Measure; `scale` below 1 takes fewer of the NGSIM scenarios."""
    if not (SAMPLES / "driving" / "ngsim").is_dir():
        print(f"forecast: no NGSIM samples in {SAMPLES}, left out", file=sys.stderr)
        return []
    settings = settings or TrainSettings()
    with tempfile.TemporaryDirectory() as name:
        return list(_folds(Path(name), None if scale >= 1 else max(12, int(78 * scale)), settings))


def _folds(folder: Path, scenarios: int | None, settings: TrainSettings) -> Iterator[Figure]:
    shards = write_shards(packed(ngsim(scenarios), rows=64), folder / "shards", stride=settings.stride)
    dealt = folds(shards.group_counts, FOLDS)
    found: list[Evaluation] = []
    took = 0.0
    for fold in range(FOLDS):
        learned = {name: shards.group_counts[name] for name, of in dealt.items() if of != fold}
        parts = parts_of(learned, SplitSettings(validation=0.15, test=0.0))
        begun = time.perf_counter()
        train(TrainJob(str(shards.folder), parts, str(folder / f"fold{fold}"), settings))
        took += time.perf_counter() - begun
        models = {CANDIDATE: NumpyForecaster.load(folder / f"fold{fold}"), BASELINE: ConstantVelocity()}
        held = _of_groups(scenarios, {name for name, of in dealt.items() if of == fold})
        found.append(evaluate(held, models, {}, metrics(WATCHED), stride=settings.stride))
        _print_fold(fold, found[-1])
    print(f"  training took {took / FOLDS:.1f} s a fold, one thread, {len(shards)} samples")
    for metric in WATCHED:
        ours, theirs = (pooled(found, metric, model) for model in (CANDIDATE, BASELINE))
        print(f"  {metric:28s} {ours:8.3f}  constant velocity {theirs:8.3f}")
    for metric in ("ADE", "FDE"):
        ours, theirs = (pooled(found, metric, model) for model in (CANDIDATE, BASELINE))
        change = ours / theirs - 1
        yield Figure(
            figure=f"{metric} on NGSIM, {FOLDS} grouped folds pooled, {change:+.1%}",
            value=ours,
            unit="m",
            peer=BASELINE,
            peer_value=theirs,
            goal="at least 20 % below",
            holds=change <= GOAL,
        )


def pooled(found: list[Evaluation], metric: str, model: str) -> float:
    """Pool a mean over the test folds, each weighed by its count."""
    measures = [
        measure
        for evaluation in found
        for measure in evaluation.measures
        if (measure.metric, measure.model, measure.slice) == (metric, model, OVERALL) and measure.count
    ]
    count = sum(measure.count for measure in measures)
    return sum(measure.value * measure.count for measure in measures) / count if count else float("nan")


def _of_groups(scenarios: int | None, groups: set[str]) -> Iterator[pa.RecordBatch]:
    return packed((scene for scene in ngsim(scenarios) if scene.leak_group in groups), rows=64)


def _print_fold(fold: int, evaluation: Evaluation) -> None:
    told: Mapping[tuple[str, str], float] = {
        (measure.metric, measure.model): measure.value for measure in evaluation.measures
    }
    changes = ", ".join(
        f"{name} {told[name, CANDIDATE] / told[name, BASELINE] - 1:+.1%}" for name in ("ADE", "FDE")
    )
    print(f"  fold {fold}: {evaluation.samples} moments, {changes}", flush=True)
