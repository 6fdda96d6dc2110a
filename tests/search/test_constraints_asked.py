"""Constraints of another shape are refused in words where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.errors import RecipeError
from explorer.search import Constraints

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"at_least": ["int8"]}, r"at_least=\['int8'\]: .* is a list\. Try: a dict: at_least=\{'kind:linear': 'int8'\}"),
    ({"at_least": "int8"}, "'int8' is a str"),
    ({"at_least": {"*": ["int8"]}}, r"\['int8'\] is a list"),
    ({"locked": {"head/linear"}}, "is a set"),
    ({"locked": {"head/linear": 8}}, "8 is a int"),
    ({"allowed": ["int8"]}, r"allowed=\{'kind:linear': \('int8', 'bf16'\)\}"),
    ({"allowed": {"*": 8}}, "8 is a int"),
    ({"tied": 2}, "it is a int"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_constraints_of_another_shape_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Constraints(**given)


def test_what_they_may_hold_is_taken() -> None:
    given: dict[str, Any] = {"locked": {"a": "int8"}, "allowed": {"b": "bf16", "c": ["int8"]}, "at_least": {"*": "w8"}}
    found = Constraints(**given, tied=(("a", "b"),))
    assert (found.locked, found.allowed, found.at_least) == (given["locked"], given["allowed"], given["at_least"])
