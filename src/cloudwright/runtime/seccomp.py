"""The default system call filter: ``seccomp.json`` (written by ``scripts/generate_seccomp.py``)
as the OCI runtime specification wants it, for one architecture and set of capabilities.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def profile(machine: str, capabilities: frozenset[str]) -> dict[str, Any] | None:
    """``linux.seccomp`` for ``machine`` (as ``uname -m`` names it); None when it is not known.

    Only the machine's own architecture is let through: 32-bit calls end the process.
    """
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        return None
    rules = _document()
    syscalls = [
        rule["syscall"]
        for rule in rules["rules"]
        if architecture in rule.get("architectures", (architecture,))
        and capabilities.issuperset(rule.get("with_capabilities", ()))
        and capabilities.isdisjoint(rule.get("without_capabilities", ()))
    ]
    return {
        "defaultAction": rules["default_action"],
        "defaultErrnoRet": rules["default_errno"],
        "architectures": [architecture],
        "syscalls": syscalls,
    }


@cache
def _document() -> dict[str, Any]:
    text = resources.files("cloudwright.runtime").joinpath("seccomp.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document
