"""The tests of ``mesh_inside.py``: pod network, mesh control and the real proxies together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError
from cloudwright._base.paths import native_binary
from tests.integration import enclosed

INSIDE = Path(__file__).with_name("mesh_inside.py")
Results = dict[str, list[str]]


def missing() -> str:
    """Why the proxies cannot run here; empty when they can."""
    try:
        words = [str(native_binary()), "sidecar", "--bootstrap", "/nowhere", "--validate"]
    except CloudwrightError as error:
        return error.message
    said = subprocess.run(words, capture_output=True, text=True, timeout=20).stderr
    return "the native binary has no proxy" if "not built yet" in said else ""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    if why := missing():
        pytest.skip(why)
    return enclosed.run(INSIDE, tmp_path_factory.mktemp("inside") / "report.xml")


@pytest.mark.root
@pytest.mark.netns
@pytest.mark.parametrize("name", enclosed.names(INSIDE))
def test_mesh(name: str, results: Results) -> None:
    assert name in results
    assert results[name] == [], "\n".join(results[name])
