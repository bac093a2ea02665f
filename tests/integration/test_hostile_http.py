"""Clients of the API server that do not keep to HTTP, or keep to it too well: whatever they do,
memory stays bounded, and the server is up and answers others meanwhile.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from anyio import to_thread

from tests.integration.http_world import MAPS, TIMEOUT, World, world

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
PAGE = os.sysconf("SC_PAGE_SIZE")
SHORT = 1.0
"""Seconds that the server waits for a client, where a test is about that."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, face={"keep_alive_seconds": SHORT}) as made:
        yield made


def resident() -> int:
    """Bytes of memory that this process (the server's) has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def is_well(here: World) -> None:
    """Others are answered: from memory, from the program, and writes."""
    for path in ("/readyz", MAPS, "/version"):
        assert (await here.ask("GET", path)).status == 200
    answer = await here.ask("POST", MAPS, {"metadata": {"generateName": "well-"}})
    assert answer.status == 201, answer.body


async def during(here: World, attack: Callable[[], Any]) -> Any:
    """The attack's outcome, while others are answered."""
    found: list[Any] = []
    done = anyio.Event()

    async def attacker() -> None:
        found.append(await to_thread.run_sync(attack))
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attacker)
        while True:
            await is_well(here)
            with anyio.move_on_after(0.05):
                await done.wait()
            if done.is_set():
                break
    await is_well(here)
    return found[0]


def rest(secure: ssl.SSLSocket) -> bytes:
    """What comes until the server ends the connection."""
    found = b""
    with suppress(OSError):  # cut off, which is an end as well
        while data := secure.recv(65536):
            found += data
    return found


def said(here: World, sent: bytes, *, ends: bool = False) -> bytes:
    """What is answered to bytes until the end; ``ends``: we say that nothing more comes."""
    with here.raw() as secure:
        secure.settimeout(TIMEOUT)
        with suppress(OSError):
            secure.sendall(sent)
            if ends:
                secure.unwrap()
        return rest(secure)


# --- HTTP/1.1: what a proxy in front could read otherwise than we do


SMUGGLED = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST " + MAPS.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 0\r\ncontent-length: 5\r\n\r\n",
        b"content-length: 0, 5\r\n\r\n",
        b"content-length: +0\r\n\r\n",
        b"content-length: -1\r\n\r\n",
        b"content-length: 0x0\r\n\r\n",
        b"content-length: 99999999999999999999999\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity, chunked, chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding\r\n : chunked\r\n\r\n0\r\n\r\n",
        b" transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x: 1\r\n folded\r\n\r\n",
        b"x: a\x00b\r\n\r\n",
        b"x\x01: b\r\n\r\n",
        b": empty\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nx\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n0\r\nx: 1\r\n folded\r\n\r\n",
    ],
)
async def test_what_can_be_read_in_two_ways_smuggles_nothing(here: World, head: bytes) -> None:
    answer = await to_thread.run_sync(said, here, POST + head + SMUGGLED)
    # Refused at once or for what it is as JSON; but the request behind it is never served.
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), answer[:300]
    assert b"gitVersion" not in answer
    await is_well(here)


