"""Delayed scaling: scales from earlier steps only, and what a sudden outlier does to that."""

import math

import pytest
import torch

from explorer.errors import PrecisionError
from explorer.formats import FORMATS
from explorer.ranges import DelayedScaling, compare_scaling


def run(amaxes, **parts):
    state = DelayedScaling(**parts)
    scales = [state.scale]
    for amax in amaxes:
        state = state.after(amax)
        scales.append(state.scale)
    return state, scales


@pytest.mark.parametrize("format", ["fp8_e4m3", "fp8_e5m2"])
def test_the_scale_comes_from_earlier_steps(format):
    largest = FORMATS[format].largest
    _, scales = run([448.0, 7.0, 14.0], format=format)
    assert scales == [1.0, 448.0 / largest, 448.0 / largest, 448.0 / largest]
    _, scales = run([448.0, 7.0, 14.0], format=format, algorithm="most_recent")
    assert scales == [1.0, 448.0 / largest, 7.0 / largest, 14.0 / largest]


def test_the_window_forgets():
    state, scales = run([100.0, 1.0, 2.0, 3.0], window=3)
    assert state.history == (1.0, 2.0, 3.0)
    assert [scale * 448 for scale in scales[1:]] == pytest.approx([100.0, 100.0, 100.0, 3.0])


def test_the_margin_leaves_binades_free():
    assert run([10.0], margin=2)[1][1] == 4 * run([10.0])[1][1]


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_step_without_an_amax_keeps_the_scale(bad):
    assert run([8.0, bad], algorithm="most_recent")[1] == [1.0, 8 / 448, 8 / 448]
    assert run([bad])[1] == [1.0, 1.0]


def test_nan_in_the_window_keeps_the_scale_until_it_leaves():
    assert run([8.0, math.nan, 4.0, 4.0, 4.0], window=3)[1][1:] == [8 / 448, 8 / 448, 8 / 448, 8 / 448, 4 / 448]


def test_tiny_and_huge():
    assert run([1e-45])[1][1] == torch.finfo(torch.float32).tiny
    assert run([3e38], margin=20)[1][1] == torch.finfo(torch.float32).max


def test_a_sudden_outlier():
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(64, 32, generator=generator) for _ in range(6)]
    tensors[3] = tensors[3] * 40
    steps = compare_scaling(tensors, DelayedScaling(window=2))
    assert [step.step for step in steps] == list(range(6))
    assert [step.amax for step in steps] == [float(x.abs().max()) for x in tensors]
    # The step itself saturates, though a scale of its own would not have; what follows is rounded too coarsely, as long
    # as the window remembers: E4M3 loses little there, since its precision moves with the value.
    assert steps[3].saturated > 0.5
    assert steps[3].sqnr_db < 5 < 25 < steps[3].current_sqnr_db
    assert steps[4].scale == steps[5].scale == pytest.approx(steps[3].amax / 448)
    assert steps[2].sqnr_db > 25
    assert all(step.current_saturated == 0 for step in steps)


def test_a_margin_saves_a_mild_outlier():
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.randn(2048, generator=generator) for _ in range(3)]
    tensors[2] = tensors[2] * 3
    assert compare_scaling(tensors)[2].saturated > 0
    assert compare_scaling(tensors, DelayedScaling(margin=2))[2].saturated == 0


def test_zeros_and_states_that_go_on():
    steps = compare_scaling([torch.zeros(4)], DelayedScaling(history=(2.0,), scale=0.5))
    assert (steps[0].scale, steps[0].saturated, steps[0].sqnr_db) == (0.5, 0.0, math.inf)
    assert compare_scaling([]) == ()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"format": "int8"}, "it is no FP8 format"),
        ({"format": "e8m0"}, "it is no FP8 format"),
        ({"format": "mxfp8_e4m3"}, "it is no FP8 format"),
        ({"algorithm": "mean"}, "max or most_recent"),
        ({"window": 0}, "1 step or more"),
    ],
)
def test_refusals(parts, message):
    with pytest.raises(PrecisionError, match=message):
        DelayedScaling(**parts)


def test_an_empty_step_is_refused():
    with pytest.raises(PrecisionError, match="step 1"):
        compare_scaling([torch.ones(2), torch.empty(0)])
