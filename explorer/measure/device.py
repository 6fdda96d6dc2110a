"""The device: what it is and which instructions it has. (Effect: reads /proc/cpuinfo and asks the driver.)"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from explorer.errors import ExplorerError

# Instruction sets that decide which low-precision kernels are fast, as /proc/cpuinfo spells them.
_CPU_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
    "bf16": "BF16",
}
_MOST_TELLING = ("AMX-INT8", "AVX512-VNNI", "AVX-VNNI", "I8MM", "DOTPROD", "AVX512", "AVX2")


@dataclass(frozen=True)
class Device:
    """A device as the registry and the trial store see it.

    ``type`` is ``"cpu"`` or ``"cuda"``; ``capability`` the CUDA compute capability, (0, 0) on a CPU; ``threads`` the
    threads that torch uses for one op; ``features`` the instruction sets; ``waiting`` how OpenMP's threads wait for
    each other (``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``), which decides what a busy machine does to times.
    """

    type: str
    name: str
    threads: int
    features: tuple[str, ...] = ()
    capability: tuple[int, int] = (0, 0)
    torch_version: str = torch.__version__
    waiting: str = field(default_factory=lambda: _waiting())

    @property
    def sm(self) -> str:
        return "".join(map(str, self.capability))

    @property
    def label(self) -> str:
        """One line for a person: ``CPU · AVX512-VNNI · 2 threads``."""
        if self.type == "cuda":
            return f"{self.name} · sm_{self.sm}"
        telling = next((f for f in _MOST_TELLING if f in self.features), platform.machine())
        return f"CPU · {telling} · {self.threads} thread{'s' if self.threads != 1 else ''}"

    @property
    def key(self) -> str:
        """What must be equal for two latencies to be comparable."""
        return f"{self.type}|{self.name}|{self.threads}|{self.torch_version}|{self.waiting}"

    def facts(self) -> dict[str, Any]:
        """Everything above as plain values, for provenance."""
        return asdict(self) | {"label": self.label}


def _waiting() -> str:
    set_here = [os.environ[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ]
    return " ".join(set_here).lower() or "default"


def find_device(device: str = "auto") -> Device:
    """Return the device called ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``."""
    if device not in ("auto", "cpu", "cuda"):
        raise ExplorerError(f"use device {device!r}", "there is no such device", "'auto', 'cpu' or 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ExplorerError("use device 'cuda'", "torch finds no CUDA device here", "device='cpu' or 'auto'")
    if device != "cpu" and torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        return Device("cuda", torch.cuda.get_device_name(), torch.get_num_threads(), (), (major, minor))
    name, features = _cpu_facts()
    return Device("cpu", name, torch.get_num_threads(), features)


def _cpu_facts() -> tuple[str, tuple[str, ...]]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine(), ()
    facts: dict[str, str] = {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    found = tuple(word for flag, word in _CPU_FLAGS.items() if flag in flags)
    return facts.get("model name", platform.machine()), found
