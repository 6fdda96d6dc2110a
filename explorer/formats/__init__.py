"""Number formats: what they hold, rounding to them, and quantising a tensor under a scheme."""

from explorer.formats.catalog import FORMATS, FormatTable, find_format
from explorer.formats.codes import Fields, all_values, decode, encode, fields, from_fields, neighbours
from explorer.formats.directed import Rounding
from explorer.formats.packing import pack, unpack
from explorer.formats.quantize import Quantized, fake_quantize, quantize
from explorer.formats.rounding import round_to
from explorer.formats.scales import find_scale, scale_shape
from explorer.formats.scheme import Calibrator, Granularity, Scheme, weight_scheme
from explorer.formats.spec import BlockSpec, ElementSpec, FloatSpec, IntSpec, Spec

__all__ = [
    "FORMATS",
    "BlockSpec",
    "Calibrator",
    "ElementSpec",
    "Fields",
    "FloatSpec",
    "FormatTable",
    "Granularity",
    "IntSpec",
    "Quantized",
    "Rounding",
    "Scheme",
    "Spec",
    "all_values",
    "decode",
    "encode",
    "fake_quantize",
    "fields",
    "find_format",
    "find_scale",
    "from_fields",
    "neighbours",
    "pack",
    "quantize",
    "round_to",
    "scale_shape",
    "unpack",
    "weight_scheme",
]
