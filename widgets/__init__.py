"""The notebook page: ``widgets.explore("digits-vit")``, and each of its views alone."""

from widgets.app import Page, explore
from widgets.format_lab import FormatLab
from widgets.question import Question
from widgets.views.casts_panel import CastsPanel
from widgets.views.compare_recipes import CompareRecipes
from widgets.views.culprits_panel import CulpritsPanel
from widgets.views.delta_bar import DeltaBar
from widgets.views.errors_chart import ErrorsChart
from widgets.views.findings_panel import FindingsPanel
from widgets.views.frontier import Frontier
from widgets.views.history_panel import HistoryPanel
from widgets.views.inspector import Inspector
from widgets.views.precision_map import PrecisionMap
from widgets.views.recipe_panel import RecipePanel
from widgets.views.search_panel import SearchPanel
from widgets.views.time_table import TimeTable

__all__ = [
    "CastsPanel",
    "CompareRecipes",
    "CulpritsPanel",
    "DeltaBar",
    "ErrorsChart",
    "FindingsPanel",
    "FormatLab",
    "Frontier",
    "HistoryPanel",
    "Inspector",
    "Page",
    "PrecisionMap",
    "Question",
    "RecipePanel",
    "SearchPanel",
    "TimeTable",
    "explore",
]
