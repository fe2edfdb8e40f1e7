from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isthmus.core.errors import InputError
from isthmus.loop.runs import finishing
from isthmus.loop.runs.ledger import Ask, Run
from isthmus.loop.runs.states import OFFERED, RELEASED

AT = "2026-11-20T08:00:00+00:00"


def ended(ask: Ask, state: str = RELEASED, notes: dict[str, Any] | None = None) -> Run:
    return Run("forecast-20261120-1", "forecast", "nightly", state, ask, notes or {}, "", AT, AT)


def test_the_command_of_the_report_makes_the_same_run_when_a_shell_reads_it() -> None:
    where = "day >= '2026-11-01' AND \"tags\" IS NOT NULL"
    ask = Ask("hard_brake or cut_in", {"hard_brake.deceleration": "3.5"}, where, "full")
    again, show = finishing._commands(SimpleNamespace(name="forecast"), ended(ask))  # type: ignore[arg-type]
    assert shlex.split(again) == [
        *("isthmus", "loop", "run", "forecast", "--mode", "full"),
        *("--rule", "hard_brake or cut_in", "--where", where, "--set", "hard_brake.deceleration=3.5"),
    ]
    assert show == "isthmus loop show forecast-20261120-1"


def test_a_run_whose_model_waits_says_how_to_release_it() -> None:
    offered = ended(Ask("", {}, "", "auto"), OFFERED, {"model": "forecast-20261120-1"})
    commands = finishing._commands(SimpleNamespace(name="forecast"), offered)  # type: ignore[arg-type]
    assert commands[-1] == "isthmus loop release forecast-20261120-1"


def test_the_digests_of_a_model_are_its_manifests_and_its_files() -> None:
    model = SimpleNamespace(
        manifest="m" * 64, card=SimpleNamespace(digests={"model.onnx": "o" * 64, "model.json": "j" * 64})
    )
    registry = {"forecast-1": model}
    parts: Any = SimpleNamespace(releases=SimpleNamespace(registry=registry))
    assert finishing._model_digests(parts, "forecast-1") == {
        "forecast-1/manifest.json": "m" * 64,
        "forecast-1/model.json": "j" * 64,
        "forecast-1/model.onnx": "o" * 64,
    }
    assert finishing._model_digests(parts, "") == {}


def test_copies_of_one_drive_are_drawn_once_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three packings of one bag fail by the very same error; a fourth scene fails by itself."""
    cases = [{"scene_id": name, "step": 30, "error": 14.5} for name in ("a", "b", "c")]
    cases.append({"scene_id": "d", "step": 30, "error": 9.0})
    (tmp_path / finishing.FAILURES).write_text(json.dumps(cases), encoding="utf-8")
    asked: list[str] = []

    class Table:
        def at(self, version: int) -> Table:
            return self

        def scan(self, where: str) -> list[Any]:
            asked.append(where)
            rows = [{"scene_id": name, "complex": b""} for name in ("d", "a")]
            return [SimpleNamespace(to_pylist=lambda: rows)]

    def unpack(row: dict[str, Any], _: bytes) -> Any:
        return SimpleNamespace(scene_id=row["scene_id"], states=np.zeros((1, 60, 5)), size=np.ones((1, 2)))

    def refuse(*_: Any, **__: Any) -> bytes:
        raise InputError("no lane", "none")

    monkeypatch.setattr(finishing, "load_forecaster", lambda *_: lambda *_: None)
    monkeypatch.setattr(finishing, "Scene", SimpleNamespace(unpack=unpack))
    monkeypatch.setattr(finishing, "png_bytes", refuse)
    parts: Any = SimpleNamespace(tables=SimpleNamespace(scenes=Table()))
    found = finishing._failures(parts, ended(Ask("", {}, "", "auto"), notes={"version": 1}), tmp_path)
    assert [(case.scene_id, case.also) for case in found] == [("a", ("b", "c")), ("d", ())]
    assert asked == ["scene_id IN ('a', 'd')"]
    assert all("not drawn: no lane" in case.caption for case in found)
