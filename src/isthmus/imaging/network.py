"""Any ONNX model: run on one thread, proven against what it gave where it was published, and as an extractor.

A proof is what the model gave on the inputs that `example` makes of its inputs' names, types and shapes alone. Two
machines that run the same file agree on it but for rounding; a file that cannot be run, or runs to something else,
does not become active.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

from isthmus.core.errors import Corrupt, InputError, MissingExtra
from isthmus.imaging.port import Metric, Model

MOST_VALUES = 64
"""So many values of each output are kept as proof."""
TOLERANCE = 1e-3
"""How far a value may lie from the one that was published, relative above 1: machines round differently."""
_MOST_INPUT = 1 << 26
_LONGEST = 8192
_TYPES: Mapping[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(bool)": np.dtype(np.bool_),
}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a model is given pictures, where it makes vectors of them.

    `layout` is nchw or nhwc; a pixel p of a channel becomes (p - mean) / std. With `unit` vectors are brought to
    length 1. `size` is how many components a vector has, `threshold` the Euclidean distance up to which two
    pictures count as of the same. Raises ValueError where a value makes no sense.
    """

    width: int
    height: int
    size: int
    threshold: float
    layout: str = "nchw"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    bgr: bool = False
    unit: bool = True

    def __post_init__(self) -> None:
        if not (1 <= self.width <= _LONGEST and 1 <= self.height <= _LONGEST and 1 <= self.size <= _LONGEST):
            raise ValueError(f"width, height and size lie between 1 and {_LONGEST}")
        if self.layout not in ("nchw", "nhwc"):
            raise ValueError("the layout is nchw or nhwc")
        if not (math.isfinite(self.threshold) and self.threshold > 0 and all(self.std)):
            raise ValueError("the threshold is above 0, and no std is 0")

    def given(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn an RGB picture (height, width, 3) into what the model is given, a batch of one."""
        size = (self.width, self.height)
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), np.float32)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        toned = (small[..., ::-1] if self.bgr else small) - mean
        toned /= std
        return np.ascontiguousarray(toned.transpose(2, 0, 1) if self.layout == "nchw" else toned)[np.newaxis]


@dataclass(frozen=True, slots=True)
class Told:
    """One output on the example: its name, shape and first values, None for one that is no number."""

    name: str
    shape: tuple[int, ...]
    values: tuple[float | None, ...]


class Network:
    """An ONNX model in memory, on the CPU. For one thread."""

    def __init__(self, content: bytes, what: str) -> None:
        """Load it; `what` names it in errors. Raises MissingExtra, Corrupt where it is no model that runs here."""
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtra.named("ONNX Runtime", "faces") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._what = what
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises kinds of its own that share no base
            raise Corrupt(
                f"{what} is no ONNX model that runs here: {_line(error)}", "publish another one"
            ) from error
        self.inputs: tuple[str, ...] = tuple(one.name for one in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(one.name for one in self._session.get_outputs())

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run it on its inputs by name. Raises InputError where they do not fit."""
        missing = [name for name in self.inputs if name not in inputs]
        if missing or len(inputs) != len(self.inputs):
            raise InputError(f"{self._what} takes {', '.join(self.inputs)}", "give exactly these, by name")
        try:
            found = self._session.run(list(self.outputs), dict(inputs))
        except Exception as error:  # as above
            raise InputError(
                f"{self._what} cannot be run on these inputs: {_line(error)}", "look at them"
            ) from error
        return dict(zip(self.outputs, (np.asarray(one) for one in found), strict=True))

    def example(self) -> dict[str, NDArray[Any]]:
        """Make inputs of names, types and shapes alone, the same everywhere; lengths that are free are 1.

        Numbers lie evenly in [0, 1), or in 0 to 255 for uint8; other whole numbers are 0.
        Raises InputError for inputs of other kinds.
        """
        made: dict[str, NDArray[Any]] = {}
        for one in self._session.get_inputs():
            kind = _TYPES.get(one.type)
            shape = tuple(length if isinstance(length, int) and length > 0 else 1 for length in one.shape)
            count = math.prod(shape)
            if kind is None or count > _MOST_INPUT:
                raise InputError(
                    f"{self._what} takes {one.name}, {one.type} {shape}", "such a model is not proven"
                )
            drawn = np.frombuffer(blake3(one.name.encode()).digest(length=2 * count), "<u2")
            if kind == np.uint8:
                made[one.name] = (drawn >> 8).astype(np.uint8).reshape(shape)
            elif kind.kind == "f":
                made[one.name] = (drawn / np.float64(1 << 16)).astype(kind).reshape(shape)
            else:
                made[one.name] = np.zeros(shape, kind)
        return made

    def proof(self) -> tuple[Told, ...]:
        """Return what the model gives on the example."""
        return tuple(_told(name, value) for name, value in self.run(self.example()).items())

    def prove(self, proof: Sequence[Told]) -> None:
        """Run it on the example and compare. Raises Corrupt where it gives something else than was published."""
        found = {one.name: one for one in self.proof()}
        for one in proof:
            here = found.get(one.name)
            if here is None or here.shape != one.shape or not _alike(here.values, one.values):
                raise Corrupt(
                    f"{self._what} gives another {one.name} here than where it was published", "see both"
                )


class NetworkExtractor:
    """An extractor (`imaging.port.Extractor`) out of a model; `name` is the identity of its vectors."""

    def __init__(self, network: Network, sight: Sight, name: str) -> None:
        self._network, self._sight, self._name = network, sight, name

    @property
    def model(self) -> Model:
        """Float16 components (little-endian), Euclidean."""
        return model_of(self._sight, self._name)

    def extract(self, image: NDArray[np.uint8]) -> bytes | None:
        """Return the vector of an RGB picture; None where it is no vector, such as of length 0. Raises Corrupt."""
        found = self._network.run({self._network.inputs[0]: self._sight.given(image)})
        vector = np.asarray(found[self._network.outputs[0]], np.float32).reshape(-1)
        if len(vector) != self._sight.size:
            raise Corrupt(
                f"{self._name} gives {len(vector)} components, not {self._sight.size}", "publish it anew"
            )
        length = float(np.linalg.norm(vector))
        if not math.isfinite(length) or (self._sight.unit and not length):
            return None
        return bytes((vector / length if self._sight.unit else vector).astype("<f2"))


def model_of(sight: Sight, name: str) -> Model:
    """Return what vectors by such a model are, without loading it."""
    return Model(name, Metric.EUCLIDEAN, 2 * sight.size, sight.threshold)


def _told(name: str, value: NDArray[Any]) -> Told:
    first = np.asarray(value).reshape(-1)[:MOST_VALUES].tolist()
    values = tuple(
        float(one) if isinstance(one, bool | int | float) and math.isfinite(one) else None for one in first
    )
    return Told(name, tuple(int(length) for length in value.shape), values)


def _alike(here: Sequence[float | None], there: Sequence[float | None]) -> bool:
    if len(here) != len(there):
        return False
    return all(
        (a is None) == (b is None) and (a is None or b is None or abs(a - b) <= TOLERANCE * max(1.0, abs(b)))
        for a, b in zip(here, there, strict=True)
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
