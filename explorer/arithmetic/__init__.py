"""Arithmetic in a number format: long sums, softmax, chains of casts, and which dtype comes out of two."""

from explorer.arithmetic.accumulate import Method, RunningSum, Values, accumulate
from explorer.arithmetic.casts import CastChain, CastStep, cast_chain
from explorer.arithmetic.promotion import compare_promotion, jax_type, promotion_table, torch_type
from explorer.arithmetic.softmax import Step, Steps, logsumexp_in, softmax_in

__all__ = [
    "CastChain",
    "CastStep",
    "Method",
    "RunningSum",
    "Step",
    "Steps",
    "Values",
    "accumulate",
    "cast_chain",
    "compare_promotion",
    "jax_type",
    "logsumexp_in",
    "promotion_table",
    "softmax_in",
    "torch_type",
]
