"""The measurements of a session in the trial store: under which conditions one answers for another. (Effect: disk.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True, eq=False)
class Trial:
    """A recipe that was measured before under the conditions in use, as the store holds it; read when it is asked for.

    ``found`` holds the newest result of each kind, ``"quality"`` and ``"latency"``; ``hash`` is the recipe's.
    """

    hash: str
    recipe_json: str
    found: Mapping[str, dict[str, Any]]

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self.recipe_json)

    @cached_property
    def quality(self) -> Quality | None:
        """On all samples of the data; None where only its latency was measured."""
        return Quality.from_dict(self.found["quality"]) if "quality" in self.found else None

    @cached_property
    def latency(self) -> Latency | None:
        """Over the eager FP32 baseline; None where only its quality was measured."""
        return Latency.from_dict(self.found["latency"]) if "latency" in self.found else None


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

    def comparable(self, scales: str | None = None) -> tuple[Trial, ...]:
        """Return the recipes whose numbers were found on this data and device as they would be found now, oldest first.

        scales: the fingerprint of the static scales; None leaves recipes with static precisions out.
        """
        wanted = {"quality": self._quality_conditions(len(self.samples)), "latency": self._latency_conditions(EAGER)}
        allowed = set(wanted.items())
        if scales is not None:
            allowed |= {(kind, _under(words, scales)) for kind, words in wanted.items()}
        found: dict[str, dict[str, dict[str, Any]]] = {}
        texts: dict[str, str] = {}
        for row in self.store.newest(self.model, self.samples.fingerprint, self.device.key, allowed):
            found.setdefault(row["recipe"], {})[row["kind"]] = row["result"]
            texts[row["recipe"]] = row["recipe_json"]
        return tuple(Trial(name, texts[name], results) for name, results in found.items())

    def _quality_key(self, recipe: Recipe, n: int) -> TrialKey:
        return self._key("quality", recipe, self._quality_conditions(n))

    def _latency_key(self, recipe: Recipe, against: str) -> TrialKey:
        return self._key("latency", recipe, self._latency_conditions(against))

    def _quality_conditions(self, n: int) -> str:
        return f"n={n}|task={self.task}|batch={self.samples.batch_size}|version={__version__}"

    def _latency_conditions(self, against: str) -> str:
        return f"{against}|{describe_conditions(self.device, self.samples.batch_size)}|version={__version__}"

    def _key(self, kind: str, recipe: Recipe, conditions: str) -> TrialKey:
        if recipe.is_static:
            conditions = _under(conditions, self.scales())
        return TrialKey(kind, recipe.hash, self.samples.fingerprint, self.device.key, conditions)

    def _add(self, key: TrialKey, recipe: Recipe, n: int, result: dict[str, Any]) -> None:
        self.store.add(key, n, result, self.model, recipe.to_json(), self.device.facts())


def _under(conditions: str, scales: str) -> str:
    return f"{conditions}|scales={scales}"
