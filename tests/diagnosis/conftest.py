"""What is found in the planted models: each is opened and diagnosed once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import pytest

from explorer.diagnosis import Evidence, Finding, gather, judge
from explorer.kernels import KERNELS, choose
from explorer.precision import PRECISIONS
from tests.diagnosis.planted import NARROW, NARROW_KERNEL, Case, open_model

Diagnose = Callable[[Case], tuple[Finding, ...]]


@contextmanager
def with_narrow_precision() -> Iterator[None]:
    """A precision that adds up in BF16, among the explorer's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRECISIONS, NARROW.name, NARROW)
        patch.setattr("explorer.run.choosing.choose", partial(choose, table=(*KERNELS, NARROW_KERNEL)))
        yield


@pytest.fixture(scope="session", autouse=True)
def narrow_precision() -> Iterator[None]:
    with with_narrow_precision():
        yield


@cache
def gather_case(case: Case) -> Evidence:
    session = open_model(case.model)
    return gather(session.subject, case.recipe(session), session.range_set())


@pytest.fixture(scope="session")
def diagnose() -> Diagnose:
    """Finds what is wrong with a case."""
    return lambda case: judge(gather_case(case))
