"""Doubles for the release tests, and the process that is killed at a named step.

Run as a program, `releasing.py FOLDER (release|rollback) STEP` does that below FOLDER and kills itself with
SIGKILL when STEP is reached.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from isthmus.loop.measure import Measure
from isthmus.loop.release.card import Card, RuleUsed
from isthmus.loop.release.registry import Registry, ignore
from isthmus.loop.release.releases import Releases
from isthmus.state.store import Store


def weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "model.onnx").write_bytes(b"onnx" * 500)
    (folder / "model.json").write_text('{"modes": 6}\n')


def card(model_id: str, **more: object) -> Card:
    plain: dict[str, object] = {
        "model_id": model_id,
        "pipeline": model_id.split("-")[0],
        "run_id": "run-7",
        "created": "2026-11-20T08:00:00+00:00",
        "mode": "full",
        "seed": 11,
        "table": "drive.silver.scenes",
        "version": 42,
        "id_list": "file:///lists/7.parquet",
        "id_list_digest": "ab" * 32,
        "id_count": 1234,
        "rules": (RuleUsed("cut_in", "cut_ins > 0 AND cut_in_gap_m < gap_m", {"gap_m": 15.0}),),
        "settings": {"epochs": 20, "rate": 1e-3, "layers": [256, 256]},
        "measures": (
            Measure("minADE", "overall", "candidate", 0.61, 900, "m", "lower"),
            Measure("minADE", "overall", "champion", 0.66, 900, "m", "lower"),
            Measure("minADE", "rule:a|b", "candidate", float("nan"), 0, "m", "lower"),
        ),
        "software": {"isthmus": "0.1.0"},
    }
    return Card(**(plain | more))  # type: ignore[arg-type]


def releases(base: Path, reached: Callable[[str], None] = ignore, uri: str = "") -> Releases:
    registry = Registry(Store(base / "state.sqlite"), reached=reached)
    return Releases(registry, uri or str(base / "releases"), reached)


def publish(found: Releases, pipeline: str = "forecast") -> str:
    model_id = found.registry.allot(pipeline)
    return found.publish(model_id, weights, card(model_id)).model_id


def main(base: Path, deed: str, step: str) -> None:
    def reached(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    found = releases(base, reached)
    if deed == "rollback":
        found.rollback("forecast")
    else:
        found.promote(publish(found), "released by the test")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
