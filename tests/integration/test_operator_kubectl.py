"""``python -m cloudwright.operator`` over HTTPS, and what kubectl makes of its work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright.client.client import Client
from cloudwright.client.kubeconfig import read
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.scheduler.driver import run as run_scheduler
from tests import foreign
from tests.integration.operator_world import Node

pytestmark = [pytest.mark.anyio, pytest.mark.foreign]
ROOT = Path(__file__).parents[2]
Kubectl = Callable[..., Awaitable[str]]
MANIFEST = """
apiVersion: platform.example.com/v1
kind: MicroService
metadata: {name: payment-svc}
spec:
  version: "1.12.0"
  replicas: 3
  readinessProbePath: "/health/ready"
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[str]:
    command = [foreign.python(), "-m", "tests.integration.served_api", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as api:
        assert api.stdout is not None
        assert api.stdin is not None
        ready = json.loads(api.stdout.readline())
        names = "deployment,replicaset,endpoints,gc,namespace,serviceaccount,microservice"
        command = [foreign.python(), "-m", "cloudwright.operator", "--controllers", names]
        command += ["--kubeconfig", ready["kubeconfig"]]
        log = (tmp_path / "operator.log").open("w")
        with log, subprocess.Popen(command, cwd=ROOT, stderr=log) as operator:
            yield ready["kubeconfig"]
            operator.terminate()
            operator.wait(10)
        api.stdin.close()
        api.wait(20)


@asynccontextmanager
async def machine(kubeconfig: str) -> AsyncIterator[Kubectl]:
    """Scheduler and node beside the served API; yields a kubectl."""
    program = foreign.kubectl_on_path() or foreign.kubectl_debian()
    if program is None:
        pytest.skip("no kubectl on this machine, and none can be fetched")
    transport = HttpsTransport(read(Path(kubeconfig)))
    client = Client(transport)

    async def kubectl(*arguments: str, stdin: str = "", ok: bool = True) -> str:
        done = await anyio.run_process(
            [program, f"--kubeconfig={kubeconfig}", *arguments], input=stdin.encode(), check=False
        )
        text = (done.stdout + done.stderr).decode()
        assert (done.returncode == 0) is ok, f"{arguments}: {text}"
        return text

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Node(client).run)
        await tasks.start(lambda *, task_status: run_scheduler(client, task_status=task_status))
        try:
            yield kubectl
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await transport.aclose()


