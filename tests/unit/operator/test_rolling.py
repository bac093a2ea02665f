"""The arithmetic of rolling updates, and that no sequence of steps ever leaves the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudwright.operator.engines.rolling import (
    Fence,
    Size,
    fence,
    new_replicas,
    resolve,
    shrink_old,
    spread,
)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        (None, None, 3, (1, 0)),
        (None, None, 10, (3, 2)),
        ("25%", "25%", 4, (1, 1)),
        (1, 0, 3, (1, 0)),
        (0, 0, 3, (0, 1)),
        ("0%", "10%", 5, (0, 1)),
        (2, 9, 3, (2, 3)),
    ],
)
def test_bounds_are_those_of_upstream(
    surge: int | str | None, unavailable: int | str | None, replicas: int, expected: tuple[int, int]
) -> None:
    bounds = fence(replicas, surge, unavailable)
    assert (bounds.surge, bounds.unavailable) == expected


def test_a_word_is_no_number() -> None:
    with pytest.raises(ValueError, match="neither a whole number nor a percentage"):
        resolve("many", 3, up=True, default="25%")


def test_broken_pods_of_old_replica_sets_go_before_good_ones() -> None:
    bounds = Fence(4, 1, 1)
    old = [Size("a", 2, 0, "1"), Size("b", 2, 2, "2")]
    assert shrink_old(bounds, Size("new", 1, 1), old) == {"a": 0}


def test_a_new_version_that_never_comes_takes_nothing_from_the_old_one() -> None:
    bounds = Fence(3, 1, 0)
    assert shrink_old(bounds, Size("new", 1, 0), [Size("old", 3, 3)]) == {}


def test_scaling_during_a_roll_out_is_shared_by_size() -> None:
    # Example of the Deployment page: 10 replicas, surge 3, unavailable 2, scaled to 15.
    bounds = Fence(15, 4, 3)
    sizes = [Size("old", 8, 8, "1", 13), Size("new", 5, 0, "2", 13)]
    assert spread(bounds, sizes, 13) == {"old": 12, "new": 7}


def test_scaling_to_nothing_takes_everything() -> None:
    assert spread(Fence(0, 0, 0), [Size("a", 8, 8, "1", 13), Size("b", 5, 5, "2", 13)], 13) == {
        "a": 0,
        "b": 0,
    }


@given(
    replicas=st.integers(0, 40),
    before=st.integers(1, 40),
    surge=st.integers(0, 10),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_sharing_a_new_size_adds_up(
    replicas: int, before: int, surge: int, sizes: list[int]
) -> None:
    bounds = Fence(replicas, surge, 0)
    items = [Size(str(i), n, n, str(i), before + surge) for i, n in enumerate(sizes)]
    result = spread(bounds, items, sum(sizes))
    assert all(count >= 0 for count in result.values())
    allowed = bounds.ceiling if replicas else 0
    assert sum(result.values()) <= max(allowed, 0)


class _World:
    """ReplicaSets with real pods behind them: pods become available, break and vanish at will."""

    def __init__(self, bounds: Fence, old: list[int]) -> None:
        self.bounds = bounds
        self.wish = {f"old{i}": n for i, n in enumerate(old)}
        self.wish["new"] = 0
        self.pods = {name: [True] * n for name, n in self.wish.items()}
        self.seen = dict(self.wish)
        self.counted = dict(self.wish)

    def sizes(self) -> tuple[Size, list[Size]]:
        all_sizes = [Size(name, n, min(n, self.seen[name]), name) for name, n in self.wish.items()]
        return all_sizes[-1], all_sizes[:-1]

    def step(self) -> bool:
        new, old = self.sizes()
        others = sum(max(size.replicas, self.counted[size.name]) for size in old)
        up = new_replicas(self.bounds, new.replicas, others + new.replicas)
        if up != new.replicas:
            self.wish["new"] = up
            return True
        down = shrink_old(self.bounds, new, old)
        self.wish.update(down)
        return bool(down)

    def replica_sets_act(self) -> None:
        for name, wished in self.wish.items():
            pods = sorted(self.pods[name])  # not available ones first in the line to go
            self.pods[name] = pods[max(len(pods) - wished, 0) :]
            self.pods[name] += [False] * (wished - len(self.pods[name]))

    def status_arrives(self) -> None:
        self.seen = {name: sum(pods) for name, pods in self.pods.items()}
        self.counted = {name: len(pods) for name, pods in self.pods.items()}

    def available(self) -> int:
        return sum(sum(pods) for pods in self.pods.values())


@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    moves=st.lists(
        st.tuples(st.sampled_from(["step", "act", "status", "ready"]), st.integers(0, 5)),
        max_size=60,
    ),
)
@settings(max_examples=300, deadline=None)
def test_a_rolling_update_never_leaves_its_bounds(
    replicas: int, surge: int, unavailable: int, moves: list[tuple[str, int]]
) -> None:
    bounds = fence(replicas, surge, unavailable)
    world = _World(bounds, [replicas])
    for kind, which in moves:
        if kind == "step":
            world.step()
        elif kind == "act":
            world.replica_sets_act()
        elif kind == "status":
            world.status_arrives()
        else:
            pods = world.pods["new"]
            if pods:
                pods[which % len(pods)] = True
        assert sum(world.wish.values()) <= bounds.ceiling
        assert sum(map(len, world.pods.values())) <= bounds.ceiling
        assert world.available() >= bounds.floor
    for _ in range(100):
        world.step()
        world.replica_sets_act()
        world.pods["new"] = [True] * len(world.pods["new"])
        world.status_arrives()
    assert world.wish == {"old0": 0, "new": replicas}


@given(
    old=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    replicas=st.integers(0, 8),
    broken=st.lists(st.integers(0, 3), max_size=8),
)
@settings(deadline=None)
def test_several_old_versions_end_as_well(old: list[int], replicas: int, broken: list[int]) -> None:
    bounds = fence(replicas, 1, 0)
    world = _World(bounds, old)
    for index in broken:
        pods = world.pods[f"old{index % len(old)}"]
        if pods:
            pods[0] = False
    world.status_arrives()
    for _ in range(200):
        world.step()
        world.replica_sets_act()
        world.pods["new"] = [True] * len(world.pods["new"])
        world.status_arrives()
    assert world.wish["new"] == replicas
    assert sum(world.wish.values()) == replicas
