"""Open a model from a file: chosen in the browser, sent in pieces, opened on data made there; what fails is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from explorer.zoo.data import WEIGHTS
from tests.browser.driving import PAGE_MS, READY

NAME = "mine.safetensors"


def test_a_file_of_weights_opens_as_a_known_architecture(shared_page: Callable[[str], Page], tmp_path: Path) -> None:
    page = shared_page("voila")
    save_file({"head.weight": torch.ones(7, 3)}, tmp_path / "other.safetensors")
    (tmp_path / NAME).write_bytes((WEIGHTS / "digits-cnn.safetensors").read_bytes())
    page.get_by_test_id("open-model").click()
    page.get_by_test_id("load-tab:upload").click()
    page.get_by_test_id("load-architecture").select_option("digits-cnn")
    # A file of another model: nothing is lost, and what is wrong is named.
    page.get_by_test_id("load-file:weights").set_input_files(tmp_path / "other.safetensors")
    page.get_by_test_id("load-open").click()
    expect(page.get_by_test_id("load-failed")).to_contain_text("1 unexpected (head.weight)", timeout=PAGE_MS)
    expect(page.locator(READY)).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_test_id("load-file:weights").locator("..").click()
    chooser.value.set_files(tmp_path / NAME)
    page.get_by_test_id("load-data:made").check()
    page.get_by_test_id("load-made").fill("24")
    page.get_by_test_id("load-open").click()
    expect(page.locator(f"{READY}[data-model='{NAME}']")).to_be_visible(timeout=PAGE_MS)
    expect(page.get_by_test_id("load-opened")).to_contain_text("there is no accuracy")
    expect(page.get_by_test_id("load-panel")).to_be_hidden()
    expect(page.get_by_test_id("data")).to_have_text("24 made-up samples (seed 0)")
