"""What was found out of a recipe besides its numbers, as plain values and back: errors, casts, culprits, findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from explorer.boundaries import Boundaries
from explorer.compare import Birth, Culprits
from explorer.diagnosis import Finding, Remedy
from explorer.errors import BundleError

Entry = Any
"""What JSON holds."""
TABLES = ("regions", "redundant", "removals", "reformats")


@dataclass(frozen=True, eq=False)
class RecordedCulprits:
    """The samples that moved most, with the inputs of those alone."""

    table: pd.DataFrame
    samples: Mapping[int, tuple[Tensor, ...]]

    def inputs(self, sample: int) -> tuple[Tensor, ...]:
        """Return the model's inputs of one sample of the table."""
        if sample not in self.samples:
            raise BundleError(f"show sample {sample}", "its inputs were not recorded", "a sample of the table")
        return self.samples[sample]


@dataclass(frozen=True)
class Codec:
    """How an answer becomes plain values, and an equal answer again."""

    pack: Callable[[Any], Entry]
    unpack: Callable[[Entry], Any]


def pack_table(table: pd.DataFrame) -> Entry:
    """A table with its index, column types and plain cells; tuples in cells become lists."""
    index = [None, None] if isinstance(table.index, pd.RangeIndex) else [table.index.name, list(table.index)]
    return {
        "index": index,
        "columns": {str(name): str(kind) for name, kind in table.dtypes.items()},
        "rows": [[_plain(each) for each in row] for row in table.itertuples(index=False, name=None)],
    }


def unpack_table(entry: Entry) -> pd.DataFrame:
    """The table of an entry; where cells were tuples, they are again."""
    name, index = entry["index"]
    rows = [[_tuples(each) for each in row] for row in entry["rows"]]
    found = pd.DataFrame(rows, columns=list(entry["columns"]), dtype=object)
    found = found.astype({column: kind for column, kind in entry["columns"].items() if kind != "object"})
    return found if index is None else found.set_axis(pd.Index(index, name=name, dtype=object))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _unpack_findings(entry: Entry) -> tuple[Finding, ...]:
    return tuple(Finding(**{**each, "remedies": tuple(map(_remedy, each["remedies"]))}) for each in entry)


def _remedy(entry: Mapping[str, Any]) -> Remedy:
    return Remedy(**{**entry, "ops": tuple(entry["ops"])})


TABLE = Codec(pack_table, unpack_table)
CODECS: Mapping[str, Codec] = {
    "boundaries": Codec(
        lambda found: {name: pack_table(getattr(found, name)) for name in TABLES},
        lambda entry: Boundaries(**{name: unpack_table(entry[name]) for name in TABLES}),
    ),
    "errors": TABLE,
    "compare: local": TABLE,
    "compare: isolated": TABLE,
    "compare: cumulative": TABLE,
    "first_nonfinite": Codec(
        lambda found: None if found is None else asdict(found), lambda entry: None if entry is None else Birth(**entry)
    ),
    "diagnose": Codec(lambda found: [asdict(each) for each in found], _unpack_findings),
}
"""What a session keeps of its own, by the name of the question; culprits besides, whose inputs are arrays."""
CULPRITS = "culprits"


def pack_answers(known: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Entry]]:
    """Question -> recipe hash -> answer, from a session's answers."""
    found: dict[str, dict[str, Entry]] = {}
    for (question, recipe), answer in known.items():
        if question == CULPRITS:
            found.setdefault(question, {})[recipe] = pack_table(answer.table)
        elif question in CODECS:
            found.setdefault(question, {})[recipe] = CODECS[question].pack(answer)
    return found


def pack_samples(known: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """The inputs of all culprits as arrays: ``"<sample>.<input>"``."""
    return {
        f"{sample}.{place}": x.detach().cpu().numpy()
        for (question, _), answer in known.items()
        if question == CULPRITS
        for sample in _samples_of(answer)
        for place, x in enumerate(answer.inputs(sample))
    }


def _samples_of(answer: Culprits | RecordedCulprits) -> list[int]:
    return sorted({int(each) for each in answer.table["sample"]})


def unpack_answers(entries: Mapping[str, Mapping[str, Entry]], arrays: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """(question, recipe hash) -> answer."""
    inputs: dict[int, dict[int, Tensor]] = {}
    for name, array in arrays.items():
        sample, _, place = name.partition(".")
        inputs.setdefault(int(sample), {})[int(place)] = torch.from_numpy(array)
    samples = {sample: tuple(found[place] for place in sorted(found)) for sample, found in inputs.items()}
    found: dict[tuple[str, str], Any] = {}
    for question, by_recipe in entries.items():
        for recipe, entry in by_recipe.items():
            if question == CULPRITS:
                found[question, recipe] = RecordedCulprits(unpack_table(entry), samples)
            else:
                found[question, recipe] = CODECS[question].unpack(entry)
    return found
