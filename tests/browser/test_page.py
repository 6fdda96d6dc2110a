"""The main job in a real browser: open a trained model, choose precisions, watch measured numbers follow."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import ARTIFACTS, READY, Visit, brightness, serving

Open = Callable[..., Page]

FC1 = "blocks.0.mlp.fc1/linear"
MEASURE_MS = 60_000
"""A measurement on two shared cores, while other tests' servers stop."""
CARDS = ("delta-quality", "delta-kl", "delta-latency", "delta-memory", "delta-casts")


def card(page: Page, name: str) -> Locator:
    return page.get_by_test_id(name)


def cell(page: Page, op: str, precision: str) -> Locator:
    return page.get_by_test_id(f"cell:{op}:{precision}")


def measured(page: Page, kind: str | re.Pattern[str] = "measured") -> None:
    """Wait until every number of the recipe on show is there and stays; what is refined meanwhile does not matter."""
    expect(card(page, "delta-quality")).to_have_attribute("data-kind", kind, timeout=MEASURE_MS)
    expect(card(page, "delta-latency")).to_have_attribute("data-kind", kind, timeout=MEASURE_MS)
    expect(page.get_by_test_id("numbers")).to_have_attribute("aria-busy", "false", timeout=MEASURE_MS)


def numbers(page: Page) -> dict[str, str]:
    """The big number of each card, and how many samples are behind it."""
    shown = {name: card(page, name).locator(".px-big").inner_text() for name in CARDS}
    return shown | {f"{name} n": card(page, name).get_attribute("data-n") or "" for name in CARDS}


@contextmanager
def another_recipe(page: Page) -> Iterator[None]:
    """Wait until what is done inside has changed the recipe: a click shows at once, and the numbers a moment later."""
    recipe = page.get_by_test_id("recipe")
    before = recipe.get_attribute("data-hash") or ""
    assert before
    yield
    expect(recipe).not_to_have_attribute("data-hash", before)


def choose(page: Page, op: str, precision: str) -> None:
    with another_recipe(page):
        cell(page, op, precision).click()
    expect(cell(page, op, precision)).to_have_attribute("data-chosen", "true")


def undo(page: Page) -> None:
    with another_recipe(page):
        page.get_by_test_id("undo").click()


def both_baselines(page: Page) -> None:
    """The latency stands over eager and over best FP32, split into what kernels and what precision gained."""
    latency = card(page, "delta-latency")
    expect(latency).to_contain_text("over your eager FP32")
    expect(page.get_by_test_id("over-fp32")).to_have_text(re.compile(r"^[\d.]+×over best FP32.*from [\d.]+ ms"))
    split = page.get_by_test_id("latency-split").inner_text()
    kernels, precision = (float(gain) for gain in re.findall(r"([\d.]+)×", split))
    assert kernels * precision == pytest.approx(float(numbers(page)["delta-latency"].rstrip("×")), rel=0.02)
    expect(page.get_by_test_id("delta-latency").get_by_test_id("throughput")).to_contain_text("samples/s")
    details = page.get_by_test_id("delta-latency-details")
    details.locator("summary").click()
    expect(details).to_contain_text("the model as you run it")
    details.press("Escape")
    expect(details).not_to_contain_text("the model as you run it", use_inner_text=True)


def where_the_time_goes(page: Page) -> None:
    """The op is timed, its cast a row or inside another; a sum, the rest and the measured whole close the table."""
    times = page.get_by_test_id("times")
    expect(times).to_have_attribute("data-state", "ready")
    page.get_by_test_id("times-each").click()
    expect(page.get_by_test_id(f"time:{FC1}")).to_contain_text(re.compile(r"[\d.]+ (µs|ms)"))
    expect(times).to_contain_text(re.compile(r"cast fp32|\d+ more inside"))
    for name in ("sum", "rest", "whole"):
        expect(page.get_by_test_id(f"time-{name}")).to_be_visible()


@pytest.mark.parametrize("place", ["voila", "lab"])
def test_golden_path(shared_page: Open, place: str) -> None:
    page = shared_page(place)
    measured(page)
    before = numbers(page)
    assert all(before[name] for name in CARDS)
    assert float(before["delta-quality"].rstrip(" %")) >= 97

    choose(page, FC1, "int8")
    measured(page)
    after = numbers(page)
    assert after["delta-quality n"] == before["delta-quality n"] == "397"
    changed = {name for name in CARDS if after[name] != before[name]}
    assert changed >= {"delta-kl", "delta-memory"}
    expect(cell(page, FC1, "fp32")).not_to_have_attribute("data-chosen", "true")
    both_baselines(page)
    where_the_time_goes(page)

    undo(page)
    expect(cell(page, FC1, "fp32")).to_have_attribute("data-chosen", "true")
    measured(page)
    assert numbers(page) == before

    with another_recipe(page):
        page.get_by_test_id("redo").click()
    expect(cell(page, FC1, "int8")).to_have_attribute("data-chosen", "true")
    measured(page)
    assert numbers(page) == after


