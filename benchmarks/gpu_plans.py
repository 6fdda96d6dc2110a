"""Whole lowered plans on this GPU: `python -m benchmarks.gpu_plans RESULTS SECONDS`, see gpu.sh.

The bundled networks and a stack of ViT-B's blocks, all with random weights, which a latency does not depend on; every
recipe as plain calls, as a CUDA graph and through torch.compile, over eager FP32 and over the best FP32 kernels.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

import explorer as px
from explorer.measure import find_device
from explorer.zoo.cnn import DigitsCNN
from explorer.zoo.vit import DigitsViT

PRECISIONS = ("int8", "fp8", "bf16", "int8_static", "fp8_block", "w4", "w8", "tf32")
ENGINES = ("cudagraph", "eager", "compile")
SECONDS = 1.0
"""How long one latency may be measured."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network to plan: its module, its samples [n, ...], the batch that is timed, and where precisions are set."""

    name: str
    module: nn.Module
    samples: Tensor
    batch: int
    where: str = "kind:linear"


class Encoder(nn.Module):
    """Blocks as those of a vision transformer, on tokens [n, tokens, width]."""

    def __init__(self, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.heads = heads
        self.blocks = nn.ModuleList(
            nn.ModuleDict({
                "norm1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width),
                "norm2": nn.LayerNorm(width), "fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width),
            })
            for _ in range(blocks)
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block["proj"](self._attend(block["qkv"](block["norm1"](x))))  # type: ignore[index]
            x = x + block["fc2"](nn.functional.gelu(block["fc1"](block["norm2"](x))))  # type: ignore[index]
        return x

    def _attend(self, qkv: Tensor) -> Tensor:
        n, tokens, width = qkv.shape
        q, k, v = qkv.reshape(n, tokens, 3, self.heads, width // 3 // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return mixed.transpose(1, 2).reshape(n, tokens, width // 3)


def networks(small: bool = False) -> Iterator[Network]:
    """Every network; ``small``: at sizes that a processor can afford."""
    torch.manual_seed(0)
    width, heads, tokens, batch = (128, 4, 17, 2) if small else (768, 12, 197, 8)
    encoder = Encoder(width, heads, blocks=1 if small else 4).eval()
    yield Network("4 blocks of ViT-B", encoder, torch.randn(2 * batch, tokens, width), batch)
    images, batch = torch.randn(64, 1, 32, 32), batch if small else 32
    yield Network("digits-vit", DigitsViT().eval(), images, batch)
    yield Network("digits-cnn", DigitsCNN().eval(), images, batch, "kind:conv2d")


def main() -> int:
    """Time every network, precision and engine until the time is over; return how many failed."""
    results, end = Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
    results.parent.mkdir(parents=True, exist_ok=True)
    facts = {"device": find_device("cuda").facts()}

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)
        with results.open("a") as file:
            file.write(json.dumps({**line, **facts, "when": time.strftime("%Y-%m-%dT%H:%M:%S%z")}) + "\n")

    return time_all("cuda", networks(), tell, lambda: time.monotonic() > end)


def time_all(
    device: str, found: Iterator[Network], tell: Callable[[dict[str, Any]], None], is_over: Callable[[], bool]
) -> int:
    """Tell a line for every engine, network and precision in turn; return how many failed."""
    failed = skipped = 0
    with TemporaryDirectory() as folder:
        sessions = [(network, open_network(network, device, Path(folder))) for network in found]
        for engine, (network, session), precision in product(ENGINES, sessions, PRECISIONS):
            if is_over():
                skipped += 1
                continue
            line = time_one(session, network, precision, engine)
            failed += "wrong" in line
            tell(line)
    if skipped:
        print(f"NOT RUN, as the time was over: {skipped} plans", flush=True)
    return failed


def open_network(network: Network, device: str, folder: Path) -> px.Session:
    """Return a session on a network, its trials kept in ``folder``."""
    return px.open(
        network.module, inputs=network.samples[:2], data=(network.samples, None), task="agreement", device=device,
        name=network.name, batch_size=network.batch, store=folder / f"{network.name}.sqlite",
    )  # fmt: skip


def time_one(
    session: px.Session, network: Network, precision: str, engine: str, seconds: float = SECONDS
) -> dict[str, Any]:
    """The line of one precision under one engine: its latency, or why there is none, or what went wrong."""
    line: dict[str, Any] = {"part": "plan", "name": f"{network.name}, batch {network.batch}, {precision}, {engine}"}
    line |= {"network": network.name, "precision": precision, "engine": engine}
    try:
        session.reset()
        recipe = session.set(network.where, precision)
        kernels = sorted({step.kernel.name for step in session.plan.steps if step.kernel and step.op.kind != "view"})
        if session.plan.emulated:
            return line | {"absent": f"{precision} is emulated here"}
        found = session.latency(recipe, engine=engine, seconds=seconds)
    except px.ExplorerError as error:
        return line | {"absent": str(error)[:300]}
    except Exception as error:
        words = (str(error).splitlines() or [""])[0]
        return line | {"wrong": f"{type(error).__name__}: {words}"[:300]}
    return line | {
        "us": round(1e3 * found.candidate_ms, 2),
        "eager_us": round(1e3 * found.eager_ms, 2),
        "fp32_us": round(1e3 * found.fp32_ms, 2),
        "over_eager": _ratio(found.over_eager),
        "over_fp32": _ratio(found.over_fp32),
        "sum_us": round(float(found.table["time_us"].sum()), 2),
        "rest_us": round(found.rest_us, 2),
        "kernels": kernels,
    }


def _ratio(ratio: Any) -> list[float]:
    return [round(float(part), 4) for part in (ratio.value, ratio.low, ratio.high)]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
