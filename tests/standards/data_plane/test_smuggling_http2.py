"""What HTTP/2 can carry and HTTP/1.1 cannot must not come out of the gateway as HTTP/1.1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.standards.data_plane.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Connection,
    block,
    frame,
    request,
)
from tests.standards.data_plane.recorder import Recorder, key_of, recording
from tests.standards.data_plane.world import WAYS, Edge, edge, known_fault

INJECTED = "x\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
Field = tuple[str, str]


def replaced(path: str, name: str, value: str) -> list[Field]:
    """A request with another value of a pseudo-header."""
    return [(one, value if one == name else old) for one, old in request(path)]


def without(path: str, name: str) -> list[Field]:
    """A request that lacks one."""
    return [pair for pair in request(path) if pair[0] != name]


MALFORMED: dict[str, list[Field]] = {
    "transfer-encoding": request("/<id>", "POST", ("transfer-encoding", "chunked")),
    "connection": request("/<id>", "GET", ("connection", "close")),
    "keep-alive": request("/<id>", "GET", ("keep-alive", "1")),
    "proxy-connection": request("/<id>", "GET", ("proxy-connection", "close")),
    "upgrade": request("/<id>", "GET", ("upgrade", "h2c")),
    "te other than trailers": request("/<id>", "GET", ("te", "gzip")),
    "CRLF in a value": request("/<id>", "GET", ("x", INJECTED)),
    "LF in a value": request("/<id>", "GET", ("x", "a\nb: c")),
    "NUL in a value": request("/<id>", "GET", ("x", "a\0b")),
    "CRLF in a name": request("/<id>", "GET", ("x\r\nb", "c")),
    "colon in a name": request("/<id>", "GET", ("x:y", "c")),
    "space in a name": request("/<id>", "GET", ("x y", "c")),
    "capital in a name": request("/<id>", "GET", ("X", "c")),
    "empty name": request("/<id>", "GET", ("", "c")),
    "CRLF in the path": replaced("/<id>", ":path", "/<id> HTTP/1.1\r\nX: y\r\n\r\n" + INJECTED),
    "space in the path": replaced("/<id>", ":path", "/<id> HTTP/1.1"),
    "empty path": replaced("/<id>", ":path", ""),
    "path without a slash": replaced("/<id>", ":path", "<id>"),
    "CRLF in the method": replaced("/<id>", ":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
    "space in the method": replaced("/<id>", ":method", "GET /smuggled HTTP/1.1"),
    "CRLF in the authority": replaced("/<id>", ":authority", "h\r\nX: y"),
    "space in the authority": replaced("/<id>", ":authority", "h x"),
    "user in the authority": replaced("/<id>", ":authority", "u@h"),
    "slash in the authority": replaced("/<id>", ":authority", "h/smuggled"),
    "no method": without("/<id>", ":method"),
    "no path": without("/<id>", ":path"),
    "no scheme": without("/<id>", ":scheme"),
    "no authority, no host": without("/<id>", ":authority"),
    "two methods": [(":method", "POST"), *request("/<id>")],
    "two paths": [*request("/<id>"), (":path", "/other")],
    "unknown pseudo-header": [*request("/<id>"), (":x", "y")],
    "pseudo-header at the end": [*without("/<id>", ":path"), ("x", "y"), (":path", "/<id>")],
    "status in a request": [*request("/<id>"), (":status", "200")],
    "two different lengths": request(
        "/<id>", "POST", ("content-length", "0"), ("content-length", "5")
    ),
    "length that is none": request("/<id>", "POST", ("content-length", "+0")),
    "length without content": request("/<id>", "POST", ("content-length", "5")),
    "other host": request("/<id>", "GET", ("host", "evil")),
    "two hosts": request("/<id>", "GET", ("host", "h"), ("host", "h")),
}
TOLERATED = {"other host", "two hosts"}


Judged = tuple[Edge, Recorder]


@pytest.fixture(scope="module", params=WAYS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judged]:
    directory = tmp_path_factory.mktemp("smuggling2")
    with recording() as recorder, edge(directory, request.param, recorder.port) as made:
        yield made, recorder


def of(name: str, fields: list[Field]) -> tuple[str, list[Field]]:
    """A case's key, and its fields with it."""
    key = key_of(list(MALFORMED).index(name))
    return key, [(one, value.replace("<id>", key)) for one, value in fields]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_do_not_arrive(
    front: Judged, name: str, request: pytest.FixtureRequest
) -> None:
    if name == "user in the authority":
        known_fault(request, "proxy: user information in :authority is passed on")
    made, recorder = front
    key, fields = of(name, MALFORMED[name])
    with Connection(made.port) as connection:
        connection.ask(1, fields)
        status, _ = connection.answer(1)
    arrived = recorder.of(key) + recorder.of("smuggled")
    assert not recorder.violations
    if name in TOLERATED:
        # RFC 9113, 8.3.1: :authority is what counts, and it is the one thing that is told.
        assert [one.values("host") for one in arrived] in ([], [["h"]])
        return
    assert not arrived, f"{status}: {arrived}"
    assert status in ("reset", "goaway", "closed") or status.startswith("4"), status


@pytest.mark.parametrize(
    ("name", "sent"), {"less": b"abc", "more": b"abcdefg", "nothing": b""}.items()
)
def test_content_that_contradicts_its_length_never_arrives_whole(
    front: Judged, name: str, sent: bytes
) -> None:
    made, recorder = front
    path = f"/length-{name}"
    with Connection(made.port) as connection:
        fields = request(path, "POST", ("content-length", "5"))
        connection.send(
            frame(HEADERS, END_HEADERS, 1, block(fields)), frame(DATA, END_STREAM, 1, sent)
        )
        status, _ = connection.answer(1)
    assert status in ("reset", "goaway", "closed") or status[0] in "45", status
    assert not recorder.of(path)
    assert not recorder.violations


def test_trailers_carry_no_framing(front: Judged) -> None:
    made, recorder = front
    with Connection(made.port) as connection:
        trailers = block([("content-length", "50"), ("transfer-encoding", "chunked")])
        connection.send(
            frame(HEADERS, END_HEADERS, 1, block(request("/trailers", "POST"))),
            frame(DATA, 0, 1, b"hello"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers),
        )
        connection.answer(1)
    assert not recorder.violations


def test_cookies_arrive_as_one_field(front: Judged) -> None:
    """RFC 9113, 8.2.3: crumbs are joined before HTTP/1.1 sees them."""
    made, recorder = front
    with Connection(made.port) as connection:
        connection.ask(1, request("/crumbs", "GET", ("cookie", "a=b"), ("cookie", "c=d")))
        assert connection.answer(1)[0] == "200"
    (seen,) = recorder.of("/crumbs")
    assert seen.values("cookie") == ["a=b; c=d"]
