"""`python -m benchmarks [PART ...]`: every measurement, each in a process of its own, then the report."""

from __future__ import annotations

import sys

from benchmarks.children import own_store, run
from benchmarks.record import RUN

PARTS = (
    "speed", "overhead", "formats", "ranges", "replaying", "sweeping", "mapping", "capturing", "page",
    "large_page", "strips",
    "kernels", "models", "repeatability", "agreement", "searching", "modelopt", "serving",
    "malformed", "report",
)  # fmt: skip
MOST_SECONDS = 3600.0


def main() -> int:
    """Run the parts one after another (or those named on the command line); a part that fails ends no other."""
    with own_store():
        failed = [part for part in sys.argv[1:] or PARTS if not run(part, seconds=MOST_SECONDS)]
    print(f"benchmarks of {RUN}: {'failed: ' + ', '.join(failed) if failed else 'all parts ran'}", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
