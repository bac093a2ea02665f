"""Write ``store/etcd/pb/etcd_pb2.py``: the messages of etcd's gRPC API that the store uses.

    python scripts/generate_etcd.py            # fetches etcd's Go module by `go mod download`
    python scripts/generate_etcd.py --check    # fails when the committed files differ

Takes etcd's own ``kv.proto`` and ``rpc.proto``, keeps the messages that ``ROOTS`` need, drops
options that only Go and the HTTP gateway know, and puts them into a package of their own, so that
no other etcd client in the same process collides with them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

MODULE = "go.etcd.io/etcd/api/v3@v3.6.16"
TARGET = Path(__file__).parent.parent / "src/cloudwright/apiserver/store/etcd/pb"
ROOTS = [
    "RangeRequest",
    "RangeResponse",
    "PutRequest",
    "TxnRequest",
    "TxnResponse",
    "CompactionRequest",
    "CompactionResponse",
    "WatchRequest",
    "WatchResponse",
    "StatusRequest",
    "StatusResponse",
]
BLOCK = re.compile(r"^(message|enum) (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"//[^\n]*")
OPTION = re.compile(r"^\s*option [^;]*;\n", re.MULTILINE)
FIELD_OPTION = re.compile(r"\s*\[[^\]]*\]")
NAME = re.compile(r"\b[A-Z]\w+\b")


def module_directory() -> Path:
    """Where the Go module lies after downloading it."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["go", "mod", "init", "x"], cwd=scratch, check=True, capture_output=True)
        done = subprocess.run(
            ["go", "mod", "download", "-json", MODULE],
            cwd=scratch, check=True, capture_output=True, text=True,
        )  # fmt: skip
    return Path(json.loads(done.stdout)["Dir"])


def blocks(directory: Path) -> dict[str, str]:
    """Each message and enum by name, without comments and options."""
    found = {}
    for name in ("mvccpb/kv.proto", "etcdserverpb/rpc.proto"):
        text = COMMENT.sub("", (directory / name).read_text())
        for kind, word, body in BLOCK.findall(text):
            body = FIELD_OPTION.sub("", OPTION.sub("", body)).replace("mvccpb.", "")
            lines = [line.rstrip() for line in body.splitlines() if line.strip()]
            found[word] = "\n".join([f"{kind} {word} {{", *lines, "}"])
    return found


def proto(found: dict[str, str]) -> str:
    """One proto file with what ``ROOTS`` need."""
    wanted: set[str] = set()
    todo = list(ROOTS)
    while todo:
        word = todo.pop()
        if word in wanted or word not in found:
            continue
        wanted.add(word)
        todo += NAME.findall(found[word])
    kept = [found[word] for word in sorted(wanted)]
    return "\n\n".join(['syntax = "proto3";\npackage cloudwright.etcd;', *kept]) + "\n"


def generate() -> dict[str, str]:
    """The files to be written, by name."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "etcd.proto"
        source.write_text(proto(blocks(module_directory())))
        include = str(resources.files("grpc_tools") / "_proto")
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{scratch}", f"-I{include}"]
        command += [f"--python_out={scratch}", f"--pyi_out={scratch}", str(source)]
        subprocess.run(command, check=True)
        return {
            name: (Path(scratch) / name).read_text() for name in ("etcd_pb2.py", "etcd_pb2.pyi")
        }


def main() -> int:
    """Write or check."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--check", action="store_true")
    check = words.parse_args().check
    stale = 0
    for name, text in generate().items():
        path = TARGET / name
        if check:
            stale += not path.is_file() or path.read_text() != text
        else:
            path.write_text(text)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
