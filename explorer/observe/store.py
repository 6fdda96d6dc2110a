"""Ranges on disk, as one .npz of plain arrays: no pickle, so reading one runs no code. (Effect: disk.)"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from explorer.errors import DataError
from explorer.observe.range_set import Ranges, RangeSet
from explorer.ranges import Histogram, Runs, TensorRange
from explorer.ranges.runs import Part

VERSION = 2
_FACTS = ("zeros", "nan", "inf", "min", "max", "least", "total", "square")


def save(found: RangeSet, path: str | Path) -> None:
    """Write ranges to ``path``, exactly."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **pack(found))


def pack(found: RangeSet) -> dict[str, Any]:
    """Ranges as plain arrays: sums of any length are kept as text. Each tensor is there once."""
    tensors = {id(each): each for each in _all(found)}
    place = {key: index for index, key in enumerate(tensors)}
    arrays: dict[str, Any] = {}
    for index, each in enumerate(tensors.values()):
        arrays[f"{index}.counts"], arrays[f"{index}.mantissas"] = each.histogram.counts, each.histogram.mantissas
        if each.channel_absmax is not None:
            arrays[f"{index}.channels"] = each.channel_absmax
        for at, part in enumerate(each.runs.parts if each.runs is not None else ()):
            arrays[f"{index}.run{at}"] = part.values.numpy()
            arrays[f"{index}.length{at}"] = part.lengths.numpy()
    facts = {
        "version": VERSION,
        "samples": found.samples,
        "fingerprint": found.fingerprint,
        "fixed": sorted(found.fixed),
        "tensors": [_facts(each) for each in tensors.values()],
        "values": {name: place[id(each)] for name, each in found.values.items()},
        "weights": {name: place[id(each)] for name, each in found.weights.items()},
        "slices": {
            label: {name: place[id(each)] for name, each in ranges.items()} for label, ranges in found.slices.items()
        },
    }
    return {"facts": np.array(json.dumps(facts)), **arrays}


def load(path: str | Path) -> RangeSet:
    """Read what :func:`save` wrote: an equal value. Raises :class:`DataError` where the file is none of it."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return unpack(arrays, str(path))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"read ranges from {path}", f"{error}", "a file that RangeSet.save wrote") from error


def unpack(arrays: Mapping[str, Any], source: str) -> RangeSet:
    """The ranges of arrays that :func:`pack` made. Raises :class:`DataError` where another version did, KeyError and
    ValueError where they are damaged."""
    facts = json.loads(str(arrays["facts"]))
    if facts["version"] != VERSION:
        raise DataError(f"read ranges from {source}", f"its version is {facts['version']}", f"version {VERSION}")
    tensors = [_tensor(each, index, arrays) for index, each in enumerate(facts["tensors"])]

    def named(places: Mapping[str, int]) -> dict[str, TensorRange]:
        return {name: tensors[index] for name, index in places.items()}

    slices = {label: named(places) for label, places in facts["slices"].items()}
    values, weights, fixed = named(facts["values"]), named(facts["weights"]), frozenset(facts["fixed"])
    return RangeSet(values, weights, slices, facts["samples"], facts["fingerprint"], fixed)


def _all(found: RangeSet) -> list[TensorRange]:
    parts: list[Ranges] = [found.values, found.weights, *found.slices.values()]
    return [each for ranges in parts for each in ranges.values()]


def _facts(each: TensorRange) -> dict[str, Any]:
    numbers = {name: getattr(each.histogram, name) for name in _FACTS}
    exact = {name: value.hex() if isinstance(value, float) else str(value) for name, value in numbers.items()}
    runs = None if each.runs is None else [str(part.key) for part in each.runs.parts]
    return exact | {"mantissa_bits": each.histogram.mantissa_bits, "channel_axis": each.channel_axis, "runs": runs}


def _tensor(facts: Mapping[str, Any], index: int, arrays: Any) -> TensorRange:
    zeros, nan, inf, total, square = (int(facts[name]) for name in ("zeros", "nan", "inf", "total", "square"))
    low, high, least = (float.fromhex(facts[name]) for name in ("min", "max", "least"))
    counts, mantissas = arrays[f"{index}.counts"], arrays[f"{index}.mantissas"]
    bits = facts["mantissa_bits"]
    histogram = Histogram(bits, counts, zeros, nan, inf, low, high, least, mantissas, total, square)
    keys = facts["runs"]
    runs = None if keys is None else Runs(tuple(_part(int(key), index, at, arrays) for at, key in enumerate(keys)))
    return TensorRange(histogram, arrays.get(f"{index}.channels"), facts["channel_axis"], runs)


def _part(key: int, index: int, at: int, arrays: Any) -> Part:
    values, lengths = arrays[f"{index}.run{at}"], arrays[f"{index}.length{at}"]
    return Part(key, torch.from_numpy(values), torch.from_numpy(lengths))
