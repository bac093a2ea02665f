"""The tests of ``xds_inside.py``: real Envoys in the mesh, as gateway and as sidecar."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import enclosed
from tests.integration.test_mesh_proxies import missing

INSIDE = Path(__file__).with_name("xds_inside.py")
Results = dict[str, list[str]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    if why := missing():
        pytest.skip(why)
    return enclosed.run(INSIDE, tmp_path_factory.mktemp("inside") / "report.xml")


@pytest.mark.root
@pytest.mark.netns
@pytest.mark.parametrize("name", enclosed.names(INSIDE))
def test_xds_mesh(name: str, results: Results) -> None:
    assert name in results
    assert results[name] == [], "\n".join(results[name])
