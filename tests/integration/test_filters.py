"""The host of filters as a process, spoken to over its socket as the proxy does; the command line;
the example and the page about it."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudwright.proxy.host import wire
from cloudwright.proxy.sdk.messages import head_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "04-filter" / "filters"
PAGE = ROOT / "docs" / "how-to" / "write-a-filter.md"
PATIENCE = 60.0
ADD = """
import os, sys
from cloudwright.proxy import Filter
class Add(Filter):
    timeout_ms = 20000
    def on_request(self, request):
        print("a line on standard output")
        assert sys.stdin.read() == ""
        request.headers["x-added"] = "first"
"""


class Proxy:
    """The proxy's end of the socket."""

    def __init__(self, channel: socket.socket, process: subprocess.Popen[str]) -> None:
        self.channel = channel
        self.process = process
        self._number = 0

    def frame(self) -> bytes:
        head = self._exactly(4)
        return head + self._exactly(struct.unpack("<I", head)[0])

    def announced(self) -> dict[str, Any]:
        frame = self.frame()
        assert frame[4] == wire.ANNOUNCE
        self.channel.sendall(struct.pack("<IB", 1, wire.ACK))
        return dict(json.loads(frame[5:]))

    def ask(self, filters: list[dict[str, Any]], target: str = "/") -> bytes:
        self._number += 1
        ids = [one["id"] for one in filters]
        body = struct.pack("<BQQBB", wire.REQUEST, self._number, 0, 0, len(ids))
        body += struct.pack(f"<{len(ids)}I", *ids) + head_of("GET", target, [])
        self.channel.sendall(struct.pack("<I", len(body)) + body)
        frame = self.frame()
        assert struct.unpack_from("<Q", frame, 5) == (self._number,)
        return frame

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.channel.recv(size - len(data))
            assert part, "the host closed its socket"
            data += part
        return data


@contextmanager
def host(folder: Path) -> Iterator[Proxy]:
    """A host for a folder; it ends by itself when the socket is closed."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    command = [sys.executable, "-I", "-m", "cloudwright.proxy.host", str(folder)]
    with (
        ours,
        subprocess.Popen(
            command, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        theirs.close()
        try:
            yield Proxy(ours, process)
        finally:
            ours.close()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


def replace(file: Path, text: str) -> None:
    hidden = file.with_name(f".{file.name}")
    hidden.write_text(text)
    hidden.rename(file)


def test_a_host_serves_reloads_and_ends_with_its_proxy(tmp_path: Path) -> None:
    (tmp_path / "add.py").write_text(ADD)
    with host(tmp_path) as proxy:
        first = proxy.announced()
        assert [one["name"] for one in first["filters"]] == ["add"]
        assert b"x-addedfirst" in proxy.ask(first["filters"])
        # A hook that waits makes asyncio's loop take over, and back again.
        waits = ADD.replace("def on", "async def on").replace("first", "waited")
        replace(tmp_path / "add.py", waits)
        second = proxy.announced()
        assert second["filters"][0]["async"] is True
        assert second["filters"][0]["id"] == first["filters"][0]["id"]
        assert b"x-addedwaited" in proxy.ask(second["filters"])
        replace(tmp_path / "add.py", ADD.replace("first", "third"))
        third = proxy.announced()
        assert b"x-addedthird" in proxy.ask(third["filters"])
        # A broken file is told, and changes nothing.
        replace(tmp_path / "add.py", "import os\nraise RuntimeError('broken')\n")
        broken = proxy.announced()
        assert [(one["line"], one["message"]) for one in broken["errors"]] == [
            (2, "RuntimeError: broken")
        ]
        assert b"x-addedthird" in proxy.ask(broken["filters"])
        proxy.channel.shutdown(socket.SHUT_WR)
        out, err = proxy.process.communicate(timeout=PATIENCE)
    assert proxy.process.returncode == 0
    assert out == ""
    assert "a line on standard output" in err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert any("add.py:2: RuntimeError: broken" in line["message"] for line in lines)


def test_a_compiled_filter_runs_beside_one_in_python(tmp_path: Path) -> None:
    wasmtime = pytest.importorskip("wasmtime")
    wat = (ROOT / "tests" / "unit" / "proxy" / "add_header.wat").read_text()
    (tmp_path / "add.py").write_text(ADD)
    (tmp_path / "compiled.wasm").write_bytes(wasmtime.wat2wasm(wat))
    (tmp_path / "compiled.yaml").write_text(
        "timeout_ms: 20000\nsettings: {configuration: by wasm}\n"
    )
    with host(tmp_path) as proxy:
        announced = proxy.announced()
        assert announced["errors"] == []
        assert [one["kind"] for one in announced["filters"]] == ["python", "wasm"]
        answer = proxy.ask(announced["filters"])
        assert b"x-addedfirst" in answer
        assert b"x-wasmby wasm" in answer
        assert b"not today" in proxy.ask(announced["filters"], "/forbidden")


TICKS = """
from cloudwright.proxy import Filter
class Ticks(Filter):
    tick_s = 0.01
    timeout_ms = 20000
    ticks = 0
    async def on_tick(self):
        self.ticks += 1
        if self.ticks == 2:
            raise ValueError("the second")
    def on_request(self, request):
        request.headers["x-ticks"] = str(min(self.ticks, 3))
