"""The shape of a network and the names of its files: what both twins, the trainer and a release agree on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.core.errors import Corrupt
from isthmus.loop.forecast import HISTORY, HORIZON, NEIGHBOURS, STEP_S
from isthmus.loop.forecasting.inputs import EGO_INPUTS, OTHER_INPUTS

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "model.json"
ONNX = "model.onnx"

_FIXED = {
    "format": FORMAT,
    "history": HISTORY,
    "horizon": HORIZON,
    "neighbours": NEIGHBOURS,
    "step_s": STEP_S,
    "ego_inputs": EGO_INPUTS,
    "other_inputs": OTHER_INPUTS,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The widths of a network: `modes` futures, `hidden` units, `pool` units for each neighbour."""

    modes: int = 6
    hidden: int = 192
    pool: int = 48

    def weights(self) -> dict[str, tuple[int, ...]]:
        """List the arrays of weights by name, as PyTorch lays them out (out, in)."""
        joint = EGO_INPUTS + 2 * self.pool
        layers = {
            "near.0": (self.pool, OTHER_INPUTS),
            "near.1": (self.pool, self.pool),
            "body.0": (self.hidden, joint),
            "body.1": (self.hidden, self.hidden),
            "paths": (self.modes * HORIZON * 2, self.hidden),
            "modes": (self.modes, self.hidden),
        }
        weights = {f"{name}.weight": size for name, size in layers.items()}
        return weights | {f"{name}.bias": size[:1] for name, size in layers.items()}

    def write(self, folder: Path) -> None:
        """Write the configuration file of a folder of weights."""
        (folder / CONFIG).write_text(json.dumps(_FIXED | asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """Read it back. Raises Corrupt where it is missing, broken or of another format."""
        path = folder / CONFIG
        try:
            found = json.loads(path.read_text())
            shape = cls(*(int(found.pop(name)) for name in ("modes", "hidden", "pool")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"{path} is no model configuration: {error}", "take another release") from error
        if found != _FIXED:
            differs = sorted(name for name in _FIXED | found if _FIXED.get(name) != found.get(name))
            raise Corrupt(f"{path} does not fit this release in {', '.join(differs)}", "train the model again")
        return shape
