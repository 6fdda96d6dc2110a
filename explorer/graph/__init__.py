"""The captured graph of a model: representation, roles, capture and rewrites."""

from explorer.graph.balance import Rescaled, balance, find_channel_absmax, make_outliers, rescale, smooth_factors
from explorer.graph.capture import as_fp32, capture
from explorer.graph.interpret import flatten_inputs, interpret, unflatten_inputs
from explorer.graph.ir import ModelGraph, Op, Ref, TensorType, iterate_refs, map_refs
from explorer.graph.pairs import Pair, Pairing, Part, find_pairs
from explorer.graph.rewrite import fold_batch_norms

__all__ = [
    "ModelGraph",
    "Op",
    "Pair",
    "Pairing",
    "Part",
    "Ref",
    "Rescaled",
    "TensorType",
    "as_fp32",
    "balance",
    "capture",
    "find_channel_absmax",
    "find_pairs",
    "flatten_inputs",
    "fold_batch_norms",
    "interpret",
    "iterate_refs",
    "make_outliers",
    "map_refs",
    "rescale",
    "smooth_factors",
    "unflatten_inputs",
]
