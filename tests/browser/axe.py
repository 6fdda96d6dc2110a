"""What axe-core finds wrong with a page for people who see badly or use no mouse. Effects: runs npm, once."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.driving import ROOT

DARK_STYLE = Path(sys.prefix) / "share/jupyter/nbconvert/templates/lab/static/theme-dark.css"
"""What Voila writes into a page that is asked for with ``?theme=dark``."""
BAD = ("serious", "critical")
RUN = """async (bad) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => bad.includes(impact)).flatMap(({ id, impact, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${impact} ${id} at ${target.join(" ")}: ${failureSummary}`));
}"""


@cache
def _script() -> str:
    found = subprocess.run([ROOT / ".ci" / "axe"], capture_output=True, text=True, check=True).stdout.strip()
    return (ROOT / found).read_text() if found else ""


def violations(page: Page) -> list[str]:
    """Every serious or critical violation in words; skips the test where axe-core cannot be had, for want of npm."""
    script = _script()
    if not script:
        pytest.skip("npm is missing, which fetches axe-core: accessibility was not checked")
    page.evaluate(script)
    found: list[str] = page.evaluate(RUN, list(BAD))
    return found


def darken(page: Page) -> None:
    """Turn a page of Voila dark, as it would have arrived with ``?theme=dark``."""
    page.add_style_tag(path=DARK_STYLE)
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    page.wait_for_function(
        "() => !getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').includes('white')"
    )
