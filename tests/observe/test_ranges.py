"""Ranges of a pass over data against NumPy on the tensors themselves, merged over splits, and cut into slices."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explorer.errors import Cancelled, DataError, SelectionError
from explorer.graph import capture, fold_batch_norms, interpret
from explorer.observe import RangeSet, observe, ports, range_table
from explorer.observe.table import kind_of
from explorer.observe.watch import choose_watched
from explorer.ranges import Histogram, forecast, forecast_each
from explorer.samples import Samples

BATCH = 8
SPLITS = [(0, 5), (5, 6), (6, 19)]


class Attention(nn.Module):
    """One linear whose output is divided into queries, keys and values, as the wise and the plain divide it."""

    def __init__(self, unbound: bool) -> None:
        super().__init__()
        self.qkv, self.proj, self.norm = nn.Linear(24, 72), nn.Linear(24, 24), nn.LayerNorm(24)
        self.unbound = unbound
        self.register_buffer("places", torch.linspace(-1, 1, 5 * 24).reshape(5, 24))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        x = self.norm(x) + self.places.sin()
        if self.unbound:
            q, k, v = self.qkv(x).reshape(n, tokens, 3, 2, 12).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (each.view(n, tokens, 2, 12).transpose(1, 2) for each in self.qkv(x).split(24, dim=2))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = torch.relu(self.proj(mixed.transpose(1, 2).reshape(n, tokens, width)))
        return out


class Convolutions(nn.Module):
    """[n, 3, 9, 7] -> [n, 6]: a batch norm that folds away, images of odd sizes, and pieces of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.cat([x[:, :8] * 2.0, x[:, 8:].neg()], dim=1)
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def make_subject(model: nn.Module, x: Tensor, targets: Tensor | None = None) -> Any:
    """What ``observe`` reads of a subject."""
    graph = fold_batch_norms(capture(model.eval(), (x[:2],)))
    return SimpleNamespace(graph=graph, samples=Samples((x,), targets, BATCH))


@pytest.fixture(scope="module", params=["unbound", "split", "convolutions"])
def subject(request: pytest.FixtureRequest) -> Any:
    generator = torch.Generator().manual_seed(2)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        if request.param == "convolutions":
            return make_subject(Convolutions(), torch.randn(19, 3, 9, 7, generator=generator))
        return make_subject(Attention(request.param == "unbound"), torch.randn(19, 5, 24, generator=generator))


@pytest.fixture(scope="module")
def found(subject: Any) -> RangeSet:
    return observe(subject)


@pytest.fixture(scope="module")
def stored(subject: Any) -> dict[str, Tensor]:
    """Every floating value of one run of all samples."""
    values = dict(zip(subject.graph.inputs, subject.samples.inputs, strict=True))
    interpret(subject.graph, subject.samples.inputs, lambda op, output: values.__setitem__(op.name, output))
    return {name: value for name, value in values.items() if isinstance(value, Tensor) and value.is_floating_point()}


def part_of(subject: Any, start: int, stop: int) -> Any:
    samples = subject.samples
    targets = None if samples.targets is None else samples.targets[start:stop]
    part = Samples(tuple(x[start:stop] for x in samples.inputs), targets, samples.batch_size)
    return SimpleNamespace(graph=subject.graph, samples=part)


