"""The errors chart: where error is made, what becomes of it, and where the first NaN or Inf is born, op after op."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import ipywidgets

from explorer.compare import Birth
from widgets.answering import BadMessage, Fields, Reply, text_field
from widgets.answers import Ask
from widgets.charts.errors import UNITS, OpErrors, draw_errors, table_of_errors
from widgets.measuring import ask
from widgets.plain import text
from widgets.views.plot import Plot
from widgets.views.view import View, script, style, synced

TOPIC = "errors"
SAMPLES = 64
"""Each op that is not FP32 costs a run of the model: of so many samples here; a script may ask for all."""
MAX_NAME = 20


class ErrorsHead(View):
    """The chart's words, its button and its unit; the errors are measured in the page's worker when someone asks."""

    _esm = script("shared", "tip", "terms", "words", "undone", "panel", "panel_words", "errors")
    _css = style("figures", "errors")
    shows = frozenset({"model", "recipe", TOPIC})
    own: ClassVar[dict[str, set[str]]] = {"compute": set(), "unit": {"value"}}

    errors = synced(state="none")

    def __init__(self, source: object = None) -> None:
        self.unit = "sqnr"
        self.plot = Plot("errors", on_click=self._clicked)
        self.body = ipywidgets.Box()
        super().__init__(source)

    def update(self, topics: frozenset[str]) -> None:
        state = self.page_state
        found = state.answers.read(TOPIC)
        ready = found.state == "ready" and state.shown is not None
        if ready:
            self.plot.show(draw_errors(found.value, self.unit), found.value.table)
        self.errors = self._words(found.value if ready else None, found.state, found.error)
        self.body.children = [self.plot] if ready else []

    def close(self) -> None:
        """Takes the view and its plot off every page."""
        self.plot.close()
        super().close()

    def act(self, kind: str, fields: Fields) -> Reply | None:
        if kind == "compute":
            if self.page_state.shown is None:
                raise BadMessage("no model is open yet; wait until it is")
            ask(self.page_state, Ask(TOPIC, "measuring the errors of each op", measure_errors))
        elif kind == "unit":
            unit = text_field(fields, "value", MAX_NAME)
            if unit not in UNITS:
                raise BadMessage(f"unit must be one of {', '.join(UNITS)}")
            self.unit = unit
            self.show()
        return None

    def _clicked(self, of: str) -> None:
        """Selects the op ``of``, as a click in the map would."""
        state = self.page_state
        if state.shown is None or of not in state.shown.ops.index:
            raise BadMessage(f"this model has no op {of[:80]!r}")
        state.selection = (of,)
        state.changed("selection")

    def _words(self, found: OpErrors | None, state: str, error: str) -> dict[str, Any]:
        shown = self.page_state.shown
        words = {"unit": self.unit, "units": [list(each) for each in UNITS.items()], "error": text(error)}
        if shown is None or shown.is_baseline:
            return words | {"state": "none" if shown is None else "baseline"}
        if found is None:
            return words | {"state": state}
        samples = f"Measured on {_samples(found)}."
        return words | {"state": "ready", "figures": figures_of(found), "samples": samples}


class ErrorsChart(ipywidgets.VBox):
    """The errors chart of a page, a session or a state: its words over the plot."""

    def __init__(self, source: object = None) -> None:
        self.head = ErrorsHead(source)
        self.page_state = self.head.page_state
        super().__init__([self.head, self.head.body])
        self.add_class("px-errorschart")

    def close(self) -> None:
        """Stops listening and takes the chart off every page."""
        self.head.close()
        super().close()


def measure_errors(session: Any, recipe: Any, progress: Any, cancel: Any) -> OpErrors:
    """The three errors of every op, and the first NaN or Inf; in the worker."""
    side_by_side = session.errors(recipe, n=SAMPLES, progress=progress, cancel=cancel)
    whole = session.compare(recipe, view="cumulative", n=SAMPLES, progress=progress, cancel=cancel)
    born = session.first_nonfinite(recipe, progress=progress, cancel=cancel)
    plan = session.plan_of(recipe)
    emulated = any(step.emulated for step in plan.steps)
    layers = {step.op.id: (step.op.layer, recipe[step.op.id]) for step in plan.steps if step.op.id in recipe.by_op}
    table = table_of_errors(layers, side_by_side, whole)
    return OpErrors(table, born, min(SAMPLES, session.samples), session.samples, emulated)


def figures_of(found: OpErrors) -> list[dict[str, Any]]:
    """What the chart says in a few numbers: {term, big, sub, kind, tone}."""
    kind, table = "emulated" if found.emulated else "measured", found.table
    sub = f"on {_samples(found)}"
    figures = []
    for column in ("local", "isolated"):
        known = table[column].dropna()
        if len(known):
            worst = f"{_level(float(known.min()))} at worst"
            figures.append(_figure(column, worst, str(known.idxmin()), kind))
    for behaviour in ("amplifies", "heals"):
        ops = list(table.index[table["behaviour"] == behaviour])
        words = ", ".join(ops[:3]) + (f" and {len(ops) - 3} more" if len(ops) > 3 else "") if ops else sub
        figures.append(_figure(behaviour, f"{len(ops)} op{'' if len(ops) == 1 else 's'}", words, kind))
    return [*figures, _birth_figure(found.born, kind)]


def _samples(found: OpErrors) -> str:
    if found.samples >= found.total:
        return f"all {found.total:,} samples"
    return f"the first {found.samples:,} of {found.total:,} samples"


def _birth_figure(born: Birth | None, kind: str) -> dict[str, Any]:
    if born is None:
        return _figure("first NaN or Inf", "none", "every output is finite on all samples", kind)
    where = f"{born.source}: {born.source_line.strip()}" if born.source else "it came with the data"
    also = ", in FP32 too" if born.in_fp32 else ""
    words = f"{born.elements:,} elements in {born.samples:,} samples{also}; {where}"
    return _figure("first NaN or Inf", born.op, words, kind, "bad")


def _figure(term: str, big: str, sub: str, kind: str, tone: str = "") -> dict[str, Any]:
    return {"term": term, "big": text(big, 80), "sub": text(sub), "kind": kind, "tone": tone}


def _level(sqnr_db: float) -> str:
    return "exact" if sqnr_db == math.inf else "NaN or Inf" if sqnr_db == -math.inf else f"{sqnr_db:.1f} dB"