def test_filter(shared_page: Open) -> None:
    page = shared_page("voila")
    row = page.get_by_test_id(f"row:{FC1}")
    expect(row).to_be_visible()
    page.get_by_test_id("filter").fill("qkv")
    expect(row).to_have_count(0)
    expect(page.get_by_test_id("row:blocks.0.attn.qkv/linear")).to_be_visible()
    page.get_by_test_id("filter").press("Escape")
    expect(row).to_be_visible()


def test_bad_recipe_is_explained(shared_page: Open) -> None:
    page = shared_page("voila")
    page.get_by_test_id("recipe-load").click()
    page.get_by_test_id("recipe-json").fill('{"broken": ')
    page.get_by_test_id("recipe-apply").click()
    expect(page.get_by_test_id("recipe-status")).to_have_attribute("data-tone", "bad")
    expect(page.get_by_test_id("recipe-status")).not_to_be_empty()


def test_narrow_window(shared_page: Open) -> None:
    page = shared_page("voila")
    page.set_viewport_size({"width": 400, "height": 900})
    measured(page)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 400
    expect(page.get_by_test_id("undo")).to_be_in_viewport()


def test_keyboard_alone(shared_page: Open) -> None:
    page = shared_page("voila")
    page.get_by_test_id("filter").focus()
    page.keyboard.type(FC1)
    expect(page.get_by_test_id("row:blocks.0.attn.qkv/linear")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    columns = page.get_by_role("treegrid").get_by_role("columnheader").all_inner_texts()
    others = ("layer", "casts", "range", "kernel", "µs", "Δ", "of limit")
    precisions = [name for name in columns if name.split(",")[0].strip() not in others]
    page.keyboard.press(str(precisions.index("int8") + 1))
    expect(cell(page, FC1, "int8")).to_have_attribute("data-chosen", "true")
    page.keyboard.press("Control+z")
    expect(cell(page, FC1, "fp32")).to_have_attribute("data-chosen", "true")
    page.keyboard.press("Control+Shift+z")
    expect(cell(page, FC1, "int8")).to_have_attribute("data-chosen", "true")


def test_preset(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)
    before = numbers(page)
    with another_recipe(page):
        page.get_by_test_id("preset").select_option("int8-dynamic")
    expect(cell(page, FC1, "int8")).to_have_attribute("data-chosen", "true")
    expect(page.get_by_test_id("count:int8")).to_be_visible()
    # The one convolution has no real INT8 kernel on every device, and then the whole recipe says so.
    measured(page, re.compile("measured|emulated"))
    assert numbers(page)["delta-memory"] != before["delta-memory"]
    assert int(numbers(page)["delta-casts"].replace(",", "")) > 0


def test_cancel_leaves_a_usable_page(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)
    before = numbers(page)
    choose(page, FC1, "bf16")
    page.get_by_test_id("job-cancel").click()
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "idle")
    expect(page.get_by_test_id("job-progress")).to_contain_text("cancelled")
    page.get_by_test_id("measure").click()
    measured(page)
    undo(page)
    expect(cell(page, FC1, "fp32")).to_have_attribute("data-chosen", "true")
    measured(page)
    assert numbers(page) == before


def test_emulation_is_named(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)
    expect(cell(page, FC1, "fp8")).to_have_attribute("data-state", "emulated")
    choose(page, FC1, "fp8")
    measured(page, "emulated")
    expect(card(page, "delta-latency")).to_contain_text("no real speed")
    cell(page, FC1, "fp8").hover()
    expect(page.get_by_role("tooltip")).to_contain_text("emulated")


def test_another_model(shared_page: Open) -> None:
    page = shared_page("voila")
    measured(page)
    for model in ("digits-cnn", "adder-gpt"):
        page.get_by_test_id("model").select_option(model)
        expect(page.locator(f"{READY}[data-model={model}]")).to_be_visible(timeout=MEASURE_MS)
        expect(cell(page, FC1, "int8")).to_have_count(0)
        measured(page)
        assert numbers(page)["delta-quality"]


def _open_section(page: Page, name: str) -> Locator:
    page.get_by_test_id(re.compile(f"^section:{name}")).click()
    panel = page.get_by_test_id(name.lower())
    expect(panel).to_be_visible()
    return panel


