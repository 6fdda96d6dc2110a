"""The boundaries of a plan, as tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from explorer.boundaries.alternatives import Alternatives
from explorer.boundaries.flow import find_flow
from explorer.boundaries.layouts import reformats_table
from explorer.boundaries.redundant import redundant_table
from explorer.boundaries.regions import find_regions, regions_table
from explorer.boundaries.removals import find_removals, removals_table
from explorer.latency import LatencyTable
from explorer.run import Plan


@dataclass(frozen=True, eq=False)
class Boundaries:
    """What the formats of a plan cost where they meet.

    ``regions``: ops that hand on their results without a cast. ``redundant``: values raised and lowered again, and
    casts made twice. ``removals``: what would remove most, with the toggles, verified by planning. ``reformats``:
    copies into another layout. Their columns: see the functions that make them.

    A cast that the op before it writes itself is no call and costs nothing more: no table counts it.
    """

    regions: pd.DataFrame
    redundant: pd.DataFrame
    removals: pd.DataFrame
    reformats: pd.DataFrame


def boundaries(plan: Plan, times: LatencyTable) -> Boundaries:
    """Return the boundaries of ``plan``; ``times`` are those of calls that were measured.

    Runs nothing and calibrates nothing; what was never timed is NaN. Plans some hundred other recipes at most.
    """
    flow, alternatives = find_flow(plan), Alternatives(plan, times)
    regions = find_regions(plan, flow)
    removals = find_removals(plan, flow, regions, times, alternatives)
    return Boundaries(
        regions_table(plan, flow, regions, times),
        redundant_table(plan, flow, times, alternatives),
        removals_table(removals, times),
        reformats_table(plan, times),
    )
