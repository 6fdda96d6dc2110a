"""The load panel, spoken to as a browser does: files in pieces, an opening, what fails and what would work."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import explorer as px
from explorer.limits import VISITOR
from explorer.zoo.bundled import BUNDLED, load_bundled
from explorer.zoo.data import WEIGHTS
from tests.widgets.small import state_on
from widgets import loading
from widgets.loading_choice import Choice
from widgets.loading_state import Loading
from widgets.views.load_panel import LoadPanel

TINY = {
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 16,
    "vocab_size": 40,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sessions that a panel opens keep their trials here."""
    monkeypatch.setattr("explorer.opening.default_path", lambda: tmp_path / "trials.sqlite")


@pytest.fixture
def panel(small: Any) -> Iterator[LoadPanel]:
    """A panel over the small session, with nobody watching: nothing is measured by itself."""
    small.reset()
    state = state_on(small)
    made = LoadPanel(state)
    yield made
    state.jobs.cancel()
    assert state.wait(20)
    made.close()


def say(panel: LoadPanel, kind: str, *pieces: bytes, **fields: object) -> dict[str, Any]:
    """A message with its bytes, and the reply."""
    panel._came = pieces
    return panel.answer({"id": 1, "type": kind, **fields})


def send(panel: LoadPanel, role: str, name: str, content: bytes, chunk: int = 0) -> None:
    begun = say(panel, "upload", role=role, name=name, size=len(content))
    assert begun["ok"], begun
    step = chunk or begun["chunk"]
    for at in range(0, len(content), step):
        assert say(panel, "piece", content[at : at + step], upload=begun["upload"], at=at)["ok"]


def open_(panel: LoadPanel, **fields: Any) -> dict[str, Any]:
    """Asks for a choice, waits for its end, and gives how it stands."""
    reply = say(panel, "load", choice=Choice(**fields).as_facts())
    assert reply["ok"], reply
    assert panel.page_state.wait(60)
    return dict(panel.standing)


def cnn() -> bytes:
    return (WEIGHTS / "digits-cnn.safetensors").read_bytes()


def test_an_uploaded_file_opens_as_a_known_architecture(panel: LoadPanel, small: Any) -> None:
    send(panel, "weights", "mine.safetensors", cnn(), chunk=100_000)
    folder = panel.page_state.loading.uploads.files["weights"].path
    found = open_(panel, source="upload", architecture="digits-cnn", samples=40, batch=16)
    session = panel.page_state.session
    assert (found["state"], session.name, session.samples, session.batch_size) == ("opened", "mine.safetensors", 40, 16)
    assert "accuracy" in found["opened"]["labels"]
    assert "uploaded" in found["opened"]["link"]
    assert loading.link_of(panel.page_state) == ("", "")
    assert not folder.exists()
    assert panel.page_state.message == ""
    assert say(panel, "put_away")["ok"]
    assert panel.standing["state"] == "idle"
    # What a page that is loaded anew hears of it.
    assert "mine.safetensors was uploaded" in loading.reopen(panel.page_state, panel.page_state.loading.source)
    assert session is not small


def test_a_misfit_names_its_tensors_and_the_former_model_stays(panel: LoadPanel, small: Any, tmp_path: Path) -> None:
    state = load_bundled("digits-cnn").module.state_dict()
    state["fc.weight"] = torch.ones(7, 64)
    state["head.extra"] = torch.ones(2)
    del state["fc.bias"]
    save_file(state, tmp_path / "x.safetensors")
    send(panel, "weights", "x.safetensors", (tmp_path / "x.safetensors").read_bytes())
    failed = open_(panel, source="upload", architecture="digits-cnn")
    assert failed["state"] == "failed"
    assert failed["failed"]["asked"] == "open 'x.safetensors'"
    for words in ("1 missing (fc.bias)", "1 unexpected (head.extra)", "fc.weight [7, 64] against [10, 64]"):
        assert words in failed["failed"]["found"]
    assert panel.page_state.session is small
    assert not panel.page_state.opening
    assert panel.page_state.message == ""


def test_a_transformers_model_opens_by_its_configuration(panel: LoadPanel, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**TINY)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    send(panel, "weights", "tiny.safetensors", (tmp_path / "model.safetensors").read_bytes())
    huge = json.dumps({**config, "n_embd": 1 << 16, "vocab_size": 1 << 20}).encode()
    choice = {
        "source": "upload",
        "architecture": "config.json",
        "data": "made",
        "samples": 6,
        "shape": (8,),
        "batch": 4,
    }
    for changed, words in (
        (huge, "parameters and the file holds"),
        (json.dumps({**config, "n_layer": 10**6}).encode(), "n_layer in config.json is 1000000"),
        (json.dumps({**config, "model_type": "strange"}).encode(), "model_type 'strange' is unknown"),
        (b"[" * 100, "config.json cannot be read"),
    ):
        send(panel, "config", "config.json", changed)
        assert words in open_(panel, **choice)["failed"]["found"]
    send(panel, "config", "config.json", json.dumps({**config, "attn_implementation": "someone/kernel"}).encode())
    found = open_(panel, **choice)
    assert found["state"] == "opened", found
    session = panel.page_state.session
    assert (session.name, session.samples, session.task.name) == ("tiny.safetensors", 6, "agreement")
    assert "no accuracy" in found["opened"]["labels"]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_data_of_ones_own_are_checked_and_scored(panel: LoadPanel) -> None:
    x = np.zeros((9, 1, 32, 32), np.float32)
    choice = {"source": "bundled", "name": "digits-cnn", "data": "npz", "batch": 4}
    for content, words in (
        (npz(x=x.astype(object)), "x holds object"),
        (npz(x=x[:, :, :8]), "1 \u00d7 8 \u00d7 32, and the model takes 1 \u00d7 32 \u00d7 32"),
        (npz(x=x.astype(np.uint8)), "x holds uint8"),
        (npz(x=x, y=np.zeros(8, np.int64)), "9 samples and y 8 labels"),
        (npz(x=x, y=np.zeros((9, 3), np.int64)), "one class number"),
        (npz(x=x, y=np.full(9, 10)), "labels go from 10 to 10"),
        (npz(z=x), "it holds z"),
        (b"PK nothing", "no .npz of numbers"),
    ):
        send(panel, "data", "mine.npz", content)
        failed = open_(panel, **choice)["failed"]
        assert words in failed["found"] + failed["instead"], (words, failed)
    send(panel, "data", "mine.npz", npz(x=x, y=np.arange(9)))
    assert open_(panel, **choice)["opened"]["data"] == "9 samples of your file, batches of 4"
    assert panel.page_state.session.task.name == "classification"


