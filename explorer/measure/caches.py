"""The device's caches: how large they are, and a call that empties them. (Effect: /sys, the driver, memory traffic.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer.measure.device import Device

FEWEST_BYTES, MOST_BYTES = 32 << 20, 512 << 20
_CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def last_level_bytes(device: Device) -> int:
    """Return the size of the last cache before memory; 32 MiB where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties().L2_cache_size)
    return max((_size_of(index) for index in _CPU_CACHES.glob("index*")), default=0) or FEWEST_BYTES


def _size_of(index: Path) -> int:
    try:
        text = (index / "size").read_text().strip()
        return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)
    except (OSError, ValueError, IndexError):
        return 0


def emptier(device: Device) -> Callable[[], Any]:
    """Return a call that fills the caches of ``device`` with other data: it writes a buffer of the last level's size
    (32 to 512 MiB), so that the next call reads its weights and inputs from memory."""
    size = min(max(last_level_bytes(device), FEWEST_BYTES), MOST_BYTES)
    buffer = torch.zeros(size // 4, device=device.type)
    return lambda: buffer.add_(1)
