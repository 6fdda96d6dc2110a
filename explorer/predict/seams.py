"""Seams: values that two ops may each count the rounding of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from explorer.graph import ModelGraph, Op
from explorer.kernels import CARRIERS, NATIVE_DTYPES
from explorer.predict.record import Flow, Seam
from explorer.run import Step

NARROW = frozenset(NATIVE_DTYPES) - {"fp32"}


def flow_of(step: Step) -> Flow:
    """Return in which carriers the kernel of a step takes and gives floats."""
    assert step.kernel is not None
    return Flow(step.kernel.takes, step.gives)


def find_seams(graph: ModelGraph, flows: Iterable[Flow]) -> Mapping[Seam, str]:
    """Return the seams at which ops of such flows may meet, each with the name of the value as its reader reads it."""
    flows = list(flows)
    carriers = {flow.gives for flow in flows} & {flow.takes for flow in flows} & NARROW
    found: dict[Seam, str] = {}
    for reader in graph.rows:
        for name in reader.refs:
            maker = _maker(graph, name)
            if maker is not None:
                found |= {Seam(maker.id, reader.id, carrier): name for carrier in sorted(carriers)}
    return found


def _maker(graph: ModelGraph, name: str) -> Op | None:
    """The op with a precision that makes a value, looking back through views of one tensor."""
    maker = graph.producer.get(name)
    while maker is not None and not maker.has_precision:
        sources = [ref for ref in maker.refs if graph.is_floating(ref) and ref not in graph.constants]
        maker = graph.producer.get(sources[0]) if len(sources) == 1 and maker.role == "view" else None
    return maker if maker is not None and graph.is_floating(name) else None


def rounded(carrier: str, value: Any, name: str, casts: dict[tuple[str, str], Any]) -> Any:
    """Return a value in a carrier that needs no static scale, converted once for all that ask."""
    key = (name, carrier)
    if key not in casts:
        casts[key] = CARRIERS[carrier].convert(value)
    return casts[key]


def is_static(step: Step) -> bool:
    """Whether a step takes values in static codes."""
    return any(CARRIERS[carrier].static for carrier in step.takes.values())
