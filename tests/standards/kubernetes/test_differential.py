"""The same requests to kube-apiserver and to ours: what differs is listed, and nothing else is."""

from __future__ import annotations

import pytest

from tests.peers.cluster import Cluster
from tests.standards.kubernetes.accepted import ACCEPTED, Accepted, split
from tests.standards.kubernetes.run import compare
from tests.standards.kubernetes.scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
_used: set[Accepted] = set()
_played: set[str] = set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_servers_answer_alike(scenario: Scenario, real: Cluster, ours: Cluster) -> None:
    used, refused = split(compare(scenario, real, ours))
    _used.update(used)
    _played.add(scenario.name)
    text = "\n".join(str(difference) for difference in refused[:20])
    assert not refused, f"{len(refused)} differences that nobody accepted:\n{text}"


def test_accepted_differences_occur(real: Cluster) -> None:
    if len(_played) < len(SCENARIOS):
        pytest.skip("only some scenarios were played")
    stale = [entry.pattern for entry in ACCEPTED if entry not in _used]
    assert not stale, f"accepted, but they no longer occur: {stale}"
