"""The precision map: ops by precision, with casts, kernels and measured times."""

from __future__ import annotations

import traitlets

from widgets import map_costs, payloads, strips, timings
from widgets.views.view import View, script, style, synced


class PrecisionMap(View):
    """Every op in every precision; a click on a cell sets it."""

    _esm = script(
        "shared",
        "numbers",
        "tree",
        "lane",
        "time_rows",
        "strip",
        "map_strip",
        "cost_scale",
        "map_costs",
        "map_rows",
        "tip",
        "map_tip",
        "map_parts",
        "map_input",
        "map",
    )
    _css = style("map")
    shows = frozenset(
        "model model-kept recipe measured times ranges bands map search selection filter job".split()
    )  # fmt: skip

    table = synced()
    plan = synced()
    times = synced()
    strips = synced()
    heights = traitlets.Bytes().tag(sync=True)
    bands = synced()
    costs = synced()
    cost_bytes = traitlets.Bytes().tag(sync=True)
    proposed = traitlets.Bytes().tag(sync=True)
    locked = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selection = traitlets.List(traitlets.Unicode()).tag(sync=True)
    filter = traitlets.Unicode().tag(sync=True)
    opening = traitlets.Unicode().tag(sync=True)

    def update(self, topics: frozenset[str]) -> None:
        state = self.page_state
        if topics & {"model", "model-kept", "job"}:
            self.opening = state.job.text if state.opening else ""
        if state.session is not None and state.shown is not None:
            if "model" in topics:
                self.table = payloads.table(state.session)
            if topics & {"model", "recipe", "times"}:
                self.plan = payloads.plan(state.session, state.shown)
                self.times = timings.times(state)
            if topics & {"model", "ranges"}:
                self.strips, self.heights = strips.strips(state)
            if topics & {"model", "recipe", "ranges", "bands"}:
                self.bands = strips.bands(state)
            if topics & {"model", "map"}:
                self.costs, self.cost_bytes = map_costs.costs(state)
            if topics & {"model", "search"}:
                self.proposed = map_costs.proposed(state)
        self.locked = sorted(state.search.locked)
        self.selection = list(state.selection)
        self.filter = state.filter