class TestOnePass:
    def test_every_floating_tensor_is_known(self, subject: Any, found: RangeSet, stored: dict[str, Tensor]) -> None:
        assert set(stored) <= set(found.values)
        for op in subject.graph.rows:
            for port in ports(subject.graph, op.id):
                assert found.of(subject.graph, op.id, port) is not None

    def test_equals_numpy_on_the_stored_tensors(self, found: RangeSet, stored: dict[str, Tensor]) -> None:
        for name, tensor in stored.items():
            values = tensor.double().numpy().ravel()
            histogram = found.values[name].histogram
            assert histogram.count == values.size
            # Batches of another size may round other bits: the stored run is of all samples at once.
            assert histogram.min == pytest.approx(values.min(), rel=1e-5, abs=1e-6)
            assert histogram.max == pytest.approx(values.max(), rel=1e-5, abs=1e-6)
            assert histogram.mean == pytest.approx(values.mean(), rel=1e-4, abs=1e-6)
            assert histogram.std == pytest.approx(values.std(), rel=1e-5)
            assert histogram.zeros == (values == 0).sum()
            for q in (0.001, 0.01, 0.5, 0.99, 0.999):
                # A bin is an eighth of an octave or less; NumPy interpolates between two order statistics.
                low, high = (np.quantile(values, q, method=side) for side in ("lower", "higher"))
                room = max(abs(low), abs(high)) / 8 + 1e-6
                assert low - room <= histogram.quantile(q) <= high + room

    def test_equals_the_batches_counted_one_by_one(self, subject: Any, found: RangeSet) -> None:
        """Exact: the same batches, of which the filling is left out, each tensor copied and counted by torch."""
        wanted: dict[str, Histogram] = {}

        def count(name: str, value: Any, real: int) -> None:
            if isinstance(value, Tensor) and value.is_floating_point() and name in found.values:
                axis = value.shape.index(BATCH) if BATCH in value.shape else None
                if axis is None and name in wanted:
                    return
                value = value if axis is None else value.narrow(axis, 0, real)
                wanted[name] = wanted.get(name, Histogram.empty()).add(value.clone())

        for inputs, real in subject.samples.first(19):
            for name, value in zip(subject.graph.inputs, inputs, strict=True):
                count(name, value, real)
            interpret(subject.graph, inputs, lambda op, output, real=real: count(op.name, output, real))
        for name, histogram in wanted.items():
            assert found.values[name].histogram == histogram, name

    def test_channels(self, subject: Any, found: RangeSet, stored: dict[str, Tensor]) -> None:
        checked = 0
        for op in subject.graph.rows:
            each = found.values[op.name]
            if each.channel_absmax is None:
                continue
            size = stored[op.name].abs()
            if op.kind == "attention":  # [n, heads, tokens, d]: channels are those of the linear that reads it
                size = size.transpose(1, 2).flatten(2)
            axis = each.channel_axis % size.dim()
            wanted = size.amax([a for a in range(size.dim()) if a != axis])
            np.testing.assert_allclose(each.channel_absmax, wanted.numpy(), rtol=1e-5, atol=1e-6)
            assert each.outlier_ratio == pytest.approx(float(wanted.max() / wanted.quantile(0.5)), rel=0.2)
            checked += 1
        assert checked >= 3

    def test_weights(self, subject: Any, found: RangeSet) -> None:
        for name, each in found.weights.items():
            weight = subject.graph.constants[name]
            assert each.histogram == Histogram.of(weight)
            if weight.dim() > 1 and each.channel_axis == 0:
                np.testing.assert_array_equal(each.channel_absmax, weight.abs().flatten(1).amax(1).numpy())

    def test_tensors_of_the_same_elements_are_counted_once(self, subject: Any, found: RangeSet) -> None:
        folded = [op for op in subject.graph.ops if op.folded_into]
        views = [op for op in subject.graph.ops if op.kind in ("reshape", "permute", "transpose")]
        assert folded or views
        for op in (*folded, *views):
            assert found.values[op.name] is found.values[op.args[0].name]

    def test_relus_are_counted_along_with_what_they_read(self, subject: Any) -> None:
        watched = choose_watched(subject.graph).counted
        along = [each.rectified for each in watched.values() if each.rectified]
        assert along == [op.name for op in subject.graph.ops if op.kind == "relu"]
        assert set(along) <= watched.keys()

    def test_the_first_samples_only(self, subject: Any) -> None:
        assert observe(subject, n=5).values.keys() == observe(subject).values.keys()
        assert observe(subject, n=5).fingerprint == observe(part_of(subject, 0, 5)).fingerprint


