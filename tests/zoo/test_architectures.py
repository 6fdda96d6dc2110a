"""Known architectures filled from a file, inputs that are made up, and a hub's model found in its local cache."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from explorer.errors import DataError, ModelError
from explorer.zoo.architectures import load_known, read_config
from explorer.zoo.hub import hub_error
from explorer.zoo.loaded import Loaded
from explorer.zoo.made import Made, with_made_inputs
from explorer.zoo.sources import load_source

MIB = 2**20


class Pooled(nn.Module):
    """Stands for a library's image model."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(x.mean((2, 3)))
        return out


class Weights(enum.Enum):
    """Stands for the weights of one of torchvision's models."""

    V1 = "V1"
    DEFAULT = V1

    def transforms(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(crop_size=[24])


def libraries(monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module] = Pooled) -> None:
    """timm and torchvision, as far as a model without weights goes."""
    timm, torchvision, models = (types.ModuleType(name) for name in ("timm", "torchvision", "torchvision.models"))
    vars(timm).update(
        is_model=lambda name: name == "net",
        list_models=lambda: ["net"],
        get_pretrained_cfg=lambda name: types.SimpleNamespace(input_size=(3, 20, 28)),
        create_model=lambda name, pretrained: make(),
    )
    vars(models).update(
        list_models=lambda: ["net"],
        get_model=lambda name, weights: make(),
        get_model_weights=lambda name: Weights,
    )
    vars(torchvision)["models"] = models
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)


@pytest.mark.parametrize(("library", "size"), [("timm", (3, 20, 28)), ("torchvision", (3, 24, 24))])
def test_a_librarys_architecture_is_filled_without_a_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: str, size: tuple[int, ...]
) -> None:
    libraries(monkeypatch)
    original = Pooled()
    save_file(original.state_dict(), tmp_path / "mine.safetensors")
    loaded = load_known(tmp_path / "mine.safetensors", f"{library}:net", "open it")
    assert loaded.inputs[0].shape == (2, *size)
    assert torch.equal(loaded.module(loaded.inputs[0]), original(loaded.inputs[0]))
    save_file({"fc.weight": torch.ones(4, 5)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=rf"1 missing \(fc\.bias\) and 1 of another shape.*{library}'s net"):
        load_known(tmp_path / "other.safetensors", f"{library}:net", "open it")
    with pytest.raises(ModelError, match="no model of that name"):
        load_known(tmp_path / "mine.safetensors", f"{library}:knot", "open it")


def test_a_model_that_reads_numbers_while_it_is_made_is_filled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def made() -> nn.Module:
        assert torch.ones(1).item() == 1
        return Pooled()

    libraries(monkeypatch, made)
    save_file(Pooled().state_dict(), tmp_path / "mine.safetensors")
    assert load_known(tmp_path / "mine.safetensors", "timm:net", "open it").task == "classification"


def test_revisions_are_what_each_library_has(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries(monkeypatch)
    assert load_source("torchvision:net@V1").task == "classification"
    with pytest.raises(ModelError, match=r"no weights 'V9'"):
        load_source("torchvision:net@V9")
    with pytest.raises(ModelError, match="no revisions"):
        load_source("timm:net@main")


def test_a_hubs_model_is_found_in_its_local_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit, home = "0" * 40, tmp_path / "models--org--tiny"
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=40, n_positions=32, bos_token_id=1, eos_token_id=2
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(home / "snapshots" / commit)
    (home / "refs").mkdir()
    for name in ("main", "v1"):
        (home / "refs" / name).write_text(commit)
    for spec in ("hf:org/tiny", "hf:org/tiny@v1"):
        assert load_source(spec).task == "causal-lm"
    with pytest.raises(ModelError, match="no cached copy"):
        load_source("hf:org/tiny@v2")


def test_a_proxys_refusal_is_no_answer_of_the_hub() -> None:
    refused, local = type("HTTPError", (OSError,), {}), type("LocalEntryNotFoundError", (OSError,), {})
    for kinds, words in (((refused,), "does not give it out"), ((refused, local), "cannot be reached")):
        error: BaseException | None = None
        for kind in kinds:
            link = kind("403")
            link.__cause__ = error
            error = link
        assert error is not None
        assert words in str(hub_error("load 'hf:x'", error, "HF_HOME"))


def test_what_names_code_or_another_model_is_left_out_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        '{"model_type": "gpt2", "n_layer": 2, "auto_map": {"AutoModel": "x.Y"}, "_attn_implementation": "a/kernel",'
        ' "backbone": "resnet50", "use_pretrained_backbone": true, "_name_or_path": "a/b"}'
    )
    assert read_config(path, 28, "open it") == {"model_type": "gpt2", "n_layer": 2}


class Words(nn.Module):
    """Takes token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.words(ids).mean(1)
        return out


def test_made_up_inputs_come_from_their_seed_and_fit_the_model() -> None:
    loaded = Loaded("w", "", Words().eval(), (torch.zeros(2, 5, dtype=torch.int64),), "classification")
    made = with_made_inputs(loaded, Made(30, 1, (7,)), "open it", MIB)
    assert made.data is not None
    x, y = made.data
    assert (x.shape, x.dtype, y, made.task) == ((30, 7), torch.int64, None, "agreement")
    assert 0 <= int(x.min()) <= int(x.max()) < 11
    assert torch.equal(x, with_made_inputs(loaded, Made(30, 1, (7,)), "open it", MIB).data[0])  # type: ignore[index]
    assert not torch.equal(x, with_made_inputs(loaded, Made(30, 2, (7,)), "open it", MIB).data[0])  # type: ignore[index]
    assert with_made_inputs(loaded, Made(1), "open it", MIB).inputs[0].shape == (2, 5)
    with pytest.raises(DataError, match=r"would take 57 MiB.*at most 26214 samples"):
        with_made_inputs(loaded, Made(1_500_000), "open it", MIB)
    with pytest.raises(DataError, match="the model takes 5"):
        with_made_inputs(loaded, Made(4, 0, (3, 4)), "open it", MIB)
