"""Models from outside: transformers folders and hub names, timm and torchvision; the network is never used."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from explorer.errors import DataError, MissingPackage, ModelError
from explorer.zoo.score import logits_of
from explorer.zoo.sources import load_source

transformers = pytest.importorskip("transformers")

LLAMA: dict[str, int] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as constants

    # The environment variables are read when the library is imported, which has happened.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no-cache"))


def llama(folder: Path, change: Callable[[nn.Module], object] = lambda module: None) -> Any:
    """A tiny Llama, saved to ``folder``."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).eval()
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    return model


def edit_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_of_a_causal_model_round_trips(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    original = llama(tmp_path / "tiny")
    capfd.readouterr()
    random_state, level = torch.get_rng_state(), transformers.utils.logging.get_verbosity()
    loaded = load_source(str(tmp_path / "tiny"))
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert transformers.utils.logging.get_verbosity() == level
    (ids,) = loaded.inputs
    assert ids.shape == (2, 16)
    assert ids.max() < 40
    assert torch.equal(logits_of(loaded.module(ids)), logits_of(original(ids)))
    assert (loaded.name, loaded.task, loaded.data, loaded.warnings) == ("tiny", "causal-lm", None, ())
    assert type(loaded.module).__name__ == "LlamaForCausalLM"
    assert loaded.module(ids).past_key_values is None
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert torch.equal(load_source(tmp_path / "tiny").inputs[0], ids)


def test_inputs_replace_the_made_up_ones(tmp_path: Path) -> None:
    llama(tmp_path)
    mine = torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert load_source(tmp_path, inputs=mine).inputs == (mine,)


def test_half_precision_weights_become_fp32(tmp_path: Path) -> None:
    llama(tmp_path, lambda module: module.bfloat16())
    assert all(p.dtype == torch.float32 for p in load_source(tmp_path).module.parameters())


def test_nan_weights_load_and_are_named(tmp_path: Path) -> None:
    llama(tmp_path, lambda module: module.get_parameter("lm_head.weight")[0, :3].fill_(float("nan")))
    (warning,) = load_source(tmp_path).warnings
    assert warning == "the weight 'lm_head.weight' holds 3 NaN and 0 Inf among 1280 values"


def test_image_classifier_gets_images_of_its_own_size(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=24,
        patch_size=8,
        num_channels=1,
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    loaded = load_source(tmp_path)
    assert loaded.task == "classification"
    assert loaded.inputs[0].shape == (2, 1, 24, 24)
    assert logits_of(loaded.module(*loaded.inputs)).shape == (2, 2)


def test_bare_encoder_decoder_gets_both_inputs(tmp_path: Path) -> None:
    config = transformers.T5Config(vocab_size=50, d_model=32, d_kv=16, d_ff=48, num_layers=1, num_heads=2)
    transformers.T5Model(config).save_pretrained(tmp_path)
    loaded = load_source(tmp_path)
    assert loaded.task == "regression"
    assert set(loaded.kwargs) == {"decoder_input_ids"}
    assert not (loaded.inputs[0] == config.pad_token_id).any()
    loaded.module(*loaded.inputs, **loaded.kwargs)


def test_sequence_classifier(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, num_labels=3
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    loaded = load_source(tmp_path)
    assert loaded.task == "classification"
    assert logits_of(loaded.module(*loaded.inputs)).shape == (2, 3)


def test_a_model_of_sound_asks_for_inputs(tmp_path: Path) -> None:
    config = transformers.WhisperConfig(
        vocab_size=50,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        max_source_positions=10,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    transformers.WhisperModel(config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"'input_features'.*inputs="):
        load_source(tmp_path)


def test_weights_absent_from_the_checkpoint_are_a_warning(tmp_path: Path) -> None:
    llama(tmp_path)
    edit_config(tmp_path, num_hidden_layers=2)
    (warning,) = load_source(tmp_path).warnings
    assert warning.startswith("9 weights are not in the checkpoint and drawn at random: model.layers.1.input_layernorm")


def test_shapes_that_differ_are_listed(tmp_path: Path) -> None:
    llama(tmp_path)
    edit_config(tmp_path, vocab_size=41)
    with pytest.raises(ModelError, match=r"lm_head\.weight \[40, 32\] against \[41, 32\]"):
        load_source(tmp_path)


def test_weights_that_are_quantised_already_are_refused(tmp_path: Path) -> None:
    llama(tmp_path)
    edit_config(tmp_path, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    with pytest.raises(ModelError, match="quantised already"):
        load_source(tmp_path)


def test_code_from_a_folder_is_never_run(tmp_path: Path) -> None:
    llama(tmp_path)
    edit_config(tmp_path, model_type="strange", auto_map={"AutoConfig": "strange.Config"})
    (tmp_path / "strange.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    with pytest.raises(ModelError, match="code of its own, which is never run"):
        load_source(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_folders_that_are_no_model_say_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_source(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="no safetensors"):
        load_source(tmp_path)


def test_damaged_weights_in_a_folder_are_a_clear_error(tmp_path: Path) -> None:
    llama(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(ModelError, match="SafetensorError"):
        load_source(tmp_path)


def test_hub_out_of_reach_names_the_cache_and_the_folder() -> None:
    with pytest.raises(ModelError, match=r"load 'hf:nobody/nothing'.*no cached copy.*HF_HOME.*local folder"):
        load_source("hf:nobody/nothing")


@pytest.mark.parametrize(
    ("spec", "package", "extra"),
    [
        ("hf:gpt2", "transformers", "hf"),
        ("timm:resnet18", "timm", "vision"),
        ("torchvision:resnet18", "torchvision", "vision"),
    ],
)
def test_missing_library(monkeypatch: pytest.MonkeyPatch, spec: str, package: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"load '{spec}'.*'{package}' is not installed.*\[{extra}\]"):
        load_source(spec)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
@pytest.mark.parametrize("failure", ["RuntimeError('operator nms does not exist')", "AttributeError('nms')"])
def test_library_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, failure: str
) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise {failure}\n")
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=f"'{package}' does not import.*nms.*reinstall"):
        load_source(f"{package}:resnet18")


class Pooled(nn.Module):
    """Stands for a library's pretrained image model."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.default_cfg = {"input_size": (3, 20, 28)}
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(x.mean((2, 3)))
        return out


def unreachable(*_: object, **__: object) -> nn.Module:
    raise URLError("no route")


def stub_timm(create: Callable[..., nn.Module]) -> types.ModuleType:
    timm = types.ModuleType("timm")
    names = ["resnet18", "resnet50", "vit_tiny_patch16_224"]
    vars(timm).update(create_model=create, list_models=lambda: names, is_model=lambda name: name in names)
    return timm


def stub_torchvision(get: Callable[..., nn.Module]) -> types.ModuleType:
    torchvision, models = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    weights = types.SimpleNamespace(transforms=lambda: types.SimpleNamespace(crop_size=[24]))
    vars(models).update(
        list_models=lambda: ["resnet18", "vgg11"],
        get_model=get,
        get_model_weights=lambda name: types.SimpleNamespace(DEFAULT=weights),
    )
    vars(torchvision)["models"] = models
    return torchvision


def test_image_libraries_are_asked_for_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def create(name: str, **options: object) -> nn.Module:
        asked.append(options)
        return Pooled(name)

    monkeypatch.setitem(sys.modules, "timm", stub_timm(create))
    monkeypatch.setitem(sys.modules, "torchvision", stub_torchvision(create))
    for spec, shape in (("timm:resnet18", (2, 3, 20, 28)), ("torchvision:resnet18", (2, 3, 24, 24))):
        loaded = load_source(spec)
        assert loaded.inputs[0].shape == shape
        assert loaded.task == "classification"
        assert loaded.name == "resnet18"
        assert loaded.module(*loaded.inputs).shape == (2, 4)
        assert not loaded.module.training
    assert asked[0] == {"pretrained": True}
    assert "weights" in asked[1]


@pytest.mark.parametrize(("library", "variable"), [("timm", "HF_HOME"), ("torchvision", "TORCH_HOME")])
def test_image_library_out_of_reach_or_of_another_name(
    monkeypatch: pytest.MonkeyPatch, library: str, variable: str
) -> None:
    stub = {"timm": stub_timm, "torchvision": stub_torchvision}[library](unreachable)
    monkeypatch.setitem(sys.modules, library, stub)
    with pytest.raises(ModelError, match=f"no cached copy.*{variable}"):
        load_source(f"{library}:resnet18")
    with pytest.raises(ModelError, match=f"{library} has no model of that name.*such as resnet18"):
        load_source(f"{library}:resnet81")


def test_specs_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no such file or folder.*'hf:<name>'"):
        load_source("keras:resnet")
    with pytest.raises(ModelError, match="no name follows 'hf'"):
        load_source("hf:")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"'\.onnx' is not known"):
        load_source(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="leaving builder out"):
        load_source("hf:gpt2", builder=lambda: nn.Linear(2, 2))
