"""The captured graph of a model: representation, roles, capture and rewrites."""

from explorer.graph.capture import as_fp32, capture
from explorer.graph.interpret import flatten_inputs, interpret, unflatten_inputs
from explorer.graph.ir import ModelGraph, Op, Ref, TensorType, iterate_refs, map_refs
from explorer.graph.rewrite import fold_batch_norms

__all__ = [
    "ModelGraph",
    "Op",
    "Ref",
    "TensorType",
    "as_fp32",
    "capture",
    "flatten_inputs",
    "fold_batch_norms",
    "interpret",
    "iterate_refs",
    "map_refs",
    "unflatten_inputs",
]
