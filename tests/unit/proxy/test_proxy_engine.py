"""The host's engine, spoken to by frames as the proxy does."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.proxy.host import wire
from cloudwright.proxy.host.engine import Engine, ProtocolError
from cloudwright.proxy.host.folder import Folder
from cloudwright.proxy.host.limits import Limit
from cloudwright.proxy.sdk.messages import head_of

TWO = """
from cloudwright.proxy import Filter, respond
class First(Filter):
    order = 1
    def on_request(self, request):
        request.headers["x-first"] = request.headers.get("x-second", "none")
    def on_response(self, request, response):
        response.headers["x-seen"] = response.headers.get("x-seen", "") + "first"
class Second(Filter):
    order = 2
    def on_request(self, request):
        request.headers["x-second"] = request.headers["x-first"]
        if request.path == "/raise":
            raise ValueError("half-way")
        if request.path == "/answer":
            return respond(418, "tea")
    def on_response(self, request, response):
        response.headers["x-seen"] = "second,"
"""


def call(kind: int, exchange: int, flags: int, ids: list[int], rest: bytes, due: int = 0) -> bytes:
    body = struct.pack("<BQQBB", kind, exchange, due, flags, len(ids))
    body += struct.pack(f"<{len(ids)}I", *ids) + rest
    return struct.pack("<I", len(body)) + body


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "two.py").write_text(TWO)
    folder = Folder(tmp_path)
    folder.refresh()
    assert folder.errors == []
    engine = Engine(Limit())
    engine.use(folder.filters())
    return engine


def send(engine: Engine, *frames: bytes) -> list[bytes]:
    data = bytearray(b"".join(frames))
    assert engine.take(data, len(data)) == len(data)
    out = list(engine.out)
    engine.out.clear()
    return out


def operations(frame: bytes) -> dict[bytes, bytes]:
    """The headers that an answer sets."""
    count = frame[14]
    position, found = 15, {}
    for _ in range(count):
        failed = frame[position + 4] in (wire.FAILED, wire.TIMED_OUT)
        position += 9
        if failed:
            position += 2 + struct.unpack_from("<H", frame, position)[0]
    while position < len(frame):
        _, name, value = struct.unpack_from("<BHI", frame, position)
        position += 7
        found[frame[position : position + name]] = frame[position + name : position + name + value]
        position += name + value
    return found


def test_a_chain_runs_in_order_and_later_filters_see_earlier_changes(engine: Engine) -> None:
    [answer] = send(engine, call(wire.REQUEST, 9, 0, [1, 2], head_of("GET", "/", [])))
    assert struct.unpack_from("<IBQB", answer) == (len(answer) - 4, wire.CONTINUE, 9, 0)
    assert operations(answer) == {b"x-first": b"none", b"x-second": b"none"}
    assert engine.exchanges == {}, "nothing is kept when no more calls follow"


def test_a_filter_that_fails_half_way_leaves_no_trace(engine: Engine) -> None:
    [answer] = send(engine, call(wire.REQUEST, 9, 0, [1, 2], head_of("GET", "/raise", [])))
    assert operations(answer) == {b"x-first": b"none"}
    assert b"two.py:14: ValueError: half-way" in answer


def test_a_filter_answers_in_the_backends_place(engine: Engine) -> None:
    [answer] = send(
        engine, call(wire.REQUEST, 9, 0, [2, 1], head_of("GET", "/answer", [(b"x-first", b"1")]))
    )
    assert answer[4] == wire.RESPOND
    assert answer.endswith(b"tea")
    assert struct.pack("<H", 418) in answer


def test_the_answer_passes_in_reverse_and_the_end_forgets_the_exchange(engine: Engine) -> None:
    request = call(wire.REQUEST, 9, wire.KEEP | wire.SILENT, [], head_of("GET", "/", []))
    response = call(wire.RESPONSE, 9, 0, [1, 2], struct.pack("<H", 200) + b"\n")
    [answer] = send(engine, request, response)
    assert operations(answer) == {b"x-seen": b"second,first"}
    assert send(engine, struct.pack("<IBQ", 9, wire.END, 9)) == []
    assert engine.exchanges == {}
    [lost] = send(engine, response)
    assert lost[4] == wire.LOST


def test_a_call_that_is_too_late_is_not_run(engine: Engine) -> None:
    [answer] = send(engine, call(wire.REQUEST, 9, 0, [1], head_of("GET", "/", []), due=1))
    assert answer[4] == wire.LOST


def test_filters_that_are_gone_are_skipped(engine: Engine) -> None:
    engine.use({})
    [answer] = send(engine, call(wire.REQUEST, 9, 0, [1, 2], head_of("GET", "/", [])))
    assert (answer[4], operations(answer)) == (wire.CONTINUE, {})


def test_half_a_frame_is_waited_for(engine: Engine) -> None:
    frame = call(wire.REQUEST, 9, 0, [1], head_of("GET", "/", []))
    data = bytearray(frame + frame[:-1])
    assert engine.take(data, len(data)) == len(frame)
    assert len(engine.out) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_protocol_error(data: bytes) -> None:
    engine = Engine(Limit())
    framed = bytearray(struct.pack("<I", len(data)) + data)
    try:
        engine.take(framed, len(framed))
    except ProtocolError:
        pass


def test_a_folder_keeps_what_worked_and_says_what_did_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "two.py").write_text(TWO)
    assert folder.refresh()[0]
    ids = {entry.name: entry.id for entry in folder.filters().values()}
    assert not folder.refresh()[0], "nothing changed"
    (tmp_path / "two.py").write_text(TWO.replace("order = 2", "order = 'last'"))
    changed, gone = folder.refresh()
    assert (changed, gone) == (True, [])
    described = json.loads(json.dumps(folder.describe()))
    assert [one["name"] for one in described["filters"]] == ["first", "second"]
    [error] = described["errors"]
    assert (Path(error["file"]).name, error["line"]) == ("two.py", 10)
    assert error["message"] == "order: a whole number, not 'last'"
    (tmp_path / "two.py").write_text(TWO + "# changed\n")
    changed, gone = folder.refresh()
    assert [entry.name for entry in gone] == ["first", "second"]
    assert {entry.name: entry.id for entry in folder.filters().values()} == ids
    (tmp_path / "again.py").write_text(TWO)
    folder.refresh()
    assert "the name 'first' is taken by" in str(folder.errors[0])
    (tmp_path / "two.py").unlink()
    (tmp_path / "again.py").unlink()
    folder.refresh()
    assert (folder.filters(), folder.errors) == ({}, [])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("import nothing_of_this_name\n", 1, "ModuleNotFoundError"),
        ("x = 1\nraise SystemExit('bye')\n", 2, "SystemExit: bye"),
        ("a = (\n", 1, "SyntaxError"),
        ("x = 1\n", 0, "defines no class that derives from Filter"),
        (
            "from cloudwright.proxy import Filter\nclass A(Filter):\n    def start(self):\n"
            "        open('/none')\n    def on_request(self, request): ...\n",
            4,
            "FileNotFoundError",
        ),
    ],
)
def test_a_file_that_does_not_load_says_where(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    (tmp_path / "bad.py").write_text(text)
    folder = Folder(tmp_path)
    folder.refresh()
    [error] = folder.errors
    assert error.line == line
    assert message in error.message


def test_a_shared_module_that_changes_is_taken_by_its_filters(tmp_path: Path) -> None:
    (tmp_path / "_words.py").write_text("WORD = 'one'\n")
    (tmp_path / "say.py").write_text(
        "from cloudwright.proxy import Filter\nfrom _words import WORD\n"
        "class Say(Filter):\n    word = WORD\n    def on_request(self, request): ...\n"
    )
    folder = Folder(tmp_path)
    folder.refresh()
    assert [entry.instance.word for entry in folder.filters().values()] == ["one"]  # type: ignore[attr-defined]
    (tmp_path / "_words.py").write_text("WORD = 'second'\n")
    folder.refresh()
    assert folder.errors == []
    assert [entry.instance.word for entry in folder.filters().values()] == ["second"]  # type: ignore[attr-defined]