@pytest.mark.parametrize(
    "text",
    [
        b"GET  /version HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /version\r\n\r\n",
        b"GET /version HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET /ver\x00sion HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"G\xc3\x89T /version HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 2000 + b"\x00",
        b"GET /version HTTP/1.1\r" + b"\x00" * 100 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_request_gets_no_answer_but_400(here: World, text: bytes) -> None:
    answer = await to_thread.run_sync(said, here, text)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    await is_well(here)


async def test_requests_one_behind_the_other_are_answered_in_order(here: World) -> None:
    sent = SMUGGLED * 50 + b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await to_thread.run_sync(said, here, sent)
    assert answer.count(b"HTTP/1.1 200") == 50
    assert answer.rindex(b"HTTP/1.1 404") > answer.rindex(b"HTTP/1.1 200")


async def test_a_client_that_ends_its_half_early(here: World) -> None:
    for sent in (b"", b"GET /ver", POST + b"content-length: 100\r\n\r\n{"):
        answer = await to_thread.run_sync(lambda text=sent: said(here, text, ends=True))
        assert b"HTTP/1.1 200" not in answer
        assert b"HTTP/1.1 201" not in answer
    await is_well(here)


# --- heads and bodies without end


@pytest.mark.parametrize(
    "lines",
    [
        b"x: " + b"y" * (1 << 20) + b"\r\n",
        b"".join(b"x-%d: y\r\n" % number for number in range(20_000)),
        b"cookie: a=b\r\n" * 20_000,
    ],
)
async def test_heads_are_bounded(here: World, lines: bytes) -> None:
    answer = await to_thread.run_sync(said, here, b"GET /version HTTP/1.1\r\n" + lines + b"\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431"), answer[:100]
    await is_well(here)


async def test_slow_heads_are_sent_away_and_hold_nobody_up(hasty: World) -> None:
    def slow() -> int:
        with ExitStack() as stack:
            every = [stack.enter_context(hasty.raw()) for _ in range(60)]
            gone = 0
            for secure in every:
                secure.sendall(b"GET /readyz HTTP/1.1\r\nx: ")
            for secure in every:
                drips = 0
                with suppress(OSError):
                    while drips < 100:  # one byte each 0.1 s: never a whole head
                        secure.settimeout(0.1)
                        try:
                            if not secure.recv(1):
                                break
                        except TimeoutError:
                            secure.sendall(b"y")
                            drips += 1
                gone += drips < 100
            return gone

    assert await during(hasty, slow) == 60


async def test_slow_bodies_are_sent_away_and_hold_nobody_up(hasty: World) -> None:
    """More of them, and larger ones, than there is room for bodies: only what came counts."""
    head = POST + b"content-length: 3000000\r\n\r\n{"

    def slow() -> set[bytes]:
        with ExitStack() as stack:
            every = [stack.enter_context(hasty.raw()) for _ in range(100)]
            for secure in every:
                secure.settimeout(TIMEOUT)
                secure.sendall(head)
            return {rest(secure)[:12] for secure in every}

    assert await during(hasty, slow) <= {b"HTTP/1.1 400", b""}


async def test_a_body_that_drips_is_sent_away(hasty: World) -> None:
    def drip() -> bytes:
        with hasty.raw() as secure:
            secure.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
            with suppress(OSError):
                for _ in range(1000):
                    secure.sendall(b"1\r\n{\r\n")
                    secure.settimeout(0.05)
                    with suppress(TimeoutError):
                        return secure.recv(12)
            return b"cut off"

    assert await during(hasty, drip) in (b"HTTP/1.1 400", b"", b"cut off")


async def test_many_large_bodies_take_bounded_memory(here: World) -> None:
    before = resident()
    body = json.dumps({"metadata": {"name": "x"}, "data": {"k": "v" * (10 << 20)}}).encode()

    def send() -> list[bytes]:
        found: list[bytes] = []

        def one() -> None:
            with here.raw() as secure, suppress(OSError):
                secure.settimeout(TIMEOUT)
                head = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                secure.sendall(head + body)
                found.append(rest(secure))

        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        return found

    answers = await during(here, send)
    assert answers
    assert all(b" 413 " in one[:20] or one == b"" for one in answers)
    assert resident() - before < 200 << 20


@pytest.mark.parametrize("deep", ["[", '{"a":'])
@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_deep_nesting(here: World, deep: str, media: str) -> None:
    body = f'{{"metadata":{{"name":"x"}},"data":{deep * 20_000}'.encode()
    answer = await here.ask("POST", MAPS, body, content_type=media)
    assert answer.status == 400, answer.body[:300]
    assert answer.json["reason"] == "BadRequest"
    await is_well(here)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"{", "application/json"),
        (b'{"a": 1e999}', "application/json"),
        (b"\xff\xfe\x00", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"a: &a [*a, *a]", "application/yaml"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n- d", "application/yaml"),
        (b"k8s\x00\xff\xff\xff\xff", "application/vnd.kubernetes.protobuf"),
        (b"k8s\x00" + b"\x0a\xff\xff\xff\xff\x7f", "application/vnd.kubernetes.protobuf"),
        (gzip.compress(b"{}"), "application/json"),
    ],
)
async def test_bodies_that_are_none(here: World, body: bytes, media: str) -> None:
    answer = await here.ask("POST", MAPS, body, content_type=media)
    assert answer.status in (400, 422), answer.body  # upstream takes `null` for an empty object
    assert answer.json["kind"] == "Status"
    await is_well(here)


async def test_a_yaml_bomb_is_no_memory(here: World) -> None:
    before = resident()
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    answer = await here.ask(
        "POST", MAPS, "\n".join(lines).encode(), content_type="application/yaml"
    )
    assert answer.status in (400, 413), answer.body[:200]
    assert resident() - before < 300 << 20
    await is_well(here)


# --- HTTP/2


