"""The captured graph equals the model, names its ops well, and a model that cannot be captured says why."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from explorer.errors import CaptureError, DataError
from explorer.graph import capture, flatten_inputs, fold_batch_norms, interpret

BATCHES = (2, 5)


@pytest.mark.parametrize("name", ["vit", "cnn", "llama"])
@pytest.mark.parametrize("batch", BATCHES)
def test_graph_output_is_bit_identical_to_eager(name: str, batch: int, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    example = {"vit": (7, 24), "cnn": (3, 9, 7)}.get(name)
    x = torch.randint(0, 17, (batch, 11)) if example is None else torch.randn(batch, *example)
    graph = capture(model, (x[:2],), name=name)
    with torch.no_grad():
        eager = model(x)
    assert torch.equal(interpret(graph, (x,)), eager.logits if name == "llama" else eager)


def test_sequence_length_is_dynamic(llama: nn.Module) -> None:
    graph = capture(llama, (torch.randint(0, 17, (2, 11)),))
    x = torch.randint(0, 17, (3, 6))
    with torch.no_grad():
        assert torch.equal(interpret(graph, (x,)), llama(x).logits)
    assert graph.input_types[0].shape == ("batch", "seq")


def test_batch_of_one_is_repeated_for_the_export(vit: nn.Module) -> None:
    graph = capture(vit, (torch.randn(1, 7, 24),))
    assert interpret(graph, (torch.randn(9, 7, 24),)).shape == (9, 5)


def test_ids_kinds_and_roles(vit: nn.Module) -> None:
    graph = capture(vit, (torch.randn(2, 7, 24),))
    roles = {op.id: op.role for op in graph.rows}
    assert roles["blocks.0.qkv/linear"] == "compute"
    assert roles["blocks.1/attention"] == "compute"
    assert roles["blocks.0.norm1/layer_norm"] == "sensitive"
    assert roles["blocks.0.act/gelu"] == "elementwise"
    assert roles["blocks.0/add"] == roles["blocks.0/add_1"] == "elementwise"
    assert not any("dropout" in op.id or "view" in op.id for op in graph.rows)


def test_folds_group_one_idea(llama: nn.Module) -> None:
    graph = capture(llama, (torch.randint(0, 17, (2, 11)),))
    folds = {op.fold for op in graph.rows if op.fold}
    assert "model.layers.0.input_layernorm/LlamaRMSNorm" in folds
    assert "model.layers.1.self_attn/apply_rotary_pos_emb" in folds
    norm = [op.kind for op in graph.rows if op.fold == "model.norm/LlamaRMSNorm"]
    assert norm == ["pow", "mean", "add", "rsqrt", "mul", "mul"]
    assert all(op.role != "compute" for op in graph.rows if op.fold)


def test_batch_norm_folds_into_its_convolution(cnn: nn.Module) -> None:
    x = torch.randn(4, 3, 9, 7)
    graph = capture(cnn, (x,))
    folded = fold_batch_norms(graph)
    marks = {op.id: op.folded_into for op in folded.ops if op.folded_into}
    assert marks == {"bn1/batch_norm": "stem/conv2d", "bn2/batch_norm": "conv/conv2d"}
    assert "bn1/batch_norm" not in {op.id for op in folded.rows}
    assert "bn1/batch_norm" in {op.id for op in graph.rows}
    torch.testing.assert_close(interpret(folded, (x,)), interpret(graph, (x,)), rtol=1e-5, atol=1e-6)


def test_keyword_inputs(llama: nn.Module) -> None:
    ids = torch.randint(0, 17, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    graph = capture(llama, (), {"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        wanted = llama(input_ids=ids, attention_mask=mask).logits
    assert torch.equal(interpret(graph, flatten_inputs((), {"input_ids": ids, "attention_mask": mask})), wanted)


def test_weights_in_bf16_are_read_as_fp32_and_the_model_stays(vit: nn.Module) -> None:
    model = vit.bfloat16()
    graph = capture(model.float(), (torch.randn(2, 7, 24),))
    assert all(t.dtype == torch.float32 for t in graph.constants.values())


def test_model_is_untouched(cnn: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in cnn.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in cnn.modules()]
    fold_batch_norms(capture(cnn, (torch.randn(2, 3, 9, 7),)))
    assert all(torch.equal(before[name], tensor) for name, tensor in cnn.state_dict().items())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in cnn.modules()]
    assert not cnn.training


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 12) * 2


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)  # type: ignore[operator]
        return x * 2


def test_control_flow_on_data_names_the_line() -> None:
    with pytest.raises(CaptureError, match=r"test_capture\.py:\d+ \(`if x\.sum\(\) > 0:`\)"):
        capture(Branching().eval(), (torch.randn(2, 3),))


@pytest.mark.parametrize(
    ("model", "found"),
    [(FixedBatch(), "batch"), (Random(), "another output"), (Counting(), "buffer 'calls'")],
)
def test_models_that_cannot_be_captured_say_why(model: nn.Module, found: str) -> None:
    with pytest.raises((CaptureError, DataError), match=found):
        capture(model.eval(), (torch.randn(2, 12),))


def test_training_mode_is_refused(vit: nn.Module) -> None:
    with pytest.raises(CaptureError, match=r"training mode.*model\.eval\(\)"):
        capture(vit.train(), (torch.randn(2, 7, 24),))


def test_wrong_input_shape_is_an_error_about_the_inputs(vit: nn.Module) -> None:
    with pytest.raises(DataError, match="does not run on the inputs given"):
        capture(vit, (torch.randn(2, 7, 25),))


def test_fingerprint_follows_weights(vit: nn.Module) -> None:
    x = torch.randn(2, 7, 24)
    first, again = capture(vit, (x,)).fingerprint, capture(vit, (x,)).fingerprint
    with torch.no_grad():
        vit.get_parameter("head.bias")[0] += 1e-3
    assert first == again != capture(vit, (x,)).fingerprint


class Counting(nn.Module):
    """[n, 3, 6, 6] -> [n, 4]: a norm that counts its batches, which the exporter spells as one that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten._native_batch_norm_legit_no_training(
            self.conv(x), self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var, 0.1, 1e-5
        )[0]
        return torch.relu(out).mean((2, 3))


def test_the_result_of_a_folded_norm_is_read_without_a_pick() -> None:
    model, x = Counting().eval(), torch.randn(2, 3, 6, 6)
    model.norm.running_mean.normal_(), model.norm.running_var.uniform_(0.5, 2)
    graph = capture(model, (x,))
    assert "getitem" in {op.kind for op in graph.ops}
    folded = fold_batch_norms(graph)
    assert [op.kind for op in folded.ops] == ["conv2d", "batch_norm", "relu", "mean"]
    torch.testing.assert_close(interpret(folded, (x,)), model(x))
