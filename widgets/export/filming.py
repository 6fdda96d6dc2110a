"""Filming a recorded exploration: the page is opened on it, taken to every recipe, and asked all that it can answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import explorer as px
from explorer.errors import BundleError
from widgets import culprit_rows, messages, op_details, recipe_pair
from widgets.app import Page
from widgets.charts.errors import UNITS
from widgets.charts.front import AXES
from widgets.export.film import Film, Patch
from widgets.inspector_words import facts_of
from widgets.measuring import ask, measure
from widgets.payloads import mark_of

MOST_RECIPES = 24
"""Recipes that can be switched to on the exported page: the measured ones, then presets, then proposals."""
MOST_PAIRS = 16
"""Recipes, the measured ones, of which any two can be compared: each pair is some kilobytes."""
MOST_OPS = 400
"""Ops whose tensors the inspector shows, in the order of execution."""
SECONDS = 120.0
Report = Callable[[int, int, str], None]


@dataclass(eq=False)
class Filmed:
    """A film with its frames.

    frames: recipe hash -> what the page shows of it. variants: recipe hash -> message and value -> what changes.
    inspections: recipe hash -> op -> what the inspector shows. details: recipe hash -> op -> what an open row of the
    map shows, its errors and their causes. keys: recipe hash -> what the comparison offers, key -> recipe hash. pairs:
    two hashes -> their comparison. nodes: which node is which view, by name. facts: names, presets, history, recipes.
    """

    film: Film
    frames: dict[str, Patch] = field(default_factory=dict)
    variants: dict[str, dict[str, Patch]] = field(default_factory=dict)
    inspections: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    inspected: dict[str, int] = field(default_factory=dict)
    inspector: list[Patch] = field(default_factory=list)
    details: dict[str, dict[str, list[int]]] = field(default_factory=dict)


def film_page(recorded: px.Recorded, report: Report | None = None) -> Filmed:
    """Return everything that the page shows of a recorded exploration, recipe by recipe."""
    page = Page(recorded)
    _send(page, "hello")
    for section in (page.search_section, *page.sections):
        section.head.answer({"id": 0, "type": "turn", "open": True})
    _settle(page)
    parts = {
        type(section.children[-1]).__name__: section.children[-1] for section in (page.search_section, *page.sections)
    }
    filmed = Filmed(Film(page), facts=_facts(recorded))
    recipes = choose(recorded)
    try:
        for done, (name, recipe) in enumerate(recipes.items()):
            if report is not None:
                report(done, len(recipes), "recording what the page shows of each recipe")
            _turn_to(page, recorded, recipe)
            _film_recipe(page, parts, filmed, name)
        _turn_to(page, recorded, recipes[filmed.facts["start"]])
        _film_pairs(parts["CompareRecipes"], filmed, recorded, recipes)
    finally:
        page.page_state.jobs.cancel()
        recorded.rewind()
    filmed.nodes = {name: filmed.film.name(view) for name, view in _named(page, parts).items()}
    return filmed


def choose(recorded: px.Recorded) -> dict[str, px.Recipe]:
    """The recipes to film by hash: the one that was saved, those measured, presets, what else was recorded."""
    every = recorded.recipes()
    saved = recorded.recipe.hash
    measured = [trial.hash for trial in reversed(recorded.comparable_trials())]
    presets = [each.hash for each in recorded.presets().values()]
    history = [node.recipe.hash for node in reversed(recorded.history)]
    wanted = [name for name in dict.fromkeys((saved, *measured, *history, *presets, *every)) if name in every]
    return {name: every[name] for name in wanted[:MOST_RECIPES]}


def _facts(recorded: px.Recorded) -> dict[str, Any]:
    return {
        "model": recorded.name, "mark": mark_of(recorded), "start": recorded.recipe.hash,
        "precisions": list(recorded.precisions), "ops": list(recorded.ops.index),
        "presets": {name: each.hash for name, each in recorded.presets().items()},
        "history": {str(node.id): node.recipe.hash for node in recorded.history},
        "json": {},
    }  # fmt: skip


def _named(page: Page, parts: dict[str, Any]) -> dict[str, Any]:
    return {
        "page": page, "top": page.top_bar, "map": page.precision_map, "banner": page.banner,
        "mark": page.recorded_mark,
        "search": parts["SearchPanel"], "errorplot": parts["ErrorsChart"].head.plot,
        "inspector": parts["Inspector"].head, "compare": parts["CompareRecipes"],
    }  # fmt: skip


def _film_recipe(page: Page, parts: dict[str, Any], filmed: Filmed, name: str) -> None:
    state = page.page_state
    _ask_what_was_recorded(page, parts)
    filmed.frames[name] = filmed.film.shot()
    filmed.facts["json"][name] = state.session.recipe.to_json()
    filmed.keys[name] = {key: each.hash for _, listed in recipe_pair.choices(state) for key, _, each in listed}
    filmed.variants[name] = {}
    for what, view, message, values in (
        ("axis", parts["Frontier"], "axis", AXES),
        ("unit", parts["ErrorsChart"], "unit", UNITS),
    ):
        for value in reversed(values):
            view.head.answer({"id": 0, "type": message, "value": value})
            filmed.variants[name][f"{what}:{value}"] = filmed.film.shot(view)
    filmed.inspections[name] = _inspections(page, parts["Inspector"], filmed)
    filmed.details[name] = _details(state, filmed.film)


def _details(state: Any, film: Film) -> dict[str, list[int]]:
    """Op -> the numbers of its errors and causes; its facts are those that the inspector shows."""
    found = {}
    for op in list(state.shown.ops.index)[:MOST_OPS]:
        found[str(op)] = [film.keep(part) for part in op_details.recorded(state, str(op))]
    return found


def _ask_what_was_recorded(page: Page, parts: dict[str, Any]) -> None:
    """Culprits and errors are shown when a person asks for them; here they are shown where they were recorded."""
    state, session = page.page_state, page.page_state.session
    for recorded, question in ((session.culprits, culprit_rows.QUESTION), (session.errors, None)):
        try:
            recorded()
        except BundleError:
            continue
        if question is None:
            parts["ErrorsChart"].head.answer({"id": 0, "type": "compute"})
        else:
            ask(state, question)
        _settle(page)


def _inspections(page: Page, inspector: Any, filmed: Filmed) -> dict[str, list[int]]:
    """Op -> the number of what the inspector shows of it, and of its facts, which hold the reason of the choice.

    What is seen of a tensor follows from the formats at the op alone: each is drawn once for all recipes.
    """
    state = page.page_state
    assert state.shown is not None
    plan, found = state.session.plan_of(state.shown.recipe), {}
    for op, row in list(state.shown.ops.iterrows())[:MOST_OPS]:
        step = plan.step_of[op]
        scales = [plan.scales.get(name) for name in step.takes]
        key = repr((op, row["precision"], dict(step.takes), step.gives, scales))
        if key not in filmed.inspected:
            filmed.inspected[key] = len(filmed.inspected)
            filmed.inspector.append(_inspect(page, inspector, filmed.film, str(op)))
        found[str(op)] = [filmed.inspected[key], filmed.film.keep(facts_of(state.session, state.shown, str(op)))]
    state.selection = ()
    inspector.head.update(frozenset({"selection"}))
    return found


def _inspect(page: Page, inspector: Any, film: Film, op: str) -> Patch:
    page.page_state.selection = (op,)
    inspector.head.update(frozenset({"selection"}))
    inspector.head.wait(SECONDS)
    return film.shot(inspector)


def _film_pairs(compare: Any, filmed: Filmed, recorded: px.Recorded, recipes: dict[str, px.Recipe]) -> None:
    measured = {trial.hash for trial in recorded.comparable_trials()}
    chosen = [(name, each) for name, each in recipes.items() if name in measured][:MOST_PAIRS]
    for name, one in chosen:
        for other_name, other in chosen:
            filmed.pairs[f"{name} {other_name}"] = filmed.film.keep(compare._rows(one, other) | {"now": [False, False]})


def _turn_to(page: Page, recorded: px.Recorded, recipe: px.Recipe) -> None:
    """Goes to a recipe from the saved history, so that no frame shows the way that the filming took."""
    recorded.rewind()
    node = next((node.id for node in recorded.history if node.recipe.hash == recipe.hash), None)
    if recipe.hash != recorded.recipe.hash:
        recorded.apply(recipe) if node is None else recorded.go_to(node)
    page.page_state.recipe_changed()
    measure(page.page_state)
    _settle(page)


def _send(page: Page, kind: str) -> None:
    reply = messages.answer(page.page_state, {"id": 0, "type": kind})
    assert reply["ok"], reply


def _settle(page: Page) -> None:
    if not page.wait(SECONDS):
        raise BundleError("export the page", f"it did not settle within {SECONDS:g} s", "a quieter machine")
