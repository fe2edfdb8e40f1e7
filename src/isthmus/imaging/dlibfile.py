"""Reads the values that dlib's `serialize` writes, and the layers of its face recognition network.

The format is that of dlib 19 and later: `dlib/serialize.h` (packed integers, floats as mantissa and exponent),
`dlib/cuda/tensor_tools.h` (tensors), `dlib/dnn/core.h` and `layers.h` (layers). A network is written from its
outermost layer inwards as version numbers only, and then from its input outwards as the layers' parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import Corrupt

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Input:
    """Subtracts from red, green and blue the `mean` of each, then divides by 256; pictures of `side` × `side`."""

    mean: tuple[float, float, float]
    side: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """`weight` is (filters, channels, rows, columns); `bias` (filters); `stride` and `padding` along both axes."""

    weight: Array
    bias: Array
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class Affine:
    """Multiplies every channel by `gamma` and adds `beta`."""

    gamma: Array
    beta: Array


@dataclass(frozen=True, slots=True)
class Relu:
    """Negative values become 0."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Largest or average value of windows of `size` along both axes; size 0: of the whole picture."""

    kind: str
    size: int
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class AddPrevious:
    """Adds the output of an earlier, tagged layer; the smaller of the two is filled up with zeros."""


@dataclass(frozen=True, slots=True)
class Dense:
    """`weight` is (inputs, outputs); there is no bias."""

    weight: Array


Layer = Input | Convolution | Affine | Relu | Pool | AddPrevious | Dense


class Reading:
    """Walks over serialised values. Raises Corrupt where they are not what is expected."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if size < 0 or self.at + size > len(self.content):
            raise self.wrong("the file ends early")
        self.at += size
        return self.content[self.at - size : self.at]

    def integer(self) -> int:
        """Read a packed integer: a byte with the sign in bit 7 and the count of bytes that follow, low first."""
        head = self.take(1)[0]
        if head & 0x70 or not 1 <= head & 0x0F <= 8:
            raise self.wrong("no integer")
        value = int.from_bytes(self.take(head & 0x0F), "little")
        return -value if head & 0x80 else value

    def real(self) -> float:
        """Read a float: mantissa and binary exponent as integers."""
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 1100:
            raise self.wrong("no finite number")
        return float(mantissa) * 2.0**exponent

    def text(self) -> str:
        """Read a text with its length before it."""
        return self.take(self.integer()).decode("latin-1")

    def truth(self) -> bool:
        """Read a truth value, written as the digit 1 or 0."""
        digit = self.take(1)
        if digit not in (b"0", b"1"):
            raise self.wrong("no truth value")
        return digit == b"1"

    def tensor(self) -> Array:
        """Read a tensor: version 2, four dimensions, then float32, low byte first."""
        self.version(2)
        shape = tuple(self.integer() for _ in range(4))
        count = 1
        for length in shape:
            count *= length
        return np.frombuffer(self.take(4 * count), "<f4").reshape(shape).copy()

    def alias(self) -> tuple[int, ...]:
        """Read the four dimensions of a part of a tensor."""
        self.version(1)
        return tuple(self.integer() for _ in range(4))

    def version(self, *expected: int) -> int:
        """Read the version of a record."""
        found = self.integer()
        if found not in expected:
            raise self.wrong(f"version {found} is not known")
        return found

    def wrong(self, what: str) -> Corrupt:
        """Make the error for what stands here."""
        return Corrupt(f"the network file makes no sense near byte {self.at}: {what}", "install it anew")


def network(content: bytes) -> list[Layer]:
    """Read the layers of a `loss_metric` network, input first. Raises Corrupt."""
    reading = Reading(content)
    reading.version(1)
    if reading.text() != "loss_metric_2":
        raise reading.wrong("it is no network for metric learning")
    reading.real(), reading.real()  # margin and threshold of the training
    computing = 0
    while (
        version := reading.version(1, 2, 3)
    ) != 3:  # 1: a tag or skip, 2: a layer that computes, 3: the innermost
        computing += version == 2
    if reading.text() != "input_rgb_image_sized":
        raise reading.wrong("its input is no picture")
    mean = (reading.real(), reading.real(), reading.real())
    rows, columns = reading.integer(), reading.integer()
    if rows != columns:
        raise reading.wrong("its input is not square")
    layers: list[Layer] = [Input(mean, rows)]
    for number in range(computing + 1):
        layers.append(_layer(reading))
        for _ in range(3):
            reading.truth()  # set up, stale, disabled: states of the training
        for _ in range(3):
            reading.tensor()  # gradients and the last output, all empty
        if number == 0 and reading.integer() != 1:
            raise reading.wrong("its input expands samples")
    if reading.at != len(content):
        raise reading.wrong("more follows than the network")
    return layers


def _layer(reading: Reading) -> Layer:
    match reading.text():
        case "con_4":
            return _convolution(reading)
        case "affine_":
            return _affine(reading)
        case "relu_":
            return Relu()
        case "max_pool_2":
            return _pool(reading, "max")
        case "avg_pool_2":
            return _pool(reading, "average")
        case "add_prev_":
            return AddPrevious()
        case "fc_2":
            return _dense(reading)
        case other:
            raise reading.wrong(f"layers of kind {other!r} are not known")


def _convolution(reading: Reading) -> Convolution:
    parameters = reading.tensor().ravel()
    filters, _, _ = reading.integer(), reading.integer(), reading.integer()
    strides, paddings = [(reading.integer(), reading.integer()) for _ in range(2)]
    shape, _ = reading.alias(), reading.alias()
    for _ in range(4):
        reading.real()  # rates of the training
    weights = int(np.prod(shape))
    if (
        shape[0] != filters
        or len(parameters) != weights + filters
        or len({*strides}) != 1
        or len({*paddings}) != 1
    ):
        raise reading.wrong("a convolution's numbers contradict each other")
    return Convolution(parameters[:weights].reshape(shape), parameters[weights:], strides[0], paddings[0])


def _affine(reading: Reading) -> Affine:
    parameters = reading.tensor().ravel()
    reading.alias(), reading.alias()
    if reading.integer() != 0:
        raise reading.wrong("an affine layer is not by channel")
    half = len(parameters) // 2
    return Affine(parameters[:half], parameters[half:])


def _pool(reading: Reading, kind: str) -> Pool:
    sizes, strides, paddings = [(reading.integer(), reading.integer()) for _ in range(3)]
    return Pool(kind, sizes[0], strides[0], paddings[0])


def _dense(reading: Reading) -> Dense:
    outputs, inputs = reading.integer(), reading.integer()
    weight = reading.tensor()
    reading.alias(), reading.alias()
    mode = reading.integer()
    for _ in range(4):
        reading.real()
    if weight.size != outputs * inputs or mode != 1:
        raise reading.wrong("a dense layer has a bias")
    return Dense(weight.reshape(inputs, outputs))
