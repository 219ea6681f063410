"""Reading the tensors of an onnxruntime model file (.ort), which is a flatbuffer, without the runtime.

Needed because a graph with weight-only quantization is dequantized again at every call of the runtime; a decoder that
is called once per token spends nine tenths of its time on that. Only the fields used here are read: the initializers
of the main graph, and the MatMul nodes of all graphs, whose names say which layer a weight belongs to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import WeightsInvalid

DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64}
"""ONNX element types met in such files."""

# Field numbers of the tables in onnxruntime's schema (ort.fbs).
_SESSION_MODEL, _MODEL_GRAPH = 1, 7
_GRAPH_INITIALIZERS, _GRAPH_NODES = 0, 2
_TENSOR_NAME, _TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_DATA = 0, 2, 3, 4
_NODE_NAME, _NODE_OP, _NODE_INPUTS, _NODE_ATTRIBUTES = 0, 5, 8, 10
_ATTRIBUTE_GRAPH = 7


@dataclass(frozen=True)
class _Buffer:
    """Flatbuffer access: tables are positions, fields are reached through the table's own offset list."""

    data: bytes

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.data, at)[0])

    def field(self, table: int, number: int) -> int | None:
        """Position of a field's value, or None when the table leaves it out."""
        layout = table - int(struct.unpack_from("<i", self.data, table)[0])
        (size,) = struct.unpack_from("<H", self.data, layout)
        slot = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, layout + slot)[0] if slot < size else 0
        return table + offset if offset else None

    def child(self, table: int, number: int) -> int | None:
        """Position of the table a field points to."""
        at = self.field(table, number)
        return None if at is None else at + self.u32(at)

    def vector(self, table: int, number: int) -> tuple[int, int]:
        """(position of the first element, count) of a vector field; count 0 when absent."""
        at = self.child(table, number)
        return (0, 0) if at is None else (at + 4, self.u32(at))

    def tables(self, table: int, number: int) -> list[int]:
        start, count = self.vector(table, number)
        return [at + self.u32(at) for at in range(start, start + 4 * count, 4)]

    def text(self, table: int, number: int) -> str:
        start, count = self.vector(table, number)
        return self.data[start : start + count].decode()

    def texts(self, table: int, number: int) -> list[str]:
        return [self.data[at + 4 : at + 4 + self.u32(at)].decode() for at in self.tables(table, number)]


def _graph(path: Path) -> tuple[_Buffer, int]:
    buffer = _Buffer(path.read_bytes())
    if buffer.data[4:8] != b"ORTM":
        raise WeightsInvalid(f"{path}: not an onnxruntime model file (.ort)")
    model = buffer.child(buffer.u32(0), _SESSION_MODEL)
    graph = None if model is None else buffer.child(model, _MODEL_GRAPH)
    if graph is None:
        raise WeightsInvalid(f"{path}: holds no graph")
    return buffer, graph


def _tensor(buffer: _Buffer, table: int) -> NDArray[Any]:
    start, count = buffer.vector(table, _TENSOR_DIMS)
    shape = struct.unpack_from(f"<{count}q", buffer.data, start)
    at = buffer.field(table, _TENSOR_TYPE)
    kind = DTYPES[buffer.u32(at) if at is not None else 0]
    data, size = buffer.vector(table, _TENSOR_DATA)
    return np.frombuffer(buffer.data, kind, size // np.dtype(kind).itemsize, data).reshape(shape)


def _matmuls(buffer: _Buffer, graph: int) -> Iterator[tuple[str, str]]:
    """(node name, name of its second input) of every MatMul, subgraphs included."""
    for node in buffer.tables(graph, _GRAPH_NODES):
        if buffer.text(node, _NODE_OP) == "MatMul":
            yield buffer.text(node, _NODE_NAME), buffer.texts(node, _NODE_INPUTS)[1]
        for attribute in buffer.tables(node, _NODE_ATTRIBUTES):
            inner = buffer.child(attribute, _ATTRIBUTE_GRAPH)
            if inner is not None:
                yield from _matmuls(buffer, inner)


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Float tensors of the file by name, quantized ones dequantized as the graph does (q * scale + zero_point).

    A MatMul weight is listed under the path of its node, e.g. "model.decoder.layers.0.mlp.up_proj.weight" [in, out];
    other tensors under their own names less the suffix "_merged_<n>".
    """
    buffer, graph = _graph(path)
    raw = {buffer.text(t, _TENSOR_NAME): _tensor(buffer, t) for t in buffer.tables(graph, _GRAPH_INITIALIZERS)}
    dense: dict[str, NDArray[np.float32]] = {}
    for name, tensor in raw.items():
        stem = name.removesuffix("_quantized")
        if stem != name:
            product = tensor.astype(np.float32) * raw[f"{stem}_scale"]
            dense[stem] = (product + raw[f"{stem}_zero_point"]).astype(np.float32)
        elif tensor.dtype == np.float32 and not name.endswith(("_scale", "_zero_point")):
            dense[name] = tensor.astype(np.float32)
    out = {name.rsplit("_merged_", 1)[0]: tensor for name, tensor in dense.items() if not name.startswith("onnx::")}
    for node, second in _matmuls(buffer, graph):
        weight = dense.get(second.removesuffix("_add_tensor"))
        if weight is not None and node.endswith("/MatMul"):
            out[node.strip("/").removesuffix("/MatMul").replace("/", ".") + ".weight"] = weight
    return out
