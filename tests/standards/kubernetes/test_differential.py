"""The same requests to kube-apiserver and to ours: what differs is listed, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.cluster import Cluster
from tests.peers.ours import AS_THEIRS, our_server
from tests.peers.real import real_cluster
from tests.standards.kubernetes.accepted import Accepted, split, stale
from tests.standards.kubernetes.run import compare
from tests.standards.kubernetes.scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
_used: set[Accepted] = set()
_played: set[str] = set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_servers_answer_alike(
    scenario: Scenario, real: Cluster, ours: Cluster, tmp_path: Path
) -> None:
    used, refused = split(compare(scenario, real, ours))
    if refused:
        # Once more on fresh servers: what a busy machine delayed does not come twice.
        with (
            real_cluster(tmp_path / "real") as theirs,
            our_server(tmp_path / "ours", flags=AS_THEIRS) as again,
        ):
            used, refused = split(compare(scenario, theirs, again))
    _used.update(used)
    _played.add(scenario.name)
    text = "\n".join(str(difference) for difference in refused[:20])
    assert not refused, f"{len(refused)} differences that nobody accepted:\n{text}"


def test_accepted_differences_occur(real: Cluster) -> None:
    if len(_played) < len(SCENARIOS):
        pytest.skip("only some scenarios were played")
    gone = stale(_used)
    assert not gone, f"accepted, but they no longer occur: {gone}"
