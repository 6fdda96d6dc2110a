"""Predicted maps on disk: a file of plain arrays for each precision, so that another one costs only its own pass.

(Effect: disk.)
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from explorer.precision import find_precision
from explorer.predict.record import Flow, PredictedMap, Seam
from explorer.subject import Subject
from explorer.version import __version__

_PLAIN = ("ops", "precisions", "positions", "unit", "total", "probes", "fingerprint", "scales")


class MapStore:
    """Maps in a folder: a file for each fingerprint, precision, device and version, and where it is static its scales.

    No pickle, so reading one runs no code. A file that cannot be read counts as none. ``device`` is the device's key:
    another one may have other kernels.
    """

    def __init__(self, folder: Path | str, device: str = "") -> None:
        self.folder, self._device = Path(folder), device

    def find(self, subject: Subject, precisions: Iterable[str], probes: int) -> PredictedMap | None:
        """Return what is kept of some precisions, cut to so many probes; None where nothing is."""
        found = None
        for precision in precisions:
            part = _read(self._path(fingerprint_of(subject), precision, _scales(subject, precision)))
            if part is not None and part.probes >= probes:
                part = part.only([precision], probes=probes)
                found = part if found is None else found.merge(part)
        return found

    def add(self, map: PredictedMap) -> None:
        """Keep every precision of a map, unless it is kept from more samples and probes already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for precision in map.precisions:
            part = map.only([precision])
            if not part.products:
                continue
            path = self._path(map.fingerprint, precision, map.scales if find_precision(precision).is_static else "")
            kept = _read(path)
            if kept is None or (kept.samples, kept.probes) < (part.samples, part.probes):
                _write(part, path)

    def _path(self, fingerprint: str, precision: str, scales: str) -> Path:
        name = "|".join((fingerprint, precision, scales, self._device, __version__))
        return self.folder / f"{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}.npz"


def fingerprint_of(subject: Subject) -> str:
    """Return what must be equal for products to belong together: model, data, batches."""
    return f"{subject.graph.fingerprint}-{subject.samples.fingerprint}-{subject.samples.batch_size}"


def _scales(subject: Subject, precision: str) -> str:
    return subject.calibration().fingerprint if find_precision(precision).is_static else ""


def _write(map: PredictedMap, path: Path) -> None:
    """Write a map of one precision; others see the whole file or none."""
    partly = path.with_suffix(f".{os.getpid()}.part")
    with open(partly, "wb") as file:
        np.savez(file, **pack(map))
    partly.replace(path)


def pack(map: PredictedMap) -> dict[str, Any]:
    """A map as plain arrays, of the samples that all its cells have."""
    carriers = {carrier for flow in map.flows.values() for carrier in (flow.takes, flow.gives)}
    n = map.samples
    seams = {seam: found for seam, found in map.seams.items() if seam.carrier in carriers and len(found) >= n}
    facts = {name: getattr(map, name) for name in _PLAIN} | {
        "cells": [[*cell, cell in map.emulated, *_values(map.flows[cell])] for cell in map.products],
        "refusals": [[*cell, reason] for cell, reason in map.refusals.items()],
        "seams": [_values(seam) for seam in seams],
    }
    products, rest = _stack(map.products.values(), n), _stack(seams.values(), n)
    return {"facts": np.array(json.dumps(facts)), "products": products, "seams": rest}


def _values(record: Flow | Seam) -> list[str]:
    return list(asdict(record).values())


def _stack(arrays: Any, n: int) -> Any:
    return np.array([array[:n] for array in arrays], np.float32)


def _read(path: Path) -> PredictedMap | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return unpack(arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def unpack(arrays: Any) -> PredictedMap:
    """The map of arrays that :func:`pack` made. Raises ValueError, KeyError or TypeError where they are damaged."""
    facts, products, rest = json.loads(str(arrays["facts"])), arrays["products"], arrays["seams"]
    plain: dict[str, Any] = {name: tuple(x) if isinstance(x := facts[name], list) else x for name in _PLAIN}
    cells = [(op, precision) for op, precision, *_ in facts["cells"]]
    return PredictedMap(
        products=dict(zip(cells, products, strict=True)),
        seams={Seam(*seam): found for seam, found in zip(facts["seams"], rest, strict=True)},
        flows={cell: Flow(*row[3:]) for cell, row in zip(cells, facts["cells"], strict=True)},
        refusals={(op, precision): reason for op, precision, reason in facts["refusals"]},
        emulated=frozenset(cell for cell, row in zip(cells, facts["cells"], strict=True) if row[2]),
        **plain,
    )
