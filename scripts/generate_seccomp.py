"""Write ``runtime/seccomp.json`` from the default profile that moby and containerd publish.

Run it to take a newer one: ``python scripts/generate_seccomp.py`` (needs ``go``, for its module
proxy and checksum database). What is kept: the rules of x86-64 and arm64, with the capabilities
that add or remove a rule; what a 4.8 kernel lacks is of no interest any more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODULE = "github.com/moby/profiles/seccomp@v0.3.0"
TARGET = Path(__file__).parent.parent / "src" / "cloudwright" / "runtime" / "seccomp.json"
ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


def main() -> int:
    """Download the module, convert its profile, write it."""
    source = download()
    profile = convert(json.loads((source / "default.json").read_text()))
    TARGET.write_text(json.dumps(profile, indent=1, sort_keys=True) + "\n")
    print(f"{TARGET}: {len(profile['rules'])} rules from {MODULE}")
    return 0


def download() -> Path:
    """The module's directory; Go verifies its checksum against the public database."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            ["go", "mod", "download", "-json", MODULE],
            cwd=empty,
            check=True,
            capture_output=True,
            text=True,
        )
    return Path(json.loads(done.stdout)["Dir"])


def convert(profile: dict[str, Any]) -> dict[str, Any]:
    """Our form: each rule beside the architectures and capabilities it depends on."""
    rules = [rule for rule in map(rule_of, profile["syscalls"]) if rule is not None]
    return {
        "source": MODULE,
        "license": "Apache-2.0",
        "default_action": profile["defaultAction"],
        "default_errno": profile["defaultErrnoRet"],
        "rules": rules,
    }


def rule_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """One rule, or None when it is for other architectures only."""
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    wanted = set(includes.get("arches") or ARCHITECTURES)
    wanted -= set(excludes.get("arches") or ())
    architectures = sorted(ARCHITECTURES[name] for name in wanted & set(ARCHITECTURES))
    if not architectures:
        return None
    syscall: dict[str, Any] = {"names": sorted(entry["names"]), "action": entry["action"]}
    if entry.get("errnoRet") is not None:
        syscall["errnoRet"] = entry["errnoRet"]
    if entry.get("args"):
        syscall["args"] = entry["args"]
    rule: dict[str, Any] = {"syscall": syscall}
    if len(architectures) < len(ARCHITECTURES):
        rule["architectures"] = architectures
    if includes.get("caps"):
        rule["with_capabilities"] = sorted(includes["caps"])
    if excludes.get("caps"):
        rule["without_capabilities"] = sorted(excludes["caps"])
    return rule


if __name__ == "__main__":
    sys.exit(main())
