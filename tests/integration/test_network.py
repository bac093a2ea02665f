"""The tests of ``network_inside.py``, each told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import enclosed

INSIDE = Path(__file__).with_name("network_inside.py")
Results = dict[str, list[str]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return enclosed.run(INSIDE, tmp_path_factory.mktemp("inside") / "report.xml")


@pytest.mark.root
@pytest.mark.netns
@pytest.mark.parametrize("name", enclosed.names(INSIDE))
def test_network(name: str, results: Results) -> None:
    assert name in results
    assert results[name] == [], "\n".join(results[name])
