from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import UnreachableError
from cloudwright.client.client import Client
from cloudwright.client.informer import BACKOFF_MAX, Informer, Store
from cloudwright.model.objects import Object
from cloudwright.model.resources import CONFIG_MAP
from tests.unit.client.scripted import (
    Body,
    Chunk,
    Scripted,
    bookmark,
    config_map,
    event,
    listed,
    status,
)

pytestmark = pytest.mark.anyio


class Told:
    """Writes down what a handler is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_add(self, obj: Object) -> None:
        self.lines.append(f"+{_name(obj)}")

    def on_update(self, old: Object, new: Object) -> None:
        self.lines.append(f"~{_name(new)} after {old['metadata']['resourceVersion']}")

    def on_delete(self, obj: Object) -> None:
        self.lines.append(f"-{_name(obj)}")


def _name(obj: Object) -> str:
    return f"{obj['metadata']['name']}@{obj['metadata']['resourceVersion']}"


async def played(
    replies: Sequence[Body], streams: Sequence[Sequence[Chunk]]
) -> tuple[Told, Scripted, Informer, list[float]]:
    """Run an informer until its script is over: its last stream waits for ever."""
    over = anyio.Event()

    async def end() -> None:
        over.set()
        await anyio.sleep_forever()

    transport = Scripted(replies, [*streams, [end]])
    informer = Informer(Client(transport), CONFIG_MAP, random=Random(1))
    told, slept = Told(), []
    informer.add_handler(told)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run, sleep)
            await over.wait()
            tasks.cancel_scope.cancel()
    return told, transport, informer, slept


def versions(transport: Scripted) -> list[Any]:
    return [dict(request.query).get("resourceVersion") for request in transport.watched]


async def test_list_then_watch() -> None:
    told, transport, informer, _ = await played(
        [listed(5, config_map("a", 1), config_map("b", 2))],
        [[event("MODIFIED", config_map("a", 6)), event("DELETED", config_map("b", 7))]],
    )
    assert told.lines == ["+a@1", "+b@2", "~a@6 after 1", "-b@7"]
    assert versions(transport) == ["5", "7"], "it goes on where the watch ended"
    assert len(transport.asked) == 1, "and does not list again"
    assert informer.synced
    assert informer.store.keys() == {"default/a"}


async def test_a_bookmark_moves_the_start_of_the_next_watch() -> None:
    told, transport, _, _ = await played([listed(5)], [[bookmark(90)], [UnreachableError("x")]])
    assert versions(transport) == ["5", "90", "90"]
    assert told.lines == []


async def test_expired_history_is_listed_again_and_the_difference_told() -> None:
    told, transport, informer, _ = await played(
        [
            listed(5, config_map("kept", 1), config_map("changed", 2), config_map("gone", 3)),
            listed(50, config_map("kept", 1), config_map("changed", 40), config_map("new", 41)),
        ],
        [[event("ERROR", status(410, "Expired"))]],
    )
    assert told.lines == [
        "+kept@1",
        "+changed@2",
        "+gone@3",
        "~changed@40 after 2",
        "+new@41",
        "-gone@3",
    ]
    assert versions(transport) == ["5", "50"]
    assert len(informer.store) == 3


async def test_an_object_made_again_while_away_is_a_deletion_and_an_addition() -> None:
    told, _, _, _ = await played(
        [listed(5, config_map("a", 1, uid="old")), listed(9, config_map("a", 8, uid="new"))],
        [[event("ERROR", status(410))]],
    )
    assert told.lines == ["+a@1", "-a@1", "+a@8"]


async def test_events_told_twice_are_passed_on_once() -> None:
    told, _, _, _ = await played(
        [listed(5, config_map("a", 4))],
        [
            [
                event("ADDED", config_map("a", 4)),
                event("MODIFIED", config_map("a", 6)),
                event("MODIFIED", config_map("a", 6)),
                event("DELETED", config_map("a", 7)),
                event("DELETED", config_map("a", 7)),
            ]
        ],
    )
    assert told.lines == ["+a@4", "~a@6 after 4", "-a@7"]


async def test_a_watch_that_breaks_off_resumes_after_the_last_whole_event() -> None:
    first = event("ADDED", config_map("a", 6))
    half = event("ADDED", config_map("b", 7))
    told, transport, _, slept = await played(
        [listed(5)], [[first, half[:20]], [half], [UnreachableError("gone")]]
    )
    assert told.lines == ["+a@6", "+b@7"]
    assert versions(transport) == ["5", "6", "7", "7"]
    assert slept[0] > 0, "an error is never followed by an immediate try"


async def test_an_api_that_is_away_is_asked_less_and_less_often() -> None:
    away = [UnreachableError("away")] * 12
    told, transport, _, slept = await played([*away, listed(5, config_map("a", 1))], [])
    assert told.lines == ["+a@1"]
    assert len(transport.asked) == 13
    assert slept[0] < 0.25
    assert max(slept) <= BACKOFF_MAX
    assert slept[-1] > 10
    assert len(slept) == 12


async def test_watches_that_end_at_once_do_not_become_a_busy_loop() -> None:
    _, _, _, slept = await played([listed(5)], [[]] * 6)
    assert all(seconds > 0 for seconds in slept)
    assert slept[-1] > slept[0]


async def test_one_event_ends_the_back_off() -> None:
    _, _, _, slept = await played([listed(5)], [[], [], [], [bookmark(6)], []])
    assert slept[3] == 0
    assert slept[4] < slept[2]


async def test_a_late_handler_hears_of_what_is_there() -> None:
    _, _, informer, _ = await played([listed(5, config_map("a", 1))], [])
    late = Told()
    informer.add_handler(late)
    assert late.lines == ["+a@1"]


async def test_waiting_for_the_first_list() -> None:
    transport = Scripted([UnreachableError("x"), listed(5)], [[anyio.sleep_forever]])
    informer = Informer(Client(transport), CONFIG_MAP)
    assert not informer.synced

    async def sleep(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run, sleep)
            await informer.wait_synced()
            tasks.cancel_scope.cancel()
    assert informer.synced


def test_indexes_follow_the_objects() -> None:
    store = Store()
    store.put(config_map("a", 1, colour="red"))
    store.add_index("colour", lambda obj: [obj["data"]["colour"]] if obj["data"] else [])
    store.put(config_map("b", 2, colour="red"))
    assert [o["metadata"]["name"] for o in store.by_index("colour", "red")] == ["a", "b"]
    store.put(config_map("a", 3, colour="blue"))
    assert [o["metadata"]["name"] for o in store.by_index("colour", "red")] == ["b"]
    store.remove("default/b")
    store.put(config_map("a", 4))
    assert store.by_index("colour", "red") == store.by_index("colour", "blue") == []
    assert store.remove("default/none") is None
    assert [o["metadata"]["name"] for o in store.list("default")] == ["a"]
    assert store.list("other") == []
