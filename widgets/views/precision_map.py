"""The precision map: ops by precision, with casts, kernels and measured times."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from widgets import map_costs, op_details, payloads, strips, timings
from widgets.answering import BadMessage, Fields, Reply
from widgets.measuring import measure
from widgets.patched import Patched
from widgets.views.view import View, script, style, synced


class PrecisionMap(View):
    """Every op in every precision; a click on a cell sets it."""

    _esm = script(
        "shared",
        "numbers",
        "words",
        "remember",
        "menu",
        "tip",
        "tree",
        "undone",
        "lane",
        "time_rows",
        "strip",
        "patched",
        "map_plan",
        "map_strip",
        "cost_scale",
        "map_costs",
        "map_rows",
        "map_window",
        "map_sort",
        "map_filter",
        "map_list",
        "map_columns",
        "map_help",
        "map_header",
        "map_bar",
        "map_controls",
        "map_states",
        "map_stuck",
        "map_tip",
        "map_parts",
        "map_range",
        "map_said",
        "map_drag",
        "map_keys",
        "map_copy",
        "map_detail",
        "map_actions",
        "map_input",
        "map",
    )
    _css = style("menu", "map", "map_hands")
    shows = frozenset(
        "model model-kept recipe measured times ranges bands map search selection filter job message".split()
    ) | op_details.TOPICS  # fmt: skip

    table = synced()
    plan = synced()
    plan_since = synced()
    times = synced()
    times_since = synced()
    strips = synced()
    heights = traitlets.Bytes().tag(sync=True)
    bands = synced()
    bands_since = synced()
    costs = synced()
    cost_bytes = traitlets.Bytes().tag(sync=True)
    proposed = traitlets.Bytes().tag(sync=True)
    details = synced()
    locked = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selection = traitlets.List(traitlets.Unicode()).tag(sync=True)
    filter = traitlets.Unicode().tag(sync=True)
    opening = traitlets.Unicode().tag(sync=True)
    failed = traitlets.Unicode().tag(sync=True)

    own: ClassVar[dict[str, set[str]]] = {"detail": {"ops"}, "look": {"op"}}

    def __init__(self, source: object = None) -> None:
        self.open_rows: tuple[str, ...] = ()
        self._told = {name: Patched() for name in ("plan", "times", "bands")}
        super().__init__(source)

    def act(self, kind: str, fields: Fields) -> Reply | None:
        """Opens and closes the rows of ops, and measures one anew."""
        state = self.page_state
        if kind == "detail":
            self.open_rows = self._known(fields["ops"])
            op_details.follow(state, self.open_rows)
        else:
            (op,) = self._known([fields["op"]])
            if op not in self.open_rows:
                raise BadMessage(f"the row of {op} is not open")
            op_details.look(state, op)
            measure(state)
        self.details = op_details.details(state, self.open_rows)
        return None

    def _known(self, ops: object) -> tuple[str, ...]:
        known = () if self.page_state.shown is None else self.page_state.shown.place
        most = op_details.MOST
        if not isinstance(ops, list) or len(ops) > most or not all(isinstance(op, str) and op in known for op in ops):
            raise BadMessage(f"ops must be at most {most} ids of this model's ops")
        return tuple(dict.fromkeys(ops))

    def update(self, topics: frozenset[str]) -> None:
        state = self.page_state
        if "model" in topics and self.open_rows:
            self.open_rows = ()
            op_details.follow(state, ())
            self.details = op_details.details(state, ())
        if topics & {"model", "model-kept", "job", "message"}:
            self.opening = state.job.text if state.opening else ""
            self.failed = state.message if state.session is None and not state.opening else ""
        if state.session is not None and state.shown is not None:
            if "model" in topics:
                self.table = payloads.table(state.session)
            if topics & {"model", "recipe", "times"}:
                self._patch("plan", payloads.plan(state.session, state.shown))
                self._patch("times", timings.times(state))
            if topics & {"model", "ranges"}:
                self.strips, self.heights = strips.strips(state)
            if topics & {"model", "recipe", "ranges", "bands"}:
                self._patch("bands", strips.bands(state))
            if topics & {"model", "map"}:
                self.costs, self.cost_bytes = map_costs.costs(state)
            if topics & {"model", "search"}:
                self.proposed = map_costs.proposed(state)
        if self.open_rows and topics & {"recipe", *op_details.TOPICS}:
            self.details = op_details.details(state, self.open_rows)
        self.locked = sorted(state.search.locked)
        self.selection = list(state.selection)
        self.filter = state.filter

    def _patch(self, name: str, value: dict[str, Any]) -> None:
        """Tells the browser what changed of a value of many rows; ``readPatched`` puts it together there."""
        whole, since = self._told[name].tell(value)
        setattr(self, name, whole)
        setattr(self, f"{name}_since", since)
