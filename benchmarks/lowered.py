"""A session's recipe as a plain call, the way its latency is measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import explorer as px
from explorer.run import Plan, lower


def lowered(session: px.Session, recipe: px.Recipe, *inputs: Any) -> Callable[[], Any]:
    """Return the lowered plan of ``recipe`` on fixed inputs, its weights packed."""
    return _call(session, session.plan_of(recipe), inputs)


def best_fp32(session: px.Session, *inputs: Any) -> Callable[[], Any]:
    """Return best FP32: the lowered plan of the fastest FP32 kernels, as a latency is held against it."""
    return _call(session, vars(session)["_stopwatch"].best_fp32(), inputs)


def _call(session: px.Session, plan: Plan, inputs: tuple[Any, ...]) -> Callable[[], Any]:
    return partial(lower(plan, vars(session)["_kernels"]), *inputs)
