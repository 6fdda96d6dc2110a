"""The map of 2,000 ops, with a range strip and colours in each row, scrolled in a real browser: frames a second, bytes.

The ops and their ranges are made up; the page's own code makes the payload and draws it. Effects: a browser, the clock.
"""

from __future__ import annotations

import json
from typing import Any

import psutil
from playwright.sync_api import sync_playwright

from benchmarks.record import note, spread, tell
from tests.browser.alone import document_of
from tests.browser.driving import launch
from tests.widgets.fake import FakeSession, vit_ops
from widgets import messages
from widgets.sharing import state_of
from widgets.views.precision_map import PrecisionMap

OPS = 2000
SECONDS = 6.0
WARM_UP_S = 1.0
PIXELS_A_FRAME = 90
"""A fast wheel: more than three rows at every frame."""

# Frames are counted by the browser's own clock; the page scrolls a little at each, as under a finger.
SCROLL = """async ({seconds, step}) => {
    const scroll = document.querySelector(".px-scroll");
    const times = [];
    let way = step;
    await new Promise((resolve) => {
        const frame = (now) => {
            times.push(now);
            if (now - times[0] > 1000 * seconds) return resolve();
            if (scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 1) way = -step;
            if (scroll.scrollTop <= 0) way = step;
            scroll.scrollTop += way;
            return requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    });
    return times.slice(1).map((time, at) => time - times[at]);
}"""


class LongSession(FakeSession):
    """A fake session of many ops, each a row of its own: nothing folds away."""

    def __init__(self, count: int) -> None:
        super().__init__()
        pattern = vit_ops(4)
        names = [f"layer_{at}" for at in range(count)]
        kinds = [pattern[at % len(pattern)] for at in range(count)]
        self.rows = [
            {**row, "layer": name, "fold": "", "id": f"{name}/{row['kind']}"}
            for name, row in zip(names, kinds, strict=True)
        ]
        self.ids = [row["id"] for row in self.rows]
        self.apply(self.presets()["autocast-bf16"])


def _processor_seconds() -> float:
    """What the browser's processes have used so far: it tells on a busy machine what a quiet one would do."""
    times = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return sum(time.user + time.system for time in times)


def main() -> None:
    state = state_of(LongSession(OPS))
    messages.answer(state, {"id": 0, "type": "hello"})
    state.wait(120)
    view = PrecisionMap(state)
    payload = len(view.heights) + len(json.dumps(view.strips)) + len(json.dumps(view.bands))
    note("page: payload of 2,000 range strips", payload / 1e3, "kB", "main_job.jsonl")
    costs = len(view.cost_bytes) + len(json.dumps(view.costs))
    note("page: payload of 2,000 rows of costs", costs / 1e3, "kB", "main_job.jsonl")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_content(document_of(view))
        page.wait_for_selector(".px-picture")
        page.evaluate(SCROLL, {"seconds": WARM_UP_S, "step": PIXELS_A_FRAME})
        before = _processor_seconds()
        gaps: list[Any] = page.evaluate(SCROLL, {"seconds": SECONDS, "step": PIXELS_A_FRAME})
        work_ms = 1e3 * (_processor_seconds() - before) / len(gaps)
        browser.close()
    rate = 1e3 * len(gaps) / sum(gaps)
    note("page: processor time of the browser for a frame of that scrolling", work_ms, "ms", "main_job.jsonl")
    tell("page: frames a second while 2,000 rows of strips scroll", rate, "1/s", ">= 50", rate >= 50, **spread(gaps))


if __name__ == "__main__":
    main()
