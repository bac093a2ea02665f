"""``python -m tests.standards.kubernetes [SCENARIO…]``: prints every difference, by room."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.peers.ours import AS_THEIRS, our_server
from tests.peers.real import real_cluster
from tests.standards.kubernetes.accepted import split, stale
from tests.standards.kubernetes.compare import Difference
from tests.standards.kubernetes.run import compare
from tests.standards.kubernetes.scenarios import SCENARIOS


def main() -> int:
    """Run the named scenarios, or all whose name contains a word."""
    words = argparse.ArgumentParser(prog="python -m tests.standards.kubernetes")
    words.add_argument("names", nargs="*", help="parts of scenarios' names; none: all")
    words.add_argument("--all", action="store_true", help="also the accepted differences")
    options = words.parse_args()
    wanted = [
        scenario
        for scenario in SCENARIOS
        if not options.names or any(name in scenario.name for name in options.names)
    ]
    found: list[Difference] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cw-diff-")))
        real = stack.enter_context(real_cluster(directory / "real"))
        ours = stack.enter_context(our_server(directory / "ours", flags=AS_THEIRS))
        for scenario in wanted:
            start = time.monotonic()
            found += compare(scenario, real, ours)
            print(f"{scenario.name}: {time.monotonic() - start:.1f} s", file=sys.stderr)
    refused = found if options.all else split(found)[1]
    by_room = defaultdict(list)
    for difference in refused:
        by_room[difference.room].append(difference)
    for room, all_of_it in sorted(by_room.items()):
        print(f"\n## {room}: {len(all_of_it)}\n")
        for difference in all_of_it:
            print(f"- {difference}")
    print(f"\n{len(refused)} differences in {len(wanted)} scenarios", file=sys.stderr)
    gone = [] if options.names else stale(split(found)[0])
    for pattern in gone:
        print(f"accepted, but it no longer occurs: {pattern}", file=sys.stderr)
    return 1 if refused or gone else 0


if __name__ == "__main__":
    sys.exit(main())
