"""Recipes: the map from op to precision, how ops are selected, and named presets."""

from explorer.recipe.history import History, HistoryNode, describe_change
from explorer.recipe.past import Past
from explorer.recipe.presets import build_presets
from explorer.recipe.recipe import BASELINE, Calibrated, Choice, Recipe, explains_misfit
from explorer.recipe.select import Where, is_exact, select

__all__ = [
    "BASELINE",
    "Calibrated",
    "Choice",
    "History",
    "HistoryNode",
    "Past",
    "Recipe",
    "Where",
    "build_presets",
    "describe_change",
    "explains_misfit",
    "is_exact",
    "select",
]
