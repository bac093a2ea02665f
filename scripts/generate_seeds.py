"""Write ``apiserver/seeds/seeds.json.gz``: what every cluster begins with, as it is stored.

The objects are created by our own API server in an empty store. Run it when they, or the form in
which objects are stored, changed.

    python scripts/generate_seeds.py            # writes the file
    python scripts/generate_seeds.py --check    # fails when the committed file differs
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

import anyio

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver.authz import ChainAuthorizer
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.seeds import seed, wishes
from cloudwright.apiserver.store.sqlite import open_store


async def made() -> bytes:
    """What the file must say, before it is compressed."""
    with tempfile.TemporaryDirectory() as directory:
        config = StoreConfig(Path(directory) / "store.db", synchronous="NORMAL")
        async with open_store(config, SystemClock()) as store:
            return wishes.packed(await wishes.make(ApiCore(store, ChainAuthorizer(store))))


def main() -> int:
    """Write the file, or compare it with ``--check``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    found = anyio.run(made)
    stale = not seed.FILE.exists() or gzip.decompress(seed.FILE.read_bytes()) != found
    if stale and not arguments.check:
        seed.FILE.write_bytes(gzip.compress(found, 9, mtime=0))
    print("seeds:", "up to date" if not stale else "stale" if arguments.check else "written")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
