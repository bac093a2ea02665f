"""Of several operators one leads; when it ends or falls silent, another one does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from cloudwright.model.resources import LEASE
from cloudwright.operator.engines.lease import Timing, claim, holder_of, released
from cloudwright.operator.engines.nodes import Sighting
from cloudwright.operator.errors import LeadershipLost
from cloudwright.operator.leader import Elector
from tests.integration.operator_world import api, eventually

pytestmark = pytest.mark.anyio
FAST = Timing(duration=0.6, renew_within=0.4, retry=0.02)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = ("kube-system", "cloudwright-operator")


def held(by: str) -> dict:
    return {"metadata": {"namespace": NAME[0], "name": NAME[1]}, "spec": {"holderIdentity": by}}


def test_a_fresh_lease_of_another_is_left_alone_and_a_stale_one_taken() -> None:
    seen = Sighting("1", 100.0)
    assert claim(held("b"), NAME, "a", seen, Timing(), NOW, 114.9) is None
    taken = claim(held("b"), NAME, "a", seen, Timing(), NOW, 115.0)
    assert holder_of(taken) == "a"
    assert taken is not None
    assert taken["spec"]["leaseTransitions"] == 1
    renewed = claim(taken, NAME, "a", seen, Timing(), NOW, 100.0)
    assert renewed is not None
    assert renewed["spec"]["leaseTransitions"] == 1
    assert holder_of(claim(None, NAME, "a", seen, Timing(), NOW, 0.0)) == "a"
    assert holder_of(claim(held(""), NAME, "a", seen, Timing(), NOW, 0.0)) == "a"


def test_only_the_own_lease_is_given_back() -> None:
    assert released(held("b"), "a") is None
    assert holder_of(released(held("a"), "a")) == ""


async def test_one_leads_and_the_next_follows_at_once(tmp_path: Path) -> None:
    leaders: list[str] = []
    async with api(tmp_path) as client, anyio.create_task_group() as tasks:
        first_may_end = anyio.Event()

        async def run(name: str) -> None:
            async def work() -> None:
                leaders.append(name)
                await (first_may_end.wait() if len(leaders) == 1 else anyio.sleep_forever())

            await Elector(client, name, timing=FAST).lead(work)

        tasks.start_soon(run, "a")
        tasks.start_soon(run, "b")
        await eventually(lambda: _count(leaders, 1))
        await anyio.sleep(FAST.duration * 2)  # far longer than a stale Lease would need
        assert len(leaders) == 1
        first_may_end.set()
        await eventually(lambda: _count(leaders, 2))
        assert sorted(leaders) == ["a", "b"]
        tasks.cancel_scope.cancel()


async def test_a_leader_whose_lease_was_taken_stops_its_work(tmp_path: Path) -> None:
    async with api(tmp_path) as client:
        ended = anyio.Event()

        async def work() -> None:
            try:
                lease = await client.get(LEASE, NAME[1], NAME[0])
                await client.update(LEASE, {**lease, "spec": {"holderIdentity": "thief"}})

                async def thief() -> None:
                    while True:
                        body = {"spec": {"holderIdentity": "thief", "leaseTransitions": 9}}
                        body["metadata"] = {"annotations": {"t": str(anyio.current_time())}}
                        await client.patch(LEASE, NAME[1], body, NAME[0])
                        await anyio.sleep(0.01)

                await thief()
            finally:
                ended.set()

        with pytest.raises(LeadershipLost, match="could not renew"):
            await Elector(client, "a", timing=FAST).lead(work)
        assert ended.is_set()
        assert holder_of(await client.get(LEASE, NAME[1], NAME[0])) == "thief"


async def _count(leaders: list[str], wanted: int) -> bool:
    return len(leaders) == wanted
