"""Recorded histories of concurrent readers and writers, through one store and through two on one
etcd, are linearizable; and the checker knows when one is not.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from time import perf_counter

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver.store.interface import Compare, Record, Store, Template, Txn, Write
from tests.linearizability import INFINITE, Operation, Register, linearizable
from tests.unit.apiserver_store.conftest import Opener

pytestmark = pytest.mark.anyio
KEYS = ("/p/a", "/p/b")


class Recorder:
    """Works on some stores and writes down what it asked and was told."""

    def __init__(self, stores: Sequence[Store], seed: int) -> None:
        self.stores = stores
        self.rng = random.Random(seed)
        self.history: dict[str, list[Operation]] = defaultdict(list)

    async def work(self, worker: int, count: int) -> None:
        store = self.stores[worker % len(self.stores)]
        seen: dict[str, Record | None] = dict.fromkeys(KEYS)
        for number in range(count):
            key, value = self.rng.choice(KEYS), b"%d-%d" % (worker, number)
            kind = self.rng.choice(("get", "put", "cas", "cas", "delete"))
            start = perf_counter()
            if kind == "get":
                seen[key] = await store.get(key)
                self.note(key, start, ("get",), _value(seen[key]))
                continue
            known = seen[key]
            guards = ()
            if kind == "cas":
                guards = (Compare(key, known.revision if known else 0),)
            write = Write(key, Template(b"", b":" + value), delete=kind == "delete")
            outcome = await store.commit(Txn(guards, write))
            done = outcome.record is not None
            if kind == "cas":
                self.note(key, start, ("cas", _value(known), value), done)
            else:
                self.note(key, start, (kind, value)[: 1 + (kind == "put")], done)
            if done and kind != "delete":
                seen[key] = outcome.record

    def note(self, key: str, start: float, asked: tuple[object, ...], answer: object) -> None:
        self.history[key].append(Operation(start, perf_counter(), asked, answer))


def _value(record: Record | None) -> bytes | None:
    return None if record is None else record.value.split(b":", 1)[1]


async def recorded(stores: Sequence[Store], seed: int) -> dict[str, list[Operation]]:
    recorder = Recorder(stores, seed)
    async with anyio.create_task_group() as tasks:
        for worker in range(8):
            tasks.start_soon(recorder.work, worker, 40)
    return recorder.history


async def test_concurrent_histories(a_store: Opener) -> None:
    for seed in range(4):
        a_store.prefix += "x"
        async with a_store() as store:
            for key in KEYS:
                await store.commit(Txn((), Write(key, Template(b"", b""), delete=True)))
            for key, history in (await recorded([store], seed)).items():
                assert len(history) > 50
                assert linearizable(Register(), None, history), (seed, key, history)


async def test_two_stores_on_one_etcd(a_store: Opener) -> None:
    if a_store.endpoint is None:
        pytest.skip("the embedded store belongs to one process")
    for seed in range(4):
        a_store.prefix += "x"
        async with a_store() as one, a_store() as two:
            for key, history in (await recorded([one, two], seed)).items():
                assert linearizable(Register(), None, history), (seed, key, history)


def op(called: float, returned: float, *asked: object, answer: object = True) -> Operation:
    return Operation(called, returned, asked, answer)


BAD = {
    "a stale read": [op(0, 1, "put", 1), op(2, 3, "put", 2), op(4, 5, "get", answer=1)],
    "a lost write": [op(0, 1, "put", 1), op(2, 3, "get", answer=None)],
    "two winners": [
        op(0, 1, "put", 1), op(2, 5, "cas", 1, 2), op(2, 5, "cas", 1, 3)
    ],
    "back and forth": [
        op(0, 9, "put", 1), op(1, 2, "get", answer=1), op(3, 4, "get", answer=None)
    ],
    "a value from nowhere": [op(0, 1, "put", 1), op(0, 3, "get", answer=7)],
    "a wrong refusal": [op(0, 1, "put", 1), op(2, 3, "cas", 1, 2, answer=False)],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found(name: str) -> None:
    assert not linearizable(Register(), None, BAD[name])


def test_what_never_returned_may_have_happened_or_not() -> None:
    maybe = op(0, INFINITE, "put", 1)
    assert linearizable(Register(), None, [maybe, op(1, 2, "get", answer=1)])
    assert linearizable(Register(), None, [maybe, op(1, 2, "get", answer=None)])
    late = [maybe, op(1, 2, "get", answer=None), op(3, 4, "get", answer=1)]
    assert linearizable(Register(), None, late)
    assert not linearizable(Register(), None, [*late, op(5, 6, "get", answer=None)])


OPERATIONS = st.builds(
    lambda start, length, asked, answer: Operation(
        start, start + length, asked, answer if asked[0] == "get" else bool(answer)
    ),
    st.integers(0, 6),
    st.integers(1, 6),
    st.sampled_from([("get",), ("put", 1), ("put", 2), ("cas", 1, 2), ("cas", 2, 3), ("delete",)]),
    st.sampled_from([None, 1, 2, 3]),
)


def by_force(history: Sequence[Operation]) -> bool:
    """Every order tried."""
    for order in permutations(history):
        state, right = None, True
        for at, one in enumerate(order):
            if any(later.returned < one.called for later in order[at + 1 :]):
                right = False
                break
            following = Register().step(state, one)
            if not following:
                right = False
                break
            state = following[0]  # type: ignore[assignment]
        if right:
            return True
    return not history


@given(st.lists(OPERATIONS, max_size=5))
def test_the_checker_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert linearizable(Register(), None, history) == by_force(history)
