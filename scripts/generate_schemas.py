"""Write ``src/cloudwright/model/schema/kubernetes.json.gz`` and ``descriptions.json.gz``.

The source is the OpenAPI document that Kubernetes itself publishes in its Go module
(``api/openapi-spec/swagger.json``; Apache-2.0), because it has what strategic merge patches and
``explain`` need and typed client packages leave out: patch strategies and merge keys, list map
keys, formats, enums and descriptions. Meaningful defaults come from the OpenAPI v3 documents
beside it. Structure and descriptions go to two files, so that a server that only validates never
loads the prose. The structure has one line a definition (name, tab, JSON), sorted by name, so that
a reader finds one by bisection without reading the others.

    python scripts/generate_schemas.py                 # fetches the module with `go mod download`
    python scripts/generate_schemas.py --source DIR    # an unpacked module
    python scripts/generate_schemas.py --check         # fails when the committed files differ

The output is reproducible: sorted keys, no time stamp.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudwright.model.resources import BUILT_IN

MODULE = "k8s.io/kubernetes@v1.36.0"
TARGET = Path(__file__).parent.parent / "src/cloudwright/model/schema"
PREFIX = "#/definitions/"
OURS = {"platform.example.com", "cloudwright.dev"}
EXTRA = (
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
)
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
# The schema says `object`, but any value is meant.
ANYTHING = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
)


def source_directory(given: str | None) -> Path:
    """Where the module's ``api/openapi-spec`` is, fetched when no directory is given."""
    if given:
        return Path(given) / "api/openapi-spec"
    done = subprocess.run(
        ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True
    )
    return Path(json.loads(done.stdout)["Dir"]) / "api/openapi-spec"


def references(node: Any) -> Iterator[str]:
    """The definition names that ``node`` points at."""
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(PREFIX)
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def roots(definitions: dict[str, Any]) -> list[str]:
    """The definitions that the served kinds and their subresources start from."""
    by_kind: dict[tuple[str, str, str], str] = {}
    for name, schema in definitions.items():
        kinds = schema.get("x-kubernetes-group-version-kind", ())
        if len(kinds) == 1:
            kind = kinds[0]
            by_kind[kind["group"], kind["version"], kind["kind"]] = name
    served = [r for r in BUILT_IN if r.group not in OURS]
    missing = [r for r in served if (r.group, r.version, r.kind) not in by_kind]
    if missing:
        raise SystemExit(f"the source has no definition of {missing}")
    return [by_kind[r.group, r.version, r.kind] for r in served] + list(EXTRA)


def closure(definitions: dict[str, Any], start: list[str]) -> dict[str, Any]:
    """Every definition reachable from ``start``."""
    reached: dict[str, Any] = {}
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return reached


def add_defaults(chosen: dict[str, Any], directory: Path) -> None:
    """Copy defaults that mean something (not a type's zero value) from the v3 documents."""
    for file in sorted((directory / "v3").glob("*.json")):
        schemas = json.loads(file.read_bytes()).get("components", {}).get("schemas", {})
        for name, schema in schemas.items():
            for field, value in schema.get("properties", {}).items():
                default = value.get("default")
                if default not in (None, {}, [], "", 0, False) and name in chosen:
                    chosen[name]["properties"][field]["default"] = default


def tidy(name: str, schema: dict[str, Any]) -> None:
    """Make the few deviations that validation relies on explicit."""
    if name == QUANTITY:
        schema["format"] = "quantity"
    if name in ANYTHING:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    kinds = schema.get("x-kubernetes-group-version-kind")
    if kinds and len(kinds) > 1:
        schema["x-kubernetes-group-version-kind"] = [
            kind for kind in kinds if (kind["group"], kind["version"]) == ("", "v1")
        ]


def split_prose(name: str, schema: Any, prose: dict[str, str], path: str = "") -> Any:
    """``schema`` without descriptions, which go to ``prose`` under ``name`` and ``name#field``."""
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "description" and isinstance(value, str):
            prose[f"{name}{path}"] = value
        elif key == "properties":
            out[key] = {
                field: split_prose(name, inner, prose, f"{path}#{field}")
                for field, inner in value.items()
            }
        elif key in ("items", "additionalProperties"):
            out[key] = split_prose(name, value, prose, f"{path}@")
        else:
            out[key] = value
    return out


def packed(content: Any) -> bytes:
    """Gzip of compact, sorted JSON, without a time stamp."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return gzip.compress(text.encode(), 9, mtime=0)


def lines(content: dict[str, Any]) -> bytes:
    """Gzip of ``name TAB json`` a line, sorted by name."""
    texts = (
        f"{name}\t{json.dumps(schema, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n"
        for name, schema in sorted(content.items())
    )
    return gzip.compress("".join(texts).encode(), 9, mtime=0)


def generate(directory: Path) -> dict[str, bytes]:
    """The files' contents by name."""
    definitions = json.loads((directory / "swagger.json").read_bytes())["definitions"]
    chosen = closure(definitions, roots(definitions))
    add_defaults(chosen, directory)
    prose: dict[str, str] = {}
    structure: dict[str, Any] = {}
    for name, schema in chosen.items():
        tidy(name, schema)
        structure[name] = split_prose(name, schema, prose)
    return {"kubernetes.json.gz": lines(structure), "descriptions.json.gz": packed(prose)}


def main() -> int:
    """Write the files, or compare them with ``--check``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", help="an unpacked k8s.io/kubernetes module")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    files = generate(source_directory(arguments.source))
    stale = []
    for name, data in files.items():
        path = TARGET / name
        # gzip's bytes depend on the zlib in use; compare what is inside
        old = gzip.decompress(path.read_bytes()) if path.exists() else b""
        if old != gzip.decompress(data):
            stale.append(name)
            if not arguments.check:
                path.write_bytes(data)
    print(f"{MODULE}: {'stale' if arguments.check else 'wrote'} {stale or 'nothing'}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
