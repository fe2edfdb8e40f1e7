"""Writes small ONNX models without the `onnx` package, which a device would need for nothing else.

An ONNX file is one Protocol Buffers message; field numbers are those of `onnx.proto3` (IR version 8, opset 17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_IR_VERSION, _OPSET = 8, 17
_FLOAT, _UINT8, _INT64 = 1, 2, 7
_TYPES = {np.dtype(np.float32): _FLOAT, np.dtype(np.uint8): _UINT8, np.dtype(np.int64): _INT64}

Attribute = int | Sequence[int]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; its output has the name `output`. Attributes are integers or lists of them."""

    operation: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def model(
    nodes: Sequence[Node],
    constants: Mapping[str, NDArray[np.generic]],
    given: tuple[str, Sequence[int | str]],
    result: tuple[str, Sequence[int | str]],
) -> bytes:
    """Write a model with one uint8 input and one float32 output: name and shape of each (a text: any length)."""
    graph = b"".join(_message(1, _node(node)) for node in nodes)
    graph += _text(2, "isthmus")
    graph += b"".join(_message(5, _tensor(name, value)) for name, value in constants.items())
    graph += _message(11, _value(*given, _UINT8)) + _message(12, _value(*result, _FLOAT))
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _text(2, "isthmus") + _message(7, graph) + _message(8, opset)


def _node(node: Node) -> bytes:
    written = b"".join(_text(1, name) for name in node.inputs) + _text(2, node.output)
    written += _text(3, node.output) + _text(4, node.operation)
    for name, value in node.attributes.items():
        if isinstance(value, int):
            body = _text(1, name) + _number(3, value) + _number(20, 2)
        else:
            body = _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, 7)
        written += _message(5, body)
    return written


def _tensor(name: str, value: NDArray[np.generic]) -> bytes:
    dimensions = b"".join(_number(1, length) for length in value.shape)
    little = value.astype(value.dtype.newbyteorder("<"))
    return dimensions + _number(2, _TYPES[value.dtype]) + _text(8, name) + _message(9, little.tobytes())


def _value(name: str, shape: Sequence[int | str], element: int) -> bytes:
    lengths = b"".join(
        _message(1, _text(2, length) if isinstance(length, str) else _number(1, length)) for length in shape
    )
    return _text(1, name) + _message(2, _message(1, _number(1, element) + _message(2, lengths)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
