"""A model's graph without its weights and its code: what pages read of it, and nothing that could be run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from explorer.errors import BundleError
from explorer.graph import ModelGraph, Op, Ref, TensorType

_WORDS = ("id", "name", "layer", "kind", "role", "source", "source_line", "layer_type", "fold", "folded_into")
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64, torch.complex128,
)}  # fmt: skip


def outline_of(graph: ModelGraph) -> dict[str, Any]:
    """The graph as plain values: its ops with what they read, the shapes of its constants, its inputs."""
    return {
        "name": graph.name,
        "fingerprint": graph.fingerprint,
        "ops": [[*(getattr(op, word) for word in _WORDS), list(op.refs), _type_of(op.output)] for op in graph.ops],
        "constants": {name: [list(tensor.shape), _name_of(tensor.dtype)] for name, tensor in graph.constants.items()},
        "parameters": dict(graph.parameters),
        "inputs": list(graph.inputs),
        "input_types": [_type_of(each) for each in graph.input_types],
        "output": graph.output.name,
    }


def graph_of(outline: Mapping[str, Any]) -> ModelGraph:
    """The graph of an outline. Its constants have shapes but no values, and its ops cannot be run."""
    return ModelGraph(
        name=outline["name"],
        ops=tuple(_op(row) for row in outline["ops"]),
        constants={name: _constant(shape, dtype) for name, (shape, dtype) in outline["constants"].items()},
        parameters=outline["parameters"],
        inputs=tuple(outline["inputs"]),
        output=Ref(outline["output"]),
        fingerprint=outline["fingerprint"],
        input_types=tuple(type_ for each in outline["input_types"] if (type_ := _type(each)) is not None),
    )


def _op(row: list[Any]) -> Op:
    *words, refs, output = row
    said = dict(zip(_WORDS, words, strict=True))
    return Op(target=_refuse, args=tuple(map(Ref, refs)), kwargs={}, output=_type(output), **said)


def _refuse(*_: Any, **__: Any) -> None:
    raise BundleError("run an op", "a recorded exploration holds no model", "explorer.open(...) with the model")


def _type_of(type_: TensorType | None) -> list[Any] | None:
    return None if type_ is None else [list(type_.shape), _name_of(type_.dtype)]


def _type(entry: list[Any] | None) -> TensorType | None:
    return None if entry is None else TensorType(tuple(entry[0]), _DTYPES[entry[1]])


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _constant(shape: list[int], dtype: str) -> Tensor:
    return torch.empty(shape, dtype=_DTYPES[dtype], device="meta")
