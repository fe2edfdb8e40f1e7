"""The weights of a release: safetensors with their configuration, and ONNX proven equal to PyTorch."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.core.errors import Corrupt, MissingExtra
from isthmus.loop.forecast import HISTORY, NEIGHBOURS, Forecaster
from isthmus.loop.forecasting.frame import SLOTS, localize
from isthmus.loop.forecasting.inputs import inputs_of
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.shape import ONNX, WEIGHTS, Shape

OPSET = 17
TOLERANCE = 1e-5
"""The largest difference between ONNX and PyTorch, in metres and in logits, relative above 1."""

INPUTS, OUTPUTS = ("mine", "theirs", "speed"), ("paths", "logits")


def write_weights(network: Any, folder: Path) -> None:
    """Write a network (`model.Network`) to `folder`: weights and configuration. The folder is made."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    part = folder / f".{WEIGHTS}.part"
    with part.open("wb") as file:
        file.write(save(tensors))
        file.flush()
        os.fsync(file.fileno())
    network.shape.write(folder)
    part.rename(folder / WEIGHTS)


def read_network(folder: Path) -> Any:
    """Load the weights of `folder` into a `model.Network`. Raises Corrupt or MissingExtra."""
    try:
        import torch

        from isthmus.loop.forecasting.model import Network
    except ImportError as error:
        raise MissingExtra.named("PyTorch", "train") from error
    from safetensors.numpy import load

    shape = Shape.read(folder)
    NumpyForecaster.load(folder)  # proves names, shapes and finiteness before PyTorch sees the weights
    network = Network(shape)
    weights = load((folder / WEIGHTS).read_bytes())
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    network.eval()
    return network


def load_forecaster(folder: Path, name: str = "") -> Forecaster:
    """Load a folder of weights as a Forecaster that needs no PyTorch. Raises Corrupt or MissingExtra."""
    return NumpyForecaster.load(folder, name)


def export_onnx(folder: Path) -> float:
    """Write ONNX beside the weights of `folder` and check it; returns the largest difference to PyTorch.

    Inputs and outputs are those of `model.Network.forward`, the batch is dynamic. Raises Corrupt, and leaves no
    ONNX behind, where the two differ by more than TOLERANCE.
    """
    try:
        import onnx
        import torch
    except ImportError as error:
        raise MissingExtra.named("ONNX", "train") from error
    network = read_network(folder)
    example = tuple(torch.from_numpy(array) for array in example_inputs(3))
    path = folder / ONNX
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")  # the exporter announces its own successor, which needs more packages
        torch.onnx.export(
            network,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in (*INPUTS, *OUTPUTS)},
        )
    onnx.checker.check_model(str(path))
    try:
        return check_onnx(folder)
    except Corrupt:
        path.unlink()
        raise


def check_onnx(folder: Path, samples: int = 64) -> float:
    """Compare ONNX with PyTorch on drawn inputs; returns the largest difference.

    Raises Corrupt where it is above TOLERANCE or the file is broken.
    """
    try:
        import onnxruntime
        import torch
    except ImportError as error:
        raise MissingExtra.named("ONNX Runtime", "train") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(folder / ONNX), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises kinds of its own that share no base
        raise Corrupt(f"{folder / ONNX} cannot be read: {error}", "export it again") from error
    network = read_network(folder)
    worst = 0.0
    for count in (1, samples):  # two sizes prove that the batch is dynamic
        inputs = example_inputs(count)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(array) for array in inputs))
        found = session.run(list(OUTPUTS), dict(zip(INPUTS, inputs, strict=True)))
        for torch_value, onnx_value in zip(expected, found, strict=True):
            reference = torch_value.numpy()
            difference = np.abs(reference - onnx_value) / np.maximum(1.0, np.abs(reference))
            worst = max(worst, float(difference.max()))
    if not worst <= TOLERANCE:
        raise Corrupt(
            f"{folder / ONNX} differs from PyTorch by {worst:.2g}, more than {TOLERANCE:g}", "export it again"
        )
    return worst


def example_inputs(count: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Draw inputs of the network for `count` plausible samples."""
    draw = np.random.default_rng(seed)
    raw = np.zeros((count, SLOTS, HISTORY, 5), np.float32)
    raw[..., :2] = draw.uniform(-40, 40, (count, SLOTS, 1, 2)) + draw.normal(0, 1, (count, SLOTS, HISTORY, 2))
    raw[..., 2] = draw.uniform(-3, 3, (count, SLOTS, 1))
    raw[..., 3] = draw.uniform(0, 25, (count, SLOTS, 1))
    raw[draw.random((count, SLOTS)) < 0.3] = np.nan
    raw[:, 0] = np.nan_to_num(raw[:, 0])
    size = draw.uniform(2, 6, (count, 1 + NEIGHBOURS, 2)).astype(np.float32)
    return inputs_of(localize(raw)[0], size)
