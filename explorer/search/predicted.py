"""The prices of a problem's choices as a predicted map tells them, interactions and measured cells among them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from explorer.predict import Cell
from explorer.predict.price import Pricer
from explorer.search.prices import Floats, Overlap, Quadratic
from explorer.search.problem import Condition, Problem, Table


def quality_of(pricer: Pricer, options: dict[str, tuple[str, ...]]) -> Table:
    """Return what each op costs alone in each of its options: 0 where the map says nothing, as in FP32."""
    return {op: {name: pricer.costs.get((op, name), 0.0) for name in names} for op, names in options.items()}


def predicted_prices(problem: Problem, pricer: Pricer) -> Quadratic:
    """Return the prices of choices from the products of a map, a measured cell's scaled to what it costs."""
    cells = [(op, name) for op, names in problem.quality.items() for name in names]
    products = {cell: _scaled(pricer, cell) for cell in cells if cell in pricer.map.products}
    return Quadratic.of(problem, products, _overlaps(problem, pricer))


def _scaled(pricer: Pricer, cell: Cell) -> Floats:
    """The products of a cell [samples * probes], so long that its squared length is its cost."""
    found: Floats = pricer.map.products[cell][: pricer.map.samples].reshape(-1).astype("float64")
    length = math.sqrt(float(found @ found))
    return found * (math.sqrt(pricer.costs[cell]) / length if length else 0.0)


def _overlaps(problem: Problem, pricer: Pricer) -> Iterator[Overlap]:
    """The roundings that two ops' products both hold."""
    map_ = pricer.map
    scale = (2.0 * map_.samples * map_.probes * map_.positions) ** -0.5
    for seam, found in map_.seams.items():
        if seam.maker in problem.quality and seam.reader in problem.quality:
            ends = (
                _cells(problem, pricer, seam.maker, "gives", seam.carrier),
                _cells(problem, pricer, seam.reader, "takes", seam.carrier),
            )
            if all(names for _, names in ends):
                yield Overlap(*ends, found[: map_.samples].reshape(-1) * scale)


def _cells(problem: Problem, pricer: Pricer, op: str, side: str, carrier: str) -> Condition:
    """The options of an op in which it takes, or gives, a carrier."""
    flows = {name: pricer.map.flows.get((op, name)) for name in problem.quality[op]}
    return op, frozenset(name for name, flow in flows.items() if flow is not None and getattr(flow, side) == carrier)
