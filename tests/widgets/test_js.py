"""The browser side's pure functions, run under node, and every view's joined module, parsed by it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from widgets.views.casts_panel import CastsPanel
from widgets.views.compare_recipes import CompareRecipes
from widgets.views.culprits_panel import CulpritsPanel
from widgets.views.delta_bar import DeltaBar
from widgets.views.errors_chart import ErrorsHead
from widgets.views.findings_panel import FindingsPanel
from widgets.views.frontier import FrontierHead
from widgets.views.history_panel import HistoryPanel
from widgets.views.inspector import InspectorHead
from widgets.views.load_panel import LoadPanel
from widgets.views.message_banner import MessageBanner
from widgets.views.number_bits import NumberBits
from widgets.views.plot import Plot
from widgets.views.precision_map import PrecisionMap
from widgets.views.recipe_panel import RecipePanel
from widgets.views.search_panel import SearchPanel
from widgets.views.section import SectionHead
from widgets.views.time_table import TimeTable
from widgets.views.top_bar import TopBar
from widgets.views.value_grid import ValueGrid
from widgets.views.view import STATIC, Pane

JS_TESTS = Path(__file__).parents[1] / "js"
VIEWS = [
    CastsPanel,
    CulpritsPanel,
    FindingsPanel,
    CompareRecipes,
    FrontierHead,
    HistoryPanel,
    LoadPanel,
    TopBar,
    MessageBanner,
    DeltaBar,
    PrecisionMap,
    RecipePanel,
    SearchPanel,
    TimeTable,
    NumberBits,
    ValueGrid,
    SectionHead,
    Plot,
    InspectorHead,
    ErrorsHead,
]


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    assert found, "node is not installed: the browser side cannot be tested; install nodejs 20 or later"
    return found


@pytest.mark.parametrize("file", sorted(JS_TESTS.glob("*.test.mjs")), ids=lambda file: file.stem)
def test_pure_functions(node: str, file: Path) -> None:
    run = subprocess.run([node, "--test", str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_joined_module_is_valid_and_alone(node: str, view: type[Pane], tmp_path: Path) -> None:
    module = tmp_path / "view.mjs"
    module.write_text(str(view._esm), encoding="utf-8")
    code = f"import({str(module)!r}).then((m) => process.exit(typeof m.default.render === 'function' ? 0 : 1))"
    run = subprocess.run([node, "-e", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert not re.search(r"^import ", str(view._esm), re.MULTILINE)


@pytest.mark.parametrize("file", sorted(STATIC.iterdir()), ids=lambda file: file.name)
def test_assets_ask_nobody(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest|eval\(|innerHTML", text)
