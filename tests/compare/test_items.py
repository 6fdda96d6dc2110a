"""Which elements belong to which sample and token, wherever the batch and the tokens are."""

from __future__ import annotations

import pytest
import torch

from explorer.compare.items import Batch, norm_by_item, samples_first, tokens_second
from explorer.graph import Op
from explorer.graph.ir import TensorType

BATCH, TOKENS = 4, 5


def op_with(*shape: int | str) -> Op:
    output = TensorType(shape, torch.float32)
    return Op("op", "op", torch.relu, (), {}, "", "relu", "elementwise", output)


@pytest.mark.parametrize(
    ("shape", "symbols", "at"),
    [
        ((4, 3), ("batch", 3), (2, slice(None))),
        ((3, 4, 7), (3, "batch", 7), (slice(None), 2)),
        ((12, 7), ("3*batch", 7), (slice(6, 9),)),
        ((20, 7), ("batch*seq", 7), (slice(10, 15),)),
    ],
)
def test_a_sample_is_found_wherever_the_batch_is(shape: tuple[int, ...], symbols: tuple, at: tuple) -> None:
    x = torch.randn(shape)
    found = samples_first(x, op_with(*symbols), BATCH)
    assert found is not None
    assert len(found) == BATCH
    assert torch.equal(found[2].flatten(), x[at].flatten())


def test_what_no_sample_changes_has_no_batch() -> None:
    x = torch.randn(5, 7)
    assert samples_first(x, op_with("seq", 7), BATCH) is None
    assert Batch(4, 2).pick(x, op_with("seq", 7)) is x


def test_filling_is_left_out() -> None:
    x = torch.randn(3, 4, 7)
    assert torch.equal(Batch(4, 3).pick(x, op_with(3, "batch", 7)), x[:, :3].movedim(1, 0))


@pytest.mark.parametrize(
    ("shape", "symbols", "at"),
    [
        ((4, 5, 3), ("batch", "seq", 3), (2, 1)),
        ((4, 2, 5, 3), ("batch", 2, "seq", 3), (2, slice(None), 1)),
        ((4, 2, 5, 5), ("batch", 2, "seq", "seq"), (2, slice(None), 1)),
        ((20, 3), ("batch*seq", 3), (11,)),
    ],
)
def test_a_token_is_found_in_the_first_dimension_of_tokens(shape: tuple, symbols: tuple, at: tuple) -> None:
    x = torch.randn(shape)
    found = tokens_second(x, op_with(*symbols), BATCH, TOKENS)
    assert found is not None
    assert found.shape[:2] == (BATCH, TOKENS)
    assert torch.equal(found[2, 1].flatten(), x[at].flatten())
    assert norm_by_item(found, 2)[2, 1] == pytest.approx(float(x[at].norm()))


def test_without_tokens_there_is_no_dimension_of_them() -> None:
    assert tokens_second(torch.randn(4, 5), op_with("batch", 5), BATCH, TOKENS) is None
