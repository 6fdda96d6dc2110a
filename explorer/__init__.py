"""Precision Explorer: see what each layer of a model costs and gains in a lower precision, measured on real kernels."""

from explorer.bundle import Recorded, load
from explorer.errors import Cancelled, ExplorerError
from explorer.formats import FORMATS, Scheme, quantize, round_to
from explorer.latency import Latency
from explorer.measure import Device, Quality
from explorer.opening import open  # noqa: A004  the name users read best
from explorer.precision import PRECISIONS, Precision
from explorer.recipe import Recipe
from explorer.session import Session

__version__ = "0.1.0"

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "Cancelled",
    "Device",
    "ExplorerError",
    "Latency",
    "Precision",
    "Quality",
    "Recipe",
    "Recorded",
    "Scheme",
    "Session",
    "load",
    "open",
    "quantize",
    "round_to",
]
