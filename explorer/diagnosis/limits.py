"""From where on something counts as a fault: every threshold of the rules, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A threshold and why it is where it is."""

    value: float
    why: str


LIMITS: Mapping[str, Limit] = {
    "cost": Limit(
        1e-3,
        "what an op alone costs at the output before anything is said of it: by Pinsker's inequality 0.001 nats move "
        "at most 2.2 % of the probability; as relative squared error they are 3.2 % of the output's size",
    ),
    "codes": Limit(
        8.0,
        "codes on each side of zero that a typical channel has left beside the largest one: fewer than 8 are a format "
        "of 4 bits",
    ),
    "side_db": Limit(
        6.0,
        "how many dB the other operand's error may be above this one's before this one is not the cause: 6 dB are half "
        "the error",
    ),
    "lost": Limit(
        0.5,
        "share of the elements that are flushed to zero or left with a subnormal's few bits: of normally distributed "
        "weights INT4 flushes 14 %, so only more than half means that the scale is wrong",
    ),
    "outside": Limit(
        0.01,
        "share of the elements beyond a static scale's ends: the usual calibrator leaves out 0.01 % of the data that "
        "it has seen",
    ),
    "outside_ratio": Limit(
        4.0,
        "how many times as often the other samples are outside as those that the scales were found from: chance alone "
        "gives a factor near 1",
    ),
    "length_ratio": Limit(
        1.5,
        "how many times as long the longest of the other samples is before length is named as what the scales missed",
    ),
    "calibrator_db": Limit(
        3.0,
        "how many dB another calibrator's scale must be better: 3 dB are half the squared error",
    ),
    "group_ratio": Limit(
        2.5,
        "how many times as far the largest weight of a group is from the typical one as in normally distributed "
        "weights: 2.5 times cost more than one bit",
    ),
    "weight_db": Limit(
        6.0,
        "how many dB another way to store the weight must gain: 6 dB are one bit",
    ),
    "growth": Limit(
        2.0,
        "how many times the error that rounding the operands explains an accumulator's must be",
    ),
    "amplified_db": Limit(
        12.0,
        "how many dB lower the SQNR is at the output than right after the op: errors that add up like independent ones "
        "lose nothing, 12 dB are a fourfold error",
    ),
    "clean_db": Limit(
        25.0,
        "SQNR right after the op from which on its own rounding is small: 25 dB are a relative error of 5.6 %",
    ),
    "end_ratio": Limit(
        4.0,
        "how many times as much as the median of the other products the first or last one costs",
    ),
}


def limit(name: str) -> float:
    """The value of a threshold."""
    return LIMITS[name].value
