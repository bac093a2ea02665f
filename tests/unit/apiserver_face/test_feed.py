"""What the native server is told of writes and watchers, in which order."""

import asyncio
from types import SimpleNamespace

import pytest

from cloudwright.apiserver import built_ins
from cloudwright.apiserver.http.feed import Feed
from cloudwright.apiserver.registry import Registry
from cloudwright.apiserver.selection import Selection
from cloudwright.apiserver.store.interface import Event

pytestmark = pytest.mark.anyio
MAPS = "/core/configmaps/"


class Server:
    """A native server that notes what it is told."""

    def __init__(self):
        self.told = []
        self.memory = True

    def __getattr__(self, name):
        return lambda *values: self.told.append((name, *values))

    def watch(self, number, topic, after, *others):
        self.told.append(("watch", number, topic, after))
        return self.memory

    def names(self):
        return [one[0] for one in self.told]


class Store:
    exclusive = True

    def __init__(self):
        self.revision = 4
        self.listener = None

    def listen(self, listener):
        self.listener = listener

    async def newest(self):
        return self.revision

    async def page(self, prefix, *, after, limit, revision):
        records = [SimpleNamespace(key=f"{MAPS}a/old", value=b"old")]
        self.while_filling()
        return SimpleNamespace(records=records, revision=4, more=False)

    def while_filling(self):
        pass


def event(revision, key=f"{MAPS}a/x", text="1"):
    value = f'{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{}},"n":"{text}"}}'
    return Event(revision, key, False, True, value.encode(), None)


def plan(after=4, encode=None, chosen=None, prefix=MAPS):
    served = Registry(built_ins.served()).find("", "v1", "configmaps")
    return SimpleNamespace(
        served=served, chosen=chosen or Selection(), render=None, encode=encode, prefix=prefix,
        bookmarks=False, initial_end=False, after=after, topic=("plain", encode),
        seconds_left=lambda: 60.0,
    )  # fmt: skip


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def feed(server):
    return Feed(server, SimpleNamespace(store=Store(), registry=None))


def lines(told):
    return [(topic, revision, line[:15]) for topic, revision, line in told[2]]


async def test_held_writes_are_shown_once_by_their_release(feed, server):
    await feed.attach(1, plan())
    await feed.attach(2, plan(encode=bytes.upper))
    await feed.attach(3, plan(encode=bytes.upper))
    events = [event(5), event(6, key="/core/secrets/a/s"), event(7)]
    server.told.clear()
    feed.hold(events)
    (held,) = server.told
    assert held[0] == "hold"
    assert [(key, revision) for key, _, revision in held[1]] == [
        (one.key, one.revision) for one in events
    ]
    # Once for each form, for however many.
    assert lines(held) == [
        (1, 5, b'{"type":"ADDED"'), (2, 5, b'{"TYPE":"ADDED"'),
        (1, 7, b'{"type":"ADDED"'), (2, 7, b'{"TYPE":"ADDED"'),
    ]  # fmt: skip
    assert held[3:] == (False, 7)
    feed.release()
    for one in events:
        feed.event(one)
    assert server.names() == ["hold", "release"]
    feed.event(event(8))
    assert server.names() == ["hold", "release", "publish"]


async def test_who_comes_while_writes_are_held_is_added_with_them(feed, server):
    await feed.attach(1, plan())
    feed.hold([event(5), event(6, key="/core/secrets/a/s")])
    late = asyncio.ensure_future(feed.attach(2, plan(encode=bytes.upper)))
    memory = asyncio.ensure_future(feed.attach_at_once(3, plan()))
    left = asyncio.ensure_future(feed.attach(4, plan()))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    feed.release()
    server.told.clear()
    feed.event(event(5))
    assert server.told == []
    feed.event(event(6))
    await late
    assert await memory
    written, *added = server.told
    assert written[:2] == ("write", 2)
    assert written[2].startswith(b'{"TYPE":"ADDED"')
    # From memory, the server itself says from when on.
    assert added == [("watch", 2, 2, 6), ("watch", 3, 1, 4)]


async def test_a_watcher_that_left_as_it_was_added_is_forgotten(feed, server):
    feed.hold([event(5)])
    late = asyncio.ensure_future(feed.attach(2, plan()))
    await asyncio.sleep(0)
    feed.event(event(5))
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert server.told[-1] == ("forget", 2)


async def test_what_was_not_written_is_not_shown(feed, server):
    await feed.attach(1, plan())
    feed.hold([event(5)])
    late = asyncio.ensure_future(feed.attach(2, plan()))
    await asyncio.sleep(0)
    feed.discard()
    await late
    assert server.names() == ["watch", "hold", "discard", "watch"]
    feed.event(event(6))
    assert server.names()[-1] == "publish"


async def test_the_memory_is_not_used_when_a_write_failed_while_it_was_filled(feed, server):
    store = feed._core.store

    def fail():
        feed.hold([event(5, key=f"{MAPS}a/old")])
        feed.discard()

    store.while_filling = fail
    await feed.fill()
    assert "ready" not in server.names()
    store.while_filling = lambda: None
    await feed.fill()
    assert ("put", f"{MAPS}a/old", b"old", 0) in server.told
    assert server.told[-1] == ("ready", 4)


async def test_rights_that_change_are_forgotten_before_and_after(feed, server):
    binding = event(5, key="/rbac.authorization.k8s.io/clusterrolebindings/x")
    feed.hold([binding])
    assert server.told[-1][3:] == (True, 5)
    feed.event(binding)
    assert server.names() == ["hold", "invalidate"]


async def test_an_event_that_cannot_be_shown_closes_its_topic_alone(feed, server):
    def broken(line):
        raise ValueError

    await feed.attach(1, plan())
    failing = plan()
    failing.topic, failing.render = "failing", broken
    await feed.attach(2, failing)
    feed.hold([event(5)])
    closed, held = server.told[-2:]
    assert closed == ("close_topic", 2)
    assert [topic for topic, _, _ in lines(held)] == [1]
