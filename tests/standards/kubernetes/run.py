"""Runs scenarios on both servers and says where they differ."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from tests.peers.cluster import Cluster
from tests.standards.kubernetes.compare import ABSENT, Difference, differences
from tests.standards.kubernetes.scenarios import Scenario
from tests.standards.kubernetes.session import Session


def record(scenario: Scenario, cluster: Cluster) -> dict[str, object]:
    """The steps of one scenario on one server; an exception is the step ``crash``."""
    with Session(cluster, scenario.name) as session:
        try:
            scenario.play(session)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[1]
            session.steps["crash"] = f"{type(error).__name__}: {error} (line {where.lineno})"
        return session.steps


def compare(scenario: Scenario, real: Cluster, ours: Cluster) -> list[Difference]:
    """Where the two servers differ in one scenario."""
    left, right = record(scenario, real), record(scenario, ours)
    if "crash" in left:
        return [Difference(scenario.room, scenario.name, "crash", "", left["crash"], "")]
    return list(between(scenario, left, right))


def between(
    scenario: Scenario, left: dict[str, object], right: dict[str, object]
) -> Iterable[Difference]:
    """The differences of two recordings."""
    for step in [*left, *(step for step in right if step not in left)]:
        one, other = left.get(step, ABSENT), right.get(step, ABSENT)
        if (said := _outcome(one)) and (told := _outcome(other)) and said[0] != told[0]:
            # The rest of two answers with different outcomes says nothing more.
            yield Difference(scenario.room, scenario.name, step, "status", said, told)
            continue
        for path, mine, theirs in differences(one, other):
            yield Difference(scenario.room, scenario.name, step, path.lstrip("."), mine, theirs)


def _outcome(step: object) -> tuple[int, str] | None:
    if not isinstance(step, dict) or "status" not in step:
        return None
    body = step.get("body")
    message = body.get("message", "") if isinstance(body, dict) else str(body)[:200]
    return step["status"], str(message)
