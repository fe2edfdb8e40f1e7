"""The runs of a site: how far each is, how its models learned, how its candidate stands to the champion, and why.

What a run that goes on has done so far is read from what its steps leave behind, whichever process works on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.app.views.opening import has_state, opened
from isthmus.core.errors import Corrupt, UnknownName

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.measure import Measure
    from isthmus.loop.runs.folder import RunFolder
    from isthmus.loop.runs.ledger import Run


@dataclass(frozen=True, slots=True)
class RunShown:
    """One run of the list.

    `going` tells that a process works on it now; an open run that is not going waits to be resumed or cancelled.
    `scenes` is how many were chosen, `verdict` the gate's sentence, `model` what came of it.
    """

    id: str
    pipeline: str
    trigger: str
    state: str
    open: bool
    going: bool
    rule: str
    where: str
    settings: Mapping[str, str]
    mode: str
    scenes: int | None
    attempts: tuple[str, ...]
    started: datetime
    changed: datetime
    error: str
    verdict: str
    model: str


@dataclass(frozen=True, slots=True)
class StepShown:
    """One transition of a run."""

    event: str
    state: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Training:
    """One training: its losses, and the mean error in metres on validation groups, one figure an epoch.

    `epochs` is how many there may be, `best` the best one from 0, `trials` how many a search has tried. `over`
    tells that it has ended.
    """

    number: int
    mode: str
    epochs: int
    train_loss: tuple[float | None, ...]
    loss: tuple[float | None, ...]
    ade: tuple[float | None, ...]
    best: int | None
    seconds: float | None
    trials: int
    over: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an evaluation. `model` is candidate, champion or a baseline; `value` None for no sample.

    `part` is `overall`, or `rule:NAME`, `tag:NAME`, `source:NAME`; `better` is lower or higher.
    """

    metric: str
    part: str
    model: str
    value: float | None
    count: int
    unit: str
    better: str


