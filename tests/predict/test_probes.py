"""Probes: their mean outer product is the Fisher matrix, exactly."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from explorer.predict.probes import Probes, columns_of, draw_signs, fisher_probe, number, seed_of, walsh


def outer_mean(probes: list[Tensor]) -> Tensor:
    return torch.stack([torch.outer(u, u) for u in probes]).mean(0)


@pytest.mark.parametrize("p", [(0.5, 0.3, 0.15, 0.05), (0.98, 0.01, 0.007, 0.003), (1.0, 0.0, 0.0, 0.0)])
def test_over_all_signs_the_covariance_is_the_fisher_matrix(p: tuple[float, ...]) -> None:
    probabilities = torch.tensor(p, dtype=torch.float64)
    signs = [torch.tensor(z, dtype=torch.float64) for z in product((-1.0, 1.0), repeat=len(p))]
    found = outer_mean([fisher_probe(probabilities, z) for z in signs])
    fisher = torch.diag(probabilities) - torch.outer(probabilities, probabilities)
    torch.testing.assert_close(found, fisher, rtol=0, atol=1e-15)


def test_walsh_functions_times_all_signs_are_all_signs() -> None:
    """So a probe's own distribution does not depend on its number."""
    columns = columns_of(torch.tensor([[0.3, 2.0, -1.0, 0.5]]))[0]
    every = set(product((-1, 1), repeat=4))
    for probe in range(8):
        assert {tuple((torch.tensor(z) * walsh(probe, columns)).tolist()) for z in every} == every


def test_four_probes_of_one_position_have_no_noise_among_the_four_likeliest_classes() -> None:
    logits = torch.tensor([[[0.3, 2.0, -1.0, 0.5], [1.0, 1.5, 0.0, 3.0]]])
    columns, signs = columns_of(logits), draw_signs((1, 2, 4), 5)
    z = torch.stack([(signs * walsh(probe, columns))[0, 1].double() for probe in range(4)])
    assert torch.equal(z.t() @ z, 4 * torch.eye(4, dtype=torch.float64))


def test_neighbouring_positions_do_not_disturb_each_other() -> None:
    """The likeliest classes of any two of four positions in a row multiply to nothing over four probes."""
    columns = columns_of(torch.randn(1, 4, 7, generator=torch.Generator().manual_seed(1)))
    first = torch.stack([columns[0, t][columns[0, t] == t] for t in range(4)]).reshape(-1)  # rank 0, shifted by t
    z = torch.stack([walsh(probe, first).double() for probe in range(4)])
    assert torch.equal(z.t() @ z, 4 * torch.eye(4, dtype=torch.float64))


def test_more_probes_begin_with_the_same_ones_and_filling_has_none() -> None:
    logits = torch.randn(3, 5, 40, generator=torch.Generator().manual_seed(0))
    few, many = (list(Probes(count, True, 7).draw(logits, 2)) for count in (2, 5))
    assert all(torch.equal(a, b) for a, b in zip(few, many, strict=False))
    assert all(not u[2].any() and u[:2].any() for u in many)
    assert torch.allclose(many[3].sum(-1), torch.zeros(3, 5), atol=1e-6)  # a shift of all logits costs nothing


def test_squared_error_is_exact_for_outputs_that_have_columns_of_their_own() -> None:
    """1/2 the mean over probes of (u . d)^2 is the sum of squares of d, for four outputs and four probes."""
    d = torch.tensor([[0.3, -1.0, 2.0, 0.1], [1.0, 1.0, 0.0, -4.0]])
    probes = torch.stack(list(Probes(4, False, 3).draw(torch.zeros(2, 4), 2)))
    found = (probes * d).sum(-1).square().mean(0) / 2
    torch.testing.assert_close(found, d.square().sum(1))
    assert number(torch.zeros(2, 3, 2))[1].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_logits_that_are_not_finite_are_left_out() -> None:
    logits = torch.tensor([[[1.0, float("nan")], [0.5, 0.2]]])
    (u,) = Probes(1, True, 0).draw(logits, 1)
    assert not u[0, 0].any() and u[0, 1].any()


def test_seeds_differ_between_batches_and_data() -> None:
    assert len({seed_of(data, batch) for data in ("a", "b") for batch in range(3)}) == 6
    assert seed_of("a", 1) == seed_of("a", 1)
