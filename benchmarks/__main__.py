"""`python -m benchmarks [PART ...]`: every measurement, each in a process of its own, then the report."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.record import RUN

PARTS = (
    "speed", "overhead", "formats", "replaying", "capturing", "page", "kernels", "models", "repeatability", "report",
)  # fmt: skip
MOST_SECONDS = 1500


def main() -> int:
    """Run the parts one after another (or those named on the command line); a part that fails ends no other."""
    results = {part: _run(part) for part in sys.argv[1:] or PARTS}
    failed = [part for part, worked in results.items() if not worked]
    print(f"benchmarks of {RUN}: {'failed: ' + ', '.join(failed) if failed else 'all parts ran'}", flush=True)
    return int(bool(failed))


def _run(part: str) -> bool:
    start = time.perf_counter()
    try:
        worked = subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], timeout=MOST_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        worked = False
    print(f"{part}: {'done' if worked else 'FAILED'} after {time.perf_counter() - start:.0f} s", flush=True)
    return worked


if __name__ == "__main__":
    sys.exit(main())
