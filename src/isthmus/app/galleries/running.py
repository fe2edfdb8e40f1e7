"""Runs a device's active model on arrays of a file, or on the example by which it was proven."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.app.galleries.device import Portable
from isthmus.core.errors import InputError
from isthmus.state.files import replacing

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Ran:
    """The version that ran, how long it took (ms), and of each output its name, shape and first values."""

    version: str
    ms: float
    rows: list[tuple[str, str, str]]


def run_model(path: Path, name: str, inputs: Path | None, out: Path | None) -> Ran:
    """Run a model of the device at `path`. Raises UnknownName, InputError, Corrupt, MissingExtra."""
    models = Portable.open(path).site.models
    version, network = models.active(name).version, models.network(name)
    given = network.example() if inputs is None else _arrays(inputs)
    begun = time.perf_counter()
    found = network.run(given)
    ms = 1000 * (time.perf_counter() - begun)
    if out is not None:
        with replacing(out) as file:
            np.savez(file, allow_pickle=False, **found)
    return Ran(version, ms, [(name, "x".join(map(str, one.shape)), _first(one)) for name, one in found.items()])


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as opened:
            return dict(opened)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError(f"{path} holds no arrays: {error}", "write it with numpy.savez") from error


def _first(value: Any) -> str:
    values = np.asarray(value).reshape(-1)[:_SHOWN].tolist()
    return " ".join(f"{one:.4g}" if isinstance(one, float) else str(one) for one in values)
