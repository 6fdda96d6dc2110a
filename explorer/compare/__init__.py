"""Where a recipe goes wrong: errors per op, births of NaN and Inf, gaps of kernels, and the samples that moved most."""

from explorer.compare.metrics import PairError, count_ulps, merge_all

__all__ = ["PairError", "count_ulps", "merge_all"]
