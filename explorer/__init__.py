"""Precision Explorer: see what each layer of a model costs and gains in a lower precision, measured on real kernels."""

from explorer.bundle import Recorded, load
from explorer.errors import Cancelled, ExplorerError
from explorer.formats import FORMATS, Scheme, fake_quantize, quantize, round_to
from explorer.latency import Latency
from explorer.measure import Device, Quality
from explorer.opening import open  # noqa: A004  the name users read best
from explorer.precision import PRECISIONS, Precision
from explorer.ranges import calibrate
from explorer.recipe import Recipe
from explorer.session import Session
from explorer.version import __version__
from explorer.zoo.bundled import BUNDLED
from explorer.zoo.planted import PLANTED

MODELS = (*BUNDLED, *PLANTED)
"""Names of the bundled models, for :func:`open`: trained ones, and small ones with a planted fault."""

__all__ = [
    "FORMATS",
    "MODELS",
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
    "__version__",
    "calibrate",
    "fake_quantize",
    "load",
    "open",
    "quantize",
    "round_to",
]
