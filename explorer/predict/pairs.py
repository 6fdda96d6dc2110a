"""Which predictions to measure first: pairs of cells with strong interactions, and cells that are told badly."""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np

from explorer.errors import DataError, SelectionError
from explorer.predict.price import VALID_TO
from explorer.predict.record import Cell, PredictedMap
from explorer.recipe import BASELINE, Recipe

UNSURE = 0.25
"""A standard error of this part of the cost leaves the order of cells open."""
LOOKED_AT = 4
"""So many times as many pairs are looked at closely as are asked for: roundings that two cells share count twice at
first."""


def strongest_pairs(map: PredictedMap, recipe: Recipe, k: int) -> dict[tuple[Cell, Cell], float]:
    """Return the ``k`` pairs of a recipe's cells with the largest predicted interactions, either sign, and these.

    The largest comes first. FP32 and cells without a prediction, or with an infinite one, have no part in it. Raises
    :class:`SelectionError` where fewer than two cells are left, :class:`DataError` for a ``k`` that is no number of
    pairs.
    """
    if not isinstance(k, Integral) or k < 0:
        raise DataError(f"look for the k={k!r} strongest interactions", "it is no whole number from 0 on", "k=8")
    cells = [cell for cell in recipe.precisions.items() if cell[1] != BASELINE and cell in map.products]
    cells = [cell for cell in cells if np.isfinite(map.products[cell]).all()]
    if len(cells) < 2:
        few = f"{len(cells) or 'none'} of the recipe's ops"
        found = f"{few} is out of FP32 and has a finite prediction, and a pair takes two"
        raise SelectionError("look for interactions", found, "a recipe with more ops in precisions of the map")
    rows = np.stack([map.products[cell][: map.samples].reshape(-1) for cell in cells])
    first, second = np.triu_indices(len(cells), k=1)
    strength = np.abs((rows @ rows.T)[first, second])
    near = np.argsort(-strength, kind="stable")[: LOOKED_AT * k]
    pairs = ((cells[first[place]], cells[second[place]]) for place in near)
    values = {pair: map.interaction(*pair).value for pair in pairs}
    return dict(sorted(values.items(), key=lambda item: -abs(item[1]))[:k])


def ambiguous_cells(map: PredictedMap) -> frozenset[Cell]:
    """Return the cells that only a measurement tells well.

    They cost more than a price can be relied on (:data:`VALID_TO`), or their standard error is a quarter of it or more.
    """
    found = {cell: map.cost(*cell) for cell in map.products}
    limit = VALID_TO if map.unit == "nats" else math.inf
    return frozenset(
        cell for cell, cost in found.items() if cost.value > limit or not cost.error < UNSURE * max(cost.value, 1e-300)
    )
