"""Small ONNX models, made by the `onnx` package."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]


def save_model(
    path: Path,
    nodes: list[Any],
    given: tuple[int, tuple[Any, ...]],
    outputs: dict[str, tuple[Any, ...]],
    weights: dict[str, np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Save a model with the input "pixels", of a type and shape, and float outputs by name."""
    graph = helper.make_graph(
        nodes,
        "tests",
        [helper.make_tensor_value_info("pixels", *given)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def mean_model(path: Path, shape: tuple[Any, ...] = ("n", 3, 8, 8), **metadata: str) -> Path:
    """Mean of each channel: (n, 3, h, w) → (n, 3)."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vectors"]),
    ]
    return save_model(path, nodes, (TensorProto.FLOAT, shape), {"vectors": (shape[0], 3)}, metadata=metadata)


def projection_model(path: Path, size: int = 16, values: int = 32, seed: int = 7) -> Path:
    """A small network with random weights: two layers of convolution, a mean over a grid, and a projection."""
    rng = np.random.default_rng(seed)
    weights = {
        "first": rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "second": rng.normal(0, 0.15, (32, 16, 3, 3)).astype(np.float32),
        "last": rng.normal(0, 0.1, (32 * (size // 4) ** 2 // 4, values)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["pixels", "first"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("AveragePool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "last"], ["vectors"]),
    ]
    given = (TensorProto.FLOAT, ("n", 3, size, size))
    return save_model(path, nodes, given, {"vectors": ("n", values)}, weights)