class TestMerging:
    def test_any_split_is_equal(self, subject: Any, found: RangeSet) -> None:
        parts = [observe(part_of(subject, *each)) for each in SPLITS]
        for order in ((0, 1, 2), (2, 0, 1)):
            merged = parts[order[0]].merge(parts[order[1]]).merge(parts[order[2]])
            assert merged.samples == found.samples == 19
            assert merged.fingerprint == found.fingerprint
            assert merged.weights.keys() == found.weights.keys()
            for name in found.values:
                ours, theirs = merged.values[name], found.values[name]
                # Batches of other sizes may round the last bit otherwise, so elements at the edge of a bin may move.
                assert ours.histogram.count == theirs.histogram.count
                moved = np.abs(ours.histogram.counts - theirs.histogram.counts).sum()
                assert moved <= 1e-3 * theirs.histogram.count
                assert ours.histogram.sum_of_squares == pytest.approx(theirs.histogram.sum_of_squares, rel=1e-6)

    @pytest.mark.parametrize("first", [BATCH, 2 * BATCH, 19, 5])
    def test_continued_is_equal_to_the_bit(self, subject: Any, found: RangeSet, first: int) -> None:
        known = observe(subject, first)
        reports: list[tuple[int, int]] = []
        continued = observe(subject, progress=lambda *report: reports.append(report[:2]), known=known)
        assert (continued.samples, continued.fingerprint) == (found.samples, found.fingerprint)
        assert continued.values == found.values
        assert continued.weights == found.weights
        # Ranges of a part of a batch cannot be continued: that batch runs again, and so do those before it.
        assert [done for done, _ in reports] == [0, 8, 16] if first == 5 else [0, 8, 16][first // BATCH :]

    def test_splits_at_batches_are_equal_to_the_bit(self, subject: Any, found: RangeSet) -> None:
        merged = observe(part_of(subject, 0, BATCH)).merge(observe(part_of(subject, BATCH, 19)))
        for name, each in found.values.items():
            assert merged.values[name] == each
        shared = {id(each) for each in found.values.values()}
        assert len({id(each) for each in merged.values.values()}) == len(shared)

    def test_other_models_are_refused(self, found: RangeSet) -> None:
        other = RangeSet({}, {}, {}, 0, "another:0")
        with pytest.raises(DataError, match="are of models"):
            found.merge(other)

    def test_values_that_no_sample_changes_are_counted_once(self, found: RangeSet) -> None:
        for name in found.fixed:
            twice = found.merge(found)
            assert twice.values[name] is found.values[name]


def test_on_disk_and_between_processes(found: RangeSet, tmp_path: Any) -> None:
    found.save(tmp_path / "ranges.npz")
    for copy in (RangeSet.load(tmp_path / "ranges.npz"), pickle.loads(pickle.dumps(found))):
        assert (copy.samples, copy.fingerprint, copy.fixed) == (found.samples, found.fingerprint, found.fixed)
        assert dict(copy.values) == dict(found.values)
        assert dict(copy.weights) == dict(found.weights)
        assert len({id(each) for each in copy.values.values()}) == len({id(each) for each in found.values.values()})


def test_a_file_of_something_else_is_refused(tmp_path: Any) -> None:
    (tmp_path / "ranges.npz").write_text("nothing of the kind")
    with pytest.raises(DataError, match=r"RangeSet\.save"):
        RangeSet.load(tmp_path / "ranges.npz")


def test_unknown_places_are_refused(subject: Any, found: RangeSet) -> None:
    op = subject.graph.rows[0].id
    for arguments in ((f"{op}?",), (op, "input:9"), (op, "output", "nowhere")):
        with pytest.raises(SelectionError):
            found.of(subject.graph, *arguments)


class TestNotFinite:
    def test_nan_and_inf_are_counted(self) -> None:
        x = torch.linspace(-3, 3, 6 * 4).reshape(6, 4)
        x[0, 1], x[3, 2] = math.nan, -math.inf
        subject = make_subject(nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), x)
        found = observe(subject).values["x" if "x" in subject.graph.inputs else subject.graph.inputs[0]]
        assert (found.histogram.nan, found.histogram.inf, found.histogram.count) == (1, 1, 24)
        np.testing.assert_array_equal(found.channel_absmax, x.nan_to_num(0, 0, 0).abs().amax(0).numpy())


