"""Runs a file of tests in a network and mount namespace of its own (with ``/run`` empty), and tells
how each of its tests ended.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

SCRIPT = 'mount -t tmpfs none /run && ip link set lo up && exec "$@"'


def names(file: Path) -> list[str]:
    """The tests in ``file``."""
    return [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def run(file: Path, report: Path) -> dict[str, list[str]]:
    """The failures of each test in ``file``; a test that was skipped counts as failed."""
    enclosed = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "-"]
    words = [sys.executable, "-m", "pytest", str(file), "--tb=short", f"--junitxml={report}"]
    if os.environ.get("CI"):  # once more here: outside, only the report would be read again
        words += ["--reruns", "1"]
    done = subprocess.run([*enclosed, *words], capture_output=True, text=True, timeout=400)
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failures = found.setdefault(case.attrib["name"].split("[")[0], [])
        for kind in ("failure", "error", "skipped"):
            failures += [f"{case.attrib['name']}: {e.text}" for e in case.iter(kind)]
    return found
