"""What the hub tells whom, and when a watch has nothing left to tell."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver.errors import SlowWatcherError
from cloudwright.apiserver.store.hub import Hub
from cloudwright.apiserver.store.interface import Event, Statistics

pytestmark = pytest.mark.anyio
_KEYS = ("/a/b/c", "/a/b/d", "/a/bb/c", "/a/x", "/b/b/c", "odd")


class Heard:
    """A listener that is about some keys, or about all."""

    def __init__(self, *about: str) -> None:
        self.keys: list[str] = []
        if about:
            self.about = about

    def event(self, event: Event) -> None:
        self.keys.append(event.key)

    def lost(self) -> None:
        raise AssertionError("nothing was lost")


def hub(queue: int = 100, ring: int = 100) -> Hub:
    async def replay(_prefix: str, _after: int, _up_to: int) -> list[Event]:
        return []

    return Hub(
        0, replay=replay, ring_events=ring, ring_bytes=1 << 20, queue=queue, statistics=Statistics()
    )


def publish(to: Hub, key: str) -> None:
    to.publish(Event(to.published + 1, key, False, True, b"{}", None))


@given(
    st.lists(st.sets(st.sampled_from(("/", "/a/", "/a/b/", "/b/")), min_size=1), max_size=3),
    st.lists(st.sampled_from(_KEYS)),
    st.lists(st.sampled_from(_KEYS)),
)
def test_a_listener_hears_of_what_it_is_about(
    abouts: list[set[str]], before: list[str], after: list[str]
) -> None:
    told = hub()
    every = Heard()
    some = [Heard(*about) for about in abouts]
    late = Heard("/a/b/")
    for listener in (every, *some):
        told.listen(listener)
    for key in before:
        publish(told, key)
    told.listen(late)
    for key in after:
        publish(told, key)
    assert every.keys == before + after
    for listener in some:
        wanted = [key for key in before + after if key.startswith(listener.about)]
        assert listener.keys == wanted
    assert late.keys == [key for key in after if key.startswith("/a/b/")]


@given(st.integers(0, 4), st.lists(st.sampled_from((*_KEYS, "take"))))
async def test_a_watch_that_is_not_behind_has_nothing_to_tell(start: int, steps: list[str]) -> None:
    told = hub(queue=3)
    for _ in range(4):
        publish(told, "/a/b/c")
    watch = told.watch("/a/b/", start, 0)
    for step in steps:
        if step != "take":
            publish(told, step)
        elif watch.behind:
            with anyio.fail_after(5):
                try:
                    await watch.batch(0)
                except SlowWatcherError:
                    assert watch.behind
                    return
        if not watch.behind:
            assert watch.progress >= told.published
            assert await watch.batch(0) == []
