"""A session's recipe as a plain call, the way its latency is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import explorer as px
from explorer.run import lower


def lowered(session: px.Session, recipe: px.Recipe, *inputs: Any) -> Callable[[], Any]:
    """Return the lowered plan of ``recipe`` on fixed inputs, its weights packed."""
    function = lower(session.plan_of(recipe), vars(session)["_kernels"])
    return lambda: function(*inputs)
