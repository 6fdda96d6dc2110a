"""Every kernel compiles for GPUs that are not here, and uses their tensor cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.kernels.triton.shared_counters import WORDS

SCRIPT = Path(__file__).with_name("compile_ahead.py")
PRODUCTS = {"_int8_kernel", "_fp8_kernel", "_int4_weight_kernel", "_int8_weight_kernel"}
OTHERS = {"_quantize_kernel", "_static_kernel", "_activate_kernel", "count_narrow_kernel", "count_wide_kernel"}
EXACT = {"_quantize_kernel", "_static_kernel", "count_wide_kernel"}
MOST_SHARED = {80: 163 << 10, 90: 227 << 10}
"""Bytes of shared memory that a block may take there."""


def compile_for(capability: int, root: Path) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(root)
    command = [sys.executable, str(SCRIPT), str(capability)]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU compiles them in every other test")
@pytest.mark.parametrize("capability", [80, 90])
def test_every_kernel_compiles(capability: int, root: Path) -> None:
    lines = compile_for(capability, root)
    missing = set() if capability >= 89 else {"_fp8_kernel"}
    assert {line["kernel"] for line in lines} == (PRODUCTS | OTHERS) - missing
    for line in lines:
        assert line["binary_bytes"] > 1000 and line["shared_bytes"] <= MOST_SHARED[capability], line
        if line["kernel"] in PRODUCTS:
            assert line["wgmma" if capability >= 90 else "mma"], line
        if line["kernel"].startswith("count"):
            assert line["shared_bytes"] + 4 * WORDS <= 48 << 10, "more must be asked for, which Triton does not know"
        is_relu = (line["kernel"], line["activation"]) == ("_int8_kernel", "relu")
        if is_relu or line["kernel"] in EXACT:
            assert line["rounds_each_step"], "what is equal to torch bit for bit must not be fused or flushed"
