"""Capture a PyTorch module as a :class:`ModelGraph`, checked against the module."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from explorer.errors import CaptureError, DataError
from explorer.graph.convert import convert
from explorer.graph.export import export, first_sentence
from explorer.graph.interpret import flatten_inputs, interpret
from explorer.graph.ir import ModelGraph
from explorer.graph.rewrite import group_folds, remove_noops


def capture(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, name: str = "model"
) -> ModelGraph:
    """Return the graph of ``module`` as it runs on ``args`` and ``kwargs``, checked to give the same output.

    The first dimension of every input is dynamic (the batch); so is the second of integer inputs of two dimensions
    (the sequence). ``module`` is not changed; weights that are not FP32 are read from an FP32 copy.

    Raises :class:`CaptureError` when the module is in training mode, cannot be exported (naming the line of its
    code), needs a fixed batch size, or gives another output than the graph.
    """
    asked = f"capture {name!r}"
    if module.training:
        raise CaptureError(asked, "the model is in training mode", "model.eval() first")
    module = as_fp32(module)
    kwargs = dict(kwargs or {})
    _run(module, args, kwargs, asked)
    twice = _two_samples(args, kwargs)
    graph = convert(export(module, twice[0], twice[1], asked), name, asked)
    graph = group_folds(remove_noops(graph))
    _check(graph, module, args, kwargs, asked)
    return graph


def as_fp32(module: nn.Module) -> nn.Module:
    """Return ``module``, or an FP32 copy where its floating parameters are not FP32."""
    others = {p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype != torch.float32}
    return copy.deepcopy(module).float() if others else module


def _two_samples(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Repeat a batch of one to two: export bakes sizes of 0 and 1 into the graph."""

    def repeat(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dim() and leaf.shape[0] == 1:
            return torch.cat([leaf, leaf])
        return leaf

    return pytree.tree_map(repeat, tuple(args)), pytree.tree_map(repeat, dict(kwargs))


def _check(graph: ModelGraph, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], asked: str) -> None:
    """Raise unless graph and module agree on the example with one more sample: its values, at another batch size."""
    more_args, more_kwargs = pytree.tree_map(_one_more, (tuple(args), dict(kwargs)))
    try:
        wanted = _run(module, more_args, more_kwargs, asked)
    except DataError as error:
        found = f"it runs on the example's batch but not on a larger one: {error.found.partition(': ')[2]}"
        raise CaptureError(asked, found, "a forward() that takes any batch size (-1 or x.shape[0])") from error
    got = interpret(graph, flatten_inputs(more_args, more_kwargs))
    if got.shape != wanted.shape or not torch.allclose(got, wanted.float(), rtol=1e-4, atol=1e-5, equal_nan=True):
        raise CaptureError(
            asked,
            "the captured graph gives another output than the model",
            "a forward() without randomness or hidden state",
        )


def _run(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], asked: str) -> Tensor:
    try:
        with torch.no_grad():
            return _pick(module(*args, **kwargs), asked)
    except CaptureError:
        raise
    except Exception as error:
        raise DataError(
            asked,
            f"the model does not run on the inputs given: {first_sentence(error)}",
            "inputs of the shape and dtype that its forward() takes",
        ) from error


def _one_more(leaf: Any) -> Any:
    return torch.cat([leaf, leaf[:1]]) if isinstance(leaf, Tensor) and leaf.dim() else leaf


def _pick(output: Any, asked: str) -> Tensor:
    """Return the logits of a module's output where it names them, else its first floating tensor."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            return leaf
    raise CaptureError(asked, "it returns no floating-point tensor", "a model whose forward() returns its logits")