def test_samples_beyond_the_limit_are_refused_in_a_file(panel: LoadPanel) -> None:
    panel.page_state.loading.limits = VISITOR
    send(panel, "data", "long.npz", npz(x=np.zeros((10_001, 1), np.float32)))
    failed = open_(panel, source="bundled", name="digits-cnn", data="npz")["failed"]
    assert "x holds 10,001 samples" in failed["found"]


def test_a_recorded_exploration_opens_from_its_file(panel: LoadPanel, small: Any, tmp_path: Path) -> None:
    content = Path(small.save(tmp_path / "small.pxb")).read_bytes()
    send(panel, "recorded", "broken.pxb", content[:200])
    assert open_(panel, source="recorded")["failed"]["asked"] == "open 'broken.pxb'"
    send(panel, "recorded", "small.pxb", content)
    assert open_(panel, source="recorded")["opened"]["data"].startswith("recorded on")
    assert isinstance(panel.page_state.session, px.Recorded)


def test_a_visitor_opens_no_file_of_the_machine(panel: LoadPanel, small: Any, tmp_path: Path) -> None:
    panel.page_state.loading = Loading(VISITOR)
    path = str(small.save(tmp_path / "small.pxb"))
    for fields in ({"source": "local"}, {"source": "recorded"}):
        found = open_(panel, name=path, **fields)
        assert found["state"] == "failed"
    assert panel.page_state.session is small


def test_nonsense_is_answered_and_opens_nothing(panel: LoadPanel, small: Any) -> None:
    for kind, fields in (
        ("upload", {"role": "x", "name": "a.npz", "size": 3}),
        ("upload", {"role": "data", "name": 3, "size": 3}),
        ("upload", {"role": "data", "name": "a.npz", "size": 2**60}),
        ("piece", {"upload": 1, "at": 0}),
        ("piece", {"upload": True, "at": 0}),
        ("drop", {"role": "../x"}),
        ("load", {"choice": "digits-vit"}),
        ("load", {"choice": {}}),
    ):
        reply = say(panel, kind, **fields)
        assert not reply["ok"]
        assert reply["error"]
    assert panel.page_state.session is small
    assert panel.page_state.message == ""


def test_an_address_offers_a_hubs_model_and_fetches_nothing(panel: LoadPanel, small: Any) -> None:
    assert loading.offer_link(panel.page_state, "hf:org/name@main", "made8_seed1") == ""
    assert panel.standing["offered"]["name"] == "org/name"
    assert panel.page_state.opening == ""
    assert panel.page_state.session is small
    assert "no such model" in loading.offer_link(panel.page_state, "nothing", "")


def test_a_hub_out_of_reach_says_what_to_do(panel: LoadPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    pytest.importorskip("transformers")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no-cache"))
    failed = open_(panel, source="hub", hub="hf", name="nobody/nothing", data="made")["failed"]
    assert "no network" in failed["found"]
    assert "local folder" in failed["instead"]


def test_a_local_folder_reproduces_what_a_hub_would_give(panel: LoadPanel, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**TINY)).save_pretrained(tmp_path / "tiny")
    found = open_(panel, source="local", name=str(tmp_path / "tiny"), data="made", samples=4, batch=4)
    assert found["state"] == "opened"
    assert [each["state"] if isinstance(each, dict) else each for each in panel.progress["steps"]][-1] == "first ranges"
    found = open_(panel, source="local", name=str(tmp_path / "nowhere"), data="made")
    assert "no such file or folder" in found["failed"]["found"]


def test_a_running_opening_is_cancelled_at_its_next_step(
    panel: LoadPanel, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(choice: Any, files: Any, limits: Any, progress: Any) -> Any:
        panel.answer({"id": 2, "type": "cancel"})
        progress(1, 5, "building the model")
        raise AssertionError("it went on")

    monkeypatch.setattr(loading, "open_choice", slow)
    assert open_(panel, source="bundled", name="digits-cnn")["state"] == "stopped"
    assert panel.page_state.session is small


def test_what_may_be_opened_is_said_with_its_limits(panel: LoadPanel) -> None:
    offer = panel.offer
    assert [model["name"] for model in offer["models"]][: len(BUNDLED)] == list(BUNDLED)
    assert offer["closed"] == {"local": "", "hub": ""}
    assert {each["key"] for each in offer["hubs"]} == {"hf", "timm", "torchvision"}
    assert len(json.dumps(offer)) < 20_000
