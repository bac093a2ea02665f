"""Write ``src/cloudwright/apiserver/authz/bootstrap.json.gz``: the roles every cluster has.

The source is the golden data beside kube-apiserver's own policy (Apache-2.0; YAML in the
Kubernetes Go module), so that a new release's roles come by a bump of the version below.

    python scripts/generate_roles.py                 # fetches the module with `go mod download`
    python scripts/generate_roles.py --source DIR    # an unpacked module
    python scripts/generate_roles.py --check         # fails when the committed file differs

The output is reproducible: sorted keys, no time stamp. One list of objects as they are created.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

MODULE = "k8s.io/kubernetes@v1.36.0"
TARGET = Path(__file__).parent.parent / "src/cloudwright/apiserver/authz/bootstrap.json.gz"
FOLDER = "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata"
FILES = (
    "cluster-roles.yaml",
    "controller-roles.yaml",
    "namespace-roles.yaml",
    "cluster-role-bindings.yaml",
    "controller-role-bindings.yaml",
    "namespace-role-bindings.yaml",
)


def source_directory(given: str | None) -> Path:
    """Where the golden files are, fetched when no directory is given."""
    if given:
        return Path(given) / FOLDER
    done = subprocess.run(
        ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True
    )
    return Path(json.loads(done.stdout)["Dir"]) / FOLDER


def objects(directory: Path) -> list[dict[str, Any]]:
    """Every role and binding, without what the server fills in."""
    found = []
    for name in FILES:
        for item in yaml.safe_load((directory / name).read_bytes())["items"]:
            metadata = item["metadata"]
            metadata.pop("creationTimestamp", None)
            if metadata.get("labels"):
                metadata["labels"] = dict(sorted(metadata["labels"].items()))
            found.append(item)
    return found


def main() -> int:
    """Write the file, or compare it with ``--check``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", help="an unpacked k8s.io/kubernetes module")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    content = objects(source_directory(arguments.source))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    old = gzip.decompress(TARGET.read_bytes()).decode() if TARGET.exists() else ""
    if old == text:
        print(f"{MODULE}: {len(content)} objects, up to date")
        return 0
    if not arguments.check:
        TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{MODULE}: {len(content)} objects, {'stale' if arguments.check else 'written'}")
    return 1 if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