class Tokens(nn.Module):
    """A causal model of tokens: an embedding, an RMS norm in pieces, logits."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(11, 12), nn.Linear(12, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        heads = x.view(*x.shape[:2], 3, 4).transpose(1, 2)
        out: Tensor = self.head(heads.sigmoid().transpose(1, 2).flatten(2))
        return out


@pytest.fixture(scope="module")
def tokens() -> Any:
    generator = torch.Generator().manual_seed(7)
    x = torch.randint(0, 11, (11, 6), generator=generator)
    targets = torch.full((11, 6), -100)
    for sample in range(11):
        targets[sample, 3 : 4 + sample % 3] = 1
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return make_subject(Tokens(), x, targets)


class TestSlices:
    def test_phase(self, tokens: Any) -> None:
        found = observe(tokens, slices="phase")
        asked = int((tokens.samples.targets != -100).sum())
        for name in ("mul", "sigmoid", "linear"):
            whole = found.values[name].histogram
            decode, prefill = (found.slices[label][name].histogram for label in ("decode", "prefill"))
            assert decode.count == whole.count * asked // tokens.samples.targets.numel()
            assert decode.merge(prefill) == whole

    def test_length(self, tokens: Any) -> None:
        found = observe(tokens, slices="length")
        assert set(found.slices) == {"up to 4 tokens", "up to 8 tokens"}
        shorter = found.slices["up to 4 tokens"]["linear"].histogram
        assert shorter.count == sum(sample % 3 == 0 for sample in range(11)) * 6 * 11

    def test_labels_of_samples_and_tokens_under_names(self, tokens: Any) -> None:
        labels = ["odd" if sample % 2 else "even" for sample in range(11)]
        places = [[place // 2 for place in range(6)]] * 11
        found = observe(tokens, slices={"parity": labels, "place": places, "phase": "phase"})
        assert {"parity=odd", "parity=even", "place=0", "place=2", "phase=decode"} <= set(found.slices)
        even = part_of(tokens, 0, 11)
        even.samples = Samples((tokens.samples.inputs[0][::2],), None, BATCH)
        alone = observe(even)
        assert found.slices["parity=even"]["linear"].histogram.count == alone.values["linear"].histogram.count
        assert found.slices["parity=even"]["embedding"] == replace(alone.values["embedding"], runs=None)

    def test_the_table_has_them(self, tokens: Any) -> None:
        table = range_table(tokens.graph, observe(tokens, slices="phase"), formats=())
        assert set(table["slice"]) == {"", "decode", "prefill"}
        assert set(table.loc[table.port.str.startswith("weight:"), "slice"]) == {""}

    @pytest.mark.parametrize(
        ("slices", "words"),
        [("colour", "no slices called"), ([1, 2, 3], "3"), ("phase", "no position's target is -100")],
    )
    def test_what_cannot_be_cut_is_refused(self, tokens: Any, slices: Any, words: str) -> None:
        bare = SimpleNamespace(graph=tokens.graph, samples=Samples(tokens.samples.inputs, None, BATCH))
        with pytest.raises(DataError, match=words):
            observe(bare, slices=slices)


class TestTable:
    def test_rows_and_columns(self, subject: Any, found: RangeSet) -> None:
        table = range_table(subject.graph, found, formats=("fp16", "int8"))
        ops = [op.id for op in subject.graph.rows]
        assert list(dict.fromkeys(table["op"])) == ops
        assert (table.port == "output").sum() == len(ops)
        for column in ("fp16.saturated", "fp16.flushed", "int8.subnormal", "int8.sqnr_db", "p99.9"):
            assert column in table
        linear = table[(table.port == "output") & table.op.str.contains("linear")].iloc[0]
        assert linear["int8.sqnr_db"] < linear["fp16.sqnr_db"]
        assert linear["p1"] <= linear["p50"] <= linear["p99"] <= linear["max"]

    def test_an_input_is_what_its_producer_gave(self, subject: Any, found: RangeSet) -> None:
        table = range_table(subject.graph, found, formats=()).set_index(["op", "port"])
        row = next(op for op in subject.graph.rows if op.refs[0] in subject.graph.producer)
        source = subject.graph.producer[row.refs[0]]
        if source.has_precision:
            left, right = table.loc[(row.id, "input:0")], table.loc[(source.id, "output")]
            assert left.drop("layer").equals(right.drop("layer"))


def test_progress_and_cancelling(tokens: Any) -> None:
    seen: list[tuple[int, int]] = []
    observe(tokens, progress=lambda done, total, text: seen.append((done, total)))
    assert seen == [(0, 11), (8, 11)]
    with pytest.raises(Cancelled):
        observe(tokens, cancel=SimpleNamespace(is_set=lambda: True))


def test_several_forecasts_at_once_are_those_made_alone(found: RangeSet) -> None:
    kinds = [kind_of(name) for name in ("fp16", "fp8_e4m3", "uint8", "int4", "mxfp4")]
    for each in list(found.values.values())[:3]:
        assert forecast_each(each.histogram, kinds) == tuple(forecast(each.histogram, kind) for kind in kinds)