def test_what_the_numbers_come_from(shared_page: Open) -> None:
    """Ranges in every row; casts and how to spare one; a planted overflow that is found, tried, applied and undone."""
    page = shared_page("voila")
    page.get_by_test_id("model").select_option("planted/fp16-overflow")
    strip = page.get_by_test_id("range-strip:blocks.1.attn/matmul")
    expect(strip.locator("svg")).to_be_visible(timeout=MEASURE_MS)
    with another_recipe(page):
        page.get_by_test_id("preset").select_option("autocast-fp16")
    expect(strip).to_have_attribute(
        "aria-label", re.compile(r"overflows FP16.*become Inf \(predicted\)"), timeout=MEASURE_MS
    )
    strip.hover()
    expect(page.get_by_role("tooltip").filter(has_text="Input of")).to_contain_text("measured")

    findings = _open_section(page, "Findings")
    expect(findings).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    expect(findings.locator("[data-rule]").first).to_contain_text("FP16 overflows in blocks.1.attn/matmul")
    page.get_by_test_id("preview:0.0").click()
    expect(page.get_by_test_id("remedy-row:0.0")).to_contain_text("NaN → ", timeout=MEASURE_MS)
    expect(page.get_by_test_id("remedy-row:0.0")).to_contain_text("measured")

    culprits = _open_section(page, "Culprits")
    page.get_by_test_id("culprits-find").click()
    expect(culprits).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    expect(culprits.locator("canvas").first).to_be_visible()

    casts = _open_section(page, "Casts")
    expect(casts).to_have_attribute("data-state", "ready", timeout=MEASURE_MS)
    casts.get_by_test_id("cast:0").click()
    with another_recipe(page):
        page.get_by_test_id("fewer-casts:removals:0").click()
    undo(page)
    with another_recipe(page):
        page.get_by_test_id("remedy:0.0").click()
    expect(cell(page, "blocks.1.attn/matmul", "bf16")).to_have_attribute("data-chosen", "true")
    undo(page)
    expect(cell(page, "blocks.1.attn/matmul", "fp16")).to_have_attribute("data-chosen", "true")


def test_a_killed_kernel_is_told_and_nothing_that_was_shown_is_lost(shared_page: Open) -> None:
    page = shared_page("voila")
    choose(page, FC1, "int8")
    measured(page)
    before = numbers(page)
    choose(page, "blocks.1.mlp.fc1/linear", "int8")
    expect(page.get_by_test_id("job-progress")).to_have_attribute("data-state", "running")
    errors = _open_section(page, "Errors")
    errors.get_by_test_id("errors-compute").click()
    expect(errors.get_by_test_id("errors-note")).to_contain_text("Measuring")
    _kernel_of(page).kill()
    ended = page.get_by_test_id("ended")
    expect(ended).to_contain_text("killed", timeout=5000)
    expect(errors.get_by_test_id("errors-note")).to_contain_text("the session ended before this was finished")
    expect(page.get_by_test_id("job-progress")).to_have_text("the session ended: nothing runs")
    expect(page.get_by_test_id("job-cancel")).to_be_hidden()
    cell(page, FC1, "bf16").click()
    expect(cell(page, FC1, "int8")).to_have_attribute("data-chosen", "true")

    ended.get_by_test_id("reload").click()
    expect(ended).to_have_count(0)
    expect(page.locator(READY)).to_be_visible(timeout=MEASURE_MS)
    expect(cell(page, "blocks.1.mlp.fc1/linear", "int8")).to_have_attribute("data-chosen", "true")
    undo(page)
    measured(page)
    assert numbers(page) == before


def _kernel_of(page: Page) -> psutil.Process:
    """The process of the page's kernel, which has its id in its command line."""
    kernel = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    return next(each for each in psutil.process_iter(["cmdline"]) if kernel in " ".join(each.info["cmdline"] or ()))


def test_closing_the_tab_ends_its_kernel(voila: str, shared_page: Open) -> None:
    page = shared_page("voila")
    kernel = page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    address = f"{voila}api/kernels/{kernel}"
    assert page.request.get(address).ok
    page.goto("about:blank")
    page.goto(voila + "voila/static/voila.js")
    page.wait_for_function("async (url) => (await fetch(url)).status === 404", arg=address)


def test_dark_theme_in_lab(shared_page: Open) -> None:
    page = shared_page("lab")
    _change_lab_theme(page, "JupyterLab Dark", light=False)
    assert brightness(page) < 0.35
    page.screenshot(path=ARTIFACTS / "test_dark_theme_in_lab-dark.png")
    _change_lab_theme(page, "JupyterLab Light", light=True)


def _change_lab_theme(page: Page, theme: str, *, light: bool) -> None:
    """Change the theme and wait for JupyterLab's splash to go: showing it twice at once is an error of JupyterLab's."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{str(light).lower()}'")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


@pytest.fixture
def voila_without_a_model(free_port: Callable[[], int]) -> Iterator[str]:
    with serving(["demo", "--port", str(free_port()), "--model", "nowhere:some-model"]) as address:
        yield address


def test_a_page_that_cannot_open_its_model_says_why(voila_without_a_model: str, visits: Callable[[], Visit]) -> None:
    page = visits().page
    page.goto(voila_without_a_model)
    expect(page.get_by_test_id("message")).to_contain_text("nowhere:some-model", timeout=MEASURE_MS)


@pytest.fixture
def broken_voila(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """A server whose kernels cannot import what the page is made of."""
    (tmp_path / "ipywidgets.py").write_text("raise RuntimeError('broken <on purpose>')")
    found_first = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    with serving(["demo", "--port", str(free_port())], {"PYTHONPATH": found_first}) as address:
        yield address


def test_a_page_that_cannot_be_built_says_why_and_no_more(broken_voila: str, visits: Callable[[], Visit]) -> None:
    page = visits().page
    page.goto(broken_voila)
    message = page.get_by_test_id("message")
    expect(message).to_contain_text("RuntimeError: broken <on purpose>", timeout=MEASURE_MS)
    assert "Traceback" not in page.content()
    assert "site-packages" not in message.inner_text()
