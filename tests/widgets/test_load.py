"""What the load panel takes from a browser: choices, files in pieces, addresses; each read strictly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from explorer.errors import DataError, ModelError
from explorer.limits import MIB, VISITOR, Limits
from widgets.bad_message import BadMessage
from widgets.loading_choice import Choice, check_allowed, choice_of_link, read_choice
from widgets.loading_uploads import Uploads, safe_name

MODELS = ("digits-vit", "adder-gpt")
OWN = Limits()


def said(**fields: object) -> dict[str, Any]:
    return {**Choice("bundled", "digits-vit").as_facts(), **fields}


def test_a_choice_is_read_as_it_was_written() -> None:
    choice = Choice("hub", "org/name", "hf", "main", "", "made", 40, 3, (16,), "", 8)
    assert read_choice(choice.as_facts()) == choice


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "web"},
        {"hub": "hf"},
        {"source": "hub", "hub": "keras"},
        {"samples": -1},
        {"samples": True},
        {"batch": 0},
        {"shape": [3, -1]},
        {"shape": [2] * 9},
        {"shape": ["3"]},
        {"name": 3},
        {"name": "x" * 2000},
        {"name": "a\x00b"},
        {"more": 1},
    ],
)
def test_a_choice_that_no_page_sends_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadMessage):
        read_choice(said(**fields))


@pytest.mark.parametrize(
    ("choice", "limits", "found"),
    [
        (Choice("local", "/etc/passwd"), VISITOR, "reads no files of the machine"),
        (Choice("hub", "gpt2", "hf"), VISITOR, "fetches no models"),
        (Choice("bundled", "../x"), OWN, "no such model"),
        (Choice("hub", "../../x", "hf"), OWN, "no name of a hub's model"),
        (Choice("hub", "local-dir:/etc", "timm"), OWN, "no name of a hub's model"),
        (Choice("hub", "gpt2", "hf", "a b"), OWN, "no revision"),
        (Choice("hub", "", "hf"), OWN, "no name was given"),
        (Choice("local", " "), OWN, "no path was given"),
    ],
)
def test_what_a_kernel_may_not_open_is_refused_in_words(choice: Choice, limits: Limits, found: str) -> None:
    with pytest.raises(ModelError, match=found):
        check_allowed(choice, MODELS, limits)


def test_samples_beyond_the_limit_are_refused() -> None:
    with pytest.raises(DataError, match="10,000 are the most"):
        check_allowed(Choice("bundled", "digits-vit", data="made", samples=10_001), MODELS, VISITOR)


def test_a_server_may_let_visitors_fetch() -> None:
    check_allowed(Choice("hub", "gpt2", "hf"), MODELS, replace(VISITOR, models_from_outside=True))


@pytest.mark.parametrize(
    "choice",
    [
        Choice("bundled", "digits-vit", samples=100, batch=16),
        Choice("bundled", "digits-vit", data="made", samples=7, seed=2, shape=(1, 32, 32)),
        Choice("hub", "org/name", "hf", "v1.0", data="made", samples=64),
    ],
)
def test_an_address_names_what_reproduces_a_choice(choice: Choice) -> None:
    assert choice_of_link(choice.spec or choice.name, choice.inputs) == choice


@pytest.mark.parametrize("inputs", ["made", "made64_shape0x3", "first10; rm", "made64_batch0", "x" * 5000])
def test_inputs_in_an_address_are_read_strictly(inputs: str) -> None:
    assert choice_of_link("digits-vit", inputs) is None


def test_a_file_comes_in_pieces_and_leaves_nothing_behind() -> None:
    uploads = Uploads(replace(OWN, upload_bytes=5))
    begun = uploads.begin("data", "../my data.NPZ", 5)
    assert begun.path.name == "my data.npz"
    uploads.add(begun.number, 0, memoryview(b"abc"))
    with pytest.raises(DataError, match="has not arrived yet"):
        uploads.whole("data", "open it")
    for at, piece in ((0, b"x"), (3, b"toolong"), (3, b"")):
        with pytest.raises(BadMessage):
            uploads.add(begun.number, at, piece)
    uploads.add(begun.number, 3, b"de")
    assert uploads.whole("data", "open it").path.read_bytes() == b"abcde"
    again = uploads.begin("data", "other.npz", 2)
    assert not begun.path.exists()
    with pytest.raises(BadMessage, match="no such upload"):
        uploads.add(begun.number, 0, b"ab")
    uploads.clear()
    assert not again.path.exists()


@pytest.mark.parametrize(
    ("role", "name", "size", "found"),
    [
        ("weights", "model.pt", 10, "of no kind that is taken"),
        ("weights", "x.npz", 10, "it is a .npz file"),
        ("weights", "w.safetensors", 51 * MIB, "50 MiB are the most"),
        ("data", "x.npz", 0, "it is empty"),
    ],
)
def test_a_file_that_is_not_taken_is_refused_before_it_is_sent(role: str, name: str, size: int, found: str) -> None:
    with pytest.raises(DataError, match=found):
        Uploads(VISITOR).begin(role, name, size)


@pytest.mark.parametrize(
    "name", ["../../etc/x.npz", "C:\\x\\y.npz", "..", ".hidden.npz", "a" * 300 + ".npz", "\u202ex.npz"]
)
def test_a_name_is_never_a_path(name: str) -> None:
    made = safe_name(name)
    assert "/" not in made
    assert "\\" not in made
    assert not made.startswith(".")
    assert 0 < len(made) <= 90
