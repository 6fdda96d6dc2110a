"""The bundled data: split, scale, alignment, determinism."""

import subprocess
import sys

import torch

from explorer.zoo.data import IGNORE, SUM_LENGTH, VOCABULARY, decode, digits, sums


def test_digits_have_the_promised_shapes_and_scale() -> None:
    data = digits()
    assert data.train_x.shape == (1400, 1, 32, 32)
    assert data.test_x.shape == (397, 1, 32, 32)
    assert data.train_x.dtype == torch.float32
    assert data.train_y.dtype == torch.int64
    assert abs(data.train_x.mean().item()) < 1e-3
    assert abs(data.train_x.std().item() - 1) < 1e-3


def test_digits_are_split_by_label_in_proportion() -> None:
    data = digits()
    share = data.test_y.bincount(minlength=10) / (data.test_y.bincount() + data.train_y.bincount(minlength=10))
    assert (share - 397 / 1797).abs().max() < 0.01


def test_digits_parts_share_no_image() -> None:
    data = digits()
    train = {image.numpy().tobytes() for image in data.train_x}
    assert not any(image.numpy().tobytes() in train for image in data.test_x)


def test_digits_are_the_same_every_time() -> None:
    assert torch.equal(digits().test_x, digits().test_x)


def test_sums_are_right_and_decode() -> None:
    data = sums(train=300, test=200)
    for ids in torch.cat([data.train_x, data.test_x]):
        text = decode(ids)
        assert len(text) == 12
        question, answer = text.split("=")
        a, b = question.split("+")
        assert (len(a), len(b), len(answer)) == (3, 3, 4)
        assert int(a) + int(b) == int(answer)


def test_labels_are_the_next_character_at_the_answer_only() -> None:
    data = sums(train=10, test=50)
    x, y = data.test_x, data.test_y
    assert x.shape == y.shape == (50, SUM_LENGTH)
    scored = y != IGNORE
    assert scored.sum(1).eq(4).all()
    assert not scored[:, -1].any()
    assert torch.equal(y[:, :-1][scored[:, :-1]], x[:, 1:][scored[:, :-1]])
    assert all(VOCABULARY[i] == "=" for i in x[:, scored[0].int().argmax()].tolist())


def test_sums_parts_are_disjoint_and_the_test_part_is_fixed() -> None:
    data = sums()
    train = {decode(ids) for ids in data.train_x}
    test = {decode(ids) for ids in data.test_x}
    assert len(train) == len(data.train_x) == 40_000
    assert len(test) == 512
    assert not train & test
    assert torch.equal(sums(train=0).test_x, data.test_x)
    assert not torch.equal(sums(train=0, seed=1).test_x, data.test_x)
    assert decode(data.test_x[0]) == "157+105=0262"


def test_neither_scikit_learn_nor_transformers_is_imported_by_the_digits() -> None:
    code = (
        "import sys; from explorer.zoo.bundled import load_bundled; load_bundled('digits-cnn');"
        "sys.exit(any(m in sys.modules for m in ('sklearn', 'transformers', 'torchvision')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
