"""The last step, and what every run leaves when it ends: the model, the report, the unpinned version."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import platform
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.core.errors import Corrupt, InputError, IsthmusError, UnknownName
from isthmus.core.progress import Progress
from isthmus.loop.decision import Bound, Decision, Reason
from isthmus.loop.draw import png_bytes
from isthmus.loop.forecast import HISTORY
from isthmus.loop.forecasting.release import export_onnx, load_forecaster
from isthmus.loop.forecasting.shape import CONFIG, WEIGHTS
from isthmus.loop.release.card import Card, RuleUsed
from isthmus.loop.release.lifecycle import CANDIDATE
from isthmus.loop.release.registry import Model
from isthmus.loop.report.facts import (
    Attempt,
    FailureCase,
    ParameterShown,
    RuleShown,
    RunReport,
    Selection,
    StatePassed,
)
from isthmus.loop.report.page import write as write_report
from isthmus.loop.runs.folder import ATTEMPT, read_json, read_measures
from isthmus.loop.runs.judging import FAILURES, OFFLINE, SIMULATION, attempt_folder
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.ledger import Step as Passed
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.loop.runs.selecting import tag_of, used
from isthmus.loop.runs.states import OFFERED, RUN
from isthmus.loop.scene import Scene
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList

_SOFTWARE = ("isthmus", "torch", "numpy", "pylance", "duckdb", "onnx", "onnxruntime", "safetensors", "highway-env")


def release(parts: Parts, run: Run) -> Outcome:
    """Publish the candidate's folder and, unless a person is to do it, make it the champion."""
    parts.report(Progress("release", 0, 1))
    registry = parts.releases.registry
    model_id = _entered(parts, run).model_id
    if parts.settings.release == "manual":
        why = f"{model_id} waits for: isthmus loop release {model_id}"
        return Outcome("offered", why, {"model": model_id})
    now = registry.champion(parts.name)
    if now and now.model_id not in (model_id, run.notes["champion"]):
        why = f"the champion became {now.model_id} meanwhile: compare, then: isthmus loop release {model_id}"
        return Outcome("offered", why, {"model": model_id})
    parts.releases.promote(model_id, run.notes["decision"]["sentence"], run.notes["champion"] or None)
    parts.report(Progress("release", 1, 1, note=model_id))
    return Outcome("released", f"{model_id} is the champion", {"model": model_id})


def set_aside(parts: Parts, run: Run, kept: Outcome) -> Outcome:
    """Enter the candidate of a run that keeps the champion as rejected: a person may still release it by hand.

    A folder that cannot be exported is told in the reason and does not keep the run from its end.
    """
    try:
        model = _entered(parts, dataclasses.replace(run, notes={**run.notes, **kept.notes}))
    except Corrupt as error:
        return dataclasses.replace(kept, why=f"{kept.why} Its candidate cannot be released by hand: {error}")
    if model.state == CANDIDATE:  # a step that is done again finds it rejected, or released by somebody meanwhile
        parts.releases.registry.reject(model.model_id, kept.why)
    return dataclasses.replace(kept, notes={**kept.notes, "model": model.model_id})


def _entered(parts: Parts, run: Run) -> Model:
    """Publish the folder of the run's candidate, once, and return its row."""
    registry = parts.releases.registry
    found = next((model for model in registry.list(parts.name) if model.card.run_id == run.id), None)
    if found is not None:
        return found
    weights, model_id = attempt_folder(parts, run), registry.allot(parts.name)

    def fill(folder: Path) -> None:
        for name in (WEIGHTS, CONFIG):
            shutil.copy2(weights / name, folder / name)
        export_onnx(folder)

    card = _card(parts, run, model_id)
    return parts.tables.waiting(lambda: parts.releases.publish(model_id, fill, card), parts.report)


def close(parts: Parts, run: Run, passed: Sequence[Passed], outcome: Outcome) -> None:
    """Write the report of a run that ends now with `outcome`."""
    now = parts.clock.now().isoformat()
    last = Passed(outcome.event, RUN.next(run.state, outcome.event), now, outcome.why)
    ended = dataclasses.replace(run, notes={**run.notes, **outcome.notes}, state=last.state, changed=now)
    if "version" in ended.notes:
        write_report(_report(parts, ended, (*passed, last)), parts.place(run).report)


