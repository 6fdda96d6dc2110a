"""What rules look at is measured right: codes, lengths, births, costs of outputs that are no logits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import explorer as px
from explorer.compare import Extent
from explorer.diagnosis import Held, gather, judge
from explorer.diagnosis.births import REASONS, explain
from explorer.diagnosis.findings import fill, tell_number, tell_share
from explorer.diagnosis.gather import cost_of, thin_out
from explorer.diagnosis.lengths import real_lengths
from explorer.errors import Cancelled
from explorer.formats import Scheme, find_format
from explorer.observe import RangeSet
from explorer.ranges import Histogram, TensorRange, forecast
from explorer.samples import Samples
from tests.diagnosis.planted import open_model


class Flag:
    """A cancel flag that is up."""

    def is_set(self) -> bool:
        return True


class Line(nn.Module):
    """[n, 6] -> [n, 2], a product between two steps that can be asked to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x)
        return out


def open_line(x: Tensor, store: Path, change: float = 1.0) -> px.Session:
    torch.manual_seed(0)
    module = Line().eval()
    with torch.no_grad():
        module.fc.weight[1, 2] *= change
        y = module(torch.nan_to_num(x))
    return px.open(module, x[:2], (x, y), "regression", "cpu", store=store, batch_size=8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "trials.sqlite"


def held(scheme: Scheme, channels: list[float]) -> Held:
    x = torch.tensor(channels).repeat(4, 1)
    histogram = Histogram.of(x)
    known = TensorRange(histogram, np.array(channels, np.float32), -1)
    return Held("input:0", "fc", known, scheme, forecast(histogram, scheme, elements_per_scale=len(channels)))


def test_a_typical_channel_is_left_with_as_many_codes_as_fit_below_it() -> None:
    one = held(Scheme("int8", "token"), [1.0, 1.0, 0.0, 50.8, 1.0])
    assert one.outlier == (3, pytest.approx(50.8))  # the channel that is zero throughout is no typical one
    assert one.typical_codes == pytest.approx(127 / 50.8) and one.all_codes == 127
    static = held(Scheme("uint8", symmetric=False, dynamic=False), [1.0, 1.0, 10.0])
    assert static.typical_codes == pytest.approx(12.75)  # half of 255 codes on each side
    silent = held(Scheme("int8", "token"), [0.0, 0.0])
    assert silent.outlier == (-1, 1.0) and silent.typical_codes == 127


@pytest.mark.parametrize(("ratio", "codes"), [(2.0, 8.0), (1000.0, 8.0), (2.0**17, 448 / 2**17 * 2**9)])
def test_a_float_keeps_its_bits_until_a_channel_is_subnormal(ratio: float, codes: float) -> None:
    found = held(Scheme("fp8_e4m3", "token"), [1.0, 1.0, ratio])
    assert found.typical_codes == pytest.approx(codes, rel=1e-6)
    assert find_format("fp8_e4m3").smallest_positive == 2.0**-9


def test_lengths_are_told_by_masks_by_filling_and_by_empty_vectors() -> None:
    ids = torch.tensor([[4, 2, 9, 0, 0], [3, 3, 0, 0, 0], [5, 6, 7, 8, 0]])
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    def lengths(*inputs: Tensor) -> list[int] | None:
        found = real_lengths(Samples(inputs, None, 2))
        return None if found is None else found.tolist()

    assert lengths(ids, mask) == [2, 3, 5]
    assert lengths(ids) == [3, 2, 4]
    assert lengths((ids > 0).unsqueeze(-1).float() * torch.randn(3, 5, 4)) == [3, 2, 4]
    assert lengths(torch.arange(10).reshape(2, 5)) is None  # nothing repeats at the end
    assert lengths(torch.randn(3, 7)) is None


def test_samples_are_spread_over_the_data_and_end_with_it() -> None:
    subject = open_model("reader").subject
    few = thin_out(subject, 10)
    assert torch.equal(few.samples.inputs[0][0], subject.samples.inputs[0][0])
    assert torch.equal(few.samples.inputs[0][-1], subject.samples.inputs[0][-1])
    assert len(few.samples) == 10 and len(few.samples.targets) == 10
    assert thin_out(subject, 1000) is subject


@pytest.mark.parametrize(
    ("nonfinite", "kl", "relative", "cost"),
    [(1, 0.1, 0.1, math.inf), (0, 0.2, 0.1, 0.2), (0, math.nan, 0.1, 0.01), (0, math.nan, math.nan, 0.0)],
)
def test_a_cost_is_infinite_or_nats_or_relative(nonfinite: int, kl: float, relative: float, cost: float) -> None:
    assert cost_of(nonfinite, kl, relative) == pytest.approx(cost)


def test_outputs_that_are_no_logits_cost_their_relative_squared_error(store: Path) -> None:
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    session = open_line(x, store)
    recipe = session.presets()["fp32"].with_precision(["fc/linear"], "mxfp4", "test")
    evidence = gather(session.subject, recipe, session.range_set())
    assert evidence.unit == "relative squared error"
    sqnr_db = session.evaluate(recipe).sqnr_db
    assert evidence.ops[0].cost == pytest.approx(10 ** (-sqnr_db / 10), rel=1e-3)  # FP64 sums in another order
    (finding,) = judge(evidence)
    assert finding.severity == evidence.ops[0].cost and finding.evidence["unit"] == evidence.unit


def test_nan_in_the_data_is_said_to_be_in_the_data(store: Path) -> None:
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    x[3, 2] = math.nan
    session = open_line(x, store)
    (finding,) = judge(gather(session.subject, session.recipe, session.range_set()))
    assert (finding.rule, finding.op) == ("born-in-model", "fc/linear")
    assert "'x', which it reads, holds them already" in finding.cause


def test_inf_in_a_weight_is_said_to_be_in_the_weight(store: Path) -> None:
    x = torch.rand(16, 6, generator=torch.Generator().manual_seed(1))
    session = open_line(x, store, change=math.inf)
    (finding,) = judge(gather(session.subject, session.recipe, session.range_set()))
    assert "'fc.weight', which it reads, holds them already" in finding.cause


def test_every_reason_of_a_birth_is_a_sentence_with_what_to_do() -> None:
    for kind in (*REASONS, "mul"):
        why, what_to_do = explain(kind, 300.0)
        assert "{" not in why and len(why) > 15 and what_to_do.endswith(".")
    assert "300" in explain("exp", 300.0)[0]


def test_a_diagnosis_of_some_ops_is_that_part_of_the_whole() -> None:
    session = open_model("planted/outlier-channel")
    recipe = session.presets()["int8-dynamic"]
    whole = session.diagnose(recipe)
    assert whole
    calm = next(op for op in recipe.by_op if op != whole[0].op)
    for op in (whole[0].op, calm):
        assert session.diagnose(recipe, ops=[op]) == tuple(each for each in whole if each.op == op), op
    assert session.diagnose(recipe, ops=[]) == ()
    assert session.answers["diagnose", recipe.hash] == whole


def test_gathering_can_be_cancelled_and_reports() -> None:
    session, told = open_model("planted/outlier-channel"), []
    recipe = session.presets()["int8-dynamic"]
    with pytest.raises(Cancelled):
        gather(session.subject, recipe, session.range_set(), Extent(64, cancel=Flag()))
    report = Extent(32, lambda done, total, text: told.append((done, total)))
    gather(session.subject, recipe, session.range_set(), report)
    assert told and all(0 <= done <= total for done, total in told)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"), (65504.0, "65,500"), (3.4e38, "3.4e38"), (2.13e-9, "2.1e-9"), (0.0312, "0.0312"), (-7.0, "-7"),
        (math.inf, "infinity"), (-math.inf, "minus infinity"), (math.nan, "NaN"), (999.6, "1,000"),
    ],
)  # fmt: skip
def test_a_number_is_told_to_three_digits(value: float, words: str) -> None:
    assert tell_number(value) == words


def test_a_share_is_told_in_percent() -> None:
    assert [tell_share(share) for share in (0.0, 5e-5, 0.00049, 0.0128, 0.845, 1.0)] == [
        "none", "under 0.01 %", "0.049 %", "1.3 %", "84 %", "100 %",
    ]  # fmt: skip
    assert fill("{x:n}, {x:%}, {x:i} of {y}", {"x": 0.5, "y": "{x}"}) == "0.5, 50 %, 0 of {x}"


def test_ranges_found_with_slices_serve_who_asks_without(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a language model's page, whose strips come with slices and whose diagnosis needs none."""
    asked: list[tuple[int | None, object]] = []

    def observe_once(subject: object, n: int | None, slices: object, *rest: object) -> RangeSet:
        asked.append((n, slices))
        return RangeSet({}, {}, {"length=short": {}} if slices else {}, n or 16, "model:0")

    session = open_line(torch.ones(16, 6), store)
    monkeypatch.setattr("explorer.observe.observe", observe_once)
    assert session.range_set(8, "length").slices
    assert session.range_set(8).slices == {} and session.range_set(8).samples == 8
    assert session.range_set(4).slices == {}
    assert asked == [(8, "length"), (4, None)]
