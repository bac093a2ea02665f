"""What every store must do, on SQLite and on a real etcd."""

from __future__ import annotations

import anyio
import pytest

from cloudwright.apiserver.errors import CompactedError, SlowWatcherError, StoreError
from cloudwright.apiserver.store.interface import Compare, Event, Outcome, Template, Txn, Write
from tests.unit.apiserver_store.conftest import Opener
from tests.unit.apiserver_store.kit import Seen, drop, events, put, taken, wrote

pytestmark = pytest.mark.anyio


async def test_a_value_is_stamped_with_its_revision(a_store: Opener) -> None:
    async with a_store() as store:
        written = (await put(store, "/a/x", "one")).record
        assert written is not None
        assert written.value == b"<%d>one" % written.revision
        assert await store.get("/a/x") == written


async def test_a_guarded_write_fails_when_the_key_changed(a_store: Opener) -> None:
    async with a_store() as store:
        first = (await put(store, "/a/x", "one", 0)).record
        assert first is not None
        assert (await put(store, "/a/x", "two", 0)).failed == Compare("/a/x", 0)
        second = (await put(store, "/a/x", "two", first.revision)).record
        assert second is not None
        assert second.create_revision == first.revision
        stale = await put(store, "/a/x", "three", first.revision)
        assert stale.record is None
        found = await store.get("/a/x")
        assert found is not None
        assert found.value.endswith(b"two")


async def test_guards_within_one_group_see_the_writes_before_them(a_store: Opener) -> None:
    async with a_store() as store:
        outcomes: list[Outcome] = []

        async def one() -> None:
            outcomes.append(await put(store, "/a/x", "", 0))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
        assert sum(outcome.record is not None for outcome in outcomes) == 1


async def test_a_list_can_be_read_as_it_was(a_store: Opener) -> None:
    async with a_store() as store:
        for name in "abc":
            await put(store, f"/p/{name}", "old")
        then = store.revision
        await put(store, "/p/b", "new")
        await drop(store, "/p/c")
        await put(store, "/p/d", "new")
        await put(store, "/p/c", "back")
        page = await store.page("/p/", revision=then)
        assert [(record.key, record.value[-3:]) for record in page.records] == [
            ("/p/a", b"old"),
            ("/p/b", b"old"),
            ("/p/c", b"old"),
        ]
        assert page.revision == then


async def test_pages_go_on_after_a_key_and_stay_in_their_prefix(a_store: Opener) -> None:
    async with a_store() as store:
        for key in ("/o/z", "/p/a", "/p/b", "/p/c", "/q/a"):
            await put(store, key)
        first = await store.page("/p/", limit=2)
        assert [record.key for record in first.records] == ["/p/a", "/p/b"]
        assert first.more
        second = await store.page("/p/", after="/p/b", limit=2, revision=first.revision)
        assert [record.key for record in second.records] == ["/p/c"]
        assert not second.more
        assert await store.count("/p/", after="/p/a") == 2


async def test_a_resumed_watch_continues_with_live_events(a_store: Opener) -> None:
    async with a_store(ring_events=3) as store:
        start = store.revision
        await put(store, "/p/a")
        watch = store.watch("/p/", after=start)
        await put(store, "/p/b")
        await put(store, "/q/b")
        found = []
        with anyio.fail_after(5):
            while len(found) < 2:
                found += [event.key for event in await watch.batch()]
        assert found == ["/p/a", "/p/b"]
        with anyio.move_on_after(0.01):
            await watch.batch()
        assert watch.progress == store.revision


async def test_a_slow_watcher_is_ended_and_blocks_nobody(a_store: Opener) -> None:
    async with a_store(watch_queue=3) as store:
        slow = store.watch("/p/", after=store.revision)
        quick = store.watch("/p/", after=store.revision)
        for index in range(5):
            await put(store, f"/p/{index}")
            assert len(await quick.batch()) == 1
        with pytest.raises(SlowWatcherError):
            await slow.batch()
        quick.close()
        assert len(store.hub) == 0


async def test_writes_are_refused_after_closing(a_store: Opener) -> None:
    async with a_store() as store:
        await put(store, "/p/a")
    with pytest.raises(StoreError, match="closed"):
        await put(store, "/p/b")


async def test_a_watch_resumes_from_memory(a_store: Opener) -> None:
    async with a_store() as store:
        start = store.revision
        for index in range(8):
            await put(store, f"/{'pq'[index % 2]}/{index}")
        expected = [(start + 1 + index, f"/p/{index}") for index in range(0, 8, 2)]
        assert await events(store, "/p/", start, 4) == expected
        assert await events(store, "/p/", start + 3, 2) == expected[2:]


async def test_a_deletion_shows_the_last_state_with_its_own_revision(a_store: Opener) -> None:
    async with a_store() as store:
        await put(store, "/p/a", "last")
        watch = store.watch("/p/", after=store.revision)
        await drop(store, "/p/a", "last")
        (event,) = await taken(watch, 1)
        assert event.deleted
        assert event.value == b"<%d>last" % event.revision
        assert event.previous is not None
        assert event.previous.endswith(b">last")
        assert (await drop(store, "/p/a")).failed == Compare("/p/a", -1)
        again = await wrote(store, "/p/a", "anew", 0)
        assert again.create_revision == again.revision


