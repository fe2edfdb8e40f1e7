"""The network without PyTorch: loads a folder of weights and implements the Forecaster port in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import Corrupt, MissingExtra
from isthmus.loop.forecast import HORIZON, Forecast
from isthmus.loop.forecasting.frame import Floats, choose, globalize, localize
from isthmus.loop.forecasting.inputs import AHEAD, inputs_of
from isthmus.loop.forecasting.shape import WEIGHTS, Shape

_SUM_SCALE = np.float32(0.25)


class NumpyForecaster:
    """A trained network as a Forecaster. `forecast` is the same for samples that are cut already."""

    def __init__(self, name: str, shape: Shape, weights: Mapping[str, Floats]) -> None:
        """Take weights named as `Shape.weights` lists them. Raises Corrupt where one is missing or not finite."""
        self.name = name
        self.shape = shape
        for key, size in shape.weights().items():
            if key not in weights or weights[key].shape != size or not np.isfinite(weights[key]).all():
                raise Corrupt(f"the weights of {name} lack a sound {key} of shape {size}", "take another release")
        self._weight = {
            key.removesuffix(".weight"): np.ascontiguousarray(weights[key].T, np.float32)
            for key in shape.weights()
            if key.endswith(".weight")
        }
        self._bias = {
            key.removesuffix(".bias"): np.asarray(weights[key], np.float32)
            for key in shape.weights()
            if key.endswith(".bias")
        }

    @classmethod
    def load(cls, folder: Path, name: str = "") -> NumpyForecaster:
        """Load a folder written by `release.write_weights`. Raises Corrupt or MissingExtra."""
        try:
            from safetensors.numpy import load
        except ImportError as error:
            raise MissingExtra.named("safetensors", "train") from error
        shape = Shape.read(folder)
        try:
            weights = load((folder / WEIGHTS).read_bytes())
        except Exception as error:  # safetensors raises its own kinds, which differ between releases
            raise Corrupt(f"{folder / WEIGHTS} cannot be read: {error}", "take another release") from error
        return cls(name or folder.name, shape, weights)

    def __call__(self, states: NDArray[np.float32], size: NDArray[np.float32], of: NDArray[np.intp]) -> Forecast:
        """Forecast the agents `of` of one moment, as the port says."""
        of = np.asarray(of, np.intp)
        chosen = choose(states[:, -1, :2], of)
        raw, sizes = states[chosen], size[chosen]
        if chosen[:, -1].min() < 0:
            raw[chosen < 0] = np.nan
        seen, frame = localize(raw)
        forecast = self.forecast(seen, sizes)
        return Forecast(globalize(forecast.paths, frame), forecast.probability)

    def forecast(self, seen: Floats, size: Floats) -> Forecast:
        """Forecast n samples in their own frames, `seen` and `size` as in `samples.Samples`."""
        mine, theirs, speed = inputs_of(seen, size)
        paths, logits = self.run(mine, theirs, speed)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return Forecast(paths, odds / odds.sum(axis=1, keepdims=True))

    def run(self, mine: Floats, theirs: Floats, speed: Floats) -> tuple[Floats, Floats]:
        """Run the network on its inputs; returns paths (n, K, HORIZON, 2) and logits (n, K)."""
        n, slots, width = theirs.shape
        flat = theirs.reshape(n * slots, width)
        near = flat
        for name in ("near.0", "near.1"):
            near = self._layer(name, near)
            np.maximum(near, 0, out=near)
        near *= flat[:, -1:]
        each = near.reshape(n, slots, self.shape.pool)
        hidden = np.concatenate([mine, each.max(axis=1), each.sum(axis=1) * _SUM_SCALE], axis=1)
        for name in ("body.0", "body.1"):
            hidden = self._layer(name, hidden)
            np.maximum(hidden, 0, out=hidden)
        paths = self._layer("paths", hidden).reshape(n, self.shape.modes, HORIZON, 2)
        paths[..., 0] += (speed[:, None] * AHEAD)[:, None]
        logits = self._layer("modes", hidden)
        if logits.shape[1] > 1:  # as model.middle_first
            rest = logits[:, 1:]
            most = rest.max(axis=1)
            logits[:, 0] = np.log(np.exp(rest - most[:, None]).sum(axis=1)) + most + np.logaddexp(0, logits[:, 0])
        return paths, logits

    def _layer(self, name: str, values: Floats) -> Floats:
        result: Floats = values @ self._weight[name]
        result += self._bias[name]
        return result
