"""Local state dicts: what loads, and what each refusal says."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from explorer.errors import DataError, ModelError
from explorer.zoo.sources import load_source

EXAMPLE = torch.ones(2, 3)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.outer.weight = self.inner.weight


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


def write(path: Path, state: dict[str, torch.Tensor]) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    original = build()
    path = write(tmp_path / f"net{suffix}", original.state_dict())
    random_state = torch.get_rng_state()
    loaded = load_source(str(path), inputs=EXAMPLE, builder=build, task="classification")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(loaded.module(EXAMPLE), original(EXAMPLE))
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())
    assert (loaded.name, loaded.task, loaded.data, loaded.warnings) == ("net", "classification", None, ())
    assert loaded.inputs == (EXAMPLE,)


def test_wrapped_half_precision_checkpoint_loads_to_fp32(tmp_path: Path) -> None:
    original = build().half()
    torch.save({"state_dict": original.state_dict(), "epoch": 3}, tmp_path / "c.pt")
    loaded = load_source(tmp_path / "c.pt", inputs=(EXAMPLE,), builder=build)
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())
    assert torch.equal(loaded.module.get_parameter("0.weight"), original.get_parameter("0.weight").float())


def test_the_builders_module_is_not_changed(tmp_path: Path) -> None:
    mine = build()
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    path = write(tmp_path / "net.safetensors", build().state_dict())
    load_source(path, inputs=EXAMPLE, builder=lambda: mine)
    assert mine.training
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())


def test_tied_weights_stored_once_load(tmp_path: Path) -> None:
    weight = torch.randn(3, 3)
    loaded = load_source(write(tmp_path / "t.safetensors", {"outer.weight": weight}), inputs=EXAMPLE, builder=Tied)
    assert torch.equal(loaded.module.get_parameter("inner.weight"), weight)


def test_nan_and_inf_load_and_are_named(tmp_path: Path) -> None:
    state = build().state_dict()
    state["0.weight"][0, 0] = float("nan")
    state["2.bias"][:2] = float("inf")
    loaded = load_source(write(tmp_path / "n.pt", state), inputs=EXAMPLE, builder=build)
    assert loaded.warnings == (
        "the weight '0.weight' holds 1 NaN and 0 Inf among 15 values",
        "the weight '2.bias' holds 0 NaN and 2 Inf among 4 values",
    )


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    for name, dump in (
        ("zip.pt", lambda trap, path: torch.save({"weight": trap}, path)),
        ("raw.bin", lambda trap, path: path.write_bytes(pickle.dumps(trap, protocol=2))),
        ("new.pth", lambda trap, path: path.write_bytes(pickle.dumps(trap))),
    ):
        dump(Trap(tmp_path / "sprung"), tmp_path / name)
        with pytest.raises(
            ModelError, match=r"pickled code.*refused.*Try: save the state dict as safetensors"
        ) as raised:
            load_source(tmp_path / name, inputs=EXAMPLE, builder=build)
        assert "weights_only" not in str(raised.value)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(build(), tmp_path / "module.pt")
    with pytest.raises(ModelError, match=r"refused.*Sequential"):
        load_source(tmp_path / "module.pt", inputs=EXAMPLE, builder=build)


@pytest.mark.parametrize(("name", "content"), [("cut.pt", b"PK\x03\x04 cut"), ("empty.pth", b"")])
def test_a_damaged_pickle_is_a_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="not a state dict"):
        load_source(tmp_path / name, inputs=EXAMPLE, builder=build)


def test_a_damaged_safetensors_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"abc")
    with pytest.raises(ModelError, match="not readable as safetensors"):
        load_source(tmp_path / "x.safetensors", inputs=EXAMPLE, builder=build)


def test_a_file_of_something_else_is_a_clear_error(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="holds list, not a map of names to tensors"):
        load_source(tmp_path / "list.pt", inputs=EXAMPLE, builder=build)


def test_keys_that_differ_are_listed(tmp_path: Path) -> None:
    state = build().state_dict()
    state["head.weight"] = state.pop("2.weight")
    path = write(tmp_path / "k.safetensors", state)
    with pytest.raises(ModelError, match=r"1 missing \(2\.weight\) and 1 unexpected \(head\.weight\)"):
        load_source(path, inputs=EXAMPLE, builder=build)


def test_only_the_first_keys_are_listed(tmp_path: Path) -> None:
    state = {f"extra{i}": torch.ones(1) for i in range(9)} | build().state_dict()
    with pytest.raises(ModelError, match=r"9 unexpected \(extra0, extra1, extra2, extra3, extra4, \.\.\.\)"):
        load_source(write(tmp_path / "k.pt", state), inputs=EXAMPLE, builder=build)


def test_shapes_that_differ_are_listed(tmp_path: Path) -> None:
    state = build().state_dict() | {"0.weight": torch.ones(5, 7)}
    path = write(tmp_path / "s.safetensors", state)
    with pytest.raises(ModelError, match=r"0\.weight \[5, 7\] against \[5, 3\]"):
        load_source(path, inputs=EXAMPLE, builder=build)


def test_integer_codes_are_not_taken_for_weights(tmp_path: Path) -> None:
    state = build().state_dict() | {"0.weight": torch.ones(5, 3, dtype=torch.int8)}
    with pytest.raises(ModelError, match=r"integer codes.*0\.weight torch\.int8"):
        load_source(write(tmp_path / "q.pt", state), inputs=EXAMPLE, builder=build)


def test_what_is_missing_or_wrong_in_the_call_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "net.safetensors", build().state_dict())
    with pytest.raises(ModelError, match="builder="):
        load_source(path, inputs=EXAMPLE)
    with pytest.raises(DataError, match="inputs="):
        load_source(path, builder=build)
    with pytest.raises(DataError, match="example inputs are str"):
        load_source(path, inputs="x", builder=build)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="returned type"):
        load_source(path, inputs=EXAMPLE, builder=lambda: nn.Linear)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match=r"builder failed.*ZeroDivisionError"):
        load_source(path, inputs=EXAMPLE, builder=lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match="meta device"):
        load_source(path, inputs=EXAMPLE, builder=lambda: nn.Linear(3, 3, device="meta"))
