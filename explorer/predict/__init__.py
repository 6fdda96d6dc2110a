"""The predicted map: what each op costs in each precision, from one walk back per probe, and prices of recipes."""

from explorer.predict.band import Band
from explorer.predict.keep import MapStore, fingerprint_of, pack, unpack
from explorer.predict.kv import FORMATS as KV_FORMATS
from explorer.predict.kv import predict_kv
from explorer.predict.pairs import ambiguous_cells, strongest_pairs
from explorer.predict.predict import PROBES, Ask, predict_map, survey, unit_of
from explorer.predict.price import Measured, Price, Pricer
from explorer.predict.products import elementwise, signed
from explorer.predict.record import Cell, Estimate, Flow, PredictedMap, Seam

__all__ = [
    "KV_FORMATS",
    "PROBES",
    "Ask",
    "Band",
    "Cell",
    "Estimate",
    "Flow",
    "MapStore",
    "Measured",
    "PredictedMap",
    "Price",
    "Pricer",
    "Seam",
    "ambiguous_cells",
    "elementwise",
    "fingerprint_of",
    "pack",
    "predict_kv",
    "predict_map",
    "signed",
    "strongest_pairs",
    "survey",
    "unit_of",
    "unpack",
]
