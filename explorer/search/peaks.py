"""The peak of activations as a choice decides it: at each place of the graph, the bytes of what is alive there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from explorer.formats import find_format
from explorer.run import Plan
from explorer.run.memory import lives_of
from explorer.search.flows import Flows, format_of
from explorer.search.problem import Peak, Shared


def find_peaks(plan: Plan, flows: Flows) -> tuple[Peak, ...]:
    """Return the places of ``plan``'s graph where most may be alive, whatever is chosen; their maximum is the peak.

    Values count in the carrier that their maker gives, casts from the first reader that may want one to the last: where
    only some of them do, a little too much. Places whose values are all alive elsewhere too are left out, as are those
    that never hold as much as another at its least.
    """
    lives, places = lives_of(plan), len(plan.steps)
    alive: list[set[str]] = [set() for _ in range(places + 1)]
    for value, (born, dies) in lives.items():
        if value in plan.format_of and not _is_view(plan, value):
            for place in range(max(born, 0), min(dies, places) + 1):
                alive[place].add(value)
    casts = _casts(plan, flows)
    held = [
        frozenset(found) | frozenset(at for at, (_, span) in enumerate(casts) if place in span)
        for place, found in enumerate(alive)
    ]
    kept = [place for place in range(places + 1) if not _covered(place, held)]
    found = [_peak(plan, flows, alive[place], [cast for cast, span in casts if place in span]) for place in kept]
    least = max((peak.bounds()[0] for peak in found), default=0.0)
    return tuple(peak for peak in found if peak.bounds()[1] >= least)


def _covered(place: int, held: Sequence[frozenset[str | int]]) -> bool:
    """Whether another place holds all that this one does; of equal ones the first is kept."""
    return any(held[place] < other or (held[place] == other and at < place) for at, other in enumerate(held))


def _is_view(plan: Plan, value: str) -> bool:
    maker = plan.graph.producer.get(value)
    return maker is not None and maker.role == "view"


def _casts(plan: Plan, flows: Flows) -> list[tuple[Shared, range]]:
    """Each possible cast with its bytes, and the places between its first and its last reader."""
    position_of = {**plan.position_of, "output": len(plan.steps)}
    found = []
    for cast in flows.casts():
        at = [position_of[reader] for reader in cast.readers]
        size = bytes_of(plan, cast.value, cast.carrier)
        found.append((Shared(size, tuple(cast.readers.values()), cast.maker), range(min(at), max(at) + 1)))
    return found


def _peak(plan: Plan, flows: Flows, values: set[str], casts: list[Shared]) -> Peak:
    fixed, alone = 0.0, dict[str, Mapping[str, float]]()
    for value in sorted(values):
        maker = flows.homes.get(value)
        if maker is None:
            fixed += bytes_of(plan, value, plan.format_of[value])
            continue
        carriers = {name: flows.gives.get((maker, name), "") for name in flows.options[maker]}
        alone[maker] = {name: bytes_of(plan, value, carrier) for name, carrier in carriers.items() if carrier}
    return Peak(fixed, alone, tuple(casts))


def bytes_of(plan: Plan, value: str, carrier: str) -> float:
    """Bytes of a value in a carrier, scales not counted."""
    return prod(plan.shapes.get(value, ())) * find_format(format_of(carrier)).storage_bits // 8
