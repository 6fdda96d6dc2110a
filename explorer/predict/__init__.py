"""The predicted map: what each op costs in each precision, from one walk back per probe, and prices of recipes."""

from explorer.predict.predict import Ask, fingerprint_of, predict_map, survey, unit_of
from explorer.predict.products import elementwise, signed
from explorer.predict.record import Cell, Estimate, Flow, PredictedMap, Seam

__all__ = [
    "Ask",
    "Cell",
    "Estimate",
    "Flow",
    "PredictedMap",
    "Seam",
    "elementwise",
    "fingerprint_of",
    "predict_map",
    "signed",
    "survey",
    "unit_of",
]
