"""Effect: writes files, prints. Store trained weights with the record of their score, and put it in the model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from explorer.zoo.data import WEIGHTS, Split
from explorer.zoo.train.fit import THREADS, Settings

CARDS = Path(__file__).parents[1] / "cards"
OPEN, CLOSE = "<!-- record: written by the training script -->", "<!-- end of record -->"

STORAGE = {"fp16": torch.float16, "fp32": torch.float32}


def ship(
    name: str,
    module: nn.Module,
    data: Split,
    score: Callable[[nn.Module, Tensor, Tensor], float],
    settings: Settings,
    seconds: float,
    storage: str,
) -> None:
    """Write ``weights/<name>.safetensors``, measure what was written, and record it beside it and in its card.

    The module's own weights are rounded to ``storage`` first, so that the score is that of the shipped weights.
    """
    tensors = {key: _stored(value, storage) for key, value in module.state_dict().items()}
    before = score(module, data.test_x, data.test_y)
    module.load_state_dict(tensors)
    file = WEIGHTS / f"{name}.safetensors"
    save_file(tensors, file)
    record = {
        "name": name,
        "score": round(score(module, data.test_x, data.test_y), 4),
        "score_is": score.__name__,
        "n": len(data.test_x),
        "score_before_rounding": round(before, 4),
        "train_n": len(data.train_x),
        "parameters": sum(p.numel() for p in module.parameters()),
        "storage": storage,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        **asdict(settings),
        "train_seconds": round(seconds, 1),
        "threads": THREADS,
        "torch": torch.__version__,
    }
    (WEIGHTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    card = CARDS / f"{name}.md"
    card.write_text(with_record(card.read_text(), record))
    print(json.dumps(record, indent=2))


def with_record(card: str, record: dict[str, object]) -> str:
    """The card's text with its table of measured facts replaced by ``record``."""
    before, _, rest = card.partition(OPEN)
    _, _, after = rest.partition(CLOSE)
    rows = [f"| {key.replace('_', ' ')} | {value} |" for key, value in record.items()]
    return "\n".join([before + OPEN, "", "| fact | value |", "|---|---|", *rows, "", CLOSE + after])


def _stored(value: Tensor, storage: str) -> Tensor:
    """``value`` as it goes into the file: floats rounded to ``storage``, integers (batch-norm counters) kept."""
    return value.detach().to(STORAGE[storage]).contiguous() if value.is_floating_point() else value.detach().clone()
