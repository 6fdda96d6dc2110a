"""What the inspector tells of a tensor, of an op and of its error: figures with their words, facts, choices."""

from __future__ import annotations

import math
from typing import Any

from explorer.compare import OutputHistograms
from explorer.ranges import TensorRange
from widgets.charts.channels import OUTLIER, find_outliers
from widgets.inspection import ASSIGNED, Judged, Seen, formats_offered, words_for
from widgets.plain import text
from widgets.plots import short
from widgets.shown import Shown

ORDERS = {"size": "largest first", "place": "in their order"}
POOR_DB = 20.0
"""Below it an error is a tenth of the values or more."""
TELLING = 1e-4
"""A share of the elements from which it is coloured: what is written as "< 0.01 %" is not."""


def figures_of(judged: Judged, samples: int) -> list[dict[str, Any]]:
    """The tensor's numbers with their words: {term, big, sub, kind, tone}."""
    each, band = judged.seen.range.histogram, judged.band
    tones = (
        "bad" if band.sqnr_db < POOR_DB else "",
        "bad" if band.saturated >= TELLING else "",
        "warm" if band.flushed >= TELLING else "",
        "bad" if each.nan + each.inf else "",
    )
    return [
        _figure("SQNR", _sqnr(band.sqnr_db), judged.held.label, "predicted", tones[0]),
        _figure("saturated", _share(band.saturated), _beyond(judged), "predicted", tones[1]),
        _figure("flushed to zero", _share(band.flushed), _below(judged), "predicted", tones[2]),
        _figure("largest magnitude", short(each.absmax), _counted(judged.seen, samples), "measured"),
        _figure("zeros", _share(each.zeros / each.count), _broken(each.nan, each.inf), "measured", tones[3]),
        *_channel_figure(judged.seen.range),
    ]


def _figure(term: str, big: str, sub: str, kind: str, tone: str = "") -> dict[str, Any]:
    return {"term": term, "big": big, "sub": sub, "kind": kind, "tone": tone}


def _counted(seen: Seen, samples: int) -> str:
    words = f"of {seen.range.histogram.count:,} elements"
    return words if seen.port.startswith("weight") else f"{words}, n = {samples:,} samples"


def _channel_figure(found: TensorRange) -> list[dict[str, Any]]:
    if found.channel_absmax is None or len(found.channel_absmax) < 2:
        return []
    count, ratio = int(find_outliers(found.channel_absmax).sum()), found.outlier_ratio
    of = f"of {len(found.channel_absmax):,} channels reach {OUTLIER:g}× the median"
    big = "none" if not count else f"{count:,}"
    most = f"; the largest {short(ratio)}×" if math.isfinite(ratio) else ""
    return [_figure("outlier channels", big, of + most, "measured", "bad" if count else "")]


def _sqnr(sqnr_db: float) -> str:
    if sqnr_db == math.inf:
        return "exact"
    return "overflows" if sqnr_db == -math.inf else f"{sqnr_db:.1f} dB"


def _beyond(judged: Judged) -> str:
    return f"beyond {short(max(judged.held.up.largest, judged.held.down.largest))}{_under(judged)}"


def _below(judged: Judged) -> str:
    low = judged.held.up.low
    return f"below {short(2.0**low)}{_under(judged)}" if math.isfinite(low) else "nothing becomes zero"


def _under(judged: Judged) -> str:
    return " under the largest scale" if judged.held.many else ""


def _broken(nan: int, inf: int) -> str:
    return f"{nan:,} NaN, {inf:,} Inf" if nan or inf else "no NaN, no Inf"


def _share(share: float) -> str:
    """A share in per cent, two digits; what is too little to write is not nothing."""
    if not share:
        return "0 %"
    percent = 100 * share
    if percent >= 9.95:
        return f"{percent:.0f} %" if percent < 99.5 or share == 1 else "> 99 %"
    return f"{percent:.2g} %" if percent >= 0.0095 else "< 0.01 %"


def error_figures(found: OutputHistograms, emulated: bool, samples: int) -> list[dict[str, Any]]:
    """What an op's own error on clean inputs is, with its words."""
    kind, wanted, error = "emulated" if emulated else "measured", found.wanted, found.error
    lost = error.nan + error.inf
    sqnr_db = -math.inf if lost else _ratio_db(wanted.sum_of_squares, error.sum_of_squares)
    exact = error.zeros / max(error.count, 1)
    return [
        _figure("local error", _sqnr(sqnr_db), f"on clean inputs, first {samples:,} samples at most", kind,
                "bad" if sqnr_db < POOR_DB else ""),
        _figure("largest error", short(error.absmax), f"of outputs up to {short(wanted.absmax)}", kind),
        _figure("exact", _share(exact), _broken(error.nan, error.inf), kind, "bad" if lost else ""),
    ]  # fmt: skip


def _ratio_db(signal: float, error: float) -> float:
    return 10 * math.log10(signal / error) if error and signal else math.inf if not error else -math.inf


def facts_of(session: Any, shown: Shown, op: str) -> list[list[str]]:
    """Lines about an op: [what, words, kind]; kind is "emulated" where no kernel of this device does it."""
    row, node, recipe = shown.ops.loc[op], session.subject.graph.by_id[op], shown.recipe
    source = ": ".join(part for part in (node.source, node.source_line.strip()) if part)
    shapes = f"{row['input_shapes']} \N{RIGHTWARDS ARROW} {row['output_shape']}"
    lines: list[tuple[str, Any, str]] = [
        ("precision", f"{recipe[op]}, {recipe.reason(op)}", ""),
        ("kernel", row["kernel"], "emulated" if row["emulated"] else ""),
        ("refusal", row["refusal"], ""),
        ("note", row["note"], ""),
        ("shapes", shapes, ""),
        ("source", source, ""),
    ]
    return [[what, text(words), kind] for what, words, kind in lines if text(words)]


def choices_of(found: list[Seen], seen: Seen) -> dict[str, list[list[str]]]:
    """What there is to choose: [[value, words], ...] of tensor, format and order of channels."""
    formats = {name: words_for(kind) for name, kind in formats_offered().items()}
    return {
        "port": [[each.port, text(each.label, 80)] for each in found],
        "format": [[ASSIGNED, f"as assigned: {words_for(seen.kind)}"], *map(list, formats.items())],
        "order": [list(each) for each in ORDERS.items()],
    }
