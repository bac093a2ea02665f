"""Clients that people use: curl, nghttp, h2load and ghz through the gateway."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.data_plane.upstream import upstream
from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, running, start
from tests.standards.data_plane.recorder import Recorder, recording
from tests.standards.data_plane.world import EDGE_NAME, WAYS, Edge, available, edge, listens

PROTO = """syntax = "proto3";
package grpc.testing;
message Empty {}
service TestService { rpc EmptyCall(Empty) returns (Empty); }
"""


def run(*words: str | Path, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """A program that must end well; the test is skipped when it is not here."""
    program = shutil.which(str(words[0]))
    if program is None:
        pytest.skip(f"there is no {words[0]}")
    done = subprocess.run(
        [program, *(str(word) for word in words[1:])], input=data, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module", params=WAYS)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Edge, Recorder]]:
    directory: Path = tmp_path_factory.mktemp("clients")
    with recording() as recorder, edge(directory, request.param, recorder.port) as made:
        yield made, recorder


@pytest.fixture(scope="module", params=WAYS)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    available("upstream")
    directory: Path = tmp_path_factory.mktemp("load")
    authority = Authority(directory / "upstream-pki")
    with (
        upstream(directory / "upstream", authority) as behind,
        edge(directory / "edge", request.param, behind.clear) as made,
    ):
        yield made


CURL = {
    "HTTP/1.0": ("--http1.0",),
    "HTTP/1.1": ("--http1.1",),
    "HTTP/2 clear": ("--http2-prior-knowledge",),
    "upgrade that is ignored": ("--http2",),
}


@pytest.mark.parametrize("how", CURL)
@pytest.mark.parametrize("content", ["none", "small", "large", "chunked", "expects"])
def test_curl(recorded: tuple[Edge, Recorder], tmp_path: Path, how: str, content: str) -> None:
    made, recorder = recorded
    path = "/curl-" + re.sub(r"\W", "", how) + "-" + content
    body = tmp_path / "body"
    body.write_bytes(b"z" * (300_000 if content != "small" else 10))
    more: list[str] = []
    if content != "none":
        more = ["--data-binary", f"@{body}"]
    if content == "chunked":
        if how == "HTTP/1.0":
            pytest.skip("HTTP/1.0 has no chunks")
        more += ["-H", "transfer-encoding: chunked"]
    if content == "expects":
        more += ["-H", "expect: 100-continue"]
    url = f"http://127.0.0.1:{made.port}{path}"
    done = run("curl", "-sS", "-m", "60", *CURL[how], *more, "-w", " %{http_code}", url)
    assert done.stdout == b"ok 200"
    (seen,) = recorder.of(path)
    assert seen.body == (body.read_bytes() if content != "none" else b"")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_over_tls(recorded: tuple[Edge, Recorder], version: str) -> None:
    made, _ = recorded
    words = ["--cacert", str(made.authority.file), version, "-w", " %{http_code} %{http_version}"]
    words += ["--resolve", f"{EDGE_NAME}:{made.secure}:127.0.0.1"]
    done = run("curl", "-sS", "-m", "60", *words, f"https://{EDGE_NAME}:{made.secure}/")
    assert done.stdout == b"ok 200 " + (b"2" if version == "--http2" else b"1.1")


@pytest.mark.parametrize("method", ["HEAD", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("how", ["HTTP/1.1", "HTTP/2 clear"])
def test_methods(recorded: tuple[Edge, Recorder], how: str, method: str) -> None:
    made, recorder = recorded
    path = f"/method-{method}-{len(how)}"
    words = ["-I"] if method == "HEAD" else ["-X", method]
    url = f"http://127.0.0.1:{made.port}{path}"
    run("curl", "-sS", "-m", "60", "-f", *CURL[how], *words, url)
    assert [one.method for one in recorder.of(path)] == [method]


def test_nghttp(loaded: Edge) -> None:
    """Several streams on one connection, with an upload and trailers."""
    url = f"http://127.0.0.1:{loaded.port}/"
    done = run("nghttp", "-nv", "-m", "20", "-d", "/etc/hostname", "--trailer", "x-t: 1", url)
    assert done.stdout.count(b":status: 200") == 20, done.stdout[-2000:]


@pytest.mark.parametrize(
    "words",
    [
        ("--h1", "-c", "20", "-n", "2000"),
        ("-c", "4", "-m", "50", "-n", "4000"),
        ("-c", "4", "-m", "50", "-n", "2000", "-d", "/etc/hostname"),
    ],
    ids=["http1", "http2", "uploads"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_h2load(loaded: Edge, words: tuple[str, ...], scheme: str) -> None:
    port = loaded.secure if scheme == "https" else loaded.port
    done = run("h2load", "-t1", *words, f"{scheme}://127.0.0.1:{port}/")
    wanted = words[words.index("-n") + 1]
    assert f"status codes: {wanted} 2xx".encode() in done.stdout, done.stdout.decode()


@pytest.mark.parametrize("way", WAYS)
def test_ghz(tmp_path: Path, way: str) -> None:
    program, server = available("ghz"), available("interop_server")
    proto = tmp_path / "test.proto"
    proto.write_text(PROTO)
    ports: list[int] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append(free_port())
        words = [server, f"--port={ports[-1]}", "--use_tls=false"]
        return Program(words, tmp_path / "server.log"), lambda: listens(ports[-1])

    with running(start(make)), edge(tmp_path / "edge", way, ports[-1], "h2") as made:  # type: ignore[arg-type]
        words = ["--insecure", "--proto", proto, "--call", "grpc.testing.TestService.EmptyCall"]
        words += ["-c", "20", "-n", "1000", "--connections", "4", "-O", "json"]
        done = run(program, *words, "-d", "{}", f"127.0.0.1:{made.port}")
    report = json.loads(done.stdout)
    assert report["statusCodeDistribution"] == {"OK": 1000}
