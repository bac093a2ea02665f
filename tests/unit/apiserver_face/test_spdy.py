import zlib

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver.streams import spdy
from cloudwright.apiserver.streams.dictionary import DICTIONARY
from cloudwright.apiserver.streams.session import SpdySession

header_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
headers = st.dictionaries(header_text.map(str.lower), header_text, max_size=5)
numbers = st.integers(1, 1 << 20)


def frames(codec, actions):
    out = b""
    for name, *arguments in actions:
        out += getattr(codec, name)(*arguments)
    return out


actions = st.lists(
    st.one_of(
        st.tuples(st.just("open"), numbers, headers),
        st.tuples(st.just("reply"), numbers, headers),
        st.tuples(st.just("data"), numbers, st.binary(max_size=100)),
        st.tuples(st.just("reset"), numbers, st.integers(1, 11)),
        st.tuples(st.just("ping"), numbers),
        st.tuples(st.just("goaway"), numbers),
    ),
    max_size=12,
)


def expected(action):
    name, *arguments = action
    kinds = {
        "open": spdy.StreamOpened,
        "reply": spdy.StreamReplied,
        "data": spdy.DataReceived,
        "reset": spdy.StreamReset,
        "ping": spdy.PingReceived,
        "goaway": spdy.GoneAway,
    }
    return kinds[name](*arguments)


def test_the_dictionary_is_the_protocol_s():
    # the checksum that a zlib header carries for it (RFC 1950, FDICT)
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(actions, st.integers(1, 50))
def test_what_is_framed_is_read_whatever_the_pieces(chosen, size):
    raw = frames(spdy.Codec(), chosen)
    reader = spdy.Codec()
    events = []
    for at in range(0, len(raw), size):
        events += list(reader.receive(raw[at : at + size]))
    assert events == [expected(action) for action in chosen]


@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_a_protocol_error(data):
    codec = spdy.Codec()
    try:
        list(codec.receive(data))
    except spdy.SpdyError:
        return


@given(actions.filter(bool), st.data())
def test_a_flipped_byte_is_events_or_a_protocol_error(chosen, data):
    raw = bytearray(frames(spdy.Codec(), chosen))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        list(spdy.Codec().receive(bytes(raw)))
    except spdy.SpdyError:
        return


def test_large_data_is_cut_into_frames_and_only_the_last_ends_the_stream():
    data = bytes(100_000)
    events = list(spdy.Codec().receive(spdy.Codec().data(3, data, fin=True)))
    assert b"".join(e.data for e in events) == data
    assert [e.fin for e in events] == [False] * (len(events) - 1) + [True]


def test_limits_hold_against_bombs():
    with pytest.raises(spdy.SpdyError, match="over the limit"):
        list(spdy.Codec().receive(b"\x80\x03\x00\x01\x00\xff\xff\xff"))
    bomb = spdy.Codec().open(1, {"a": "x" * 200_000})
    with pytest.raises(spdy.SpdyError, match="over the limit"):
        list(spdy.Codec().receive(bomb))


class Pipe:
    """A wire whose other end is a test."""

    def __init__(self):
        self.to_server, self._read = anyio.create_memory_object_stream[bytes](100)
        self.sent = bytearray()

    async def receive(self):
        try:
            return await self._read.receive()
        except anyio.EndOfStream:
            return b""

    async def send(self, data):
        self.sent += data

    async def aclose(self):
        self.to_server.close()


@pytest.mark.anyio
async def test_a_session_answers_streams_pings_and_carries_data():
    pipe, client = Pipe(), spdy.Codec()
    session = SpdySession(pipe)
    echoed = anyio.Event()

    async with anyio.create_task_group() as tasks:

        async def opened(stream):
            async def echo():
                while data := await stream.receive():
                    await stream.send(data.upper())
                await stream.close()
                echoed.set()

            assert stream.headers["streamtype"] == "data"
            tasks.start_soon(echo)

        tasks.start_soon(session.run, opened)
        await pipe.to_server.send(client.open(1, {"streamType": "data"}) + client.ping(7))
        await pipe.to_server.send(client.data(1, b"abc") + client.data(1, b"", fin=True))
        await echoed.wait()
        await pipe.aclose()
    events = list(spdy.Codec().receive(bytes(pipe.sent)))
    assert spdy.StreamReplied(1, {}) in events
    assert spdy.PingReceived(7) in events
    data = [e for e in events if isinstance(e, spdy.DataReceived)]
    assert b"".join(e.data for e in data) == b"ABC"
    assert data[-1].fin


@pytest.mark.anyio
async def test_a_session_refuses_streams_over_its_limit_and_ends_on_nonsense():
    pipe, client = Pipe(), spdy.Codec()
    session = SpdySession(pipe, streams_max=1)
    seen = []

    async def opened(stream):
        seen.append(stream)

    await pipe.to_server.send(client.open(1, {}) + client.open(3, {}))
    await pipe.to_server.send(b"\x80\x09\x00\x01\x00\x00\x00\x00")  # version 9
    await session.run(opened)
    assert len(seen) == 1
    events = list(spdy.Codec().receive(bytes(pipe.sent)))
    assert spdy.StreamReset(3, spdy.REFUSED_STREAM) in events
    assert await seen[0].receive() == b""
