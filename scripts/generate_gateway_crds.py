#!/usr/bin/env python3
"""Write ``src/cloudwright/model/schema/gateway_api.json.gz`` from the Go module of the Gateway API.

    scripts/generate_gateway_crds.py            # downloads the module
    scripts/generate_gateway_crds.py DIRECTORY  # takes an unpacked module

The file has the CustomResourceDefinitions of the standard channel, as they are published.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

MODULE = "sigs.k8s.io/gateway-api@v1.5.1"
TARGET = Path(__file__).parents[1] / "src/cloudwright/model/schema/gateway_api.json.gz"


def module() -> Path:
    """The directory of the module, downloaded if it is not there yet."""
    found = subprocess.run(
        ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True
    )
    return Path(json.loads(found.stdout)["Dir"])


def definitions(directory: Path) -> list[dict[str, Any]]:
    """The definitions of the standard channel, sorted by name."""
    found = [
        document
        for file in sorted((directory / "config/crd/standard").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document and document["kind"] == "CustomResourceDefinition"
    ]
    for one in found:
        one.pop("status", None)
        one["metadata"].pop("creationTimestamp", None)
    return sorted(found, key=lambda one: str(one["metadata"]["name"]))


def main() -> None:
    """Write the file."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else module()
    found = definitions(directory)
    data = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{TARGET.name}: {len(found)} definitions, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
