"""Ranges of every tensor of a model, from one pass over its data."""

from explorer.observe.drift import Shift, drift, observe_drift, shift_between
from explorer.observe.observe import Slices, observe
from explorer.observe.range_set import RangeSet, ports
from explorer.observe.slices import built_in_slices
from explorer.observe.store import pack, unpack
from explorer.observe.table import FORMATS, range_table

__all__ = [
    "FORMATS",
    "RangeSet",
    "Shift",
    "Slices",
    "built_in_slices",
    "drift",
    "observe",
    "observe_drift",
    "pack",
    "ports",
    "range_table",
    "shift_between",
    "unpack",
]