async def test_what_is_no_longer_kept_is_refused(a_store: Opener) -> None:
    async with a_store(ring_events=3, history_seconds=100) as store:
        start = store.revision
        for index in range(30):
            await put(store, f"/p/{index % 4}", str(index))
        await drop(store, "/p/0")
        before = store.revision
        a_store.clock.advance(1000)
        await put(store, "/p/9")
        assert await store.compact() >= before - 1
        with pytest.raises(CompactedError):
            store.watch("/p/", after=start)
        with pytest.raises(CompactedError):
            await store.page("/p/", revision=start + 3)
        now = await store.page("/p/")
        assert [record.key for record in now.records] == ["/p/1", "/p/2", "/p/3", "/p/9"]
        assert await events(store, "/p/", before, 1) == [(before + 1, "/p/9")]


async def test_revisions_go_on_after_a_restart(a_store: Opener) -> None:
    async with a_store() as store:
        first = await wrote(store, "/p/a", "one")
        last = (await wrote(store, "/p/b", "two")).revision
    async with a_store() as store:
        assert store.revision == last
        assert await store.get("/p/a") == first
        assert (await wrote(store, "/p/c")).revision == last + 1


async def test_a_long_list_is_of_one_moment(a_store: Opener) -> None:
    async with a_store() as store:
        async with anyio.create_task_group() as tasks:
            for worker in range(20):

                async def create(worker: int = worker) -> None:
                    for index in range(80):
                        await put(store, f"/p/{worker:02}/{index:02}", "x" * (index * 20))

                tasks.start_soon(create)
        then = await store.newest()
        stop = False

        async def change() -> None:
            index = 0
            while not stop:
                index += 1
                await put(store, f"/p/{index % 20:02}/{index % 80:02}", "changed")
                await drop(store, f"/p/{index % 19:02}/{index % 77:02}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            for _ in range(5):
                page = await store.page("/p/")
                again = await store.page("/p/", revision=page.revision)
                assert list(again.records) == list(page.records)
                assert max(record.revision for record in page.records) <= page.revision
                keys = [record.key for record in page.records]
                assert keys == sorted(set(keys))
            old = await store.page("/p/", revision=then)
            stop = True
        assert len(old.records) == 1600
        assert all(len(r.value) < 1600 and r.revision <= then for r in old.records)


@pytest.mark.parametrize("sizes", [[0], [0, 0, 0], [300_000] * 5, [1, 2_000_000, 0, 40_000] * 3])
async def test_values_of_any_size_and_content(a_store: Opener, sizes: list[int]) -> None:
    async with a_store() as store:
        expected = {}
        for number, size in enumerate(sizes):
            content = bytes((7 * number + at) % 256 for at in range(256)) * (size // 256 + 1)
            text = content[:size].decode("latin-1")
            record = await wrote(store, f"/p/{number:03}é", text[:1_000_000])
            expected[record.key] = record
        for limit in (0, 1, 2):
            found, after, more = {}, "", True
            while more:
                page = await store.page("/p/", after=after, limit=limit)
                found |= {record.key: record for record in page.records}
                after, more = page.records[-1].key, page.more
            assert found == expected
        assert await store.get("/p/000é") == expected["/p/000é"]


async def test_a_listener_sees_every_write_before_it_is_acknowledged(a_store: Opener) -> None:
    async with a_store() as store:
        await put(store, "/p/before")
        seen = Seen()
        store.listen(seen)
        page = await store.page("/")

        async def work(worker: int) -> None:
            for index in range(10):
                record = await wrote(store, f"/p/{worker}/{index}")
                assert seen.revisions[-1] >= record.revision
                assert record.revision in seen.revisions

        async with anyio.create_task_group() as tasks:
            for worker in range(8):
                tasks.start_soon(work, worker)
        await drop(store, "/p/0/0")
        assert seen.revisions == sorted(set(seen.revisions))
        assert min(seen.revisions) > page.revision
        state = {record.key: record.value for record in page.records} | seen.state
        now = await store.page("/")
        assert {r.key: r.value for r in now.records} == {k: v for k, v in state.items() if v}


async def test_a_transaction_may_guard_other_keys(a_store: Opener) -> None:
    async with a_store() as store:
        space = await wrote(store, "/n/a")
        write = Write("/p/a", Template(b"<", b">"))
        guards = (Compare("/p/a", 0), Compare("/n/a", space.revision))
        assert (await store.commit(Txn(guards, write))).record is not None
        await wrote(store, "/n/a")
        other = Write("/p/b", Template(b"<", b">"))
        failed = await store.commit(Txn((Compare("/p/b", 0), guards[1]), other))
        assert failed == Outcome(None, guards[1])
        assert await store.get("/p/b") is None


async def test_events_tell_what_was_before(a_store: Opener) -> None:
    async with a_store() as store:
        watch = store.watch("/p/", after=store.revision)
        one = await wrote(store, "/p/a", "one")
        two = await wrote(store, "/p/a", "two")
        assert await taken(watch, 2) == [
            Event(one.revision, "/p/a", False, True, one.value, None),
            Event(two.revision, "/p/a", False, False, two.value, one.value),
        ]
        assert two.create_revision == one.revision
