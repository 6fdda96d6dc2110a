"""A recipe remembers the static scales under which it was stored, and says when others are in use."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from explorer.errors import RecipeError
from explorer.kernels import StaticScale
from explorer.recipe import Calibrated, Recipe, explains_misfit
from explorer.run import Calibration

OPS = ("fc1/linear", "relu", "fc2/linear")
BASE = Recipe.baseline("mlp", "0123", OPS)
STATIC = BASE.with_precision(["fc1/linear"], "int8_static", "user")
SCALES = Calibration({"x": StaticScale(0.5, 3)}, "percentile", 64)
OTHER = Calibration({"x": StaticScale(0.25, 3)}, "percentile", 64)


def test_a_static_recipe_carries_its_calibration_through_json() -> None:
    stored = STATIC.with_calibration(SCALES)
    assert stored.calibration == Calibrated(SCALES.fingerprint, "percentile", 64)
    assert Recipe.from_json(stored.to_json()) == stored
    assert stored.hash == STATIC.hash, "what is computed is named by precisions; scales are kept apart in the store"


def test_other_recipes_carry_none_and_their_text_is_that_of_before() -> None:
    assert BASE.with_calibration(SCALES) == BASE
    assert STATIC.with_calibration(SCALES).with_calibration(None) == STATIC
    assert set(json.loads(STATIC.to_json())) == {"schema", "model", "notes", "ops"}
    assert Recipe.from_json(STATIC.to_json()).calibration is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("percentile", "is not text"),
        ({"fingerprint": 7, "method": "mse", "n": 1}, "is not text"),
        ({"fingerprint": "ab", "n": 1}, "is not text"),
        ({"fingerprint": "ab", "method": "mse", "n": 0}, "number of samples is 0"),
        ({"fingerprint": "ab", "method": "mse", "n": True}, "number of samples is True"),
        ({"fingerprint": "ab", "method": "mse", "n": "64"}, "number of samples is '64'"),
    ],
)
def test_a_malformed_calibration_is_refused(entry: Any, words: str) -> None:
    data = json.loads(STATIC.to_json()) | {"calibration": entry}
    with pytest.raises(RecipeError, match=words):
        Recipe.from_json(json.dumps(data))


def test_a_misfit_is_told_with_what_would_undo_it() -> None:
    stored = STATIC.with_calibration(SCALES)
    assert explains_misfit(stored, SCALES) == ""
    same_words = explains_misfit(stored, OTHER)
    assert SCALES.fingerprint in same_words and OTHER.fingerprint in same_words
    assert "the data (or the device) differ" in same_words
    other_method = explains_misfit(stored, replace(OTHER, method="minmax", n=8))
    assert "minmax of 8 samples" in other_method
    assert "calibrate(method='percentile', n=64)" in other_method


def test_what_rests_on_no_scales_cannot_misfit() -> None:
    assert explains_misfit(STATIC, OTHER) == ""
    assert explains_misfit(replace(BASE, calibration=Calibrated("ab", "mse", 3)), OTHER) == ""
