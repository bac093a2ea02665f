"""The example of docs/how-to/write-a-reconciler.md, run as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
import yaml

from cloudwright.client.client import Client
from cloudwright.client.kubeconfig import read
from cloudwright.client.transports.https import HttpsTransport
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, finalizers_of, owned_by
from cloudwright.model.resources import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, EVENT, Resource
from cloudwright.operator.config import Config
from cloudwright.operator.manager import Manager
from cloudwright.operator.queue import Backoff
from tests.integration.operator_world import Hooks, World, api, eventually

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "write-a-reconciler.md"
EXAMPLE = ROOT / "examples" / "03-reconciler"
DEFINITION: Object = {
    "metadata": {"name": "greetings.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "greetings", "singular": "greeting", "kind": "Greeting"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    module = ModuleType("example_reconciler")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    return module


def greeting(text: str) -> Object:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Greeting",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"text": text},
    }


async def prepare(client: Client) -> World:
    w = World(client, Hooks(), None)  # type: ignore[arg-type]
    await client.create(CUSTOM_RESOURCE_DEFINITION, DEFINITION)
    await w.until(
        CUSTOM_RESOURCE_DEFINITION,
        "greetings.example.com",
        lambda o: bool(find((o.get("status") or {}).get("conditions"), "Established")),
    )
    return w


async def test_the_example_of_the_page(
    tmp_path: Path, example: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with api(tmp_path) as client:
        w = await prepare(client)
        manager = Manager(client, config=Config(backoff=Backoff(0.02, 0.2)))
        manager.add(example.Greetings())
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
            await client.create(example.GREETING, greeting("hi"))

            def ready(obj: Object) -> bool:
                entries = (obj.get("status") or {}).get("conditions")
                return bool(find(entries, "Ready"))

            owner = await w.until(example.GREETING, "hello", ready)
            assert finalizers_of(owner) == ["example.com/goodbye"]
            child = await client.get(CONFIG_MAP, "hello", "default")
            assert child["data"] == {"greeting": "hi"}
            assert owned_by(child, owner)
            # Damage is repaired, a new wish is granted.
            await client.delete(CONFIG_MAP, "hello", "default")
            await w.until(CONFIG_MAP, "hello", lambda o: not owned_by({}, o))
            await client.patch(example.GREETING, "hello", {"spec": {"text": "hey"}}, "default")
            await w.until(CONFIG_MAP, "hello", lambda o: o["data"] == {"greeting": "hey"})

            async def told() -> bool:
                reasons = [e["reason"] for e in (await client.list(EVENT)).items]
                return "Greeted" in reasons

            await eventually(told)
            # Wrong input is named and does not stop the rest.
            await client.patch(example.GREETING, "hello", {"spec": {"text": ""}}, "default")

            def invalid(obj: Object) -> bool:
                entry = find((obj.get("status") or {}).get("conditions"), "Valid") or {}
                return entry.get("message") == "spec.text: must not be empty"

            await w.until(example.GREETING, "hello", invalid)
            await client.patch(example.GREETING, "hello", {"spec": {"text": "bye"}}, "default")
            await client.delete(example.GREETING, "hello", "default")
            await w.until_gone(example.GREETING, "hello")
            tasks.cancel_scope.cancel()
    assert "goodbye, hello" in capsys.readouterr().out
    count = manager.vitals.registry.get_sample_value(
        "controller_runtime_reconcile_total", {"controller": "greetings", "result": "success"}
    )
    assert count is not None
    assert count >= 4


async def test_a_failing_object_delays_only_itself(tmp_path: Path, example: Any) -> None:
    failures: list[str] = []

    class Picky(example.Greetings):  # type: ignore[misc, name-defined]
        name = "picky"

        async def reconcile(self, obj: Any, context: Any) -> None:
            if obj.text == "boom" and len(failures) < 3:
                failures.append(obj.name)
                raise RuntimeError("boom")
            await super().reconcile(obj, context)

    async with api(tmp_path) as client:
        w = await prepare(client)
        manager = Manager(client, config=Config(backoff=Backoff(0.01, 0.05), concurrency=1))
        manager.add(Picky())
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: manager.run(task_status=task_status))
            bad = greeting("boom")
            bad["metadata"]["name"] = "a-bad"
            await client.create(example.GREETING, bad)
            await client.create(example.GREETING, greeting("hi"))
            await w.until(CONFIG_MAP, "hello", lambda o: True)
            await w.until(CONFIG_MAP, "a-bad", lambda o: True)
            tasks.cancel_scope.cancel()
    assert failures == ["a-bad"] * 3


def test_the_page_and_the_example_are_the_same() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    assert (EXAMPLE / "greetings.py").read_text().endswith(f'"""\n\n{code}')


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.integration.served_api", str(tmp_path / "state")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as api_server:
        assert api_server.stdout is not None
        assert api_server.stdin is not None
        yield json.loads(api_server.stdout.readline())["kubeconfig"]
        api_server.stdin.close()
        api_server.wait(20)


async def greet(kubeconfig: str, *flags: str) -> tuple[str, str]:
    """Run the example as its README says until it has greeted and said goodbye; what it wrote to
    standard output and to its log.
    """
    transport = HttpsTransport(read(Path(kubeconfig)))
    client = Client(transport)
    w = World(client, Hooks(), None)  # type: ignore[arg-type]
    definition = yaml.safe_load((EXAMPLE / "crd.yaml").read_text())
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
    command = [sys.executable, str(EXAMPLE / "greetings.py"), "--kubeconfig", kubeconfig, *flags]
    greetings = Resource("example.com", "v1", "Greeting", "greetings", "greeting")
    process = await anyio.open_process(command, cwd=ROOT)
    try:
        wish = {**yaml.safe_load((EXAMPLE / "greeting.yaml").read_text())}
        await w.until(
            CUSTOM_RESOURCE_DEFINITION,
            "greetings.example.com",
            lambda o: bool(find((o.get("status") or {}).get("conditions"), "Established")),
        )
        await client.create(greetings, wish, "default")
        if "--dry-run" in flags:
            log = b""
            assert process.stderr is not None
            with anyio.fail_after(30):
                while b"would update Greeting default/hello" not in log:
                    log += await process.stderr.receive()
            assert finalizers_of(await client.get(greetings, "hello", "default")) == []
            process.terminate()
            await process.wait()
            return "", log.decode()
        await w.until(CONFIG_MAP, "hello", lambda o: o["data"]["greeting"] == "hello, world")
        await client.delete(greetings, "hello", "default")
        await w.until_gone(greetings, "hello")
        process.terminate()  # SIGTERM: it ends in order
        assert await process.wait() == 0
        assert process.stdout is not None
        return (await process.stdout.receive()).decode(), ""
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()
        await transport.aclose()


async def test_the_example_as_a_program(kubeconfig: str) -> None:
    said, _ = await greet(kubeconfig, "--leader-elect", "--listen", "127.0.0.1:0")
    assert said == "goodbye, hello\n"


async def test_the_example_as_a_dry_run(kubeconfig: str) -> None:
    _, log = await greet(kubeconfig, "--dry-run")
    assert "would update Greeting default/hello" in log
