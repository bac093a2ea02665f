"""Runs ``network_inside.py`` in a network and mount namespace of its own, and tells how each of its
tests ended.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

INSIDE = Path(__file__).with_name("network_inside.py")
SCRIPT = 'mount -t tmpfs none /run && ip link set lo up && exec "$@"'
TESTS = [
    node.name
    for node in ast.parse(INSIDE.read_text()).body
    if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The failures of each inner test; a test that was skipped counts as failed."""
    report = tmp_path_factory.mktemp("inside") / "report.xml"
    enclosed = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "-"]
    words = [sys.executable, "-m", "pytest", str(INSIDE), "--tb=short", f"--junitxml={report}"]
    done = subprocess.run([*enclosed, *words], capture_output=True, text=True, timeout=200)
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failures = found.setdefault(case.attrib["name"].split("[")[0], [])
        for kind in ("failure", "error", "skipped"):
            failures += [f"{case.attrib['name']}: {e.text}" for e in case.iter(kind)]
    return found


@pytest.mark.root
@pytest.mark.netns
@pytest.mark.parametrize("name", TESTS)
def test_network(name: str, results: dict[str, list[str]]) -> None:
    assert name in results
    assert results[name] == [], "\n".join(results[name])
