"""A small real model with one outlier channel, for the panels that look at numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import explorer as px
from widgets.state import PageState

FIRST, ACT, LAST = "first/linear", "act/gelu", "last/linear"
OUTLIER = 5
"""The channel of the first linear's output that is far wider than the others."""
SAMPLES = 48


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.last = nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 10)
        with torch.no_grad():
            self.first.weight[OUTLIER] *= 60

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)))


def open_small(store: Path) -> Any:
    """A session on the model, whose data are 48 samples [24]."""
    model, x = Small().eval(), torch.randn(SAMPLES, 24, generator=torch.Generator().manual_seed(1))
    data = (x, model(x).argmax(-1))
    return px.open(model, inputs=x[:8], data=data, task="classification", name="small", batch_size=16, store=store)


def state_on(session: Any) -> PageState:
    """A page's state on the session, which no browser watches: nothing is measured by itself."""
    state = PageState()
    state.adopt(session)
    return state