def unpin(parts: Parts, run: Run) -> None:
    """Let the warehouse version of a run go; nothing happens where it was not held."""
    with contextlib.suppress(UnknownName):
        parts.tables.scenes.unpin(tag_of(run))


def _card(parts: Parts, run: Run, model_id: str) -> Card:
    notes, place = run.notes, parts.place(run)
    folder = attempt_folder(parts, run)
    attempt = read_json(folder / ATTEMPT)
    champion = parts.champion(run)
    incremental = notes["attempts"][-1] == "incremental"
    settings: dict[str, Any] = {**attempt["settings"], "policy": attempt["policy"]}
    if tuned := parts.tuned(run):
        settings["tuned"] = tuned
    return Card(
        model_id=model_id,
        pipeline=parts.name,
        run_id=run.id,
        created=parts.clock.now().isoformat(),
        mode=notes["attempts"][-1],
        seed=attempt["settings"]["seed"],
        table=str(parts.tables.name("scenes")),
        version=notes["version"],
        id_list=place.ids,
        id_list_digest=notes["digest"],
        id_count=notes["count"],
        parent=champion.model_id if champion and incremental else None,
        rules=tuple(RuleUsed(**rule) for rule in notes.get("rules", ())),
        settings=settings,
        measures=(*read_measures(folder / OFFLINE), *read_measures(folder / SIMULATION)),
        decision=notes["decision"]["sentence"],
        software=_software(),
    )


def _report(parts: Parts, run: Run, passed: Sequence[Passed]) -> RunReport:
    notes, place = run.notes, parts.place(run)
    judged = bool(notes.get("decision"))
    folder = attempt_folder(parts, run) if judged else None
    moment = datetime.datetime.fromisoformat
    return RunReport(
        run_id=run.id,
        pipeline=parts.name,
        trigger=run.trigger,
        started=moment(run.started),
        ended=moment(run.changed),
        states=(
            StatePassed(RUN.initial, moment(run.started), run.trigger),
            *(StatePassed(step.state, moment(step.at), step.why) for step in passed),
        ),
        selection=_selection(parts, run),
        rules=_rules(parts, run),
        attempts=tuple(_attempts(parts, run)),
        measures=tuple(read_measures(folder / OFFLINE)) if folder else (),
        simulation=tuple(read_measures(folder / SIMULATION)) if folder else (),
        failures=tuple(_failures(parts, run, folder)) if folder else (),
        decision=_decision(notes["decision"]) if judged else None,
        model_id=notes.get("model", ""),
        champion_id=notes["champion"],
        seed=read_json(folder / ATTEMPT)["settings"]["seed"] if folder else parts.settings.train.seed,
        folder=str(place.path),
        commands=_commands(parts, run),
        digests={"ID list": notes["digest"], **_model_digests(parts, notes.get("model", ""))},
        software=_software(),
    )


def _commands(parts: Parts, run: Run) -> tuple[str, ...]:
    """Write what makes the run again, shows it, and releases a model that waits for it."""
    ask, words = run.ask, ["isthmus", "loop", "run", parts.name, "--mode", run.ask.mode]
    words += ["--rule", ask.rule] if ask.rule else []
    words += ["--where", ask.where] if ask.where else []
    for key, value in (ask.settings or {}).items():
        words += ["--set", f"{key}={value}"]
    release = (f"isthmus loop release {run.notes['model']}",) if run.state == OFFERED else ()
    return (shlex.join(words), f"isthmus loop show {run.id}", *release)


def _model_digests(parts: Parts, model_id: str) -> dict[str, str]:
    """List the digests of the released model: its manifest's, which covers the rest, and each file's."""
    if not model_id:
        return {}
    model = parts.releases.registry.get(model_id)
    return {f"{model_id}/manifest.json": model.manifest} | {
        f"{model_id}/{file}": digest for file, digest in sorted(model.card.digests.items())
    }


