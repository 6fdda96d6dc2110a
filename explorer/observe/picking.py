"""Which samples of a stream are looked at in detail, and the runs of neighbours that are kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from explorer.observe.watch import Watched
from explorer.ranges.runs import PER_SAMPLE, SAMPLES, Part, Runs, beside, cut


class Picker:
    """Keeps runs of the values of a few samples: of those with the smallest of all ``digests``, whatever their order.

    Only batches that hold one of them cost anything.
    """

    def __init__(self, digests: Iterable[int]) -> None:
        self._keys = sorted(set(digests))[:SAMPLES]
        self._picked: dict[int, int] = {}
        self._count = 0
        self._found: dict[str, dict[int, Part]] = {}

    def begin(self, digests: Sequence[int]) -> None:
        """Look at the samples of the next batch."""
        self._count = len(digests)
        self._picked = {digest: place for place, digest in enumerate(digests) if digest in self._keys}

    def see(self, watched: Watched, value: Tensor) -> None:
        """Keep runs of a value of the batch that was begun, without the copies that fill it up."""
        axis = watched.batch_axis
        if axis is None:
            self._found[watched.name] = {0: cut(value, 0, SAMPLES * PER_SAMPLE)}
            return
        for digest, place in self._picked.items():
            found = self._found.setdefault(watched.name, {})
            if digest not in found:
                folded = value.shape[axis] // self._count
                found[digest] = cut(value.narrow(axis, place * folded, folded), digest, PER_SAMPLE)

    def read(self, names: Sequence[str]) -> Runs | None:
        """The runs of what these values hold together, each as much; None where they are cut differently."""
        kept = {0, *self._keys}
        found = [{key: part for key, part in self._found.get(name, {}).items() if key in kept} for name in names]
        widths = {part.values.shape[1] for parts in found for part in parts.values()}
        if len(widths) != 1 or any(parts.keys() != found[0].keys() for parts in found):
            return None
        return Runs(tuple(beside([parts[key] for parts in found]) for key in sorted(found[0])))
