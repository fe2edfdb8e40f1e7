"""Small ONNX models for tests of published models: they make vectors of pictures of 8 x 8 pixels."""

from __future__ import annotations

from functools import cache

import numpy as np

SIDE, SIZE = 8, 16


@cache
def embedder(seed: int, padding: int = 0) -> bytes:
    """Write a model that turns a batch of pictures (n, 3, 8, 8) into vectors of 16 by one product, drawn by `seed`.

    `padding` makes the file so many bytes larger.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).normal(size=(3 * SIDE * SIDE, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["picture"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    given = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    result = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", SIZE])
    graph = helper.make_graph(nodes, "embedder", [given], [result], [numpy_helper.from_array(weights, "weights")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if padding:
        made.doc_string = "." * padding
    content: bytes = made.SerializeToString()
    return content
