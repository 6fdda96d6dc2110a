"""The measurements of a session in the trial store: under which conditions one answers for another. (Effect: disk.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from explorer.latency import Latency, describe_conditions
from explorer.measure import Device, Quality
from explorer.recipe import Recipe
from explorer.samples import Samples
from explorer.trials import TrialKey, TrialStore
from explorer.version import __version__

EAGER, OVER_BEST_FP32 = "over eager FP32", "over best FP32"


def conditions_of(label: str, engine: str, cold: bool) -> str:
    """Return a baseline's label with how the recipe ran, where that was not as plain calls and warm."""
    words = (label, "" if engine == "eager" else f"engine={engine}", "cold" if cold else "")
    return "|".join(word for word in words if word)


@dataclass(frozen=True)
class Known:
    """What the trial store already holds for a recipe on this device: nothing here was measured just now."""

    quality: Quality | None
    latency: Latency | None


@dataclass(frozen=True)
class Ledger:
    """Writes and finds measurements of ``model`` (its fingerprint) on these samples, task and device.

    ``scales()`` is the fingerprint of the static scales in use, on which recipes with static precisions depend.
    """

    store: TrialStore
    model: str
    samples: Samples
    task: str
    device: Device
    scales: Callable[[], str]

    def quality(self, recipe: Recipe, n: int) -> Quality | None:
        """Return the quality of ``recipe`` on the first ``n`` samples, where it was measured."""
        found = self.store.find(self._quality_key(recipe, n))
        return None if found is None else Quality.from_dict(found)

    def latency(self, recipe: Recipe, against: str = EAGER) -> Latency | None:
        """Return the last latency of ``recipe`` against the baseline of this label, where it was measured."""
        found = self.store.find(self._latency_key(recipe, against))
        return None if found is None else Latency.from_dict(found)

    def add_quality(self, recipe: Recipe, n: int, quality: Quality) -> None:
        """Write a quality that was asked for on the first ``n`` samples."""
        self._add(self._quality_key(recipe, n), recipe, quality.n, quality.to_dict())

    def add_latency(self, recipe: Recipe, against: str, latency: Latency) -> None:
        """Write a latency against the baseline of this label."""
        self._add(self._latency_key(recipe, against), recipe, latency.n, latency.to_dict())

    def rows(self) -> list[dict[str, Any]]:
        """Return all trials of the model, on any data and device, oldest first."""
        return self.store.rows(self.model)

    def _quality_key(self, recipe: Recipe, n: int) -> TrialKey:
        return self._key("quality", recipe, f"n={n}|task={self.task}|batch={self.samples.batch_size}")

    def _latency_key(self, recipe: Recipe, against: str) -> TrialKey:
        return self._key("latency", recipe, f"{against}|{describe_conditions(self.device, self.samples.batch_size)}")

    def _key(self, kind: str, recipe: Recipe, conditions: str) -> TrialKey:
        conditions = f"{conditions}|version={__version__}"
        if recipe.is_static:
            conditions = f"{conditions}|scales={self.scales()}"
        return TrialKey(kind, recipe.hash, self.samples.fingerprint, self.device.key, conditions)

    def _add(self, key: TrialKey, recipe: Recipe, n: int, result: dict[str, Any]) -> None:
        self.store.add(key, n, result, self.model, recipe.to_json(), self.device.facts())
