"""Rewrites that leave the FP32 function as it is: dead ops go, conv + batch norm become one, small ops fold."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from explorer.graph.ir import ModelGraph, Op, Ref, map_refs
from explorer.graph.roles import ASSERTS, operator_name

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
ALIAS_NAMES = ("alias", "detach", "lift_fresh_copy", "lift_fresh")
DROPOUT_NAMES = ("dropout", "feature_dropout", "alpha_dropout")


def pass_through(value: Any) -> Any:
    """Return ``value``: what a folded batch norm computes."""
    return value


def remove_noops(graph: ModelGraph) -> ModelGraph:
    """Return the graph without asserts, inference dropout, aliases and float-to-float copies.

    ``view`` becomes ``reshape``, because a kernel of another precision may return other strides.
    """
    renamed: dict[str, Ref] = {}
    ops: list[Op] = []

    def follow(ref: Ref) -> Ref:
        return renamed.get(ref.name, ref)

    for op in graph.ops:
        name = operator_name(op.target)
        if name in ASSERTS:
            continue
        args, kwargs = map_refs((op.args, op.kwargs), follow)
        if _is_noop(graph, op, name):
            renamed[op.name] = args[0]
            continue
        target = torch.ops.aten.reshape.default if name in ("view", "_unsafe_view") else op.target
        ops.append(replace(op, args=args, kwargs=kwargs, target=target))
    live = replace(graph, ops=tuple(ops), output=follow(graph.output))
    return _remove_unused(live)


def _is_noop(graph: ModelGraph, op: Op, name: str) -> bool:
    if op.role != "view" or not op.args or not isinstance(op.args[0], Ref):
        return False
    if name in ALIAS_NAMES or (name == "clone" and not op.kwargs):
        return True
    if name in DROPOUT_NAMES:
        return op.args[2] is False
    if name in ("_to_copy", "to"):
        return graph.is_floating(op.args[0].name)
    if name == "slice":
        return len(op.args) == 4 and op.args[2] == 0 and op.args[3] == 2**63 - 1
    return False


def _remove_unused(graph: ModelGraph) -> ModelGraph:
    needed = {graph.output.name}
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if op.name in needed:
            kept.append(op)
            needed.update(op.refs)
    return graph.with_ops(tuple(reversed(kept)))


def fold_batch_norms(graph: ModelGraph) -> ModelGraph:
    """Return the graph with every batch norm that alone follows a convolution folded into its weight and bias.

    The folded norm stays, as a row that passes its input through, marked with ``folded_into``. The arithmetic is
    done in FP64 and rounded once. Source: Jacob et al. 2018, "Quantization and Training of Neural Networks", 3.2.
    """
    constants: dict[str, Tensor] = {}
    changed: dict[str, Op] = {}
    for op in graph.ops:
        conv = _foldable(graph, op)
        if conv is None:
            continue
        weight, bias = _folded_weights(graph, conv, op)
        names = (f"{conv.name}_folded_weight", f"{conv.name}_folded_bias")
        constants |= dict(zip(names, (weight, bias), strict=True))
        args = (conv.args[0], Ref(names[0]), Ref(names[1]), *conv.args[3:])
        changed[conv.name] = replace(conv, args=args)
        passed = replace(op, target=pass_through, args=(op.args[0],), kwargs={}, output=conv.output)
        changed[op.name] = replace(passed, role="view", folded_into=conv.id)
    return _pick_results(graph.with_ops(tuple(changed.get(op.name, op) for op in graph.ops), constants))


def _pick_results(graph: ModelGraph) -> ModelGraph:
    """Return the graph without the ops that pick the result of a folded norm of the overload that returns a tuple."""
    picked: dict[str, Ref] = {
        op.name: op.args[0] for op in graph.ops if operator_name(op.target) == "getitem" and _folded(graph, op)
    }

    def follow(ref: Ref) -> Ref:
        return picked.get(ref.name, ref)

    kept = []
    for op in graph.ops:
        if op.name not in picked:
            args, kwargs = map_refs((op.args, op.kwargs), follow)
            kept.append(replace(op, args=args, kwargs=kwargs))
    return replace(graph.with_ops(tuple(kept)), output=follow(graph.output))


def _folded(graph: ModelGraph, op: Op) -> bool:
    """Whether what ``op`` reads first comes from a folded norm."""
    maker = graph.producer.get(op.args[0].name) if isinstance(op.args[0], Ref) else None
    return maker is not None and bool(maker.folded_into)


def _foldable(graph: ModelGraph, op: Op) -> Op | None:
    """Return the convolution that ``op``, a batch norm in inference, can fold into."""
    if op.kind != "batch_norm" or not isinstance(op.args[0], Ref):
        return None
    conv = graph.producer.get(op.args[0].name)
    if conv is None or conv.kind not in CONVOLUTIONS or len(graph.users[conv.name]) > 1:
        return None
    constant = all(isinstance(a, Ref) and a.name in graph.constants for a in (conv.args[1], *op.args[3:5]))
    return conv if constant else None


def _folded_weights(graph: ModelGraph, conv: Op, norm: Op) -> tuple[Tensor, Tensor]:
    def constant(argument: Any, default: float) -> Tensor:
        if isinstance(argument, Ref):
            return graph.constants[argument.name].double()
        return torch.full((channels,), default, dtype=torch.float64)

    weight = graph.constants[conv.args[1].name].double()
    channels = weight.shape[0]
    bias = constant(conv.args[2] if len(conv.args) > 2 else None, 0.0)
    gamma, beta = constant(norm.args[1], 1.0), constant(norm.args[2], 0.0)
    mean, variance = constant(norm.args[3], 0.0), constant(norm.args[4], 1.0)
    epsilon = next(a for a in reversed(norm.args) if isinstance(a, float))
    factor = gamma / torch.sqrt(variance + epsilon)
    shape = (-1, *[1] * (weight.dim() - 1))
    return (weight * factor.reshape(shape)).float(), ((bias - mean) * factor + beta).float()


def group_folds(graph: ModelGraph) -> ModelGraph:
    """Return the graph with a fold id on runs of small ops that form one idea.

    A run shares its layer and holds no compute op. It is the whole of a module (an RMSNorm) or comes from one line
    of its code (a rotary embedding). Runs of one op have no fold.
    """
    ops = list(graph.ops)
    small = [index for index, op in enumerate(ops) if op.has_precision]
    whole = {op.layer for op in graph.rows} - {op.layer for op in graph.rows if op.role == "compute"}
    parents = {layer.rpartition(".")[0] for layer in {op.layer for op in graph.rows}}

    def key(index: int) -> tuple[str, str]:
        op = ops[index]
        if op.role == "compute":
            return op.layer, op.id
        leaf = op.layer and op.layer in whole and op.layer not in parents
        return op.layer, "" if leaf else op.source

    for (layer, source), run in groupby(small, key):
        members = list(run)
        if len(members) < 2:
            continue
        name = _fold_name(ops[members[0]], whole_module=not source)
        fold = f"{layer}/{name}" if layer else name
        taken = sum(1 for op in ops if op.fold.startswith(fold) and op.layer == layer)
        fold = f"{fold}_{taken}" if taken else fold
        for index in members:
            ops[index] = replace(ops[index], fold=fold)
    return graph.with_ops(tuple(ops))


def _fold_name(op: Op, whole_module: bool) -> str:
    """Name a fold after the function that its line calls, else after the module."""
    if whole_module:
        return op.layer_type
    call = op.source_line.partition("=")[2].strip() or op.source_line
    function = call.partition("(")[0].strip().removeprefix("return ").rpartition(".")[2]
    return function if function.isidentifier() else op.kind