"""


def test_a_filter_that_ticks_does_so_without_requests(tmp_path: Path) -> None:
    (tmp_path / "ticks.py").write_text(TICKS)
    with host(tmp_path) as proxy:
        filters = proxy.announced()["filters"]
        end = time.monotonic() + PATIENCE
        while not (answer := proxy.ask(filters)).endswith(b"x-ticks3"):
            assert time.monotonic() < end, answer
        (tmp_path / "ticks.py").unlink()
        assert proxy.announced()["filters"] == []
        assert b"x-ticks" not in proxy.ask(filters)
        proxy.channel.shutdown(socket.SHUT_WR)
        _, err = proxy.process.communicate(timeout=PATIENCE)
    assert proxy.process.returncode == 0
    assert "ticks: on_tick: ticks.py:10: ValueError: the second" in err


def test_a_host_without_its_folder_says_so(tmp_path: Path) -> None:
    with host(tmp_path / "none") as proxy:
        _, err = proxy.process.communicate(timeout=PATIENCE)
    assert proxy.process.returncode == 1
    assert "none" in json.loads(err.splitlines()[-1])["message"]
    command = [sys.executable, "-I", "-m", "cloudwright.proxy.host", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, "standard input is not a socket" in done.stderr) == (2, True)


def test_bytes_that_are_no_frame_end_the_host(tmp_path: Path) -> None:
    with host(tmp_path) as proxy:
        assert proxy.announced()["filters"] == []
        proxy.channel.sendall(b"\xff" * 64)
        _, err = proxy.process.communicate(timeout=PATIENCE)
    assert proxy.process.returncode == 1
    assert "a frame of" in err


def cloudwright(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloudwright.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_filter_is_made_checked_and_tested(tmp_path: Path) -> None:
    cloudwright("filter", "new", "add-header", "-d", tmp_path)
    assert "add_header" in cloudwright("filter", "test", tmp_path).stdout
    [checked] = json.loads(cloudwright("filter", "check", tmp_path, "-o", "json").stdout)
    assert (checked["name"], checked["hooks"]) == ("add-header", ["request"])
    assert (
        "is there already"
        in cloudwright("filter", "new", "add-header", "-d", tmp_path, code=7).stderr
    )
    file = tmp_path / "add_header.py"
    replace(file, file.read_text().replace('"yes"', '"no"'))
    [failed] = yaml.safe_load(cloudwright("filter", "test", file, "-o", "yaml", code=1).stdout)
    assert failed["reasons"] == ["request.headers.x-add-header: expected 'yes', got 'no'"]
    replace(file, file.read_text().replace("timeout_ms = 50", "timeout_ms = 0"))
    error = cloudwright("filter", "check", file, code=2).stderr
    line = file.read_text().splitlines().index("    timeout_ms = 0") + 1
    assert f"{file}:{line}:1" in error
    assert "timeout_ms: 1-60000, not 0" in error
    assert "does not exist" in cloudwright("filter", "test", tmp_path / "x.py", code=3).stderr
    (tmp_path / "add_header.cases.yaml").write_text("- expect: {respons: {}}\n")
    replace(file, file.read_text().replace("timeout_ms = 0", "timeout_ms = 50"))
    assert "no such field: respons" in cloudwright("filter", "test", file, code=2).stderr


def test_the_example_passes_its_own_cases() -> None:
    results = json.loads(cloudwright("filter", "test", EXAMPLE, "-o", "json").stdout)
    assert [one["case"] for one in results if not one["passed"]] == []
    assert len(results) == 4


def test_the_page_shows_the_example_as_it_is() -> None:
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name in ("require_key.py", "require_key.yaml", "require_key.cases.yaml"):
        assert (EXAMPLE / name).read_text() in blocks, f"{name} differs from {PAGE.name}"
