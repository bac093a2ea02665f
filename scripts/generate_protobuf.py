"""Write ``src/cloudwright/model/schema/protobuf.json.gz``: Kubernetes' protobuf messages.

Current clients send some objects as protobuf and nothing else. Go's struct tags in ``types.go`` say
everything that is needed to read them as the JSON that Go itself would write: field numbers, JSON
names, what is inlined, what is a pointer (and so keeps a zero) and what ``omitempty`` drops.

    python scripts/generate_protobuf.py            # fetches the Go modules by `go mod download`
    python scripts/generate_protobuf.py --check    # fails when the committed file differs

One entry a message: ``{"apps/v1.DeploymentSpec": {"1": [name, type, flags], …}}``. Types are
``string bool int double bytes``, a message's name, ``map:TYPE``, or one of the special ones
(``quantity time microtime intstr raw``); flags: ``i`` inlined, ``r`` repeated, ``z`` keeps zeros.
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

VERSION = "v0.36.0"
TARGET = Path(__file__).parent.parent / "src/cloudwright/model/schema/protobuf.json.gz"
META = "meta/v1"
GROUPS = ("core", "apps", "coordination", "discovery", "events", "authorization")
GROUPS += ("authentication", "policy", "autoscaling", "rbac")
PACKAGES = {f"{name}/v1": ("k8s.io/api", f"{name}/v1") for name in GROUPS}
PACKAGES[META] = ("k8s.io/apimachinery", "pkg/apis/meta/v1")
ROOTS = {
    "core/v1": "Namespace Node Pod Service Endpoints ConfigMap Secret ServiceAccount Event Binding",
    "apps/v1": "Deployment ReplicaSet",
    "coordination/v1": "Lease",
    "discovery/v1": "EndpointSlice",
    "events/v1": "Event",
    "authorization/v1": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview "
    "LocalSubjectAccessReview",
    "authentication/v1": "SelfSubjectReview TokenReview TokenRequest",
    "rbac/v1": "Role ClusterRole RoleBinding ClusterRoleBinding",
    "policy/v1": "Eviction",
    "autoscaling/v1": "Scale",
    META: "DeleteOptions",
}
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
ALIAS = re.compile(r"^type (\w+) ((?:map\[\w+\]|\[\])?[\w.]+)$", re.MULTILINE)
FIELD = re.compile(r"^\t(?:(\w+) )?\s*(\S+) +`(.*protobuf:.*)`", re.MULTILINE)
SCALARS = {"string": "string", "bool": "bool", "float64": "double"}
SCALARS |= dict.fromkeys(("int", "int32", "int64", "uint8", "byte"), "int")
SPECIAL = {
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "intstr",
    "metav1.Time": "time",
    "metav1.MicroTime": "microtime",
    "runtime.RawExtension": "raw",
    "types.UID": "string",
    "types.NodeName": "string",
    "metav1.FieldsV1": "raw",
}


class Source:
    """The structs and named types of all packages."""

    def __init__(self) -> None:
        self.structs: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        for name, (module, path) in PACKAGES.items():
            directory = module_directory(module) / path
            for file in directory.glob("*types.go"):
                text = file.read_text()
                for struct, body in STRUCT.findall(text):
                    self.structs[f"{name}.{struct}"] = body
                for alias, target in ALIAS.findall(text):
                    self.aliases[f"{name}.{alias}"] = target

    def type_of(self, go: str, package: str) -> tuple[str, bool]:
        """``(our type, repeated)`` of a Go type used in ``package``."""
        go = go.removeprefix("*")
        if go == "[]byte":
            return "bytes", False
        if go.startswith("[]"):
            return self.type_of(go[2:], package)[0], True
        if go.startswith("map["):
            return f"map:{self.type_of(go.partition(']')[2], package)[0]}", False
        if go in SCALARS:
            return SCALARS[go], False
        qualified = go if "." in go else f"{'metav1' if package == META else ''}.{go}"
        if qualified in SPECIAL:
            return SPECIAL[qualified], False
        prefix, _, name = go.rpartition(".")
        owner = {"": package, "metav1": META, "v1": "core/v1", "corev1": "core/v1"}.get(prefix)
        full = f"{owner}.{name}"
        if full in self.aliases:
            return self.type_of(self.aliases[full], str(owner))
        if full not in self.structs:
            raise SystemExit(f"{go} in {package} is not known")
        return full, False

    def message(self, name: str) -> dict[str, list[str]]:
        """The fields of a struct by number."""
        package = name.rpartition(".")[0]
        fields: dict[str, list[str]] = {}
        for _, go, tag in FIELD.findall(self.structs[name]):
            number = re.search(r'protobuf:"\w+,(\d+),', tag)
            if number is None:
                continue
            names = re.search(r'json:"([^"]*)"', tag)
            json_name, _, options = (names[1] if names else "").partition(",")
            if json_name == "-":
                continue
            kind, repeated = self.type_of(go, package)
            inlined = "inline" in options
            keeps = go.startswith("*") or "omitempty" not in options
            flags = "i" * inlined + "r" * repeated + "z" * keeps
            fields[number[1]] = [json_name, kind, flags]
        return fields


def module_directory(module: str) -> Path:
    """Where the Go module is unpacked."""
    command = ["go", "mod", "download", "-json", f"{module}@{VERSION}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(json.loads(done.stdout)["Dir"])


def generate() -> dict[str, Any]:
    """Every message that the roots reach."""
    source = Source()
    waiting = [f"{package}.{n}" for package, names in ROOTS.items() for n in names.split()]
    found: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = source.message(name)
        for _, kind, _ in found[name].values():
            inner = kind.removeprefix("map:")
            if "." in inner:
                waiting.append(inner)
    return found


def main() -> int:
    """Write the file, or compare it with ``--check``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    text = json.dumps(generate(), sort_keys=True, separators=(",", ":")).encode()
    stale = not TARGET.exists() or gzip.decompress(TARGET.read_bytes()) != text
    if stale and not arguments.check:
        TARGET.write_bytes(gzip.compress(text, 9, mtime=0))
    state = "up to date" if not stale else "stale" if arguments.check else "written"
    print(f"k8s.io/api {VERSION}: {state}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
