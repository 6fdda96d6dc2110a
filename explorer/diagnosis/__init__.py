"""Diagnosis: for each op that fails or costs, a cause and a remedy in words, by rules that are data."""

from explorer.diagnosis.evidence import Born, Calibrated, Evidence, Held, OpEvidence, Weights
from explorer.diagnosis.findings import Finding, Remedy
from explorer.diagnosis.gather import SAMPLES, gather
from explorer.diagnosis.limits import LIMITS, Limit
from explorer.diagnosis.rules import RULES, Rule, judge
from explorer.diagnosis.treatment import Preview, apply, preview

__all__ = [
    "LIMITS",
    "RULES",
    "SAMPLES",
    "Born",
    "Calibrated",
    "Evidence",
    "Finding",
    "Held",
    "Limit",
    "OpEvidence",
    "Preview",
    "Remedy",
    "Rule",
    "Weights",
    "apply",
    "gather",
    "judge",
    "preview",
]
