"""Watch connections that the server's fan-out has: what clients see of that, which is nothing."""

import json
import struct

import anyio
import pytest
from anyio import to_thread

from cloudwright.model import golang

from .http_world import MAPS, TIMEOUT, world

pytestmark = pytest.mark.anyio
PROTOBUF = "application/vnd.kubernetes.protobuf;stream=watch"
ONLY = "watch=1&fieldSelector=metadata.name%3D"
INITIAL = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"


@pytest.fixture
async def here(tmp_path):
    async with world(tmp_path) as made:
        yield made


def request(path, *, version="1.1", accept="application/json", more=""):
    head = f"GET {path} HTTP/{version}\r\nhost: localhost\r\naccept: {accept}\r\n{more}\r\n"
    return head.encode()


class Answers:
    """Answers one after the other on one connection, read to their ends."""

    def __init__(self, connection):
        self.file = connection.makefile("rb")

    def head(self):
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def chunk(self):
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.read(2) == b"\r\n"
        return data

    def body(self, headers):
        if "content-length" in headers:
            return self.file.read(int(headers["content-length"]))
        return b"".join(iter(self.chunk, b""))


async def test_a_connection_goes_on_after_its_watch(here):
    version = (await here.create("k"))["metadata"]["resourceVersion"]
    watch = f"{MAPS}?{ONLY}k&resourceVersion={version}&timeoutSeconds=1"

    def talk(ahead):
        with here.raw() as connection:
            answers = Answers(connection)
            connection.sendall(request(watch) + (request(f"{MAPS}/k") if ahead else b""))
            status, headers = answers.head()
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert answers.body(headers) == b""
            for _ in range(2):
                if not ahead:
                    connection.sendall(request(f"{MAPS}/k"))
                ahead = False
                status, headers = answers.head()
                assert status == 200
                assert json.loads(answers.body(headers))["metadata"]["name"] == "k"
            # And once more the same way.
            connection.sendall(request(watch))
            status, headers = answers.head()
            assert status == 200
            assert answers.body(headers) == b""

    await to_thread.run_sync(talk, False)
    await to_thread.run_sync(talk, True)
    await here.until_metric(0, "apiserver_longrunning_requests", 'resource="configmaps"')


async def test_a_client_without_chunks_gets_lines_to_the_end(here):
    version = (await here.create("old"))["metadata"]["resourceVersion"]
    path = f"{MAPS}?{ONLY}old&resourceVersion={version}"
    opened = anyio.Event()

    def talk():
        with here.raw() as connection:
            connection.sendall(request(path, version="1.0"))
            answers = Answers(connection)
            status, headers = answers.head()
            assert status == 200
            assert "transfer-encoding" not in headers
            anyio.from_thread.run_sync(opened.set)
            return answers.file.readline()

    async with anyio.create_task_group() as tasks:

        async def change():
            await opened.wait()
            await here.change("old", k="1")

        tasks.start_soon(change)
        line = await to_thread.run_sync(talk)
    assert json.loads(line)["object"]["data"] == {"k": "1"}


def frames(data):
    """The frames of a protobuf stream."""
    found = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        found.append(data[: 4 + size])
        data = data[4 + size :]
    return found


@pytest.mark.parametrize("form", ["", ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"])
async def test_protobuf_watches_say_the_same(here, form):
    version = (await here.create("p"))["metadata"]["resourceVersion"]
    path = f"{MAPS}?{ONLY}p&resourceVersion={version}"
    open_now = ("apiserver_longrunning_requests", 'resource="configmaps"')

    def follow(accept, kind, apart):
        with here.raw() as connection:
            connection.sendall(request(path, accept=accept))
            answers = Answers(connection)
            status, headers = answers.head()
            assert (status, headers["content-type"]) == (200, kind)
            events = []
            while len(events) < 4:
                events += apart(answers.chunk())
            return events

    found = {}

    async def one(*how):
        found[how[1]] = await to_thread.run_sync(follow, *how)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, f"application/json{form}", "application/json", bytes.splitlines)
        for _ in range(2):
            tasks.start_soon(one, f"application/vnd.kubernetes.protobuf{form}", PROTOBUF, frames)
        await here.until_metric(3, *open_now)
        for number in range(3):
            await here.change("p", k=str(number))
        await here.ask("DELETE", f"{MAPS}/p")
    lines = found["application/json"]
    assert [json.loads(line)["type"] for line in lines] == ["MODIFIED"] * 3 + ["DELETED"]
    assert found[PROTOBUF] == [golang.encode_event(line) for line in lines]


async def test_a_slow_protobuf_watcher_is_told_in_protobuf(tmp_path):
    async with world(tmp_path, face={"watch_queue": 4}) as here:
        version = (await here.create("s"))["metadata"]["resourceVersion"]
        path = f"{MAPS}?watch=1&resourceVersion={version}"
        with here.raw() as connection:
            accept = "application/vnd.kubernetes.protobuf"
            await to_thread.run_sync(connection.sendall, request(path, accept=accept))
            with anyio.fail_after(TIMEOUT):
                number = 0
                while not await here.metric("cloudwright_apiserver_slow_watches_total"):
                    await here.change("s", k=f"{number} " + "x" * 500_000)
                    number += 1
            answers = Answers(connection)
            _, headers = answers.head()
            *_, last = frames(await to_thread.run_sync(answers.body, headers))
    assert b"ERROR" in last
    assert b"list again" in last
    assert b"{" not in last


async def test_watches_that_begin_amid_writes_miss_nothing(here):
    version = int((await here.create("busy", n="0"))["metadata"]["resourceVersion"])
    writes, watchers = 60, 24
    missed = []

    async def write():
        for number in range(1, writes + 1):
            await here.change("busy", n=str(number))

    async def follow(number):
        # From the beginning, from now, and everything that exists first.
        query = [f"watch=1&resourceVersion={version}", "watch=1", INITIAL][number % 3]
        await anyio.sleep(number / 100)
        async with here.watch(f"{MAPS}?{query}") as seen:
            last = None
            while last != writes:
                event = await seen.next()
                if event["type"] == "BOOKMARK" or event["object"]["metadata"]["name"] != "busy":
                    continue
                now = int(event["object"]["data"]["n"])
                if last is not None and now != last + 1:
                    missed.append((number, last, now))
                last = now

    with anyio.fail_after(TIMEOUT):
        async with anyio.create_task_group() as tasks:
            for number in range(watchers):
                tasks.start_soon(follow, number)
            tasks.start_soon(write)
    assert missed == []


async def test_a_read_after_an_event_is_not_older(here):
    """What a watcher was shown is in the memory that answers its next read."""
    version = (await here.create("r"))["metadata"]["resourceVersion"]
    assert (await here.ask("GET", f"{MAPS}/r")).status == 200
    async with (
        here.watch(f"{MAPS}?watch=1&resourceVersion={version}") as seen,
        anyio.create_task_group() as tasks,
    ):

        async def write():
            for number in range(30):
                await here.change("r", k=str(number))

        tasks.start_soon(write)
        for _ in range(30):
            shown = (await seen.next())["object"]["metadata"]["resourceVersion"]
            read = (await here.ask("GET", f"{MAPS}/r")).json["metadata"]["resourceVersion"]
            assert int(read) >= int(shown)
