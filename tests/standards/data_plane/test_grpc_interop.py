"""gRPC's interoperability cases: grpc-go's client and server, the gateway between them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.processes import Program, free_port, running, start
from tests.standards.data_plane.world import EDGE_NAME, WAYS, Edge, available, edge, listens

CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
)
SOAK = ("rpc_soak", "channel_soak")


@pytest.fixture(scope="module", params=WAYS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    server = available("interop_server")
    directory: Path = tmp_path_factory.mktemp("interop")
    ports: list[int] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append(free_port())
        words = [server, f"--port={ports[-1]}", "--use_tls=false"]
        return Program(words, directory / "server.log"), lambda: listens(ports[-1])

    with (
        running(start(make)),
        edge(directory / "edge", request.param, ports[-1], "h2") as made,
    ):
        yield made


def call(front: Edge, case: str, *more: str, tls: bool = False) -> None:
    words = [available("interop_client"), f"--test_case={case}"]
    words += [
        "--server_host=127.0.0.1",
        f"--server_port={front.secure if tls else front.port}",
    ]
    if tls:
        words += ["--use_test_ca=true", f"--ca_file={front.authority.file}"]
        words += [f"--server_host_override={EDGE_NAME}"]
    words.append(f"--use_tls={'true' if tls else 'false'}")
    done = subprocess.run(
        [str(word) for word in (*words, *more)], capture_output=True, text=True, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{said[-2000:]}\n{front.gateway.tail()}"


@pytest.mark.parametrize("case", CASES)
def test_case_over_a_clear_connection(front: Edge, case: str) -> None:
    call(front, case)


@pytest.mark.parametrize("case", ["empty_unary", "large_unary", "ping_pong", "cancel_after_begin"])
def test_case_over_tls(front: Edge, case: str) -> None:
    call(front, case, tls=True)


@pytest.mark.parametrize("case", SOAK)
def test_many_calls(front: Edge, case: str) -> None:
    """Many calls on one channel, and each on a channel of its own."""
    call(front, case, "--soak_iterations=50", "--soak_overall_timeout_seconds=60")
