"""Runs every benchmark beside this file, one after the other, and prints what each prints.

    make bench                         # all of them
    python benchmarks/run.py whole_platform

A benchmark that fails is said so and does not stop the others; the exit code is then 1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = ("run.py", "figures.py")
LIMIT_SECONDS = 900


def main() -> int:
    """Run the named ones, or all."""
    wanted = sys.argv[1:]
    scripts = [
        file
        for file in sorted(HERE.glob("*.py"))
        if file.name not in HELPERS and (not wanted or file.stem in wanted)
    ]
    if not scripts:
        known = ", ".join(
            file.stem for file in sorted(HERE.glob("*.py")) if file.name not in HELPERS
        )
        print(f"error: there is no such benchmark\nhint: one of {known}", file=sys.stderr)
        return 2
    failed = []
    for script in scripts:
        print(f"\n== {script.stem}", flush=True)
        try:
            done = subprocess.run([sys.executable, script], timeout=LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            failed.append(f"{script.stem} (longer than {LIMIT_SECONDS} s)")
            continue
        if done.returncode != 0:
            failed.append(f"{script.stem} (exit code {done.returncode})")
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
