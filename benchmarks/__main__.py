"""`python -m benchmarks`: every measurement, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PARTS = ("speed", "formats", "replaying", "capturing", "page")


def main() -> int:
    """Run the parts one after another (or those named on the command line); fail if one could not run."""
    parts = sys.argv[1:] or PARTS
    return max(subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], check=False).returncode for part in parts)


if __name__ == "__main__":
    sys.exit(main())