@dataclass(frozen=True, slots=True)
class ReasonShown:
    """How one bound of the gate came out."""

    metric: str
    part: str
    status: str
    sentence: str
    blocks: bool
    value: float | None
    limit: float | None
    baseline: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class DecisionShown:
    """What the gate said. `verdict` is promote, continue or keep."""

    verdict: str
    sentence: str
    reasons: tuple[ReasonShown, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A moment that the candidate got most wrong: metres off after 3 s, from a step of a scene."""

    scene_id: str
    step: int
    error: float


@dataclass(frozen=True, slots=True)
class RunDetails:
    """One run with everything that its steps left behind.

    `steps` are the states of a run in their order, `passed` what happened. `champion` is what the candidate was
    compared with; empty where there was none. `samples` counts samples by what they were used for.
    """

    run: RunShown
    steps: tuple[str, ...]
    passed: tuple[StepShown, ...]
    champion: str
    considered: int | None
    version: int | None
    table: str
    digest: str
    samples: Mapping[str, int]
    tuned: Mapping[str, Mapping[str, float]]
    trainings: tuple[Training, ...]
    offline: tuple[Figure, ...]
    simulation: tuple[Figure, ...]
    failures: tuple[Failure, ...]
    decision: DecisionShown | None
    report: bool


def list_pipelines(toml: Path) -> tuple[str, ...]:
    """List the pipelines that the site declares."""
    with opened(toml) as site:
        return tuple(site.config.pipelines)


def list_runs(toml: Path, pipeline: str = "", limit: int = 50, before: str = "") -> tuple[RunShown, ...]:
    """List runs, newest first; with `before` those that began before that one. Raises UnknownName."""
    with opened(toml) as site:
        _need_pipeline(site, pipeline)
        if not has_state(site):
            return ()
        found = site.ledger.runs(pipeline or None, limit, before or None)
        return tuple(_shown(site, run) for run in found)


def show_run(toml: Path, run_id: str) -> RunDetails:
    """Show one run. Raises UnknownName with the nearest."""
    with opened(toml) as site:
        if not has_state(site):
            raise UnknownName.among("run", run_id, ())
        run = site.ledger.get(run_id)
        place, notes = site.run_folder(run.id), run.notes
        trainings = tuple(_trainings(place, run))
        judged = _judged(place, run)
        return RunDetails(
            _shown(site, run),
            _way(run),
            tuple(
                StepShown(step.event, step.state, datetime.fromisoformat(step.at), step.why)
                for step in site.ledger.steps(run.id)
            ),
            notes.get("champion") or "",
            notes.get("considered"),
            notes.get("version"),
            str(site.tables.name("scenes")),
            notes.get("digest", ""),
            notes.get("samples") or {},
            {part: dict(values) for part, values in (notes.get("tuned") or {}).items() if values},
            trainings,
            tuple(_figures(judged, "offline.json")),
            tuple(_figures(judged, "simulation.json")),
            tuple(_failures(judged)),
            _decision(notes.get("decision")),
            place.report.is_file(),
        )


def find_report(toml: Path, run_id: str) -> Path:
    """Return where a run's report lies. Raises UnknownName where it has none yet."""
    with opened(toml) as site:
        if not has_state(site):
            raise UnknownName.among("run", run_id, ())
        report = site.run_folder(site.ledger.get(run_id).id).report
        if not report.is_file():
            raise UnknownName(f"run {run_id} has no report yet", "it is written when the run ends")
        return report


def measures(figures: Iterable[Figure]) -> list[Measure]:
    """Return figures as the loop has them, for its tables of comparison."""
    from isthmus.loop.measure import Measure

    return [
        Measure(
            one.metric,
            one.part,
            one.model,
            math.nan if one.value is None else one.value,
            one.count,
            one.unit,
            "higher" if one.better == "higher" else "lower",
        )
        for one in figures
    ]


def figures_of(found: Iterable[Measure]) -> Iterator[Figure]:
    """Return the loop's measures as figures; no number becomes None."""
    for one in found:
        value = one.value if math.isfinite(one.value) else None
        yield Figure(one.metric, one.slice, one.model, value, one.count, one.unit, one.better)


def _need_pipeline(site: Site, name: str) -> None:
    if name and name not in site.config.pipelines:
        raise UnknownName.among("pipeline", name, site.config.pipelines)


def _shown(site: Site, run: Run) -> RunShown:
    from isthmus.state.lock import holder

    going = run.is_open and holder(site.state_folder / "runs" / f"{run.pipeline}.lock") is not None
    notes = run.notes
    return RunShown(
        run.id,
        run.pipeline,
        run.trigger,
        run.state,
        run.is_open,
        going,
        run.ask.rule,
        run.ask.where,
        {name: str(value) for name, value in (run.ask.settings or {}).items()},
        run.ask.mode,
        notes.get("count"),
        tuple(notes.get("attempts", ())),
        datetime.fromisoformat(run.started),
        datetime.fromisoformat(run.changed),
        run.error,
        (notes.get("decision") or {}).get("sentence", ""),
        notes.get("model", ""),
    )


def _way(run: Run) -> tuple[str, ...]:
    """Return the states that a run like this goes through, its end left open while it goes on."""
    from isthmus.loop.runs import states

    learning = states.TUNING if run.state == states.TUNING or run.ask.mode == "tune" else states.TRAINING
    way = (states.SELECTING, states.EXPORTING, learning, states.EVALUATING, states.SIMULATING, states.DECIDING)
    return (*way, states.RELEASING) if run.is_open else (*way, states.RELEASING, run.state)


def _trainings(place: RunFolder, run: Run) -> Iterator[Training]:
    """Yield the trainings of a run that have ended, and the one that goes on."""
    from isthmus.loop.runs import states

    attempts = tuple(run.notes.get("attempts", ()))
    for number, mode in enumerate(attempts, 1):
        yield _training(place.attempt(number, mode), number, mode)
    if run.state in (states.TRAINING, states.TUNING):
        mode = "tune" if run.state == states.TUNING else run.notes.get("mode", "full")
        yield _training(place.attempt(len(attempts) + 1, mode), len(attempts) + 1, mode)


def _training(folder: Path, number: int, mode: str) -> Training:
    ended = _json(folder / "attempt.json", {})
    curves: Sequence[Mapping[str, Any]] = _json(folder / "curves.json", {}).get("curves", ())
    so_far = _json(folder / "so_far.json", {})
    curves = curves or so_far.get("curves", ())
    trials = sum(1 for _ in (folder / "trials").glob("*/curves.json")) if mode == "tune" else 0
    settings = ended.get("settings", {})
    return Training(
        number,
        mode,
        int(settings.get("epochs") or so_far.get("epochs") or len(curves)),
        _numbers(ended.get("train_loss") or [row.get("train_loss") for row in curves]),
        _numbers(ended.get("validation_loss") or [row.get("loss") for row in curves]),
        _numbers(row.get("ade") for row in curves),
        ended.get("best_epoch"),
        ended.get("seconds"),
        trials,
        bool(ended),
        settings,
    )


def _numbers(values: Iterable[Any]) -> tuple[float | None, ...]:
    return tuple(_number(value) for value in values)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _judged(place: RunFolder, run: Run) -> Path | None:
    """Return the folder of the training that was judged last."""
    attempts = run.notes.get("attempts", ())
    for number in range(len(attempts), 0, -1):
        folder = place.attempt(number, attempts[number - 1])
        if (folder / "offline.json").is_file():
            return folder
    return None


def _figures(folder: Path | None, name: str) -> Iterator[Figure]:
    from isthmus.loop.runs.folder import read_measures

    if folder is not None and (folder / name).is_file():
        yield from figures_of(read_measures(folder / name))


def _failures(folder: Path | None) -> Iterator[Failure]:
    """Yield the worst moments; copies of one drive, with the very same error at the same step, once."""
    seen = set()
    for case in _json(folder / "failures.json", []) if folder is not None else ():
        same = case["step"], case["error"]
        if same not in seen:
            seen.add(same)
            yield Failure(case["scene_id"], int(case["step"]), float(case["error"]))


def _decision(told: Mapping[str, Any] | None) -> DecisionShown | None:
    if not told:
        return None
    return DecisionShown(
        told["verdict"],
        told["sentence"],
        tuple(
            ReasonShown(
                one["bound"]["metric"],
                one["bound"]["slice"],
                one["status"],
                one["sentence"],
                one["blocks"],
                _number(one["value"]),
                _number(one["limit"]),
                _number(one["baseline"]),
                one["unit"],
            )
            for one in told["reasons"]
        ),
    )


def _json(path: Path, otherwise: Any) -> Any:
    """Read a file that a step may not have written yet. Raises Corrupt where it is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError) as error:
        raise Corrupt(f"{path} cannot be read: {error}", "start a new run") from error
