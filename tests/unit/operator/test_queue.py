"""Order, de-duplication, back-off and delays of the queue; and that every key comes through."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright._base.clock import SystemClock
from cloudwright.operator.queue import Backoff, Queue, Schedule

pytestmark = pytest.mark.anyio


def test_a_key_waits_once() -> None:
    schedule = Schedule()
    schedule.add("a")
    schedule.add("a")
    assert schedule.take(0) == "a"
    assert schedule.take(0) is None


def test_a_key_that_is_added_while_it_runs_runs_again_but_never_twice_at_once() -> None:
    schedule = Schedule()
    schedule.add("a")
    schedule.take(0)
    schedule.add("a")
    assert schedule.take(0) is None
    schedule.done("a")
    assert schedule.take(0) == "a"


def test_failures_wait_longer_each_time_until_success() -> None:
    schedule = Schedule(Backoff(1.0, 5.0))
    assert [schedule.failed("a", 0.0) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    schedule.succeeded("a")
    assert schedule.failed("a", 0.0) == 1.0


def test_the_earliest_delay_counts() -> None:
    schedule = Schedule()
    schedule.add_at("a", 10)
    schedule.add_at("a", 5)
    schedule.add_at("a", 7)
    assert schedule.next_due() == 5
    assert schedule.take(4.9) is None
    assert schedule.take(5) == "a"
    schedule.done("a")
    assert schedule.take(100) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "later", "take", "done"]), st.sampled_from("abc")),
        max_size=60,
    )
)
def test_no_key_is_lost_and_none_runs_twice(moves: list[tuple[str, str]]) -> None:
    schedule = Schedule()
    now = 0.0
    wanted: set[str] = set()
    running: set[str] = set()
    for move, key in moves:
        now += 1
        if move == "add":
            schedule.add(key)
            wanted.add(key)
        elif move == "later":
            schedule.add_at(key, now + 2)
            wanted.add(key)
        elif move == "take":
            taken = schedule.take(now)
            if taken is not None:
                assert taken not in running
                running.add(taken)
                wanted.discard(taken)
        elif key in running:
            running.discard(key)
            schedule.done(key)
    for key in running:
        schedule.done(key)
    rest = set()
    while (taken := schedule.take(now + 10)) is not None:
        rest.add(taken)
        schedule.done(taken)
    assert rest >= wanted


async def test_waiting_ends_when_a_key_comes_or_is_due() -> None:
    queue = Queue(SystemClock())
    got: list[str] = []

    async def work() -> None:
        for _ in range(2):
            key = await queue.get()
            got.append(key)
            queue.done(key)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.lowlevel.checkpoint()
            queue.add_after("late", 0.02)
            queue.add("soon")
    assert got == ["soon", "late"]
