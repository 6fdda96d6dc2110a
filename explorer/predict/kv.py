"""What it costs to keep keys and values in a narrow format: each tensor alone, one scale per token and head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explorer.compare.runs import Extent, each_batch
from explorer.errors import PrecisionError
from explorer.graph import Op, Ref
from explorer.kernels import CARRIERS
from explorer.predict.predict import SAMPLES, Ask, empty_map
from explorer.predict.probes import seed_of
from explorer.predict.record import PredictedMap, Products
from explorer.predict.sensitivity import Key, Manner, Rounding, Sensitivity, Work
from explorer.subject import Subject

FORMATS = ("bf16", "fp8_e4m3", "fp8_e5m2", "int8", "mxfp8_e4m3", "mxfp4", "nvfp4")
"""Formats of a cache that are looked at where none are named."""
PORTS = ("k", "v")
_TEXT = "predicting the cost of a narrow KV cache"


def predict_kv(
    subject: Subject,
    formats: tuple[str, ...] = FORMATS,
    extent: Extent = Extent(),  # noqa: B008  a frozen value
    like: Ask = Ask(()),  # noqa: B008  a frozen value
) -> PredictedMap:
    """Return a map whose ops are the keys and values of each attention, ``"<op id>:k"`` and ``":v"``, and whose
    precisions are formats.

    A token's key (of one head) has one scale, in block formats one for each block of it. The probes are those of
    :func:`predict_map`, so that the products of both can be added. like: how many probes, and how products are made.
    Empty where the model has no attention op. Raises :class:`PrecisionError` for a format that no cache is kept in.
    """
    extent = replace(extent, n=SAMPLES if extent.n is None else extent.n)
    carriers = {name: carrier_of(name) for name in formats}
    cells = {(port, name): where for port, where in find_ports(subject).items() for name in formats}
    roundings: dict[str, dict[Key, Rounding]] = {}
    for cell, (op, value) in cells.items():
        roundings.setdefault(op.id, {})[cell] = Rounding(value, carriers[cell[1]])
    sensitivity = Sensitivity(subject, Manner(like.probes, like.contract, like.budget_bytes))
    found: dict[Key, list[Products]] = {cell: [] for cell in cells}
    for index, (inputs, batch) in enumerate(each_batch(subject, extent, _TEXT) if cells else ()):
        seed = seed_of(subject.samples.fingerprint, index)
        for key, products in sensitivity.run(inputs, batch, seed, Work({}, roundings), extent.cancel).items():
            found[key].append(products)
    known = [cell for cell in cells if cell not in sensitivity.failures]
    return replace(
        empty_map(subject, like),
        ops=tuple(find_ports(subject)),
        precisions=formats,
        products={cell: np.concatenate(found[cell]) for cell in known},
        refusals=dict(sensitivity.failures),
        emulated=frozenset(known),
    )


def find_ports(subject: Subject) -> dict[str, tuple[Op, str]]:
    """Return the keys and values of every attention op: what they are called here, the op, and the value's name."""
    return {
        f"{op.id}:{port}": (op, arg.name)
        for op in subject.graph.rows
        if op.kind == "attention"
        for port, arg in zip(PORTS, op.args[1:3], strict=True)
        if isinstance(arg, Ref)
    }


def carrier_of(format: str) -> str:
    """Return the carrier that holds a row of a tensor in a format."""
    for name in (format, f"{format}:token", f"{format}:block"):
        if name in CARRIERS and format != "fp32":
            return name
    raise PrecisionError(f"keep keys and values in {format!r}", "no cache is kept so", f"one of {', '.join(FORMATS)}")
