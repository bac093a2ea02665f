"""Write ``src/cloudwright/model/schema/types.json.gz``: Kubernetes' Go types, as far as bytes
depend on them.

Go's struct tags say everything that is needed to read and write an object as Go does, in JSON and
in protobuf: field numbers, JSON names, what is inlined, what is a pointer (and so keeps a zero),
what ``omitempty`` drops and what a value of a wrong type is called.

    python scripts/generate_protobuf.py            # fetches the Go modules by `go mod download`
    python scripts/generate_protobuf.py --check    # fails when the committed file differs

One line a type, sorted by name: ``apps/v1.DeploymentSpec``, a tab, and JSON ``[[number, name,
type, flags, Go type], …]`` in the order of the struct. Types are ``string bool int double
bytes``, a type's name, ``map:TYPE``, ``items:TYPE`` (a message around a list), or one of the
special ones (``quantity time microtime duration intstr raw fields json orbool orarray
orstrings``). A field numbered 0 is in JSON only. Flags: ``i`` inlined, ``r`` a list, ``p`` a
pointer, ``o`` omitempty, ``z`` omitzero.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cloudwright.model.resources import BUILT_IN

VERSION = "v0.36.0"
TARGET = Path(__file__).parent.parent / "src/cloudwright/model/schema/types.json.gz"
META = "meta/v1"
OURS = {"platform.example.com", "cloudwright.dev"}
ELSEWHERE = {
    "apiextensions": ("k8s.io/apiextensions-apiserver", "pkg/apis/apiextensions"),
    "apiregistration": ("k8s.io/kube-aggregator", "pkg/apis/apiregistration"),
}
EXTRA = {
    "core/v1": "Binding",
    "authorization/v1": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview "
    "LocalSubjectAccessReview",
    "authentication/v1": "SelfSubjectReview TokenReview TokenRequest",
    "policy/v1": "Eviction",
    "autoscaling/v1": "Scale",
    META: "DeleteOptions CreateOptions UpdateOptions PatchOptions GetOptions ListOptions Status "
    "WatchEvent PartialObjectMetadata PartialObjectMetadataList",
}
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
EMPTY = re.compile(r"^type (\w+) struct ?\{ ?\}", re.MULTILINE)
ALIAS = re.compile(
    r"^type (\w+) (?!struct|interface|func)((?:map\[\w+\]|\[\])?[\w.]+)", re.MULTILINE
)
GROUPED = re.compile(r"^\t(\w+) ((?:map\[\w+\]|\[\])?[\w.]+)$", re.MULTILINE)
FIELD = re.compile(r"^\t(?:(\w+)[ \t]+)?(\S+)[ \t]+`(.*protobuf:.*)`", re.MULTILINE)
MESSAGE = re.compile(r"^message (\w+) \{", re.MULTILINE)
SCALARS = {"string": "string", "bool": "bool", "float64": "double"}
SCALARS |= dict.fromkeys(("int", "int32", "int64", "uint8", "byte", "uint32"), "int")
SPECIAL = {
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "intstr",
    "metav1.Time": "time",
    "metav1.MicroTime": "microtime",
    "metav1.Duration": "duration",
    "metav1.FieldsV1": "fields",
    "runtime.RawExtension": "raw",
    "runtime.Object": "raw",
    "types.UID": "string",
    "types.NodeName": "string",
    "JSON": "json",
    "JSONSchemaPropsOrBool": "orbool",
    "JSONSchemaPropsOrArray": "orarray",
    "JSONSchemaPropsOrStringArray": "orstrings",
}
OWNERS = {"metav1": META, **dict.fromkeys(("v1", "corev1", "apiv1"), "core/v1")}


def directory_of(package: str) -> Path:
    """Where the sources of ``apps/v1`` are."""
    group, _, version = package.partition("/")
    if group == "meta":
        return module_directory("k8s.io/apimachinery") / "pkg/apis/meta/v1"
    module, path = ELSEWHERE.get(group, ("k8s.io/api", group))
    return module_directory(module) / path / version


def module_directory(module: str) -> Path:
    """Where the Go module is unpacked."""
    command = ["go", "mod", "download", "-json", f"{module}@{VERSION}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


class Source:
    """The structs and named types of the packages that were met so far."""

    def __init__(self) -> None:
        self.structs: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.messages: set[str] = set()
        self._read: set[str] = set()

    def read(self, package: str) -> None:
        """Take in a package's types."""
        if package in self._read:
            return
        self._read.add(package)
        directory = directory_of(package)
        for file in directory.glob("*.go"):
            if file.name.endswith(("_test.go", ".pb.go")) or "generated" in file.name:
                continue
            text = file.read_text()
            for struct, body in STRUCT.findall(text):
                self.structs[f"{package}.{struct}"] = body
            self.structs.update((f"{package}.{name}", "") for name in EMPTY.findall(text))
            for alias, target in ALIAS.findall(text):
                self.aliases[f"{package}.{alias}"] = target
            for block in re.findall(r"^type \((.*?)^\)", text, re.MULTILINE | re.DOTALL):
                for alias, target in GROUPED.findall(block):
                    self.aliases[f"{package}.{alias}"] = target
        proto = (directory / "generated.proto").read_text()
        self.messages |= {f"{package}.{name}" for name in MESSAGE.findall(proto)}

    def type_of(self, go: str, package: str) -> tuple[str, bool]:
        """``(our type, whether it is a list)`` of a Go type used in ``package``."""
        go = go.removeprefix("*")
        if go in ("[]byte", "[]uint8"):
            return "bytes", False
        if go.startswith("[]"):
            return self.type_of(go[2:], package)[0], True
        if go.startswith("map["):
            inner, listed = self.type_of(go.partition("]")[2], package)
            assert not listed, f"{go}: protobuf has no map of lists"
            return f"map:{inner}", False
        if go in SCALARS:
            return SCALARS[go], False
        qualified = go if "." in go or package != META else f"metav1.{go}"
        for name in (qualified, go):
            if name in SPECIAL:
                return SPECIAL[name], False
        full, owner = self.full_name(go, package)
        target = self.aliases.get(full)
        if target is not None:
            inner, listed = self.type_of(target, owner)
            # A named list is a message of its own; a named scalar is just the scalar.
            return (
                (f"items:{inner}", False) if listed and full in self.messages else (inner, listed)
            )
        if full not in self.structs:
            raise SystemExit(f"{go} in {package} is not known")
        return full, False

    def full_name(self, go: str, package: str) -> tuple[str, str]:
        """A Go type's name with its package, and the package, which is read."""
        prefix, _, name = go.rpartition(".")
        owner = OWNERS[prefix] if prefix else package
        self.read(owner)
        return f"{owner}.{name}", owner

    def fields(self, name: str) -> list[list[Any]]:
        """The fields of a struct in its order."""
        package = name.rpartition(".")[0]
        self.read(package)
        found: list[list[Any]] = []
        if re.search(r"^\t(?:metav1\.)?TypeMeta[ \t]", self.structs[name], re.MULTILINE):
            found += [[0, key, "string", "o", "string"] for key in ("kind", "apiVersion")]
        for field, go, tag in FIELD.findall(self.structs[name]):
            number = re.search(r'protobuf:"\w+,(\d+),', tag)
            names = re.search(r'json:"([^"]*)"', tag)
            json_name, *options = (names[1] if names else "").split(",")
            if number is None or json_name == "-":
                continue
            kind, listed = self.type_of(go, package)
            flags = "i" * ("inline" in options or not (json_name or field)) + "r" * listed
            flags += "p" * go.startswith("*")
            flags += "o" * ("omitempty" in options) + "z" * ("omitzero" in options)
            found.append([int(number[1]), json_name, kind, flags, shown(go, package)])
        return found


