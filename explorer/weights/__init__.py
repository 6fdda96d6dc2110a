"""Scales of weights found by search, beside those of the smallest and largest value: less error, no data needed."""

from explorer.weights.search import METHODS, Method, WeightError, quantize_weight, search_scale, weight_error

__all__ = ["METHODS", "Method", "WeightError", "quantize_weight", "search_scale", "weight_error"]