class Two:
    """An HTTP/2 client with its hands on the frames."""

    def __init__(self, here: World) -> None:
        context = here.context(here.pki.client("admin", "admin", ["system:masters"]), alpn="h2")
        plain = socket.create_connection(("127.0.0.1", here.serving.port), timeout=TIMEOUT)
        self.secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.secure.settimeout(180)
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.state.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.secure.sendall(self.state.data_to_send())

    def head(self, path: str = "/version") -> list[tuple[str, str]]:
        return [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "x"),
            (":path", path),
        ]

    def until_gone(self) -> bool:
        """Whether the server ends the connection (GOAWAY, or just so) in time."""
        with suppress(OSError, h2.exceptions.ProtocolError):
            while data := self.secure.recv(65536):
                for event in self.state.receive_data(data):
                    if isinstance(event, h2.events.ConnectionTerminated):
                        return event.error_code != 0
        return True

    def close(self) -> None:
        self.secure.close()


@contextmanager
def two(here: World) -> Iterator[Two]:
    client = Two(here)
    try:
        yield client
    finally:
        client.close()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame as it is on the wire."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def test_rapid_resets_end_the_connection(here: World) -> None:
    before = resident()

    def flood() -> bool:
        with two(here) as client:
            with suppress(OSError):
                for start in range(0, 20_000, 100):
                    for number in range(start, start + 100):
                        stream = 1 + 2 * number
                        client.state.send_headers(stream, client.head(MAPS), end_stream=True)
                        client.state.reset_stream(stream)
                    client.flush()
            return client.until_gone()

    assert await during(here, flood)
    assert resident() - before < 100 << 20


async def test_continuation_without_end_ends_the_connection(here: World) -> None:
    before = resident()

    def flood() -> tuple[bool, int]:
        with two(here) as client:
            sent = 0
            with suppress(OSError):
                client.secure.sendall(frame(1, 0, 1, b"\x82"))  # HEADERS without END_HEADERS
                while sent < 64 << 20:
                    client.secure.sendall(frame(9, 0, 1, b"\x00\x01a\x01b" * 3000))
                    sent += 15_000
            return client.until_gone(), sent

    gone, sent = await during(here, flood)
    assert gone
    assert sent < 64 << 20
    assert resident() - before < 100 << 20


@pytest.mark.parametrize(
    "frames",
    [
        frame(0, 1, 0, b"x"),  # DATA on no stream
        frame(0, 1, 1, b"x"),  # DATA before HEADERS
        frame(1, 4, 2, b"\x82"),  # an even number
        frame(1, 4, 1, b"\xff" * 10),  # no HPACK
        frame(4, 0, 0, b"\x00" * 5),  # SETTINGS of a wrong size
        frame(4, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF)),  # a window too large
        frame(8, 0, 0, struct.pack(">I", 0)),  # a window of nothing more
        frame(6, 0, 0, b"short"),  # PING of a wrong size
        frame(9, 4, 1, b""),  # CONTINUATION of nothing
        frame(5, 4, 1, b"\x00" * 8),  # PUSH_PROMISE of a client
        frame(0, 0, 1, b"\x00" * ((1 << 24) - 1)),  # larger than agreed
    ],
)
async def test_broken_frames_end_the_connection(here: World, frames: bytes) -> None:
    def send() -> bool:
        with two(here) as client:
            with suppress(OSError):
                client.secure.sendall(frames)
            return client.until_gone()

    assert await to_thread.run_sync(send)
    await is_well(here)


async def test_pings_and_settings_without_end_take_no_memory(here: World) -> None:
    before = resident()

    def flood() -> None:
        with two(here) as client, suppress(OSError):
            client.secure.settimeout(5)
            for _ in range(200):  # we read nothing of what is answered
                client.secure.sendall(frame(6, 0, 0, b"12345678") * 200 + frame(4, 0, 0) * 200)

    await during(here, flood)
    assert resident() - before < 100 << 20


async def test_large_heads_over_http2_are_refused(here: World) -> None:
    def ask() -> str:
        with two(here) as client:
            large = [(f"x-{number}", "y" * 1000) for number in range(200)]
            with suppress(OSError):
                client.state.send_headers(1, client.head() + large, end_stream=True)
                client.flush()
            while data := client.secure.recv(65536):
                for event in client.state.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[b":status"].decode()
                    if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                        return "reset"
            return "gone"

    with suppress(OSError):
        assert await to_thread.run_sync(ask) in ("431", "reset", "gone")
    await is_well(here)


async def test_a_client_that_says_nothing_over_http2_is_sent_away(hasty: World) -> None:
    def silent() -> bytes:
        with hasty.raw(hasty.context(None, alpn="h2")) as secure:
            secure.settimeout(TIMEOUT)
            return rest(secure)

    await to_thread.run_sync(silent)  # it ends
    await is_well(hasty)


