"""Number formats: what they hold, rounding to them, and quantising a tensor under a scheme."""

from explorer.formats.catalog import FORMATS, FormatTable, find_format
from explorer.formats.quantize import Quantized, fake_quantize, quantize
from explorer.formats.rounding import round_to
from explorer.formats.scales import find_scale, scale_shape
from explorer.formats.scheme import Granularity, Scheme, weight_scheme
from explorer.formats.spec import BlockSpec, ElementSpec, FloatSpec, IntSpec, Spec

__all__ = [
    "FORMATS",
    "BlockSpec",
    "ElementSpec",
    "FloatSpec",
    "FormatTable",
    "Granularity",
    "IntSpec",
    "Quantized",
    "Scheme",
    "Spec",
    "fake_quantize",
    "find_format",
    "find_scale",
    "quantize",
    "round_to",
    "scale_shape",
    "weight_scheme",
]