async def test_rollout_verbs(kubeconfig: str) -> None:
    async with machine(kubeconfig) as kubectl:
        await kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
        text = await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        assert 'deployment "web" successfully rolled out' in text
        await kubectl("set", "image", "deployment/web", "web=web:2")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        history = await kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == [
            "1",
            "2",
        ]
        await kubectl("rollout", "undo", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        images = await kubectl("get", "deployment", "web", "-o", "jsonpath={..image}")
        assert images == "web:1"
        history = await kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == [
            "2",
            "3",
        ]
        await kubectl("rollout", "pause", "deployment/web")
        await kubectl("set", "image", "deployment/web", "web=web:3")
        paused = await kubectl("rollout", "status", "deployment/web", "--watch=false")
        assert "0 out of 3 new replicas have been updated" in paused
        assert "web:3" not in await kubectl("get", "pods", "-o", "jsonpath={..image}")
        await kubectl("rollout", "resume", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        await kubectl("rollout", "restart", "deployment/web")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        await kubectl("scale", "deployment/web", "--replicas=5")
        await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
        await kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
        assert "No resources" in await kubectl("get", "pods,replicasets")


async def test_a_bad_image_is_told_by_rollout_status(kubeconfig: str) -> None:
    async with machine(kubeconfig) as kubectl:
        await kubectl("create", "deployment", "web", "--image=web:1")
        await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        patch = '{"spec":{"progressDeadlineSeconds":1}}'
        await kubectl("patch", "deployment", "web", "-p", patch)
        await kubectl("set", "image", "deployment/web", "web=web:bad")
        text = await kubectl("rollout", "status", "deployment/web", "--timeout=20s", ok=False)
        assert "exceeded its progress deadline" in text


async def test_a_microservice_from_yaml_to_rollback(kubeconfig: str) -> None:
    async with machine(kubeconfig) as kubectl:
        await kubectl("apply", "-f", "-", stdin=MANIFEST)
        await kubectl("wait", "--for=condition=Ready", "ms/payment-svc", "--timeout=20s")
        await kubectl("patch", "ms", "payment-svc", "-p", '{"spec":{"version":"1.11.0"}}')
        path = "{.status.conditions[?(@.type=='Ready')].message}"

        async def message() -> str:
            return await kubectl("get", "ms", "payment-svc", "-o", f"jsonpath={path}")

        with anyio.fail_after(20):
            while "version 1.11.0" not in await message() or "3 of 3" not in await message():
                await anyio.sleep(0.1)
        described: Any = await kubectl("describe", "ms", "payment-svc")
        assert "RolloutComplete" in described
        assert "Version 1.11.0 is rolled out (was 1.12.0)" in described
        await kubectl("scale", "ms/payment-svc", "--replicas=1")
        await kubectl("wait", "--for=condition=Ready", "ms/payment-svc", "--timeout=20s")
        await kubectl("delete", "ms", "payment-svc", "--timeout=20s")
        assert "No resources" in await kubectl("get", "pods,deployments,routes")


CANARY = """
apiVersion: platform.example.com/v1
kind: MicroService
metadata: {name: pay, namespace: default}
spec:
  version: "1.0.0"
  config: {a: "1"}
  rollout: {steps: [{weight: 50, approval: true}]}
"""


async def test_the_verbs_of_a_roll_out_in_steps(kubeconfig: str) -> None:
    program = "import sys; from cloudwright.cli.main import main; sys.exit(main())"

    async def cloudwright(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-c", program, "rollout", *words, "--kubeconfig", kubeconfig]
        done = await anyio.run_process(command, check=False)
        text = (done.stdout + done.stderr).decode()
        assert done.returncode == code, text
        return text

    async with machine(kubeconfig) as kubectl:

        async def until(what: str, wanted: str) -> None:
            with anyio.fail_after(30):
                path = f"jsonpath={{.status.{what}}}"
                while wanted not in await kubectl("get", "ms", "pay", "-o", path):
                    await anyio.sleep(0.1)

        await kubectl("apply", "-f", "-", stdin=CANARY)
        await kubectl("wait", "--for=condition=Ready", "ms/pay", "--timeout=30s")
        assert "no roll-out in progress" in await cloudwright("promote", "ms/pay", code=7)
        change = '{"spec":{"version":"2.0.0","config":{"a":"2"}}}'
        await kubectl("patch", "ms", "pay", "--type=merge", "-p", change)
        await until("rollout.message", "waiting for a person")
        assert "paused" in await cloudwright("pause", "ms/pay")
        await until("phase", "Paused")
        assert "promoted" in await cloudwright("promote", "ms/pay")
        await until("version", "2.0.0")
        await until("phase", "Ready")
        table = await cloudwright("history", "ms/pay")
        assert [line.split()[:2] for line in table.splitlines()[1:]] == [
            ["1", "1.0.0"],
            ["2", "2.0.0"],
        ]
        assert "now, last good" in table.splitlines()[2]
        assert "1.0.0" in await cloudwright("history", "ms/pay", "--revision", "1")
        assert "rolled back" in await cloudwright("undo", "ms/pay")
        spec = json.loads(await kubectl("get", "ms", "pay", "-o", "jsonpath={.spec}"))
        assert (spec["version"], spec["config"]) == ("1.0.0", {"a": "1"})
        assert spec["rollout"]["steps"]
        await until("rollout.message", "waiting for a person")
        await cloudwright("abort", "ms/pay")
        await until("phase", "RolledBack")
        assert "no such revision" in await cloudwright(
            "undo", "ms/pay", "--to-revision", "9", code=3
        )