async def test_streams_that_nobody_reads_hold_nobody_up(here: World) -> None:
    before = resident()
    for number in range(10):
        await here.create(f"big-{number}", k="v" * 500_000)

    def ask() -> None:
        with two(here) as client, suppress(OSError):
            for number in range(40):
                client.state.send_headers(1 + 2 * number, client.head(MAPS), end_stream=True)
            client.flush()
            client.secure.settimeout(2)
            with suppress(TimeoutError):
                client.secure.recv(1)

    await during(here, ask)
    assert resident() - before < 300 << 20


# --- TLS


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x00" * 70_000,
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 40,
        os.urandom(4096),
    ],
)
async def test_what_is_no_tls_is_cut_off(here: World, sent: bytes) -> None:
    def send() -> bytes:
        with socket.create_connection(("127.0.0.1", here.serving.port), TIMEOUT) as plain:
            found = b""
            with suppress(OSError):
                plain.sendall(sent)
                while data := plain.recv(4096):
                    found += data
            return found

    answer = await to_thread.run_sync(send)
    assert not answer.startswith(b"HTTP/")
    assert answer[:1] in (b"", b"\x15")  # at most an alert
    await is_well(here)


@pytest.mark.parametrize("alpn", [["spdy/3.1"], ["h3", "foo"], [], ["http/1.1", "h2"]])
async def test_protocols_that_are_not_spoken(here: World, alpn: list[str]) -> None:
    def ask() -> bytes:
        context = here.context(here.pki.client("admin", "admin", ["system:masters"]))
        context.set_alpn_protocols(alpn or ["http/1.1"])
        try:
            with here.raw(context) as secure:
                secure.settimeout(TIMEOUT)
                if secure.selected_alpn_protocol() == "h2":
                    return b"h2"
                secure.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return rest(secure)[:12]
        except ssl.SSLError:
            return b"refused"

    answer = await to_thread.run_sync(ask)
    known = b"h2" if "h2" in alpn else b"HTTP/1.1 200"
    assert answer in ((known,) if not alpn or "http/1.1" in alpn else (known, b"refused"))
    await is_well(here)


# --- very many watches of one client


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_five_thousand_watches_of_one_client(here: World) -> None:
    """Over few connections, as client-go does it; memory is bounded, others are answered, and an
    event reaches every watch.
    """
    before, count, each = resident(), 5000, 900

    def watch() -> tuple[int, int]:
        with ExitStack() as stack:
            clients = [stack.enter_context(two(here)) for _ in range(-(-count // each))]
            mine = [min(each, count - each * number) for number in range(len(clients))]
            with ThreadPoolExecutor(len(clients)) as pool:
                outcomes = list(pool.map(told, clients, mine))
            return sum(ok for ok, _ in outcomes), sum(seen for _, seen in outcomes)

    def told(client: Two, streams: int) -> tuple[int, int]:
        """How many watches were opened, and how many saw the new object. A hundred are asked for
        at once: thousands that wait for their answers are refused (429), as they should be.
        """
        asked, opened, seen = 0, 0, set[int]()
        texts: dict[int, bytes] = {}
        client.state.increment_flow_control_window(1 << 28)
        while len(seen) < streams:
            if asked == opened and asked < streams:
                wanted = min(asked + 100, streams)
                for number in range(asked, wanted):
                    client.state.send_headers(1 + 2 * number, client.head(path), end_stream=True)
                asked = wanted
                client.flush()
            data = client.secure.recv(1 << 16)
            assert data, "the server ended a connection"
            for event in client.state.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    assert dict(event.headers)[b":status"] == b"200"
                    opened += 1
                elif isinstance(event, h2.events.DataReceived):
                    stream = event.stream_id
                    texts[stream] = texts.get(stream, b"") + event.data
                    if b'"name":"told"' in texts[stream]:
                        seen.add(stream)
            client.flush()
        return opened, len(seen)

    async def open_watches(wanted: int) -> None:
        with anyio.fail_after(180):
            while await here.metric("apiserver_longrunning_requests", 'verb="WATCH"') != wanted:
                await anyio.sleep(0.2)

    version = (await here.ask("GET", MAPS)).json["metadata"]["resourceVersion"]
    path = f"{MAPS}?watch=1&resourceVersion={version}"
    async with anyio.create_task_group() as tasks:
        outcome: list[tuple[int, int]] = []

        async def run() -> None:
            outcome.append(await to_thread.run_sync(watch))

        tasks.start_soon(run)
        await open_watches(count)
        await is_well(here)
        await here.create("told", k="v")
        await is_well(here)
    assert outcome == [(count, count)]
    assert resident() - before < 400 << 20
    await open_watches(0)
    await is_well(here)
