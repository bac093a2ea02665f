"""Sequences of requests that hypothesis made: both servers agree at every step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.peers.cluster import Cluster
from tests.standards.kubernetes.accepted import split
from tests.standards.kubernetes.generated import (
    CONFIG,
    CUSTOM,
    DEPLOYMENT,
    GADGET,
    SERVICE,
    Resource,
    Step,
    play,
    steps,
)
from tests.standards.kubernetes.run import between
from tests.standards.kubernetes.scenarios import Scenario
from tests.standards.kubernetes.scenarios.customs import establish
from tests.standards.kubernetes.session import Session

pytestmark = [pytest.mark.foreign, pytest.mark.slow]
EVERY = settings(
    max_examples=40,
    phases=[Phase.generate],  # a sequence is short, and shrinking on a loaded machine is not
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
_numbers = count()


@pytest.fixture(scope="module")
def sessions(real: Cluster, ours: Cluster) -> Iterator[tuple[Session, Session]]:
    with Session(real, "generated") as one, Session(ours, "generated") as other:
        for session in (one, other):
            establish(session, GADGET)
        yield one, other


def agree(sessions: tuple[Session, Session], resource: Resource, sequence: list[Step]) -> None:
    name = f"g{next(_numbers)}"
    for session in sessions:
        session.steps.clear()
        play(session, resource, name, sequence)
    scenario = Scenario("generated", "ssa", lambda _: None)
    _, refused = split(between(scenario, sessions[0].steps, sessions[1].steps))
    text = "\n".join(str(difference) for difference in refused[:10])
    assert not refused, f"{len(refused)} differences:\n{text}"


@EVERY
@given(sequence=steps(CONFIG))
def test_config_maps(sessions: tuple[Session, Session], sequence: list[Step]) -> None:
    agree(sessions, CONFIG, sequence)


@EVERY
@given(sequence=steps(DEPLOYMENT))
def test_deployments(sessions: tuple[Session, Session], sequence: list[Step]) -> None:
    agree(sessions, DEPLOYMENT, sequence)


@EVERY
@given(sequence=steps(SERVICE))
def test_services(sessions: tuple[Session, Session], sequence: list[Step]) -> None:
    agree(sessions, SERVICE, sequence)


@EVERY
@given(sequence=steps(CUSTOM))
def test_custom_objects(sessions: tuple[Session, Session], sequence: list[Step]) -> None:
    agree(sessions, CUSTOM, sequence)
