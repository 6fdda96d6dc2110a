"""Two recipes side by side: what differs, what it costs and gains, and what makes most of the difference."""

from __future__ import annotations

from typing import Any, ClassVar

from widgets import history_rows, recipe_pair
from widgets.answering import BadMessage, Fields, Reply, text_field
from widgets.front_marks import counts_words, unit_of
from widgets.measuring import ask, measure
from widgets.plain import text
from widgets.views.view import View, script, style, synced

MAX_KEY = 200
SIDES = ("one", "other")


class CompareRecipes(View):
    """Any two of: the recipe now and before, the slider's proposal, presets, the history, what was measured before."""

    _esm = script(
        "shared", "numbers", "lane", "time_rows", "tip", "terms", "words", "small_table", "undone", "panel",
        "compare_words", "compare_recipes",
    )  # fmt: skip
    _css = style("small_table", "compare")
    shows = frozenset(
        {"model", "recipe", "measured", "times", "map", "search", "trials", "selection", recipe_pair.TOPIC}
    )
    own: ClassVar[dict[str, set[str]]] = {
        "compare": {"side", "key"},
        "swap": set(),
        "measure_both": set(),
        "restore": {"side"},
    }

    choices = synced(groups=[])
    pair = synced(state="none")

    def __init__(self, source: object = None) -> None:
        self.chosen = dict(zip(SIDES, (recipe_pair.BEFORE, recipe_pair.NOW), strict=True))
        self._recipes: list[Any] = []
        super().__init__(source)
        ask(self.page_state, history_rows.QUESTION)

    def update(self, topics: frozenset[str]) -> None:
        groups = recipe_pair.choices(self.page_state)
        known = {key: recipe for _, listed in groups for key, _, recipe in listed}
        on_show = {side: key if key in known else recipe_pair.NOW for side, key in self.chosen.items()}
        listed = [[name, [[key, label] for key, label, _ in each]] for name, each in groups]
        self.choices = {"groups": listed, **on_show}
        self._recipes = [known[on_show[side]] for side in SIDES] if known else []
        self.pair = self._rows(*self._recipes) if known else {"state": "none"}

    def act(self, kind: str, fields: Fields) -> Reply | None:
        if self.page_state.shown is None:
            raise BadMessage("no model is open yet; wait until it is")
        if kind == "swap":
            self.chosen = dict(zip(SIDES, reversed(self.chosen.values()), strict=True))
        elif kind == "compare":
            key, side = text_field(fields, "key", MAX_KEY), self._side(fields)
            if recipe_pair.find(self.page_state, key) is None:
                raise BadMessage(f"there is no recipe {key[:60]!r} to compare")
            self.chosen[side] = key
        elif kind == "measure_both":
            self._measure()
        else:
            self._restore(self._side(fields))
        self.show()
        return None

    def _side(self, fields: Fields) -> str:
        side = text_field(fields, "side", MAX_KEY)
        if side not in SIDES:
            raise BadMessage(f"side must be one of {', '.join(SIDES)}")
        return side

    def _measure(self) -> None:
        one, other = self._recipes
        known = {recipe.hash for recipe in (one, other) if recipe_pair.is_known(self.page_state, recipe)}
        ask(self.page_state, recipe_pair.measure_both(one, other, known))

    def _restore(self, side: str) -> None:
        state, recipe = self.page_state, self._recipes[SIDES.index(side)]
        if state.shown is not None and recipe.hash != state.shown.recipe.hash:
            state.session.apply(recipe)
            state.recipe_changed()
            measure(state)

    def _rows(self, one: Any, other: Any) -> dict[str, Any]:
        state = self.page_state
        assert state.shown is not None
        asked = state.answers.read(recipe_pair.TOPIC)
        ops = recipe_pair.differing(state, one, other)
        return {
            "state": "measuring" if asked.state == "waiting" else "ready",
            "error": text(asked.error),
            "same": one.hash == other.hash,
            "missing": not all(recipe_pair.is_known(state, recipe) for recipe in (one, other)),
            "names": [counts_words(recipe) for recipe in (one, other)],
            "now": [recipe.hash == state.shown.recipe.hash for recipe in (one, other)],
            "unit": text(state.session.score_unit, 8),
            "score": text(state.session.score_name, 60),
            "cost": unit_of(state),
            "figures": recipe_pair.figures(state, one, other),
            "ops": ops[: recipe_pair.MOST_OPS],
            "more": max(0, len(ops) - recipe_pair.MOST_OPS),
            "selected": list(state.selection[:1]),
        }
