"""Running a graph as captured, and the order of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree

from explorer.graph.ir import ModelGraph, Op, map_refs


@torch.no_grad()
def interpret(graph: ModelGraph, inputs: tuple[Any, ...], observe: Callable[[Op, Any], None] | None = None) -> Any:
    """Run ``graph`` as captured, op by op, and return its output; ``observe(op, output)`` is called after each."""
    values: dict[str, Any] = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    for index, op in enumerate(graph.ops):
        args, kwargs = map_refs((op.args, op.kwargs), lambda ref: values[ref.name])
        values[op.name] = op.target(*args, **kwargs)
        if observe is not None:
            observe(op, values[op.name])
        for ref in op.refs:
            if graph.last_use[ref] == index and ref not in graph.constants:
                del values[ref]
    return values[graph.output.name]


def flatten_inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """Return the tensors of ``args`` and ``kwargs`` in the order of ``ModelGraph.inputs``."""
    return tuple(leaf for leaf in pytree.tree_leaves((args, dict(kwargs or {}))) if leaf is not None)


def unflatten_inputs(
    tensors: tuple[Any, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return ``tensors`` (in the order of ``ModelGraph.inputs``) as ``args`` and ``kwargs`` are built."""
    leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
    source = iter(tensors)
    filled = pytree.tree_unflatten([leaf if leaf is None else next(source) for leaf in leaves], spec)
    return filled[0], filled[1]
