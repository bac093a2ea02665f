"""Hooks that are files: a command run in a container over the API's WebSocket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloudwright._base.errors import CloudwrightError, TimedOutError
from cloudwright.client.client import Client
from cloudwright.client.execs import PodExecs
from cloudwright.client.kubeconfig import read
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.resources import POD

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = str(tmp_path_factory.mktemp("state"))
    command = [sys.executable, "-m", "tests.integration.served_api", state]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as api:
        assert api.stdout is not None
        assert api.stdin is not None
        yield json.loads(api.stdout.readline())["kubeconfig"]
        api.stdin.close()
        api.wait(20)


@pytest.fixture
async def execs(kubeconfig: str) -> AsyncIterator[PodExecs]:
    transport = HttpsTransport(read(Path(kubeconfig)))
    container = {"name": "app", "image": "x"}
    pod = {"metadata": {"name": "one"}, "spec": {"containers": [container]}}
    client = Client(transport)
    await client.delete(POD, "one", "default", grace_seconds=0, missing_ok=True)
    made = await client.create(POD, pod, "default")
    await client.update_status(POD, {**made, "status": {"phase": "Running"}})
    yield PodExecs(transport)
    await transport.aclose()


async def run(execs: PodExecs, *command: str, stdin: bytes = b"", timeout: float = 30) -> object:
    return await execs.run("default", "one", "app", command, stdin, timeout=timeout)


async def test_output_input_and_exit_codes(execs: PodExecs) -> None:
    assert await run(execs, "echo", "hello") == (0, "hello\n")
    # It reads to the end of its input: the end is told.
    assert await run(execs, "wc", "-c", stdin=b"x" * 100_000) == (0, "100000\n")
    assert await run(execs, "sh", "-c", "echo oops >&2; exit 3") == (3, "oops\n")


async def test_only_the_end_of_much_output_is_kept(execs: PodExecs) -> None:
    code, said = await execs.run(
        "default", "one", "app", ["sh", "-c", "yes x | head -c 100000; echo end"], b"", timeout=30
    )
    assert code == 0
    assert said.endswith("end\n")
    assert len(said) <= 4096


async def test_what_cannot_be_run_says_so(execs: PodExecs) -> None:
    with pytest.raises(CloudwrightError):
        await run(execs, "no-such-program")
    with pytest.raises(CloudwrightError):
        await execs.run("default", "missing", "app", ["true"], b"", timeout=30)


async def test_what_hangs_is_left_alone_after_its_time(execs: PodExecs) -> None:
    with pytest.raises(TimedOutError, match="did not end within"):
        await run(execs, "sleep", "60", timeout=0.5)
