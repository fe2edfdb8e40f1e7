"""The steps that judge a candidate: offline metrics, closed loop, and the gate's decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from isthmus.core.progress import Progress
from isthmus.loop.decision import CANDIDATE, CHAMPION, decide
from isthmus.loop.forecast import ConstantVelocity, Forecaster
from isthmus.loop.forecasting.metrics import metrics
from isthmus.loop.forecasting.offline import evaluate
from isthmus.loop.forecasting.release import load_forecaster
from isthmus.loop.forecasting.shards import COLUMNS, scenes_in
from isthmus.loop.mining.pinned import Pinned
from isthmus.loop.mining.slices import slices
from isthmus.loop.plugin import blamed
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.runs.folder import ATTEMPT, read_json, read_measures, write_json, write_measures
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.loop.scene import Scene
from isthmus.loop.simulators.policy import PolicySettings, policy
from isthmus.loop.simulators.port import Episode, made
from isthmus.loop.simulators.summary import summarise, worst
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList

OFFLINE, SIMULATION = "offline.json", "simulation.json"
FAILURES, EPISODES = "failures.json", "episodes.json"


def attempt_folder(parts: Parts, run: Run) -> Path:
    """Return the folder of the training that is judged now."""
    attempts = run.notes["attempts"]
    return parts.place(run).attempt(len(attempts), attempts[-1])


def evaluate_offline(parts: Parts, run: Run) -> Outcome:
    """Measure candidate, champion and constant velocity on the test scenes, overall and by slice."""
    folder, chosen = attempt_folder(parts, run), parts.settings.evaluation
    test = IdList.read(parts.place(run).test)
    ids = test.ids.to_pylist()
    rules = _slicing(parts, run)
    table = parts.tables.scenes.at(run.notes["version"])
    found = evaluate(
        export(table, test, COLUMNS),
        _forecasters(parts, run, folder) | {ConstantVelocity.name: ConstantVelocity()},
        slices(Pinned(table, test), ids, parts.catalogue, rules),
        metrics(chosen.metrics or None),
        failures=chosen.failures,
        report=parts.report,
    )
    write_measures(folder / OFFLINE, found.measures)
    write_json(folder / FAILURES, [dataclasses.asdict(failure) for failure in found.failures])
    return Outcome("evaluated", f"{len(ids)} test scenes, {found.samples} samples")


def simulate(parts: Parts, run: Run) -> Outcome:
    """Let candidate and champion drive the mined scenes of the test groups, and highway-env."""
    folder, chosen = attempt_folder(parts, run), parts.settings.simulation
    scenes = list(islice(_replayed(parts, run), chosen.scenes))
    rules = _slicing(parts, run)
    ids = [scene.scene_id for scene in scenes]
    rows = Pinned(parts.tables.scenes.at(run.notes["version"]), ids)
    named = slices(rows, ids, parts.catalogue, rules)
    settings = PolicySettings(
        **read_json(folder / ATTEMPT)["policy"]
    )  # that of the card, whatever the TOML says now
    measures, poor = [], []
    for model, forecaster in _forecasters(parts, run, folder).items():
        episodes = list(drive(parts, scenes, settings, forecaster))
        measures += summarise(episodes, named, model)
        if model == CANDIDATE:
            poor = [_told(episode) for episode in worst(episodes)]
    write_measures(folder / SIMULATION, measures)
    write_json(folder / EPISODES, poor)
    return Outcome("simulated", f"{len(scenes)} scenes replayed by {chosen.policy}")


def drive(
    parts: Parts,
    scenes: list[Scene],
    settings: PolicySettings,
    forecaster: Forecaster | None,
    simulators: Sequence[str] | None = None,
) -> Iterator[Episode]:
    """Let the policy under test drive in the simulators named, or in all of the pipeline."""
    chosen = parts.settings.simulation
    for name in chosen.simulators if simulators is None else simulators:
        with blamed("simulator", name):
            under_test = policy(chosen.policy, settings, forecaster)
            yield from made(name, chosen.settings.get(name, {})).episodes(scenes, under_test, parts.report)


def make_decision(parts: Parts, run: Run) -> Outcome:
    """Ask the gate; what it says and why goes into the run."""
    folder = attempt_folder(parts, run)
    measures = [*read_measures(folder / OFFLINE), *read_measures(folder / SIMULATION)]
    attempts = run.notes["attempts"]
    decision = decide(measures, parts.settings.gate, attempts, bool(run.notes["champion"]))
    notes: dict[str, Any] = {"decision": dataclasses.asdict(decision)}
    parts.report(Progress("decide", 1, 1, note=decision.sentence))
    if decision.verdict == "promote":
        return Outcome("promote", decision.sentence, notes)
    if decision.verdict == "continue" and decision.next is not None:
        event = {"full": "retrain", "tune": "tune"}[decision.next]
        return Outcome(event, decision.sentence, notes | {"mode": decision.next})
    return Outcome("keep", decision.sentence, notes)


def _forecasters(parts: Parts, run: Run, folder: Path) -> dict[str, Forecaster]:
    found: dict[str, Forecaster] = {CANDIDATE: load_forecaster(folder, CANDIDATE)}
    champion = parts.champion_folder(run)
    if champion is not None:
        found[CHAMPION] = load_forecaster(champion, CHAMPION)
    return found


def _replayed(parts: Parts, run: Run) -> Iterator[Scene]:
    """Yield the scenes to replay: those asked for that belong to test groups, or else the test scenes."""
    place = parts.place(run)
    table = parts.tables.scenes.at(run.notes["version"])
    test, any_found = place.test_groups(), False
    for batch in export(table, IdList.read(place.ids), COLUMNS):
        for scene in scenes_in(batch):
            if scene.leak_group in test and drivable(scene):
                any_found = True
                yield scene
    if not any_found:
        for batch in export(table, IdList.read(place.test), COLUMNS):
            yield from (scene for scene in scenes_in(batch) if drivable(scene))


def _slicing(parts: Parts, run: Run) -> list[str | BoundRule]:
    """Return the rules whose scenes are slices: the pipeline's, and the one asked for with its parameters."""
    asked = parts.bound(run)
    others = [rule for rule in parts.settings.evaluation.rules if asked is None or rule != asked.text]
    return [*others, *([asked] if asked else [])]


def drivable(scene: Scene) -> bool:
    """Say whether a scene is worth replaying: it has somebody else in it and lasts 4 s."""
    return len(scene.agent_ids) > 1 and scene.steps * scene.dt >= 4.0


def _told(episode: Episode) -> dict[str, Any]:
    fields = ("scene_id", "simulator", "policy", "score", "at_fault", "progress", "ttc_min_s", "discomfort")
    return {name: getattr(episode, name) for name in fields}
