"""Turns the layers of dlib's face recognition network (a ResNet with 29 convolutions) into an ONNX model.

The blocks are those of `dnn_face_recognition_ex.cpp` of dlib: a residual block adds its input to its output; a
block that halves the picture adds its input averaged over 2 × 2. Where the two differ in size, dlib fills up the
smaller one with zeros behind, in rows, columns and channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import Corrupt
from isthmus.imaging.dlibfile import AddPrevious, Affine, Convolution, Dense, Input, Layer, Pool, Relu
from isthmus.imaging.onnxfile import Node, model

T = TypeVar("T")

INPUT, OUTPUT = "faces", "vectors"

Shape = tuple[int, int]
"""Channels and side of the square picture between two layers."""


def as_onnx(layers: list[Layer]) -> bytes:
    """Write the model: uint8 (n, side, side, 3) RGB faces in, float32 (n, 128) vectors out. Raises Corrupt."""
    return _Graph(layers).written


class _Graph:
    def __init__(self, layers: list[Layer]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self._layers: Iterator[Layer] = iter(layers)
        first = self._next(Input)
        now, shape = self._input(first)
        now, shape = self._convolution(now, shape)
        now = self._relu(now)
        now, shape = self._pool(now, shape, self._next(Pool))
        layer = next(self._layers)
        while isinstance(layer, Convolution):
            now, shape = self._block(now, shape, layer)
            layer = next(self._layers)
        if not (isinstance(layer, Pool) and layer.kind == "average" and layer.size == 0):
            raise Corrupt("the network's layers are in an unknown order", "install its file anew")
        now = self._add("Flatten", (self._add("GlobalAveragePool", (now,)),))
        self.constants["dense"] = (dense := self._next(Dense)).weight
        self.nodes.append(Node("MatMul", (now, "dense"), OUTPUT))
        self.written = model(
            self.nodes,
            self.constants,
            (INPUT, ("n", first.side, first.side, 3)),
            (OUTPUT, ("n", dense.weight.shape[1])),
        )

    def _input(self, layer: Input) -> tuple[str, Shape]:
        planes = self._add("Cast", (self._add("Transpose", (INPUT,), perm=(0, 3, 1, 2)),), to=1)
        self.constants["mean"] = np.array(layer.mean, np.float32).reshape(1, 3, 1, 1)
        self.constants["range"] = np.array(256.0, np.float32)
        centred = self._add("Sub", (planes, "mean"))
        return self._add("Div", (centred, "range")), (3, layer.side)

    def _block(self, before: str, before_shape: Shape, first: Convolution) -> tuple[str, Shape]:
        now, shape = self._convolution(before, before_shape, first)
        now, shape = self._convolution(self._relu(now), shape)
        layer = next(self._layers)
        if isinstance(layer, Pool):
            before, before_shape = self._pool(before, before_shape, layer)
            layer = next(self._layers)
        if not isinstance(layer, AddPrevious):
            raise Corrupt("the network's layers are in an unknown order", "install its file anew")
        common = (max(shape[0], before_shape[0]), max(shape[1], before_shape[1]))
        sides = (self._filled(now, shape, common), self._filled(before, before_shape, common))
        return self._relu(self._add("Add", sides)), common

    def _convolution(self, before: str, shape: Shape, layer: Convolution | None = None) -> tuple[str, Shape]:
        """Add a convolution with the affine layer behind it folded in."""
        layer = layer or self._next(Convolution)
        affine = self._next(Affine)
        name = f"w{len(self.nodes)}"
        self.constants[name] = layer.weight * affine.gamma[:, np.newaxis, np.newaxis, np.newaxis]
        self.constants[name + "b"] = layer.bias * affine.gamma + affine.beta
        filters, channels, size, _ = layer.weight.shape
        if channels != shape[0]:
            raise Corrupt("the network's layers do not fit each other", "install its file anew")
        after = self._add(
            "Conv", (before, name, name + "b"), strides=(layer.stride,) * 2, pads=(layer.padding,) * 4
        )
        return after, (filters, (shape[1] + 2 * layer.padding - size) // layer.stride + 1)

    def _pool(self, before: str, shape: Shape, layer: Pool) -> tuple[str, Shape]:
        operation = "MaxPool" if layer.kind == "max" else "AveragePool"
        after = self._add(
            operation,
            (before,),
            kernel_shape=(layer.size,) * 2,
            strides=(layer.stride,) * 2,
            pads=(layer.padding,) * 4,
        )
        return after, (shape[0], (shape[1] + 2 * layer.padding - layer.size) // layer.stride + 1)

    def _filled(self, before: str, shape: Shape, wanted: Shape) -> str:
        if shape == wanted:
            return before
        more, side = wanted[0] - shape[0], wanted[1] - shape[1]
        name = f"p{len(self.nodes)}"
        self.constants[name] = np.array([0, 0, 0, 0, 0, more, side, side], np.int64)
        return self._add("Pad", (before, name))

    def _relu(self, before: str) -> str:
        self._next(Relu)
        return self._add("Relu", (before,))

    def _add(self, operation: str, inputs: tuple[str, ...], **attributes: int | tuple[int, ...]) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(Node(operation, inputs, output, attributes))
        return output

    def _next(self, kind: type[T]) -> T:
        layer = next(self._layers, None)
        if not isinstance(layer, kind):
            raise Corrupt("the network's layers are in an unknown order", "install its file anew")
        return layer
