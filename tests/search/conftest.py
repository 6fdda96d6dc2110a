"""Small problems drawn at random, and a small transformer with a map made up for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from explorer.latency import LatencyTable
from explorer.predict import PredictedMap
from explorer.predict.price import Pricer
from explorer.search import Known
from explorer.search.problem import Joint, Problem, Shared
from explorer.subject import Subject
from tests.compare.conftest import open_subject
from tests.engine.conftest import build_vit, vit_data

NAMES = ("fp32", "int8", "bf16")
SIZES = {"bf16": 3e-3, "int8": 6e-3, "w8": 4e-3}
"""How large the products of a precision are, about."""


def random_problem(seed: int, ops: int = 5) -> Problem:
    """A chain with one residual, casts of which two readers share some, calls that save or cost together, one tie."""
    draw = random.Random(seed)
    names = tuple(f"op{index}" for index in range(ops))
    quality = {op: {name: 0.0 if name == "fp32" else draw.uniform(0.1, 2) for name in NAMES} for op in names}
    spent = {
        op: {name: draw.uniform(2, 3) if name == "fp32" else draw.uniform(0.5, 2.5) for name in NAMES} for op in names
    }
    readers = {index: [index + 1] for index in range(ops - 1)}
    readers[0].append(2)
    shared = [
        Shared(
            draw.uniform(0.2, 1),
            tuple((names[reader], frozenset((name,))) for reader in ends),
            (names[index], frozenset((name,))),
        )
        for index, ends in readers.items()
        for name in NAMES
    ]
    shared.append(Shared(0.3, (None,), (names[-1], frozenset(("fp32", "int8")))))
    pair = ((names[1], frozenset(("int8",))), (names[2], frozenset(("int8", "bf16"))))
    joint = (Joint(-0.4, pair), Joint(0.35, ((names[2], frozenset(("bf16",))), (names[3], frozenset(("bf16",))))))
    ties = ((names[0], names[3]),) if seed % 2 else ()
    return Problem(names, quality, spent, tuple(shared), joint, ties, fixed=1.0)


@dataclass(frozen=True, eq=False)
class Case:
    """A subject, what a search on it starts from, and the session's way to make recipes of it."""

    subject: Subject
    known: Known
    recipe: Callable[..., Any]


def made_up_map(subject: Subject, seed: int = 0) -> PredictedMap:
    """A map of random products: costs differ from op to op, and ops interact a little."""
    draw = np.random.default_rng(seed)
    common = draw.standard_normal((16, 4))
    products = {}
    for op in subject.graph.rows:
        sensitivity = 10 ** draw.uniform(-1, 1)
        for name, size in SIZES.items():
            if subject.planner.option(op.id, name).possible:
                found = size * sensitivity * (draw.standard_normal((16, 4)) + 0.2 * common)
                products[op.id, name] = found.astype(np.float32)
    ops = tuple(op.id for op in subject.graph.rows)
    return PredictedMap(ops, ("fp32", *SIZES), products, {}, {}, {}, frozenset(), 1, "nats", 16, 4, "made up")


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("search")
    subject, recipe = open_subject(build_vit(), *vit_data(16), "classification", folder / "t.sqlite")
    return Case(subject, Known(Pricer(made_up_map(subject)), LatencyTable()), recipe)
