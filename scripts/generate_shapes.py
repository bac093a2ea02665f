"""Write ``src/cloudwright/model/schema/shapes.json.gz``: how Go writes empty fields.

A typed object of Kubernetes comes back with every field that is no pointer and has no
``omitempty``, and without the empty ones that have it. The OpenAPI documents do not say which is
which, the Go sources of the types do (``k8s.io/api`` and others; Apache-2.0): only this fact about
each field is taken from them.

    python scripts/generate_shapes.py                  # fetches the modules with `go mod download`
    python scripts/generate_shapes.py --check          # fails when the committed file differs

One definition a line: its name, a tab, JSON of field → code. The codes: ``p`` absent when null ·
``c`` absent when null or empty · ``z`` absent when zero · ``s`` a struct, always there · ``t``,
``i``, ``b``, ``q``, ``d`` always there as ``""``, ``0``, ``false``, ``"0"``, ``"0s"`` · ``n``
always there, ``null`` when empty.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "v0.36.0"
MODULES = (
    "k8s.io/api",
    "k8s.io/apimachinery",
    "k8s.io/apiextensions-apiserver",
    "k8s.io/kube-aggregator",
)
TARGET = Path(__file__).parent.parent / "src/cloudwright/model/schema/shapes.json.gz"
PREFIXES = {
    "k8s.io/api/": "io.k8s.api.",
    "k8s.io/apimachinery/pkg/apis/": "io.k8s.apimachinery.pkg.apis.",
    "k8s.io/apiextensions-apiserver/pkg/apis/": "io.k8s.apiextensions-apiserver.pkg.apis.",
    "k8s.io/kube-aggregator/pkg/apis/": "io.k8s.kube-aggregator.pkg.apis.",
}
# Types that write themselves.
SPECIAL = {
    "metav1.Time": "n",
    "metav1.MicroTime": "n",
    "metav1.Duration": "d",
    "Time": "n",
    "MicroTime": "n",
    "resource.Quantity": "q",
    "intstr.IntOrString": "i",
    "runtime.RawExtension": "n",
    "JSON": "n",
}
PRIMITIVE = {"string": "t", "bool": "b"}
NUMBERS = re.compile(r"u?int(8|16|32|64)?|float(32|64)|byte")
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
ALIAS = re.compile(r"^type (\w+) (?!struct|interface)(\S+)", re.M)
FIELD = re.compile(r'^\t(?:(\w+)\s+)?([\w.*\[\]{}]+)\s+`[^`]*json:"([^"]*)"', re.M)
IMPORT = re.compile(r'^\t(?:(\w+) )?"(k8s\.io/[\w./-]+)"', re.M)


@dataclass
class Package:
    """The types of one Go package."""

    structs: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """Name → ``(field, type, json tag)``; embedded fields have no name."""
    aliases: dict[str, str] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)


def module(path: str) -> Path:
    """Where a module's sources are."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{path}@{VERSION}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(done.stdout)["Dir"])


def packages() -> dict[str, Package]:
    """Every package with API types, by import path."""
    found: dict[str, Package] = {}
    for name in MODULES:
        root = module(name)
        for file in sorted(root.rglob("*.go")):
            if file.name.startswith("zz_") or file.name.endswith(("_test.go", ".pb.go")):
                continue
            path = f"{name}/{file.parent.relative_to(root).as_posix()}"
            text = re.sub(r"^\s*//.*\n", "", file.read_text(), flags=re.M)
            package = found.setdefault(path, Package())
            package.aliases.update(ALIAS.findall(text))
            for alias, target in IMPORT.findall(text):
                package.imports[alias or target.rpartition("/")[2]] = target
            for struct, body in STRUCT.findall(text):
                package.structs[struct] = FIELD.findall(body)
    return found


class Shapes:
    """Works the codes out."""

    def __init__(self, found: dict[str, Package]) -> None:
        self._packages = found

    def of(self, path: str, struct: str) -> Iterator[tuple[str, str]]:
        """``(json name, code)`` of every field of a struct, embedded ones included."""
        for name, kind, tag in self._packages[path].structs[struct]:
            label, _, options = tag.partition(",")
            if label == "-":
                continue
            if not label and (not name or "inline" in options):
                where, inner = self._resolve(path, kind.lstrip("*"))
                if inner in self._packages[where].structs:
                    yield from self.of(where, inner)
                continue
            yield label or name, self._code(path, kind, options.split(","))

    def _resolve(self, path: str, kind: str) -> tuple[str, str]:
        head, dot, name = kind.partition(".")
        if not dot:
            return path, kind
        target = self._packages[path].imports.get(head, "")
        return (target if target in self._packages else path), name

    def _code(self, path: str, kind: str, options: list[str]) -> str:
        optional = "omitempty" in options
        if kind.startswith("*"):
            return "p" if optional else "n"
        if kind.startswith(("[]", "map[")):
            return "c" if optional else "n"
        if kind in SPECIAL:
            return "p" if "omitzero" in options else SPECIAL[kind]
        if kind in PRIMITIVE or NUMBERS.fullmatch(kind):
            return "z" if optional else PRIMITIVE.get(kind, "i")
        where, name = self._resolve(path, kind)
        package = self._packages[where]
        if name in package.structs:
            return "c" if "omitzero" in options else "s"
        if name in package.aliases:
            return self._code(where, package.aliases[name], options)
        # A text type of a package that is not read here, such as ``types.UID``.
        return "z" if optional else "t"


def generate() -> bytes:
    """The file's content."""
    found = packages()
    shapes = Shapes(found)
    out: dict[str, dict[str, str]] = {}
    for path, package in found.items():
        for prefix, name in PREFIXES.items():
            if path.startswith(prefix):
                base = name + path.removeprefix(prefix).replace("/", ".")
                for struct in package.structs:
                    fields = dict(shapes.of(path, struct))
                    if fields:
                        out[f"{base}.{struct}"] = fields
    lines = (
        f"{name}\t{json.dumps(fields, sort_keys=True, separators=(',', ':'))}\n"
        for name, fields in sorted(out.items())
    )
    return gzip.compress("".join(lines).encode(), 9, mtime=0)


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when the file differs")
    arguments = parser.parse_args()
    content = generate()
    if arguments.check:
        same = TARGET.exists() and gzip.decompress(TARGET.read_bytes()) == gzip.decompress(content)
        print("up to date" if same else f"{TARGET} differs")
        return 0 if same else 1
    TARGET.write_bytes(content)
    print(f"{TARGET}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
