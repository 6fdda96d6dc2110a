"""Intervals cover what they claim, timing notices a difference and none, and quality is what its parts say."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from explorer.errors import DataError
from explorer.measure import (
    Quality,
    QualityMeter,
    compare,
    find_device,
    find_task,
    mean_ratio_interval,
    paired_interval,
)
from explorer.measure.device import Device

CPU = find_device("cpu")


@pytest.mark.parametrize(("gain", "loss", "n"), [(0.0, 0.01, 400), (0.03, 0.05, 200), (0.1, 0.1, 60)])
def test_paired_interval_covers_the_truth(gain: float, loss: float, n: int) -> None:
    random = np.random.default_rng(7)
    draws = random.choice([1, -1, 0], p=[gain, loss, 1 - gain - loss], size=(800, n))
    covered = [low <= gain - loss <= high for low, high in map(paired_interval, draws)]
    assert np.mean(covered) >= 0.93


def test_paired_interval_never_collapses() -> None:
    low, high = paired_interval(np.zeros(400))
    assert low < 0 < high
    assert paired_interval([]) == (-1, 1)
    assert paired_interval([0.3]) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [3, 8, 50])
def test_interval_of_scores_covers_the_truth(n: int) -> None:
    random = np.random.default_rng(3)
    covered = [low <= 0.2 <= high for low, high in map(paired_interval, random.normal(0.2, 1.0, (1500, n)))]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_interval_of_a_ratio_covers_the_truth_of_skewed_costs() -> None:
    """Nats per token of sentences: log-normal, with as many tokens as chance gives, so that some weigh more."""
    random = np.random.default_rng(5)
    tokens = random.integers(1, 9, (1000, 400))
    sums = tokens * random.lognormal(-0.5, 1.0, (1000, 400))
    covered = [low <= 1.0 <= high for low, high in map(mean_ratio_interval, sums, tokens)]
    assert np.mean(covered) >= 0.92
    assert mean_ratio_interval([0.0, 0.0], [1, 1]) == (0, 0)
    assert mean_ratio_interval([0.1], [1]) == (0, math.inf)
    assert math.isnan(mean_ratio_interval([math.inf, 1.0], [1, 1])[0])


def test_comparison_of_a_call_with_itself_and_with_twice_itself() -> None:
    x = torch.randn(256, 256)

    def once() -> None:
        for _ in range(4):
            x @ x

    def twice() -> None:
        once(), once()

    assert compare(twice, once, CPU, seconds=0.5).speedup > 1.2
    same = compare(once, once, CPU, seconds=0.5)
    assert same.n >= 5
    assert 0.5 < same.speedup < 2


def test_comparison_stops_when_time_is_up() -> None:
    calls: list[float] = []
    compare(lambda: calls.append(time.perf_counter()), lambda: None, CPU, seconds=0.05)
    assert calls[-1] - calls[0] < 2, "from the first call on: before it, another process may be timing"


def test_quality_of_equal_outputs() -> None:
    meter = QualityMeter(find_task("classification"), 4, emulated=False)
    logits = torch.randn(4, 3)
    meter.add(logits, logits.clone(), logits.argmax(-1))
    found = meter.read()
    assert (found.score, found.difference, found.kl, found.agreement, found.sqnr_db) == (1, 0, 0, 1, math.inf)
    assert found.complete


def test_kl_is_that_of_the_definition() -> None:
    meter = QualityMeter(find_task("classification"), 5, emulated=False)
    p, q = torch.randn(5, 7), torch.randn(5, 7)
    meter.add(q, p, torch.zeros(5, dtype=torch.long))
    reference = (p.double().softmax(-1) * (p.double().log_softmax(-1) - q.double().log_softmax(-1))).sum(-1).mean()
    found = meter.read()
    assert found.kl == found.cost == pytest.approx(float(reference), rel=1e-9)
    assert 0 < found.cost_interval[0] < found.kl < found.cost_interval[1]
    assert Quality.from_dict(found.to_dict()).cost_interval == found.cost_interval
    before = {name: value for name, value in found.to_dict().items() if name not in ("squared_error", "cost_interval")}
    assert math.isnan(Quality.from_dict(before).cost_interval[0]), "a trial from before it was kept is read"
    error = (q.double() - p.double()).norm()
    assert meter.read().sqnr_db == pytest.approx(20 * math.log10(float(p.double().norm() / error)))


def test_exact_match_ignores_what_is_not_asked() -> None:
    task = find_task("causal-lm")
    output = torch.nn.functional.one_hot(torch.tensor([[1, 2, 3], [1, 2, 0]]), 5).float()
    assert task.score(output, torch.tensor([[-100, 2, 3], [-100, 2, 3]])).tolist() == [1, 0]


def test_regression_scores_are_higher_for_less_error() -> None:
    task = find_task("regression")
    target = torch.zeros(2, 3)
    assert task.score(torch.ones(2, 3), target).tolist() == [-1, -1]


def test_unknown_tasks_and_devices_are_named() -> None:
    with pytest.raises(DataError, match="one of classification"):
        find_task("cooking")


def test_device_says_what_makes_times_comparable() -> None:
    assert CPU.label.startswith("CPU · ")
    assert Device("cpu", "x", 2, waiting="passive").key != Device("cpu", "x", 2, waiting="default").key
    assert CPU.facts()["torch_version"] == torch.__version__


def test_outputs_that_are_no_logits_have_a_squared_error_in_the_unit_of_the_map() -> None:
    meter = QualityMeter(find_task("regression"), 6, emulated=False)
    wanted, moved = torch.randn(6, 5, 3), torch.randn(6, 5, 3)
    meter.add(moved, wanted, wanted)
    found = meter.read()
    assert math.isnan(found.kl)
    expected = float((moved.double() - wanted.double()).square().sum(-1).mean())
    assert found.cost == pytest.approx(expected, rel=1e-9), "of a position, summed over the last dimension"
    assert found.cost_interval[0] < found.cost < found.cost_interval[1]
    meter.add(torch.full((6, 5, 3), math.inf), wanted, wanted)
    assert (meter.read().cost, meter.read().sqnr_db) == (math.inf, -math.inf), "Inf is a result to show"
