"""Write ``apiserver/printing/columns.json.gz``: the columns that ``kubectl get`` shows of kinds.

Columns (names, types, priorities, descriptions) are code in kube-apiserver, so they are asked of a
real one: ``scripts/peers`` builds it into the cache. Cells are our own business
(``apiserver/printing``).

    python scripts/generate_columns.py            # starts a kube-apiserver on loopback
    python scripts/generate_columns.py --check    # fails when the committed file differs
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.peers.cluster import ADMIN, MASTERS, Cluster  # noqa: E402
from tests.peers.real import real_cluster  # noqa: E402

from cloudwright.model.resources import BUILT_IN  # noqa: E402

TARGET = ROOT / "src/cloudwright/apiserver/printing/columns.json.gz"
OURS = {"platform.example.com", "cloudwright.dev"}
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


def columns(cluster: Cluster) -> dict[str, Any]:
    """``group/Kind`` → ``[[name, type, format, priority, description], …]``."""
    context = cluster.context(ADMIN, (MASTERS,))
    found: dict[str, Any] = {}
    for resource in BUILT_IN:
        if resource.group in OURS:
            continue
        url = cluster.url + resource.path("default" if resource.namespaced else "")
        request = urllib.request.Request(f"{url}?limit=1", headers={"Accept": TABLE})
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            table = json.load(answer)
        keys = ("name", "type", "format", "priority", "description")
        rows = [[column[key] for key in keys] for column in table["columnDefinitions"]]
        found[f"{resource.group}/{resource.kind}"] = rows
    return found


def main() -> int:
    """Write the file, or compare it with ``--check``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, real_cluster(Path(directory)) as cluster:
        found = columns(cluster)
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    stale = not TARGET.exists() or gzip.decompress(TARGET.read_bytes()) != text
    if stale and not arguments.check:
        TARGET.write_bytes(gzip.compress(text, 9, mtime=0))
    print("columns:", "up to date" if not stale else "stale" if arguments.check else "written")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
