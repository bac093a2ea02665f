"""Watches that share a connection of HTTP/2."""

import json

import anyio
import h2.config
import h2.connection
import h2.events
import pytest
from anyio import from_thread, to_thread

from .http_world import MAPS, TIMEOUT, world

pytestmark = pytest.mark.anyio
OPEN = ("apiserver_longrunning_requests", 'resource="configmaps"')


class Streams:
    """A connection with watches; what comes is kept by stream."""

    def __init__(self, secure):
        self.secure = secure
        self.http = h2.connection.H2Connection(h2.config.H2Configuration())
        self.http.initiate_connection()
        self.http.increment_flow_control_window(2**30)
        self.data = {}
        self.ended = set()
        self.closed = set()
        self.send()

    def send(self):
        self.secure.sendall(self.http.data_to_send())

    def get(self, path):
        stream = self.http.get_next_available_stream_id()
        headers = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", "x")]
        self.http.send_headers(stream, headers, end_stream=True)
        self.data[stream] = b""
        self.send()
        return stream

    def leave(self, stream):
        self.http.reset_stream(stream)
        self.closed.add(stream)
        self.send()

    def open_window(self, stream):
        self.http.increment_flow_control_window(2**30, stream)
        self.send()

    def lines(self, stream):
        return [json.loads(line) for line in self.data[stream].splitlines(keepends=True)
                if line.endswith(b"\n")]  # fmt: skip

    def until(self, true):
        """Read until the condition holds."""
        while not true():
            for event in self.http.receive_data(self.secure.recv(1 << 16)):
                if isinstance(event, h2.events.DataReceived):
                    if event.stream_id not in self.closed:
                        self.data[event.stream_id] += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
            self.send()


@pytest.fixture
def streams():
    return lambda here: here.raw(here.context(here.pki.client("h2", "h2", ["system:masters"]),
                                              alpn="h2"))  # fmt: skip


async def test_watches_of_one_connection_see_everything_in_order(tmp_path, streams):
    async with world(tmp_path) as here:
        version = (await here.create("m"))["metadata"]["resourceVersion"]
        path = f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dm&resourceVersion={version}"
        writes, watchers = 20, 50

        def talk():
            with streams(here) as secure:
                talking = Streams(secure)
                all_ = [talking.get(path) for _ in range(watchers)]
                left = talking.get(path)
                from_thread.run(here.until_metric, watchers + 1, *OPEN)
                talking.leave(left)
                from_thread.run(here.until_metric, watchers, *OPEN)

                async def write():
                    for number in range(writes):
                        await here.change("m", k=str(number))

                from_thread.run(write)
                talking.until(lambda: all(len(talking.lines(one)) == writes for one in all_))
                for one in all_:
                    seen = [event["object"]["data"]["k"] for event in talking.lines(one)]
                    assert seen == [str(number) for number in range(writes)]

        with anyio.fail_after(TIMEOUT):
            await to_thread.run_sync(talk)
        await here.until_metric(0, *OPEN)


async def test_a_stream_that_takes_nothing_is_ended_and_the_others_go_on(tmp_path, streams):
    async with world(tmp_path, face={"watch_queue": 4}) as here:
        version = (await here.create("s"))["metadata"]["resourceVersion"]
        path = f"{MAPS}?watch=1&fieldSelector=metadata.name%3Ds&resourceVersion={version}"

        def talk():
            with streams(here) as secure:
                talking = Streams(secure)
                sleeper, reader = talking.get(path), talking.get(path)
                # The stream's window is 64 KiB.
                talking.open_window(reader)
                from_thread.run(here.until_metric, 2, *OPEN)
                number = 0
                while not from_thread.run(here.metric, "cloudwright_apiserver_slow_watches_total"):
                    wide = f"{number} " + "x" * 20_000
                    from_thread.run(lambda wide=wide: here.change("s", k=wide))
                    number += 1
                    talking.until(lambda: len(talking.lines(reader)) == number)  # noqa: B023
                talking.open_window(sleeper)
                talking.until(lambda: sleeper in talking.ended)
                assert talking.lines(sleeper)[-1]["object"]["code"] == 410
                from_thread.run(lambda: here.change("s", k="on"))
                talking.until(lambda: len(talking.lines(reader)) == number + 1)
                assert talking.lines(reader)[-1]["object"]["data"] == {"k": "on"}

        with anyio.fail_after(TIMEOUT):
            await to_thread.run_sync(talk)