def shown(go: str, package: str) -> str:
    """A Go type as Go's own messages call it: ``int32``, ``v1.RestartPolicy``."""
    bare = go.lstrip("*[]")
    if bare in SCALARS or bare.startswith("map["):
        return bare if not go.startswith("[]") else go
    prefix, _, name = bare.rpartition(".")
    version = {"metav1": "v1"}.get(prefix, prefix) or package.partition("/")[2]
    return ("[]" if go.startswith("[]") else "") + f"{version}.{name}"


def roots() -> list[str]:
    """The types that requests and answers start from."""
    found = []
    for resource in BUILT_IN:
        if resource.group not in OURS:
            group = resource.group.partition(".")[0] or "core"
            name = f"{group}/{resource.version}.{resource.kind}"
            found += [name, f"{name}List"]
    return found + [f"{p}.{n}" for p, names in EXTRA.items() for n in names.split()]


def generate() -> bytes:
    """Every type that the roots reach."""
    source = Source()
    waiting, found = roots(), {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = source.fields(name)
        for _, _, kind, _, _ in found[name]:
            inner = kind.rpartition(":")[2]
            if "." in inner:
                waiting.append(inner)
            if inner.startswith("or"):
                waiting.append("apiextensions/v1.JSONSchemaProps")
    lines = (
        f"{name}\t{json.dumps(fields, separators=(',', ':'))}\n"
        for name, fields in sorted(found.items())
    )
    return "".join(lines).encode()


def main() -> int:
    """Write the file, or compare it with ``--check``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    text = generate()
    stale = not TARGET.exists() or gzip.decompress(TARGET.read_bytes()) != text
    if stale and not arguments.check:
        TARGET.write_bytes(gzip.compress(text, 9, mtime=0))
    state = "up to date" if not stale else "stale" if arguments.check else "written"
    print(f"k8s.io/api {VERSION}: {state}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