def _selection(parts: Parts, run: Run) -> Selection:
    notes, place = run.notes, parts.place(run)
    sources, days, tags = Counter[str](), Counter[str](), Counter[str]()
    table = parts.tables.scenes.at(notes["version"])
    for batch in export(table, IdList.read(place.ids), ("source", "day", "tags")):
        sources.update(batch["source"].to_pylist())
        days.update(str(day) for day in batch["day"].to_pylist())
        tags.update(tag for found in batch["tags"].to_pylist() for tag in found or ())
    return Selection(
        table=str(parts.tables.name("scenes")),
        version=notes["version"],
        id_list=place.ids,
        id_list_digest=notes["digest"],
        count=notes["count"],
        where=run.ask.where,
        by_source=sources,
        by_day=days,
        by_tag=tags,
        splits=notes.get("samples", {}),
    )


def _rules(parts: Parts, run: Run) -> tuple[RuleShown, ...]:
    """Show the rule as it was when it chose the scenes; with its units and meaning where it still stands so."""
    begun = tuple(RuleUsed(**rule) for rule in run.notes.get("rules", ()))
    try:
        bound = parts.bound(run)
    except InputError:  # gone from the catalogue, or its parameters are
        bound = None
    if bound is None or begun != (used(bound),):
        return tuple(
            RuleShown(
                rule.name,
                rule.expression,
                parameters=tuple(ParameterShown(name, value) for name, value in rule.parameters.items()),
            )
            for rule in begun
        )
    shown = []
    for part in bound.parts:
        own = [p for p in bound.parameters if p.name.split(".")[0] == part.name]
        defaults = {p.name: p.default for p in parts.catalogue.rule(part.name).parameters}
        parameters = tuple(
            ParameterShown(
                (short := p.name.split(".", 1)[1]), p.value, defaults.get(short), unit=p.unit, about=p.about
            )
            for p in own
        )
        shown.append(RuleShown(part.name, str(part.expression), part.about, parameters))
    return tuple(shown)


def _attempts(parts: Parts, run: Run) -> list[Attempt]:
    found = []
    for number, mode in enumerate(run.notes.get("attempts", ()), 1):
        told = read_json(parts.place(run).attempt(number, mode) / ATTEMPT)
        found.append(
            Attempt(
                mode,
                told["settings"],
                tuple(told["train_loss"]),
                tuple(told["validation_loss"]),
                told["seconds"],
                f"best epoch {told['best_epoch'] + 1}" + (f"; {told['note']}" if told.get("note") else ""),
            )
        )
    return found


def _failures(parts: Parts, run: Run, folder: Path) -> list[FailureCase]:
    """Draw the moments that the candidate got most wrong, with its forecast.

    Scenes with the very same error at the same step are copies of one drive: one of them is drawn.
    """
    forecaster = load_forecaster(folder, "candidate")
    alike: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for case in read_json(folder / FAILURES):
        alike.setdefault((case["step"], case["error"]), []).append(case)
    wanted = {cases[0]["scene_id"]: cases[0] for cases in alike.values()}
    others = {cases[0]["scene_id"]: tuple(case["scene_id"] for case in cases[1:]) for cases in alike.values()}
    drawn = {}
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in wanted)
    table = parts.tables.scenes.at(run.notes["version"])
    for batch in table.scan(where=f"scene_id IN ({quoted})") if wanted else ():
        for row in batch.to_pylist():
            case = wanted[row["scene_id"]]
            scene, step = Scene.unpack(row, row["complex"]), case["step"]
            seen = scene.states[:, step - HISTORY + 1 : step + 1]
            forecast = forecaster(seen, scene.size, np.zeros(1, np.intp))
            caption = f"{case['error']:.1f} m off after 3 s, from step {step}"
            try:
                picture = png_bytes(scene, step=step, forecast=forecast)
            except IsthmusError as error:
                picture, caption = b"", f"{caption}; not drawn: {error}"
            drawn[scene.scene_id] = FailureCase(scene.scene_id, caption, picture, others[scene.scene_id])
    return [drawn[name] for name in wanted if name in drawn]


def _decision(told: dict[str, Any]) -> Decision:
    reasons = tuple(Reason(**{**reason, "bound": Bound(**reason["bound"])}) for reason in told["reasons"])
    return Decision(**{**told, "reasons": reasons})


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
