"""Where a recipe goes wrong: errors per op, births of NaN and Inf, gaps of kernels, and the samples that moved most."""

from explorer.compare.births import Birth, first_nonfinite
from explorer.compare.culprits import Culprits, culprits
from explorer.compare.gaps import gaps
from explorer.compare.histograms import OutputHistograms, error_histogram, output_histograms
from explorer.compare.metrics import PairError, count_ulps, merge_all
from explorer.compare.runs import Extent
from explorer.compare.table import VIEWS, View, compare, describe_behaviours, errors

__all__ = [
    "VIEWS",
    "Birth",
    "Culprits",
    "Extent",
    "OutputHistograms",
    "PairError",
    "View",
    "compare",
    "count_ulps",
    "culprits",
    "describe_behaviours",
    "error_histogram",
    "errors",
    "first_nonfinite",
    "gaps",
    "merge_all",
    "output_histograms",
]
