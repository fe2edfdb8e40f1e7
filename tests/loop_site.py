"""A small site of the loop for tests of what is seen of it: simulated traffic, and real recordings.

`ready_site` copies one that was ingested once a process; `made_runs` writes runs and models into it as the steps
of a pipeline do, without training anything.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.app.site import Site
from isthmus.loop.decision import Bound, GateSettings, decide
from isthmus.loop.forecasting.job import EpochCurve, Trained, TrainJob, note_so_far
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.measure import Measure
from isthmus.loop.release.card import Card, RuleUsed
from isthmus.loop.runs.folder import write_json, write_measures
from isthmus.loop.runs.judging import FAILURES, OFFLINE, SIMULATION
from isthmus.loop.runs.ledger import Ask
from isthmus.loop.runs.training import record_attempt
from samples import SAMPLES
from traffic import SITE, bring, write_day

CARS = 14 * 4
OWN_RULE = """\
[rule.slow]
about = "The ego drives slowly."
when = "speed_mean < speed"
[rule.slow.parameters.speed]
default = 8.0
unit = "m/s"
about = "greatest mean speed"
minimum = 0.0
"""
_TURTLES = f"""
[source.turtles]
job_type = "ros"
[source.turtles.settings]
files = "{SAMPLES.as_posix()}/driving/rosbag/*.bag"
day_from = "any"
tags = ["turtlesim", "toy"]
leak_group = "folder"
[source.turtles.settings.agents.turtle1]
length = 0.5
width = 0.5
[source.turtles.settings.agents.turtle1.topics."/turtle1/pose"]
x = "x"
y = "y"
heading = "theta"
v = "linear_velocity"
"""
_SECOND = """
[pipeline.second]
release = "manual"
"""


def has_samples() -> bool:
    """Tell whether the site has scenes of real recordings."""
    return (SAMPLES / "driving" / "rosbag").is_dir()


@functools.cache
def _ingested() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="isthmus-loop-site-")
    folder = Path(made.name)
    write_day(folder, "2026-11-20", range(14))
    text = SITE.format(gate='[[pipeline.forecast.gate.bounds]]\nmetric = "ADE"\nmaximum = 50.0\n')
    own = '[rules]\nfiles = ["own.toml"]\n\n[source.cars]'
    (folder / "own.toml").write_text(OWN_RULE)
    toml = folder / "isthmus.toml"
    toml.write_text(text.replace("[source.cars]", own, 1) + _SECOND + (_TURTLES if has_samples() else ""))
    site = Site.open(toml)
    assert bring(site).scenes == CARS
    if has_samples():
        assert bring(site, source="turtles").scenes > 2
    site.store.close()
    return made


def ready_site(folder: Path) -> Path:
    """Copy the ingested site; returns its TOML."""
    shutil.copytree(_ingested().name, folder, dirs_exist_ok=True)
    return folder / "isthmus.toml"


@dataclass(frozen=True)
class Runs:
    """The runs that `made_runs` writes, by what became of them, and their models."""

    released: str
    kept: str
    training: str
    champion: str
    rejected: str


def made_runs(toml: Path) -> Runs:
    """Write a run that was released, one that was kept out by the gate, and one that still trains."""
    site = Site.open(toml)
    first, champion = _ended(site, 1.0, Ask(mode="full"), None)
    second, rejected = _ended(site, 1.4, Ask("slow", {"speed": "9"}, "agents > 2"), champion)
    third = site.ledger.begin("forecast", "nightly", Ask())
    site.ledger.move(third.id, "selected", "56 of 56 scenes", {"count": 56, "version": 2, "champion": champion})
    site.ledger.move(third.id, "exported", "560 samples", {"samples": {"train": 440}, "mode": "incremental"})
    folder = site.run_folder(third.id).attempt(1, "incremental")
    note_so_far(TrainJob("", {}, str(folder), TrainSettings(epochs=8)), curves(3))
    site.store.close()
    return Runs(first, second, third.id, champion, rejected)


def curves(count: int) -> tuple[EpochCurve, ...]:
    """Return curves that fall."""
    return tuple(EpochCurve(n, 4 - n / 10, 5 - n / 10, 2 - n / 10, 4 - n / 10, 1.5) for n in range(count))


def _ended(site: Site, error: float, ask: Ask, champion: str | None) -> tuple[str, str]:
    """Write a run to its end; with a champion the gate keeps the candidate out."""
    run = site.ledger.begin("forecast", "by hand", ask)
    notes: dict[str, Any] = {"count": 56, "considered": 56, "version": 2, "digest": "ab" * 32}
    site.ledger.move(run.id, "selected", "56 of 56 scenes", notes | {"champion": champion or ""})
    site.ledger.move(run.id, "exported", "560 samples", {"samples": {"train": 440, "test": 80}, "mode": "full"})
    place = site.run_folder(run.id)
    folder = place.attempt(1, "full")
    folder.mkdir(parents=True)
    trained = Trained(folder, 2, curves(4))
    trained.write()
    record_attempt(folder, "full", TrainSettings(epochs=4), {}, trained, 12.5)
    offline = measured(error, champion)
    write_measures(folder / OFFLINE, offline)
    write_measures(folder / SIMULATION, [Measure("score", "overall", "candidate", 0.9, 4, "", "higher")])
    case = {"scene_id": "cars.20261120.drive-004.0.0", "step": 45, "error": 21.0}
    write_json(folder / FAILURES, [case, case | {"scene_id": "cars.20261120.drive-003.0.0"}])
    site.ledger.move(run.id, "trained", "full: epoch 3 of 4 is best", {"attempts": ["full"]})
    site.ledger.move(run.id, "evaluated", "8 test scenes")
    site.ledger.move(run.id, "simulated", "4 scenes replayed")
    gate = GateSettings((Bound("ADE", against="champion", tolerance=0.02), Bound("ADE", maximum=50.0)), ladder=())
    decision = decide(offline, gate, ["full"], champion is not None)
    place.report.write_text("<!doctype html><title>report</title>")
    model = site.registry.allot("forecast")
    card = Card(
        model, "forecast", run.id, run.started, "full", 0, "main.loop.scenes", 2, place.ids, "ab" * 32, 56,
        parent=champion, rules=(RuleUsed(ask.rule, "speed_mean < 9"),) if ask.rule else (),
        measures=tuple(offline), decision=decision.sentence, settings={"epochs": 4},
    )  # fmt: skip
    site.registry.add_candidate("forecast", str(site.state_folder / "releases" / model), card, "cd" * 32)
    told = {"decision": dataclasses.asdict(decision), "model": model}
    if decision.verdict == "promote":
        site.ledger.move(run.id, "promote", decision.sentence, told)
        site.ledger.move(run.id, "released", f"{model} is the champion")
        site.registry.promote(model, decision.sentence)
    else:
        site.ledger.move(run.id, "keep", decision.sentence, told)
        site.registry.reject(model, decision.sentence)
    return run.id, model


def measured(error: float, champion: str | None) -> list[Measure]:
    """Return figures of a candidate, and of a champion that is off by 1 m, overall and on three slices."""
    found = []
    for part, count in (("overall", 80), ("rule:slow", 20), ("source:cars", 80), ("tag:none", 0)):
        value = error if count else float("nan")
        found.append(Measure("ADE", part, "candidate", value, count, "m", "lower"))
        found.append(Measure("ADE", part, "constant velocity", 2.0, count, "m", "lower"))
        if champion:
            found.append(Measure("ADE", part, "champion", 1.0, count, "m", "lower"))
    return found
