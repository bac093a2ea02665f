"""Our HTTP/2 in the eyes of others: h2spec's whole suite, curl and h2load, against a server of it.

The server is the example of the crate ``http2``; the whole gateway has its own such test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.build import Unavailable, built

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = "4"
CASES = 145
"""Of version 2.2.1; fewer than this means that the suite did not run whole."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> Path:
    """The example server, built when it is older than its sources (``cargo test`` builds it)."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is missing")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = os.environ.get("CARGO_TARGET_DIR") or str(home / "cloudwright" / "target")
    command = [cargo, "build", "--quiet", "-p", "cloudwright-http2", "--example", "server"]
    environment = {**os.environ, "CARGO_TARGET_DIR": target}
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    return Path(target) / "debug" / "examples" / "server"


@pytest.fixture
def port(program: Path) -> Iterator[int]:
    """The port of a running server."""
    words = [str(program), "127.0.0.1:0"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("listening on 127.0.0.1:"), line
            yield int(line.rsplit(":", 1)[1])
            assert server.poll() is None, "the server is still there"
        finally:
            server.kill()


def test_every_case_of_h2spec_passes(port: int, tmp_path: Path) -> None:
    try:
        h2spec = built("h2spec")
    except Unavailable as error:
        pytest.skip(str(error))
    report = tmp_path / "report.xml"
    words = [h2spec, "-h", "127.0.0.1", "-p", port, "-o", PATIENCE_SECONDS, "-j", report]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=240
    )
    assert report.is_file(), done.stdout[-2000:] + done.stderr
    cases = list(ET.parse(report).iter("testcase"))
    bad = [
        f"{case.get('package')}: {case.get('classname')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    assert not bad, "\n".join(bad) + done.stdout[-3000:]
    assert len(cases) >= CASES


def curl(port: int, path: str, *words: str, data: bytes | None = None) -> bytes:
    """What curl gets over HTTP/2 in clear text."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is missing")
    command = [program, "-sS", "--fail", "--http2-prior-knowledge", "--max-time", "60", *words]
    if data is not None:
        command += ["--data-binary", "@-"]
    url = f"http://127.0.0.1:{port}{path}"
    return subprocess.run([*command, url], input=data, capture_output=True, check=True).stdout


def test_curl_gets_pages_hints_and_large_bodies(port: int) -> None:
    assert curl(port, "/") == b"one page of a server over HTTP/2\n"
    assert b"content-length: 33" in curl(port, "/", "--head")
    assert b"HTTP/2 103" in curl(port, "/hints", "--include")
    assert len(curl(port, "/big")) == 1 << 20
    body = bytes(range(256)) * 20_000
    assert curl(port, "/", data=body) == body


def test_h2load_gets_every_answer_of_many_streams(port: int) -> None:
    program = shutil.which("h2load")
    if program is None:
        pytest.skip("h2load is missing (package nghttp2-client)")
    words = [program, "-t1", "-n", "5000", "-c", "4", "-m", "100", f"http://127.0.0.1:{port}/"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True)
    assert re.search(r"status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout), done.stdout
